"""Compiles the fields of a mapping to closures: from a row of an entity to one JSON object."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from hashlib import blake2b
from operator import attrgetter
from typing import Any, NoReturn

import msgspec

from common.entities.delivered import LINK, OWN, Delivered, DeliveredColumn
from common.mapping import templates, values
from common.mapping.plan import EachPlan, FieldPlan
from common.mapping.problem import At, Problem, unknown
from common.mapping.rendering import CannotRender, Rendered, Rendering
from common.mapping.scope import Columns, find_in_entry
from common.mapping.templates import Find, Get
from common.resources.description import Kind

EDITION = 1
"""Changes with the code wherever the same mapping and row have other contents than before."""
_SOURCES = ("from_", "const", "meta", "template", "each")
_encode = msgspec.json.Encoder(decimal_format="number").encode
_decode = msgspec.json.Decoder(float_hook=Decimal).decode
ARRAY, LINES, NONE = "array", "lines", "none"
JSON, NDJSON = "application/json", "application/x-ndjson"
DIGEST_BYTES = 16
_ISO = "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ"
_parts = attrgetter("year", "month", "day", "hour", "minute", "second", "microsecond")


def digest_of(columns: Sequence[DeliveredColumn], plan: Any) -> bytes:
    """What a rendering of these columns by this plan, any JSON, is told apart by."""
    parts = [EDITION, [[each.name, each.kind.name, each.sql] for each in columns], plan]
    written = json.dumps(parts, ensure_ascii=False, default=str)
    return blake2b(written.encode("utf-8", "surrogatepass"), digest_size=DIGEST_BYTES).digest()


def parse_row(row: Sequence[Any], of_json: Sequence[int]) -> list[Any]:
    """A row with its JSON columns parsed, their decimals exact.

    Raises:
        CannotRender: what a column holds cannot be read as JSON.

    """
    parsed = list(row)
    try:
        for index in of_json:
            if isinstance(parsed[index], str):
                parsed[index] = _decode(parsed[index])
    except (msgspec.DecodeError, RecursionError):
        raise CannotRender("o JSON do registro não pode ser lido") from None
    return parsed


@dataclass(frozen=True, eq=False)
class FieldsRendering(Rendering):
    """A record as a JSON object."""

    fields: tuple[tuple[str, Get], ...]
    of_json: tuple[int, ...]
    echo: str | None
    before: bytes
    between: bytes
    after: bytes

    def render(self, row: Sequence[Any], key: str, version: datetime) -> Rendered:
        """The object of a row."""
        parsed = parse_row(row, self.of_json)
        parsed += (key, version)
        made = {name: get(parsed) for name, get in self.fields}
        try:
            content = _encode(made)
        except (ValueError, TypeError, OverflowError, RecursionError):
            raise CannotRender("um valor não cabe em JSON") from None
        if self.echo is None:
            return Rendered(content, None)
        echo = values.to_text(made[self.echo])
        if echo is None:
            raise CannotRender(f"{self.echo}: sem valor, e a resposta do destino é lida por ele")
        return Rendered(content, echo)

    def body(self, contents: Sequence[bytes]) -> bytes:
        """The objects as an array, as lines, or one alone."""
        return self.before + self.between.join(contents) + self.after


def compile_fields(
    plans: Mapping[str, FieldPlan] | None, entity: Delivered, *, wrap: str, echo: str | None, at: At
) -> FieldsRendering:
    """Compile fields; where none are given, all columns but JSON and the mirror's own, by their names.

    `wrap` is how a body holds its contents; `echo` is the field by which a destination's answer names a record.

    Raises:
        Problem: a field reads what the entity does not have, or does with it what does not fit.

    """
    if plans is None:
        left_out = (LINK, *OWN)
        names = [each.name for each in entity.columns.values() if each.kind is not Kind.JSON]
        plans = {name: FieldPlan.model_validate({"from": name}) for name in names if name not in left_out}
    columns = Columns(entity.columns)
    made = [(name, _field(name, plan, columns.find, entity.name, (*at, name))) for name, plan in plans.items()]
    if echo is not None and echo not in plans:
        raise Problem(at, unknown("results.key não é um campo do registro:", echo, plans))
    used = columns.used
    count = len(used)
    before, between, after = _wrapping(wrap)
    written = [[name, plan.model_dump(mode="json", by_alias=True, exclude_unset=True)] for name, plan in plans.items()]
    return FieldsRendering(
        columns=tuple(each.name for each in used),
        digest=digest_of(used, written),
        content_type=NDJSON if wrap == LINES else JSON,
        overhead=len(before) + len(after),
        fields=tuple((name, _with_meta(get, count)) for name, get in made),
        of_json=tuple(index for index, each in enumerate(used) if each.kind is Kind.JSON),
        echo=echo,
        before=before,
        between=between,
        after=after,
    )


def _wrapping(wrap: str) -> tuple[bytes, bytes, bytes]:
    match wrap:
        case "array":
            return b"[", b",", b"]"
        case "lines":
            return b"", b"\n", b"\n"
        case "none":
            return b"", b"\n", b""
    return b"{" + _encode(wrap) + b":[", b",", b"]}"


class _Meta:
    """What reads the key or the version, which stand behind the columns, however many these are."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, _row: Any) -> NoReturn:
        raise AssertionError("it is replaced when all columns are known")


def _with_meta(get: Get, count: int) -> Get:
    if not isinstance(get, _Meta):
        return get
    if get.name == "key":
        return lambda row: row[count]
    return lambda row: _version(row[count + 1])


