"""The rows of an entity, and how many there are, as SQL and as JSON."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

import asyncpg
import orjson

from backend.errors import TooBroadError, TooSlowError
from backend.services.entities.cursor import Place, to_cursor
from backend.services.entities.question import RANKED, Question, Where
from backend.services.exports.tables import grouped
from backend.services.summary import load_rollup_total
from common.entities.entity import DATES, RELEVANCE, Entity, Field, Order
from common.masking import mask_field, mask_fields, mask_text, mask_texts
from common.resources import PERSONAL
from common.resources.description import Kind

# ruff: noqa: S608  # names in these statements stand in descriptions, and values are parameters

COUNTED = 10_000
"""How many rows are counted where a count is not asked for in full."""
LIST_SECONDS = 10.0
COUNT_SECONDS = {"limitada": 0.5, "exata": 5.0}
"""How long a list counts; a limited count is not to take longer than the list."""
ANSWER_SECONDS = 2.0
"""How long the database may take to answer anything at all, after a question that took too long."""
FAR = 1_000
"""From so many skipped rows on, keys are looked for alone: an index has them, and rows are wide."""

_KINDS_IN_WORDS = {"minimo": "mais de ", "estimado": "cerca de "}
TotalKind = Literal["exato", "minimo", "estimado", "nenhum"]
Driver = "asyncpg.Connection[Any]"


@dataclass(frozen=True)
class Total:
    """How many rows there are, and what kind of number that is: exact, at least so many, estimated, not counted."""

    number: int | None
    kind: TotalKind

    def to_words(self) -> str:
        """As Brazil writes it, with its kind."""
        return f"{_KINDS_IN_WORDS.get(self.kind, '')}{grouped(self.number or 0)}"


@dataclass(frozen=True)
class Page:
    """The rows of a page as they are shown, and the cursor of the next one, if there is one."""

    rows: list[dict[str, Any]]
    next_cursor: str | None
    total: Total


# --- statements -------------------------------------------------------------------------------------------------


def ordered(order: Order, key: Iterable[Field]) -> str:
    """What stands behind ORDER BY, for rows that have a value in the order."""
    direction = " DESC" if order.is_descending else ""
    return ", ".join(f"{sql}{direction}" for sql in (order.sql, *(each.sql for each in key)))


def _by_key(order: Order, key: Iterable[Field]) -> str:
    direction = " DESC" if order.is_descending else ""
    return ", ".join(f"{each.sql}{direction}" for each in key)


def _after(where: Where, order: Order, key: Sequence[Field], place: Place) -> None:
    """Add the condition of the rows after a place, among those with a value in the order if it has one."""
    columns = [each.sql for each in key]
    values = list(place.key)
    if place.value is not None:
        columns, values = [order.sql, *columns], [place.value, *values]
    sign = "<" if order.is_descending else ">"
    parameters = ", ".join(where.parameter(value) for value in values)
    where.conditions.append(f"({', '.join(columns)}) {sign} ({parameters})")


def _ranked(entity: Entity, where: Where) -> Where:
    """The rows of which a list by relevance is made: rank is worked out for each, whichever are shown."""
    key = ", ".join(each.sql for each in entity.key)
    first = f"ORDER BY {ordered(entity.default_order, entity.key)} LIMIT {RANKED}"
    return Where([f"({key}) IN (SELECT {key} FROM {entity.source}{where.sql} {first})"], where.values)


def _select(entity: Entity, columns: str, where: Where, *, order_by: str, limit: int, skip: int) -> str:
    paged = f"ORDER BY {order_by} LIMIT {limit}" + (f" OFFSET {skip}" if skip else "")
    if skip < FAR:
        return f"SELECT {columns} FROM {entity.source}{where.sql} {paged}"
    keys = [each.sql for each in entity.key]
    inner = ", ".join(f"{sql} AS k{n}" for n, sql in enumerate(keys))
    on = " AND ".join(f"{sql} = far.k{n}" for n, sql in enumerate(keys))
    return f"""
    SELECT {columns} FROM {entity.source}
      JOIN (SELECT {inner} FROM {entity.source}{where.sql} {paged}) far ON {on} ORDER BY {order_by}"""


def shown_columns(question: Question) -> tuple[Field, ...]:
    """The fields that are read: those that are asked for, and those that say which kind of person they are about."""
    wanted = {each.name: each for each in question.fields}
    if not question.sees_all:
        people = (each.person for each in question.fields if each.person)
        wanted |= {name: question.entity.fields[name] for name in people if name not in wanted}
    return tuple(wanted.values())


# --- reading ----------------------------------------------------------------------------------------------------


async def load_page(driver: "asyncpg.Connection[Any]", question: Question) -> Page:
    """A page of rows, and their total.

    Raises:
        TooBroadError: it takes too long, and no filter is given that an index begins with.
        TooSlowError: it takes too long all the same.
        TimeoutError: the database does not answer any more.

    """
    try:
        return await _load_page(driver, question)
    except TimeoutError as error:
        if not driver.is_in_transaction():  # which has failed, and takes no more
            await driver.execute("SELECT", timeout=ANSWER_SECONDS)
        raise too_slow(question) from error


def too_slow(question: Question) -> TooBroadError | TooSlowError:
    """The error of a question that takes too long, by whether an index leads one of its filters."""
    leading = [each.name for each in question.entity.filters.values() if each.leads]
    if not leading or any(each.filter.leads for each in question.asked.values()):
        return TooSlowError(
            f"A consulta passou de {LIST_SECONDS:.0f} segundos. Peça um período menor, ou tente de novo mais tarde."
        )
    return TooBroadError(
        f"A consulta passou de {LIST_SECONDS:.0f} segundos. Acrescente um filtro que um índice conduz:"
        f" {', '.join(leading)}."
    )


async def _load_page(driver: "asyncpg.Connection[Any]", question: Question) -> Page:
    rows = await _load_rows(driver, question)
    has_more = len(rows) > question.limit
    rows = rows[: question.limit]
    cursor = None
    if has_more:
        last = list(rows[-1].values())[-1 - len(question.entity.key) :]
        cursor = to_cursor(Place(last[0], tuple(last[1:])), question.entity, question.order)
    if question.place is None and not has_more and (rows or not question.skip):
        total = Total(question.skip + len(rows), "exato")
    else:
        total = await load_total(driver, question)
    return Page(to_objects(question, rows), cursor, total)


async def _load_rows(driver: "asyncpg.Connection[Any]", question: Question) -> list[asyncpg.Record]:
    """One row more than asked for, if there is one; at the end of each its value in the order, and its key."""
    order, entity, place = question.order, question.entity, question.place
    wanted, skip = question.limit + 1, question.skip
    rows: list[asyncpg.Record] = []
    if place is None or place.value is not None:
        where = question.where()
        if order.name == RELEVANCE:
            where = _ranked(entity, where)
        if place is not None:
            _after(where, order, entity.key, place)
        if not order.is_required:
            where.conditions.append(f"{order.sql} IS NOT NULL")
        left: int | None = skip
        if skip >= FAR and order.kind in DATES:
            left = await _go_far(driver, question, where)
        if left is not None:
            rows = await _fetch(driver, question, where, order_by=ordered(order, entity.key), limit=wanted, skip=left)
        place = None
    if order.is_required or len(rows) == wanted:
        return rows
    where = question.where()
    if skip and not rows:  # how many of those to be skipped have a value
        where.conditions.append(f"{order.sql} IS NOT NULL")
        counted = f"SELECT count(*) FROM (SELECT FROM {entity.source}{where.sql} LIMIT {skip}) AS counted"
        skip -= await driver.fetchval(counted, *where.values, timeout=LIST_SECONDS)
        where = question.where()
    else:
        skip = 0
    where.conditions.append(f"{order.sql} IS NULL")
    if place is not None:
        _after(where, order, entity.key, place)
    return rows + await _fetch(
        driver, question, where, order_by=_by_key(order, entity.key), limit=wanted - len(rows), skip=skip
    )


async def _go_far(driver: "asyncpg.Connection[Any]", question: Question, where: Where) -> int | None:
    """Add the condition of the rows from the value on of the first that is not skipped; how many of them to skip.

    `None` where all rows are skipped. The value alone an index has, where the key too would be looked up row by row.
    """
    order = question.order
    direction, sign, last = (" DESC", "<=", "min") if order.is_descending else ("", ">=", "max")
    statement = f"""
    WITH firsts AS MATERIALIZED (
        SELECT {order.sql} AS value FROM {question.entity.source}{where.sql}
         ORDER BY {order.sql}{direction} LIMIT {question.skip + 1}
    )
    SELECT last.value, count(*) AS firsts, count(*) FILTER (WHERE firsts.value <> last.value) AS before
      FROM firsts CROSS JOIN (SELECT {last}(value) AS value FROM firsts) AS last GROUP BY last.value"""
    found = await driver.fetchrow(statement, *where.values, timeout=LIST_SECONDS)
    if found is None or found["firsts"] <= question.skip:
        return None
    where.conditions.append(f"{order.sql} {sign} {where.parameter(found['value'])}")
    return question.skip - int(found["before"])


async def _fetch(
    driver: "asyncpg.Connection[Any]", question: Question, where: Where, *, order_by: str, limit: int, skip: int
) -> list[asyncpg.Record]:
    # JSON as text: the driver would read it, and numbers would lose digits
    shown = [
        f"CAST({each.sql} AS text) AS {each.name}" if each.kind is Kind.JSON else f"{each.sql} AS {each.name}"
        for each in shown_columns(question)
    ]
    places = [
        f"{question.order.sql} AS place_",
        *(f"{each.sql} AS k{n}_" for n, each in enumerate(question.entity.key)),
    ]
    columns = ", ".join((*shown, *places))
    statement = _select(question.entity, columns, where, order_by=order_by, limit=limit, skip=skip)
    return await driver.fetch(statement, *where.values, timeout=LIST_SECONDS)


async def load_total(driver: "asyncpg.Connection[Any]", question: Question, *, seconds: float | None = None) -> Total:
    """How many rows the question has, counted as it says; after so many seconds, the count is an estimate."""
    if question.counting == "nao":
        return Total(None, "nenhum")
    known = await load_rollup_total(driver, question)
    if known is not None:
        return Total(known, "exato")
    where, source = question.where(), question.entity.source
    selected, limit = (
        f"SELECT FROM {source}{where.sql}",
        "" if question.counting == "exata" else f" LIMIT {COUNTED + 1}",
    )
    statement = f"SELECT count(*) FROM ({selected}{limit}) AS counted"
    try:
        number = await driver.fetchval(statement, *where.values, timeout=seconds or COUNT_SECONDS[question.counting])
    except TimeoutError:
        if driver.is_in_transaction():  # in which nothing can be asked any more
            raise
        return Total(await _estimate(driver, selected, where), "estimado")
    return Total(COUNTED, "minimo") if limit and number > COUNTED else Total(number, "exato")


async def _estimate(driver: "asyncpg.Connection[Any]", statement: str, where: Where) -> int:
    """How many rows the planner expects."""
    explained = f"EXPLAIN (FORMAT JSON) {statement}"
    plan = await driver.fetchval(explained, *where.values, timeout=LIST_SECONDS)
    return int(plan[0]["Plan"]["Plan Rows"])


# --- JSON -------------------------------------------------------------------------------------------------------


def to_objects(question: Question, rows: Iterable[asyncpg.Record]) -> list[dict[str, Any]]:
    """Rows as they are shown: JSON as it is stored, and the numbers of natural persons masked."""
    names = dict.fromkeys(each.name for each in question.fields)  # the first columns of rows, in their order
    as_json = [each for each in question.fields if each.kind is Kind.JSON]
    masked = [] if question.sees_all else [each for each in question.fields if each.is_personal or each.is_free]
    shown = []
    for row in rows:
        made = dict(zip(names, row.values(), strict=False))
        for each in masked:
            if made[each.name] is not None:
                made[each.name] = _masked(question.entity, each, row, made[each.name])
        for each in as_json:
            if isinstance(made[each.name], str):
                made[each.name] = orjson.Fragment(made[each.name])
        shown.append(made)
    return shown


def _masked(entity: Entity, field: Field, row: asyncpg.Record, value: Any) -> Any:
    """A value without CPFs; in JSON of others they may stand under any name."""
    if field.kind is Kind.JSON:
        read = mask_fields(json.loads(value, parse_float=Decimal), PERSONAL)
        return read if entity.declared is None else mask_texts(read)
    return mask_text(value) if field.is_free else mask_field(value, row[field.person] if field.person else None)


def to_json(value: Mapping[str, Any]) -> bytes:
    """JSON with every decimal as a number with all its digits."""
    return orjson.dumps(value, default=_number)


def _number(value: object) -> orjson.Fragment:
    if not isinstance(value, Decimal):
        raise TypeError
    return orjson.Fragment(f"{value:f}" if value.is_finite() else "null")
