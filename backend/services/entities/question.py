"""What a reader asks of an entity: its query string, read into conditions, columns, order and place.

An unknown parameter is refused with the name that comes nearest. The portal ignores it, and answers for the whole
country.
"""

import difflib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, NoReturn, get_args

from fastapi.exceptions import RequestValidationError

from backend.services.entities.cursor import LONGEST, Place, parse_cursor
from backend.services.search import Unanswerable, to_tsquery_text
from common.entities.entity import (
    DATES,
    INTEGERS,
    LARGEST_LONG,
    RELEVANCE,
    SEARCH,
    Entity,
    Field,
    Filter,
    Form,
    Order,
)
from common.resources.description import Kind

Counting = Literal["limitada", "exata", "nao"]
"""How rows are counted: up to a limit, all of them, or not at all."""
COUNTINGS: tuple[Counting, ...] = get_args(Counting)
DEFAULT_LIMIT, MOST_ROWS, MOST_SKIPPED = 100, 500, 100_000
RANKED = 10_000
"""Of so many records, the first in the entity's own order, a list by relevance is made."""
MOST_VALUES, LONGEST_VALUE = 200, 250
LARGEST_INTEGER = 2**31 - 1
VALUE = "{value}"
ALL_FIELDS = "todos"
ASCENDING = ":asc"
PERSONAL = "dados_pessoais"

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}")
_INTEGER = re.compile(r"-?[0-9]{1,19}")
_PUNCTUATED = re.compile(
    r"[0-9A-Z]{2}\.?[0-9A-Z]{3}\.?[0-9A-Z]{3}/?[0-9A-Z]{4}-?[0-9]{2}|[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}"
)
_BOOLEANS = {"true": True, "false": False, "sim": True, "nao": False, "não": False, "1": True, "0": False}


@dataclass
class Where:
    """Conditions as they are made, with the values of their parameters."""

    conditions: list[str] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)

    def parameter(self, value: Any) -> str:
        """The next parameter, which stands for this value."""
        self.values.append(value)
        return f"${len(self.values)}"

    @property
    def sql(self) -> str:
        """All conditions, behind WHERE if there is any."""
        return f" WHERE {' AND '.join(self.conditions)}" if self.conditions else ""


@dataclass(frozen=True)
class Asked:
    """What is asked of one filter: the condition, in which `{value}` stands for the value, if it has one.

    `day`: the value as it was written, where that is a whole day.
    """

    filter: Filter
    sql: str
    value: Any = None
    day: date | None = None
    written: tuple[str, ...] = ()


@dataclass(frozen=True)
class Question:
    """What is asked: `asked` by filter, `fields` of each row, and where in which order.

    `period`: the first and the last day of the entity's period, where filters name them. `sees_all`: nothing is masked.
    """

    entity: Entity
    asked: Mapping[str, Asked]
    fields: tuple[Field, ...]
    order: Order
    limit: int = DEFAULT_LIMIT
    skip: int = 0
    place: Place | None = None
    counting: Counting = "limitada"
    period: tuple[date | None, date | None] = (None, None)
    sees_all: bool = False

    def where(self, *, without: str = "") -> Where:
        """The conditions, but for those of one filter."""
        where = Where()
        for name, asked in self.asked.items():
            if name != without:
                where.conditions.append(_condition(asked, where))
        return where


def _condition(asked: Asked, where: Where) -> str:
    """The condition of a filter, with parameters for its values."""
    value, place = asked.value, VALUE
    if value is None:
        return asked.sql
    if isinstance(value, list) and len(value) == 1:
        # an index gives rows in the order of its second column for one value, and not for `= ANY` of one
        value, place = value[0], f"ANY({VALUE})"
    return asked.sql.replace(place, where.parameter(value))


@dataclass(frozen=True)
class Parameter:
    """A parameter that is no filter, for the document of the API."""

    name: str
    description: str
    schema: Mapping[str, Any]


PERSONAL_DATA = Parameter(
    PERSONAL, "`true`: CPFs por inteiro; só para administradores", {"type": "boolean", "default": False}
)


