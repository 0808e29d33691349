"""Verdict, goals, schedules, alerts, saved searches and changes at the terminal, against prepared answers."""

import argparse
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from standalone import cli, tools
from standalone.api import Api
from standalone.courier import EXAMPLES
from standalone.system import LaunchError
from standalone.terminal import output
from standalone.terminal.access import open as open_page
from standalone.terminal.alerts import alerts
from standalone.terminal.changes import changes
from standalone.terminal.executions import retry_failed, show, status
from standalone.terminal.goals import goals
from standalone.terminal.schedules import schedules
from standalone.terminal.searches import searches
from standalone.terminal.verdict import command_of, verdict
from tests.unit.test_terminal import EXECUTION

HOUR_AGO = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
REPEAT = {"code": "retry_failed", "label": "Repeat all", "method": "POST", "path": "/sync/retry-failed", "body": None}


def fact(name: str, state: str, action: dict[str, Any] | None = None) -> dict[str, Any]:
    words = {"code": f"{name}_{state}", "title": f"{name} is {state}", "text": "As it is.", "since": HOUR_AGO}
    return {"fact": name, "state": state, "action": action, **words}


VERDICT = {
    "state": "problem",
    "code": "incomplete",
    "title": "One day has failed",
    "text": "Of 10 days 9 are complete.",
    "since": HOUR_AGO,
    "action": REPEAT,
    "language": "en",
    "generated_at": HOUR_AGO,
    "facts": [fact("fresh", "ok"), fact("complete", "problem", REPEAT), fact("healthy", "ok")],
    "resources": [
        {
            "resource": "contratacoes",
            "label": "Contratações",
            "updated_until": HOUR_AGO,
            "days": 10,
            "days_complete": 9,
            "days_missing": 0,
            "days_failed": 1,
            "days_rejected": 0,
            "fresh": fact("fresh", "ok"),
            "complete": fact("complete", "problem"),
        }
    ],
    "troubles": [
        {
            "id": "failed-backfills:portal_refused",
            "kind": "failed",
            "state": "problem",
            "code": "failed",
            "title": "A day has failed",
            "text": "The portal refused it.",
            "since": HOUR_AGO,
            "count": 113,
            "execution_ids": [7],
            "original": "status 422",
            "action": REPEAT,
            "acknowledged_by": "ana",
            "acknowledged_at": HOUR_AGO,
        }
    ],
}
GOAL = {
    "resource": "contratacoes",
    "label": "Contratações",
    "from_day": "2021-08-01",
    "origin": "api",
    "set_by": "ana",
    "set_at": HOUR_AGO,
    "paused": False,
    "paused_by": None,
    "paused_at": None,
    "pause_reason": None,
    "days": 1900,
    "days_complete": 1000,
    "days_rejected": 2,
    "days_failed": 1,
    "days_missing": 897,
    "oldest_missing": "2021-08-01",
    "newest_missing": "2024-03-05",
    "requests_left": 120_000,
    "hours_left": 33.5,
    "execution_id": 12,
}
SCHEDULE = {
    "name": "update",
    "resource": "contratacoes",
    "label": "Contratações",
    "action": "update",
    "cron": "*/15 * * * *",
    "default_cron": "*/15 * * * *",
    "enabled": True,
    "paused": False,
    "paused_at": None,
    "paused_by": None,
    "pause_reason": None,
    "next_runs": ["2026-11-29T12:15:00-03:00"],
    "updated_at": None,
    "last_tick": {"due_at": "2026-11-29T12:00:00-03:00", "execution_ids": [41], "skipped_reason": None},
}


@pytest.fixture(autouse=True)
def fresh_console() -> Iterator[None]:
    output.console.cache_clear()
    yield
    output.console.cache_clear()


def options(*words: str) -> argparse.Namespace:
    return cli.parse(list(words))[1]


