"""The dry run of a request: its slices, and estimates of requests and time from the past.

Nothing is written. The backend does not know the ingestors' settings: their newest plans show which parts of the
resource they read, their newest results how fast they are. Only the past of the requested resource counts. Without a
past, the figures below are used.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from backend.models.sync import SyncPlan, SyncRequest
from backend.services.freshness import load_marks
from common.clock import days, to_wall_clock
from common.resources import RESOURCES_BY_NAME
from common.resources.atas import ATAS
from common.resources.contratacoes import CONTRATACOES
from common.resources.contratos import CONTRATOS
from common.resources.description import Resource
from common.resources.dominios import DOMAIN_TABLES, DOMINIOS
from common.resources.instrumentos_cobranca import INSTRUMENTOS_COBRANCA
from common.resources.pcas import PCAS

MODALIDADES = tuple(range(1, 20))
ROLLING_WINDOW = timedelta(minutes=15)
"""The defaults of PNCP_MODALIDADES and ROLLING_WINDOW_MINUTES."""

FULL_YEAR = 2025
"""From this year on all of the country publishes; earlier years have a share of it."""
GROWTH: Mapping[int, float] = {2021: 0.003, 2022: 0.02, 2023: 0.12, 2024: 0.5}
"""The share of each year before, by the 4.7 million contratos that the portal had in August 2026."""
WEEKEND = 0.1
"""The share of a Saturday or Sunday."""


@dataclass(frozen=True)
class Usual:
    """What the portal has of a resource, for an estimate without a past.

    `records`: those of a working day by part. `rows`: what its listing counts, where that is not records.
    `page_seconds`: how long a page takes, of all that are under way at once. `record_bytes`: what a record takes in the
    database, with its lists that are read with it and all indexes.
    """

    records: Mapping[int, int] = field(default_factory=dict)
    rows: int | None = None
    page_seconds: float = 2.8
    record_bytes: int = 2_000
    growth: Mapping[int, float] = field(default_factory=lambda: GROWTH)


USUAL: Mapping[str, Usual] = {
    CONTRATACOES.name: Usual(
        {1: 8, 4: 223, 5: 17, 6: 1802, 7: 63, 8: 3030, 9: 1244, 10: 1, 11: 5, 12: 105, 13: 1}, record_bytes=25_000
    ),
    CONTRATOS.name: Usual({0: 8368}, record_bytes=2_600),
    ATAS.name: Usual({0: 2800}, growth={2021: 0, 2022: 0, 2023: 0.08, 2024: 0.63}),
    PCAS.name: Usual({0: 60}, rows=5300, page_seconds=40, record_bytes=180_000),
    INSTRUMENTOS_COBRANCA.name: Usual({0: 600}, growth=dict.fromkeys(GROWTH, 0)),
}
"""Of contratações and contratos as on Thursday, 10 July 2025, a busy day.

Of the others as in August 2026, with the rows of instrumentos that come twice; of plans, of which there is no count, by
the 5,300 items that changed in a day. A day has about as many changes. 2.8 seconds a page are 1,300 pages an hour.
Bytes as docs/operating.md has them of the whole country.
"""

ITENS_PER_SECOND = 8.0
"""The default of PNCP_ITENS_CONCURRENCY, with half a second for each list."""

RECENT_EXECUTIONS = 20
COUNTED_ROWS = 1000
"""As many rows say what one takes in the database."""

_DAY_SECONDS = 86_400.0

# the newest execution without parts of its own shows the setting
_LOAD_PARTS = text("""
    SELECT array_agg(DISTINCT part ORDER BY part) FROM sync_slices
     WHERE execution_id = (SELECT id FROM sync_executions
                            WHERE kind = 'sync' AND resource = :resource AND planned_at IS NOT NULL
                              AND parts IS NULL AND trigger <> 'retry'
                            ORDER BY id DESC LIMIT 1)
