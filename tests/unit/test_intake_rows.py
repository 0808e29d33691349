"""Rows become rows of entities by a layout: headers, constants, defaults, maps, keys, and what is left out."""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from common.connections.loading import check_connections, load_connections, no_connections
from common.connections.settings import Layout
from common.intake.faults import CellFault
from common.intake.rows import Headers, Reader, cells_of
from common.lifecycle.imports import StagedRow

LAYOUTS = no_connections().layouts
COMPRAS, ITENS = LAYOUTS["compras"], LAYOUTS["itens_compra"]
CNPJ, CPF = "00394460000141", "52998224725"
VENDAS = """
label: Vendas
into:
  - entity: fornecedores_proprios
    fields: {documento: CNPJ, nome: Fornecedor, uf: {from: UF, default: RS}}
  - entity: produtos
    fields: {codigo: Produto, descricao: Produto, unidade: {const: UN}}
  - entity: compras
    fields:
      numero: Compra
      orgao_cnpj: {const: "00394460000141"}
      fornecedor: CNPJ
      objeto: Objeto
      situacao: {from: Status, map: {A: aberta, Concluído: encerrada}, default: aberta}
  - entity: itens_compra
    fields: {compra: Compra, item: Item, produto: Produto, quantidade: Qtd}
"""


@pytest.fixture
def vendas(tmp_path: Path) -> Layout:
    folder = tmp_path / "layouts"
    folder.mkdir()
    (folder / "vendas.yaml").write_text(VENDAS)
    return load_connections(tmp_path).layouts["vendas"]


def read_one(layout: Layout, cells: Mapping[str, Any], *, door: Any = "json") -> StagedRow:
    reader = Reader(layout, door=door)
    reader.bind(cells)
    (row,) = reader.read(7, cells)
    return row


def codes(row: StagedRow) -> list[tuple[str, str]]:
    return [(error.column, error.code) for error in row.errors]


# --- headers ----------------------------------------------------------------------------------------------------


def test_headers_of_a_sheet_are_names_or_labels_without_accents_case_and_punctuation() -> None:
    headers = ["NUMERO", "cnpj do orgao", "Número_de controle da contratação (no PNCP)", "  valor-estimado ", "Obs."]
    reader = Reader(COMPRAS, door="sheet")
    assert reader.bind(headers) == Headers(unknown=("Obs.",))
    values = ["C1", 394460000141.0, f"{CNPJ}-1-000082/2026", "1.234,50", "nada"]
    (row,) = reader.read(2, cells_of(headers, values))
    assert row == StagedRow(
        2,
        "compras",
        "C1",
        {
            "numero": "C1",
            "orgao_cnpj": CNPJ,
            "numero_controle_pncp": f"{CNPJ}-1-000082/2026",
            "valor_estimado": Decimal("1234.50"),
        },
    )


def test_missing_and_repeated_headers_are_told() -> None:
    found = Reader(COMPRAS, door="sheet").bind(["Objeto", "objeto ", "CNPJ do órgão", "orgao_cnpj"])
    assert found == Headers(missing=("numero",), repeated=("objeto ", "orgao_cnpj"))
    assert Reader(ITENS, door="sheet").bind([]).missing == ("compra", "item")


def test_members_of_pushed_objects_have_the_exact_names() -> None:
    found = Reader(COMPRAS, door="json").bind(["numero", "Orgao_CNPJ", "CNPJ do órgão"])
    assert found == Headers(unknown=("Orgao_CNPJ", "CNPJ do órgão"), missing=("orgao_cnpj",))


def test_without_being_bound_a_reader_takes_the_names_of_its_layout() -> None:
    (row,) = Reader(COMPRAS, door="json").read(0, {"numero": "C1", "orgao_cnpj": CNPJ, "x": 1})
    assert row.data == {"numero": "C1", "orgao_cnpj": CNPJ}


def test_headers_of_signs_alone_are_told_apart() -> None:
    assert Reader(COMPRAS, door="sheet").bind(["#", "%"]).unknown == ("#", "%")


# --- rows -------------------------------------------------------------------------------------------------------


