"""What the commands of the terminal ask, of whom, as whom, and how they tell it."""

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from standalone import cli, terminal, tools
from standalone.system import LaunchError
from standalone.terminal import Api, Pace, bar, credentials, duration, local_url, log_line, progress_line, watch

PROGRESS = {
    "percent": 25.0,
    "slices_total": 4,
    "slices_done": 1,
    "slices_failed": 0,
    "slices_running": 1,
    "pages_done": 2,
    "records_inserted": 10,
    "records_updated": 2,
    "records_rejected": 0,
    "itens_written": 40,
}
EXECUTION = {
    "id": 42,
    "mode": "backfill",
    "criterio": "publicacao",
    "trigger": "api",
    "window_start": "2026-03-01T00:00:00",
    "window_end": "2026-03-02T23:59:59",
    "status": "running",
    "phase": "running",
    "records_processed": 1000,
    "records_rejected": 0,
    "duration_seconds": 10.0,
    "error_message": None,
    "progress": PROGRESS,
}


def api_of(handler: Callable[[httpx.Request], httpx.Response]) -> Api:
    return Api(httpx.Client(base_url="http://backend", transport=httpx.MockTransport(handler)))


def options(*words: str) -> argparse.Namespace:
    return cli.parse(list(words))[1]


# --- the command line -------------------------------------------------------------------------------------------


def test_days_stand_for_all_of_themselves_and_moments_for_themselves() -> None:
    assert options("sync", "--backfill", "2026-03-01", "2026-03-02").backfill == (
        "2026-03-01T00:00:00",
        "2026-03-02T23:59:59",
    )
    assert options("sync", "--backfill", "2026-03-01T08:00:00", "2026-03-01").backfill == (
        "2026-03-01T08:00:00",
        "2026-03-01T23:59:59",
    )


