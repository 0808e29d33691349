"""Problem answers: a stable type, the fields at fault, the request's id, in the language that is asked for."""

import ast
from typing import Any

import httpx
import pytest

from backend import errors
from backend.language.catalogue import SENTENCES
from backend.language.translator import Text, Translator
from common.clock import WindowError, check_window, parse_wall_clock
from tests.integration.conftest import OpenApi
from tests.support import ROOT

ENGLISH = {"Accept-Language": "en-US,en;q=0.9"}
BACKFILL = {"mode": "backfill", "data_ini": "2025-01-02T00:00:00", "data_fim": "2025-01-03T00:00:00"}


async def faults(api: httpx.AsyncClient, body: Any, **headers: str) -> list[tuple[str, str]]:
    answer = await api.post("/sync/force", json=body, headers=headers)
    assert answer.status_code == 422, answer.text
    return [(one["field"], one["code"]) for one in answer.json()["errors"]]


async def test_a_problem_has_a_stable_type_a_code_and_the_id_of_its_request(api: httpx.AsyncClient) -> None:
    answer = await api.get("/sync/executions/7", headers={"X-Request-Id": "abc-1"})
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (answer.headers["Content-Language"], answer.headers["Vary"]) == ("pt-BR", "Accept-Language")
    assert answer.json() == {
        "type": "/problems/unknown_execution",
        "code": "unknown_execution",
        "title": "Não encontrado",
        "status": 404,
        "detail": "Não existe a execução 7.",
        "request_id": "abc-1",
    }
    english = await api.get("/sync/executions/7", headers=ENGLISH)
    assert english.headers["Content-Language"] == "en"
    assert english.json()["request_id"] == english.headers["X-Request-Id"]
    told = {name: english.json()[name] for name in ("code", "title", "detail")}
    assert told == {"code": "unknown_execution", "title": "Not Found", "detail": "There is no execution 7."}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"mode": "backfill"}, [("data_ini", "dates_missing"), ("data_fim", "dates_missing")]),
        ({**BACKFILL, "data_fim": None}, [("data_fim", "dates_missing")]),
        ({**BACKFILL, "data_ini": "01/01/2025"}, [("data_ini", "date_form")]),
        ({**BACKFILL, "data_fim": "2025-02-30T00:00:00"}, [("data_fim", "date_unknown")]),
        (
            {**BACKFILL, "data_ini": "2025-01-04T00:00:00"},
            [("data_ini", "window_reversed"), ("data_fim", "window_reversed")],
        ),
        ({**BACKFILL, "data_ini": "2020-01-01T00:00:00"}, [("data_ini", "window_too_early")]),
        (
            {**BACKFILL, "data_ini": "2022-01-01T00:00:00"},
            [("data_ini", "window_too_long"), ("data_fim", "window_too_long")],
        ),
        ({"mode": "all"}, [("mode", "literal_error")]),
        ({"resource": "nada"}, [("resource", "resource_unknown")]),
        ({**BACKFILL, "resource": "atas", "criterio": "publicacao"}, [("criterio", "criterio_unknown")]),
        ({**BACKFILL, "resource": "dominios"}, [("mode", "domains_have_no_days")]),
        ({"mode": "update", "modo": "x"}, [("modo", "extra_forbidden")]),
        ([], [("", "model_attributes_type")]),
    ],
)
async def test_the_fields_that_are_to_be_changed_are_named(
    api: httpx.AsyncClient, body: Any, expected: list[tuple[str, str]]
) -> None:
    assert await faults(api, body) == expected
    assert await faults(api, body, **ENGLISH) == expected


async def test_faults_are_told_in_the_language_that_is_asked_for(api: httpx.AsyncClient) -> None:
    portuguese = (await api.post("/sync/force", json={"mode": "all"})).json()
    english = (await api.post("/sync/force", json={"mode": "all"}, headers=ENGLISH)).json()
    assert portuguese["detail"] == "mode deve ser 'update' ou 'backfill'"
    assert english["detail"] == "mode has to be 'update' or 'backfill'"
    assert (portuguese["title"], english["title"]) == ("Valor que não serve", "Unprocessable Content")
    missing = (await api.post("/sync/force", json={"mode": "backfill"}, headers=ENGLISH)).json()
    assert missing["detail"] == "data_ini and data_fim are required for the mode backfill"


async def test_what_is_told_in_portuguese_alone_says_so(api: httpx.AsyncClient) -> None:
    answer = await api.get("/contratacoes?nada=1", headers=ENGLISH)
    assert answer.status_code == 422
    assert answer.headers["Content-Language"] == "pt-BR"
    assert answer.json()["type"] == "/problems/invalid"


async def test_what_the_gate_refuses_has_the_same_form(open_api: OpenApi) -> None:
    api = await open_api(admin_password="correct horse battery")
    answer = await api.get("/sync/status", headers=ENGLISH)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    assert answer.json()["detail"].startswith("Give a user and a password")
    assert answer.json()["request_id"] == answer.headers["X-Request-Id"]


def test_dates_are_told_alike_by_the_catalogue_and_where_they_are_parsed() -> None:
    now = parse_wall_clock("2026-01-01T00:00:00")
    windows = [
        ("2025-01-02T00:00:00", "2025-01-01T00:00:00"),
        ("2020-01-02T00:00:00", "2025-01-01T00:00:00"),
        ("2026-02-01T00:00:00", "2026-02-02T00:00:00"),
        ("2025-12-31T00:00:00", "2026-02-02T00:00:00"),
        ("2024-01-01T00:00:00", "2025-02-02T00:00:00"),
    ]
    seen = set()
    for start, end in windows:
        with pytest.raises(WindowError) as raised:
            check_window(parse_wall_clock(start), parse_wall_clock(end), now)
        seen.add(agreed(raised.value))
    for text in ("nada", "2025-02-30T00:00:00"):
        with pytest.raises(WindowError) as raised:
            parse_wall_clock(text, "data_ini")
        seen.add(agreed(raised.value))
    assert len(seen) == 7


def agreed(error: WindowError) -> str:
    assert Translator("pt-BR").say(Text(f"fault.{error.code}", error.values)) == str(error)
    return error.code


def test_administrators_problems_have_codes() -> None:
    """A problem of an address of administrators is raised by its code, and with the values that its sentence has."""
    classes = {
        name
        for name, one in vars(errors).items()
        if isinstance(one, type) and issubclass(one, errors.ProblemError) and "__init__" not in vars(one)
    }
    services = ROOT / "backend" / "services"
    of_data = {"entities", "exports", "ocds", "prices", "saved_searches"}
    paths = [
        path
        for path in services.rglob("*.py")
        if path.relative_to(services).parts[0] not in of_data and path.name not in OF_DATA
    ]
    found = 0
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", None) in classes:
                (said,) = node.args
                assert isinstance(said, ast.Constant), f"{path}:{node.lineno}"
                assert f"problem.{said.value}" in SENTENCES, f"{path}:{node.lineno}: {said.value}"
                values = {word.arg: "x" for word in node.keywords if word.arg}
                Translator().say(Text(f"problem.{said.value}", values))
                found += 1
    assert found > 10


OF_DATA = {"domains.py", "summary.py", "profiles.py", "search.py", "lists.py"}
