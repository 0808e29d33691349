"""Cancel, retry, idempotency, the cap, the sweeper: what an administrator does to executions, and what time does."""

import asyncio
import hashlib
import json
from datetime import date, datetime
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from backend.services.sweeper import sweep
from common.lifecycle import admission, executions, slices
from common.lifecycle.admission import MAX_UNFINISHED
from common.lifecycle.executions import Execution
from common.lifecycle.slices import Claim, PageCounts, PlannedSlice
from common.messages import SyncCommand, encode
from ingestor.sources.values import Rejected
from ingestor.store.rejected import keep_rejected
from tests.integration.conftest import OpenApi
from tests.support import eventually

DAY = date(2025, 1, 10)
WINDOW = (datetime(2025, 1, 10), datetime(2025, 1, 10, 23, 59, 59))
BACKFILL = {"mode": "backfill", "data_ini": "2025-01-10T00:00:00", "data_fim": "2025-01-10T23:59:59"}


async def planned(engine: AsyncEngine, slices: int = 3) -> int:
    """A backfill with so many slices, and no worker."""
    async with engine.begin() as db:
        created = await admission.create(
            db, mode="backfill", window_start=WINDOW[0], window_end=WINDOW[1], trigger="api"
        )
        assert created is not None
        pieces = [PlannedSlice(number, DAY, DAY, *WINDOW) for number in range(1, slices + 1)]
        execution = Execution(created, "contratacoes", "backfill", "publicacao", *WINDOW, None)
        await executions.plan(db, execution, pieces)
    return created


async def take(engine: AsyncEngine) -> Claim:
    async with engine.begin() as db:
        claim = await slices.claim(db, "worker", lease_seconds=60)
    assert claim is not None
    return claim


async def fail_one_and_finish_the_rest(engine: AsyncEngine, execution_id: int, count: int = 3) -> None:
    for number in range(count):
        claim = await take(engine)
        async with engine.begin() as db:
            await (
                slices.fail(db, claim, "portal_refused", "the portal said no")
                if number == 0
                else slices.finish(db, claim)
            )
    async with engine.begin() as db:
        assert await executions.close(db, execution_id) == "error"


async def scalar(engine: AsyncEngine, statement: str, **parameters: Any) -> Any:
    async with engine.begin() as db:
        return (await db.execute(text(statement), parameters)).scalar_one()


