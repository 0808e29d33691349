"""Reconciliation: the keys that the portal lists for each day and part of a resource, and how long their lists are."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from common.resources.description import Resource
from ingestor.errors import ListingIncomplete, PageAbsent, PncpError
from ingestor.sources.pncp.client import PncpClient, Span
from ingestor.sources.pncp.envelope import Page
from ingestor.sources.pncp.sight import name_rows, see_all
from ingestor.sources.values import Rejected
from ingestor.store.statements import statements_of

READINGS = 3
"""How often a listing is read that shows fewer records than it promises."""

_REJECTED = text("""
    SELECT coalesce(natural_key, payload_hash) AS name, reason FROM rejected_records
     WHERE resource = :resource AND resolved_at IS NULL
       AND (natural_key = ANY(CAST(:keys AS text[])) OR payload_hash = ANY(CAST(:keys AS text[])))
     ORDER BY 1
""")
_REJECTED_ITENS = text("""
    SELECT natural_key, count(*) FROM rejected_records
     WHERE resource = :resource AND resolved_at IS NULL AND natural_key = ANY(CAST(:keys AS text[]))
     GROUP BY natural_key
""")


@dataclass(frozen=True)
class ItemCount:
    """A record whose list differs: how many entries the portal says, and how many are stored or known to be rejected.

    `portal` is `None` where the portal does not say, for the reason `cause`.
    """

    key: str
    portal: int | None
    stored: int
    rejected: int
    cause: str | None = None

    @property
    def missing(self) -> int:
        """What the portal has and we do not."""
        return 0 if self.portal is None else max(self.portal - self.stored - self.rejected, 0)


@dataclass(frozen=True)
class Comparison:
    """One listing: how many records the portal shows, and which of them are missing or rejected.

    `part` is 0 where the resource is not divided. `rejected` holds names (the key, or the hash where there is none) and
    reasons; a record may be stored in an older version and rejected in a newer one. `itens` are the records
    whose lists differ, or whose number of entries is not told.
    """

    day: date
    part: int
    portal: int
    stored: int
    missing: Sequence[str]
    rejected: Sequence[tuple[str, str]]
    itens: Sequence[ItemCount] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        """Whether nothing is missing, rejected or untold."""
        return not (self.missing or self.rejected or self.itens)


async def compare_days(
    engine: AsyncEngine,
    client: PncpClient,
    resource: Resource,
    first: date,
    last: date,
    *,
    parts: Sequence[int],
    with_itens: bool = False,
) -> AsyncIterator[Comparison]:
    """Read every listing of the span, both days included, and look for each of its keys here.

    `with_itens`: ask also for the number of entries of each list, if the resource has any.

    Raises:
        PncpError: the portal does not answer, or a listing shows fewer records than it promises.

    """
    day = first
    while day <= last:
        for part in parts:
            span = Span(resource, resource.day_criterio, part, day, day)
            yield await _compare(engine, client, span, await _read_listing(client, span), with_itens=with_itens)
        day += timedelta(days=1)


def listing_of(resource: Resource, day: date, part: int) -> str:
    """What a listing is called in messages."""
    return f"{day} modalidade {part}" if resource.axis else f"{day}"


async def _read_listing(client: PncpClient, span: Span) -> dict[str, Rejected | None]:
    """The names of a listing's records, by all its readings, and what is wrong with those that cannot be stored."""
    listed: dict[str, Rejected | None] = {}
    rows: set[str] = set()
    promised = 0
    for _ in range(READINGS):
        held = 0
        async for page in _pages(client, span):
            promised, held = page.total_registros, held + page.rows
            seen = see_all(span.resource, page.records, span.criterio)
            names = [one.natural_key or one.hash if isinstance(one, Rejected) else one.key for one in seen]
            listed |= {name: one if isinstance(one, Rejected) else None for name, one in zip(names, seen, strict=True)}
            rows |= name_rows(span.resource, span.criterio, seen)
        if len(rows) >= promised or (span.listing.repeats_rows and held >= promised):
            return listed
    shown = f"{len(rows)} of {promised} records were shown in {READINGS} readings"
    raise ListingIncomplete(f"{listing_of(span.resource, span.first_day, span.part)}: {shown}")


async def _pages(client: PncpClient, span: Span) -> AsyncIterator[Page]:
    """Page 1 and then the others, the last one first, as an ingestor reads them."""
    first = await client.fetch_page(span, 1)
    yield first
    for number in range(first.total_paginas, 1, -1):
        try:
            yield await client.fetch_page(span, number)
        except PageAbsent:  # the listing has become shorter
            continue


async def _compare(
    engine: AsyncEngine,
    client: PncpClient,
    span: Span,
    listed: dict[str, Rejected | None],
    *,
    with_itens: bool,
) -> Comparison:
    keys, child = sorted(listed), span.resource.child
    rejected_itens: dict[str, int] = {}
    async with engine.connect() as db:
        entries = await db.execute(statements_of(span.resource).entries, {"keys": keys})
        stored: dict[str, int] = dict(entries.tuples().all())
        refused = await db.execute(_REJECTED, {"resource": span.resource.name, "keys": keys})
        rejected: dict[str, str] = dict(refused.tuples().all())
        if child:
            refused_itens = await db.execute(_REJECTED_ITENS, {"resource": child.name, "keys": keys})
            rejected_itens = dict(refused_itens.tuples().all())
    for name, record in listed.items():
        if record is not None and name not in stored:
            rejected.setdefault(name, record.reason)
    itens: list[ItemCount] = []
    if with_itens and child:
        asked = [
            _count_itens(client.fetch_count(span.resource, child, key), key, stored[key], rejected_itens.get(key, 0))
            for key in keys
            if key in stored
        ]
        itens = [count for count in await asyncio.gather(*asked) if count.missing or count.portal is None]
    missing = [key for key in keys if key not in stored and key not in rejected]
    return Comparison(span.first_day, span.part, len(keys), len(stored), missing, sorted(rejected.items()), itens)


async def _count_itens(count: Awaitable[int], key: str, stored: int, rejected: int) -> ItemCount:
    try:
        return ItemCount(key, await count, stored, rejected)
    except PncpError as error:
        return ItemCount(key, None, stored, rejected, str(error))
