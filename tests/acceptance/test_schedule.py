"""The schedule as it runs: real ingestors, a due tick, and what an administrator sees of it."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text

from common.clock import BRASILIA
from tests.acceptance.conftest import Stack
from tests.support import eventually

ON = {"SCHEDULE_ENABLED": "true"}
ALONE = {"SCHEDULE_DOMINIOS": "off"}  # the schedules of contratações are looked at


async def make_due(stack: Stack) -> str:
    """A cron that came up a minute ago, for schedules that have long been looked after."""
    async with stack.engine.begin() as db:
        await db.execute(
            text("INSERT INTO schedules (name, effective_at) VALUES ('update', '2020-01-01'), ('sweep', '2020-01-01')")
        )
        moment: datetime = (await db.execute(text("SELECT now()"))).scalar_one()
    then = moment.astimezone(BRASILIA) - timedelta(minutes=1)
    return f"{then.minute} {then.hour} * * *"


async def last_ticks(stack: Stack) -> dict[str, Any]:
    answer = (await stack.api.get("/sync/schedules")).json()
    return {schedule["name"]: schedule["last_tick"] for schedule in answer["schedules"]}


async def test_a_due_tick_starts_one_update_and_one_sweep_however_many_ingestors_look(stack: Stack) -> None:
    cron = await make_due(stack)
    stack.settings |= {**ON, **ALONE, "SCHEDULE_UPDATE": cron, "SCHEDULE_SWEEP": cron, "PNCP_MODALIDADES": "6,8"}
    await stack.start_simulator("--days", "2", "--per-day", "20")
    await stack.start_backend()
    await stack.start_ingestor()
    await stack.start_ingestor()

    async def both_have_ticked() -> bool:
        return None not in (await last_ticks(stack)).values()

    await eventually(both_have_ticked, seconds=30)
    ticks = await last_ticks(stack)
    ended = [await stack.finished(one) for tick in ticks.values() for one in tick["execution_ids"]]

    assert [tick["skipped_reason"] for tick in ticks.values()] == [None, None]
    assert [(one["trigger"], one["criterio"], one["status"]) for one in ended] == [
        ("schedule", "atualizacao", "success"),
        ("sweep", "publicacao", "success"),
        ("sweep", "atualizacao", "success"),
    ]
    history = (await stack.api.get("/sync/history")).json()
    assert history["total_count"] == 3
    swept = ended[2]
    truth = await stack.truth(swept["window_start"], swept["window_end"], "atualizacao")
    in_scope = {key for key in truth if key in await stack.stored()}
    assert swept["records_processed"] == len(in_scope)


async def test_an_ingestor_whose_schedule_is_off_or_paused_starts_nothing(stack: Stack) -> None:
    cron = await make_due(stack)
    stack.settings |= {**ALONE, "SCHEDULE_UPDATE": cron, "SCHEDULE_SWEEP": cron, "PNCP_MODALIDADES": "6"}
    await stack.start_simulator("--days", "1", "--per-day", "5")
    await stack.start_backend()
    shown = (await stack.api.get("/sync/schedules")).json()["schedules"]
    assert [schedule["enabled"] for schedule in shown] == [False, False]
    await stack.api.post("/sync/schedules/sweep/pause", json={"reason": "sem varredura neste teste"})

    switched_off = await stack.start_ingestor()
    await stack.finished(await stack.force(mode="update"))  # it works, and has looked if it looks at all
    assert await last_ticks(stack) == {"update": None, "sweep": None}
    assert switched_off.popen.poll() is None

    await stack.start_ingestor(**ON)

    async def updated() -> bool:
        return (await last_ticks(stack))["update"] is not None

    await eventually(updated, seconds=30)
    assert (await last_ticks(stack))["sweep"] is None


async def test_an_invalid_cron_stops_the_start_with_one_line_that_names_the_variable(stack: Stack) -> None:
    for command in (("-m", "ingestor"), ("-m", "uvicorn", "backend.main:app", "--port", "0")):
        process = stack.start(command[1], *command, SCHEDULE_SWEEP="every night")
        assert await process.ended() == 1
        (line,) = process.text.strip().splitlines()
        assert "SCHEDULE_SWEEP: expected a cron expression of five fields" in line
