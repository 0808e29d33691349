"""`./pncp import` and `imports` against prepared answers."""

import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from standalone import cli
from standalone.api import Api
from standalone.system import LaunchError
from standalone.terminal import NAMES, watching
from standalone.terminal.intake import import_file, imports

HOUR_AGO = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
UPLOAD = ("PUT", "/intake/vendas/arquivo")
FAULT = {"column": "valor", "value": "=1/0", "code": "cell_error", "message": "B8 tem erro (#DIV/0!)"}


def preview(entity: str, **counts: int) -> dict[str, Any]:
    names = ("rows", "create", "change", "none", "remove", "rejected", "waiting", "unknown")
    return {"entity": entity, **dict.fromkeys(names, 0), **counts}


def one(**changes: Any) -> dict[str, Any]:
    known = {
        "id": 7,
        "door": "file",
        "layout": "vendas",
        "phase": "held",
        "file_name": "vendas.xlsx",
        "requested_by": "admin",
        "created_at": HOUR_AGO,
        "fault": None,
        "fault_code": None,
        "rows": 1200,
        "pending": 1200,
        "processed": 0,
        "unchanged": 0,
        "rejected": 0,
        "created": 0,
        "changed": 0,
        "notes": {"unknown_columns": ["cor"]},
        "preview": [preview("clientes", create=3), preview("compras", create=1190, change=7)],
    }
    return known | changes


DONE = one(phase="done", pending=0, processed=1190, unchanged=10, created=1180, changed=10)
ACCEPTED = {"success": True, "message": "", "import_id": 7, "request_id": "9"}


class Asked:
    """The command line against prepared answers; `requests` are what it asked: method, path, parameters or body."""

    def __init__(self, answers: dict[tuple[str, str], Any]) -> None:
        self.requests: list[tuple[str, str]] = []
        self.uploaded: list[tuple[dict[str, str], bytes]] = []
        self._answers = answers

    def __call__(self, *words: str) -> int:
        name, options = cli.parse(list(words))
        command = {"import_file": import_file, "imports": imports}[NAMES.get(name, name)]
        with httpx.Client(base_url="http://pncp.example", transport=httpx.MockTransport(self._answer)) as client:
            return command(Api(client), options)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        asked = request.method, request.url.path
        self.requests.append(asked)
        if asked[0] == "PUT":
            self.uploaded.append((dict(request.url.params), request.read()))
        answer = self._answers.get(asked)
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        match answer:
            case None:
                return httpx.Response(404, json={"detail": "unknown"})
            case httpx.Response():
                return answer
        return httpx.Response(200, json=answer)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "POLL_SECONDS", 0.0)
    monkeypatch.setattr("sys.stdin", io.StringIO())


@pytest.fixture
def sheet(tmp_path: Path) -> Path:
    path = tmp_path / "vendas.xlsx"
    path.write_bytes(b"PK the bytes")
    return path


def answers(*states: dict[str, Any]) -> dict[tuple[str, str], Any]:
    return {
        UPLOAD: ACCEPTED,
        ("GET", "/imports/7"): list(states),
        ("POST", "/imports/7/confirm"): one(),
        ("POST", "/imports/7/discard"): one(phase="discarded"),
    }


