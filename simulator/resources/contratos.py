"""Contratos and empenhos: what a public body has agreed with a supplier."""

from typing import Final

from simulator.resources.description import Listing, Resource

CONTRATOS: Final = Resource(
    name="contratos",
    digit=2,
    key_name="numeroControlePNCP",
    year_key="anoContrato",
    sequence_key="sequencialContrato",
    stamp_keys={
        "publicacao": "dataPublicacaoPncp",
        "atualizacao": "dataAtualizacao",
        "atualizacao_global": "dataAtualizacaoGlobal",
    },
    listings={
        "publicacao": Listing("/api/consulta/v1/contratos", "publicacao"),
        "atualizacao": Listing("/api/consulta/v1/contratos/atualizacao", "atualizacao_global"),
    },
    first_day="dataInicial",
    last_day="dataFinal",
    division=None,
    # By órgão the name differs from that of contratações; by UF and by município there is no filter.
    filters={
        "cnpjOrgao": ("String", "cnpj"),
        "codigoUnidadeAdministrativa": ("String", "codigo_unidade"),
    },
    unordered_by="cnpjOrgao",  # of 4,956 rows recorded so 1,316 were repeats; totalRegistros was right
    page_sizes=range(10, 501),
    default_page_size=500,  # from the manual; there is no recording
    empty_status=204,
    recordings=("contratos", "contratos-atualizacao"),
    spoiled={
        "text": "objetoContrato",
        "nan": "valorGlobal",
        "huge_number": "valorGlobal",
        "wrong_type": "valorGlobal",
        "drifted_field": "processo",
        "missing_key": "numeroControlePNCP",
    },
)