async def test_a_cancelled_execution_ends_at_once_and_its_worker_loses_the_slice(
    api: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    execution_id = await planned(engine)
    claim = await take(engine)

    answer = await api.post(f"/sync/executions/{execution_id}/cancel")

    assert answer.status_code == 200
    assert (answer.json()["status"], answer.json()["error_message"]) == ("error", "cancelled by an administrator")
    async with engine.begin() as db:
        assert not await slices.hold(db, claim)
        assert await slices.claim(db, "another", lease_seconds=60) is None
    assert (await api.post(f"/sync/executions/{execution_id}/cancel")).status_code == 409


async def test_an_execution_cancelled_before_it_was_planned_is_never_planned(
    api: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    execution_id = int((await api.post("/sync/force", json=BACKFILL)).json()["request_id"])

    await api.post(f"/sync/executions/{execution_id}/cancel")

    async with engine.begin() as db:
        assert await executions.lock_unplanned(db, older_than_seconds=0, execution_id=execution_id) is None


async def test_a_retry_copies_the_failed_slices_and_only_those(api: httpx.AsyncClient, engine: AsyncEngine) -> None:
    execution_id = await planned(engine)
    await fail_one_and_finish_the_rest(engine, execution_id)

    answer = await api.post(f"/sync/executions/{execution_id}/retry")

    assert answer.status_code == 200, answer.text
    copy = answer.json()["request_id"]
    assert answer.headers["Location"] == f"/sync/executions/{copy}"
    described = (await api.get(f"/sync/executions/{copy}")).json()
    assert (described["retry_of"], described["trigger"], described["status"]) == (execution_id, "retry", "running")
    assert described["progress"]["slices_total"] == 1
    copies = (await api.get(f"/sync/executions/{copy}/slices")).json()["slices"]
    failed = (await api.get(f"/sync/executions/{execution_id}")).json()["failed_slices"]
    assert [one["modalidade"] for one in copies] == [one["modalidade"] for one in failed]
    claim = await take(engine)
    assert (claim.execution_id, claim.attempt) == (int(copy), 1)


async def test_there_is_nothing_to_retry_of_a_running_or_a_successful_execution(
    api: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    execution_id = await planned(engine, slices=1)
    assert (await api.post(f"/sync/executions/{execution_id}/retry")).status_code == 409
    claim = await take(engine)
    async with engine.begin() as db:
        await slices.finish(db, claim)
    async with engine.begin() as db:
        await executions.close(db, execution_id)

    assert (await api.post(f"/sync/executions/{execution_id}/retry")).status_code == 409
    assert await scalar(engine, "SELECT count(*) FROM sync_executions") == 1


@pytest.mark.parametrize("what", ["cancel", "retry"])
async def test_an_execution_that_does_not_exist_is_404(api: httpx.AsyncClient, what: str) -> None:
    answer = await api.post(f"/sync/executions/4711/{what}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


async def test_the_same_key_and_body_answer_with_the_same_execution(
    api: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    answers = await asyncio.gather(
        *[api.post("/sync/force", json=BACKFILL, headers={"Idempotency-Key": "k1"}) for _ in range(5)]
    )
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["request_id"] for answer in answers}) == 1
    assert await scalar(engine, "SELECT count(*) FROM sync_executions") == 1


async def test_a_key_that_stands_for_another_request_is_refused(api: httpx.AsyncClient) -> None:
    await api.post("/sync/force", json=BACKFILL, headers={"Idempotency-Key": "k1"})
    answer = await api.post("/sync/force", json={"mode": "update"}, headers={"Idempotency-Key": "k1"})
    assert answer.status_code == 422
    assert "Idempotency-Key" in answer.json()["detail"]


@pytest.mark.parametrize("key", ["", "a b", "x" * 201, "ção"])
async def test_a_key_that_is_no_plain_word_is_refused(api: httpx.AsyncClient, engine: AsyncEngine, key: str) -> None:
    answer = await api.post("/sync/force", json=BACKFILL, headers={"Idempotency-Key": key.encode("latin-1")})
    assert answer.status_code == 422
    assert await scalar(engine, "SELECT count(*) FROM sync_executions") == 0


async def test_a_refused_request_gives_its_key_back(api: httpx.AsyncClient, engine: AsyncEngine) -> None:
    first = int((await api.post("/sync/force", json=BACKFILL, headers={"Idempotency-Key": "k1"})).json()["request_id"])
    async with engine.begin() as db:
        assert await admission.refuse(db, first)

    again = await api.post("/sync/force", json=BACKFILL, headers={"Idempotency-Key": "k1"})

    assert again.status_code == 200
    assert int(again.json()["request_id"]) != first


async def test_beyond_the_cap_a_request_is_told_to_come_back_and_leaves_no_row(
    api: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    answers = await asyncio.gather(*[api.post("/sync/force", json=BACKFILL) for _ in range(MAX_UNFINISHED + 5)])

    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) == 5
    assert all(int(answer.headers["Retry-After"]) > 0 for answer in refused)
    assert await scalar(engine, "SELECT count(*) FROM sync_executions") == MAX_UNFINISHED

    await api.post("/sync/executions/1/cancel")
    assert (await api.post("/sync/force", json=BACKFILL)).status_code == 200


async def test_many_are_cancelled_at_once_by_what_they_have_in_common(
    api: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    planned_ones = [await planned(engine) for _ in range(4)]
    async with engine.begin() as db:
        foreign = await admission.create(db, mode="update", window_start=None, window_end=None, trigger="message")
        ended = await admission.create(db, mode="update", window_start=None, window_end=None, trigger="schedule")
        assert ended is not None
        await executions.end(db, ended, status="success")

    async def cancel(**what: Any) -> list[int]:
        answer = await api.post("/sync/cancel", json=what)
        assert answer.status_code == 200, answer.text
        told = answer.json()
        assert (told["cancelled"], told["remaining"]) == (len(told["execution_ids"]), 0)
        return list(told["execution_ids"])

    assert await cancel(ids=[planned_ones[0], planned_ones[1], ended, 999]) == planned_ones[:2]
    assert await cancel(ids=[planned_ones[2]], mode="update") == []
    assert await cancel(trigger="message") == [foreign]
    assert await cancel(status="running") == planned_ones[2:]
    assert await cancel(status="running") == []
    messages = await scalar(
        engine, "SELECT array_agg(DISTINCT error_message) FROM sync_executions WHERE status = 'error'"
    )
    assert messages == ["cancelled by an administrator"]
    assert await scalar(engine, "SELECT count(*) FROM sync_slices WHERE status <> 'error'") == 0


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, "ids, resource, mode, trigger"),
        ({"ids": []}, "ids"),
        ({"ids": [0]}, "ids"),
        ({"ids": 3}, "ids"),
        ({"status": "success"}, "status"),
        ({"trigger": "\0"}, "trigger"),
        ({"everything": True}, "everything"),
    ],
)
async def test_what_is_to_be_cancelled_has_to_be_said(
    api: httpx.AsyncClient, engine: AsyncEngine, body: Any, expected: str
) -> None:
    kept = await planned(engine)
    answer = await api.post("/sync/cancel", json=body)

    assert answer.status_code == 422
    assert expected in answer.text
    assert await scalar(engine, "SELECT status FROM sync_executions WHERE id = :id", id=kept) == "running"


UPDATE = {"mode": "update"}


async def number_of(answer: httpx.Response) -> int:
    assert answer.status_code == 200, answer.text
    return int(answer.json()["request_id"])


async def test_a_flood_of_requests_for_an_update_is_one_execution_and_one_more_behind_it(
    api: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    first = [
        await number_of(one) for one in await asyncio.gather(*(api.post("/sync/force", json=UPDATE) for _ in range(30)))
    ]
    await plan_update(engine, first[0])
    second = [
        await number_of(one) for one in await asyncio.gather(*(api.post("/sync/force", json=UPDATE) for _ in range(30)))
    ]

    assert len(set(first)) == len(set(second)) == 1
    assert first[0] != second[0]
    assert await scalar(engine, "SELECT count(*) FROM sync_executions") == 2
    assert (await api.post("/sync/force", json=BACKFILL)).status_code == 200


async def plan_update(engine: AsyncEngine, execution_id: int) -> None:
    async with engine.begin() as db:
        execution = await executions.lock_unplanned(db, older_than_seconds=3600, execution_id=execution_id)
        assert execution is not None
        pieces = [PlannedSlice(1, DAY, DAY, *WINDOW)]
        await executions.plan(db, execution, pieces)


async def test_an_update_is_planned_when_the_one_before_it_is_no_longer_at_work(
    api: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    first = await number_of(await api.post("/sync/force", json=UPDATE))
    await plan_update(engine, first)
    second = await number_of(await api.post("/sync/force", json=UPDATE))

    async def lock() -> Execution | None:
        async with engine.begin() as db:
            return await executions.lock_unplanned(db, older_than_seconds=0, execution_id=second)

    assert await lock() is None
    claim = await take(engine)
    assert await lock() is None
    async with engine.begin() as db:  # the portal does not answer for it: that holds up no other
        await slices.postpone(db, claim, delay_seconds=600, cause="no_answer", error_message="down", progressed=False)
    assert await lock() is None  # else a flood over a portal that is down would be as many as there may be
    aged = "UPDATE sync_executions SET planned_at = now() - interval '61 seconds' WHERE id = :id RETURNING 1"
    await scalar(engine, aged, id=first)
    found = await lock()
    assert found is not None
    assert found.id == second


async def test_an_update_joins_whatever_has_asked_for_the_one_that_waits(
    api: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    async with engine.begin() as db:
        waiting = await admission.create(db, mode="update", window_start=None, window_end=None, trigger="schedule")

    assert await number_of(await api.post("/sync/force", json=UPDATE)) == waiting
    assert await scalar(engine, "SELECT count(*) FROM sync_executions") == 1


async def test_a_key_stands_for_the_execution_that_its_request_has_joined(
    api: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    first = await number_of(await api.post("/sync/force", json=UPDATE, headers={"Idempotency-Key": "a"}))
    joined = await number_of(await api.post("/sync/force", json=UPDATE, headers={"Idempotency-Key": "b"}))
    await plan_update(engine, first)

    for key in "ab":
        again = await api.post("/sync/force", json=UPDATE, headers={"Idempotency-Key": key})
        assert await number_of(again) == joined == first
    other = await api.post("/sync/force", json=BACKFILL, headers={"Idempotency-Key": "b"})
    assert other.status_code == 422
    assert await number_of(await api.post("/sync/force", json=UPDATE)) != first


@pytest.mark.parametrize(("seconds", "status"), [(1, 409), (6, 200)])
async def test_a_key_whose_backend_has_died_before_it_published_is_answered_by_another_one(
    open_api: OpenApi, engine: AsyncEngine, closed_port: int, seconds: int, status: int
) -> None:
    api = await open_api(rabbitmq_url=f"amqp://127.0.0.1:{closed_port}/")
    digest = hashlib.sha256(encode(SyncCommand("update"))).hexdigest()
    async with engine.begin() as db:
        made = await admission.create(
            db,
            mode="update",
            window_start=None,
            window_end=None,
            trigger="api",
            idempotency_key="a",
            request_digest=digest,
        )
        await db.execute(
            text("UPDATE sync_executions SET created_at = now() - make_interval(secs => :seconds)"),
            {"seconds": seconds},
        )

    answer = await api.post("/sync/force", json=UPDATE, headers={"Idempotency-Key": "a"})

    assert answer.status_code == status, answer.text
    async with engine.begin() as db:
        assert await admission.decision(db, made or 0) == ("accepted" if status == 200 else "open")
    assert await scalar(engine, "SELECT count(*) FROM sync_executions") == 1


async def test_an_execution_that_another_request_was_answered_with_is_not_refused(engine: AsyncEngine) -> None:
    async with engine.begin() as db:
        made = await admission.create(db, mode="update", window_start=None, window_end=None, trigger="api")
        assert made is not None
        assert await admission.decision(db, made) == "open"
        assert await admission.mark_published(db, made)
        assert not await admission.refuse(db, made)
        assert await admission.decision(db, made) == "accepted"


async def test_a_refused_execution_takes_the_keys_of_those_who_joined_it_with_it(engine: AsyncEngine) -> None:
    async with engine.begin() as db:
        made = await admission.create(db, mode="update", window_start=None, window_end=None, trigger="api")
        assert made is not None
        await admission.keep_key(db, made, "joined", "digest")
        known = await admission.find_request(db, "joined")
        assert known is not None
        assert (known.id, known.undecided) == (made, True)
        assert await admission.refuse(db, made)
        assert await admission.decision(db, made) == "refused"
        assert await admission.find_request(db, "joined") is None


SPELLINGS: list[tuple[str, str]] = [
    ("{}", '{"mode": "update"}'),
    ('{"mode": "update"}', '{"mode": "update", "criterio": "atualizacao"}'),
    (json.dumps(BACKFILL), json.dumps(dict(reversed(BACKFILL.items())))),
    (json.dumps(BACKFILL), json.dumps({**BACKFILL, "criterio": "publicacao"}, indent=4)),
]


@pytest.mark.parametrize(("first", "second"), SPELLINGS)
async def test_a_key_stands_for_what_is_asked_for_however_it_is_spelt(
    api: httpx.AsyncClient, engine: AsyncEngine, first: str, second: str
) -> None:
    headers = {"Idempotency-Key": "one", "Content-Type": "application/json"}
    answers = [await api.post("/sync/force", content=body, headers=headers) for body in (first, second)]

    assert [await number_of(answer) for answer in answers] == [1, 1]


async def test_the_number_of_executions_under_way_is_a_setting(open_api: OpenApi) -> None:
    api = await open_api(max_unfinished=2)
    answers = [(await api.post("/sync/force", json=BACKFILL)).status_code for _ in range(3)]

    assert answers == [200, 200, 429]


async def test_an_execution_that_no_worker_was_there_for_is_ended(engine: AsyncEngine) -> None:
    old, young = await planned(engine), await planned(engine)
    aged = "UPDATE sync_executions SET created_at = now() - interval '2 hours' WHERE id = :id RETURNING 1"
    await scalar(engine, aged, id=old)
    sweeper = asyncio.create_task(sweep(engine, every=0.05, patience=0.2))
    status = "SELECT status FROM sync_executions WHERE id = :id"

    try:
        await scalar(engine, "INSERT INTO workers (id) VALUES ('alive') RETURNING 1")

        async def seen_for_a_while() -> bool:
            statement = "SELECT started_at < now() - interval '0.15 s' FROM workers"
            return bool(await scalar(engine, statement))

        await eventually(seen_for_a_while)
        await scalar(
            engine, "UPDATE workers SET last_seen_at = now() - interval '3 hours', alive_until = now() RETURNING 1"
        )

        async def ended() -> bool:
            return bool(await scalar(engine, status, id=old) == "error")

        await eventually(ended)
    finally:
        sweeper.cancel()
    message = await scalar(engine, "SELECT error_message FROM sync_executions WHERE id = :id", id=old)
    assert message == "no worker"
    assert await scalar(
        engine, "SELECT count(*) FROM sync_slices WHERE execution_id = :id AND status = 'error'", id=old
    )
    assert young != old


async def test_the_sweeper_leaves_executions_alone_while_a_worker_is_seen(engine: AsyncEngine) -> None:
    execution_id = await planned(engine)
    async with engine.begin() as db:
        await db.execute(text("UPDATE sync_executions SET created_at = now() - interval '2 hours'"))
        await db.execute(text("INSERT INTO workers (id, last_seen_at) VALUES ('alive', now() - interval '59 minutes')"))
        await db.execute(text("UPDATE workers SET alive_until = now()"))
        assert await executions.expire_orphan(db, seconds=3600) is None
        await db.execute(text("UPDATE workers SET last_seen_at = now() - interval '61 minutes'"))
        assert await executions.expire_orphan(db, seconds=3600) == execution_id


async def test_what_was_rejected_is_counted_and_shown_with_its_execution(
    api: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    execution_id = await planned(engine, slices=1)
    claim = await take(engine)
    kept = Rejected("00000000000000-1-000001/2025", "srp: expected bool", '{"srp": "talvez"}', "contratacoes")
    async with engine.begin() as db:
        assert await keep_rejected(db, kept, execution_id=execution_id, slice_id=claim.slice_id) == 1
        assert await keep_rejected(db, kept, execution_id=execution_id, slice_id=claim.slice_id) == 0
        counts = PageCounts(processed=4, rejected=1)
        await slices.advance(db, claim, counts, pages_done=1, pages_total=1, total_registros=5, lease_seconds=60)

    running = (await api.get(f"/sync/executions/{execution_id}")).json()
    async with engine.begin() as db:
        await slices.finish(db, claim)
    async with engine.begin() as db:
        await executions.close(db, execution_id)
    ended = (await api.get(f"/sync/executions/{execution_id}")).json()
    listed = (await api.get("/sync/history")).json()["executions"][0]

    assert running["records_rejected"] == ended["records_rejected"] == listed["records_rejected"] == 1
    assert ended["status"] == "success"
    (shown,) = ended["rejected_records"]
    assert shown.pop("first_seen") <= shown.pop("last_seen")
    assert shown == {
        "resource": "contratacoes",
        "natural_key": kept.natural_key,
        "reason": kept.reason,
        "times": 1,
        "resolved_at": None,
    }


async def test_what_is_being_repeated_is_not_repeated_a_second_time(
    api: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    execution_id = await planned(engine)
    await fail_one_and_finish_the_rest(engine, execution_id)

    answers = await asyncio.gather(*[api.post(f"/sync/executions/{execution_id}/retry") for _ in range(4)])

    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
