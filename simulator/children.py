"""What hangs on one record, as the integration service answers it: resultados of an item, documents, termos, events.

Children that were recorded or put by hand are served as they are. The others are invented each time they are asked for,
always the same ones.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from simulator.answers import NO_CONTRATACAO, NO_CONTRATO, NO_ITEM
from simulator.invention_children import ChildInventor, JsonObject
from simulator.records import ChildKey, Contratacao, Contrato, Record, decode_json, encode_json, merged
from simulator.resources import CONTRATACOES, CONTRATOS
from simulator.world import World

# Numbers in a path stand without leading zeros.
_PATH: Final = re.compile(
    r"/api/pncp/v1/orgaos/([^/]+)/(compras|contratos)/([1-9]\d{3})/([1-9]\d*)/"
    r"(?:itens/([1-9]\d*)/(?P<resultados>resultados)(?:/(?P<one>[1-9]\d*))?"
    r"|(?P<kind>arquivos|termos|historico)(?P<count>/quantidade)?)"
)
KINDS: Final = ("resultados", "arquivos", "termos", "historico")
# The number of a child among those of its record, which events have none of, and what each spoiling quirk spoils by
# default.
NUMBERS: Final = {
    "resultados": "sequencialResultado",
    "arquivos": "sequencialDocumento",
    "termos": "sequencialTermoContrato",
}
SPOILED: Final = {
    "resultados": {
        "text": "nomeRazaoSocialFornecedor",
        "nan": "valorTotalHomologado",
        "huge_number": "valorTotalHomologado",
        "wrong_type": "valorUnitarioHomologado",
        "drifted_field": "porteFornecedorNome",
        "missing_key": "sequencialResultado",
    },
    "arquivos": {
        "text": "titulo",
        "nan": "sequencialDocumento",
        "huge_number": "sequencialDocumento",
        "wrong_type": "sequencialDocumento",
        "drifted_field": "tipoDocumentoNome",
        "missing_key": "sequencialDocumento",
    },
    "termos": {
        "text": "objetoTermoContrato",
        "nan": "valorGlobal",
        "huge_number": "valorGlobal",
        "wrong_type": "valorGlobal",
        "drifted_field": "processo",
        "missing_key": "sequencialTermoContrato",
    },
    "historico": {
        "text": "justificativa",
        "nan": "documentoSequencial",
        "huge_number": "documentoSequencial",
        "wrong_type": "documentoSequencial",
        "drifted_field": "usuarioNome",
        "missing_key": "logManutencaoDataInclusao",
    },
}


class NoParent(Exception):
    """What the children would hang on is not there; the message is the portal's."""


@dataclass(frozen=True, slots=True)
class ChildPath:
    """What a path asks for: all children, only their `count`, or the `one` with that number."""

    children: ChildKey
    count: bool = False
    one: int | None = None


def read_path(path: str) -> ChildPath | None:
    """What a path asks for; None where it asks for no children."""
    found = _PATH.fullmatch(path)
    if found is None:
        return None
    cnpj, parents, ano, sequencial, item = found.groups()[:5]
    resource = CONTRATACOES if parents == "compras" else CONTRATOS
    kind = found["resultados"] or found["kind"]
    if (kind == "resultados" and resource is CONTRATOS) or (kind == "termos" and resource is CONTRATACOES):
        return None
    children = ChildKey(kind, resource.key(cnpj, int(sequencial), int(ano)), int(item) if item else None)
    return ChildPath(children, found["count"] is not None, int(found["one"]) if found["one"] else None)


class Parent(NamedTuple):
    """What children hang on: a record, its JSON object, for resultados that of the item, and for events all items."""

    head: Record
    record: JsonObject
    item: JsonObject
    items: Sequence[JsonObject] = ()


def find_children(world: World, children: ChildKey) -> list[bytes]:
    """The JSON bytes of children in order of their numbers; NoParent where there is nothing that they could hang on."""
    given = world.given_children.get(children)
    if given is not None:
        return given
    parent = _find_parent(world, children)
    if world.child_inventor is None:
        return []
    return [encode_json(row) for row in invent_children(world.child_inventor, children.kind, parent)]


