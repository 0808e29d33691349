"""A world of recordings: a folder of the portal's answers, served value for value as they were recorded."""

import re
import zlib
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from simulator.invention import Inventor
from simulator.records import CONTROL_NUMBER, STAMP, Contratacao, decode_json, encode_json
from simulator.world import World, brasilia_now, read_filters

_FOLDERS: Final = ("contratacoes-publicacao", "contratacoes-atualizacao")
_SNAPSHOT: Final = re.compile(r"snap_?(\d{4})-?(\d\d)-?(\d\d)(\w*)")
_COMPRA: Final = re.compile(r"(?<![0-9A-Z])([0-9A-Z]{14})_(\d{4})_(\d+)(?!\d)")


class NoRecordings(Exception):
    """The folder holds no contratação, or a file in it is not JSON; the message is one line for people."""


def load_recorded(folder: str | Path, *, now: Callable[[], datetime] = brasilia_now) -> World:
    """A world of all contratações under `contratacoes-publicacao` and `contratacoes-atualizacao` of `folder`.

    Files hold a list of records, an envelope with `data`, or one record, however nested. Of a record recorded more than
    once the newest version stays, by the later of its two update stamps; among equals the later snapshot
    (`snapAAAAMMDD` in the file's name). Items come from `itens/*CNPJ_ANO_SEQ*.json`; other records have none.
    `world.first_day` and `world.last_day` span the publications. NoRecordings if there is nothing to serve.
    """
    root = Path(folder)
    newest: dict[str, tuple[tuple[str, str], dict[str, Any]]] = {}
    for file in (file for name in _FOLDERS for file in sorted((root / name).glob("*.json"))):
        snapshot = _SNAPSHOT.search(file.name)
        taken = "".join(snapshot.groups()) if snapshot else ""
        for record in _records(_read(file)):
            key = record["numeroControlePNCP"]
            version = (max(_text(record, "dataAtualizacao"), _text(record, "dataAtualizacaoGlobal")), taken)
            if key not in newest or version >= newest[key][0]:
                newest[key] = (version, record)
    world = World(Inventor(0), now=now)
    items = _load_items(root / "itens")
    heads = [_head(record) for _, record in newest.values()]
    for head in heads:
        head.itens = items.get((head.cnpj, head.ano, head.sequencial), [])
        head.item_count = len(head.itens)
    world.add(heads)
    if not len(world):
        raise NoRecordings(
            f"no contratação is recorded in {root}: *.json files are looked for in {' and '.join(_FOLDERS)}"
        )
    return world


def _read(file: Path) -> Any:
    try:
        return decode_json(file.read_bytes())
    except ValueError as error:
        raise NoRecordings(f"{file} is not JSON: {error}") from error


def _records(value: Any) -> Iterator[dict[str, Any]]:
    """All contratações somewhere within a parsed file."""
    if isinstance(value, dict):
        if CONTROL_NUMBER.fullmatch(str(value.get("numeroControlePNCP"))) and STAMP.fullmatch(
            _text(value, "dataPublicacaoPncp")
        ):
            yield value
        else:
            for inner in value.values():
                yield from _records(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _records(inner)


def _load_items(folder: Path) -> dict[tuple[str, int, int], list[bytes]]:
    """Recorded items by CNPJ, year and sequence, by `numeroItem`; several files of one contratação are joined."""
    found: dict[tuple[str, int, int], dict[int, bytes]] = {}
    for file in sorted(folder.glob("*.json")):
        named = _COMPRA.search(file.name)
        if named is None:
            continue
        items = found.setdefault((named[1], int(named[2]), int(named[3])), {})
        for item in _items(_read(file)):
            items[item["numeroItem"]] = encode_json(item)
    return {compra: [items[number] for number in sorted(items)] for compra, items in found.items()}


def _items(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if isinstance(value.get("numeroItem"), int):
            yield value
        else:
            for inner in value.values():
                yield from _items(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _items(inner)


def _head(record: dict[str, Any]) -> Contratacao:
    key = record["numeroControlePNCP"]
    named = CONTROL_NUMBER.fullmatch(key)
    if named is None:
        raise ValueError(f"{key} is no control number of a contratação")
    publicacao = record["dataPublicacaoPncp"]
    atualizacao = _text(record, "dataAtualizacao") or publicacao
    modalidade = record.get("modalidadeId")
    head = Contratacao(
        numero_controle_pncp=key,
        cnpj=named[1],
        ano=int(named[3]),
        sequencial=int(named[2]),
        modalidade=modalidade if isinstance(modalidade, int) else 0,
        modo_disputa=0,
        uf="",
        codigo_ibge="",
        codigo_unidade="",
        publicacao=publicacao,
        atualizacao=atualizacao,
        atualizacao_global=_text(record, "dataAtualizacaoGlobal") or atualizacao,
        item_count=0,
        seed=zlib.crc32(key.encode()),
        payload=encode_json(record),
    )
    read_filters(head, record)
    return head


def _text(record: dict[str, Any], key: str) -> str:
    value = record.get(key)
    return value if isinstance(value, str) else ""
