"""Values of others become values as they are stored, or are refused with a code: door by door, type by type."""

import uuid
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from validate_docbr import CNPJ, CPF

from common.entities.declared import DeclaredColumn, from_json, to_json
from common.intake.documents import is_cnpj, is_cpf
from common.intake.faults import SENTENCES, CellFault, ValueRefused, as_written
from common.intake.values import Door, read

BANCO_DO_BRASIL = "00000000000191"
A_CNPJ, A_CPF = "00394460000141", "52998224725"
WITH_LETTERS = "12ABC34501DE35"
HUGE = 10**4000
DOORS: tuple[Door, ...] = ("json", "sheet", "sql")


def column(kind: Any, **more: Any) -> DeclaredColumn:
    return DeclaredColumn("x", kind, "X", **more)


def refused(kind: Any, raw: Any, door: Door, **more: Any) -> str:
    with pytest.raises(ValueRefused) as caught:
        read(column(kind, **more), raw, door=door)
    assert caught.value.message
    return caught.value.code


# --- of any type ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    "kind", ["text", "cnpj", "cpf", "cpf_cnpj", "control_number", "integer", "number", "boolean", "day", "moment"]
)
def test_nothing_is_null(kind: str, door: Door) -> None:
    assert read(column(kind), None, door=door) is None
    if door != "json":
        for blank in ("", " ", "\t\n", "\xa0", "\ufeff"):
            assert read(column(kind), blank, door=door) is None


@pytest.mark.parametrize("kind", ["text", "cnpj", "cpf", "cpf_cnpj", "integer", "number", "boolean", "day", "moment"])
def test_a_faulty_cell_is_refused_with_its_address(kind: str) -> None:
    for fault, code, message in (
        (CellFault("cell_error", "B8", "#DIV/0!"), "cell_error", "B8 tem erro (#DIV/0!)"),
        (CellFault("formula_without_value", "B6"), "formula_without_value", "B6: fórmula sem valor; salve no Excel"),
    ):
        with pytest.raises(ValueRefused, match=r"B[68]") as caught:
            read(column(kind), fault, door="sheet")
        assert (caught.value.code, caught.value.message) == (code, message)


@pytest.mark.parametrize("kind", ["text", "cnpj", "cpf", "integer", "number", "boolean", "day", "moment", "json"])
def test_what_only_databases_have_is_refused_with_a_reason(kind: str) -> None:
    assert refused(kind, b"\0\1", "sql") == "binary"
    assert refused(kind, memoryview(b"x"), "sql") == "binary"
    assert refused(kind, timedelta(hours=1), "sql") == "interval"


def test_every_sentence_has_both_languages_with_the_same_values() -> None:
    for code, sentences in SENTENCES.items():
        names = [sorted(part.split("}")[0] for part in sentence.split("{")[1:]) for sentence in sentences]
        assert names[0] == names[1], code


# --- texts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("door", "raw", "value"),
    [
        ("json", "  Arroz\ttipo 1 ", "Arroz\ttipo 1"),
        ("json", "", None),
        ("json", 123, "123"),
        ("json", 12345678901234567890123, "12345678901234567890123"),
        ("sheet", "00123", "00123"),
        ("sheet", 123.0, "123"),
        ("sheet", 123, "123"),
        ("sheet", 999_999_999_999_999.0, "999999999999999"),
        ("sheet", "1234567890123456789", "1234567890123456789"),
        ("sql", Decimal(7), "7"),
        ("sql", Decimal("1E+2"), "100"),
        ("sql", Decimal("1.50"), "1.5"),
        ("sql", 7.0, "7"),
        ("sql", uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ("sql", date(2026, 1, 2), "2026-01-02"),
        ("sql", datetime(2026, 1, 2, 3), "2026-01-02T03:00:00"),
        ("sql", "texto de um CLOB " * 100, ("texto de um CLOB " * 100).strip()),
    ],
)
def test_texts(door: Door, raw: Any, value: str | None) -> None:
    assert read(column("text"), raw, door=door) == value


