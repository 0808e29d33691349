"""What is read of a domain table's list, and which lists are not believed."""

import json
from pathlib import Path

import pytest

from common.resources.dominios import DOMAIN_TABLES, DomainTable
from ingestor.sources.pncp.dominios import parse_domain_table
from ingestor.sources.pncp.envelope import NotAPageError
from ingestor.sources.values import DomainEntry

MODALIDADES = DOMAIN_TABLES[0]
PAIRS = next(table for table in DOMAIN_TABLES if table.name == "modalidade-criterio-julgamento")


def parse(table: DomainTable, *entries: object) -> list[DomainEntry]:
    return parse_domain_table(table, json.dumps(entries).encode())


def test_an_entry_has_its_code_as_text_and_its_json_as_it_came() -> None:
    body = b'[{"id": 6,  "nome": "Preg\xc3\xa3o", "descricao": null, "statusAtivo": true, "novo": 1.50}]'
    (entry,) = parse_domain_table(MODALIDADES, body)
    assert entry == DomainEntry("6", "Pregão", None, True, body[1:-1].decode())


def test_a_code_may_be_a_text() -> None:
    assert [entry.codigo for entry in parse(MODALIDADES, {"id": "206-2", "nome": "x"})] == ["206-2"]


def test_the_code_of_a_combination_is_made_of_the_codes_that_it_joins() -> None:
    both = {
        "criterioJulgamento": {"id": 1, "nome": "Menor preço"},
        "modalidadeContratacao": {"id": 6, "nome": "Pregão"},
    }
    (entry,) = parse(PAIRS, both)
    assert (entry.codigo, entry.nome, entry.ativo) == ("6/1", "Pregão/Menor preço", None)


def test_optional_values_of_another_type_are_left_out() -> None:
    (entry,) = parse(MODALIDADES, {"id": 1, "nome": 7, "descricao": ["x"], "statusAtivo": "sim"})
    assert (entry.nome, entry.descricao, entry.ativo) == (None, None, None)


def test_what_postgresql_refuses_is_mended() -> None:
    (entry,) = parse(MODALIDADES, {"id": 1, "nome": "a\x00b\ud800"})
    assert entry.nome == "ab"
    assert json.loads(entry.payload) == {"id": 1, "nome": "ab"}


def test_of_a_code_that_comes_twice_the_later_entry_stands() -> None:
    assert [entry.nome for entry in parse(MODALIDADES, {"id": 1, "nome": "a"}, {"id": 1, "nome": "b"})] == ["b"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"{}",
        b'{"data": [{"id": 1}]}',
        b"[1]",
        b"[null]",
        b'[{"id": 1}, {"nome": "sem"}]',
        b'[{"id": null}]',
        b'[{"id": true}]',
        b'[{"id": ""}]',
        b'[{"id": 1.5}]',
        b'[{"id": 1}',
        b'["\xff"]',
        b"[" * 100_000,
    ],
)
def test_a_list_with_anything_else_is_not_believed(body: bytes) -> None:
    with pytest.raises(NotAPageError):
        parse_domain_table(MODALIDADES, body)


@pytest.mark.parametrize("pair", [{"criterioJulgamento": {"id": 1}}, {"modalidadeContratacao": 6}, {"id": 1}])
def test_a_combination_without_one_of_its_codes_is_not_believed(pair: object) -> None:
    with pytest.raises(NotAPageError):
        parse(PAIRS, pair)


def test_an_empty_list_is_read_as_one() -> None:
    assert parse(MODALIDADES) == []


@pytest.mark.parametrize(
    ("name", "entries", "some"),
    [
        ("modalidades", 15, {"6": "Pregão - Eletrônico", "15": "Chamada pública"}),
        ("modos-disputas", 6, {"4": "Dispensa Com Disputa"}),
        ("amparos-legais", 171, {"1": "Lei 14.133/2021, Art. 28, I"}),
    ],
)
def test_recorded_lists_are_read_whole(recorded: Path, name: str, entries: int, some: dict[str, str]) -> None:
    table = next(table for table in DOMAIN_TABLES if table.name == name)
    read = parse_domain_table(table, (recorded / "dominios" / f"contratos360_{name}.json").read_bytes())
    assert len(read) == entries
    assert some.items() <= {entry.codigo: entry.nome for entry in read}.items()
    assert all(entry.ativo is not None for entry in read)