""")
# at least one page, which may be a 204; and the items of new records
_LOAD_DAYS = text("""
    SELECT part, CAST(least(extract(year FROM day), :full_year) AS int) AS year,
           extract(isodow FROM day) > 5 AS is_weekend, count(*) AS slices, avg(greatest(pages, 1)) AS pages,
           avg(records) AS records, avg(stored) AS itens
      FROM read_days
     WHERE resource = :resource AND criterio = :criterio
     GROUP BY 1, 2, 3
""")
_LOAD_UPDATES = text("""
    SELECT count(*) AS slices, sum(last_day - first_day + 1) AS days,
           sum(extract(epoch FROM window_end - window_start)) AS seconds, sum(greatest(pages_done, 1)) AS pages,
           sum(records_processed) AS records, sum(records_inserted + records_updated) AS itens
      FROM sync_slices
     WHERE execution_id IN (SELECT id FROM sync_executions
                             WHERE kind = 'sync' AND resource = :resource AND mode = 'update'
                               AND status = 'success'
                             ORDER BY id DESC LIMIT :recent)
""")
_LOAD_PACE = text("""
    SELECT count(*) AS executions, sum(duration_seconds) AS seconds, sum(requests) AS requests
      FROM (SELECT e.duration_seconds, (SELECT sum(greatest(pages_done, 1)
                                                              + CASE WHEN :has_child
                                                                     THEN records_inserted + records_updated
                                                                     ELSE 0 END)
                                          FROM sync_slices WHERE execution_id = e.id) AS requests
              FROM sync_executions e
             WHERE e.kind = 'sync' AND e.resource = :resource AND e.mode = :mode AND e.status = 'success'
               AND e.duration_seconds > 0
             ORDER BY e.id DESC LIMIT :recent) AS past
     WHERE requests > 0
""")
_LOAD_BYTES = text("""
    SELECT (SELECT reltuples FROM pg_class WHERE oid = CAST(:table AS regclass)) AS rows,
           (SELECT sum(pg_total_relation_size(CAST(name AS regclass))) FROM unnest(CAST(:tables AS text[])) AS name)
               AS bytes
