"""What the portal answers to a path and its parameters, and how quirks change a true answer. No network here."""

import math
import random
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from http import HTTPStatus
from typing import Any, Final

import orjson

from simulator import children, tables
from simulator.answers import (
    NO_CHILDREN,
    NO_CNPJ,
    NO_CONTRATACAO,
    NO_ENTRY,
    NO_ITEMS,
    NO_PCA,
    Answer,
    absent,
    envelope,
    json_answer,
    nothing_found,
    spring_error,
    validation_error,
)
from simulator.quirks import SPOILERS, Facts, Quirks, Rule
from simulator.records import Contratacao, Pca, PlanItem, Record, decode_json, encode_json
from simulator.resources import CONTRATACOES, LISTINGS, PCAS, RESOURCES, Criterio, Resource
from simulator.store import Query
from simulator.world import Row, World

# Numbers in a path stand without leading zeros.
_COMPRA: Final = re.compile(
    r"/api/(consulta|pncp)/v1/orgaos/([^/]+)/compras/([1-9]\d{3})/([1-9]\d*)(?:(/itens)(/quantidade)?)?"
)
_PCA: Final = re.compile(
    r"/api/pncp/v1/orgaos/([^/]+)/pca/([1-9]\d{3})/([1-9]\d*)/(itens|itens/quantidade|consolidado)"
)
_LONGEST_DAYS: Final = 365  # 20240101..20241231 is accepted, a day more is not
_ITEMS_PAGE_SIZE: Final = 10
_STAMPS: Final = {key for resource in RESOURCES.values() for key in resource.stamp_keys.values()} | {"dataInclusao"}
_INT32: Final = 2**31
_INT64: Final = 2**63
_ITEM_KEYS: Final = {
    "text": "descricao",
    "nan": "valorTotal",
    "huge_number": "valorTotal",
    "wrong_type": "valorTotal",
    "drifted_field": "unidadeMedida",
    "missing_key": "numeroItem",
}
_PCA_ITEM_KEYS: Final = _ITEM_KEYS | {"drifted_field": "unidadeFornecimento"}
_LARGEST_PCA_PAGE: Final = 2000  # is on record to work; what more does is not

Parameters = Mapping[str, str]


class Refusal(Exception):
    """An answer that ends the reading of parameters."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def read_facts(path: str, parameters: Parameters) -> Facts:
    """What quirks may match on, as far as a request tells it, well-formed or not."""
    if path in LISTINGS:
        resource, criterio = LISTINGS[path]
        by_orgao = next((name for name, (_, field) in resource.filters.items() if field == "cnpj"), "")
        return Facts(
            service="consulta",
            path=path,
            resource=resource.name,
            criterio=criterio,
            modalidade=_whole(parameters.get(resource.division)) if resource.division else None,
            page=_whole(parameters.get("pagina")),
            first_day=_day(parameters.get(resource.first_day)),
            last_day=_day(parameters.get(resource.last_day)),
            cnpj=parameters.get(by_orgao),
        )
    service: Any = "consulta" if path.startswith("/api/consulta/") else "itens"
    if compra := _COMPRA.fullmatch(path):
        key = CONTRATACOES.key(compra[2], int(compra[4]), int(compra[3]))
        kind = "itens" if compra[5] else None
        return Facts(service, path, page=_whole(parameters.get("pagina")), cnpj=compra[2], key=key, kind=kind)
    if plan := _PCA.fullmatch(path):
        key = PCAS.key(plan[1], int(plan[3]), int(plan[2]))
        page = _whole(parameters.get("pagina"))
        return Facts(service, path, page=page, cnpj=plan[1], key=key, kind="itens_pca")
    if child := children.read_path(path):
        kind, key, _ = child.children
        page = _whole(parameters.get("pagina"))
        return Facts(service, path, page=page, cnpj=key.partition("-")[0], key=key, kind=kind)
    return Facts(service, path, kind=None if tables.read_path(path) is None else "dominios")


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: its service, path and parameters, and the quirks' rules that act on it."""

    world: World
    quirks: Quirks
    path: str
    parameters: Parameters
    rules: list[Rule]

    def rule(self, name: str) -> Rule | None:
        """The last rule of that name."""
        return next((rule for rule in reversed(self.rules) if rule.name == name), None)

    def refusal(self, message: str) -> Refusal:
        """400 as Spring says it."""
        return Refusal(spring_error(HTTPStatus.BAD_REQUEST, message, self.path, self.world.now()))


