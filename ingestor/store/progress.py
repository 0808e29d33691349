"""What the committed pages of a slice say: in memory while the slice is held, and in `sync_pages` for later claims."""

from dataclasses import dataclass, field, replace

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from common.database import driver_of
from common.lifecycle.slices import Claim
from common.resources.description import Resource
from ingestor.sources.pncp.completeness import Evidence
from ingestor.sources.values import Batch


@dataclass
class Progress:
    """What the committed pages of a slice say; it goes on growing in memory while the slice is held.

    `pages` belong to the present reading, `processed` to all readings: it is what must not be counted twice, as keys of
    a dictionary, which takes less than half of a set's memory. `rows` says how many rows each page of this reading
    holds, `first_records` how many page 1 held at first. `refused` are those that the database itself would not take
    since the slice is held. `unfit` tells of the pages of this reading too many of whose records cannot be stored how
    many those are.
    """

    reading: int
    evidence: Evidence = field(default_factory=Evidence)
    pages: set[int] = field(default_factory=set)
    rows: dict[int, int] = field(default_factory=dict)
    processed: dict[str, None] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    unfit: dict[int, int] = field(default_factory=dict)
    total_paginas: int = 0
    first_records: int = 0

    def add(self, batch: Batch) -> None:
        """Take in a page that has just been committed."""
        self.evidence.add(batch.keys, batch.total_registros)
        self.pages.add(batch.number)
        self.rows[batch.number] = batch.records
        self.processed |= dict.fromkeys(batch.processed)
        self.unfit.pop(batch.number, None)
        if batch.unfit:
            self.unfit[batch.number] = batch.unfit
        if batch.number == 1:
            self.total_paginas = max(self.total_paginas, batch.total_paginas)
            if not batch.is_second_look:
                self.first_records = batch.records

    def evidence_with(self, batch: Batch) -> Evidence:
        """What will be known with a page that is about to be committed."""
        grown = self.evidence.copy()
        grown.add(batch.keys, batch.total_registros)
        return grown

    def rows_with(self, batch: Batch) -> int:
        """How many rows the pages of this reading hold with one that is about to be committed."""
        return sum((self.rows | {batch.number: batch.records}).values())

    def begin_anew(self) -> None:
        """Start the next reading."""
        self.reading += 1
        self.pages, self.rows, self.unfit = set(), {}, {}
        self.total_paginas = self.first_records = 0
        self.evidence.begin_anew()


# Numbers that stand for no page of a listing: the second look at page 1, and, in reading 0, what the readings before
# the present one have shown (the rows that stand, with all that was processed; the other rows).
_SECOND_LOOK = 0
_EARLIER, _STANDING, _NO_LONGER_STANDING = 0, 0, 1

_PAGES = text("""
    SELECT reading, page, keys, processed, total_registros, total_paginas, records, unfit
      FROM sync_pages WHERE slice_id = :slice_id ORDER BY reading, read_at
""")
_KEEP_PAGE = """
    INSERT INTO sync_pages AS known
           (slice_id, reading, page, keys, processed, total_registros, total_paginas, records, unfit)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    ON CONFLICT (slice_id, reading, page) DO UPDATE
       SET keys = ARRAY(SELECT DISTINCT unnest(known.keys || excluded.keys)),
           processed = ARRAY(SELECT DISTINCT unnest(known.processed || excluded.processed)),
           total_registros = excluded.total_registros, total_paginas = excluded.total_paginas,
           records = excluded.records, unfit = excluded.unfit, read_at = clock_timestamp()
"""
_FORGET_PAGES = "DELETE FROM sync_pages WHERE slice_id = $1"


async def load_progress(db: AsyncConnection, resource: Resource, claim: Claim) -> Progress:
    """What earlier claims of this slice have committed."""
    progress = Progress(claim.reading)
    evidence = progress.evidence
    for row in await db.execute(_PAGES, {"slice_id": claim.slice_id}):
        keys, processed = frozenset(row.keys), frozenset(row.processed)
        if row.reading == claim.reading:
            second = row.page == _SECOND_LOOK
            number = 1 if second else row.page
            page = Batch(resource, number, row.total_registros, row.total_paginas, keys, processed)
            progress.add(replace(page, records=row.records, is_second_look=second))
            if row.unfit:
                progress.unfit[number] = row.unfit
            continue
        progress.processed |= dict.fromkeys(processed)
        if (row.reading, row.page) == (_EARLIER, _STANDING):
            evidence.add_standing(keys, row.total_registros)
        else:
            evidence.add_earlier(keys)
    return progress


async def keep_page(db: AsyncConnection, claim: Claim, batch: Batch, progress: Progress, fresh: frozenset[str]) -> None:
    """Keep that a page has been committed; `fresh` are its records that no page before it has counted.

    Runs inside the caller's transaction, which holds the slice.
    """
    is_new = progress.evidence.is_new_to_reading(batch.keys)
    driver = await driver_of(db)
    await driver.execute(
        _KEEP_PAGE,
        claim.slice_id,
        progress.reading,
        _SECOND_LOOK if batch.is_second_look else batch.number,
        sorted(batch.keys) if is_new else [],  # a listing without end must not fill the table
        sorted(fresh),
        batch.total_registros,
        batch.total_paginas,
        batch.records,
        batch.unfit,
    )


async def keep_earlier(db: AsyncConnection, claim: Claim, progress: Progress) -> None:
    """Put what the readings so far have shown in place of their pages: `progress` has just begun anew.

    Runs inside the caller's transaction, which holds the slice. However many readings there are, two rows stay.
    """
    evidence = progress.evidence
    driver = await driver_of(db)
    await driver.execute(_FORGET_PAGES, claim.slice_id)
    standing = evidence.standing
    earlier = [
        (_STANDING, standing, sorted(progress.processed)),
        (_NO_LONGER_STANDING, evidence.known - standing, list[str]()),
    ]
    for page, keys, processed in earlier:
        numbers = (evidence.promised, 0, 0, 0)
        await driver.execute(_KEEP_PAGE, claim.slice_id, _EARLIER, page, sorted(keys), processed, *numbers)
