"""Which columns of a source are which of an entity, and what fits them; values of keys as they are kept."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from common.connections.secrets import SecretText
from common.connections.settings import Source, SourceEntity
from common.entities.declared import Declaration, DeclaredColumn
from ingestor.intake import foreign
from ingestor.intake.columns import ForeignColumn, check_types, news, shape_of
from ingestor.intake.cursors import beyond, moment_of, since_of
from ingestor.intake.faults import SourceChanged, SourceMisconfigured
from ingestor.intake.foreign import ForeignDatabase
from ingestor.intake.sources import decode, encode, plan_digest

COLUMNS = {
    "codigo": DeclaredColumn("codigo", "integer", "Código"),
    "nome": DeclaredColumn("nome", "text", "Nome", is_required=True),
    "preco": DeclaredColumn("preco", "number", "Preço"),
    "dia": DeclaredColumn("dia", "day", "Dia"),
}
PRODUTOS = Declaration("produtos", "Produtos", ("codigo",), COLUMNS)


def read(cursor: str | None = None, **names: str) -> SourceEntity:
    known = {"codigo": "SEQ", **names}
    return SourceEntity(PRODUTOS, "T", None, ("SEQ",), known, cursor, timedelta(0), 1000, "keyset")


def found(*names: str) -> list[ForeignColumn]:
    return [ForeignColumn(name, "text") for name in names]


def test_names_are_found_by_their_letters_and_only_what_is_needed_is_selected() -> None:
    shape = shape_of(read("DTA"), found("SEQ", "NOME", "DTA", "OUTRA", "Preco"), {})
    assert (shape.columns, shape.key, shape.cursor) == (("SEQ", "DTA", "NOME", "Preco"), ("SEQ",), "DTA")
    row = (7, "hoje", "Arroz", 5)
    assert shape.cells_of(row) == {"codigo": 7, "nome": "Arroz", "preco": 5}
    assert shape.order_of(row, by_cursor=True) == ("hoje", 7)
    assert shape.order_of(row, by_cursor=False) == (7,)


def test_an_exact_name_goes_first_and_two_alike_are_told() -> None:
    assert shape_of(read(nome="Nome"), found("SEQ", "NOME", "Nome"), {}).columns == ("SEQ", "Nome")
    with pytest.raises(SourceChanged, match="mais de uma coluna `nome`: NOME, Nome"):
        shape_of(read(), found("SEQ", "NOME", "Nome"), {})


@pytest.mark.parametrize(
    ("entity", "columns", "known", "said"),
    [
        (read(), ("NOME",), {}, "`SEQ`"),
        (read(), ("SEQ",), {}, "`nome`"),
        (read(preco="VALOR"), ("SEQ", "NOME"), {}, "`VALOR`"),
        (read("DTA"), ("SEQ", "NOME"), {}, "`DTA`"),
        (read(), ("SEQ", "NOME"), {"SEQ": "", "NOME": "", "PRECO": ""}, "`preco`"),
    ],
)
def test_a_column_that_is_gone_is_named(
    entity: SourceEntity, columns: tuple[str, ...], known: dict[str, str], said: str
) -> None:
    with pytest.raises(SourceChanged, match=said):
        shape_of(entity, found(*columns), known)


def test_a_column_that_was_never_there_is_not_read() -> None:
    assert set(shape_of(read(), found("SEQ", "NOME"), {"SEQ": "", "NOME": ""}).places) == {"codigo", "nome"}


def test_new_and_retyped_columns_are_told() -> None:
    assert news(found("A", "B", "C"), {"A": "text", "B": "int8"}) == (["C"], ["B"])


@pytest.mark.parametrize(
    ("column", "values", "fits"),
    [
        ("PRECO", [Decimal(1), None], True),
        ("PRECO", ["12,5"], True),
        ("PRECO", [datetime(2026, 1, 1)], False),
        ("PRECO", [b"1"], False),
        ("NOME", [b"x", "y"], True),
        ("NOME", [b"x", None, b"y"], False),
        ("NOME", [timedelta(1)], False),
        ("NOME", [time(1)], False),
        ("NOME", [7], True),
        ("NOME", [{"a": 1}], False),
        ("DIA", [20260101], False),
        ("DIA", [date(2026, 1, 1)], True),
        ("DIA", [None, None], True),
        ("SEQ", [UUID(int=1)], False),
    ],
)
def test_types_that_cannot_be_those_of_a_column_are_told(column: str, values: list[Any], fits: bool) -> None:
    shape = shape_of(read(), found("SEQ", "NOME", "PRECO", "DIA"), {})
    place = shape.columns.index(column)
    rows = [tuple(value if number == place else None for number in range(4)) for value in values]
    if fits:
        check_types(shape, rows)
        return
    with pytest.raises(SourceChanged, match=f"`{column}` traz valores do tipo {type(values[0]).__name__}"):
        check_types(shape, rows)


@pytest.mark.parametrize(
    "value",
    [
        7,
        -(2**70),
        "a/b' \x7f é",
        "",
        Decimal("1.10"),
        date(2026, 2, 28),
        datetime(2026, 2, 28, 10, 0, 0, 5),
        datetime(2026, 2, 28, 10, tzinfo=UTC),
        UUID(int=5),
    ],
)
def test_values_of_keys_are_kept_with_their_types(value: Any) -> None:
    kept = decode(encode(value))
    assert (kept, type(kept)) == (value, type(value))


@pytest.mark.parametrize("value", [1.5, True, b"x", None, [1]])
def test_values_that_do_not_order_pages_are_refused(value: Any) -> None:
    with pytest.raises(SourceChanged, match=type(value).__name__):
        encode(value)


def test_how_an_entity_is_read_is_another_one_only_where_what_is_read_may_differ() -> None:
    same = SourceEntity(PRODUTOS, "T", None, ("SEQ",), {"codigo": "SEQ"}, None, timedelta(9), 7, "keyset")
    assert plan_digest(read()) == plan_digest(same)
    assert plan_digest(read()) != plan_digest(read("DTA"))
    assert plan_digest(read()) != plan_digest(read(nome="N"))


@pytest.mark.parametrize(
    ("value", "bound"),
    [
        (datetime(2026, 3, 1, 9), None),
        (datetime(2026, 3, 1, 11), datetime(2026, 3, 1, 10)),
        (datetime(2026, 3, 1, 14, tzinfo=UTC), datetime(2026, 3, 1, 13, tzinfo=UTC)),
        (date(2026, 3, 1), None),
        (date(2199, 1, 1), date(2026, 3, 1)),
        ("2026-03-01 09:00:00", None),
        ("2199-01-01 09:00:00", "2026-03-01 10:00:00"),
        ("2199-01-01", "2026-03-01"),
        (7, None),
        (None, None),
    ],
)
def test_a_cursor_beyond_tomorrow_is_a_slip(value: Any, bound: Any) -> None:
    assert beyond(value, datetime(2026, 3, 1, 13, tzinfo=UTC)) == bound


def test_a_missing_driver_is_told_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(foreign.PACKAGES, "oracle", ("no_such_driver", "oracledb"))
    source = Source("erp", b"", SecretText("oracle://h/x"), "", None, 60.0, 0.2, ())
    with pytest.raises(SourceMisconfigured, match="pip install 'oracledb'"):
        foreign._url_of(source)
    assert ForeignDatabase(source).dialect == ""


@pytest.mark.parametrize(
    ("cursor", "since"),
    [
        (datetime(2026, 3, 1, 0, 10), datetime(2026, 2, 28, 23, 55)),
        (date(2026, 3, 1), date(2026, 3, 1)),
        ("2026-03-01 00:10:00", "2026-02-28 23:55:00"),
        ("2026-03-01T00:10", "2026-02-28T23:55"),
        ("2026-03-01T00:10:00.500", "2026-02-28T23:55:00.500"),
        ("2026-03-01", "2026-02-28"),
        (7, 7),
        (Decimal(7), Decimal(7)),
    ],
)
def test_changes_are_read_from_a_little_before_the_cursor_on(cursor: Any, since: Any) -> None:
    assert since_of(cursor, timedelta(minutes=15)) == since


@pytest.mark.parametrize("written", ["", "x", "01/03/2026", "20260301T101010", "2026-03-01T00:10:00Z", "2026-02-30"])
def test_a_text_that_is_no_moment_is_no_cursor(written: str) -> None:
    assert moment_of(written) is None
