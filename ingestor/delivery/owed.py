"""The difference: which records a stream owes, asked of the entity's table and the ledger.

A record is owed where its last change or the number of the mapping differs from what was last settled. A run of mode
`update` looks at what was changed since the last one alone; a run of mode `backfill` looks at all records, and asks
again for those that were rejected.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import asyncpg

from common.delivery_tables import OWED, REJECTED, SENDING
from common.lifecycle.deliveries import StreamClaim
from ingestor.delivery.streams import Position, Registered

# ruff: noqa: S608  # names of descriptions and of checked files

AT_ONCE = 50_000
"""Keys of one question: they take some 5 MB."""
OVERLAP = timedelta(minutes=10)
"""A change may become visible this long after the moment that it is stamped with; later ones a full run finds."""
YOUNG = timedelta(days=7)
"""A rejected record is asked again by every full run while it is younger, then once in this time."""

MOMENT = "CAST({} AS timestamptz)"

Wanted = Literal["diferencas", "tudo", "rejeitados"]


@dataclass(frozen=True)
class Scope:
    """Which records a delivery asks about: what differs, all that match, or what was rejected; of some `keys`.

    `begun_at`: the moment of the request. What has had a verdict since is not asked again.
    """

    wanted: Wanted
    is_full: bool
    begun_at: datetime
    keys: tuple[str, ...] | None = None

    @property
    def forgets(self) -> bool:
        """Whether records are sent although the destination has all that is mapped of them."""
        return self.wanted == "tudo" or self.keys is not None

    @property
    def asks_rejected(self) -> bool:
        """Whether a rejected record is sent again as it is."""
        return self.is_full or self.forgets or self.wanted == "rejeitados"

    @property
    def covers(self) -> bool:
        """Whether a run of it that ends has looked at all changes."""
        return self.keys is None and self.wanted != "rejeitados"


def scope_of(claim: StreamClaim) -> Scope:
    """What the delivery of a claim asks about."""
    options = claim.options
    keys = options.get("keys")
    return Scope(
        wanted=options.get("mode", "diferencas"),
        is_full=claim.mode == "backfill",
        begun_at=claim.created_at,
        keys=None if keys is None else tuple(keys),
    )


@dataclass
class _Question:
    conditions: list[str]
    values: list[Any]

    def add(self, sql: str, *values: Any) -> None:
        """Add a condition, whose `{}` stand for these values."""
        places = []
        for value in values:
            self.values.append(value)
            places.append(f"${len(self.values)}")
        self.conditions.append(sql.format(*places))


def _ask(registered: Registered, position: Position, scope: Scope) -> _Question:
    entity, where = registered.stream.entity, registered.stream.where
    question = _Question([], [registered.id])
    if entity.condition:
        question.conditions.append(f"({entity.condition})")
    if where.sql:
        question.add(f"({where.sql})", *where.values)
    question.conditions.append(f"d.state IS DISTINCT FROM {SENDING}")
    version = entity.version.replace("{", "{{").replace("}", "}}")
    known = f"(d.key IS NOT NULL OR {version} > coalesce({MOMENT}, '-infinity'))"
    if scope.keys is not None:
        question.values.append(list(scope.keys))
        question.conditions.append(f"({entity.rows_of().format(keys=f'${len(question.values)}')})")
        question.add(f"(d.sent_at IS NULL OR d.sent_at < {MOMENT})", scope.begun_at)
    elif scope.wanted == "tudo":
        question.add(f"(d.sent_at IS NULL OR d.sent_at < {MOMENT}) AND {known}", scope.begun_at, position.baseline_at)
    elif scope.wanted == "rejeitados":
        question.add(f"d.state = {REJECTED} AND d.sent_at < {MOMENT}", scope.begun_at)
    else:
        other = f"(d.source_at, d.plan) IS DISTINCT FROM ({version}, CAST({{}} AS int))"
        differs = f"((d.state = {OWED} OR {other}) AND {known})"
        if scope.is_full:
            young = f"(d.rejected_since > {MOMENT} OR d.sent_at < {MOMENT})"
            again = f"(d.state = {REJECTED} AND d.sent_at < {MOMENT} AND {young})"
            week_ago = scope.begun_at - YOUNG
            question.add(
                f"({differs} OR {again})", registered.plan, position.baseline_at, scope.begun_at, week_ago, week_ago
            )
        else:
            question.add(differs, registered.plan, position.baseline_at)
            if position.cursor_at is not None and not _looks_at_all(position, scope):
                question.add(f"{version} >= {MOMENT}", position.cursor_at - OVERLAP)
    return question


def _source(registered: Registered) -> str:
    entity = registered.stream.entity
    return f"{entity.source} LEFT JOIN deliveries d ON d.stream_id = $1 AND d.key = {entity.key_sql}"


async def load_owed(
    driver: "asyncpg.Connection[Any]", registered: Registered, position: Position, scope: Scope
) -> list[tuple[str, datetime]]:
    """Keys of records that are owed, `AT_ONCE` at most and in no order, each with the moment of its last change."""
    question = _ask(registered, position, scope)
    entity = registered.stream.entity
    sql = (
        f"SELECT {entity.key_sql}, {entity.version} FROM {_source(registered)}"
        f" WHERE {' AND '.join(question.conditions)} LIMIT {AT_ONCE}"
    )
    return await _fetch(driver, sql, question.values, looks_at_all=_looks_at_all(position, scope))


async def count_owed(
    driver: "asyncpg.Connection[Any]", registered: Registered, position: Position, scope: Scope
) -> tuple[int, datetime | None]:
    """How many records are owed, and the oldest change of them."""
    question = _ask(registered, position, scope)
    sql = (
        f"SELECT count(*), min({registered.stream.entity.version}) FROM {_source(registered)}"
        f" WHERE {' AND '.join(question.conditions)}"
    )
    rows = await _fetch(driver, sql, question.values, looks_at_all=_looks_at_all(position, scope))
    return rows[0][0], rows[0][1]


def _looks_at_all(position: Position, scope: Scope) -> bool:
    """Whether records count whenever they were changed; a cursor in the future is of a clock that has jumped back."""
    has_cursor = position.cursor_at is not None and position.cursor_at <= scope.begun_at
    return scope.keys is None and (scope.is_full or not has_cursor)


async def _fetch(
    driver: "asyncpg.Connection[Any]", sql: str, values: Sequence[Any], *, looks_at_all: bool
) -> list[Any]:
    """Ask in the present transaction; both tables whole are joined by hashes, not by a look-up for each record."""
    if looks_at_all:
        await driver.execute("SET LOCAL enable_nestloop = off")
        await driver.execute("SET LOCAL work_mem = '64MB'")
    return await driver.fetch(sql, *values)
