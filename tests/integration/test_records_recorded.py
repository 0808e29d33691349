"""Every recorded contratação and item becomes a row that holds what the portal's JSON holds."""

from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from common.resources.contratacoes import CONTRATACOES
from common.resources.derive import to_sql
from common.resources.description import Kind
from common.resources.itens import ITENS
from ingestor.sources.pncp.envelope import parse_page
from ingestor.sources.pncp.records import list_path, parse_entry, parse_list, parse_record
from ingestor.sources.values import Entry, Record, Rejected
from simulator.records import decode_json, encode_json
from tests.integration.conftest import Database
from tests.integration.test_columns import read

LISTINGS = ("contratacoes-publicacao", "contratacoes-atualizacao", "contratacoes-proposta", "contratacao-detalhe")
FEWEST_CONTRATACOES = 1_000  # so that an empty folder proves nothing by accident
FEWEST_ITENS = 14
WITHOUT_COLUMN = {"existeResultado", "orcamentoSigilosoCodigo", "orcamentoSigilosoDescricao"}  # the detail's alone

# which field each column holds is held to the portal's own words in test_columns.py
CONTRATACAO_KEYS = {column.path: column.name for column in CONTRATACOES.columns}
ITEM_KEYS = {column.path: column.name for column in ITENS.columns}
JSON_KEYS = {column.path for column in (*CONTRATACOES.columns, *ITENS.columns) if column.kind is Kind.JSON}
OBJECTS = {path.partition(".")[0] for path in CONTRATACAO_KEYS if "." in path}


def flattened(record: dict[str, Any]) -> dict[str, Any]:
    """The record with the objects that have columns of their own spread out."""
    flat = {name: value for name, value in record.items() if name not in OBJECTS}
    for name in OBJECTS:
        flat |= {f"{name}.{key}": value for key, value in (record.get(name) or {}).items()}
    return flat


def in_a_column(value: Any) -> Any:
    """A value of the portal's as a row should hold it, stamps and JSON aside."""
    return Decimal(value) if isinstance(value, int) and not isinstance(value, bool) else value


def check_row(record: dict[str, Any], row: dict[str, Any], columns: dict[str, str]) -> None:
    """Every key that has a column stands there; a key without one is in the payload alone."""
    flat = flattened(record)
    for key, column in columns.items():
        theirs, ours = flat.get(key), row[column]
        if isinstance(ours, datetime):
            assert ours.isoformat() == theirs, key
        elif theirs is not None and key in JSON_KEYS:
            assert decode_json(ours) == theirs, key
        else:
            assert in_a_column(ours) == in_a_column(theirs), key
    assert decode_json(row["payload"]) == record


def objects_in(value: Any, key: str) -> Iterator[dict[str, Any]]:
    """All objects with such a key, however deep the recording's collector has put them."""
    if isinstance(value, dict):
        if key in value:
            yield value
        else:
            for inner in value.values():
                yield from objects_in(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from objects_in(inner, key)


def recordings(folder: Path) -> Iterator[tuple[Path, Any]]:
    for file in sorted(folder.glob("*.json")):
        yield file, decode_json(file.read_bytes())


def contratacoes_of(recorded: Path) -> Iterator[dict[str, Any]]:
    for name in LISTINGS:
        for _, value in recordings(recorded / name):
            yield from objects_in(value, "numeroControlePNCP")


def itens_of(recorded: Path) -> Iterator[dict[str, Any]]:
    for _, value in recordings(recorded / "itens"):
        yield from objects_in(value, "numeroItem")


async def check_rows(
    database: Database,
    records: list[dict[str, Any]],
    parse: Callable[[bytes], Entry | Rejected],
    columns: dict[str, str],
    keys: dict[str, str],
) -> None:
    """The ingestor takes every record, and the database reads out of each what stands in it."""
    payloads = [encode_json(record) for record in records]
    for payload in payloads:
        parsed = parse(payload)
        assert isinstance(parsed, Entry), parsed
    for record, row in zip(records, await read(database, columns, payloads), strict=True):
        check_row(record, row, keys)


async def test_every_recorded_contratacao_becomes_its_row(recorded: Path, database: Database) -> None:
    records = list(contratacoes_of(recorded))
    await check_rows(
        database, records, partial(parse_record, CONTRATACOES), to_sql(CONTRATACOES.columns), CONTRATACAO_KEYS
    )
    assert len(records) >= FEWEST_CONTRATACOES


async def test_every_recorded_item_becomes_its_row(recorded: Path, database: Database) -> None:
    itens = list(itens_of(recorded))
    await check_rows(database, itens, partial(parse_entry, ITENS), to_sql(ITENS.columns), ITEM_KEYS)
    read = parse_list(ITENS, b"[" + b",".join(map(encode_json, itens)) + b"]", "x")
    assert (read.told, read.rejected) == (len(itens), [])
    assert len(itens) >= FEWEST_ITENS


def test_every_key_of_the_recordings_has_its_column_or_is_known_to_have_none(recorded: Path) -> None:
    keys = {key for record in contratacoes_of(recorded) for key in flattened(record)}
    assert keys - set(CONTRATACAO_KEYS) - OBJECTS <= WITHOUT_COLUMN
    assert {key for item in itens_of(recorded) for key in item} - set(ITEM_KEYS) == set()


def test_every_recorded_control_number_recomposes_from_its_parts(recorded: Path) -> None:
    for record in contratacoes_of(recorded):
        compra = f"{record['orgaoEntidade']['cnpj']}/compras/{record['anoCompra']}/{record['sequencialCompra']}"
        assert list_path(CONTRATACOES, ITENS, record["numeroControlePNCP"]) == f"/pncp/v1/orgaos/{compra}/itens"


def test_recorded_stamps_are_their_version_as_they_stand(recorded: Path) -> None:
    for record in contratacoes_of(recorded):
        parsed = parse_record(CONTRATACOES, encode_json(record))
        assert isinstance(parsed, Record)
        version = tuple(stamp.isoformat() for stamp in parsed.version)
        assert version == (record["dataAtualizacao"], record["dataAtualizacaoGlobal"])


def test_every_recorded_envelope_is_a_page(recorded: Path) -> None:
    pages = [
        (file, value) for name in LISTINGS for file, value in recordings(recorded / name) if "numeroPagina" in value
    ]
    assert pages
    for file, value in pages:
        page = parse_page(file.read_bytes(), value["numeroPagina"])
        assert (page.total_registros, page.total_paginas) == (value["totalRegistros"], value["totalPaginas"])
        assert [decode_json(bytes(record)) for record in page.records] == value["data"]


def test_every_recorded_list_of_itens_is_read_as_it_came(recorded: Path) -> None:
    for file, value in recordings(recorded / "itens"):
        itens = parse_list(ITENS, file.read_bytes(), "00000000000000-1-000001/2025")
        assert [decode_json(bytes(item)) for item in itens.payloads.values()] == value
