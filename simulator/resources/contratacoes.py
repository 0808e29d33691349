"""Contratações: what a public body sets out to buy."""

from typing import Final

from simulator.resources.description import Listing, Resource

CONTRATACOES: Final = Resource(
    name="contratacoes",
    digit=1,
    key_name="numeroControlePNCP",
    year_key="anoCompra",
    sequence_key="sequencialCompra",
    stamp_keys={
        "publicacao": "dataPublicacaoPncp",
        "atualizacao": "dataAtualizacao",
        "atualizacao_global": "dataAtualizacaoGlobal",
    },
    listings={
        "publicacao": Listing("/api/consulta/v1/contratacoes/publicacao", "publicacao"),
        "atualizacao": Listing("/api/consulta/v1/contratacoes/atualizacao", "atualizacao_global"),
    },
    first_day="dataInicial",
    last_day="dataFinal",
    division="codigoModalidadeContratacao",
    filters={
        "codigoModoDisputa": ("Long", "modo_disputa"),
        "uf": ("String", "uf"),
        "codigoMunicipioIbge": ("String", "codigo_ibge"),
        "cnpj": ("String", "cnpj"),
        "codigoUnidadeAdministrativa": ("String", "codigo_unidade"),
    },
    unordered_by=None,
    page_sizes=range(10, 51),
    default_page_size=10,
    empty_status=204,
    recordings=("contratacoes-publicacao", "contratacoes-atualizacao"),
    spoiled={
        "text": "objetoCompra",
        "nan": "valorTotalEstimado",
        "huge_number": "valorTotalEstimado",
        "wrong_type": "valorTotalEstimado",
        "drifted_field": "processo",
        "missing_key": "numeroControlePNCP",
    },
)