@pytest.mark.parametrize(
    ("door", "raw", "code"),
    [
        ("json", 1.5, "not_text"),
        ("json", Decimal("1.0"), "not_text"),
        ("json", True, "not_text"),
        ("json", ["a"], "not_text"),
        ("json", {}, "not_text"),
        ("json", HUGE, "out_of_range"),
        ("json", "a\0b", "bad_character"),
        ("json", "a\ud800", "bad_character"),
        ("sheet", 1.5, "number_as_text"),
        ("sheet", 1.2345678901234567e19, "digits_lost"),
        ("sheet", 1e15, "digits_lost"),
        ("sheet", -1e15, "digits_lost"),
        ("sheet", float("inf"), "digits_lost"),
        ("sheet", float("nan"), "number_as_text"),
        ("sheet", "3,94460E+13", "scientific"),
        ("sheet", date(2026, 12, 1), "date_as_text"),
        ("sheet", True, "not_text"),
        ("sql", "a\0b", "bad_character"),
        ("sql", Decimal("NaN"), "not_text"),
        ("sql", True, "not_text"),
        ("sql", 1.5, "not_text"),
        ("sql", time(1), "not_text"),
    ],
)
def test_what_is_no_text(door: Door, raw: Any, code: str) -> None:
    assert refused("text", raw, door) == code


@pytest.mark.parametrize("door", DOORS)
def test_a_text_has_at_most_as_many_characters_as_its_column_says(door: Door) -> None:
    assert read(column("text", longest=3), " çãõ ", door=door) == "çãõ"
    assert refused("text", "çãõé", door, longest=3) == "too_long"
    assert refused("text", "x" * 100_001, door) == "too_long"


def test_a_value_is_one_of_those_that_are_listed_and_people_write_it_as_they_like() -> None:
    values = ("Concluída", "Em andamento")
    for door in DOORS:
        assert read(column("text", values=values), "Concluída", door=door) == "Concluída"
        assert refused("text", "Cancelada", door, values=values) == "not_listed"
    assert read(column("text", values=values), " CONCLUIDA ", door="sheet") == "Concluída"
    assert refused("text", "CONCLUIDA", "json", values=values) == "not_listed"
    assert refused("text", "A", "sheet", values=("a", "á")) == "not_listed"


# --- numbers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("1.234,56", "1234.56"),
        ("1234,56", "1234.56"),
        ("1234.56", "1234.56"),
        ("R$ 1.234,56", "1234.56"),
        ("R$1.234", "1234.00"),
        ("-R$ 1.234,56", "-1234.56"),
        ("R$ -1.234,56", "-1234.56"),
        ("(1.234,56)", "-1234.56"),
        ("\u2212 5", "-5.00"),
        ("+5", "5.00"),
        ("1.234.567", "1234567.00"),
        ("1,234,567", "1234567.00"),
        ("1,234.56", "1234.56"),
        ("1 234,56", "1234.56"),
        ("1\xa0234,5", "1234.50"),
        ("0.500", "0.50"),
        ("12,5", "12.50"),
        ("0", "0.00"),
        ("-0,001", "0.00"),
        ("0,005", "0.01"),
        ("1,005", "1.01"),
        ("-1,005", "-1.01"),
        (1.005, "1.01"),
        (0.1 + 0.2, "0.30"),
        (5.9, "5.90"),
        ("5.9", "5.90"),
        (7, "7.00"),
        (1e14, "100000000000000.00"),
        (-0.0, "0.00"),
    ],
)
def test_amounts_in_cells(raw: Any, value: str) -> None:
    found = read(column("number", decimals=2), raw, door="sheet")
    assert str(found) == value


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        ("1.234", "ambiguous_number"),
        ("1,23E+05", "scientific"),
        ("1e5", "scientific"),
        ("doze", "not_number"),
        ("12,5%", "not_number"),
        ("1.23.4", "not_number"),
        ("0.500,25", "not_number"),
        ("1,2,3", "not_number"),
        ("12,", "not_number"),
        ("٣", "not_number"),
        ("NaN", "not_number"),
        ("Infinity", "not_number"),
        ("0x10", "not_number"),
        ("1_000", "not_number"),
        ("9" * 41, "not_number"),
        ("9" * 21, "out_of_range"),
        (float("nan"), "not_number"),
        (float("inf"), "digits_lost"),
        (1.2345678901234567e19, "digits_lost"),
        (10**16, "digits_lost"),
        (True, "not_number"),
        (date(2026, 1, 1), "not_number"),
    ],
)
def test_what_is_no_amount(raw: Any, code: str) -> None:
    assert refused("number", raw, "sheet", decimals=2) == code


