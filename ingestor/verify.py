"""Reconciliation: the keys that the portal lists for each day and modalidade, and its counts of items, against ours."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from common.resources.contratacoes import CONTRATACOES
from ingestor.completeness import row_names
from ingestor.errors import ListingIncomplete, PageAbsent, PncpError
from ingestor.pncp.client import PncpClient, Span
from ingestor.pncp.records import Page, Rejected, see

READINGS = 3
"""How often a listing is read that shows fewer records than it promises."""

_STORED = text("""
    SELECT c.numero_controle_pncp,
           (SELECT count(*) FROM itens_contratacao i WHERE i.numero_controle_pncp = c.numero_controle_pncp)
      FROM unnest(CAST(:keys AS text[])) AS listed (key)
      JOIN contratacoes c ON c.numero_controle_pncp = listed.key
""")
_REJECTED = text("""
    SELECT coalesce(natural_key, payload_hash) AS name, reason FROM rejected_records
     WHERE resource = 'contratacoes' AND resolved_at IS NULL
       AND (natural_key = ANY(CAST(:keys AS text[])) OR payload_hash = ANY(CAST(:keys AS text[])))
     ORDER BY 1
""")
_REJECTED_ITENS = text("""
    SELECT natural_key, count(*) FROM rejected_records
     WHERE resource = 'itens_contratacao' AND resolved_at IS NULL AND natural_key = ANY(CAST(:keys AS text[]))
     GROUP BY natural_key
""")


@dataclass(frozen=True)
class ItemCount:
    """A contratação whose items differ: what the portal says it has, and what is stored or known to be rejected.

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

    `rejected` holds names (the key, or the hash where there is none) and reasons; a record may be stored in an older
    version and rejected in a newer one. `itens` are the contratações whose items differ or are not told.
    """

    day: date
    modalidade: int
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
    first: date,
    last: date,
    modalidades: Sequence[int],
    *,
    with_itens: bool = False,
) -> AsyncIterator[Comparison]:
    """Read every listing of the span, both days included, and look for each of its keys here.

    `with_itens`: ask also for the number of items of each contratação.

    Raises:
        PncpError: the portal does not answer, or a listing shows fewer records than it promises.

    """
    day = first
    while day <= last:
        for modalidade in modalidades:
            listed = await _read_listing(client, modalidade, day)
            yield await _compare(engine, client, day, modalidade, listed, with_itens=with_itens)
        day += timedelta(days=1)


async def _read_listing(client: PncpClient, modalidade: int, day: date) -> dict[str, Rejected | None]:
    """The names of a listing's records, by all its readings, and what is wrong with those that cannot be stored."""
    listed: dict[str, Rejected | None] = {}
    rows: set[str] = set()
    promised = 0
    for _ in range(READINGS):
        async for page in _pages(client, modalidade, day):
            promised = page.total_registros
            seen = [see(CONTRATACOES, raw, "publicacao") for raw in page.records]
            names = [one.natural_key or one.hash if isinstance(one, Rejected) else one.key for one in seen]
            listed |= {name: one if isinstance(one, Rejected) else None for name, one in zip(names, seen, strict=True)}
            rows |= row_names(names)
        if len(rows) >= promised:
            return listed
    shown = f"{len(rows)} of {promised} records were shown in {READINGS} readings"
    raise ListingIncomplete(f"{day} modalidade {modalidade}: {shown}")


async def _pages(client: PncpClient, modalidade: int, day: date) -> AsyncIterator[Page]:
    """Page 1 and then the others, the last one first, as an ingestor reads them."""
    first = await client.fetch_page(Span(CONTRATACOES, "publicacao", modalidade, day, day), 1)
    yield first
    for number in range(first.total_paginas, 1, -1):
        try:
            yield await client.fetch_page(Span(CONTRATACOES, "publicacao", modalidade, day, day), number)
        except PageAbsent:  # the listing has become shorter
            continue


async def _compare(
    engine: AsyncEngine,
    client: PncpClient,
    day: date,
    modalidade: int,
    listed: dict[str, Rejected | None],
    *,
    with_itens: bool,
) -> Comparison:
    keys = sorted(listed)
    async with engine.connect() as db:
        stored: dict[str, int] = dict((await db.execute(_STORED, {"keys": keys})).tuples().all())
        rejected: dict[str, str] = dict((await db.execute(_REJECTED, {"keys": keys})).tuples().all())
        rejected_itens: dict[str, int] = dict((await db.execute(_REJECTED_ITENS, {"keys": keys})).tuples().all())
    for name, record in listed.items():
        if record is not None and name not in stored:
            rejected.setdefault(name, record.reason)
    itens: list[ItemCount] = []
    if with_itens:
        asked = [_count_itens(client, key, stored[key], rejected_itens.get(key, 0)) for key in keys if key in stored]
        itens = [count for count in await asyncio.gather(*asked) if count.missing or count.portal is None]
    missing = [key for key in keys if key not in stored and key not in rejected]
    return Comparison(day, modalidade, len(keys), len(stored), missing, sorted(rejected.items()), itens)


async def _count_itens(client: PncpClient, key: str, stored: int, rejected: int) -> ItemCount:
    try:
        return ItemCount(key, await client.fetch_quantidade(key), stored, rejected)
    except PncpError as error:
        return ItemCount(key, None, stored, rejected, str(error))
