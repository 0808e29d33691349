"""The slices of an execution as days and modalidades, and one of them by its day."""

from datetime import date, timedelta

import httpx

from common.lifecycle import executions, slices
from ingestor.sources.values import Rejected
from ingestor.store.rejected import keep_rejected
from tests.integration.conftest import Database, piece

DAY = date(2025, 3, 10)
NEXT = DAY + timedelta(days=1)


async def test_a_matrix_has_the_state_of_every_slice(api: httpx.AsyncClient, database: Database) -> None:
    execution_id = await database.planned([piece(DAY, 6), piece(DAY, 8), piece(NEXT, 6), piece(NEXT, 9)])
    first, second = await database.claim(), await database.claim()
    await database.run(slices.finish, first)
    await database.run(slices.fail, second, "no_answer", "status 503")

    answer = (await api.get(f"/sync/executions/{execution_id}/matrix")).json()

    assert answer["modalidades"] == [6, 8, 9]
    assert [(day["first_day"], day["states"]) for day in answer["days"]] == [
        (str(DAY), ["success", "error", None]),
        (str(NEXT), ["pending", None, "pending"]),
    ]


async def test_what_a_cancel_interrupted_is_no_failure_and_rejected_records_are_shown(
    api: httpx.AsyncClient, database: Database
) -> None:
    execution_id = await database.planned([piece(DAY, 6), piece(DAY, 8)])
    claim = await database.claim()
    rejected = Rejected("k", "reason", "{}", "contratacoes")
    await database.run(keep_rejected, rejected, execution_id=execution_id, slice_id=claim.slice_id)
    await database.rows("UPDATE sync_slices SET records_rejected = 1 WHERE id = :id", id=claim.slice_id)
    await database.run(slices.finish, claim)
    await database.run(executions.cancel, execution_id, "maria")

    answer = (await api.get(f"/sync/executions/{execution_id}/matrix")).json()

    assert answer["days"][0]["states"] == ["rejected", "cut_off"]


async def test_a_resource_that_is_not_divided_has_one_column(api: httpx.AsyncClient, database: Database) -> None:
    execution_id = await database.planned([piece(DAY, 0), piece(NEXT, 0)], resource="atas")

    answer = (await api.get(f"/sync/executions/{execution_id}/matrix")).json()

    assert (answer["modalidades"], [day["states"] for day in answer["days"]]) == ([None], [["pending"], ["pending"]])
    assert (await api.get("/sync/executions/999/matrix")).status_code == 404


async def test_slices_of_one_day_and_modalidade(api: httpx.AsyncClient, database: Database) -> None:
    execution_id = await database.planned([piece(DAY, 6), piece(DAY, 8), piece(NEXT, 6)])

    async def asked(**filters: object) -> list[tuple[str, int]]:
        answer = await api.get(f"/sync/executions/{execution_id}/slices", params=filters)  # type: ignore[arg-type]
        return [(one["window_start"][:10], one["modalidade"]) for one in answer.json()["slices"]]

    assert await asked(day=str(DAY)) == [(str(DAY), 6), (str(DAY), 8)]
    assert await asked(day=str(DAY), modalidade=8) == [(str(DAY), 8)]
    assert await asked(modalidade=6) == [(str(DAY), 6), (str(NEXT), 6)]
    assert await asked(day="2025-01-01") == []
    for day in ("0", "2025-02-30", "10/03/2025"):
        answer = await api.get(f"/sync/executions/{execution_id}/slices", params={"day": day})
        assert answer.status_code == 422, day


async def test_the_history_counts_the_cancelled_among_those_that_pass_its_filters(
    api: httpx.AsyncClient, database: Database
) -> None:
    cancelled, failed = await database.planned(), await database.planned(resource="atas", pieces=[piece(DAY, 0)])
    await database.run(executions.cancel, cancelled, "maria")
    await database.rows(
        "UPDATE sync_slices SET status = 'error', cause = 'no_answer' WHERE execution_id = :id", id=failed
    )
    await database.rows(
        "UPDATE sync_executions SET status = 'error', cause = 'no_answer', finished_at = now() WHERE id = :id",
        id=failed,
    )

    async def counted(**filters: str) -> tuple[int, int]:
        answer = (await api.get("/sync/history", params=filters)).json()
        return answer["error_count"], answer["cancelled_count"]

    assert await counted() == (2, 1)
    assert await counted(resource="atas") == (1, 0)
    assert await counted(status="success") == (0, 0)
    assert await counted(until="2025-01-01T00:00:00") == (0, 0)