@pytest.mark.parametrize(
    ("door", "raw", "value"),
    [
        ("json", Decimal("0.10"), "0.1"),
        ("json", 12, "12"),
        ("json", Decimal("1E+2"), "100"),
        ("json", Decimal("12345678901234567890.12345678901234567890"), "12345678901234567890.1234567890123456789"),
        ("json", Decimal("-0"), "0"),
        ("json", 0.1, "0.1"),
        ("json", "12.10", "12.1"),
        ("json", "1.234", "1.234"),
        ("sql", Decimal("0.333333333333333333333333333"), "0.33333333333333333333"),
        ("sql", 0.1, "0.1"),
        ("sql", "12.5", "12.5"),
        ("sql", Decimal("1E-5000"), "0"),
    ],
)
def test_numbers_keep_their_digits_where_no_decimals_are_declared(door: Door, raw: Any, value: str) -> None:
    found = read(column("number"), raw, door=door)
    assert str(found) == value
    assert from_json(to_json({"x": found})) == {"x": Decimal(value)}


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        ("5,9", "not_number"),
        (" 5.9", "not_number"),
        ("1e5", "not_number"),
        ("1.234,56", "not_number"),
        ("", "not_number"),
        (True, "not_number"),
        (Decimal("NaN"), "not_number"),
        (float("inf"), "not_number"),
        (Decimal("1E+999999"), "out_of_range"),
        (HUGE, "out_of_range"),
        ([], "not_number"),
    ],
)
def test_pushed_numbers_are_numbers_or_texts_that_spell_one_with_a_point(raw: Any, code: str) -> None:
    assert refused("number", raw, "json") == code


@given(st.decimals(min_value=-(10**14), max_value=10**14, places=2))
def test_an_amount_is_the_same_however_a_brazilian_writes_it(amount: Decimal) -> None:
    plain = f"{abs(amount):,.2f}".replace(",", " ").replace(".", ",").replace(" ", ".")
    sign = "-" if amount < 0 else ""
    cents = column("number", decimals=2)
    for written in (f"{sign}{plain}", f"{sign}R$ {plain}", f"R$ {sign}{plain}", f"{amount:.2f}"):
        assert read(cents, written, door="sheet") == amount
    assert read(cents, amount, door="json") == read(cents, amount, door="sql") == amount


@given(st.integers(min_value=-(10**13), max_value=10**13))
def test_an_amount_in_a_cell_is_what_the_sheet_shows(cents: int) -> None:
    amount = Decimal(cents).scaleb(-2)
    assert read(column("number", decimals=2), float(amount), door="sheet") == amount


@pytest.mark.parametrize(
    ("door", "raw", "value"),
    [
        ("sheet", 2026.0, 2026),
        ("sheet", "2026", 2026),
        ("sheet", "1.234", 1234),
        ("sheet", "12,00", 12),
        ("sheet", " -5 ", -5),
        ("sheet", "9223372036854775807", 2**63 - 1),
        ("json", 2**63 - 1, 2**63 - 1),
        ("json", Decimal("5.0"), 5),
        ("json", -(2**63), -(2**63)),
        ("sql", Decimal(5), 5),
        ("sql", 5.0, 5),
    ],
)
def test_whole_numbers(door: Door, raw: Any, value: int) -> None:
    found = read(column("integer"), raw, door=door)
    assert (found, type(found)) == (value, int)


@pytest.mark.parametrize(
    ("door", "raw", "code"),
    [
        ("sheet", 1.5, "not_integer"),
        ("sheet", "1,5", "not_integer"),
        ("sheet", "um", "not_integer"),
        ("sheet", "1,2E+10", "scientific"),
        ("sheet", 1e15, "digits_lost"),
        ("sheet", "9223372036854775808", "out_of_range"),
        ("sheet", True, "not_integer"),
        ("json", "5", "not_integer"),
        ("json", True, "not_integer"),
        ("json", Decimal("5.5"), "not_integer"),
        ("json", 2**63, "out_of_range"),
        ("json", Decimal("1E+999999999"), "out_of_range"),
        ("json", Decimal("NaN"), "not_integer"),
        ("sql", Decimal("Infinity"), "not_integer"),
        ("sql", 2**64, "out_of_range"),
    ],
)
def test_what_is_no_whole_number(door: Door, raw: Any, code: str) -> None:
    assert refused("integer", raw, door) == code


