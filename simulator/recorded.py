"""A world of recordings: a folder of the portal's answers, served value for value as they were recorded."""

import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from simulator import domains
from simulator.invention import Inventor
from simulator.recorded_pcas import whole_plans
from simulator.records import (
    DAY,
    STAMP,
    Ata,
    ChildKey,
    Contratacao,
    Contrato,
    Instrumento,
    Pca,
    decode_json,
    encode_json,
)
from simulator.resources import ATAS, CONTRATACOES, CONTRATOS, INSTRUMENTOS_COBRANCA, PCAS, Resource
from simulator.tables import TABLES, Tables
from simulator.world import World, brasilia_now, read_head

_SNAPSHOT: Final = re.compile(r"snap_?(\d{4})-?(\d\d)-?(\d\d)(\w*)")
_COMPRA: Final = re.compile(r"(?<![0-9A-Z])([0-9A-Z]{14})_(\d{4})_(\d+)(?!\d)")

_PCA_ITEMS: Final = ("pca-itens-pncpapi", "pca-item-both")


class NoRecordings(Exception):
    """The folder holds no contratação, or a file in it is not JSON; the message is one line for people."""


def load_recorded(folder: str | Path, *, now: Callable[[], datetime] = brasilia_now) -> World:
    """A world of all records under `folder`, in the folders that their resources name.

    Files hold a list of records, an envelope with `data`, or one record, however nested. Of a record recorded more than
    once the newest version stays, by the later of its two update stamps; among equals the later snapshot
    (`snapAAAAMMDD` in the file's name). Items come from `itens/*CNPJ_ANO_SEQ*.json`; other records have none.
    Plans come with the items of their listings and those of `pca-itens-pncpapi` and `pca-item-both`.
    Resultados are in `resultados`, documents in `arquivos` and `contrato-arquivos`, termos in `termos` by the control
    number of their contrato, events of contratações and contratos in `historico`; they are served whether or not what
    they hang on is among the recordings.
    `world.first_day` and `world.last_day` span the publications of contratações; NoRecordings if there are none.
    The domain tables in `dominios/*_NAME.json` stand in place of the simulator's own.
    All but contratações and items is read when it is first asked for; a file that is not JSON fails that request.
    """
    root = Path(folder)
    world = World(Inventor(0), now=now)
    items = _load_items(root / "itens")
    for record in _newest(root, CONTRATACOES):
        head = _contratacao(record)
        head.itens = items.get((head.cnpj, head.ano, head.sequencial), [])
        head.item_count = len(head.itens)
        world.add([head])
    if not len(world):
        raise NoRecordings(
            f"no contratação is recorded in {root}: *.json files are looked for in "
            f"{' and '.join(CONTRATACOES.recordings)}"
        )
    world.contratos.fill_later(lambda: map(_contrato, _newest(root, CONTRATOS)))
    world.atas.fill_later(lambda: map(_ata, _newest(root, ATAS)))
    world.pcas.fill_later(lambda: _pcas(root, world))
    world.instrumentos_cobranca.fill_later(lambda: map(_instrumento, _newest(root, INSTRUMENTOS_COBRANCA)))
    world.give_children_later(lambda: _load_children(root))
    world.tables = Tables(now, lambda: _load_tables(root / "dominios"))
    return world


def _newest(root: Path, resource: Resource) -> list[dict[str, Any]]:
    """The newest version of each recorded record of a resource."""
    newest: dict[str, tuple[tuple[str, str], dict[str, Any]]] = {}
    for file in _files(root, resource.recordings):
        snapshot = _SNAPSHOT.search(file.name)
        taken = "".join(snapshot.groups()) if snapshot else ""
        for record in _records(_read(file), resource):
            key = _key_of(resource, record)[0]
            version = (max(_text(record, "dataAtualizacao"), _text(record, "dataAtualizacaoGlobal")), taken)
            if key not in newest or version >= newest[key][0]:
                newest[key] = (version, record)
    return [record for _, record in newest.values()]


def _pcas(root: Path, world: World) -> Iterator[Pca]:
    """The recorded plans, those of listings and those of which the integration service has listed items."""
    plans = (plan for file in _files(root, PCAS.recordings) for plan in _records(_read(file), PCAS))
    items = (item for file in _files(root, _PCA_ITEMS) for item in _items(_read(file)) if "sequencialPca" in item)
    orgaos = (world.record(key)["orgaoEntidade"] for key in world.keys)
    names = {orgao["cnpj"]: orgao["razaoSocial"] for orgao in orgaos}
    for plan, listed in whole_plans(plans, items, names):
        head = Pca(**_in_common(PCAS, plan), item_count=len(listed), itens=listed)
        read_head(head, plan)
        yield head


def _files(root: Path, folders: Sequence[str]) -> Iterator[Path]:
    for name in folders:
        yield from sorted((root / name).glob("*.json"))


def _read(file: Path) -> Any:
    try:
        return decode_json(file.read_bytes())
    except ValueError as error:
        raise NoRecordings(f"{file} is not JSON: {error}") from error


def _records(value: Any, resource: Resource) -> Iterator[dict[str, Any]]:
    """All records of a resource somewhere within a parsed file."""
    if isinstance(value, dict):
        published = _text(value, resource.stamp_keys["publicacao"])
        form = DAY if resource is ATAS else STAMP
        if resource.read_key(value) and form.fullmatch(published):
            yield value
        else:
            for inner in value.values():
                yield from _records(inner, resource)
    elif isinstance(value, list):
        for inner in value:
            yield from _records(inner, resource)


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