class Stub:
    """A backend of prepared answers, which keeps what it was asked."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers
        self.asked: list[tuple[str, str, Any]] = []
        self.api = Api(httpx.Client(base_url="http://backend", transport=httpx.MockTransport(self._serve)))

    def _serve(self, request: httpx.Request) -> httpx.Response:
        path = request.url.raw_path.decode()
        self.asked.append((request.method, path, json.loads(request.content or "null")))
        answer = self.answers[f"{request.method} {path.partition('?')[0]}"]
        return httpx.Response(204) if answer is None else httpx.Response(200, json=answer)


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


# --- the verdict ------------------------------------------------------------------------------------------------


def test_the_verdict_says_the_worst_first_then_facts_resources_and_troubles_with_the_command_that_mends(
    capsys: pytest.CaptureFixture[str],
) -> None:
    stub = Stub({"GET /sync/verdict": VERDICT})
    assert verdict(stub.api, options("verdict")) == 1
    lines = lines_of(capsys)
    assert lines[0] == "One day has failed"
    assert re.fullmatch(r"Of 10 days 9 are complete\. Since .* \(Brasília\), 1 h \d\d min ago\.", lines[1])
    assert lines[2] == "  Repeat all: ./pncp retry-failed"
    assert [line.split()[:2] for line in lines[5:8]] == [["fresh", "ok"], ["complete", "problem"], ["healthy", "ok"]]
    assert "./pncp retry-failed" in lines[6]
    assert lines[10].split()[:3] == ["contratacoes", "ok", "problem"]
    assert lines[10].split()[-5:] == ["10", "9", "0", "1", "0"]
    trouble = lines[13]
    assert trouble.startswith("failed-backfills:portal_refused  problem")
    assert "113" in trouble.split()
    assert "Acknowledged by ana" in trouble


def test_the_exit_code_is_the_verdict_and_json_is_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    fine = VERDICT | {"state": "ok", "troubles": [], "action": None, "since": None}
    assert verdict(Stub({"GET /sync/verdict": fine}).api, options("verdict", "--json")) == 0
    assert json.loads(capsys.readouterr().out) == fine
    for state in ("attention", "problem", "empty"):
        assert verdict(Stub({"GET /sync/verdict": fine | {"state": state}}).api, options("verdict")) == 1


@pytest.mark.parametrize(
    ("action", "command"),
    [
        (("POST", "/sync/force", {"mode": "update"}), "./pncp sync --update"),
        (("POST", "/sync/force", {"mode": "update", "resource": "atas"}), "./pncp sync --update --resource atas"),
        (
            ("POST", "/sync/force", {"mode": "backfill", "data_ini": "2026-01-01T00:00:00", "data_fim": "2026-01-02T"}),
            "./pncp sync --backfill 2026-01-01 2026-01-02",
        ),
        (("POST", "/sync/executions/7/retry", None), "./pncp retry 7"),
        (("POST", "/sync/schedules/contratos.update/resume", None), "./pncp schedules resume contratos.update"),
        (("PUT", "/sync/goals/atas", {"from_day": "2021-01-01"}), "./pncp goals set atas 2021-01-01"),
        (("PUT", "/sync/goals/atas", None), "./pncp goals set atas YYYY-MM-DD"),
        (("POST", "/sync/goals/atas/resume", None), "./pncp goals resume atas"),
        (("POST", "/sync/troubles/x:y/acknowledge", None), "./pncp alerts ack x:y"),
        (("GET", "#/execucoes/7", None), "./pncp open '#/execucoes/7'"),
        (("POST", "/some/thing", None), "POST /some/thing"),
    ],
)
def test_each_button_of_the_page_has_its_command(action: tuple[str, str, Any], command: str) -> None:
    method, path, body = action
    assert command_of({"method": method, "path": path, "body": body}) == command


# --- goals ------------------------------------------------------------------------------------------------------


def test_goals_are_listed_with_what_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    reason = {"paused": True, "paused_by": "rui", "paused_at": HOUR_AGO, "pause_reason": "portal em manutenção"}
    none = dict.fromkeys(("from_day", "hours_left", "newest_missing", "execution_id"), None)
    listed = [GOAL, GOAL | {"resource": "contratos", "label": "Contratos"} | reason]
    listed += [GOAL | {"resource": "atas", "label": "Atas", "days": 0, "days_missing": 0} | none]
    stub = Stub({"GET /sync/goals": {"goals": listed}})
    assert goals(stub.api, options("goals")) == 0
    _, ours, paused, unset = lines_of(capsys)
    assert ours.split()[1:] == [
        *("2021-08-01", "1,900", "1,000", "897", "1", "2", "2024-03-05", "1", "d", "09", "h", "execution", "12")
    ]
    assert "paused by rui" in paused
    assert paused.endswith("portal em manutenção")
    assert unset.split()[:3] == ["atas", "no", "goal"]


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (("set", "atas", "2023-01-01"), ("PUT", "/sync/goals/atas", {"from_day": "2023-01-01"})),
        (("remove", "atas"), ("DELETE", "/sync/goals/atas", None)),
        (("pause", "atas", "--reason", "cheio"), ("POST", "/sync/goals/atas/pause", {"reason": "cheio"})),
        (("resume", "atas"), ("POST", "/sync/goals/atas/resume", None)),
    ],
)
def test_a_goal_is_changed(
    words: tuple[str, ...], asked: tuple[str, str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    stub = Stub({f"{asked[0]} {asked[1]}": None if asked[0] == "DELETE" else GOAL | {"resource": "atas"}})
    assert goals(stub.api, options("goals", *words)) == 0
    assert stub.asked == [asked]
    assert "atas" in capsys.readouterr().out


def test_a_goal_s_plan_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    plan = {"days": 1900, "slices": 36_100, "requests": 120_000, "hours": 33.5, "bytes": 40_000_000_000}
    stub = Stub({"GET /sync/goals/contratacoes/plan": plan})
    assert goals(stub.api, options("goals", "plan", "contratacoes", "2021-08-01")) == 0
    assert stub.asked[0][1] == "/sync/goals/contratacoes/plan?from_day=2021-08-01"
    assert lines_of(capsys) == ["1,900 days to read, 36,100 slices, about 120,000 requests, 1 d 09 h, 40,000 MB"]


@pytest.mark.parametrize(
    "words",
    [
        ("goals", "set", "pedidos", "2021-01-01"),
        ("goals", "set", "atas", "2021"),
        ("goals", "pause", "atas"),
        ("schedules", "pause", "update"),
        ("schedules", "set", "update"),
        ("alerts", "ack"),
        ("searches", "show", "x"),
        ("completion", "tcsh"),
        ("show", "1", "--slices", "x"),
    ],
)
def test_wrong_arguments_of_an_action_end_with_exit_code_2(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        options(*words)
    assert end.value.code == 2
    assert "usage: ./pncp" in capsys.readouterr().err


def test_json_and_url_may_stand_on_either_side_of_an_action() -> None:
    for words in (("goals", "--json", "--url", "http://x", "list"), ("goals", "list", "--json", "--url", "http://x")):
        given = options(*words)
        assert (given.what, given.json, given.url) == ("list", True, "http://x")
    assert (options("goals").what, options("goals").json) == ("list", False)


# --- schedules, alerts, searches --------------------------------------------------------------------------------


def test_schedules_say_when_they_start_next_and_why_they_do_not(capsys: pytest.CaptureFixture[str]) -> None:
    paused = {"name": "sweep", "paused": True, "paused_by": "ana", "paused_at": HOUR_AGO, "pause_reason": "férias"}
    skipped = {"due_at": HOUR_AGO, "execution_ids": [], "skipped_reason": "não há dia por ler"}
    listed = [SCHEDULE, SCHEDULE | paused | {"last_tick": skipped}]
    assert schedules(Stub({"GET /sync/schedules": {"schedules": listed}}).api, options("schedules")) == 0
    _, on, off = lines_of(capsys)
    assert on.split()[-7:] == ["on", "2026-11-29", "12:15", "2026-11-29", "12:00", "execution", "41"]
    assert "paused by ana" in off
    assert off.endswith("não há dia por ler")


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (("pause", "update", "--reason", "x"), ("POST", "/sync/schedules/update/pause", {"reason": "x"})),
        (("resume", "update"), ("POST", "/sync/schedules/update/resume", None)),
        (("set", "update", "0 * * * *"), ("PUT", "/sync/schedules/update", {"cron": "0 * * * *"})),
        (("reset", "update"), ("PUT", "/sync/schedules/update", {"cron": None})),
    ],
)
def test_a_schedule_is_changed(words: tuple[str, ...], asked: tuple[str, str, Any]) -> None:
    stub = Stub({f"{asked[0]} {asked[1]}": SCHEDULE})
    assert schedules(stub.api, options("schedules", *words)) == 0
    assert stub.asked == [asked]


def test_a_channel_that_fails_its_test_is_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    channels = [{"channel": "email", "delivered": True, "error": None}]
    assert alerts(Stub({"POST /sync/alerts/test": {"channels": channels}}).api, options("alerts", "test")) == 0
    channels += [{"channel": "webhook", "delivered": False, "error": "status 500"}]
    assert alerts(Stub({"POST /sync/alerts/test": {"channels": channels}}).api, options("alerts", "test")) == 1
    assert "status 500" in capsys.readouterr().out


def test_a_trouble_is_acknowledged_by_its_name_whatever_characters_it_has() -> None:
    stub = Stub(dict.fromkeys(("POST /sync/troubles/a%2Fb/acknowledge", "DELETE /sync/troubles/a%2Fb/acknowledge")))
    assert alerts(stub.api, options("alerts", "ack", "a/b")) == 0
    assert alerts(stub.api, options("alerts", "unack", "a/b")) == 0
    assert [method for method, _, _ in stub.asked] == ["POST", "DELETE"]


def test_saved_searches_are_listed_shown_and_removed(capsys: pytest.CaptureFixture[str]) -> None:
    search = {"id": 3, "nome": "Merenda", "lista": "/contratacoes?q=merenda", "procura_em": HOUR_AGO, "erro": None}
    answers = {
        "GET /buscas": {"buscas": [search | {"canais": [{"canal": "email"}]}]},
        "GET /buscas/3/previa": {"assunto": "2 novos", "texto": "Merenda: 2 novos"},
        "DELETE /buscas/3": None,
    }
    stub = Stub(answers)
    for words in ((), ("show", "3"), ("remove", "3")):
        assert searches(stub.api, options("searches", *words)) == 0
    said = capsys.readouterr().out
    assert "/contratacoes?q=merenda" in said
    assert "Merenda: 2 novos" in said
    assert said.endswith("search 3 is removed\n")


def test_changes_of_a_kind_are_looked_for_behind_the_newest(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"seq": n, "entidade": "atas", "chave": f"K{n}", "tipo": "alterado" if n == 3 else "inserido"}
        | {"quando": HOUR_AGO, "campos": {"objeto": "antes"} if n == 3 else None}
        for n in range(1, 701)
    ]

    def serve(request: httpx.Request) -> httpx.Response:
        start, limit = int(request.url.params.get("desde", 0)), int(request.url.params["limite"])
        return httpx.Response(200, json={"ultimo": 700, "registros": rows[start : start + limit]})

    api = Api(httpx.Client(base_url="http://backend", transport=httpx.MockTransport(serve)))
    assert changes(api, options("changes", "--kind", "alterado")) == 0
    _, row = lines_of(capsys)
    assert row.split()[0] == "3"
    assert row.split()[-4:] == ["atas", "K3", "alterado", "objeto"]
    assert changes(api, options("changes", "--limit", "2", "--json")) == 0
    assert [row["seq"] for row in json.loads(capsys.readouterr().out)["registros"]] == [699, 700]


# --- executions -------------------------------------------------------------------------------------------------


def test_an_execution_that_waits_says_for_what_and_until_when(capsys: pytest.CaptureFixture[str]) -> None:
    soon = (datetime.now(UTC) + timedelta(minutes=2)).isoformat()
    waiting = {"run_after": soon, "error_message": "portal: 503", "cause": "no_answer"}
    answers = {
        "GET /sync/executions/42": EXECUTION | {"phase": "waiting", "created_at": HOUR_AGO},
        "GET /sync/executions/42/slices": {"slices": [waiting | {"run_after": None}, waiting]},
    }
    assert status(Stub(answers).api, options("status", "42")) == 0
    said = capsys.readouterr().out
    assert "waits: the portal did not answer as it should; tried again at " in said
    assert "(Brasília), in 2 min 00 s" in said or "(Brasília), in 1 min 5" in said
    assert "asked for" in said


def test_one_execution_is_shown_with_the_slices_of_a_state_and_what_it_could_not_store(
    capsys: pytest.CaptureFixture[str],
) -> None:
    slice_ = {
        "id": 9,
        "status": "error",
        "window_start": "2026-03-01T00:00:00",
        "window_end": "2026-03-01T23:59:59",
        "modalidade": 6,
        "pages_done": 1,
        "pages_total": None,
        "records_processed": 50,
        "attempt": 3,
        "error_message": "portal: 503",
    }
    rejected = {"natural_key": "K1", "resource": "contratacoes", "reason": "sem chave", "last_seen": HOUR_AGO}
    answers = {
        "GET /sync/executions/42": EXECUTION | {"rejected_records": [rejected]},
        "GET /sync/executions/42/slices": {"slices": [slice_]},
    }
    stub = Stub(answers)
    assert show(stub.api, options("show", "42")) == 0
    assert stub.asked[1][1] == "/sync/executions/42/slices?status=error&limit=500"
    said = capsys.readouterr().out
    assert "1/?" in said
    assert "portal: 503" in said
    assert "sem chave" in said
    assert show(stub.api, options("show", "42", "--slices", "all", "--json")) == 0
    assert stub.asked[3][1] == "/sync/executions/42/slices?limit=500"
    assert json.loads(capsys.readouterr().out)["slices"][0]["id"] == 9


@pytest.mark.parametrize(
    ("ids", "said"),
    [([7, 8], "2 executions repeat what failed: 7, 8"), ([], "nothing has failed that can be repeated")],
)
def test_all_that_failed_is_repeated(ids: list[int], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    stub = Stub({"POST /sync/retry-failed": {"execution_ids": ids}})
    assert retry_failed(stub.api, options("retry-failed")) == 0
    assert lines_of(capsys) == [said]


# --- access -----------------------------------------------------------------------------------------------------


def test_the_page_is_opened_at_a_place_of_a_backend_that_answers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    stub = Stub({"GET /health/live": {"status": "ok"}})
    assert open_page(stub.api, options("open", "#/dados")) == 0
    assert open_page(stub.api, options("open", "--no-browser")) == 0
    assert opened == ["http://backend/#/dados"]
    assert lines_of(capsys) == ["http://backend/#/dados", "http://backend/"]


def test_a_wrong_password_and_a_missing_one_are_one_line_each() -> None:
    def refuse(_: httpx.Request) -> httpx.Response:
        return httpx.Response(401, json={"detail": "Informe usuário e senha."})

    transport = httpx.MockTransport(refuse)
    with pytest.raises(LaunchError, match=r"^401: this backend asks for a user and a password; set PNCP_SYNC_USERNAME"):
        Api(httpx.Client(base_url="http://backend", transport=transport)).get("/sync/status")
    with pytest.raises(LaunchError, match=r"^401: wrong user or password; set PNCP_SYNC_USERNAME"):
        Api(httpx.Client(base_url="http://backend", transport=transport, auth=("ana", "x"))).get("/sync/status")
    with pytest.raises(LaunchError, match=r"^401: wrong user or password"):
        Api(httpx.Client(base_url="http://backend", transport=transport)).post_form("/auth/token", username="a")


def test_a_failure_is_told_by_its_cause_and_in_the_words_of_the_program_below(
    capsys: pytest.CaptureFixture[str],
) -> None:
    failed = EXECUTION | {"status": "error", "phase": "finished", "cause": "portal_refused", "error_message": "422 {}"}
    answers = {"GET /sync/executions/42": failed | {"created_at": HOUR_AGO}}
    status(Stub(answers).api, options("status", "42"))
    said = capsys.readouterr().out
    assert "the portal refused the request" in said
    assert "422 {}" in said


def test_the_folder_of_connections_is_meant_from_where_the_person_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PNCP_CALLED_FROM", "/somewhere")
    assert tools._paths_from_caller(["check", "--dir", "mine"]) == ["check", "--dir", "/somewhere/mine"]
    assert tools._paths_from_caller(["check", "--dir=mine"]) == ["check", "--dir", "/somewhere/mine"]
    assert tools._paths_from_caller(["preview", "crm"]) == ["preview", "crm"]


def test_files_of_connections_are_checked_in_the_language_of_the_person(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["check", "--dir", str(EXAMPLES), "--without-secrets"]
    assert tools._check_connections(words, {}) == 0
    english = capsys.readouterr().out.splitlines()
    monkeypatch.setenv("LANGUAGE", "pt_BR")
    assert tools._check_connections(words, {}) == 0
    portuguese = capsys.readouterr().out.splitlines()
    assert len(portuguese) == len(english)
    assert english[-1].startswith("no faults; entities: ")
    assert portuguese[-1].startswith("sem erros; entidades: ")
    assert "erp  fonte, 0 1 * * *, mudanças */5 * * * *" in portuguese


def test_without_a_folder_of_connections_there_is_nothing_to_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONNECTIONS_DIR", raising=False)
    with pytest.raises(LaunchError, match="CONNECTIONS_DIR: is not set"):
        tools._check_connections(["check"], {})
