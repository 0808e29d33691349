"""The records that a saved search has matched, in the table `buscas_registros`.

What is new is what matches now and never did before. So a record counts once, whether it is inserted, altered, or comes
to match as time goes by; however late its transaction commits; and whatever happens to it afterwards.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.errors import TooSlowError
from backend.services.deliveries.files import Known
from backend.services.entities.question import Asked, Question, Where, parse_question, refuse
from backend.services.entities.rows import LIST_SECONDS, too_slow
from common.database import driver_of
from common.entities.entity import MAIN, Filter, Form
from common.resources.description import Kind

# ruff: noqa: S608  # names in these statements stand in descriptions, and values are parameters

MOST_KNOWN = 100_000
"""A search that matches more records when it is saved counts only those that are first seen from then on."""
LATE = timedelta(hours=1)
"""For such a search: how long before it is saved a transaction may have begun that commits after it."""
EVALUATION_SECONDS = 25.0
"""How long one evaluation may take; less than the time limit of a statement."""
KEPT = timedelta(days=90)
"""How long a record is remembered that matches no longer."""

_FORGET = text("DELETE FROM buscas_registros WHERE left_at < :before")
_FORGET_ORPHANS = text("""
    DELETE FROM buscas_registros r
     WHERE NOT EXISTS (SELECT FROM buscas b WHERE b.id = r.search_id AND b.generation = r.generation)