def parameters_of(entity: Entity) -> tuple[Parameter, ...]:
    """The parameters of a list beside its filters."""
    orders = [name + suffix for name in entity.orders for suffix in ("", ASCENDING, ":desc")]
    return (
        Parameter(
            "limite",
            "quantos registros",
            {"type": "integer", "minimum": 1, "maximum": MOST_ROWS, "default": DEFAULT_LIMIT},
        ),
        Parameter(
            "pular",
            "quantos registros antes do primeiro; para ir mais longe, use `cursor`",
            {"type": "integer", "minimum": 0, "maximum": MOST_SKIPPED, "default": 0},
        ),
        Parameter("cursor", "o valor de `proximo` da página anterior, com os mesmos filtros e a mesma ordem", _TEXT),
        Parameter(
            "ordem",
            f"a ordem; sem direção, {'decrescente' if entity.default_order.is_descending else 'crescente'}."
            " Quem não tem o valor vem por último"
            + (
                f". `{RELEVANCE}` só vale com `{SEARCH}`, e põe em ordem os 10.000 registros mais recentes"
                if RELEVANCE in entity.orders
                else ""
            ),
            {"type": "string", "enum": orders, "default": entity.default_order.name},
        ),
        Parameter(
            "contagem",
            "`limitada` conta até 10.000, por até meio segundo, e `exata` até o fim, por até 5 segundos; o que demora"
            " mais vira estimativa",
            {"type": "string", "enum": list(COUNTINGS), "default": COUNTINGS[0]},
        ),
        Parameter(
            "campos",
            "os campos de cada registro, separados por vírgula; `todos` traz também os que raramente interessam"
            + (", e `payload`, o registro como veio do portal" if "payload" in entity.fields else ""),
            {
                "type": "array",
                "items": {"type": "string", "enum": [ALL_FIELDS, *entity.fields]},
            },
        ),
        PERSONAL_DATA,
    )


_TEXT: Mapping[str, Any] = {"type": "string", "maxLength": LONGEST}
_OWN = ("limite", "pular", "cursor", "ordem", "contagem", "campos", PERSONAL)
PAGING = ("limite", "pular", "cursor", "contagem")
"""The parameters that say which rows of a list are shown, and not which there are."""


def parse_question(
    entity: Entity,
    parameters: Iterable[tuple[str, str]],
    *,
    may_see_all: bool = False,
    has_pages: bool = True,
    instead: tuple[str, ...] | None = None,
) -> Question:
    """Read a query string.

    `may_see_all`: the reader may ask for the numbers of natural persons. `has_pages`: false for what is answered
    whole, to which the parameters of pages do not belong. `instead` of all own parameters, these are known beside the
    filters; the caller reads them.

    Raises:
        RequestValidationError: a parameter is unknown, repeated or has a value that does not serve.

    """
    given: defaultdict[str, list[str]] = defaultdict(list)
    for name, value in parameters:
        given[name].append(value)
    own = () if instead is not None else _OWN if has_pages else tuple(name for name in _OWN if name not in PAGING)
    _refuse_unknown(entity, given, own if instead is None else instead)
    for name in own:
        if len(given.get(name, ())) > 1:
            refuse(name, "foi informado mais de uma vez")
    one = {name: given[name][0] for name in own if name in given}
    asked = {
        name: replace(_ask(entity.filters[name], values), written=tuple(values))
        for name, values in given.items()
        if name in entity.filters
    }
    order = _order(entity, one.get("ordem"))
    if order.name == RELEVANCE:
        if SEARCH not in asked:
            refuse("ordem", f"só é {RELEVANCE} junto com {SEARCH}")
        asked = {SEARCH: asked.pop(SEARCH), **asked}  # its words are the first parameter, as the order expects
    skip = _integer("pular", one.get("pular", "0"), 0, MOST_SKIPPED)
    place = None
    if "cursor" in one:
        if skip:
            refuse("cursor", "não vale junto com pular")
        place = parse_cursor(one["cursor"], entity, order)
        if place is None:
            refuse("cursor", "não é desta lista e desta ordem: use o valor de proximo, sem mudar os outros parâmetros")
    sees_all = _sees_all(given.get(PERSONAL, []), may_see_all=may_see_all)
    counting = one.get("contagem", COUNTINGS[0])
    if counting not in COUNTINGS:
        refuse("contagem", f"deve ser {_or(COUNTINGS)}")
    return Question(
        entity,
        asked,
        _fields(entity, one.get("campos")),
        order,
        _integer("limite", one.get("limite", str(DEFAULT_LIMIT)), 1, MOST_ROWS),
        skip,
        place,
        counting,
        (_end(entity, given, "_de"), _end(entity, given, "_ate")),
        sees_all,
    )


