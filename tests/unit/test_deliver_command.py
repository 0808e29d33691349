"""`./pncp deliver` and `deliveries` against prepared answers."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from standalone import cli
from standalone.api import Api
from standalone.system import LaunchError
from standalone.terminal import watching
from standalone.terminal.deliveries import deliver, deliveries

HOUR_AGO = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
Answers = dict[tuple[str, str], Any]


def destination(**changes: Any) -> dict[str, Any]:
    known = {
        "name": "crm",
        "state": "ok",
        "streams": [{"name": "itens", "entity": "itens"}],
        "owed": 3,
        "rejected": 1,
        "last_success_at": HOUR_AGO,
        "next_run": HOUR_AGO,
        "after": None,
        "job_id": None,
        "retry_at": None,
        "last_error": None,
        "pause_reason": None,
        "stopped_reason": None,
        "faults": [],
    }
    return known | changes


def job(**changes: Any) -> dict[str, Any]:
    known = {
        "id": 7,
        "kind": "delivery",
        "subject": "crm",
        "mode": "diferencas",
        "trigger": "api",
        "status": "success",
        "phase": "finished",
        "held": None,
        "cause": None,
        "error_message": None,
        "cancelled_by": None,
        "created_at": HOUR_AGO,
        "duration_seconds": 2.0,
        "accepted": 1000,
        "rejected": 0,
        "unchanged": 5,
        "seen": 1005,
        "requests": 2,
        "streams": [],
    }
    return known | changes


class Asked:
    """The command line against prepared answers; `requests` are what it asked: method, path, body."""

    def __init__(self, answers: Answers) -> None:
        self.requests: list[tuple[str, str, Any]] = []
        self._answers = answers

    def __call__(self, *words: str) -> int:
        name, options = cli.parse(list(words))
        with httpx.Client(base_url="http://pncp.example", transport=httpx.MockTransport(self._answer)) as client:
            return {"deliver": deliver, "deliveries": deliveries}[name](Api(client), options)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content) if request.content else None
        self.requests.append((request.method, request.url.path, body))
        answer = self._answers.get((request.method, request.url.path))
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        return httpx.Response(404, json={"detail": "unknown"}) if answer is None else httpx.Response(200, json=answer)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "POLL_SECONDS", 0.0)


def started(**of_job: Any) -> Answers:
    return {
        ("GET", "/destinations/crm"): destination(),
        ("POST", "/itens/sincronizar"): {"success": True, "message": "", "request_id": "7"},
        ("GET", "/jobs/7"): job(**of_job),
    }


def test_a_delivery_is_asked_for_by_its_entity_and_only_named(capsys: pytest.CaptureFixture[str]) -> None:
    ask = Asked(started())
    assert ask("deliver", "crm") == 0
    assert ask.requests[-1] == ("POST", "/itens/sincronizar", {"destino": "crm", "modo": "diferencas"})
    assert capsys.readouterr().out == "delivery 7 has begun; to watch it: ./pncp deliveries watch 7\n"


@pytest.mark.parametrize(
    ("words", "body"),
    [
        (["--all"], {"destino": "crm", "modo": "tudo"}),
        (["--rejected"], {"destino": "crm", "modo": "rejeitados"}),
        (["--keys", "a/1", "b/2"], {"destino": "crm", "modo": "diferencas", "chaves": ["a/1", "b/2"]}),
    ],
)
def test_what_is_sent_follows_the_options(words: list[str], body: dict[str, Any]) -> None:
    ask = Asked(started())
    assert ask("deliver", "crm", *words) == 0
    assert ask.requests[-1] == ("POST", "/itens/sincronizar", body)


def test_a_delivery_is_watched_to_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    answers = started()
    answers["GET", "/jobs/7"] = [job(status="running", phase="queued"), job()]
    assert Asked(answers)("deliver", "crm", "--watch") == 0
    said = capsys.readouterr().out
    assert "queued: no courier has taken it yet" in said
    assert "delivery 7 to crm, all that differs: success" in said
    assert "1,000 accepted, 0 rejected, 5 unchanged, 2 requests" in said


def test_a_delivery_that_failed_ends_with_exit_code_1_and_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    answers = started(status="error", cause=None, error_message="o destino falhou", rejected=2)
    assert Asked(answers)("deliver", "crm", "--watch") == 1
    said = capsys.readouterr().out
    assert "o destino falhou" in said
    assert "./pncp deliveries rejected crm" in said


@pytest.mark.parametrize(
    ("reason", "why"),
    [
        ("hold_above", "12,000 records are owed, more than hold_above permits"),
        ("mostly_refused", "the destination refused nearly everything"),
    ],
)
def test_a_delivery_that_is_held_ends_the_watching_with_exit_code_1_and_says_what_to_do(
    reason: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    held = {"reason": reason, "owed": 12_000, "samples": [{"key": "a/1", "content": '{"id": 1}'}]}
    assert Asked(started(status="running", phase="held", held=held))("deliver", "crm", "--watch") == 1
    said = capsys.readouterr().out
    assert why in said
    assert '{"id": 1}' in said
    assert "to send it: ./pncp deliveries confirm 7; not to: ./pncp deliveries cancel 7" in said


def test_a_destination_with_two_entities_is_delivered_one_after_the_other_or_one_alone() -> None:
    streams = [{"name": name, "entity": name} for name in ("itens", "itens_pca")]
    answers = started() | {
        ("GET", "/destinations/crm"): destination(streams=streams),
        ("POST", "/itens-pca/sincronizar"): {"success": True, "message": "", "request_id": "8"},
        ("GET", "/jobs/8"): job(id=8),
    }
    ask = Asked(answers)
    assert ask("deliver", "crm") == 0
    assert [path for _, path, _ in ask.requests[1:]] == [
        "/itens/sincronizar",
        "/jobs/7",
        "/itens-pca/sincronizar",
        "/jobs/8",
    ]
    ask = Asked(answers)
    assert ask("deliver", "crm", "--entity", "itens-pca") == 0
    assert [path for _, path, _ in ask.requests[1:]] == ["/itens-pca/sincronizar"]
    with pytest.raises(LaunchError, match="crm does not receive atas; it receives: itens, itens_pca"):
        ask("deliver", "crm", "--entity", "atas")


def test_the_second_entity_waits_for_the_first_to_succeed() -> None:
    streams = [{"name": name, "entity": name} for name in ("itens", "itens_pca")]
    ask = Asked(started(status="error") | {("GET", "/destinations/crm"): destination(streams=streams)})
    assert ask("deliver", "crm") == 1
    assert "/itens-pca/sincronizar" not in [path for _, path, _ in ask.requests]


def test_a_dry_run_shows_records_and_sends_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    records = [
        {"key": "a/1", "content": '{"id": 1}', "reason": None},
        {"key": "a/2", "content": None, "reason": "UF: falta o valor"},
    ]
    stream = {"name": "itens", "owed": 1200, "records": records}
    uncounted = {"name": "pcas", "owed": None, "records": None}
    answers: Answers = {
        ("POST", "/destinations/crm/preview"): {"destination": "crm", "streams": [stream, uncounted]},
    }
    ask = Asked(answers)
    assert ask("deliver", "crm", "--dry-run") == 0
    assert [path for _, path, _ in ask.requests] == ["/destinations/crm/preview"]
    assert capsys.readouterr().out.splitlines() == [
        "nothing was sent; crm would receive:",
        "itens: 1,200 records are owed",
        '  {"id": 1}',
        "  a/2: UF: falta o valor",
        "pcas: to count what is owed takes longer than 5 s",
    ]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"state": "held", "job_id": 7}, "held back: ./pncp deliveries show 7"),
        ({"state": "waiting", "retry_at": HOUR_AGO, "last_error": "status 503"}, "ago: status 503"),
        ({"state": "paused", "pause_reason": "férias"}, "paused: férias"),
        ({"state": "stopped", "stopped_reason": "status 410"}, "wants no more: status 410"),
        ({"state": "missing"}, "its file is gone"),
    ],
)
def test_the_state_of_a_destination_is_said_with_its_reason(
    changes: dict[str, Any], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = {"destinations": [destination(**changes)], "faults": [], "workers": 1, "hint": None}
    assert Asked({("GET", "/destinations"): answer})("deliveries") == 0
    assert words in capsys.readouterr().out


def test_faults_of_files_and_a_missing_courier_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    fault = {"file": "destinations/crm.yaml", "line": 3, "message": "coluna desconhecida"}
    listed = [destination(state="invalid", faults=[fault])]
    answer = {"destinations": listed, "faults": [], "workers": 0, "hint": None}
    assert Asked({("GET", "/destinations"): answer})("deliveries") == 0
    said = capsys.readouterr().out
    assert "destinations/crm.yaml:3: coluna desconhecida" in said
    assert "no courier runs" in said


@pytest.mark.parametrize(
    ("words", "request_"),
    [
        (["confirm", "7"], ("POST", "/jobs/7/confirm", None)),
        (["cancel", "7"], ("POST", "/jobs/7/cancel", None)),
        (["show", "7"], ("GET", "/jobs/7", None)),
        (["pause", "crm", "--reason", "férias"], ("POST", "/destinations/crm/pause", {"reason": "férias"})),
        (["resume", "crm"], ("POST", "/destinations/crm/resume", None)),
        (["rejected", "crm"], ("GET", "/destinations/crm/rejeitados", None)),
        (["trace", "itens", "a/1"], ("GET", "/deliveries/itens/a/1", None)),
        (["trace", "do_erp", "a?b#c%2F"], ("GET", "/deliveries/do_erp/a?b#c%2F", None)),
        (["history", "--destination", "crm"], ("GET", "/jobs", None)),
        (["history"], ("GET", "/jobs", None)),
    ],
)
def test_each_action_asks_its_address(words: list[str], request_: tuple[str, str, Any]) -> None:
    record = {"key": "a/1", "stream": "itens", "tries": 2, "since": HOUR_AGO, "reason": "recusado"}
    traced = {
        "destination": "crm",
        "stream": "itens",
        "state": "rejeitado",
        "sent_at": HOUR_AGO,
        "reason": "recusado",
        "requests": [{"batch": 1, "job_id": 7, "records": 10, "status": 207}],
    }
    answers: Answers = {
        ("POST", "/jobs/7/confirm"): job(),
        ("POST", "/jobs/7/cancel"): job(),
        ("GET", "/jobs/7"): job(),
        ("POST", "/destinations/crm/pause"): destination(),
        ("POST", "/destinations/crm/resume"): destination(),
        ("GET", "/destinations/crm/rejeitados"): {"records": [record], "total": 1},
        ("GET", "/deliveries/itens/a/1"): {"key": "a/1", "streams": [traced]},
        ("GET", "/deliveries/do_erp/a?b#c%2F"): {"key": "a?b#c%2F", "streams": []},
        ("GET", "/jobs"): {"jobs": [job()]},
    }
    ask = Asked(answers)
    assert ask("deliveries", *words) == 0
    assert ask.requests == [request_]


def test_a_test_of_a_destination_is_watched() -> None:
    answers: Answers = {
        ("POST", "/destinations/crm/test"): {"request_id": "7"},
        ("GET", "/jobs/7"): job(mode="teste", status="error", error_message="status 401"),
    }
    assert Asked(answers)("deliveries", "test", "crm") == 1


def test_the_answer_of_a_watched_delivery_is_json_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert Asked(started())("deliver", "crm", "--watch", "--json") == 0
    assert json.loads(capsys.readouterr().out)["id"] == 7


def test_what_is_no_delivery_is_not_shown_as_one() -> None:
    with pytest.raises(LaunchError, match="7 is no delivery; what comes in"):
        Asked({("GET", "/jobs/7"): job(kind="intake", mode="importacao")})("deliveries", "show", "7")
