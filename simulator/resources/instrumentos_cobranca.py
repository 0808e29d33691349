"""Instrumentos de cobrança: the invoices by which a supplier asks for the money of a contrato."""

from typing import Final

from simulator.resources.description import Listing, Resource

INSTRUMENTOS_COBRANCA: Final = Resource(
    name="instrumentos_cobranca",
    digit=2,  # the portal gives them no number: ours is that of the contrato, and one more part
    numbered=True,
    key_name=None,
    key_parts=("cnpj", "sequencialContrato", "ano", "sequencialInstrumentoCobranca"),
    year_key="ano",
    sequence_key="sequencialContrato",
    stamp_keys={"publicacao": "dataInclusao", "atualizacao": "dataAtualizacao"},
    listings={"inclusao": Listing("/api/consulta/v1/instrumentoscobranca/inclusao", "publicacao")},
    first_day="dataInicial",
    last_day="dataFinal",
    division=None,
    filters={"tipoInstrumentoCobranca": ("Long", "tipo"), "cnpjOrgao": ("String", "cnpj")},
    unordered_by=None,
    repeats=True,  # of 215,382 rows 35,919 were the same as another
    page_sizes=range(10, 101),
    default_page_size=100,  # there is no recording
    empty_status=404,
    empty_message="Nenhum instrumento de Cobrança encontrado.",
    recordings=("instrumentoscobranca",),
    spoiled={
        "text": "observacao",
        "nan": "fonteNFe",
        "huge_number": "fonteNFe",
        "wrong_type": "fonteNFe",
        "drifted_field": "numeroInstrumentoCobranca",
        "missing_key": "sequencialInstrumentoCobranca",
    },
)
