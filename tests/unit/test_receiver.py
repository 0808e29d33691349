"""The receiver of deliveries: what it keeps, what it answers, and how it fails."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from ingestor.delivery.signing import sign
from simulator.receiver.__main__ import main
from simulator.receiver.app import Manners, Receiver, serve
from simulator.receiver.faults import KINDS, Chance, Faults
from simulator.receiver.state import MOST_BOXES, NotRecords, Reply, State, is_older, key_of, parse_records, texts_of
from tests.support import eventually

pytestmark = pytest.mark.enable_socket

ROOT = Path(__file__).parents[2]
SECRET = "whsec_" + "a2V5IG9mIHRoZSByZWNlaXZlcidzIHRlc3Rz"


class Client:
    """A receiver and a client of it."""

    def __init__(self, receiver: Receiver, session: aiohttp.ClientSession) -> None:
        self.receiver = receiver
        self._session = session

    async def post(self, path: str, body: Any, key: str | None = None, **options: Any) -> tuple[int, Any]:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Idempotency-Key": key} if key else {}
        headers |= options.pop("headers", {})
        async with self._session.post(
            self.receiver.url + path, data=content, headers=headers, allow_redirects=False, **options
        ) as response:
            text = await response.text()
            return response.status, json.loads(text) if response.content_type == "application/json" else text

    async def get(self, path: str) -> Any:
        async with self._session.get(self.receiver.url + path) as response:
            text = await response.text()
            return json.loads(text) if response.content_type == "application/json" else text

    async def delete(self, path: str) -> None:
        async with self._session.delete(self.receiver.url + path) as response:
            assert response.status == 204

    async def state(self, name: str = "a") -> Any:
        return await self.get(f"/_state/{name}")


Open = Callable[..., Any]


@pytest.fixture
async def open_receiver() -> AsyncIterator[Open]:
    async with AsyncExitStack() as stack:

        async def open_receiver(faults: str = "", **manners: Any) -> Client:
            receiver = await stack.enter_async_context(serve(Manners(**manners), Faults.parse(faults)))
            session = await stack.enter_async_context(aiohttp.ClientSession())
            return Client(receiver, session)

        yield open_receiver


def record(number: int, version: str = "2026-03-01T10:00:00Z", **more: Any) -> dict[str, Any]:
    return {"id": number, "VERSAO": version, **more}


# Records


async def test_records_are_kept_by_their_keys_and_answered_one_by_one(open_receiver: Open) -> None:
    client = await open_receiver()
    status, answer = await client.post("/records/a", [record(1), record(2)])
    assert status == 207
    assert sorted(each["id"] for each in answer["resultados"]) == [1, 2]
    assert not any("erro" in each for each in answer["resultados"])
    state = await client.state()
    assert state["records"]["1"]["record"] == record(1)
    assert (state["requests"], state["statuses"], state["duplicates"], state["backwards"]) == (1, {"207": 1}, 0, 0)


async def test_results_come_in_another_order(open_receiver: Open) -> None:
    client = await open_receiver()
    _, answer = await client.post("/records/a", [record(number) for number in range(100)])
    numbers = [each["id"] for each in answer["resultados"]]
    assert numbers != sorted(numbers) == list(range(100))


@pytest.mark.parametrize(
    "body",
    [
        b'[{"id":1},{"id":2}]',
        b'{"registros":[{"id":1},{"id":2}]}',
        b'{"anything":[{"id":1},{"id":2}]}',
        b'{"id":1}\n{"id":2}\n',
    ],
)
def test_records_stand_in_an_array_in_an_object_or_in_lines(body: bytes) -> None:
    assert parse_records(body) == [{"id": 1}, {"id": 2}]


def test_one_object_is_one_record() -> None:
    assert parse_records(b'{"id":1,"itens":[{"n":1}]}') == [{"id": 1, "itens": [{"n": 1}]}]


@pytest.mark.parametrize("body", [b"", b"x", b"1", b"null", b"[1]", b'{"a":[1]}', b"x\ny", b"1\n2"])
async def test_what_is_no_record_is_refused(open_receiver: Open, body: bytes) -> None:
    with pytest.raises(NotRecords):
        parse_records(body)
    client = await open_receiver()
    assert (await client.post("/records/a", body))[0] == 400


def test_a_key_is_the_first_field_that_is_there_else_the_content() -> None:
    assert key_of({"id": 0, "chave": None}, ("chave", "id")) == "0"
    assert key_of({"a": 1, "b": 2}, ("id",)) == key_of({"b": 2, "a": 1}, ("id",)) != key_of({"a": 2, "b": 2}, ("id",))


async def test_the_key_s_field_may_be_chosen(open_receiver: Open) -> None:
    client = await open_receiver(keys=("CODPRODUTO",))
    _, answer = await client.post("/records/a", [{"CODPRODUTO": 7}])
    assert answer == {"resultados": [{"CODPRODUTO": 7}]}


# Repeated requests


async def test_a_repeated_key_is_answered_as_before_and_applies_nothing(open_receiver: Open) -> None:
    client = await open_receiver()
    first = await client.post("/records/a", [record(1), record(2)], key="k")
    assert await client.post("/records/a", [record(1), record(2)], key="k") == first
    state = await client.state()
    assert (state["repeats"], state["duplicates"], sum(state["records"]["1"]["applied"].values())) == (1, 0, 1)


async def test_a_plain_receiver_applies_again_and_counts_it(open_receiver: Open) -> None:
    client = await open_receiver(honours_key=False)
    for _ in range(3):
        await client.post("/records/a", [record(1)], key="k")
    state = await client.state()
    assert (state["repeats"], state["duplicates"]) == (0, 2)
    assert list(state["records"]["1"]["applied"].values()) == [3]


async def test_a_key_with_other_content_is_counted_and_refused_by_who_honours_it(open_receiver: Open) -> None:
    client = await open_receiver()
    await client.post("/records/a", [record(1)], key="k")
    assert (await client.post("/records/a", [record(2)], key="k"))[0] == 422
    state = await client.state()
    assert (state["reused_keys"], list(state["records"])) == (1, ["1"])


async def test_keys_of_different_addresses_are_different(open_receiver: Open) -> None:
    client = await open_receiver()
    await client.post("/records/a", [record(1)], key="k")
    await client.post("/records/b", [record(1)], key="k")
    assert (await client.state("b"))["records"].keys() == {"1"}


async def test_a_step_backwards_is_counted(open_receiver: Open) -> None:
    client = await open_receiver()
    for version in ("2026-03-01T10:00:00Z", "2026-03-02T10:00:00Z", "2026-03-01T10:00:00Z", "2026-03-03T10:00:00Z"):
        await client.post("/records/a", [record(1, version)])
    state = await client.state()
    assert (state["backwards"], state["duplicates"]) == (1, 1)
    assert state["records"]["1"]["version"] == "2026-03-03T10:00:00Z"


@pytest.mark.parametrize(
    ("version", "than", "older"),
    [
        ("2026-03-01T10:00:00Z", "2026-03-01T10:00:00.5Z", True),
        ("2026-03-01T10:00:00-03:00", "2026-03-01T12:00:00Z", False),
        ("2026-03-01T08:00:00-03:00", "2026-03-01T12:00:00Z", True),
        (1, 2, True),
        (2, 1, False),
        ("a", "b", True),
        ("a", 1, False),
        (None, "b", False),
        ("2026-03-01", "2026-03-01", False),
    ],
)
def test_versions_are_compared_as_what_they_are(version: Any, than: Any, older: bool) -> None:
    assert is_older(version, than) is older


# Faults


def test_faults_are_read_and_wrong_ones_named() -> None:
    assert Faults.parse("error_before=0.08, bad=0.01,largest=4096") == Faults(error_before=0.08, bad=0.01, largest=4096)
    assert Faults.parse("") == Faults()
    for text, named in [
        ("eror=1", "eror"),
        ("hang", "hang"),
        ("hang=x", "hang"),
        ("hang=1.5", "hang"),
        ("bad=-1", "bad"),
        ("hang=nan", "hang"),
        ("largest=-1", "largest"),
        ("largest=inf", "largest"),
        ("hang=0.6,reset=0.6", "more than 1"),
    ]:
        with pytest.raises(ValueError, match=named):
            Faults.parse(text)


def test_faults_come_in_their_shares_and_the_same_seed_draws_the_same() -> None:
    faults = Faults(error_before=0.2, throttle=0.1)
    drawn = [Chance(7).draw(faults) for _ in range(3)]
    assert len(set(drawn)) == 1
    chance = Chance(7)
    many = [chance.draw(faults) for _ in range(5000)]
    assert 850 < many.count("error_before") < 1150
    assert 400 < many.count("throttle") < 600
    assert set(many) == {None, "error_before", "throttle"}


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ("error_before", 500),
        ("throttle", 429),
        ("unauthorized", 401),
        ("not_found", 404),
        ("gone", 410),
        ("redirect", 307),
    ],
)
async def test_some_faults_apply_nothing(open_receiver: Open, fault: str, status: int) -> None:
    client = await open_receiver(f"{fault}=1")
    assert (await client.post("/records/a", [record(1)], key="k"))[0] == status
    state = await client.state()
    assert (state["records"], state["statuses"]) == ({}, {str(status): 1})


async def test_a_fault_after_applying_is_made_good_by_the_same_key(open_receiver: Open) -> None:
    client = await open_receiver("error_after=1")
    assert (await client.post("/records/a", [record(1)], key="k"))[0] == 500
    assert "aceitou 1 registro; depois, de propósito, respondeu 500" in await client.get("/")
    assert (await client.state())["records"].keys() == {"1"}
    await client.post("/_faults", {"faults": ""})
    assert (await client.post("/records/a", [record(1)], key="k"))[0] == 207
    assert (await client.state())["repeats"] == 1


async def test_a_request_that_hangs_was_applied(open_receiver: Open) -> None:
    client = await open_receiver("hang=1")
    with pytest.raises(TimeoutError):
        await client.post("/records/a", [record(1)], timeout=aiohttp.ClientTimeout(total=0.3))
    state = await client.state()
    assert (state["records"].keys(), state["statuses"]) == ({"1"}, {"hang": 1})


async def test_a_request_that_hangs_does_not_hold_up_the_end() -> None:
    async with serve(Manners(), Faults(hang=1)) as receiver, aiohttp.ClientSession() as session:
        hanging = asyncio.create_task(session.post(receiver.url + "/records/a", data=b'[{"id":1}]'))
        await eventually(lambda: receiver.state.boxes)
    with pytest.raises(aiohttp.ClientError):
        await hanging


async def test_a_connection_that_is_reset_was_used(open_receiver: Open) -> None:
    client = await open_receiver("reset=1")
    with pytest.raises(aiohttp.ClientError):
        await client.post("/records/a", [record(1)])
    assert (await client.state())["records"].keys() == {"1"}


async def test_garbage_is_no_json_and_was_applied(open_receiver: Open) -> None:
    client = await open_receiver("garbage=1")
    status, answer = await client.post("/records/a", [record(1)])
    assert (status, answer) == (200, "<html>tudo certo</html>")
    assert (await client.state())["records"].keys() == {"1"}


async def test_bad_records_are_refused_one_by_one_and_always_the_same(open_receiver: Open) -> None:
    client = await open_receiver("bad=0.2", seed=3)
    records = [record(number) for number in range(200)]
    refused = []
    for _ in range(2):
        random.Random(1).shuffle(records)
        _, answer = await client.post("/records/a", records)
        refused.append({str(each["id"]) for each in answer["resultados"] if "erro" in each})
    state = await client.state()
    assert refused[0] == refused[1] == state["refused"].keys()
    assert 15 < len(refused[0]) < 70
    assert not refused[0] & state["records"].keys()
    assert set(state["refused"].values()) == {2}


async def test_a_bad_record_makes_a_whole_request_fail_and_alone_it_is_refused(open_receiver: Open) -> None:
    client = await open_receiver("bad=1", results="whole")
    assert (await client.post("/records/a", [record(1), record(2)]))[0] == 400
    assert (await client.state())["refused"] == {}
    assert (await client.post("/records/a", [record(1)]))[0] == 400
    assert (await client.state())["refused"] == {"1": 1}


async def test_a_whole_request_is_answered_as_a_whole(open_receiver: Open) -> None:
    client = await open_receiver(results="whole")
    assert await client.post("/records/a", [record(1), record(2)]) == (200, {"recebidos": 2})


async def test_an_answer_may_leave_records_out_that_were_applied(open_receiver: Open) -> None:
    client = await open_receiver("missing=1")
    assert await client.post("/records/a", [record(1)]) == (207, {"resultados": []})
    assert (await client.state())["records"].keys() == {"1"}


async def test_a_body_beyond_the_limit_is_refused(open_receiver: Open) -> None:
    client = await open_receiver("largest=100")
    assert (await client.post("/records/a", [record(1, text="x" * 100)]))[0] == 413
    assert (await client.post("/records/a", [record(1)]))[0] == 207


async def test_faults_and_manners_can_be_changed_and_wrong_ones_change_nothing(open_receiver: Open) -> None:
    client = await open_receiver("error_before=1")
    for wrong in ({"faults": "x=1"}, {"faults": "", "secret": "x"}, [1], b"x", {"faults": 1}, {"results": "x"}):
        assert (await client.post("/_faults", wrong))[0] == 400
    assert (await client.post("/records/a", [record(1)]))[0] == 500
    await client.post("/_faults", {"faults": "", "results": "whole"})
    assert (await client.post("/records/a", [record(1)]))[0] == 200


# Signatures


async def test_only_signed_requests_are_taken_where_a_secret_is_set(open_receiver: Open) -> None:
    client = await open_receiver(secret=SECRET)
    body = b'[{"id":1}]'
    signed = sign([SECRET], message_id="k", at=datetime.now(UTC), body=body)
    assert (await client.post("/records/a", body, headers=signed))[0] == 207
    old = sign([SECRET], message_id="k", at=datetime(2026, 1, 1, tzinfo=UTC), body=body)
    other = sign(["whsec_YW5vdGhlcg=="], message_id="k", at=datetime.now(UTC), body=body)
    for headers in ({}, old, other, {**signed, "webhook-id": "l"}, {**signed, "webhook-timestamp": "x"}):
        assert (await client.post("/records/a", body, headers=headers))[0] == 401
    assert (await client.get("/_state"))["bad_signatures"] == 5
    both = sign(["whsec_YW5vdGhlcg==", SECRET], message_id="k", at=datetime.now(UTC), body=body)
    assert (await client.post("/records/a", body, headers=both))[0] == 207


# Chats and the page


@pytest.mark.parametrize(
    ("path", "message", "answer"),
    [
        ("/slack", {"text": "Olá &lt;mundo&gt;"}, (200, "ok")),
        (
            "/teams",
            {"type": "message", "attachments": [{"content": {"body": [{"type": "TextBlock", "text": "Olá <mundo>"}]}}]},
            (202, ""),
        ),
        (
            "/telegram/bot123:abc/sendMessage",
            {"chat_id": "1", "text": "Olá &lt;mundo&gt;"},
            (200, {"ok": True, "result": {"message_id": 1}}),
        ),
    ],
)
async def test_a_chat_takes_a_message_and_the_page_shows_it(
    open_receiver: Open, path: str, message: Any, answer: Any
) -> None:
    client = await open_receiver()
    assert await client.post(path, message) == answer
    page = await client.get("/")
    assert "Olá &lt;mundo&gt;" in page
    assert 'http-equiv="refresh"' in page


async def test_a_message_without_a_text_is_refused(open_receiver: Open) -> None:
    client = await open_receiver()
    for body in ({}, [], b"x", {"text": ""}, {"text": 7}):
        assert (await client.post("/slack", body))[0] == 400


def test_the_texts_of_a_message_come_in_their_order() -> None:
    blocks = [{"text": {"type": "mrkdwn", "text": "b"}}, {"elements": [{"text": "c"}]}]
    assert texts_of({"text": "a", "blocks": blocks}) == "a\nb\nc"


async def test_the_page_says_what_came_and_what_was_refused(open_receiver: Open) -> None:
    client = await open_receiver("bad=0.5")
    assert "Nada chegou ainda" in await client.get("/")
    await client.post("/records/<b>", [record(number) for number in range(10)])
    page = await client.get("/")
    assert "e recusou" in page
    assert "&quot;VERSAO&quot;:&quot;2026-03-01T10:00:00Z&quot;" in page
    assert "&lt;b&gt;" in page
    assert "<b>" not in page


# Bounds


async def test_the_newest_records_are_kept(open_receiver: Open) -> None:
    client = await open_receiver(most_records=10)
    await client.post("/records/a", [record(number) for number in range(25)])
    state = await client.state()
    assert (list(state["records"]), state["forgotten"]) == ([str(number) for number in range(15, 25)], 15)


async def test_addresses_are_not_without_number(open_receiver: Open) -> None:
    client = await open_receiver()
    for number in range(MOST_BOXES):
        client.receiver.state.box(f"x{number}")
    assert (await client.post("/records/a", [record(1)]))[0] == 404


def test_replies_are_forgotten_by_their_bytes() -> None:
    state = State()
    for number in range(10):
        state.remember("a", str(number), Reply(b"", 200, b"x" * 16 * 1024 * 1024))
    state.remember("a", "9", Reply(b"", 200, b"x"))
    assert [key for _, key in state.replies] == ["6", "7", "8", "9"]
    assert state.reply_bytes == 3 * 16 * 1024 * 1024 + 1


async def test_everything_is_forgotten_on_demand(open_receiver: Open) -> None:
    client = await open_receiver()
    await client.post("/records/a", [record(1)], key="k")
    await client.delete("/_state")
    assert (await client.get("/_state")) == {"boxes": {}, "bad_signatures": 0}
    assert (await client.state())["records"] == {}
    await client.post("/records/a", [record(1)], key="k")
    assert (await client.state())["repeats"] == 0


# The command line


@pytest.mark.parametrize("arguments", [["--faults", "x=1"], ["--secret", "whsec_"], ["--host", "203.0.113.1"]])
def test_wrong_options_are_told_in_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("receiver: ")
    assert said.count("\n") == 1


def test_help_names_every_fault(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    said = capsys.readouterr().out
    assert all(f"  {name}: " in said for name, _ in KINDS)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_listens_and_ends_at_a_signal(number: signal.Signals) -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "simulator.receiver", "--port", "0", "--plain", "--results", "whole"],
        cwd=ROOT,
        env=os.environ | {"PYTHONUTF8": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    watchdog = threading.Timer(20, child.kill)
    watchdog.start()
    try:
        assert child.stdout is not None
        assert child.stdout.readline().startswith("receiver ready on http://127.0.0.1:")
        child.send_signal(number)
        assert child.wait(20) == 0
    finally:
        watchdog.cancel()
        child.kill()
        _, said = child.communicate()
    assert said == ""
