"""Atas de registro de preços: the prices at which a supplier has agreed to deliver."""

from typing import Final

from simulator.resources.description import Listing, Resource

ATAS: Final = Resource(
    name="atas",
    digit=1,  # its number is that of its contratação, and one more part
    numbered=True,
    key_name="numeroControlePNCPAta",
    year_key=None,  # anoAta is the year of the ata, and stands in no control number
    sequence_key=None,
    stamp_keys={
        "publicacao": "dataPublicacaoPncp",
        "atualizacao": "dataAtualizacao",
        "atualizacao_global": "dataAtualizacaoGlobal",
    },
    listings={
        "vigencia": Listing("/api/consulta/v1/atas", "publicacao", in_force=True),
        "atualizacao": Listing("/api/consulta/v1/atas/atualizacao", "atualizacao_global"),
    },
    first_day="dataInicial",
    last_day="dataFinal",
    division=None,
    # The names are those of contratações, not those of contratos.
    filters={
        "idUsuario": ("Long", "usuario"),
        "cnpj": ("String", "cnpj"),
        "codigoUnidadeAdministrativa": ("String", "codigo_unidade"),
    },
    unordered_by=None,
    page_sizes=range(10, 501),
    default_page_size=500,  # from the manual; there is no recording
    empty_status=204,
    recordings=("atas", "atas-atualizacao"),
    spoiled={
        "text": "objetoContratacao",
        "nan": "anoAta",
        "huge_number": "anoAta",
        "wrong_type": "anoAta",
        "drifted_field": "numeroAtaRegistroPreco",
        "missing_key": "numeroControlePNCPAta",
    },
)