def test_a_file_is_uploaded_shown_confirmed_and_watched(sheet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ask = Asked(answers(one(phase="checking"), one(), one(phase="processing", pending=200), DONE))
    assert ask("import", str(sheet), "--layout", "vendas", "--yes") == 0
    assert ask.uploaded == [({"nome": "vendas.xlsx", "confirmar": "sim", "repetir": "false"}, b"PK the bytes")]
    assert ("POST", "/imports/7/confirm") in ask.requests
    said = capsys.readouterr().out
    assert [line.split() for line in said.splitlines() if line.startswith("compras")] == [
        ["compras", "1,190", "7", "0", "0", "0"]
    ]
    assert "columns that are not taken in: cor" in said
    assert "import 7 of vendas: done" in said
    assert "1,180 created, 10 changed, 10 unchanged, 0 rejected" in said


def test_an_entity_has_hyphens_in_its_address(sheet: Path) -> None:
    ask = Asked(answers(DONE) | {("PUT", "/intake/fornecedores-proprios/arquivo"): ACCEPTED})
    assert ask("import", str(sheet), "--entity", "fornecedores_proprios") == 0
    assert ask.requests[0] == ("PUT", "/intake/fornecedores-proprios/arquivo")


def test_a_dry_run_shows_what_would_be_and_discards_it(sheet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ask = Asked(answers(one()))
    assert ask("import", str(sheet), "--layout", "vendas", "--dry-run") == 0
    assert ask.requests[-1] == ("POST", "/imports/7/discard")
    said = capsys.readouterr().out
    assert "clientes" in said
    assert said.endswith("nothing was taken in\n")


@pytest.mark.parametrize(
    ("typed", "code", "asked"), [("s\n", 0, "confirm"), ("\n", 1, "discard"), ("n\n", 1, "discard")]
)
def test_a_person_is_asked(typed: str, code: int, asked: str, sheet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    typing = io.StringIO(typed)
    monkeypatch.setattr(typing, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", typing)
    ask = Asked(answers(one(), DONE))
    assert ask("import", str(sheet), "--layout", "vendas") == code
    assert ("POST", f"/imports/7/{asked}") in ask.requests


def test_without_a_person_an_import_waits(sheet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ask = Asked(answers(one()))
    assert ask("import", str(sheet), "--layout", "vendas") == 1
    assert [method for method, _ in ask.requests] == ["PUT", "GET"]
    assert "./pncp imports 7 --confirm" in capsys.readouterr().err


def test_rejected_rows_are_shown_and_saved_beside_the_file(sheet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepared = answers(one(rejected=1, pending=1199), DONE | {"rejected": 1})
    prepared["GET", "/imports/7/rows"] = {"rows": [{"row": 8, "entity": "compras", "errors": [FAULT]}]}
    prepared["GET", "/imports/7/erros.csv"] = httpx.Response(200, content="linha;entidade\r\n8;compras\r\n")
    assert Asked(prepared)("import", str(sheet), "--layout", "vendas", "--yes") == 3
    saved = sheet.with_name("vendas.erros.csv")
    assert saved.read_bytes() == b"linha;entidade\r\n8;compras\r\n"
    said = capsys.readouterr()
    assert "B8 tem erro (#DIV/0!) (cell_error)" in said.out
    assert str(saved) in said.err


def test_a_file_that_is_refused_ends_with_exit_code_1_and_its_reason(
    sheet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = one(phase="refused", pending=0, rows=0, fault="faltam colunas obrigatórias: nome", fault_code="missing")
    assert Asked(answers(refused))("import", str(sheet), "--layout", "vendas", "--yes") == 1
    assert "faltam colunas obrigatórias: nome (missing)" in capsys.readouterr().out


def test_what_the_backend_refuses_is_said_in_its_words(sheet: Path) -> None:
    prepared = answers() | {UPLOAD: httpx.Response(409, json={"detail": "já importado em 3"})}
    with pytest.raises(LaunchError, match="409: já importado em 3"):
        Asked(prepared)("import", str(sheet), "--layout", "vendas")


def test_a_known_file_is_imported_again_where_that_is_asked(sheet: Path) -> None:
    ask = Asked(answers(DONE))
    assert ask("import", str(sheet), "--layout", "vendas", "--again") == 0
    assert ask.uploaded[0][0]["repetir"] == "true"


def test_a_file_that_is_not_there_is_no_request(tmp_path: Path) -> None:
    ask = Asked({})
    with pytest.raises(LaunchError, match="there is no file"):
        ask("import", str(tmp_path / "no.xlsx"), "--layout", "vendas")
    assert ask.requests == []


def test_the_answer_of_an_import_is_json_for_programs(sheet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert Asked(answers(one(), DONE))("import", str(sheet), "--layout", "vendas", "--yes", "--json") == 0
    assert json.loads(capsys.readouterr().out)["phase"] == "done"


def test_imports_are_listed_and_one_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    rows = {"rows": [{"row": 8, "entity": "compras", "errors": [FAULT]}]}
    prepared = {
        ("GET", "/imports"): {"imports": [DONE, one(door="api", file_name=None)]},
        ("GET", "/imports/7"): one(rejected=1),
        ("GET", "/imports/7/rows"): rows,
    }
    assert Asked(prepared)("imports", "--state", "done") == 0
    first, second = capsys.readouterr().out.splitlines()[1:]
    assert first.split()[:4] == ["7", "vendas", "vendas.xlsx", "done"]
    assert second.split()[:5] == ["7", "vendas", "JSON", "held", "back"]
    assert Asked(prepared)("imports", "7") == 0
    said = capsys.readouterr().out
    assert "to take it in: ./pncp imports 7 --confirm" in said
    assert "=1/0" in said


def test_an_import_is_confirmed_watched_and_discarded() -> None:
    ask = Asked(answers(DONE))
    assert ask("imports", "7", "--confirm") == 0
    assert ask("imports", "7", "--watch") == 0
    assert ask("imports", "7", "--discard") == 0
    assert [path for method, path in ask.requests if method == "POST"] == ["/imports/7/confirm", "/imports/7/discard"]


def test_the_errors_of_an_import_become_a_file(tmp_path: Path) -> None:
    prepared = {("GET", "/imports/7/erros.csv"): httpx.Response(200, content=b"linha\r\n")}
    assert Asked(prepared)("imports", "7", "--errors", str(tmp_path / "e.csv")) == 0
    assert (tmp_path / "e.csv").read_bytes() == b"linha\r\n"


def test_a_decision_needs_its_import() -> None:
    with pytest.raises(LaunchError, match="imports ID --confirm"):
        Asked({})("imports", "--confirm")