""")


@dataclass(frozen=True)
class Saved:
    """What a saved search asks: `seen_after`: only records that were first seen later count."""

    id: int
    generation: int
    question: Question
    seen_after: datetime | None

    @classmethod
    def of(cls, row: Row[Any], known: Known) -> "Saved":
        """From a row of `buscas`.

        Raises:
            RequestValidationError: this version does not know the entity or a filter.

        """
        return cls(row.id, row.generation, to_question(known, row.entity, row.filters), row.seen_after)


def to_question(known: Known, address: str, filters: Mapping[str, Sequence[str]]) -> Question:
    """The question of a list with these filters, of which it takes nothing else.

    Raises:
        RequestValidationError: there is no such list, or a filter is unknown or has a value that does not serve.

    """
    entity = known.list_of(address)
    if entity is None:
        refuse("entidade", f"{address!r} não existe: use {' ou '.join(known.addresses)}")
    parameters = [(name, value) for name, values in filters.items() for value in values]
    return parse_question(entity, parameters, instead=())


def _key(question: Question) -> str:
    parts = ", ".join(f"CAST({each.sql} AS text)" for each in question.entity.key)
    return f"concat_ws('/', {parts})"


def _select(saved: Saved) -> tuple[str, Where]:
    """The statement of the keys that match, and its parameters."""
    where = saved.question.where()
    if saved.seen_after is not None:
        where.conditions.append(f"{MAIN}.created_at > {where.parameter(saved.seen_after)}")
    return f"SELECT {_key(saved.question)} AS key FROM {saved.question.entity.source}{where.sql}", where


async def is_broad(db: AsyncConnection, question: Question) -> bool:
    """Whether so many records match that they are not remembered.

    Raises:
        TooBroadError, TooSlowError: the list of the same filters takes too long.

    """
    selected, where = _select(Saved(0, 0, question, None))
    counted = f"SELECT count(*) FROM ({selected} LIMIT {MOST_KNOWN + 1}) AS counted"
    driver = await driver_of(db)
    try:
        return bool(await driver.fetchval(counted, *where.values, timeout=LIST_SECONDS) > MOST_KNOWN)
    except TimeoutError as error:
        raise too_slow(question) from error


async def begin(db: AsyncConnection, saved: Saved) -> None:
    """Remember all records that match now: they are none of a later message.

    Raises:
        TooBroadError, TooSlowError: it takes too long.

    """
    selected, where = _select(saved)
    values = f"CAST({where.parameter(saved.id)} AS bigint), CAST({where.parameter(saved.generation)} AS integer)"
    statement = f"""
    INSERT INTO buscas_registros (search_id, generation, key, batch)
    SELECT {values}, m.key, 0 FROM ({selected}) m ON CONFLICT DO NOTHING"""
    driver = await driver_of(db)
    try:
        await driver.execute(statement, *where.values, timeout=LIST_SECONDS)
    except TimeoutError as error:
        raise too_slow(saved.question) from error


async def evaluate(db: AsyncConnection, saved: Saved, *, batch: int, reported: int, now: datetime) -> int:
    """Note what has come to match as `batch`, and what matches no longer; how many records have come.

    What leaves before any message has reported it, which are those after the batch `reported`, is forgotten, so that it
    is new when it comes back.

    Raises:
        TooSlowError: it takes too long.

    """
    selected, where = _select(saved)
    search = f"CAST({where.parameter(saved.id)} AS bigint)"
    generation = f"CAST({where.parameter(saved.generation)} AS integer)"
    number = f"CAST({where.parameter(batch)} AS integer)"
    taken = f"CAST({where.parameter(reported)} AS integer)"
    moment = f"CAST({where.parameter(now)} AS timestamptz)"
    own = f"k.search_id = {search} AND k.generation = {generation}"
    statement = f"""
    WITH matches AS MATERIALIZED ({selected}), entered AS (
        INSERT INTO buscas_registros (search_id, generation, key, batch)
        SELECT {search}, {generation}, m.key, {number} FROM matches m
         WHERE NOT EXISTS (SELECT FROM buscas_registros k WHERE {own} AND k.key = m.key)
        ON CONFLICT DO NOTHING RETURNING key
    ), returned AS (
        UPDATE buscas_registros k SET left_at = NULL FROM matches m
         WHERE {own} AND k.key = m.key AND k.left_at IS NOT NULL
    ), unreported AS (
        DELETE FROM buscas_registros k
         WHERE {own} AND k.batch > {taken} AND NOT EXISTS (SELECT FROM matches m WHERE m.key = k.key)
    ), gone AS (
        UPDATE buscas_registros k SET left_at = {moment}
         WHERE {own} AND k.batch <= {taken} AND k.left_at IS NULL
           AND NOT EXISTS (SELECT FROM matches m WHERE m.key = k.key)
    )
    SELECT count(*) FROM entered"""
    driver = await driver_of(db)
    try:
        return int(await driver.fetchval(statement, *where.values, timeout=EVALUATION_SECONDS))
    except TimeoutError as error:
        raise TooSlowError(f"A busca demorou mais de {EVALUATION_SECONDS:.0f} segundos.") from error


def noted_after(saved: Saved, batch: int) -> Question:
    """The question of the records that were noted after a batch."""
    return _with(saved, f"EXISTS ({_known(saved)} AND k.batch > {int(batch)})")


def not_reported(saved: Saved, batch: int) -> Question:
    """The question of the records that match now and that messages up to a batch have not reported."""
    question = _with(saved, f"NOT EXISTS ({_known(saved)} AND k.batch <= {int(batch)})")
    if saved.seen_after is None:
        return question
    seen = Filter("visto_depois", "", Kind.MOMENT, Form.WITH, "")
    asked = Asked(seen, f"{MAIN}.created_at > {{value}}", saved.seen_after)
    return replace(question, asked={**question.asked, "visto_depois": asked})


def _known(saved: Saved) -> str:
    own = f"k.search_id = {int(saved.id)} AND k.generation = {int(saved.generation)}"
    return f"SELECT FROM buscas_registros k WHERE {own} AND k.key = {_key(saved.question)}"


def _with(saved: Saved, condition: str) -> Question:
    own = Filter("novidade", "", Kind.BOOLEAN, Form.HOLDS, "")
    return replace(saved.question, asked={**saved.question.asked, "novidade": Asked(own, condition)})


async def forget(db: AsyncConnection, now: datetime) -> None:
    """Forget records that have matched no longer for a long time, and those of searches and filters that are gone."""
    await db.execute(_FORGET, {"before": now - KEPT})
    await db.execute(_FORGET_ORPHANS)