""")


@dataclass(frozen=True)
class Work:
    """The cost of reading listings: pages, the records on them that count, and the lists of items to fetch."""

    pages: float
    records: float
    itens: float

    @property
    def requests(self) -> float:
        """All requests to the portal."""
        return self.pages + self.itens

    def times(self, share: float) -> "Work":
        """The cost of a day that has this share of its records; a listing has a page at least."""
        return Work(max(1.0, self.pages * share), self.records * share, self.itens * share)


@dataclass(frozen=True)
class Past:
    """The averages of successful slices, by part, year (`FULL_YEAR` for all since) and whether it is a weekend."""

    slices: int
    means: Mapping[tuple[int, int, bool], Work]


@dataclass(frozen=True)
class Estimate:
    """The work, and in words what the estimate rests on."""

    work: Work
    basis: str


async def plan_request(engine: AsyncEngine, request: SyncRequest) -> SyncPlan:
    """The plan of `request`."""
    command = request.to_command()
    if command.resource == DOMINIOS:
        return _plan_of_domain_tables()
    resource = RESOURCES_BY_NAME[command.resource]
    async with engine.connect() as db:
        parts = await load_parts(db, resource)
        if command.window_start is not None and command.window_end is not None:
            dates = [day for day, _, _ in days(command.window_start, command.window_end)]
            share = (command.window_end - command.window_start).total_seconds() + 1
            estimate = estimate_backfill(
                resource,
                [(part, day) for day in dates for part in parts],
                await load_past(db, resource, command.criterio),
                share=share / (_DAY_SECONDS * len(dates)),
            )
            slices, span = len(dates) * len(parts), len(dates)
        else:
            estimate, span = await _estimate_update(db, resource, parts)
            slices = len(parts)
        seconds, pace = await estimate_seconds(db, resource, command.mode, estimate.work)
    return SyncPlan(
        resource=resource.name,
        slices=slices,
        days=span,
        modalidades=len(parts) if resource.axis else None,
        requests_estimate=round(estimate.work.requests),
        records_estimate=round(estimate.work.records),
        seconds_estimate=round(seconds),
        basis=f"{estimate.basis}; {pace}.",
    )


def _plan_of_domain_tables() -> SyncPlan:
    lists = len(DOMAIN_TABLES)
    return SyncPlan(
        resource=DOMINIOS,
        slices=1,
        days=1,
        modalidades=None,
        requests_estimate=lists,
        records_estimate=0,
        seconds_estimate=lists,
        basis="Um pedido por lista, lida por inteiro; quantas entradas cada uma tem não se estima.",
    )


async def load_parts(db: AsyncConnection, resource: Resource) -> Sequence[int]:
    """The parts that have a listing of their own; of a resource that is not divided, 0 stands for the whole."""
    if resource.axis is None:
        return (0,)
    return (await db.execute(_LOAD_PARTS, {"resource": resource.name})).scalar_one() or MODALIDADES


async def load_past(db: AsyncConnection, resource: Resource, criterio: str) -> Past:
    """The averages of the days that have been read of one listing."""
    asked = {"resource": resource.name, "criterio": criterio, "full_year": FULL_YEAR}
    rows = (await db.execute(_LOAD_DAYS, asked)).all()
    means = {(row.part, row.year, row.is_weekend): _work(resource, row.pages, row.records, row.itens) for row in rows}
    return Past(sum(row.slices for row in rows), means)


def _work(resource: Resource, pages: float, records: float, written: float) -> Work:
    """`written`: records that are new or newer; each asks for its list of items where the resource has them."""
    return Work(float(pages), float(records), float(written) if resource.child else 0.0)


DayKind = tuple[int, int, bool]
"""What tells days apart in an estimate: the part, the year, and whether it is a weekend."""


def kind_of(part: int, day: date) -> DayKind:
    """The kind of a part's day."""
    return part, min(day.year, FULL_YEAR), day.isoweekday() > 5  # noqa: PLR2004


def estimate_backfill(
    resource: Resource, pieces: Iterable[tuple[int, date]], past: Past, *, share: float = 1.0
) -> Estimate:
    """The work of slices, each a part and its day; `share` as of `estimate_days`."""
    return estimate_days(resource, Counter(kind_of(part, day) for part, day in pieces), past, share=share)


def estimate_days(resource: Resource, days: Mapping[DayKind, int], past: Past, *, share: float = 1.0) -> Estimate:
    """The work of so many days of each kind.

    `share`: the part of its days that the window covers; listings are read whole all the same, other records are not
    stored.
    """
    means = {kind: _measured(resource, kind, past) for kind in days}
    unknown = sum(count for kind, count in days.items() if means[kind] is None)
    works = [(means[kind] or _usual_day(resource, *kind), count) for kind, count in days.items()]
    work = Work(
        sum(each.pages * count for each, count in works),
        sum(each.records * count for each, count in works) * share,
        sum(each.itens * count for each, count in works) * share,
    )
    return Estimate(work, _basis(resource, sum(days.values()), unknown, past.slices))


def _measured(resource: Resource, kind: DayKind, past: Past) -> Work | None:
    """The average of such days; else of other days, which have more records, of its year; else of the years since."""
    part, year, is_weekend = kind
    of_year = past.means.get(kind) or past.means.get((part, year, False))
    if of_year is not None or year == FULL_YEAR:
        return of_year
    since = past.means.get((part, FULL_YEAR, is_weekend)) or past.means.get((part, FULL_YEAR, False))
    return None if since is None else since.times(_usual(resource).growth.get(year, 1.0))


def _usual(resource: Resource) -> Usual:
    return USUAL.get(resource.name, Usual())


def _usual_day(resource: Resource, part: int, year: int, is_weekend: bool) -> Work:
    usual = _usual(resource)
    records = usual.records.get(part, 0)
    listed = records if usual.rows is None else usual.rows
    share = usual.growth.get(year, 1.0) * (WEEKEND if is_weekend else 1)
    pages = max(1, math.ceil(listed * share / resource.page_size))
    return _work(resource, pages, records * share, records * share)