def parse_sees_all(parameters: Iterable[tuple[str, str]], *, may_see_all: bool) -> bool:
    """Read the query string of one row, which has one parameter: whether the numbers of natural persons are shown.

    Raises:
        RequestValidationError: as for `parse_question`.

    """
    values: list[str] = []
    for name, value in parameters:
        if name != PERSONAL:
            refuse(name, f"não é um parâmetro de um registro, que só tem {PERSONAL}")
        values.append(value)
    return _sees_all(values, may_see_all=may_see_all)


def _sees_all(values: list[str], *, may_see_all: bool) -> bool:
    if len(values) > 1:
        refuse(PERSONAL, "foi informado mais de uma vez")
    sees_all = bool(values) and _boolean(PERSONAL, values[0])
    if sees_all and not may_see_all:
        refuse(PERSONAL, "só vale para administradores")
    return sees_all


def refuse(name: str, message: str) -> NoReturn:
    """Refuse a parameter; the message goes on after its name."""
    raise RequestValidationError([{"type": "parameter", "loc": ("query", name), "msg": message}])


def _or(names: Iterable[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} ou {last}" if others else last


def _nearest(name: str, known: Iterable[str]) -> str:
    """The end of a sentence that says what may have been meant."""
    near = difflib.get_close_matches(name[:100], list(known), n=3, cutoff=0.5)
    return f"; o mais próximo é {_or(near)}" if near else ""


def _refuse_unknown(entity: Entity, given: Iterable[str], own: tuple[str, ...]) -> None:
    known = [*entity.filters, *own]
    for name in given:
        if name not in known:
            refuse(name, f"não é um parâmetro de /{entity.address}{_nearest(name, known)}")


def _fields(entity: Entity, written: str | None) -> tuple[Field, ...]:
    if written is None:
        return tuple(each for each in entity.fields.values() if each.is_default)
    names = dict.fromkeys(name.strip() for name in written.split(","))
    if ALL_FIELDS in names:
        return tuple(entity.fields.values())
    for name in names:
        if name not in entity.fields:
            refuse("campos", f"tem um campo que não existe{_nearest(name, entity.fields)}")
    return tuple(entity.fields[name] for name in names)


def _order(entity: Entity, written: str | None) -> Order:
    if written is None:
        return entity.default_order
    name, _, direction = written.partition(":")
    if name not in entity.orders or direction not in ("", "asc", "desc"):
        refuse("ordem", f"deve ser {_or(entity.orders)}, e depois :asc ou :desc")
    order = entity.orders[name]
    return replace(order, is_descending=direction == "desc") if direction else order


# --- values -----------------------------------------------------------------------------------------------------


def _ask(chosen: Filter, values: list[str]) -> Asked:
    if chosen.form is Form.ANY:
        read = [_value(chosen, each) for value in values for each in _split(chosen.kind, value)]
        if len(read) > MOST_VALUES:
            refuse(chosen.name, f"tem mais de {MOST_VALUES} valores")
        return Asked(chosen, f"{chosen.sql} = ANY({VALUE})", read)
    if len(values) > 1:
        refuse(chosen.name, "foi informado mais de uma vez")
    if chosen.form is Form.SEARCH:
        return Asked(chosen, f"{chosen.sql} @@ to_tsquery('pncp', {VALUE})", _words(chosen, values[0]))
    value = _value(chosen, values[0])
    if chosen.form is Form.HOLDS:
        return Asked(chosen, f"({chosen.sql})" if value else f"({chosen.sql}) IS NOT TRUE")
    if chosen.form is Form.WITH:
        return Asked(chosen, f"({chosen.sql.replace(VALUE, f'CAST({VALUE} AS {_CASTS[chosen.kind]})')})", value)
    day = date.fromisoformat(values[0].strip()) if chosen.kind in DATES and _DAY.fullmatch(values[0].strip()) else None
    if chosen.form is Form.TO and isinstance(value, datetime) and day is not None:
        value = datetime.combine(day, time.max)  # all of the day
    return Asked(chosen, f"{chosen.sql} {'>=' if chosen.form is Form.FROM else '<='} {VALUE}", value, day)


def _words(chosen: Filter, written: str) -> str:
    _check_text(chosen.name, written)
    query = to_tsquery_text(written)
    if isinstance(query, Unanswerable):
        refuse(chosen.name, f"não serve: {query.value}")
    return query


_CASTS = {
    Kind.DAY: "date",
    Kind.MOMENT: "timestamp",
    Kind.STAMP: "timestamp",
    Kind.TEXT: "text",
    Kind.SHORT_TEXT: "text",
}


def _split(kind: Kind, value: str) -> list[str]:
    """The values in one parameter: commas stand in texts, too, but not in short ones."""
    return [value] if kind is Kind.TEXT and ", " in value else value.split(",")


def _check_text(name: str, written: str) -> None:
    if len(written) > LONGEST_VALUE:
        refuse(name, "é longo demais")
    if "\0" in written:
        refuse(name, "tem um caractere que não é aceito")


def _value(chosen: Filter, written: str) -> Any:
    name, kind = chosen.name, chosen.kind
    _check_text(name, written)
    if kind in INTEGERS:
        largest = LARGEST_LONG if kind is Kind.LONG else LARGEST_INTEGER
        return _integer(name, written.strip(), -largest, largest)
    if kind is Kind.NUMBER:
        return _number(name, written.strip())
    if kind is Kind.BOOLEAN:
        return _boolean(name, written.strip())
    if kind in DATES:
        return _date(name, written.strip(), kind)
    text = written.strip()
    return re.sub(r"[./-]", "", text) if _PUNCTUATED.fullmatch(text) else text


def _integer(name: str, written: str, least: int, most: int) -> int:
    if not _INTEGER.fullmatch(written):
        refuse(name, "deve ser um número inteiro")
    value = int(written)
    if not least <= value <= most:
        refuse(name, f"deve estar entre {least} e {most}")
    return value


def _number(name: str, written: str) -> Decimal:
    try:
        value = Decimal(written)
    except InvalidOperation:
        refuse(name, "deve ser um número, com ponto antes dos decimais")
    if not value.is_finite() or abs(value.adjusted()) > 60:  # noqa: PLR2004  # beyond what any column holds
        refuse(name, "é um número grande demais")
    return value


def _boolean(name: str, written: str) -> bool:
    value = _BOOLEANS.get(written.lower())
    if value is None:
        refuse(name, "deve ser true ou false")
    return value


def _date(name: str, written: str, kind: Kind) -> date | datetime:
    is_day = _DAY.fullmatch(written) is not None
    if not is_day and (kind is Kind.DAY or not _MOMENT.fullmatch(written)):
        refuse(
            name, "deve ser um dia, YYYY-MM-DD" + ("" if kind is Kind.DAY else ", ou um momento, YYYY-MM-DDTHH:MM:SS")
        )
    try:
        value = datetime.fromisoformat(written)
    except ValueError:
        refuse(name, "não existe no calendário")
    return value.date() if kind is Kind.DAY else value


def _end(entity: Entity, given: Mapping[str, list[str]], suffix: str) -> date | None:
    """An end of the period that is asked for, by the filter of the entity's days."""
    values = given.get(f"{entity.period}{suffix}")
    return date.fromisoformat(values[0].strip()[:10]) if values else None
