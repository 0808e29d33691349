"""Whether the mirror has everything of what was asked for, said in every answer and in every file."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import cache
from typing import Any

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.services.entities.question import Question
from backend.services.search import is_search_complete
from common.entities.declared import Declaration
from common.entities.entity import SEARCH, Entity
from common.lists import ALL, Scopes, write_scope
from common.resources.description import Child, Resource

# ruff: noqa: S608  # names in these statements stand in descriptions

KEPT_SECONDS = 2.0
MOST_KEPT = 500
MOST_OWED = 10_000

# A day is complete where all parts of the resource were read whole after its end, or where its changes have been read
# without a gap since a day from which on everything is stored. What is not over yet is told by `ate`.
_DAYS = text("""
    WITH parts AS (
        SELECT part FROM watermarks WHERE resource = :resource
        UNION SELECT part FROM read_days WHERE resource = :resource AND criterio = :criterio
    ), span AS (
        SELECT coalesce(CAST(:first AS date), LEAST(
                   (SELECT min(day) FROM read_days WHERE resource = :resource AND criterio = :criterio),
                   (SELECT min(complete_from) FROM watermarks WHERE resource = :resource),
                   CAST(:last AS date))) AS first,
               LEAST(CAST(:last AS date), CAST(timezone('America/Sao_Paulo', now()) AS date) - 1) AS last
    ), missing AS (
        SELECT DISTINCT d.day
          FROM span CROSS JOIN LATERAL generate_series(span.first, span.last, interval '1 day') AS d (day)
         CROSS JOIN parts p
          LEFT JOIN read_days r ON r.resource = :resource AND r.criterio = :criterio AND r.part = p.part
                               AND r.day = CAST(d.day AS date)
          LEFT JOIN watermarks w ON w.resource = :resource AND w.part = p.part
                                AND w.complete_from <= d.day AND w.reached >= d.day + interval '1 day'
         WHERE r.day IS NULL AND w.part IS NULL
    )
    SELECT span.first, span.last, (SELECT count(*) FROM missing) AS missing,
           (SELECT count(*) FROM parts) AS parts,
           (SELECT min(reached) FROM watermarks WHERE resource = :resource) AS reached,
           (SELECT count(*) FROM rejected_records
             WHERE resolved_at IS NULL AND resource = ANY(CAST(:tables AS text[]))
               AND (day IS NULL OR span.first IS NULL OR day BETWEEN span.first AND span.last)) AS rejected
      FROM span
""")


_WALL_CLOCK = text("SELECT timezone('America/Sao_Paulo', date_trunc('second', now()))")
# The last time that records came, by whichever way, or that there was nothing new among what had come.
_TAKEN_IN = text("""
    SELECT timezone('America/Sao_Paulo', greatest(
               (SELECT max(updated_at) FROM entity_records WHERE entity = :entity),
               (SELECT max(ended_at) FROM imports WHERE layout = :entity AND state = 'done'),
               (SELECT max(full_at) FROM source_entities WHERE entity = :entity))) AS reached,
           (SELECT count(*) FROM import_rows
             WHERE entity = :entity AND state = 'pending' AND waits_key IS NOT NULL) AS waiting
""")
_UNSEARCHED = text(r"""
    SELECT EXISTS (
        SELECT FROM entity_records
         WHERE entity = :entity AND removed_at IS NULL AND busca IS NULL
           AND EXISTS (SELECT FROM unnest(CAST(:columns AS text[])) AS c WHERE data ->> c ~ '\w'))