@pytest.mark.parametrize(
    "words",
    [
        ("sync",),
        ("sync", "--update", "--backfill", "2026-03-01", "2026-03-02"),
        ("sync", "--backfill", "2026-03-01"),
        ("sync", "--backfill", "01/03/2026", "2026-03-02"),
        ("sync", "--backfill", "2026-02-30", "2026-03-02"),
        ("sync", "--backfill", "2026-03-02", "2026-03-01"),
        ("sync", "--update", "--criterio", "x"),
        ("cancel",),
        ("cancel", "1", "--all"),
        ("retry", "x"),
        ("log", "0"),
        ("history", "--status", "done"),
        ("status", "--password", "x"),
    ],
)
def test_wrong_options_are_told_with_exit_code_2(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        options(*words)
    assert end.value.code == 2
    assert "usage: ./pncp" in capsys.readouterr().err


def test_every_command_that_asks_has_a_url_and_json() -> None:
    for name in cli.ASKING:
        words = {"sync": ["--update"], "cancel": ["1"], "retry": ["1"], "log": ["1"]}.get(name, [])
        given = options(name, *words, "--url", "http://x", "--json")
        assert (given.url, given.json) == ("http://x", True)


# --- whom, and as whom ------------------------------------------------------------------------------------------


def test_the_administrators_password_is_for_the_backend_of_this_machine_alone() -> None:
    admin = {"ADMIN_USERNAME": "ana", "ADMIN_PASSWORD": "secret"}
    assert credentials(admin, is_here=True) == ("ana", "secret")
    assert credentials(admin, is_here=False) is None
    both = {**admin, "PNCP_SYNC_USERNAME": "rui", "PNCP_SYNC_PASSWORD": "other"}
    assert credentials(both, is_here=True) == credentials(both, is_here=False) == ("rui", "other")
    assert credentials({}, is_here=True) is None


def test_the_backend_that_was_started_last_and_still_listens_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listening = {8001}
    monkeypatch.setattr(tools, "port_is_free", lambda port: port not in listening)
    settings = {"PNCP_HOME": str(tmp_path)}
    assert local_url(settings) == "http://127.0.0.1:8000"
    assert local_url({**settings, "BACKEND_PORT": "9000"}) == "http://127.0.0.1:9000"
    for age, (name, port) in enumerate([("up", 8001), ("demo", 8002)]):
        (tmp_path / name).mkdir()
        (tmp_path / name / "backend-port").write_text(str(port))
        os.utime(tmp_path / name / "backend-port", (age, age))
    assert local_url(settings) == "http://127.0.0.1:8001"  # 8002 was killed
    listening.add(8002)
    assert local_url(settings) == "http://127.0.0.1:8002"


@pytest.mark.parametrize("url", ["pncp.example.org", "ftp://x", "http://", "http://[x", "http://x:port"])
def test_what_is_no_url_is_told(url: str) -> None:
    with pytest.raises(LaunchError, match="is not a URL"), terminal.connect(url, {}):
        pass


# --- answers ----------------------------------------------------------------------------------------------------


def test_a_refusal_is_told_in_the_backends_own_words() -> None:
    problem = {"detail": "A execução 42 já terminou."}
    api = api_of(lambda _: httpx.Response(409, json=problem))
    with pytest.raises(LaunchError, match=r"^409: A execução 42 já terminou\.$"):
        api.post("/sync/executions/42/cancel")


@pytest.mark.parametrize("answer", [httpx.Response(200, text="<html>"), httpx.Response(200, json=[1])])
def test_another_service_at_the_address_is_told(answer: httpx.Response) -> None:
    with pytest.raises(LaunchError, match="is not PNCP Sync's API"):
        api_of(lambda _: answer).get("/sync/status")


def test_an_unknown_user_is_told_what_to_set() -> None:
    api = api_of(lambda _: httpx.Response(401, json={"detail": "Informe usuário e senha."}))
    with pytest.raises(LaunchError, match="PNCP_SYNC_USERNAME and PNCP_SYNC_PASSWORD"):
        api.get("/sync/status")


@pytest.mark.parametrize(
    ("words", "path", "body"),
    [
        (("cancel", "42"), "/sync/executions/42/cancel", b""),
        (("cancel", "42", "43"), "/sync/cancel", b'{"ids":[42,43]}'),
        (("cancel", "--all"), "/sync/cancel", b'{"status":"running"}'),
    ],
)
def test_executions_are_cancelled_one_by_one_or_together(
    words: tuple[str, ...], path: str, body: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    def serve(request: httpx.Request) -> httpx.Response:
        asked.append((request.url.path, request.content.replace(b" ", b"")))
        return httpx.Response(200, json={"cancelled": 2, "execution_ids": [42, 43], "remaining": 0})

    assert terminal._cancel(api_of(serve), options(*words)) == 0  # the rest asks a real backend
    assert asked == [(path, body)]
    assert "cancelled" in capsys.readouterr().out


def test_a_log_is_read_page_by_page_up_to_the_limit(capsys: pytest.CaptureFixture[str]) -> None:
    asked = []

    def serve(request: httpx.Request) -> httpx.Response:
        asked.append(dict(request.url.params))
        cursor = int(request.url.params.get("cursor", 0))
        lines = [
            {
                "id": n,
                "logged_at": "2026-03-01T12:00:00Z",
                "level": "info",
                "event": f"e{n}",
                "slice_id": None,
                "fields": {},
            }
            for n in range(cursor + 1, cursor + 3)
        ]
        return httpx.Response(200, json={"lines": lines, "next_cursor": str(cursor + 2) if cursor < 4 else None})

    assert terminal._log(api_of(serve), options("log", "42", "--level", "info", "--json", "--limit", "5")) == 0
    assert [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()] == [
        "e1",
        "e2",
        "e3",
        "e4",
        "e5",
    ]
    assert asked == [
        {"level": "info", "limit": "5"},
        {"level": "info", "limit": "3", "cursor": "2"},
        {"level": "info", "limit": "1", "cursor": "4"},
    ]


def test_a_log_is_followed_until_the_execution_has_ended(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(terminal, "POLL_SECONDS", 0)
    line = {"logged_at": "2026-03-01T12:00:00Z", "level": "info", "slice_id": None, "fields": {}}
    pages = iter([[{**line, "id": 1, "event": "first"}], [], [{**line, "id": 7, "event": "last"}]])
    states = iter(["running", "success"])
    cursors = []

    def serve(request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith("/log"):
            return httpx.Response(200, json={"status": next(states)})
        cursors.append(request.url.params.get("cursor"))
        return httpx.Response(200, json={"lines": next(pages), "next_cursor": None})

    assert terminal._log(api_of(serve), options("log", "42", "--follow")) == 0
    assert [told.split()[-1] for told in capsys.readouterr().out.splitlines()] == ["first", "last"]
    assert cursors == [None, "1", "1"]


def test_a_line_of_the_log_reads_well() -> None:
    line = {"logged_at": "2026-03-01T12:00:00+00:00", "level": "warning", "event": "page failed", "slice_id": 7}
    assert log_line({**line, "fields": {"page": 3}}).endswith("warning  slice 7 page failed page=3")


# --- progress ---------------------------------------------------------------------------------------------------


def execution(percent: float, records: int, **parts: Any) -> dict[str, Any]:
    return {**EXECUTION, "records_processed": records, "progress": {**PROGRESS, "percent": percent}, **parts}


def test_progress_is_percent_records_pace_and_time_left() -> None:
    pace = Pace()
    pace.note(0, execution(10, 0))
    assert progress_line(execution(10, 0), pace) == f"42 {bar(10)}  10.0 %, 0 records, -, time left unknown"
    pace.note(10, execution(20, 1000))
    line = progress_line(execution(20, 1000), pace)
    assert line == f"42 {bar(20)}  20.0 %, 1,000 records, 100.0/s, about 1 min 20 s left"


def test_the_pace_is_that_of_the_last_half_minute() -> None:
    pace = Pace()
    for second in range(0, 100, 10):
        pace.note(second, execution(min(second, 50), 100 * min(second, 50)))
    assert pace.records_per_second == 0
    assert pace.seconds_left is None


def test_what_waits_says_so() -> None:
    assert "no ingestor" in progress_line(execution(0, 0, phase="queued"), Pace())
    pace = Pace()
    pace.note(0, execution(10, 0))
    assert "waiting for the portal" in progress_line(execution(10, 0, phase="waiting"), pace)


@pytest.mark.parametrize(("percent", "hashes"), [(0, 0), (50, 12), (99.9, 23), (100, 24), (120, 24), (-1, 0)])
def test_the_bar_is_full_at_a_hundred_and_not_before(percent: float, hashes: int) -> None:
    assert bar(percent) == f"[{'#' * hashes}{'.' * (24 - hashes)}]"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (59.6, "1 min 00 s"), (725, "12 min 05 s"), (12_000, "3 h 20 min"), (187_200, "2 d 04 h")],
)
def test_durations_are_told_as_people_do(seconds: float, said: str) -> None:
    assert duration(seconds) == said


@pytest.mark.parametrize(("status", "code"), [("success", 0), ("error", 1)])
def test_watching_ends_with_the_executions_own_end(
    status: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(terminal, "POLL_SECONDS", 0)
    answers = iter(
        [
            httpx.Response(200, json=execution(10, 0)),
            httpx.Response(503, json={"detail": "O banco de dados está indisponível."}),
            httpx.Response(200, json=execution(100, 12, status=status, phase="finished")),
        ]
    )
    assert watch(api_of(lambda _: next(answers)), "42", as_json=False) == code
    said = capsys.readouterr().out
    assert "10.0 %" in said
    assert f"execution 42: backfill by publicacao, {status}" in said


def test_nobody_at_the_address_is_told_by_name() -> None:
    def refuse(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(LaunchError, match="nothing answers at http://backend: is the backend running there"):
        api_of(refuse).get("/sync/status")
