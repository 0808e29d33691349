"""A CPF is masked where it stands for a natural person, and nothing else is."""

import io
import json
import logging
from typing import Any

import pytest
import structlog

from common.logs import configure_logging
from common.masking import mask_fields, mask_ni, mask_numbers, mask_text
from common.resources import PERSONAL, RESOURCES
from common.resources.parties import PARTIES

CPF, MASKED = "52998224725", "***.982.247-**"
PUNCTUATED = "529.982.247-25"
NO_CPF = "52998224726"
CNPJ = "12345678000190"


@pytest.mark.parametrize("number", [CPF, PUNCTUATED, f" {CPF} "])
@pytest.mark.parametrize("kind", ["PF", None, "", "PE", "PJ"])
def test_a_cpf_is_masked_whatever_kind_of_person_it_is_given(kind: str | None, number: str) -> None:
    assert mask_ni(kind, number) == MASKED


@pytest.mark.parametrize(
    ("kind", "shown"), [("PF", "***.982.247-**"), (None, "***.982.247-**"), ("PE", NO_CPF), ("PJ", NO_CPF)]
)
def test_eleven_digits_that_are_no_cpf_are_masked_of_a_natural_person(kind: str | None, shown: str) -> None:
    assert mask_ni(kind, NO_CPF) == shown


@pytest.mark.parametrize(
    "number", [CNPJ, "12.345.678/0001-90", "AXON INC", "SA-5122", "", "1234567890", "123456789012"]
)
@pytest.mark.parametrize("kind", ["PF", "PJ", "PE", None])
def test_what_has_not_eleven_digits_is_shown(kind: str | None, number: str) -> None:
    assert mask_ni(kind, number) == number


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"JOSE DA SILVA {CPF}", f"JOSE DA SILVA {MASKED}"),
        (f'{{"ni":"{CPF}"}}, {PUNCTUATED}.', f'{{"ni":"{MASKED}"}}, {MASKED}.'),
        (f"CPF.{CPF}/2024, nº{CPF}, MARIA{PUNCTUATED}", f"CPF.{MASKED}/2024, nº{MASKED}, MARIA{MASKED}"),
        (f"{CNPJ} {CPF}0 {NO_CPF} 0.{CPF} 03112386000111-2-000082/2024", None),
    ],
)
def test_in_a_text_cpfs_are_masked_and_other_numbers_are_not(text: str, shown: str | None) -> None:
    assert mask_text(text) == (shown or text)


def test_an_example_of_a_personal_field_loses_all_that_looks_like_one() -> None:
    assert mask_numbers(f'[{NO_CPF}, "{CNPJ}"]') == f'[***.982.247-**, "{CNPJ}"]'


RECORD: dict[str, Any] = {
    "tipoPessoa": "PF",
    "niFornecedor": NO_CPF,
    "nomeRazaoSocialFornecedor": f"MARIA {CPF}",
    "tipoPessoaSubContratada": "PJ",
    "niFornecedorSubContratado": CNPJ,
    "processo": CPF,
    "valorGlobal": 1.5,
    "recuperarContratoDTO": {"itens": [{"tipoPessoa": "PF", "niFornecedor": int(CPF), "ok": True}, 1, None]},
}


def test_the_personal_fields_of_a_record_are_masked_however_deep_they_stand() -> None:
    assert mask_fields(RECORD, PERSONAL) == RECORD | {
        "niFornecedor": "***.982.247-**",
        "nomeRazaoSocialFornecedor": f"MARIA {MASKED}",
        "recuperarContratoDTO": {"itens": [{"tipoPessoa": "PF", "niFornecedor": MASKED, "ok": True}, 1, None]},
    }


def test_a_row_is_masked_by_the_names_of_its_columns() -> None:
    row = {"tipo_pessoa": "PF", "ni_fornecedor": NO_CPF, "processo": CPF}
    assert mask_fields(row, PERSONAL) == row | {"ni_fornecedor": "***.982.247-**"}
    row = {"tipo_pessoa": "PE", "ni": NO_CPF, "payload": {"tipoPessoa": "PF", "ni": NO_CPF}}
    assert mask_fields(row, PERSONAL) == row | {"payload": {"tipoPessoa": "PF", "ni": "***.982.247-**"}}


def test_a_cpf_that_is_a_number_and_begins_with_a_zero_is_masked() -> None:
    assert mask_fields({"niFornecedor": 191}, PERSONAL) == {"niFornecedor": "***.000.001-**"}


def test_the_number_and_the_name_of_every_party_of_any_kind_are_personal() -> None:
    for party in PARTIES:
        kinds = [column.path for column in party.columns if column.path.startswith("tipoPessoa")]
        personal = {column.name for column in party.columns if column.personal}
        assert personal == ({"ni", "nome"} if kinds else set())
    for resource in RESOURCES:
        columns = {column.name: column for column in resource.columns}
        for mention in resource.mentions:
            for column in mention.party.columns:
                if column.personal and column.name in mention.columns:
                    assert (
                        columns[mention.columns[column.name]].personal == columns[mention.columns["tipo_pessoa"]].path
                    )


# --- logs -------------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("form", ["json", "text", None])
def test_no_line_of_the_log_has_a_cpf(form: str | None) -> None:
    stream = Terminal()
    configure_logging("INFO", form, stream)
    structlog.get_logger("mine").warning(f"of {CPF}", example=CPF, inner={"list": [PUNCTUATED], "of": (CPF,)}, n=1)
    logging.getLogger("theirs").warning("of %s", CPF, extra={"more": CPF})
    try:
        int(f"of {CPF}")
    except ValueError:
        structlog.get_logger("mine").exception("failed")
        logging.getLogger("theirs").exception("failed")
    told = stream.getvalue()
    assert CPF not in told
    assert PUNCTUATED not in told
    assert told.count(MASKED) >= 8
    if form == "json":
        first = json.loads(told.splitlines()[0])
        assert (first["example"], first["inner"], first["n"]) == (MASKED, {"list": [MASKED], "of": [MASKED]}, 1)