""")


@dataclass(frozen=True)
class Mirror:
    """What is known of the mirror about a period of an entity.

    `fresh_until`: up to when changes have been read without a gap, on Brasília's clock, null where they never were.
    `first`: from which day on days were looked at, that of the reader's period or the first that was ever read.
    `missing_days` of those that are over are not proved complete; null where no day has ever been read. `rejected`
    records could not be stored, and `owed` lists have not come yet. `scopes`: of which records lists are read at all.
    `search_finds_all`: the words of every row are indexed, or are not asked for.
    """

    fresh_until: datetime | None
    first: date | None
    missing_days: int | None
    rejected: int
    owed: int
    scopes: tuple[str, ...]
    search_finds_all: bool = True

    @property
    def is_complete(self) -> bool:
        """Whether nothing is missing of what was asked for, as far as days are over."""
        has_scope = any(scope != ALL for scope in self.scopes)
        return (
            self.missing_days == 0 and not self.rejected and not self.owed and not has_scope and self.search_finds_all
        )

    def to_object(self) -> dict[str, Any]:
        """As readers see it."""
        return {
            "ate": self.fresh_until,
            "de": self.first,
            "completo": self.is_complete,
            "dias_faltando": self.missing_days,
            "registros_recusados": self.rejected,
            "listas_faltando": self.owed,
            "escopo": "; ".join(self.scopes) or None,
            "busca_completa": self.search_finds_all,
        }

    def to_json(self) -> dict[str, Any]:
        """The same with days and moments as texts, as files and rows of jobs keep it."""
        return {
            name: value.isoformat() if isinstance(value, date) else value for name, value in self.to_object().items()
        }

    def to_sentence(self) -> str:
        """For people, in one line, as files have it."""
        until = f"{self.fresh_until:%d/%m/%Y %H:%M}" if self.fresh_until else "nunca"
        if self.is_complete:
            return f"Espelho completo; atualizado até {until}."
        faults = [
            *(["nenhum dia foi lido por inteiro"] if self.missing_days is None else []),
            *([f"{self.missing_days} dias sem prova de que estão completos"] if self.missing_days else []),
            *([f"{self.rejected} registros recusados"] if self.rejected else []),
            *([f"{self.owed} listas por ler"] if self.owed else []),
            *([] if self.search_finds_all else ["a busca ainda não encontra todos os textos"]),
            *([f"só o escopo {scope}" for scope in self.scopes if scope != ALL]),
        ]
        return f"Espelho incompleto: {', '.join(faults)}; atualizado até {until}."


def together(mirrors: Sequence[Mirror]) -> Mirror:
    """What is known of several as of one: the oldest of them, and whatever is missing of any."""
    fresh = [each.fresh_until for each in mirrors]
    missing = [each.missing_days for each in mirrors]
    return Mirror(
        None if None in fresh else min(each for each in fresh if each is not None),
        min((each.first for each in mirrors if each.first is not None), default=None),
        None if None in missing else sum(each for each in missing if each is not None),
        sum(each.rejected for each in mirrors),
        sum(each.owed for each in mirrors),
        tuple(dict.fromkeys(scope for each in mirrors for scope in each.scopes)),
        all(each.search_finds_all for each in mirrors),
    )


class Mirrors:
    """Completeness, asked again at most every two seconds for each period of an entity."""

    def __init__(self, scopes: Scopes) -> None:
        self._scopes = scopes
        self._kept: dict[tuple[str, date | None, date | None], tuple[float, Mirror]] = {}
        self._turn = asyncio.Lock()

    async def load(self, db: AsyncConnection, question: Question) -> Mirror:
        """What is known of the mirror about what is asked."""
        mirror = await self.load_period(db, question.entity, question.period)
        entity = question.entity
        if SEARCH not in question.asked:
            return mirror
        if entity.declared is not None:
            finds_all = not await _has_unsearched(db, entity.declared)
        else:
            finds_all = await is_search_complete(db, entity.searched or entity.name)
        return replace(mirror, search_finds_all=finds_all)

    async def load_period(self, db: AsyncConnection, entity: Entity, period: tuple[date | None, date | None]) -> Mirror:
        """What is known about a period, ends included; open ends are the first day read, and now."""
        key = (entity.name, *period)
        kept = self._kept.get(key)
        if kept is not None and kept[0] > time.monotonic():
            return kept[1]
        async with self._turn:
            kept = self._kept.get(key)
            if kept is not None and kept[0] > time.monotonic():
                return kept[1]
            mirror = await self._load(db, entity, period)
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            self._kept[key] = time.monotonic() + KEPT_SECONDS, mirror
        return mirror

    async def _load(self, db: AsyncConnection, entity: Entity, period: tuple[date | None, date | None]) -> Mirror:
        if entity.declared is not None and not entity.resources:
            return await _of_declared(db, entity.declared)
        found = [await self._of_resource(db, entity, each, period) for each in entity.resources]
        owed = sum([await _count_owed(db, child) for child in _lists_of(entity)])
        scopes = [
            self._scopes.get(child.service)
            for resource, child in ((resource, child) for resource in entity.resources for child in resource.later)
            if child in entity.children
        ]
        return replace(together(found), owed=owed, scopes=tuple(dict.fromkeys(map(write_scope, scopes))))

    @staticmethod
    async def _of_resource(
        db: AsyncConnection, entity: Entity, resource: Resource, period: tuple[date | None, date | None]
    ) -> Mirror:
        first, last = period
        tables = [child.name for child in entity.children if child in resource.lists]
        asked = {
            "resource": resource.name,
            "criterio": resource.day_criterio,
            "first": first,
            "last": last,
            "tables": [resource.name, *(tables or ([resource.child.name] if resource.child else []))],
        }
        row = (await db.execute(_DAYS, asked)).one()
        return Mirror(row.reached, row.first, row.missing if row.parts and row.first else None, row.rejected, 0, ())


async def _of_declared(db: AsyncConnection, entity: Declaration) -> Mirror:
    """What is known of declared records: they have no days, and lack the rows that wait for others."""
    if entity.view is not None:  # read as it is at this moment
        now: datetime = (await db.execute(_WALL_CLOCK)).scalar_one()
        return Mirror(now, None, 0, 0, 0, ())
    row = (await db.execute(_TAKEN_IN, {"entity": entity.name})).one()
    return Mirror(row.reached, None, 0 if row.reached else None, row.waiting, 0, ())


async def _has_unsearched(db: AsyncConnection, entity: Declaration) -> bool:
    """Whether records have texts that are searched, and no words: they were taken in before these were."""
    asked = {"entity": entity.name, "columns": list(entity.searched)}
    return bool((await db.execute(_UNSEARCHED, asked)).scalar_one())


def _lists_of(entity: Entity) -> Iterable[Child]:
    """The lists whose debts are missing rows of the entity, or of what belongs to its records."""
    if entity.children:
        return entity.children
    return [each.child for each in entity.resources if each.child is not None and entity.resource is not None]


@cache
def _owed(child: Child) -> TextClause:
    return text(_to_count_owed(child))


def _to_count_owed(child: Child) -> str:
    return f"SELECT count(*) FROM (SELECT FROM {child.debts} LIMIT {MOST_OWED}) AS counted"


async def _count_owed(db: AsyncConnection, child: Child) -> int:
    return int((await db.execute(_owed(child))).scalar_one())
