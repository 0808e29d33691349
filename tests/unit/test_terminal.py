"""What the commands of the terminal ask, of whom, as whom, and how they tell it."""

import argparse
import io
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from common.resources import RESOURCE_NAMES
from standalone import cli, notes
from standalone.api import Api, connect, credentials, local_url
from standalone.system import LaunchError
from standalone.terminal import executions, log, output, watching
from standalone.terminal.coverage import coverage
from standalone.terminal.executions import cancel, history, status, sync, watch
from standalone.terminal.log import log_line
from standalone.terminal.output import duration, print_answer, window_of
from standalone.terminal.watching import note, progress_of

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


@pytest.fixture(autouse=True)
def fresh_console() -> Iterator[None]:
    """Each test finds out anew whether its output is a terminal."""
    output.console.cache_clear()
    yield
    output.console.cache_clear()


class Screen(io.StringIO):
    """Standard output that is a terminal."""

    def isatty(self) -> bool:
        return True


def screen_of(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Screen:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "30", **variables}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdout", Screen())
    assert isinstance(sys.stdout, Screen)
    return sys.stdout


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
        ("coverage", "--from", "2026-03-01T00:00:00", "--to", "2026-03-02"),
        ("coverage", "--from", "2026-02-30", "--to", "2026-03-02"),
        ("status", "--password", "x"),
        ("status", "1", "--resource", "contratos"),
        ("sync", "--update", "--resource", "pedidos"),
        ("history", "--resource", ""),
        ("cancel", "1", "--resource", "contratos"),
    ],
)
def test_wrong_options_are_told_with_exit_code_2(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        options(*words)
    assert end.value.code == 2
    assert "usage: ./pncp" in capsys.readouterr().err


def test_every_command_that_asks_has_a_url_and_json() -> None:
    for name in cli.ASKING:
        days = ["--from", "2026-03-01", "--to", "2026-03-02"]
        needed = {"sync": ["--update"], "coverage": days, "cancel": ["1"], "retry": ["1"], "log": ["1"]}
        needed |= {"export": ["contratos"], "show": ["1"], "deliver": ["crm"], "read": ["erp"]}
        needed |= {"import": ["vendas.xlsx", "--layout", "vendas"]}
        words = needed.get(name, [])
        given = options(name, *words, "--url", "http://x", "--json")
        assert (given.url, given.json) == ("http://x", True)


@pytest.mark.parametrize("name", ["sync", "status", "history", "coverage", "cancel"])
def test_help_says_the_names_of_the_resources(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        options(name, "--help")
    told = "".join(capsys.readouterr().out.split())
    assert f"--resource{{{','.join(RESOURCE_NAMES)}" in told


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
    monkeypatch.setattr(notes, "port_is_free", lambda port: port not in listening)
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
    with pytest.raises(LaunchError, match="is no URL"), connect(url, {}):
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
        (("cancel", "--resource", "contratos"), "/sync/cancel", b'{"status":"running","resource":"contratos"}'),
    ],
)
def test_executions_are_cancelled_one_by_one_or_together(
    words: tuple[str, ...], path: str, body: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    def serve(request: httpx.Request) -> httpx.Response:
        asked.append((request.url.path, request.content.replace(b" ", b"")))
        return httpx.Response(200, json={"cancelled": 2, "execution_ids": [42, 43], "remaining": 0})

    assert cancel(api_of(serve), options(*words)) == 0  # the rest asks a real backend
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

    assert log.log(api_of(serve), options("log", "42", "--level", "info", "--json", "--limit", "5")) == 0
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
    monkeypatch.setattr(log, "POLL_SECONDS", 0)
    line = {"logged_at": "2026-03-01T12:00:00Z", "level": "info", "slice_id": None, "fields": {}}
    pages = iter([[{**line, "id": 1, "event": "first"}], [], [{**line, "id": 7, "event": "last"}]])
    states = iter(["running", "success"])
    cursors = []

    def serve(request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith("/log"):
            return httpx.Response(200, json={"status": next(states)})
        cursors.append(request.url.params.get("cursor"))
        return httpx.Response(200, json={"lines": next(pages), "next_cursor": None})

    assert log.log(api_of(serve), options("log", "42", "--follow")) == 0
    assert [told.split()[-1] for told in capsys.readouterr().out.splitlines()] == ["first", "last"]
    assert cursors == [None, "1", "1"]


def test_a_line_of_the_log_reads_well() -> None:
    line = {"logged_at": "2026-03-01T12:00:00+00:00", "level": "warning", "event": "page failed", "slice_id": 7}
    said = log_line({**line, "fields": {"page": 3}})
    assert said == "2026-03-01 09:00:00-0300 warning  slice 7 page failed page=3"


# --- progress ---------------------------------------------------------------------------------------------------


def execution(percent: float, records: int, **parts: Any) -> dict[str, Any]:
    return {**EXECUTION, "records_processed": records, "progress": {**PROGRESS, "percent": percent}, **parts}


def shown(*seen: tuple[float, dict[str, Any]]) -> str:
    """The line on the screen after what was seen at each moment (seconds)."""
    progress = progress_of("42")
    for moment, answer in seen:
        progress.get_time = lambda moment=moment: moment
        note(progress, answer)
    with output.console().capture() as captured:
        output.console().print(progress.get_renderable())
    return captured.get().rstrip()


def test_progress_is_percent_records_pace_and_time_left() -> None:
    assert shown((0, execution(10, 0))).endswith("10.0 % 0 records, -, time left unknown")
    line = shown((0, execution(10, 10)), (10, execution(20, 1010)))
    assert line.startswith("42 ")
    assert line.endswith("20.0 % 1,010 records, 100.0/s, about 1 min 20 s left")


def test_the_pace_is_that_of_the_last_half_minute() -> None:
    line = shown(*((second, execution(min(second, 50), 100 * min(second, 50))) for second in range(0, 100, 10)))
    assert line.endswith("5,000 records, -, time left unknown")


def test_what_waits_says_so() -> None:
    assert shown((0, execution(0, 0, phase="queued"))).endswith("queued: no ingestor has taken it yet")
    assert "waiting for the portal" in shown((0, execution(10, 0, phase="waiting")))


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (59.6, "1 min 00 s"), (725, "12 min 05 s"), (12_000, "3 h 20 min"), (187_200, "2 d 04 h")],
)
def test_durations_are_told_as_people_do(seconds: float, said: str) -> None:
    assert duration(seconds) == said


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [
        ("2026-03-01T00:00:00", "2026-03-01T23:59:59", "2026-03-01"),
        ("2026-03-01T00:00:00", "2026-03-02T23:59:59", "2026-03-01 - 2026-03-02"),
        ("2026-03-01T08:00:00", "2026-03-01T08:15:00", "2026-03-01 08:00 - 08:15"),
        ("2026-02-28T23:55:00", "2026-03-01T00:10:00", "2026-02-28 23:55 - 2026-03-01 00:10"),
        (None, None, "-"),
    ],
)
def test_a_window_is_said_in_days_where_they_are_whole(start: str | None, end: str | None, said: str) -> None:
    assert window_of({"window_start": start, "window_end": end}) == said