def test_faults_have_the_header_the_value_a_code_and_a_sentence() -> None:
    headers = [
        "Número da compra no sistema próprio",
        "CNPJ do órgão",
        "Ano da compra no PNCP",
        "CPF ou CNPJ do fornecedor",
    ]
    reader = Reader(COMPRAS, door="sheet")
    reader.bind(headers)
    (row,) = reader.read(
        8, cells_of(headers, ["C1", 394460000142.0, CellFault("cell_error", "C8", "#N/D"), "52998224726"])
    )
    assert (row.row, row.key, row.data) == (8, "C1", None)
    assert [(each.column, each.value, each.code) for each in row.errors] == [
        ("CNPJ do órgão", "394460000142", "check_digits"),
        ("Ano da compra no PNCP", "#N/D", "cell_error"),
        ("CPF ou CNPJ do fornecedor", "***.982.247-**", "check_digits"),
    ]
    assert row.errors[1].message == "C8 tem erro (#N/D)"


def test_required_values_and_absent_ones() -> None:
    row = read_one(COMPRAS, {"numero": "C1", "objeto": None, "ano": None})
    assert (codes(row), row.key) == ([("orgao_cnpj", "required")], "C1")
    row = read_one(COMPRAS, {"orgao_cnpj": CNPJ, "numero": " "})
    assert (codes(row), row.key) == ([("numero", "required")], None)
    assert read_one(COMPRAS, {"numero": "C1", "orgao_cnpj": CNPJ, "objeto": " "}).data == {
        "numero": "C1",
        "orgao_cnpj": CNPJ,
    }


def test_an_empty_row_of_a_sheet_is_skipped_and_an_empty_object_is_not() -> None:
    reader = Reader(COMPRAS, door="sheet")
    headers = ["numero", "orgao_cnpj", "x"]
    reader.bind(headers)
    assert reader.read(3, cells_of(headers, [None, " ", "\xa0"])) == []
    assert [each.key for each in reader.read(3, cells_of(headers, [None, None, "total"]))] == [None]
    assert len(Reader(COMPRAS, door="json").read(0, {})) == 1
    assert len(Reader(COMPRAS, door="sql").read(0, {})) == 1


def test_a_composite_key_has_a_slash_in_its_first_part_alone() -> None:
    assert read_one(ITENS, {"compra": "12/2026", "item": 3}).key == "12/2026/3"
    assert read_one(ITENS, {"compra": "12", "item": 3}, door="sql").data == {"compra": "12", "item": 3}


def test_a_slash_in_a_later_part_and_a_long_key_are_refused(tmp_path: Path) -> None:
    (tmp_path / "entities").mkdir()
    (tmp_path / "entities" / "lotes.yaml").write_text("key: [a, b]\ncolumns: {a: text, b: text}\n")
    lotes = load_connections(tmp_path).layouts["lotes"]
    row = read_one(lotes, {"a": "1/2", "b": "3/4"})
    assert (row.key, codes(row), row.errors[0].value) == (None, [("b", "key_separator")], "1/2/3/4")
    assert codes(read_one(lotes, {"a": "a", "b": "b" * 499})) == [("b", "key_too_long")]
    assert read_one(lotes, {"a": "a", "b": "b" * 498}).key == f"a/{'b' * 498}"


def test_the_number_of_a_person_in_a_key_that_is_too_long_is_masked(tmp_path: Path) -> None:
    (tmp_path / "entities").mkdir()
    (tmp_path / "entities" / "x.yaml").write_text("key: [quem, b]\ncolumns: {quem: cpf, b: text}\n")
    row = read_one(load_connections(tmp_path).layouts["x"], {"quem": CPF, "b": "a/b"})
    assert row.errors[0].value == "***.982.247-**/a/b"


# --- layouts of several entities --------------------------------------------------------------------------------


def rows_of(layout: Layout, door: Any = "sheet", **cells: Any) -> dict[str, StagedRow]:
    headers = ["CNPJ", "Fornecedor", "UF", "Produto", "Compra", "Objeto", "Status", "Item", "Qtd"]
    reader = Reader(layout, door=door)
    assert reader.bind(headers) == Headers()
    return {each.entity: each for each in reader.read(2, {name: cells.get(name) for name in headers})}


def test_one_row_is_a_record_of_each_entity_with_constants_defaults_and_maps(vendas: Layout) -> None:
    found = rows_of(
        vendas, CNPJ=CNPJ, Fornecedor="Ltda", Produto="P1", Compra="C1", Status="concluido", Item=1.0, Qtd=2.0
    )
    assert {name: row.data for name, row in found.items()} == {
        "fornecedores_proprios": {"documento": CNPJ, "nome": "Ltda", "uf": "RS"},
        "produtos": {"codigo": "P1", "descricao": "P1", "unidade": "UN"},
        "compras": {"numero": "C1", "orgao_cnpj": CNPJ, "fornecedor": CNPJ, "situacao": "encerrada"},
        "itens_compra": {"compra": "C1", "item": 1, "produto": "P1", "quantidade": Decimal("2.0000")},
    }
    assert all(row.errors == () and row.row == 2 for row in found.values())


