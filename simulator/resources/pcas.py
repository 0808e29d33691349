"""PCAs, the annual plans of what a public body means to buy, with their items."""

from datetime import date
from typing import Final

from simulator.resources.description import Listing, Resource

PCAS: Final = Resource(
    name="pcas",
    digit=0,
    key_name="idPcaPncp",
    year_key="anoPca",
    sequence_key=None,
    # Both end in capitals, other than in every other resource.
    stamp_keys={"publicacao": "dataPublicacaoPNCP", "atualizacao_global": "dataAtualizacaoGlobalPCA"},
    listings={"atualizacao": Listing("/api/consulta/v1/pca/atualizacao", "atualizacao_global")},
    first_day="dataInicio",
    last_day="dataFim",
    last_day_excluded=True,
    earliest=date(2021, 4, 1),
    division=None,
    filters={"cnpj": ("String", "cnpj"), "codigoUnidade": ("String", "codigo_unidade")},
    needs={"codigoUnidade": "cnpj"},
    unordered_by=None,
    page_sizes=range(10, 501),  # of items: a plan goes on from page to page
    default_page_size=500,  # from the manual; there is no recording
    empty_status=200,
    recordings=("pca", "pca-atualizacao"),
    spoiled={
        "text": "nomeUnidade",
        "nan": "anoPca",
        "huge_number": "anoPca",
        "wrong_type": "anoPca",
        "drifted_field": "codigoUnidade",
        "missing_key": "idPcaPncp",
    },
)