@lru_cache(maxsize=256)  # records that were stored together have the same
def _version(version: datetime) -> str:
    """In UTC with microseconds, so that the order of texts is that of moments."""
    return _ISO % _parts(version.astimezone(UTC))


def _field(name: str, plan: FieldPlan, find: Find, entity: str | None, at: At) -> Get:
    sources = [each for each in _SOURCES if each in plan.model_fields_set]
    if len(sources) != 1:
        raise Problem(at, "um campo tem exatamente um de: from, const, meta, template, each")
    done = plan.model_fields_set - set(_SOURCES)
    (source,) = sources
    if source != "from_" and done - ({"max", "upper", "required", "default"} if source == "template" else set()):
        named = ", ".join(sorted(each.rstrip("_") for each in done))
        raise Problem(at, f"`{source.rstrip('_')}` não combina com: {named}")
    match source:
        case "const":
            const = plan.const
            return lambda _row: const
        case "meta":
            return _meta(plan, entity, at)
        case "each":
            assert plan.each is not None  # noqa: S101  # it is set
            return _each(name, plan.each, find, (*at, "each"))
        case "template":
            template = templates.parse(plan.template or "", find, (*at, "template"))
            return _pipeline(name, lambda row: template.write(row) or None, None, plan, at)
    get, kind = find(plan.from_ or "", (*at, "from"))
    return _pipeline(name, get, kind, plan, at)


def _meta(plan: FieldPlan, entity: str | None, at: At) -> Get:
    if entity is None:
        raise Problem(at, "`meta` não existe dentro de each")
    return (lambda _row: entity) if plan.meta == "entity" else _Meta(str(plan.meta))


def _each(name: str, plan: EachPlan, find: Find, at: At) -> Get:
    get, kind = find(plan.from_, (*at, "from"))
    if kind not in (None, Kind.JSON):
        raise Problem((*at, "from"), f"`{plan.from_}` não é uma lista")
    fields = [
        (inner, _field(inner, each, find_in_entry, None, (*at, "fields", inner))) for inner, each in plan.fields.items()
    ]

    def read(row: Any) -> Any:
        entries = get(row)
        if entries is None:
            return None
        if not isinstance(entries, list):
            raise CannotRender(f"{name}: não é uma lista")
        try:
            return [{inner: value(entry) for inner, value in fields} for entry in entries]
        except CannotRender as error:
            raise CannotRender(f"{name}: {error}") from None

    return read


def _pipeline(name: str, get: Get, kind: Kind | None, plan: FieldPlan, at: At) -> Get:
    """What reads a field, and does with it what the plan says, in the order of its attributes."""
    cleaning, steps = _steps(plan, kind, at)
    if kind is Kind.NUMBER and not steps:
        steps = [_finite]
    has_default, default, required = "default" in plan.model_fields_set, plan.default, plan.required
    if not cleaning and not steps and not has_default and not required:
        return get

    def read(row: Any) -> Any:
        value = get(row)
        try:
            for step in cleaning:
                if value is not None:
                    value = step(value)
            if value is None:
                return default if not required or has_default else _missing()
            for step in steps:
                value = step(value)
        except CannotRender as error:
            raise CannotRender(f"{name}: {error}") from None
        return value

    return read


def _missing() -> NoReturn:
    raise CannotRender("falta o valor")


def _finite(value: Any) -> Any:
    if isinstance(value, Decimal) and not value.is_finite():
        raise CannotRender("não é um número")
    return value


def _steps(plan: FieldPlan, kind: Kind | None, at: At) -> tuple[list[values.Step], list[values.Step]]:
    """The steps that may leave nothing of a value, and those after them."""
    finals = [each for each in ("date", "decimal", "brl", "map") if getattr(plan, each) not in (None, False)]
    if len(finals) > 1:
        raise Problem(at, f"`{finals[0]}` e `{finals[1]}` não combinam")
    texts = [each for each in ("trim", "digits", "upper", "max") if getattr(plan, each) not in (None, False)]
    for each in (*finals, *texts):
        templates.check_kind(each, kind, plan.from_ or "", (*at, each))
    cleaning: list[values.Step] = [getattr(values, each) for each in ("trim", "digits") if each in texts]
    return cleaning, _final_steps(plan, kind, at)


def _final_steps(plan: FieldPlan, kind: Kind | None, at: At) -> list[values.Step]:
    steps: list[values.Step] = [values.upper] if plan.upper else []
    if plan.date is not None:
        said = values.check_format(plan.date, has_hours=kind is not Kind.DAY)
        if said:
            raise Problem((*at, "date"), said)
        steps.append(values.format_date(plan.date))
    if plan.decimal is not None:
        steps.append(values.decimal(plan.decimal))
    if plan.brl:
        steps.append(values.brl)
    if plan.map is not None:
        steps.append(_mapped(plan.map, plan.else_))
    elif "else_" in plan.model_fields_set:
        raise Problem((*at, "else"), "`else` só existe com `map`")
    if plan.max is not None:
        # what a map gives may be no text
        cut = values.at_most(plan.max)
        steps.append(lambda value: cut(value) if isinstance(value, str) else value)
        if plan.map is None:
            steps[-1] = cut
    return steps


def _mapped(known: Mapping[str, Any], otherwise: Any) -> values.Step:
    def read(value: Any) -> Any:
        text = values.to_text(value)
        if text is not None and text in known:
            return known[text]
        if otherwise == "reject":
            shown = "" if text is None else f": {text[:100]}"
            raise CannotRender(f"valor sem correspondência{shown}")
        return value if otherwise == "keep" else otherwise

    return read