@pytest.mark.parametrize(("status", "code"), [("success", 0), ("error", 1)])
def test_watching_ends_with_the_executions_own_end(
    status: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(watching, "POLL_SECONDS", 0)
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


# --- what a person and what a program reads ----------------------------------------------------------------------

FAILED = {
    **EXECUTION,
    "status": "error",
    "phase": "finished",
    "error_message": "1 of 4 slices failed: [bold]portal[/bold]: 503 :warning:, and the reason is as long as it is",
}
HISTORY = {
    "executions": [FAILED, EXECUTION],
    "total_count": 2,
    "success_count": 0,
    "error_count": 1,
    "running_count": 1,
}
ERROR = FAILED["error_message"]


def history_on(*words: str) -> None:
    assert history(api_of(lambda _: httpx.Response(200, json=HISTORY)), options("history", *words)) == 0


def test_a_terminal_has_colours_and_shows_errors_in_full_below_a_table_that_fits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = screen_of(monkeypatch)
    history_on()
    assert "\x1b[31merror" in screen.getvalue()
    lines = re.sub(r"\x1b\[[0-9;]*m", "", screen.getvalue()).splitlines()
    assert f"42: {ERROR}" in lines
    assert max(len(line) for line in lines if ERROR not in line) <= 80
    assert lines[-1] == "2 in all: 0 success, 1 error, 1 running"


def test_no_color_leaves_no_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = screen_of(monkeypatch, NO_COLOR="1")
    history_on()
    assert not re.search(r"\x1b\[[0-9;]*[34][0-9]m", screen.getvalue())


def test_a_pipe_gets_whole_lines_without_control_characters(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"FORCE_COLOR": "1", "TERM": "xterm-256color", "COLUMNS": "20"}.items():
        monkeypatch.setenv(name, value)
    history_on()
    heads, failed, _, _ = lines = capsys.readouterr().out.splitlines()
    assert heads.split() == [
        *("ID", "STATUS", "MODE", "TRIGGER", "ASKED", "FOR", "(Brasília)", "WINDOW", "(Brasília)"),
        *("RECORDS", "TOOK", "ERROR"),
    ]
    assert failed.split()[:2] == ["42", "error"]
    assert failed.endswith(ERROR)
    assert all(line.isprintable() and line == line.rstrip() for line in lines)


def test_json_is_the_answer_itself_on_a_terminal_too(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = screen_of(monkeypatch)
    history_on("--json")
    assert screen.getvalue() == json.dumps(HISTORY, ensure_ascii=False, indent=2) + "\n"


@pytest.mark.parametrize(("term", "is_live"), [("xterm-256color", True), ("dumb", False)])
def test_a_bar_stays_in_one_line_of_a_narrow_terminal_and_leaves_no_trace(
    term: str, is_live: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "POLL_SECONDS", 0.01)
    screen = screen_of(monkeypatch, COLUMNS="40", TERM=term)
    answers = iter([execution(10, 5), execution(20, 10, phase="waiting"), execution(100, 12, status="success")])
    assert watch(api_of(lambda _: httpx.Response(200, json=next(answers))), "42", as_json=False) == 0
    assert ("\x1b[?25l" in screen.getvalue()) is is_live
    if is_live:
        bars, _, rest = screen.getvalue().rpartition("\x1b[?25h")
        assert bars.count("\n") == 1
        assert rest.startswith("\r\x1b[1A\x1b[2Kexecution 42: backfill")
    else:
        assert "\x1b" not in screen.getvalue()


def test_watching_for_a_program_prints_the_answer_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(watching, "POLL_SECONDS", 0)
    answers = iter([execution(10, 0), execution(100, 12, status="success")])
    assert watch(api_of(lambda _: httpx.Response(200, json=next(answers))), "42", as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "success"


def test_an_address_without_a_server_is_named() -> None:
    def refuse(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(LaunchError, match=r"nothing answers at http://backend: start \./pncp up"):
        api_of(refuse).get("/sync/status")


# --- resources --------------------------------------------------------------------------------------------------

PLAN = {
    "resource": "contratacoes",
    "slices": 38,
    "days": 2,
    "modalidades": 19,
    "requests_estimate": 13_290,
    "records_estimate": 12_998,
    "seconds_estimate": 1917,
    "basis": "...",
}


@pytest.mark.parametrize(
    ("words", "body"),
    [
        (("--update",), {"mode": "update"}),
        (("--update", "--resource", "contratos"), {"mode": "update", "resource": "contratos"}),
        (
            ("--backfill", "2026-03-01", "2026-03-01", "--resource", "contratos"),
            {
                "mode": "backfill",
                "data_ini": "2026-03-01T00:00:00",
                "data_fim": "2026-03-01T23:59:59",
                "resource": "contratos",
            },
        ),
    ],
)
@pytest.mark.parametrize("path", ["/sync/force", "/sync/plan"])
def test_a_request_names_its_resource_where_one_is_given(
    path: str, words: tuple[str, ...], body: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    def serve(request: httpx.Request) -> httpx.Response:
        asked.append((request.url.path, json.loads(request.content)))
        return httpx.Response(200, json={"request_id": "42"} | PLAN)

    dry = ["--dry-run"] if path == "/sync/plan" else []
    assert sync(api_of(serve), options("sync", *words, *dry)) == 0
    assert asked == [(path, body)]
    assert capsys.readouterr().out


def test_a_plan_of_years_is_the_sum_of_several_requests_and_shows_each(capsys: pytest.CaptureFixture[str]) -> None:
    asked = []

    def serve(request: httpx.Request) -> httpx.Response:
        asked.append(json.loads(request.content))
        plan = PLAN | {"resource": "contratos", "modalidades": None, "days": 365, "slices": 365}
        return httpx.Response(200, json=plan | {"requests_estimate": 1000, "seconds_estimate": 3600})

    words = ("sync", "--resource", "contratos", "--backfill", "2023-12-31", "2026-11-28", "--dry-run")
    assert sync(api_of(serve), options(*words)) == 0

    windows = [(body["data_ini"], body["data_fim"]) for body in asked]
    assert windows == [
        ("2023-12-31T00:00:00", "2024-12-29T23:59:59"),
        ("2024-12-30T00:00:00", "2025-12-29T23:59:59"),
        ("2025-12-30T00:00:00", "2026-11-28T23:59:59"),
    ]
    assert {body["resource"] for body in asked} == {"contratos"}
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == [
        "nothing was started; it would become 1,095 slices of contratos (1,095 days)",
        "about 3,000 requests and 38,994 records in 3 h 00 min",
        "...",
        "as 3 executions, each of 365 days at most:",
    ]
    assert lines[5].split() == ["2023-12-31", "-", "2024-12-29", "1,000", "12,998", "1", "h", "00", "min"]
    assert sync(api_of(serve), options(*words, "--json")) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["requests_estimate"], len(plan["plans"])) == (3000, 3)


def test_years_are_asked_for_in_several_requests_the_newest_days_first(capsys: pytest.CaptureFixture[str]) -> None:
    asked = []

    def serve(request: httpx.Request) -> httpx.Response:
        asked.append(json.loads(request.content)["data_ini"])
        return httpx.Response(200, json={"request_id": str(len(asked))})

    assert sync(api_of(serve), options("sync", "--backfill", "2025-01-01", "2026-11-28")) == 0

    assert asked == ["2026-01-01T00:00:00", "2025-01-01T00:00:00"]
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()] == [
        ["execution", "1"],
        ["execution", "2"],
    ]


def test_the_status_of_everything_says_how_much_there_is_how_fresh_it_is_and_what_is_owed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    hour_ago = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    dashboard = {
        "resources": [{"resource": "atas", "updated_until": hour_ago, "complete_until": None}],
        "mirror": [
            {"table": "contratacoes", "rows": 1234, "exact": True},
            {"table": "contratos", "rows": 0, "exact": True},
            {"table": "atas", "rows": 50_000, "exact": False},
        ],
        "itens_owed": {
            "resources": [
                {"resource": "pcas", "label": "Itens dos planos", "count": 6, "since": hour_ago, "set_aside": 1}
            ]
        },
        "lists_owed": [
            {"list": "resultados", "resource": "contratacoes", "scope": "uf=SP", "owed": 1234, "since": hour_ago}
            | {"set_aside": 2, "requests": 5678},
            {"list": "arquivos", "resource": "contratos", "scope": "tudo", "owed": 2_000_000, "since": None}
            | {"set_aside": None, "requests": None},
            {"list": "termos", "resource": "contratos", "scope": "nenhum", "owed": 0, "since": None}
            | {"set_aside": 0, "requests": 0},
        ],
    }
    answers = {
        "/sync/status": {"execution_id": 42},
        "/sync/executions/42": EXECUTION | {"resource": "contratacoes"},
        "/sync/dashboard": dashboard,
    }

    def serve(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=answers[request.url.path])

    assert status(api_of(serve), options("status")) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[-8:] == [
        ["RESOURCE", "RECORDS", "UPDATED", "UNTIL", "COMPLETE", "UNTIL"],
        ["contratacoes", "1,234", "-", "-"],
        ["atas", "about", "50,000", "1", "h", "00", "min", "ago", "-"],
        ["LIST", "OF", "SCOPE", "OWED", "OLDEST", "SET", "ASIDE", "REQUESTS"],
        ["items", "pcas", "-", "5", "1", "h", "00", "min", "ago", "1", "-"],
        ["resultados", "contratacoes", "uf=SP", "1,234", "1", "h", "00", "min", "ago", "2", "5,678"],
        ["arquivos", "contratos", "tudo", "about", "2,000,000", "-", "-", "-"],
        ["termos", "contratos", "nenhum", "0", "-", "0", "0"],
    ]
    assert status(api_of(serve), options("status", "--json")) == 0
    assert json.loads(capsys.readouterr().out)["id"] == 42


def test_a_plan_says_its_resource_where_it_is_another_one_and_no_modalidades_where_there_are_none() -> None:
    ours, theirs = (
        executions.plan_lines(PLAN),
        executions.plan_lines(PLAN | {"resource": "contratos", "slices": 2, "modalidades": None}),
    )
    assert ours[0] == "nothing was started; it would become 38 slices (2 days, 19 modalidades)"
    assert theirs[0] == "nothing was started; it would become 2 slices of contratos (2 days)"


def test_the_newest_execution_of_a_resource_is_shown_with_its_resource(capsys: pytest.CaptureFixture[str]) -> None:
    ours = {**EXECUTION, "resource": "contratos"}
    asked = []

    def serve(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.raw_path)
        return httpx.Response(200, json=ours if "executions" in request.url.path else {"executions": [ours]})

    assert status(api_of(serve), options("status", "--resource", "contratos")) == 0
    assert asked == [
        b"/sync/history?resource=contratos&limit=1",
        b"/sync/executions/42",
    ]
    assert "execution 42: backfill of contratos by publicacao, running" in capsys.readouterr().out


def test_a_resource_without_executions_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    api = api_of(lambda _: httpx.Response(200, json={"executions": []}))
    assert status(api, options("status", "--resource", "contratos", "--watch")) == 0
    assert capsys.readouterr().out == "nothing of contratos has been synchronised yet\n"


def test_days_of_one_state_in_a_row_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    asked = []
    states = ["complete", "complete", "failed", "never", "complete"]
    days = [
        {"day": f"2026-03-0{n}", "state": state, "records": 600 * n, "records_rejected": n // 5}
        for n, state in enumerate(states, 1)
    ]

    def serve(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.raw_path)
        return httpx.Response(200, json={"modalidades": [], "days": days})

    words = ("coverage", "--from", "2026-03-01", "--to", "2026-03-05", "--resource", "contratos")
    assert coverage(api_of(serve), options(*words)) == 0
    assert asked == [b"/sync/coverage?from=2026-03-01&to=2026-03-05&resource=contratos"]
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["FROM", "TO", "DAYS", "STATE", "RECORDS", "REJECTED"],
        ["2026-03-01", "2026-03-02", "2", "complete", "1,800", "0"],
        ["2026-03-03", "2026-03-03", "1", "failed", "1,800", "0"],
        ["2026-03-04", "2026-03-04", "1", "never", "2,400", "0"],
        ["2026-03-05", "2026-03-05", "1", "complete", "3,000", "1"],
        ["5", "days:", "3", "complete,", "1", "failed,", "1", "never"],
    ]


def test_a_table_has_a_column_of_resources_where_there_is_another_one(capsys: pytest.CaptureFixture[str]) -> None:
    ours, theirs = {**EXECUTION, "resource": "contratacoes"}, {**EXECUTION, "id": 43, "resource": "contratos"}
    print_answer({}, *executions.table_of([theirs, ours]))
    heads, first, second = capsys.readouterr().out.splitlines()
    assert heads.split()[:4] == ["ID", "STATUS", "RESOURCE", "MODE"]
    assert [line.split()[2] for line in (first, second)] == ["contratos", "contratacoes"]
    print_answer({}, *executions.table_of([ours]))
    assert "RESOURCE" not in capsys.readouterr().out


def test_the_bar_of_another_resource_says_which() -> None:
    assert shown((0, execution(10, 0, resource="contratos"))).startswith("42 contratos ")
    assert not shown((0, execution(10, 0, resource="contratacoes"))).startswith("42 c")