def test_an_entity_of_which_a_row_has_nothing_is_left_out(vendas: Layout) -> None:
    assert rows_of(vendas, Compra="C1", Objeto="Papel").keys() == {"compras"}
    assert rows_of(vendas, Compra="C1", Item=1.0, Produto="P1").keys() == {"produtos", "compras", "itens_compra"}


def test_an_entity_of_which_a_row_has_only_what_others_have_too_is_left_out(vendas: Layout) -> None:
    found = rows_of(vendas, CNPJ=CNPJ, Compra="C1", Objeto="Papel")
    assert found.keys() == {"compras"}
    assert found["compras"].errors == ()


def test_an_entity_that_has_a_cell_of_its_own_and_lacks_a_required_one_is_rejected(vendas: Layout) -> None:
    found = rows_of(vendas, CNPJ=CNPJ, UF="SC", Compra="C1", Qtd=5.0, Objeto="Papel")
    assert codes(found["fornecedores_proprios"]) == [("Fornecedor", "required")]
    assert codes(found["itens_compra"]) == [("Item", "required")]
    assert found["compras"].errors == ()


def test_a_row_of_which_nothing_would_be_left_is_rejected(vendas: Layout) -> None:
    found = rows_of(vendas, CNPJ=CNPJ)
    assert {name: codes(row) for name, row in found.items()} == {
        "fornecedores_proprios": [("Fornecedor", "required")],
        "compras": [("Compra", "required")],
    }


def test_a_row_with_cells_under_unknown_headers_alone_is_rejected_once(vendas: Layout) -> None:
    reader = Reader(vendas, door="sheet")
    reader.bind(["CNPJ", "Fornecedor", "Produto", "Compra", "Item", "Total"])
    rows = reader.read(9, {"Total": "soma"})
    assert [(row.entity, codes(row)[0]) for row in rows] == [("fornecedores_proprios", ("CNPJ", "required"))]
    assert reader.read(9, {"Total": None}) == []


def test_a_faulty_cell_is_no_reason_to_leave_an_entity_out(vendas: Layout) -> None:
    found = rows_of(vendas, Compra="C1", Objeto="Papel", Fornecedor=CellFault("formula_without_value", "B2"))
    assert codes(found["fornecedores_proprios"]) == [("CNPJ", "required"), ("Fornecedor", "formula_without_value")]


def test_a_value_that_a_map_lacks_is_refused_and_an_empty_one_has_the_default(vendas: Layout) -> None:
    assert codes(rows_of(vendas, Compra="C1", Status="Z")["compras"]) == [("Status", "not_mapped")]
    assert rows_of(vendas, Compra="C1", Status=" ")["compras"].data == {
        "numero": "C1",
        "orgao_cnpj": CNPJ,
        "situacao": "aberta",
    }
    assert codes(rows_of(vendas, door="json", Compra="C1", Status="a")["compras"]) == [("Status", "not_mapped")]


def test_required_headers_are_those_without_constant_and_default(vendas: Layout) -> None:
    assert Reader(vendas, door="sheet").bind(["Compra"]).missing == ("CNPJ", "Fornecedor", "Produto", "Item")


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("orgao_cnpj: {const: '00394460000142'}", "`orgao_cnpj` não aceita `00394460000142`: os dígitos"),
        ("orgao_cnpj: CNPJ, ano: {from: Ano, default: x}", "`ano` não aceita `x`: esperava um número inteiro"),
        ("orgao_cnpj: CNPJ, ano: {from: Ano, map: {A: '1,5'}}", "`ano` não aceita `1,5`: esperava um número inteiro"),
        ("orgao_cnpj: CNPJ, cor: Cor", "`compras` não tem a coluna `cor`"),
    ],
)
def test_what_a_layout_gives_a_column_is_checked_with_its_file(tmp_path: Path, field: str, message: str) -> None:
    (tmp_path / "layouts").mkdir()
    layout = f"into:\n  - entity: compras\n    fields: {{numero: N, {field}}}\n"
    (tmp_path / "layouts" / "x.yaml").write_text(layout)
    _, faults = check_connections(tmp_path)
    (fault,) = faults
    assert fault.message.startswith(message)