def answer(asked: Asked) -> Answer:
    """The answer of the portal, changed by the rules, and the world changed if a rule says so."""
    try:
        said = _answer_consulta(asked) or _answer_integration(asked)
    except Refusal as refusal:
        return refusal.answer
    return said or spring_error(HTTPStatus.NOT_FOUND, None, asked.path, asked.world.now())


def _answer_consulta(asked: Asked) -> Answer | None:
    """What the consulta service answers; None where it has no such path."""
    if asked.path in LISTINGS:
        return _answer_listing(asked, *LISTINGS[asked.path])
    compra = _COMPRA.fullmatch(asked.path)
    if compra is None or compra[1] != "consulta" or compra[5] is not None:
        return None
    record = _contratacao(asked.world, compra)
    return absent(NO_CONTRATACAO) if record is None else _detail(asked.world, record)


def _answer_integration(asked: Asked) -> Answer | None:
    """What the integration service answers; None where it has no such path."""
    compra = _COMPRA.fullmatch(asked.path)
    if compra and compra[1] == "pncp" and compra[5] is not None:
        return _answer_items(asked, _contratacao(asked.world, compra), count_only=compra[6] is not None)
    if plan := _PCA.fullmatch(asked.path):
        return _answer_pca(asked, *plan.groups())
    if child := children.read_path(asked.path):
        return _answer_children(asked, child)
    if table := tables.read_path(asked.path):
        return _answer_table(asked, table)
    return None


def _contratacao(world: World, compra: re.Match[str]) -> Contratacao | None:
    return world.contratacoes.records.get(CONTRATACOES.key(compra[2], int(compra[4]), int(compra[3])))


def _answer_listing(asked: Asked, resource: Resource, criterio: Criterio) -> Answer:
    query, page, size = _read_query(asked, resource, criterio)
    listing = asked.world.rows(query)
    if resource.repeats:
        listing = _with_repeats(listing, asked.quirks.listed_twice)
    pages = math.ceil(len(listing) / size)
    if not listing:
        return _nothing_listed(asked, resource)
    if page > pages and asked.quirks.page_beyond_end == "204":
        return nothing_found()
    if page > pages and asked.quirks.page_beyond_end == "400":
        raise asked.refusal("Número de página inválido")
    second = asked.rule("second_look_empty")
    if second and page == 1 and pages > 1 and second.look(str(query)) % 2 == 0:
        return _nothing_listed(asked, resource)
    shown = page
    if asked.rule("copied_page"):
        shown = page + 1 if page < pages else max(page - 1, 1)
    data = _rows(asked, resource, listing, (shown - 1) * size, size)
    numbers = (
        _told(asked.rule(name), true)
        for name, true in (("total_records", len(listing)), ("total_pages", pages), ("page_number", page))
    )
    body = envelope(data, *numbers)
    if change := asked.rule("change"):
        _change(asked.world, query, (page - 1) * size, size, change)
    return Answer(HTTPStatus.OK, body)