def _load_children(root: Path) -> dict[ChildKey, list[bytes]]:
    """Recorded resultados, documents, termos and events, by what they hang on: in the order of their numbers, events as
    they came.
    """
    found: dict[ChildKey, dict[int, bytes]] = {}
    for folder, number in (
        ("resultados", "sequencialResultado"),
        ("arquivos", "sequencialDocumento"),
        ("contrato-arquivos", "sequencialDocumento"),
        ("termos", "sequencialTermoContrato"),
    ):
        for file in sorted((root / folder).glob("*.json")):
            for children, row in _children(_read(file), folder):
                found.setdefault(children, {})[row[number]] = encode_json(row)
    events: dict[ChildKey, list[bytes]] = {}
    for file in sorted((root / "historico").glob("*.json")):
        for children, row in _events(_read(file)):
            events.setdefault(children, []).append(encode_json(row))
    return {children: [rows[number] for number in sorted(rows)] for children, rows in found.items()} | events


def _children(value: Any, folder: str) -> Iterator[tuple[ChildKey, dict[str, Any]]]:
    """The rows of a parsed file and what they hang on: a list of rows, or lists by control number.

    A termo does not say of which contrato it is; a file of them without control numbers is left aside.
    """
    rows = [("", row) for row in value] if isinstance(value, list) else []
    if isinstance(value, dict):
        rows = [(key, row) for key, listed in value.items() for row in listed]
    for key, row in rows:
        if folder == "resultados":
            yield ChildKey("resultados", row["numeroControlePNCPCompra"], row["numeroItem"]), row
        elif folder == "termos":
            if key:
                yield ChildKey("termos", key), row
        else:
            resource = CONTRATACOES if folder == "arquivos" else CONTRATOS
            yield ChildKey("arquivos", resource.key(row["cnpj"], row["sequencialCompra"], row["anoCompra"])), row


def _events(rows: list[dict[str, Any]]) -> Iterator[tuple[ChildKey, dict[str, Any]]]:
    """The events of a parsed file and what they hang on; those of atas are left aside."""
    for row in rows:
        for resource, name in ((CONTRATACOES, "compra"), (CONTRATOS, "contrato")):
            if f"{name}OrgaoCnpj" in row and "ataSequencial" not in row:
                parts = (row[f"{name}OrgaoCnpj"], row[f"{name}Sequencial"], row[f"{name}Ano"])
                yield ChildKey("historico", resource.key(*parts)), row


def _load_tables(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Recorded domain tables by name."""
    named = {file: file.stem.rpartition("_")[2] for file in sorted(folder.glob("*.json"))}
    return {name: _read(file) for file, name in named.items() if name in TABLES}


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


def _contratacao(record: dict[str, Any]) -> Contratacao:
    modalidade = record.get("modalidadeId")
    head = Contratacao(
        **_in_common(CONTRATACOES, record),
        modalidade=modalidade if isinstance(modalidade, int) else 0,
        modo_disputa=0,
        item_count=0,
    )
    read_head(head, record)
    return head


def _contrato(record: dict[str, Any]) -> Contrato:
    head = Contrato(**_in_common(CONTRATOS, record), compra="")
    read_head(head, record)
    return head


def _ata(record: dict[str, Any]) -> Ata:
    common = _in_common(ATAS, record)
    published = common["publicacao"]
    compra, _, numero = common["numero_controle_pncp"].rpartition("-")
    systems = domains.USUARIOS_ATAS
    usuario = _text(record, "usuario")
    head = Ata(
        **common,
        compra=compra,
        numero=int(numero),
        usuario=systems.index(usuario) if usuario in systems else -1,
        vigencia_inicio=published,
        vigencia_fim=published,
    )
    read_head(head, record)
    return head


def _instrumento(record: dict[str, Any]) -> Instrumento:
    numero = record["sequencialInstrumentoCobranca"]
    head = Instrumento(**_in_common(INSTRUMENTOS_COBRANCA, record), numero=numero, tipo=0, contrato=None)
    read_head(head, record)
    return head


def _key_of(resource: Resource, record: Mapping[str, Any]) -> re.Match[str]:
    named = resource.read_key(record)
    if named is None:
        raise ValueError(f"a record of {resource.name} has no control number")
    return named


def _in_common(resource: Resource, record: dict[str, Any]) -> dict[str, Any]:
    """What the heads of all resources have in common."""
    named = _key_of(resource, record)
    stamps = {field: _text(record, name) for field, name in resource.stamp_keys.items()}
    atualizacao = stamps.get("atualizacao") or stamps["publicacao"]
    return {
        "numero_controle_pncp": named[0],
        "cnpj": named[1],
        "ano": int(named[3]),
        "sequencial": int(named[2]),
        "uf": "",
        "codigo_ibge": "",
        "codigo_unidade": "",
        "publicacao": stamps["publicacao"],
        "atualizacao": atualizacao,
        "atualizacao_global": stamps.get("atualizacao_global") or atualizacao,
        "seed": zlib.crc32(named[0].encode()),
        "payload": encode_json(record),
    }


def _text(record: dict[str, Any], key: str) -> str:
    value = record.get(key)
    return value if isinstance(value, str) else ""