# --- truth, days and moments ------------------------------------------------------------------------------------


def test_truth_is_what_people_write_for_it() -> None:
    yes = (True, 1, 1.0, "true", "VERDADEIRO", "Sim", "s", "1")
    no = (False, 0, 0.0, "false", "Falso", "NÃO", "nao", "n", "0")
    assert [read(column("boolean"), raw, door="sheet") for raw in yes] == [True] * len(yes)
    assert [read(column("boolean"), raw, door="sheet") for raw in no] == [False] * len(no)
    assert read(column("boolean"), Decimal(1), door="sql") is True
    assert read(column("boolean"), False, door="json") is False
    assert {refused("boolean", raw, "sheet") for raw in (2, "talvez", date(2026, 1, 1), "x")} == {"not_boolean"}
    assert {refused("boolean", raw, "json") for raw in (1, 0, "true", "")} == {"not_boolean"}


@pytest.mark.parametrize(
    ("door", "raw", "value"),
    [
        ("sheet", "31/12/2026", "2026-12-31"),
        ("sheet", "1/2/2026", "2026-02-01"),
        ("sheet", "01-02-2026", "2026-02-01"),
        ("sheet", "01.02.2026", "2026-02-01"),
        ("sheet", "2026-02-01", "2026-02-01"),
        ("sheet", "2026/02/01", "2026-02-01"),
        ("sheet", "31/12/2026 23:59", "2026-12-31"),
        ("sheet", "2027-01-01T02:00:00Z", "2026-12-31"),
        ("sheet", date(2026, 12, 31), "2026-12-31"),
        ("sheet", datetime(2026, 12, 31, 10, 0), "2026-12-31"),
        ("sql", datetime(2027, 1, 1, 2, tzinfo=UTC), "2026-12-31"),
        ("sql", date(2026, 12, 31), "2026-12-31"),
        ("json", "2026-12-31", "2026-12-31"),
    ],
)
def test_days(door: Door, raw: Any, value: str) -> None:
    assert read(column("day"), raw, door=door) == value


@pytest.mark.parametrize(
    ("door", "raw", "code"),
    [
        ("sheet", "31/02/2026", "not_day"),
        ("sheet", "12/31/2026", "not_day"),
        ("sheet", "31/12/26", "not_day"),
        ("sheet", "01/02-2026", "not_day"),
        ("sheet", "ontem", "not_day"),
        ("sheet", "01/02/0026", "unlikely_year"),
        ("sheet", date(1899, 12, 31), "unlikely_year"),
        ("sheet", 46387.0, "not_day"),
        ("sheet", time(10), "not_day"),
        ("json", "31/12/2026", "not_day"),
        ("json", "2026-12-31T00:00:00", "not_day"),
        ("json", "2026-02-30", "not_day"),
        ("json", 20261231, "not_day"),
    ],
)
def test_what_is_no_day(door: Door, raw: Any, code: str) -> None:
    assert refused("day", raw, door) == code


@pytest.mark.parametrize(
    ("door", "raw", "value"),
    [
        ("sheet", "31/12/2026 14:30", "2026-12-31T14:30:00"),
        ("sheet", "31/12/2026", "2026-12-31T00:00:00"),
        ("sheet", datetime(2026, 12, 31, 14, 30, 7), "2026-12-31T14:30:07"),
        ("sheet", date(2026, 12, 31), "2026-12-31T00:00:00"),
        ("json", "2026-12-31T14:30:00", "2026-12-31T14:30:00"),
        ("json", "2026-12-31T14:30:00.123456789", "2026-12-31T14:30:00.123456"),
        ("json", "2026-12-31T17:30:00Z", "2026-12-31T14:30:00"),
        ("json", "2026-12-31T17:30:00+00:00", "2026-12-31T14:30:00"),
        ("sql", datetime(2026, 12, 31, 17, 30, tzinfo=UTC), "2026-12-31T14:30:00"),
        ("sql", datetime(2026, 12, 31, 17, 30, 0, 5), "2026-12-31T17:30:00.000005"),
    ],
)
def test_moments_are_on_the_clock_of_brasilia(door: Door, raw: Any, value: str) -> None:
    assert read(column("moment"), raw, door=door) == value


