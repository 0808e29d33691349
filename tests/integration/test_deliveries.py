"""The difference, the frozen requests and their verdicts, against a real ledger and a destination in memory."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from common.delivery_tables import OWED, REJECTED, SENDING, SENT
from common.lifecycle import executions, jobs
from common.lifecycle.deliveries import StreamClaim
from ingestor.delivery.deliver import PATIENT_TRIES, Held, Stopped, Unreadable, finish_stream, hold_stream
from ingestor.delivery.verdicts import Answer
from ingestor.errors import LeaseLost
from ingestor.jobs import Postponed
from tests.deliveries import Desk, Receiver, Request, accepting, answer_of, put_products, write_files
from tests.integration.conftest import Database

NAMES = {number: f"produto {number}" for number in range(1, 26)}


@pytest.fixture
async def desk(database: Database, tmp_path: Path) -> Desk:
    """A destination that has been loaded, and 25 records that it is owed."""
    made = Desk(database.engine, write_files(tmp_path), Receiver())
    await put_products(database.engine, NAMES)
    await made.load()
    return made


async def test_every_record_is_sent_once_in_batches_and_then_nothing_is_owed(desk: Desk, database: Database) -> None:
    await desk.deliver()
    assert [len(request.records) for request in desk.receiver.requests] == [10, 10, 5]
    assert {code: record["NOME"] for code, record in desk.receiver.records.items()} == NAMES
    assert set((await desk.states()).values()) == {SENT}

    await desk.deliver()
    assert len(desk.receiver.requests) == 3
    run = await database.row("SELECT * FROM sync_executions ORDER BY id DESC LIMIT 1")
    assert (run.status, run.records_processed) == ("success", 0)


async def test_what_was_changed_is_sent_again_and_what_is_not_mapped_is_only_noted(
    desk: Desk, database: Database
) -> None:
    write_files(desk.folder, change=lambda written: written.replace("VERSAO: {meta: version}", "ORIGEM: {const: A}"))
    await desk.load()
    await desk.deliver()
    await put_products(database.engine, {1: "outro nome"})
    await put_products(database.engine, {2: NAMES[2]}, cor="azul")  # a column that nothing maps
    await desk.deliver("update")
    assert [request.codes for request in desk.receiver.requests[3:]] == [[1]]
    piece = await database.row("SELECT * FROM sync_slices ORDER BY id DESC LIMIT 1")
    assert (piece.records_seen, piece.records_unchanged, piece.records_processed) == (2, 1, 1)


async def test_a_request_without_a_verdict_goes_out_again_with_the_same_bytes_and_the_same_key(desk: Desk) -> None:
    desk.receiver.answer = lambda _: Answer(failure="timeout")
    await desk.ask()
    claim = await desk.claim()
    with pytest.raises(Postponed):
        await desk.work(claim)
    assert SENDING in (await desk.states()).values()

    desk.receiver.answer = accepting
    await desk.work(claim)
    first, second = desk.receiver.requests[:2]
    assert (first.body, first.idempotency_key) == (second.body, second.idempotency_key)
    assert (first.attempt, second.attempt) == (1, 2)
    assert len(desk.receiver.records) == 25


async def test_a_record_that_changes_while_its_request_is_open_is_sent_again_after_the_old_version(
    desk: Desk, database: Database
) -> None:
    desk.receiver.answer = lambda _: Answer(503, {}, b"")
    await desk.ask()
    claim = await desk.claim()
    with pytest.raises(Postponed):
        await desk.work(claim)
    (code, *_) = desk.receiver.requests[0].codes
    await put_products(database.engine, {code: "mudou"})
    desk.receiver.answer = accepting
    await desk.work(claim)
    versions = [r["NOME"] for request in desk.receiver.requests[1:] for r in request.records if r["CODIGO"] == code]
    assert versions == [NAMES[code], "mudou"]


async def test_only_records_that_an_answer_names_are_settled(desk: Desk) -> None:
    seen: set[int] = set()

    def answer(request: Request) -> Answer:
        named = {code: "sem referência" if code == 7 else None for code in request.codes if code % 5 or code in seen}
        seen.update(request.codes)
        return answer_of(named)

    desk.receiver.answer = answer
    await desk.deliver()
    states = await desk.states()
    assert states.pop(7) == REJECTED
    assert set(states.values()) == {SENT}
    assert sorted(code for request in desk.receiver.requests[3:] for code in request.codes) == [5, 10, 15, 20, 25]


async def test_a_refused_request_is_cut_until_the_culprit_stands_alone(desk: Desk) -> None:
    desk.receiver.answer = lambda request: Answer(400, {}, b"") if 13 in request.codes else accepting(request)
    await desk.deliver()
    states = await desk.states()
    assert [code for code, state in states.items() if state == REJECTED] == [13]
    assert set(desk.receiver.records) == set(NAMES) - {13}


async def test_a_destination_that_refuses_nearly_all_rejects_nobody(desk: Desk, database: Database) -> None:
    desk.receiver.answer = lambda request: answer_of(dict.fromkeys(request.codes, "coluna nova"))
    execution_id = await desk.ask()
    claim = await desk.claim()
    assert claim is not None
    with pytest.raises(Held) as held:
        await desk.work(claim)
    said = await database.run(hold_stream, claim, desk.registered[0], held.value)
    assert set(said or {}) == {"reason", "owed", "stream"}, "what logs say has no samples"
    assert REJECTED not in (await desk.states()).values()
    run = await database.execution(execution_id)
    assert run.status == "running"
    assert run.held["reason"] == "mostly_refused"
    assert run.held["samples"] == ["coluna nova"]
    assert await desk.claim() is None, "until somebody confirms"

    assert await database.run(jobs.confirm, execution_id)
    desk.receiver.answer = accepting
    await desk.work()
    assert set((await desk.states()).values()) == {SENT}


async def test_a_fault_of_the_destination_rejects_no_record(desk: Desk, database: Database) -> None:
    desk.receiver.answer = lambda _: Answer(401, {}, b"")
    await desk.ask()
    with pytest.raises(Postponed):
        await desk.work()
    assert REJECTED not in (await desk.states()).values()
    known = await database.row("SELECT * FROM destinations")
    assert known.failures == 1
    assert known.failing_since is not None


async def test_a_destination_that_wants_no_more_is_asked_no_more(desk: Desk, database: Database) -> None:
    desk.receiver.answer = lambda _: Answer(410, {}, b"")
    await desk.ask()
    claim = await desk.claim()
    with pytest.raises(Stopped):
        await desk.work(claim)
    with pytest.raises(Stopped):
        await desk.work(claim)
    assert len(desk.receiver.requests) == 1
    assert (await database.row("SELECT * FROM destinations")).stopped_at is not None


async def test_too_many_records_wait_to_be_confirmed(desk: Desk, database: Database) -> None:
    write_files(desk.folder, change=lambda written: written.replace("1000000", "20"))
    await desk.load()
    execution_id = await desk.ask()
    with pytest.raises(Held) as held:
        await desk.work()
    assert held.value.details["owed"] == 25
    assert len(held.value.details["samples"]) == 3
    assert not desk.receiver.requests
    await database.rows("UPDATE sync_executions SET options = '{\"confirmed\": true}' WHERE id = :id", id=execution_id)
    await database.rows("UPDATE sync_slices SET status = 'pending', lease_until = NULL, worker_id = NULL")
    await desk.work()
    assert len(desk.receiver.records) == 25


async def test_a_changed_mapping_sends_what_it_changes_and_notes_the_rest(desk: Desk) -> None:
    await desk.deliver()
    write_files(desk.folder, longest=9)
    await desk.load()
    await desk.deliver()
    assert sorted(code for request in desk.receiver.requests[3:] for code in request.codes) == list(range(10, 26))


async def test_a_worker_that_was_frozen_settles_nothing(desk: Desk, database: Database) -> None:
    async def takeover(_: Request) -> None:
        await database.rows("UPDATE sync_slices SET attempt = attempt + 1")

    desk.receiver.before = takeover
    await desk.ask()
    with pytest.raises(LeaseLost):
        await desk.work()
    assert SENT not in (await desk.states()).values()


async def test_a_larger_request_than_the_destination_takes_is_cut_and_its_size_remembered(
    desk: Desk, database: Database
) -> None:
    desk.receiver.answer = lambda request: Answer(413, {}, b"") if len(request.body) > 600 else accepting(request)
    await desk.deliver()
    assert len(desk.receiver.records) == 25
    limit = await database.value("SELECT batch_limit FROM streams")
    await put_products(database.engine, {number: f"novo {number}" for number in NAMES})
    before = len(desk.receiver.requests)
    await desk.deliver()
    assert all(len(request.body) <= limit for request in desk.receiver.requests[before:])


async def test_from_now_on_owes_only_what_changes(database: Database, tmp_path: Path) -> None:
    folder = write_files(tmp_path, change=lambda written: written.replace("start: all", "start: now"))
    desk = Desk(database.engine, folder, Receiver())
    await put_products(database.engine, NAMES)
    await desk.load()
    await put_products(database.engine, {3: "mudou", 99: "novo"})
    await desk.deliver()
    assert sorted(desk.receiver.records) == [3, 99]


async def test_everything_is_sent_again_when_asked_for_and_each_only_once(desk: Desk) -> None:
    await desk.deliver()
    await desk.deliver(mode="tudo")
    assert sorted(code for request in desk.receiver.requests[3:] for code in request.codes) == sorted(NAMES)
    await desk.deliver(keys=["4", "5", "no such"])
    assert sorted(code for request in desk.receiver.requests[6:] for code in request.codes) == [4, 5]


async def test_a_rejected_record_is_asked_again_by_a_full_run_alone(desk: Desk) -> None:
    desk.receiver.answer = lambda request: answer_of(
        {code: "falta o fornecedor" if code == 3 else None for code in request.codes}
    )
    await desk.deliver()
    desk.receiver.answer = accepting
    await desk.deliver("update")
    assert (await desk.states())[3] == REJECTED
    await desk.deliver()
    assert [request.codes for request in desk.receiver.requests[3:]] == [[3]]
    assert (await desk.states())[3] == SENT


async def test_a_record_that_cannot_be_rendered_is_rejected_with_the_reason(desk: Desk, database: Database) -> None:
    await put_products(database.engine, {2: "x"}, status="Z")
    await desk.deliver()
    row = await database.row("SELECT * FROM deliveries WHERE key = '2'")
    assert row.state == REJECTED
    assert "STATUS" in row.reason
    assert set(desk.receiver.records) == set(NAMES) - {2}
    await put_products(database.engine, {2: "x"}, status="A")
    await desk.deliver("update")
    assert 2 in desk.receiver.records


async def test_answers_that_name_no_record_are_a_failure_and_no_endless_loop(desk: Desk) -> None:
    desk.receiver.answer = lambda request: answer_of(dict.fromkeys((code + 1000 for code in request.codes), None))
    await desk.ask()
    with pytest.raises(Postponed):
        await asyncio.wait_for(desk.work(), 10)
    assert SENT not in (await desk.states()).values()
    assert OWED not in (await desk.states()).values() or len(desk.receiver.requests) < 10


async def test_several_requests_are_under_way_at_once(database: Database, tmp_path: Path) -> None:
    desk = Desk(database.engine, write_files(tmp_path, records=1, concurrency=4), Receiver())
    await put_products(database.engine, NAMES)
    await desk.load()
    under_way, most, gate = 0, 0, asyncio.Event()

    async def enter(_: Request) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        if most == 4:
            gate.set()
        await gate.wait()
        under_way -= 1

    desk.receiver.before = enter
    await desk.deliver()
    assert most == 4
    assert len(desk.receiver.records) == 25


async def test_a_destination_that_takes_few_bytes_is_found_out_within_the_run(
    database: Database, tmp_path: Path
) -> None:
    desk = Desk(database.engine, write_files(tmp_path, records=1000), Receiver())
    await put_products(database.engine, dict.fromkeys(range(1, 129), "x"))
    await desk.load()
    desk.receiver.answer = lambda request: Answer(413, {}, b"") if len(request.codes) > 2 else accepting(request)
    await desk.deliver()
    assert set((await desk.states()).values()) == {SENT}
    refused = [request for request in desk.receiver.requests if len(request.codes) > 2]
    assert len(refused) < 16, "the size that is too large is halved, and not found out for every half anew"


async def test_a_record_larger_than_what_several_may_have_is_sent_alone_and_rejected_by_the_destination_alone(
    desk: Desk, database: Database
) -> None:
    desk.receiver.answer = lambda request: Answer(413, {}, b"") if len(request.codes) > 1 else accepting(request)
    await desk.deliver()
    limit = await database.value("SELECT batch_limit FROM streams")
    await put_products(database.engine, {1: "n" * limit, 2: "m" * limit})
    desk.receiver.answer = lambda request: (
        Answer(413, {}, b"") if len(request.codes) > 1 or request.codes == [2] else accepting(request)
    )
    await desk.deliver()
    assert len(desk.receiver.records[1]["NOME"]) == min(limit, 250)
    assert {code for code, state in (await desk.states()).items() if state == REJECTED} == {2}


async def test_a_day_of_refused_logins_rejects_nothing_and_everything_arrives_once_afterwards(
    desk: Desk, database: Database
) -> None:
    desk.receiver.answer = lambda _: Answer(401, {}, b"")
    execution_id = await desk.ask()
    claim = await desk.claim()
    assert claim is not None
    for _ in range(3):
        with pytest.raises(Postponed) as postponed:
            await desk.work(claim)
    late = {"delay_seconds": 1, "cause": postponed.value.cause, "error_message": postponed.value.reason}
    assert await database.run(jobs.postpone, claim, **late)
    await database.rows("UPDATE sync_slices SET failing_since = now() - interval '25 hours', run_after = now()")
    claim = await desk.claim()
    assert claim is not None
    assert not await database.run(jobs.postpone, claim, **late), "it has failed for longer than a day"
    await database.run(
        executions.end, execution_id, status="error", cause="destination_down", error_message="status 401"
    )
    assert REJECTED not in (await desk.states()).values()

    desk.receiver.answer = accepting
    before = len(desk.receiver.requests)
    await desk.deliver()
    arrived = [code for request in desk.receiver.requests[before:] for code in request.codes]
    assert sorted(arrived) == sorted(NAMES)
    assert (await database.row("SELECT * FROM destinations")).failures == 0


async def test_what_changes_after_the_clock_has_jumped_back_is_found_by_the_next_delivery(
    desk: Desk, database: Database
) -> None:
    await desk.deliver()
    # an hour passes in which nothing happens but a delivery, and then the clock says what it said before
    await database.rows("UPDATE streams SET cursor_at = now() + interval '1 hour'")
    await database.rows("UPDATE entity_records SET updated_at = updated_at + interval '1 hour'")
    await database.rows("UPDATE deliveries SET source_at = source_at + interval '1 hour'")
    await put_products(database.engine, {3: "mudou"})
    await database.rows("UPDATE entity_records SET updated_at = now() - interval '30 minutes' WHERE key = '3'")
    await desk.deliver("update")
    assert [request.codes for request in desk.receiver.requests[3:]] == [[3]]
    assert await database.value("SELECT cursor_at < now() FROM streams")

    await put_products(database.engine, {4: "mudou"})
    await desk.deliver("update")
    assert [request.codes for request in desk.receiver.requests[4:]] == [[4]]


async def test_a_ledger_of_yesterday_owes_again_what_was_sent_since(desk: Desk, database: Database) -> None:
    await desk.deliver()
    yesterday = await database.rows("SELECT key, source_at, digest FROM deliveries WHERE key IN ('1', '2')")
    await put_products(database.engine, {1: "mudou", 2: "mudou"})
    await desk.deliver("update")
    for row in yesterday:
        await database.rows(
            "UPDATE deliveries SET source_at = :at, digest = :digest WHERE key = :key",
            at=row.source_at,
            digest=row.digest,
            key=row.key,
        )
    await database.rows("DELETE FROM deliveries WHERE key = '9'")  # first sent since
    before = len(desk.receiver.requests)
    await desk.deliver()
    assert sorted(code for request in desk.receiver.requests[before:] for code in request.codes) == [1, 2, 9]
    assert {code: record["NOME"] for code, record in desk.receiver.records.items()} == NAMES | {1: "mudou", 2: "mudou"}


async def test_what_becomes_visible_long_after_its_moment_is_found_by_the_next_full_delivery(
    desk: Desk, database: Database
) -> None:
    await desk.deliver()
    await put_products(database.engine, {99: "atrasado"})
    await database.rows("UPDATE entity_records SET updated_at = now() - interval '15 minutes' WHERE key = '99'")
    await desk.deliver("update")
    assert 99 not in desk.receiver.records
    await desk.deliver()
    assert 99 in desk.receiver.records


async def test_a_change_that_is_committed_while_a_delivery_ends_is_found_by_the_next_one(
    desk: Desk, database: Database
) -> None:
    await desk.deliver()
    async with desk.engine.connect() as db:
        await db.execute(
            text("UPDATE entity_records SET data = data || '{\"nome\": \"tarde\"}', updated_at = now() WHERE key = '5'")
        )
        await desk.deliver("update")
        await db.commit()
    await desk.deliver("update")
    assert desk.receiver.records[5]["NOME"] == "tarde"


async def test_a_destination_that_refuses_half_of_a_thousand_rejects_nobody(database: Database, tmp_path: Path) -> None:
    desk = Desk(database.engine, write_files(tmp_path, records=1000), Receiver())
    await put_products(database.engine, {number: f"produto {number}" for number in range(1, 1001)})
    await desk.load()
    desk.receiver.answer = lambda request: answer_of(
        {code: "coluna nova" if code % 2 else None for code in request.codes}
    )
    execution_id = await desk.ask()
    claim = await desk.claim()
    assert claim is not None
    with pytest.raises(Held) as held:
        await desk.work(claim)
    assert await database.run(hold_stream, claim, desk.registered[0], held.value)
    states = list((await desk.states()).values())
    assert (states.count(SENT), states.count(OWED)) == (500, 500)
    assert (await database.execution(execution_id)).held["owed"] == 500


async def test_a_mapping_that_alters_every_record_waits_with_their_number_and_samples(desk: Desk) -> None:
    await desk.deliver()
    write_files(desk.folder, change=lambda written: written.replace("1000000", "20").replace("NOME:", "TITULO:"))
    await desk.load()
    await desk.ask()
    with pytest.raises(Held) as held:
        await desk.work()
    assert held.value.details["owed"] == 25
    assert all('"TITULO"' in sample for sample in held.value.details["samples"])
    assert len(desk.receiver.requests) == 3


@pytest.mark.parametrize("culprit", [3, 13, 24])  # in whatever order they are read, of different requests
async def test_a_record_that_the_destination_fails_at_holds_up_no_other_and_is_rejected_in_the_end(
    desk: Desk, database: Database, culprit: int
) -> None:
    desk.receiver.answer = lambda request: Answer(500, {}, b"") if culprit in request.codes else accepting(request)
    await desk.ask()
    claim = await desk.claim()
    failures = 0
    for number in range(3 * PATIENT_TRIES):
        try:
            if await desk.work(claim):
                break
        except Postponed:
            failures += 1
        await put_products(database.engine, {99: f"versão {number}"})  # another changes meanwhile, and is accepted
    assert failures > PATIENT_TRIES
    assert set(desk.receiver.records) == {*NAMES, 99} - {culprit}
    assert {code for code, state in (await desk.states()).items() if state == REJECTED} == {culprit}


async def work_and_fail(desk: Desk, claim: StreamClaim | None, times: int) -> None:
    for _ in range(times):
        with pytest.raises(Postponed):
            await desk.work(claim)


async def test_a_request_behind_one_that_the_destination_fails_at_leaves_at_the_next_try_but_one(desk: Desk) -> None:
    await desk.ask()
    claim = await desk.claim()
    failing: set[int] = set()  # of the first request

    def answer(request: Request) -> Answer:
        if not failing:
            failing.update(request.codes)
        return Answer(500, {}, b"") if failing & set(request.codes) else accepting(request)

    desk.receiver.answer = answer
    await work_and_fail(desk, claim, 3)
    assert len(desk.receiver.records) >= 10, "the second request was frozen while the first was under way"
    assert len(desk.receiver.requests) == 4
    assert [request.attempt for request in desk.receiver.requests if failing & set(request.codes)] == [1, 2, 3]


async def test_of_requests_that_have_all_failed_often_the_one_that_goes_on_failing_holds_up_no_other(
    database: Database, tmp_path: Path
) -> None:
    desk = Desk(database.engine, write_files(tmp_path), Receiver())
    await put_products(database.engine, dict.fromkeys(range(1, 21), "x"))  # two requests, and nothing else is owed
    await desk.load()
    desk.receiver.answer = lambda _: Answer(500, {}, b"")
    await desk.ask()
    claim = await desk.claim()
    await work_and_fail(desk, claim, 2 * PATIENT_TRIES + 1)
    assert await database.value("SELECT min(tries) FROM delivery_batches WHERE state = 'open'") >= PATIENT_TRIES
    tried = Counter(request.idempotency_key for request in desk.receiver.requests)
    assert len(tried) == 2
    assert max(tried.values()) - min(tried.values()) <= 2

    culprit = desk.receiver.requests[0].codes[0]
    desk.receiver.answer = lambda request: Answer(500, {}, b"") if culprit in request.codes else accepting(request)
    others = {code for request in desk.receiver.requests for code in request.codes if culprit not in request.codes}
    await work_and_fail(desk, claim, 2)
    assert others <= set(desk.receiver.records)
    await work_and_fail(desk, claim, PATIENT_TRIES - 1)
    assert await desk.work(claim)
    assert set(desk.receiver.records) == set(range(1, 21)) - {culprit}
    assert (await desk.states())[culprit] == REJECTED


async def test_a_destination_that_fails_at_everything_rejects_nothing_however_often(desk: Desk) -> None:
    desk.receiver.answer = lambda _: Answer(500, {}, b"")
    await desk.ask()
    claim = await desk.claim()
    for _ in range(2 * PATIENT_TRIES):
        with pytest.raises(Postponed):
            await desk.work(claim)
    assert REJECTED not in (await desk.states()).values()
    assert len({request.idempotency_key for request in desk.receiver.requests}) <= 3


async def test_a_size_that_was_refused_is_forgotten_when_the_file_changes(desk: Desk, database: Database) -> None:
    await database.rows("UPDATE streams SET batch_limit = 500")
    await desk.load()
    assert await database.value("SELECT batch_limit FROM streams") == 500
    write_files(desk.folder, records=20)
    await desk.load()
    assert await database.value("SELECT batch_limit FROM streams") is None


async def test_a_test_of_a_destination_moves_no_cursor(desk: Desk, database: Database) -> None:
    await database.rows("UPDATE entity_records SET updated_at = now() - interval '1 day'")
    await database.rows("UPDATE streams SET owed = 25")
    execution_id = await desk.ask("update", mode="teste")
    claim = await desk.claim()
    assert claim is not None
    assert await database.run(finish_stream, claim, desk.registered[0])
    await desk.close(execution_id)
    stream = await database.row("SELECT * FROM streams")
    assert (stream.cursor_at, stream.full_at, stream.owed) == (None, None, 25)
    await desk.deliver("update")
    assert len(desk.receiver.records) == 25


@pytest.mark.parametrize("options", [{"mode": "tudo"}, {"keys": [str(number) for number in NAMES]}])
async def test_what_has_changed_while_its_request_was_open_is_not_passed_over_by_a_delivery_of_everything(
    desk: Desk, database: Database, options: dict[str, Any]
) -> None:
    desk.receiver.answer = lambda _: Answer(failure="timeout")
    execution_id = await desk.ask()
    with pytest.raises(Postponed):
        await desk.work()
    assert await database.run(executions.cancel, execution_id, "ana")
    (code, *_) = desk.receiver.requests[0].codes
    await put_products(database.engine, {code: "mudou"})
    desk.receiver.answer = accepting
    await desk.deliver(**options)
    assert desk.receiver.records[code]["NOME"] == "mudou"
    sent = [each for request in desk.receiver.requests[1:] for each in request.codes]
    assert sorted(sent) == sorted([*NAMES, code]), "what the open request held goes out once more only if it changed"


async def test_what_is_sent_by_name_says_nothing_of_what_is_owed(desk: Desk, database: Database) -> None:
    await database.rows("UPDATE streams SET owed = 25, oldest_owed_at = now()")
    await desk.deliver(keys=["4", "5"])
    stream = await database.row("SELECT * FROM streams")
    assert (stream.owed, stream.oldest_owed_at is None) == (25, False)


async def test_a_destination_that_is_paused_is_sent_nothing_more_from_the_next_request_on(
    desk: Desk, database: Database
) -> None:
    async def pause(_: Request) -> None:
        await database.rows("""
            INSERT INTO schedules (name, paused_at, paused_by, pause_reason)
            VALUES ('deliver:crm', now(), 'ana', 'manutenção') ON CONFLICT DO NOTHING
        """)

    desk.receiver.before = pause
    await desk.ask()
    claim = await desk.claim()
    assert claim is not None
    assert not await desk.work(claim)
    desk.receiver.before = None
    assert not await desk.work(claim), "open requests too"
    assert len(desk.receiver.requests) <= 2
    await database.rows("UPDATE schedules SET paused_at = NULL, paused_by = NULL, pause_reason = NULL")
    assert await desk.work(claim)
    assert len(desk.receiver.records) == 25


async def test_of_records_that_are_asked_for_as_rejected_no_other_is_sent(desk: Desk) -> None:
    desk.receiver.answer = lambda request: answer_of({code: "falta" if code == 3 else None for code in request.codes})
    await desk.deliver()
    before = len(desk.receiver.requests)
    await desk.deliver(mode="rejeitados", keys=["3", "4"])
    assert [request.codes for request in desk.receiver.requests[before:]] == [[3]]


async def test_a_stream_that_sends_another_entity_begins_anew(desk: Desk, database: Database) -> None:
    await desk.deliver()
    (desk.folder / "entities" / "pecas.yaml").write_text((desk.folder / "entities" / "produtos.yaml").read_text())
    change, other = (f"entity: {entity}\n    name: produtos" for entity in ("produtos", "pecas"))
    write_files(desk.folder, change=lambda written: written.replace("entity: produtos", change))
    assert (await desk.load()).plan == 1
    await database.rows("""
        INSERT INTO entity_records (entity, key, data, updated_at)
        SELECT 'pecas', key, jsonb_set(data, '{nome}', '"peça"'), updated_at FROM entity_records
    """)
    write_files(desk.folder, change=lambda written: written.replace("entity: produtos", other))
    await desk.load()
    await desk.deliver("update")
    assert {record["NOME"] for record in desk.receiver.records.values()} == {"peça"}


async def test_what_is_taken_back_is_not_counted_as_rejected(desk: Desk, database: Database) -> None:
    desk.receiver.answer = lambda request: answer_of(dict.fromkeys(request.codes, "coluna nova"))
    execution_id = await desk.ask()
    claim = await desk.claim()
    assert claim is not None
    with pytest.raises(Held) as held:
        await desk.work(claim)
    assert await database.run(hold_stream, claim, desk.registered[0], held.value)
    assert await database.value("SELECT owed FROM streams") == 25
    assert await database.run(jobs.confirm, execution_id)
    desk.receiver.answer = accepting
    await desk.work()
    run = await database.execution(execution_id)
    assert (run.records_processed, run.records_rejected) == (25, 0)


VIEW = """
view: vw_produtos
key: [codigo]
version: mudou
columns: {codigo: text, nome: text, preco: number, status: text}
"""


@pytest.fixture
async def view(database: Database, desk: Desk) -> AsyncIterator[Callable[[str], Awaitable[None]]]:
    """Puts a view of these rows in the place of the declared records."""

    async def put(rows: str) -> None:
        columns = "codigo, nome, preco, status, mudou"
        await database.rows(f"CREATE OR REPLACE VIEW vw_produtos ({columns}) AS {rows}")
        (desk.folder / "entities" / "produtos.yaml").write_text(VIEW)
        await desk.load()

    yield put
    await database.rows("DROP VIEW vw_produtos")


ROW = "SELECT {key}, 'x', 1.0, 'A', {moment}"


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (ROW.format(key="text '7'", moment="now()") + " FROM generate_series(1, 2)", "chave 7"),
        (ROW.format(key="CAST(NULL AS text)", moment="now()"), "sem chave"),
        (ROW.format(key="text '7'", moment="current_date"), "timestamptz"),
        (ROW.format(key="text '7'", moment="CAST(now() AS timestamp)"), "timestamptz"),
        (ROW.format(key="text '7'", moment="text 'ontem'"), "timestamp"),
    ],
)
async def test_a_view_whose_rows_are_no_records_is_refused_with_the_reason(
    desk: Desk, view: Callable[[str], Awaitable[None]], rows: str, reason: str
) -> None:
    await view(rows)
    await desk.ask()
    with pytest.raises(Unreadable, match=reason):
        await desk.work()
    assert not desk.receiver.requests


async def test_a_row_of_a_view_without_the_moment_of_its_change_is_rejected_and_not_passed_over(
    desk: Desk, database: Database, view: Callable[[str], Awaitable[None]]
) -> None:
    await view(ROW.format(key="text '7'", moment="CAST(NULL AS timestamptz)"))
    await desk.deliver()
    assert await desk.states() == {7: REJECTED}
    await view(ROW.format(key="text '7'", moment="now()"))
    await desk.deliver()
    assert await desk.states() == {7: SENT}
