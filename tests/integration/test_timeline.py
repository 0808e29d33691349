"""What ran over the last hours, and how late the mirror was meanwhile."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from backend.models.timeline import TimelineBar
from backend.services.timeline import join_bars
from common.clock import to_wall_clock
from tests.integration.conftest import Database

NOW = datetime(2025, 3, 10, 12, tzinfo=UTC)


async def ran(
    database: Database,
    minutes_ago: float,
    minutes: float | None,
    *,
    mode: str = "update",
    cause: str | None = None,
    resource: str = "contratacoes",
    created_days_ago: int = 0,
) -> int:
    """An execution that began so long ago and took so long; `None`: it runs. Its window ends when it began."""
    began = datetime.now(UTC) - timedelta(minutes=minutes_ago)
    ended = None if minutes is None else began + timedelta(minutes=minutes)
    return int(
        await database.value(
            """
            INSERT INTO sync_executions (resource, mode, criterio, trigger, status, cause, cancelled_by, window_start,
                                         window_end, records_processed, created_at, started_at, finished_at)
            VALUES (:resource, :mode, 'atualizacao', 'schedule', :status, :cause, :by, :start, :window, 5, :created,
                    :began, :ended)
            RETURNING id
            """,
            resource=resource,
            mode=mode,
            status="running" if ended is None else "error" if cause else "success",
            cause=cause,
            by="maria" if cause == "cancelled" else None,
            start=to_wall_clock(began) - timedelta(minutes=15),
            window=to_wall_clock(began),
            created=began - timedelta(days=created_days_ago),
            began=began,
            ended=ended,
        )
    )


async def timeline(api: httpx.AsyncClient, **options: Any) -> dict[str, dict[str, Any]]:
    answer = await api.get("/sync/timeline", params=options)
    assert answer.status_code == 200, answer.text
    return {one["resource"]: one for one in answer.json()["resources"]}


async def test_the_bars_of_a_resource_say_how_each_execution_ended(api: httpx.AsyncClient, database: Database) -> None:
    failed = await ran(database, 300, 2, cause="no_answer")
    cancelled = await ran(database, 200, 2, mode="backfill", cause="cancelled")
    good = await ran(database, 100, 2)
    running = await ran(database, 3, None, mode="backfill", resource="atas")
    await ran(database, 3000, 2)

    found = await timeline(api)

    assert [(bar["first_id"], bar["state"]) for bar in found["contratacoes"]["bars"]] == [
        (failed, "error"),
        (cancelled, "cancelled"),
        (good, "success"),
    ]
    (bar,) = found["atas"]["bars"]
    assert (bar["first_id"], bar["state"], bar["finished_at"]) == (running, "running", None)
    assert len((await timeline(api, hours=168))["contratacoes"]["bars"]) == 4
    assert (await api.get("/sync/timeline", params={"hours": 169})).status_code == 422


async def test_marks_begin_with_the_last_one_before_and_never_go_back(
    api: httpx.AsyncClient, database: Database
) -> None:
    await ran(database, 26 * 60, 1)
    await ran(database, 25 * 60, 1)  # the last one before
    await ran(database, 60, 50)  # which ends after the next one, and reached less far
    await ran(database, 30, 5)
    await ran(database, 20, 1, cause="no_answer")
    await ran(database, 40, 1, mode="backfill")

    marks = (await timeline(api))["contratacoes"]["marks"]

    reached = [datetime.now(UTC) - datetime.fromisoformat(mark["updated_until"]) for mark in marks]
    assert [round(age / timedelta(minutes=1)) for age in reached] == [25 * 60, 30]


def bar(number: int, at: float, minutes: float | None, **change: Any) -> TimelineBar:
    began = NOW + timedelta(minutes=at)
    known = TimelineBar(
        resource="contratacoes",
        mode="update",
        state="success",
        executions=1,
        first_id=number,
        last_id=number,
        started_at=began,
        finished_at=None if minutes is None else began + timedelta(minutes=minutes),
        records_processed=2,
    )
    return known.model_copy(update=change)


def test_near_executions_of_one_kind_and_end_are_one_bar() -> None:
    far, failed = bar(5, 200, 1), bar(3, 30, 1, state="error")
    backfill = bar(2, 5, 100, mode="backfill")
    found = join_bars([bar(1, 0, 1), backfill, bar(4, 15, 1), failed, far], apart=timedelta(minutes=20))
    assert [(one.first_id, one.last_id, one.executions) for one in found] == [
        (1, 4, 2),
        (2, 2, 1),
        (3, 3, 1),
        (5, 5, 1),
    ]
    assert (found[0].records_processed, found[0].finished_at) == (4, NOW + timedelta(minutes=16))


def test_executions_that_run_are_bars_of_their_own() -> None:
    both = [bar(1, 0, None, state="running"), bar(2, 1, None, state="running")]
    assert join_bars(both, apart=timedelta(hours=1)) == both