@pytest.mark.parametrize("raw", ["2026-12-31", "2026-12-31 14:30:00", "31/12/2026 14:30", "2026-12-31T25:00:00", 5])
def test_pushed_moments_are_written_in_one_way(raw: Any) -> None:
    assert refused("moment", raw, "json") == "not_moment"


# --- numbers of persons and of the portal -----------------------------------------------------------------------


@settings(max_examples=30)
@given(st.booleans(), st.randoms(use_true_random=False))
def test_a_cnpj_is_valid_where_the_reference_says_so(has_letters: bool, random: Any) -> None:
    signs = "0123456789" + "ABCDEFGHIJKLMNOPQRSTUVWXYZ" * has_letters
    body = "".join(random.choice(signs) for _ in range(12))
    right = [f"{body}{digits:02}" for digits in range(100) if is_cnpj(f"{body}{digits:02}")]
    assert right == [f"{body}{digits:02}" for digits in range(100) if CNPJ().validate(f"{body}{digits:02}")]


@given(st.integers(min_value=0, max_value=10**9 - 1))
def test_a_cpf_is_valid_where_the_reference_says_so(body: int) -> None:
    right = [digits for digits in range(100) if is_cpf(f"{body:09}{digits:02}")]
    assert right == [digits for digits in range(100) if CPF().validate(f"{body:09}{digits:02}")]


def test_documents_of_equal_digits_are_never_issued() -> None:
    assert not any(is_cnpj(str(digit) * 14) or is_cpf(str(digit) * 11) for digit in range(10))


@pytest.mark.parametrize(
    ("kind", "door", "raw", "value"),
    [
        ("cnpj", "json", A_CNPJ, A_CNPJ),
        ("cnpj", "json", "00.394.460/0001-41", A_CNPJ),
        ("cnpj", "json", 394460000141, A_CNPJ),
        ("cnpj", "sheet", 394460000141.0, A_CNPJ),
        ("cnpj", "sheet", "394460000141", A_CNPJ),
        ("cnpj", "sheet", 191.0, BANCO_DO_BRASIL),
        ("cnpj", "sheet", "12.abc.345/01de-35", WITH_LETTERS),
        ("cnpj", "sql", Decimal(394460000141), A_CNPJ),
        ("cpf", "json", "529.982.247-25", A_CPF),
        ("cpf", "sheet", 52998224725.0, A_CPF),
        ("cpf", "sheet", 191.0, "00000000191"),
        ("cpf_cnpj", "sheet", "529.982.247-25", A_CPF),
        ("cpf_cnpj", "sheet", 52998224725.0, A_CPF),
        ("cpf_cnpj", "sheet", 394460000141.0, A_CNPJ),
        ("cpf_cnpj", "sheet", A_CNPJ, A_CNPJ),
        ("cpf_cnpj", "json", WITH_LETTERS, WITH_LETTERS),
        ("cpf_cnpj", "json", "00000000191", "00000000191"),
        ("cpf_cnpj", "sql", Decimal(52998224725), A_CPF),
    ],
)
def test_documents_are_stored_as_their_digits_with_the_zeros_that_numbers_lose(
    kind: str, door: Door, raw: Any, value: str
) -> None:
    assert read(column(kind), raw, door=door) == value


@pytest.mark.parametrize(
    ("kind", "door", "raw", "code"),
    [
        ("cnpj", "json", "394460000141", "not_cnpj"),
        ("cnpj", "json", "00394460000142", "check_digits"),
        ("cnpj", "sheet", 394460000142.0, "check_digits"),
        ("cnpj", "sheet", "3,94460E+11", "scientific"),
        ("cnpj", "sheet", A_CPF, "check_digits"),
        ("cnpj", "sheet", "isento", "not_cnpj"),
        ("cnpj", "sheet", -394460000141.0, "not_cnpj"),
        ("cnpj", "sheet", 1.5, "not_cnpj"),
        ("cnpj", "sheet", 1e15, "digits_lost"),
        ("cnpj", "json", True, "not_cnpj"),
        ("cnpj", "json", 1.0, "not_cnpj"),
        ("cnpj", "sheet", "٠٠٣٩٤٤٦٠٠٠٠١٤١", "not_cnpj"),
        ("cpf", "sheet", "***.982.247-**", "not_cpf"),
        ("cpf", "sheet", A_CNPJ, "not_cpf"),
        ("cpf", "json", "52998224726", "check_digits"),
        ("cpf_cnpj", "sheet", 191.0, "ambiguous_document"),
        ("cpf_cnpj", "json", "5299822472", "not_cpf_cnpj"),
        ("cpf_cnpj", "sheet", "52998224726", "check_digits"),
        ("cpf_cnpj", "json", {}, "not_cpf_cnpj"),
    ],
)
def test_what_is_no_document(kind: str, door: Door, raw: Any, code: str) -> None:
    assert refused(kind, raw, door) == code