def _basis(resource: Resource, pieces: int, unknown: int, slices: int) -> str:
    by_part = ", por modalidade" if resource.axis else ""
    measured = f"média de {slices} fatias passadas{by_part}, com fins de semana à parte"
    assumed = (
        "o que o portal traz num dia útil (10/07/2025 ou agosto de 2026; menos nos fins de semana e nos anos antes de"
        f" {FULL_YEAR}), como se nada estivesse gravado"
    )
    rows = _usual(resource).rows
    if rows is not None:
        assumed += f", {rows} linhas da listagem por dia"
    if not unknown:
        return f"Registros: {measured}"
    if unknown == pieces:
        return f"Registros: {assumed}, pois ainda não há fatias passadas"
    return f"Registros: {measured}; para {unknown} das {pieces} fatias, {assumed}"


async def _estimate_update(db: AsyncConnection, resource: Resource, parts: Sequence[int]) -> tuple[Estimate, int]:
    """The work of an update, and how many days its listings span: each part is read from where its updates ended."""
    now = to_wall_clock(datetime.now(UTC))
    marks = await load_marks(db, resource.name, parts)
    starts = [min(mark.reached if mark else now, now - ROLLING_WINDOW) for mark in marks.values()]
    listings = sum((now.date() - start.date()).days + 1 for start in starts)
    seconds = sum((now - start).total_seconds() for start in starts)
    past = (await db.execute(_LOAD_UPDATES, {"resource": resource.name, "recent": RECENT_EXECUTIONS})).one()
    if past.slices and past.seconds:
        per_second = seconds / float(past.seconds)
        work = _work(
            resource,
            float(past.pages) / past.days * listings,
            float(past.records) * per_second,
            float(past.itens) * per_second,
        )
        basis = f"Registros: média das últimas atualizações ({past.slices} fatias), pelo tempo a cobrir"
    else:
        day = [_usual_day(resource, part, FULL_YEAR, is_weekend=False) for part in parts]
        covered = seconds / len(parts) / _DAY_SECONDS
        records = sum(each.records for each in day) * covered
        work = _work(resource, sum(each.pages for each in day) * listings / len(parts), records, records)
        basis = "Registros: o que o portal traz num dia útil, pois ainda não há atualizações passadas"
    return Estimate(work, basis), (now.date() - min(starts).date()).days + 1


async def estimate_seconds(db: AsyncConnection, resource: Resource, mode: str, work: Work) -> tuple[float, str]:
    """How long the work takes, and in words what that rests on."""
    asked = {
        "resource": resource.name,
        "has_child": resource.child is not None,
        "mode": mode,
        "recent": RECENT_EXECUTIONS,
    }
    past = (await db.execute(_LOAD_PACE, asked)).one()
    if past.executions:
        pace = float(past.requests) / float(past.seconds)
        return work.requests / pace, f"tempo: ritmo das últimas {past.executions} execuções, {pace:.1f} pedidos/s"
    page_seconds = _usual(resource).page_seconds
    seconds = work.pages * page_seconds + work.itens / ITENS_PER_SECOND
    itens = " e 8 pedidos por segundo às listas de itens" if resource.child else ""
    each = f"{page_seconds:g}".replace(".", ",")
    return seconds, f"tempo: {each} s por página de listagem{itens}, pois ainda não há execuções para medir"


async def estimate_bytes(db: AsyncConnection, resource: Resource, records: float) -> float:
    """What so many records take in the database, by those that are there, or by what they usually take."""
    tables = [resource.name] if resource.child is None else [resource.name, resource.child.name]
    rows, size = (await db.execute(_LOAD_BYTES, {"table": resource.name, "tables": tables})).one()
    each = size / rows if rows >= COUNTED_ROWS else _usual(resource).record_bytes
    return records * float(each)
