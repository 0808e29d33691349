"""The days that have been read: noted in the transaction that ends a slice, and the newest reading stands for a day."""

from datetime import date, datetime, timedelta
from typing import Any

import pytest

from common.clock import BRASILIA
from common.lifecycle import Criterio, executions, slices
from common.lifecycle.slices import Claim, PageCounts, PlannedSlice
from tests.integration.conftest import CLOSED_DAY, Database, piece

SECOND = timedelta(seconds=1)


async def ledger(database: Database) -> list[tuple[Any, ...]]:
    rows = await database.rows("SELECT criterio, part, day, slice_id, records, stored FROM read_days ORDER BY 1, 2, 3")
    return [tuple(row) for row in rows]


async def read(
    database: Database,
    what: PlannedSlice,
    *,
    criterio: Criterio = "publicacao",
    began: datetime | None = None,
    counts: PageCounts | None = None,
    ends_with_page: bool = True,
) -> Claim:
    """A slice that succeeds; it was first claimed at `began` (Brasília) where that matters."""
    claim = await database.claimed([what], criterio=criterio)
    if began is not None:
        at = began.replace(tzinfo=BRASILIA)
        await database.rows("UPDATE sync_slices SET started_at = :at WHERE id = :id", at=at, id=claim.slice_id)
    await database.run(
        slices.advance,
        claim,
        counts or PageCounts(processed=3, inserted=2),
        pages_done=1,
        pages_total=1,
        total_registros=3,
        lease_seconds=60,
        finishes=ends_with_page,
    )
    if not ends_with_page:
        assert await database.run(slices.finish, claim)
    await database.run(executions.close, claim.execution_id)
    return claim


@pytest.mark.parametrize("ends_with_page", [True, False])
@pytest.mark.parametrize("criterio", ["publicacao", "atualizacao"])
async def test_a_day_that_was_read_whole_after_its_end_is_noted(
    database: Database, criterio: Criterio, ends_with_page: bool
) -> None:
    claim = await read(database, piece(), criterio=criterio, ends_with_page=ends_with_page)
    assert await ledger(database) == [(criterio, 6, CLOSED_DAY, claim.slice_id, 3, 2)]
    noted = await database.row("SELECT * FROM read_days")
    slice_ = await database.slice(claim.slice_id)
    assert (noted.began_at, noted.complete_at) == (slice_.started_at, slice_.finished_at)
    assert (noted.resource, noted.execution_id, noted.pages) == ("contratacoes", claim.execution_id, 1)


MIDNIGHT = datetime.combine(CLOSED_DAY, datetime.min.time())
NEXT = MIDNIGHT + timedelta(days=1)


@pytest.mark.parametrize(
    ("start", "end", "began", "is_noted"),
    [
        (MIDNIGHT, NEXT - SECOND, NEXT, True),
        (MIDNIGHT, NEXT - SECOND, NEXT - SECOND, False),
        (MIDNIGHT + SECOND, NEXT - SECOND, NEXT, False),
        (MIDNIGHT, NEXT - 2 * SECOND, NEXT, False),
    ],
)
async def test_part_of_a_day_or_one_that_was_not_over_in_brasilia_is_not_noted(
    database: Database, start: datetime, end: datetime, began: datetime, is_noted: bool
) -> None:
    await read(database, PlannedSlice(6, CLOSED_DAY, CLOSED_DAY, start, end), began=began)
    assert bool(await ledger(database)) is is_noted


async def test_a_slice_of_several_days_is_no_day_s(database: Database) -> None:
    days = PlannedSlice(6, CLOSED_DAY, CLOSED_DAY + timedelta(days=1), MIDNIGHT, NEXT + timedelta(days=1) - SECOND)
    await read(database, days, criterio="atualizacao")
    assert await ledger(database) == []


async def test_the_newest_slice_stands_for_the_day_whichever_ends_last(database: Database) -> None:
    await database.planned([piece()])
    older = await database.claim()
    newer = await read(database, piece(), counts=PageCounts(processed=5, updated=1))
    assert await database.run(slices.finish, older)
    assert await ledger(database) == [("publicacao", 6, CLOSED_DAY, newer.slice_id, 5, 1)]

    newest = await read(database, piece(), counts=PageCounts(processed=6))
    expected = ("publicacao", 6, CLOSED_DAY, newest.slice_id, 6, 1)
    assert await ledger(database) == [expected], "of what was stored the most that one reading has"


async def test_a_failed_slice_and_one_that_is_not_ours_any_more_note_nothing(database: Database) -> None:
    claim = await database.claimed()
    await database.run(slices.fail, claim, "no_answer", "status 503")
    assert not await database.run(slices.finish, claim)
    assert await ledger(database) == []


async def test_days_stay_when_their_executions_are_deleted(database: Database) -> None:
    await read(database, piece())
    await read(database, piece(date(2025, 3, 11), 8))
    before = await ledger(database)
    await database.rows("DELETE FROM sync_executions")
    assert await ledger(database) == before
    assert len(before) == 2
