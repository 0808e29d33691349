"""`./pncp sources` and `read` against prepared answers."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from standalone import cli
from standalone.api import Api
from standalone.system import LaunchError
from standalone.terminal import watching
from standalone.terminal.sources import read, sources

HOUR_AGO = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
STARTED = {"success": True, "message": "", "request_id": "7"}


def source(**changes: Any) -> dict[str, Any]:
    known = {
        "name": "erp",
        "state": "ok",
        "job_id": None,
        "next_run": HOUR_AGO,
        "next_delta": None,
        "last_success_at": HOUR_AGO,
        "last_error": None,
        "pause_reason": None,
        "entities": [{"entity": "compras", "rows": 1200}, {"entity": "produtos", "rows": None}],
        "faults": [],
    }
    return known | changes


def job(**changes: Any) -> dict[str, Any]:
    stream = {
        "stream": "compras",
        "status": "success",
        "seen": 1200,
        "created": 3,
        "changed": 2,
        "unchanged": 1194,
        "rejected": 1,
        "error_message": None,
    }
    known = {
        "id": 7,
        "kind": "intake",
        "subject": "erp",
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
        "seen": 1200,
        "rejected": 1,
        "streams": [stream],
    }
    return known | changes


class Asked:
    """The command line against prepared answers; `requests` are what it asked: method, path, body."""

    def __init__(self, answers: dict[tuple[str, str], Any]) -> None:
        self.requests: list[tuple[str, str, bytes]] = []
        self._answers = answers

    def __call__(self, *words: str) -> int:
        name, options = cli.parse(list(words))
        with httpx.Client(base_url="http://pncp.example", transport=httpx.MockTransport(self._answer)) as client:
            return {"read": read, "sources": sources}[name](Api(client), options)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append((request.method, request.url.path, request.content))
        answer = self._answers.get((request.method, request.url.path))
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        return httpx.Response(404, json={"detail": "unknown"}) if answer is None else httpx.Response(200, json=answer)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "POLL_SECONDS", 0.0)


def test_a_source_is_read_and_watched_to_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    states = [job(status="running", phase="queued"), job(status="running", phase="running"), job()]
    ask = Asked({("POST", "/sources/erp/ler"): STARTED, ("GET", "/jobs/7"): states})
    assert ask("read", "erp", "--watch") == 0
    assert ask.requests[0] == ("POST", "/sources/erp/ler", b'{"modo":"full"}')
    said = capsys.readouterr().out
    assert "reading 7 of erp, all rows: success" in said
    assert said.splitlines()[-2].split() == ["compras", "success", "1,200", "3", "2", "1,194", "1"]
    assert "./pncp imports --door sql" in said


def test_changes_alone_are_read_and_only_named(capsys: pytest.CaptureFixture[str]) -> None:
    ask = Asked({("POST", "/sources/erp/ler"): STARTED})
    assert ask("read", "erp", "--delta") == 0
    assert ask.requests == [("POST", "/sources/erp/ler", b'{"modo":"delta"}')]
    assert capsys.readouterr().out == "reading 7 of erp has begun\n"


def test_a_reading_that_failed_ends_with_exit_code_1_and_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    failed = job(status="error", error_message="a coluna VALOR sumiu")
    assert Asked({("POST", "/sources/erp/ler"): STARTED, ("GET", "/jobs/7"): failed})("read", "erp", "--watch") == 1
    assert "a coluna VALOR sumiu" in capsys.readouterr().out


def test_a_reading_that_is_held_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    held = job(status="running", phase="held", held={"reason": "many_removed", "owed": 300, "samples": []})
    assert Asked({("POST", "/sources/erp/ler"): STARTED, ("GET", "/jobs/7"): held})("read", "erp", "--watch") == 1
    said = capsys.readouterr().out
    assert "300 records are gone from the source" in said
    assert "./pncp sources confirm erp; not to: ./pncp sources cancel erp" in said


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "1,200"),
        ({"state": "held", "job_id": 7}, "held back: ./pncp sources confirm erp"),
        ({"state": "failed", "last_error": "senha recusada"}, "failed: senha recusada"),
        ({"state": "paused", "pause_reason": "férias"}, "paused: férias"),
        ({"state": "invalid", "faults": [{"file": "sources/erp.yaml", "line": 3, "message": "x"}]}, "erp.yaml:3: x"),
    ],
)
def test_sources_are_listed_with_their_state(
    changes: dict[str, Any], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert Asked({("GET", "/sources"): {"sources": [source(**changes)], "workers": 1}})("sources") == 0
    assert words in capsys.readouterr().out


def test_where_nothing_reads_it_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert Asked({("GET", "/sources"): {"sources": [source()], "workers": 0}})("sources") == 0
    assert "no worker that takes in runs" in capsys.readouterr().out


def test_what_a_reading_holds_back_is_decided_by_the_name_of_its_source() -> None:
    answers = {
        ("GET", "/sources/erp"): source(state="held", job_id=7),
        ("POST", "/jobs/7/confirm"): job(),
        ("POST", "/jobs/7/cancel"): job(),
        ("GET", "/jobs/7"): job(),
        ("POST", "/sources/erp/pause"): source(),
        ("POST", "/sources/erp/resume"): source(),
    }
    ask = Asked(answers)
    for words in (["confirm", "erp"], ["cancel", "erp"], ["pause", "erp", "--reason", "x"], ["resume", "erp"]):
        assert ask("sources", *words) == 0
    assert [path for method, path, _ in ask.requests if method == "POST"] == [
        "/jobs/7/confirm",
        "/jobs/7/cancel",
        "/sources/erp/pause",
        "/sources/erp/resume",
    ]
    with pytest.raises(LaunchError, match="no reading of erp is under way"):
        Asked({("GET", "/sources/erp"): source()})("sources", "confirm", "erp")