def put_children(
    world: World,
    kind: str,
    key: str,
    rows: int | Sequence[Mapping[str, Any]],
    *,
    item: int | None = None,
    at: str | None = None,
) -> None:
    """Give the record `key` these children of `kind` in place of those that it has.

    `rows` is how many, or the children, each laid over an invented one with the next number; none takes all away.
    `item` is the number of the item that resultados hang on, whether or not it says that it has any.
    dataAtualizacaoGlobal of the record becomes `at` (now if left out), as with every change of what hangs on a record.
    ValueError where there is no such record or item, or where it has no such children.
    """
    if kind not in KINDS:
        raise ValueError(f"kind is one of {', '.join(KINDS)}, not {kind!r}")
    if (kind == "resultados") != (item is not None):
        raise ValueError("resultados hang on an item, whose number is needed; no other children do")
    children = ChildKey(kind, key, item)
    try:
        parent = _find_parent(world, children)
    except NoParent as error:
        raise ValueError(f"{kind} of {key}: {error}") from error
    stamp = at or world.now().isoformat()
    overs: Sequence[Mapping[str, Any]] = [{}] * rows if isinstance(rows, int) else rows
    inventor = world.child_inventor or ChildInventor(world.contrato_inventor)
    made = [
        encode_json(merged(_invent_one(inventor, kind, parent, number, over, stamp=stamp), over))
        for number, over in enumerate(overs, start=1)
    ]
    payload = encode_json(parent.record | {"dataAtualizacaoGlobal": stamp})
    world.add([replace(parent.head, atualizacao_global=stamp, payload=payload)])
    world.give_children(children, made)


def lose_document(world: World, which: int | Iterable[str], *, resource: str) -> list[str]:
    """Change contratações or contratos by taking a document away, of those that have several: the control numbers of
    those changed.
    """
    touched = []
    for key in world.choose(which, resource):
        rows = find_children(world, ChildKey("arquivos", key))
        if len(rows) > 1:
            put_children(world, "arquivos", key, [decode_json(row) for row in rows[1:]])
            touched.append(key)
    return touched


def _find_parent(world: World, children: ChildKey) -> Parent:
    head = world.get(children.key)
    if head is None:
        raise NoParent(NO_CONTRATACAO if CONTRATACOES.key_form.fullmatch(children.key) else NO_CONTRATO)
    record = world.record(children.key)
    if children.item is None:
        items = world.items(children.key) if children.kind == "historico" and isinstance(head, Contratacao) else []
        return Parent(head, record, {}, [item for item in map(decode_json, items) if isinstance(item, dict)])
    # Most of the items are not parsed: `1` begins the numbers from 10 on too.
    number = f'"numeroItem":{children.item}'.encode()
    for each in world.items(children.key):
        if number in each and (item := decode_json(each)).get("numeroItem") == children.item:
            return Parent(head, record, item)
    raise NoParent(NO_ITEM)


def invent_children(inventor: ChildInventor, kind: str, parent: Parent) -> list[JsonObject]:
    """All children of a kind that hang on a parent, where none were recorded or put by hand."""
    head, record, item, items = parent
    if kind == "historico":
        return inventor.historico(head, record, items)
    if kind == "resultados" and isinstance(head, Contratacao):
        return inventor.resultados(head, record, item) if item.get("temResultado") is True else []
    if kind == "termos" and isinstance(head, Contrato):
        return inventor.termos(head, record)
    return inventor.arquivos(head, record)


def _invent_one(
    inventor: ChildInventor, kind: str, parent: Parent, number: int, over: Mapping[str, Any], *, stamp: str
) -> JsonObject:
    """The child with this number, as `over` will be laid over it; termos are published, and events are, at `stamp`."""
    head, record, item, _ = parent
    if kind == "historico":
        return inventor.evento(head, record, datetime.fromisoformat(stamp) + timedelta(seconds=number))
    if kind == "resultados" and isinstance(head, Contratacao):
        return inventor.resultado(head, record, item, number, over)
    if kind == "termos" and isinstance(head, Contrato):
        return inventor.termo(head, record, number, datetime.fromisoformat(stamp))
    if kind == "arquivos" and isinstance(head, Contratacao | Contrato):
        return inventor.arquivo(head, record, number)
    raise ValueError(f"{head.resource.name} have no {kind}")