def _with_repeats(listing: Sequence[Row], share: float) -> list[Row]:
    """A listing with about that share of its records a second time, some rows further on."""
    places: list[tuple[int, bool, Row]] = []
    for place, row in enumerate(listing):
        places.append((place, False, row))
        drawn = zlib.crc32(_record_of(row).numero_controle_pncp.encode())
        if drawn % 1000 < share * 1000:
            places.append((place + drawn // 1000 % 15, True, row))
    return [row for _, _, row in sorted(places, key=lambda each: each[:2])]


def _nothing_listed(asked: Asked, resource: Resource) -> Answer:
    if resource.empty_message:
        return spring_error(resource.empty_status, resource.empty_message, asked.path, asked.world.now())
    return Answer(resource.empty_status, None if resource.empty_status == HTTPStatus.NO_CONTENT else b"")


def _rows(asked: Asked, resource: Resource, listing: Sequence[Row], start: int, size: int) -> list[bytes]:
    """The records of one page, after the quirks that act on them."""
    if asked.rule("empty_page"):
        return []
    by_orgao = resource.unordered_by and asked.parameters.get(resource.unordered_by)
    if by_orgao or asked.rule("unordered_orgao"):
        listing = list(listing)
        random.Random(f"{asked.quirks.seed}/{start}").shuffle(listing)
    if unordered := asked.rule("unordered"):
        listing = list(listing)
        order = unordered.hits if unordered.value == "each" else len(listing)
        random.Random(f"{asked.quirks.seed}/{order}").shuffle(listing)
    rows = listing[start : start + size]
    if asked.rule("left_out") and start + size >= len(listing):
        rows = rows[1:]
    if stale := asked.rule("stale_record"):
        rows = [_before(asked.world, row, stale.value) for row in rows]
    if short := asked.rule("short_page"):
        rows = rows[: 2 if short.value is None else short.value]
    repeat = asked.rule("repeat")
    if repeat and repeat.value == "next_page" and rows and start:
        rows = [listing[start - 1], *rows]
    elif repeat and repeat.value != "next_page" and rows:
        rows = [*rows, rows[0]]
    data = asked.world.render(rows)
    return spoil(data, asked.rules, resource.spoiled)


def _record_of(row: Row) -> Record:
    return row.plan if isinstance(row, PlanItem) else row


def _before(world: World, row: Row, keys: Sequence[str] | None) -> Row:
    """A row as it was before the last change of its record, if that is one of `keys` (None: any)."""
    record = _record_of(row)
    if keys is not None and record.numero_controle_pncp not in keys:
        return row
    before = world.before(record)
    if not isinstance(row, PlanItem):
        return before
    return PlanItem(before, row.place) if isinstance(before, Pca) and row.place < before.item_count else row


def _answer_items(asked: Asked, record: Contratacao | None, *, count_only: bool) -> Answer:
    if record is None:
        return absent(NO_CONTRATACAO)
    if count_only:
        return json_answer(record.item_count)
    shown = _read_page(asked)
    return _array(asked, asked.world.items(record.numero_controle_pncp), shown, _ITEM_KEYS, NO_ITEMS)


def _answer_pca(asked: Asked, cnpj: str, ano: str, sequencial: str, part: str) -> Answer:
    world = asked.world
    plan = world.pcas.records.get(PCAS.key(cnpj, int(sequencial), int(ano)))
    if plan is None:
        return absent(NO_PCA)
    if part == "consolidado":
        return json_answer(world.consolidated(plan))
    items = world.items(plan.numero_controle_pncp)
    if categoria := _parameter(asked, "categoria", "Integer", 0):
        items = [item for item in items if decode_json(item).get("categoriaItemPcaid") == categoria]
    if part != "itens":
        return json_answer(len(items))
    shown = _read_page(asked)
    if shown.stop - shown.start > _LARGEST_PCA_PAGE:
        raise asked.refusal("Tamanho de página inválido")
    data = spoil(items[shown], asked.rules, _PCA_ITEM_KEYS)
    return Answer(HTTPStatus.OK, b"[" + b",".join(data) + b"]")


def _answer_children(asked: Asked, child: children.ChildPath) -> Answer:
    kind = child.children.kind
    try:
        rows = children.find_children(asked.world, child.children)
    except children.NoParent as missing:
        return absent(str(missing))
    if child.count:
        return json_answer(len(rows))
    if child.one is not None:
        rows = [row for row in rows if decode_json(row).get(children.NUMBERS[kind]) == child.one]
        return Answer(HTTPStatus.OK, rows[0]) if rows else absent(NO_CHILDREN[kind])
    # Resultados come all at once, whatever page is asked for.
    shown = slice(None) if kind == "resultados" else _read_page(asked)
    return _array(asked, rows, shown, children.SPOILED[kind], NO_CHILDREN[kind])


def _answer_table(asked: Asked, table: tables.TablePath) -> Answer:
    entries = asked.world.tables.entries(table.name)
    if table.codes:
        entry = entries.get(table.codes)
        return absent(NO_ENTRY) if entry is None else Answer(HTTPStatus.OK, encode_json(entry))
    rows = list(entries.values())
    for name, place in tables.TABLES[table.name].filters.items():
        wanted = _flag(asked, name) if name == "statusAtivo" else _parameter(asked, name, "Long", 0) or None
        if wanted is not None:
            rows = [row for row in rows if tables.value_at(row, place) == wanted]
    return _array(asked, [encode_json(row) for row in rows], slice(None), tables.SPOILED, NO_ENTRY)


def _read_page(asked: Asked) -> slice:
    """Which entries of a list of the integration service are asked for."""
    page = _parameter(asked, "pagina", "Integer", 1)
    # Ten by default, without a sign that there are more.
    size = _parameter(asked, "tamanhoPagina", "Integer", _ITEMS_PAGE_SIZE)
    if page < 1 or size < 1:
        raise asked.refusal("Número de página inválido")
    return slice((page - 1) * size, page * size)


def _array(asked: Asked, rows: list[bytes], shown: slice, spoiled: Mapping[str, str], none: str) -> Answer:
    """A list of the integration service: an array without an envelope; `none` is said where there are no rows."""
    if not rows and asked.quirks.no_items != "empty":
        return absent(none) if asked.quirks.no_items == "404" else nothing_found()
    return Answer(HTTPStatus.OK, b"[" + b",".join(spoil(rows[shown], asked.rules, spoiled)) + b"]")


def _detail(world: World, record: Contratacao) -> Answer:
    """The record of the listing and three keys more; its bytes are kept as they are."""
    more = {
        "orcamentoSigilosoCodigo": 1,
        "orcamentoSigilosoDescricao": "Compra sem sigilo",
        "existeResultado": any(b'"temResultado":true' in item for item in world.items(record.numero_controle_pncp)),
    }
    return Answer(HTTPStatus.OK, world.payload(record)[:-1] + b"," + orjson.dumps(more)[1:])


# Parameters


def _read_query(asked: Asked, resource: Resource, criterio: Criterio) -> tuple[Query, int, int]:
    """The query, page and page size asked for; Refusal as the portal refuses."""
    for name, kind in resource.required.items():
        if not asked.parameters.get(name):
            raise asked.refusal(f"Required request parameter '{name}' for method parameter type {kind} is not present")
    modalidade = _parameter(asked, resource.division, "Long", 0) if resource.division else None
    filters = tuple(
        (field, value)
        for name, (kind, field) in resource.filters.items()
        if (value := asked.parameters.get(name) if kind == "String" else _parameter(asked, name, kind, 0))
    )
    page = _parameter(asked, "pagina", "Integer", 1)
    size = _parameter(asked, "tamanhoPagina", "Integer", resource.default_page_size)
    if size not in resource.page_sizes:
        raise asked.refusal("Tamanho de página inválido")
    if page < 1:
        raise asked.refusal("Número de página inválido")
    for name, other in resource.needs.items():
        if asked.parameters.get(name) and not asked.parameters.get(other):
            raise Refusal(validation_error(NO_CNPJ, asked.path, asked.world.now()))
    first, last = _read_days(asked, resource)
    return Query(criterio, modalidade, first, last, filters, resource.name), page, size


def _read_days(asked: Asked, resource: Resource) -> tuple[date, date]:
    """The first and the last day asked for, both included; the last may lie before the first, and nothing between."""
    first, last = _day(asked.parameters[resource.first_day]), _day(asked.parameters[resource.last_day])
    if first is None or last is None:
        message = f"Data {'Inicial' if first is None else 'Final'} inválida"
    elif first > last:
        message = "Data Inicial deve ser anterior ou igual à Data Final"
    elif (last - first).days > _LONGEST_DAYS:
        message = "Período inicial e final maior que 365 dias."
    elif resource.earliest is not None and first < resource.earliest:
        message = f"Data inicial inválida ou anterior a {resource.earliest:%Y%m%d}"
    else:
        return first, last - timedelta(days=resource.last_day_excluded)
    raise Refusal(validation_error(message, asked.path, asked.world.now()))


def _parameter(asked: Asked, name: str, kind: str, default: int) -> int:
    text = asked.parameters.get(name)
    if not text:
        return default
    value = _whole(text)
    if value is None or abs(value) >= (_INT32 if kind == "Integer" else _INT64):
        raise asked.refusal(
            f"Failed to convert value of type 'java.lang.String' to required type 'java.lang.{kind}'; nested exception "
            f'is java.lang.NumberFormatException: For input string: "{text}"'
        )
    return value


def _flag(asked: Asked, name: str) -> bool | None:
    """True or false, None where the parameter is left out."""
    text = asked.parameters.get(name)
    if not text:
        return None
    if text not in {"true", "false"}:
        raise asked.refusal(
            "Failed to convert value of type 'java.lang.String' to required type 'java.lang.Boolean'; nested exception "
            f"is java.lang.IllegalArgumentException: Invalid boolean value [{text}]"
        )
    return text == "true"


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"[+-]?[0-9]{1,20}", text) else None


def _day(text: str | None) -> date | None:
    if text is None or not re.fullmatch(r"[0-9]{8}", text):
        return None
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return None


# What quirks do to a true answer


def spoil(data: list[bytes], rules: list[Rule], keys: Mapping[str, str]) -> list[bytes]:
    """The records of a page, some of them spoiled by `rules`; `keys` has the key that each kind spoils by default."""
    for rule in rules:
        if rule.name not in SPOILERS or not data:
            continue
        value = rule.value if isinstance(rule.value, dict) else {"position": rule.value or 0}
        chosen = (
            range(len(data))
            if value.get("all", rule.name == "drifted_field")
            else [min(int(value.get("position", 0)), len(data) - 1)]
        )
        name = str(value.get("field") or keys.get(rule.name) or keys["text"])
        data = [_spoiled(record, rule.name, name) if index in chosen else record for index, record in enumerate(data)]
    return data


def _spoiled(record: bytes, kind: str, name: str) -> bytes:
    if kind == "not_an_object":
        return b'"registro"'
    parsed = decode_json(record)
    text = str(parsed.get(name) or "texto")
    match kind:
        case "nul":
            parsed[name] = f"{text[:3]}\0{text[3:]}"
        case "surrogate":
            parsed[name] = f"{text}\ud800"
        case "long_text":
            parsed[name] = "á" * (1 << 20)
        case "nan":
            parsed[name] = math.nan
        case "huge_number":
            parsed[name] = 10**30
        case "wrong_type" | "drifted_field":
            parsed[name] = {"inesperado": [1, "dois", None]}
        case "missing_key":
            parsed.pop(name, None)
        case "null_dates":
            parsed |= dict.fromkeys(_STAMPS & parsed.keys())
        case _:
            parsed |= {"campoNovo": "valor", "outroCampoNovo": {"codigo": 1, "lista": [1, 2, 3]}}
    return encode_json(parsed)


def _told(rule: Rule | None, true: int) -> Any:
    """The number in an envelope: the true one, one moved by '+5' or '-3', or the rule's."""
    if rule is None:
        return true
    if isinstance(rule.value, str) and re.fullmatch(r"[+-]\d+", rule.value):
        return true + int(rule.value)
    return rule.value


def _change(world: World, query: Query, start: int, size: int, rule: Rule) -> None:
    """Change the listing of `query` after its page at `start` has been read, as its rule says."""
    value = rule.value or {}
    listing = [_record_of(row) for row in world.rows(query)]
    pool = {
        "any": listing,
        "page": listing[start : start + size],
        "before": listing[:start],
        "after": listing[start + size :],
    }[value.get("from", "any")]
    keys = list(dict.fromkeys(record.numero_controle_pncp for record in pool))
    random.Random(f"{rule.hits}/{len(keys)}").shuffle(keys)
    removed = value.get("remove", 0)
    world.remove(keys[:removed])
    world.touch(keys[removed : removed + value.get("touch", 0)])
    stamps = [datetime.fromisoformat(record.stamp(query.criterio)) for record in listing]
    first, last = (stamps[0], stamps[-1]) if stamps else (datetime.combine(query.first_day, datetime.min.time()),) * 2
    midnight = datetime.combine(query.last_day, datetime.max.time().replace(microsecond=0))
    kind: dict[str, Any] = {"modalidade": query.modalidade, "resource": query.resource}
    world.publish(value.get("append", 0), at=min(last + timedelta(seconds=1), midnight), **kind)
    middle = first + timedelta(seconds=(last - first).total_seconds() // 2)
    world.publish(value.get("insert", 0), at=middle, **kind)