def test_control_numbers_are_as_the_portal_writes_them() -> None:
    for written in (f"{A_CNPJ}-1-000082/2026", f"{A_CNPJ}-1-000082/2026-000001", f"{WITH_LETTERS}-2-000001/2026"):
        assert read(column("control_number"), f" {written.lower()} ", door="sheet") == written
    for raw in (f"{A_CNPJ}-1-82/2026", f"{A_CNPJ}/2026", 5, "x"):
        assert refused("control_number", raw, "json") == "not_control_number"


# --- JSON -------------------------------------------------------------------------------------------------------


def test_json_is_kept_as_it_is_with_its_numbers_exact() -> None:
    value = {"a": [1, Decimal("1.5"), None, True, "ã"], "b": {}}
    assert read(column("json"), value, door="json") == value
    assert read(column("json"), '{"a": 0.10}', door="sheet") == {"a": Decimal("0.1")}
    assert read(column("json"), [0.1], door="sql") == [Decimal("0.1")]
    assert read(column("json"), "texto", door="json") == "texto"


def nested(levels: int) -> Any:
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("door", "raw", "code"),
    [
        ("json", nested(1000), "too_deep"),
        ("sheet", "[" * 100_000, "too_deep"),
        ("sheet", "{'a': 1}", "not_json"),
        ("sheet", "[NaN]", "not_json"),
        ("json", ["a\0"], "bad_character"),
        ("json", {"a\ud800": 1}, "bad_character"),
        ("json", [float("nan")], "not_number"),
        ("json", [Decimal("1E+999999")], "out_of_range"),
        ("json", [HUGE], "out_of_range"),
        ("json", "x" * 1_100_000, "too_long"),
        ("sql", {1: 2}, "not_json"),
    ],
)
def test_json_that_cannot_be_stored(door: Door, raw: Any, code: str) -> None:
    assert refused("json", raw, door) == code


# --- what faults show -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "is_personal", "shown"),
    [
        (None, False, ""),
        ("x" * 200, False, "x" * 100),
        (f"de {A_CPF}", False, "de ***.982.247-**"),
        ("x" * 95 + " " + A_CPF, False, "x" * 95 + " ***."),
        (52998224726.0, True, "***.982.247-**"),
        ("52998224726", False, "52998224726"),
        (191.0, True, "***.000.001-**"),
        (394460000141.0, True, "394460000141"),
        ("a\0\ud800b", False, "a��b"),
        (HUGE, False, "…"),
        (b"\0\1", False, "…"),
        (True, False, "verdadeiro"),
        (Decimal("1.50"), False, "1.50"),
        (datetime(2026, 1, 2, 3), False, "2026-01-02T03:00:00"),
        (CellFault("cell_error", "B8", "#N/A"), False, "#N/A"),
        (1e300, False, "1e+300"),
    ],
)
def test_a_fault_shows_the_value_shortened_without_cpfs(raw: Any, is_personal: bool, shown: str) -> None:
    assert as_written(raw, is_personal=is_personal) == shown


@given(
    st.sampled_from(
        ["text", "integer", "number", "boolean", "day", "moment", "json", "cnpj", "cpf", "cpf_cnpj", "control_number"]
    ),
    st.sampled_from(DOORS),
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.decimals(),
        st.text(),
        st.from_regex(r"[-+(R$ 0-9.,/:TZE)]{0,30}"),
        st.binary(max_size=5),
        st.dates(),
        st.datetimes(),
        st.times(),
        st.timedeltas(),
        st.recursive(st.floats() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)),
    ),
)
def test_whatever_comes_is_stored_or_refused(kind: str, door: Door, raw: Any) -> None:
    with suppress(ValueRefused):
        value = read(column(kind), raw, door=door)
        stored = to_json({"x": value})
        assert "\\u0000" not in stored
        assert from_json(stored) == {"x": value}
    assert len(as_written(raw, is_personal=True)) <= 100
