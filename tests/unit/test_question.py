"""What a reader asks, as conditions."""

import pytest

from backend.services.entities.question import parse_question
from common.entities.entity import of_resource
from common.resources.contratos import CONTRATOS


@pytest.mark.parametrize(
    ("parameters", "condition", "values"),
    [
        ([("uf", "SP")], "e.unidade_orgao_uf_sigla = $1", ["SP"]),
        ([("uf", "SP,MG")], "e.unidade_orgao_uf_sigla = ANY($1)", [["SP", "MG"]]),
        ([("uf", "SP"), ("uf", "MG")], "e.unidade_orgao_uf_sigla = ANY($1)", [["SP", "MG"]]),
        ([("tipo_contrato", "7"), ("receita", "nao")], "e.tipo_contrato_id = $1 AND e.receita = $2", [7, False]),
    ],
)
def test_one_value_is_compared_as_one_so_that_an_index_gives_the_order_of_its_second_column(
    parameters: list[tuple[str, str]], condition: str, values: list[object]
) -> None:
    where = parse_question(of_resource(CONTRATOS), parameters).where()

    assert where.sql == f" WHERE {condition}"
    assert where.values == values
