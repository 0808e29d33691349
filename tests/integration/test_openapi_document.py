"""What generated clients go by: names of operations, examples, headers, and answers that really come."""

import re
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from pydantic import TypeAdapter

from backend.access import leaves
from backend.config import BackendSettings
from backend.main import create_app
from backend.models.examples import EXAMPLES
from backend.openapi import WITHOUT_DATABASE
from common.entities.entity import ENTITIES
from tests.integration.conftest import OpenApi

OPERATIONS = {
    *("create_sync", "plan_sync", "get_status", "list_executions", "get_dashboard", "get_coverage", "list_resources"),
    *("get_execution", "list_slices", "get_execution_log", "cancel_execution", "cancel_executions", "retry_execution"),
    *("list_schedules", "pause_schedule", "resume_schedule", "change_schedule"),
    *("list_goals", "plan_goal", "set_goal", "remove_goal", "pause_goal", "resume_goal"),
    *("request_list", "plan_lists", "list_alerts", "test_alerts", "create_token", "get_current_user"),
    *("get_health", "get_readiness", "get_liveness", "get_metrics", "get_about"),
    *("list_coverage_spans", "get_timeline", "list_rejected", "get_execution_matrix"),
    *("create_export", "list_exports", "get_export", "download_export", "delete_export"),
    *("list_year_files", "make_year_files", "download_year_file"),
    *("create_search", "list_searches", "get_search", "change_search", "delete_search", "preview_search"),
    *("get_unsubscribe_page", "unsubscribe_search"),
    *("list_changes", "get_storage", "list_domains", "get_domain", "list_releases", "get_release"),
    *("research_prices", "download_prices", "find_control_number", "describe_list"),
    *("push_records", "upload_file", "list_imports", "get_import", "list_import_rows", "get_import_errors"),
    *("confirm_import", "discard_import", "get_declared_record", "put_declared_record", "remove_declared_record"),
    *(f"{verb}_{entity.name}" for entity in ENTITIES for verb in ("list", "count", "download")),
}
"""The names that clients were generated with. One that is renamed breaks their code."""
SETTINGS: Any = {"database_url": "postgresql://nobody@127.0.0.1/nothing", "rabbitmq_url": None}


@pytest.fixture
def document() -> dict[str, Any]:
    return create_app(BackendSettings(**SETTINGS)).openapi()


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["operationId"]: one for methods in document["paths"].values() for one in methods.values()}


def test_every_operation_has_a_short_name_without_the_noise_of_its_path(document: dict[str, Any]) -> None:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            name = operation["operationId"]
            assert re.fullmatch(r"[a-z]+(_[a-z]+){1,4}", name), f"{method} {path}: {name}"
            assert len(name) <= 35, name
            assert not name.endswith(f"_{method}"), name
            assert not re.search(r"[{}]", name), name
    assert len(operations(document)) == sum(map(len, document["paths"].values()))


def test_no_operation_that_clients_know_is_renamed(document: dict[str, Any]) -> None:
    assert set(operations(document)) >= OPERATIONS


def test_every_tag_is_described_and_used(document: dict[str, Any]) -> None:
    used = {tag for one in operations(document).values() for tag in one["tags"]}
    assert {tag["name"] for tag in document["tags"]} == used
    assert all(len(tag["description"]) > 15 for tag in document["tags"])


def test_every_example_is_an_answer_of_its_operation(document: dict[str, Any]) -> None:
    app = create_app(BackendSettings(**SETTINGS))
    routes = [route for route in leaves(app.router.routes) if isinstance(route, APIRoute)]
    models = {route.operation_id or route.name: route.response_model for route in routes}
    assert len(EXAMPLES) > 10
    for name, example in EXAMPLES.items():
        answers = operations(document)[name]["responses"]
        (shown,) = [answer for code, answer in answers.items() if code.startswith("2")]
        assert shown["content"]["application/json"]["example"] == example
        parsed = TypeAdapter(models[name]).validate_python(example)
        assert TypeAdapter(models[name]).dump_python(parsed, mode="json") == example, name


def test_headers_are_documented_where_they_are_sent(document: dict[str, Any]) -> None:
    found = operations(document)
    for name, operation in found.items():
        for code, answer in operation["responses"].items():
            headers = answer["headers"]
            assert "X-Request-Id" in headers, name
            if code in ("429", "409"):
                assert "Retry-After" in headers, name
    assert "Location" in found["create_sync"]["responses"]["200"]["headers"]
    assert "Location" in found["create_export"]["responses"]["202"]["headers"]
    assert "Location" in found["create_search"]["responses"]["201"]["headers"]
    assert {"ETag", "Link"} <= found["list_contratos"]["responses"]["200"]["headers"].keys()
    assert {"ETag", "Content-Disposition"} <= found["download_export"]["responses"]["200"]["headers"].keys()
    assert "Retry-After" in found["get_status"]["responses"]["503"]["headers"]
    assert "Retry-After" not in found["get_health"]["responses"]["503"]["headers"]


async def test_the_headers_that_are_documented_are_sent(api: httpx.AsyncClient) -> None:
    accepted = await api.post("/sync/force", json={"mode": "update"})
    assert accepted.headers["Location"] == f"/sync/executions/{accepted.json()['request_id']}"
    assert accepted.headers["X-Request-Id"]
    assert (await api.get("/contratos")).headers["ETag"]
    conflict = await api.post(f"{accepted.headers['Location']}/retry")
    assert (conflict.status_code, conflict.headers["Retry-After"]) == (409, "10")


async def test_only_what_needs_no_database_is_answered_without_one_and_declares_no_503(
    open_api: OpenApi, closed_port: int
) -> None:
    api = await open_api(database_url=f"postgresql://u:p@127.0.0.1:{closed_port}/nothing")
    paths = (await api.get("/openapi.json")).json()["paths"]
    without = {path for path, methods in paths.items() for one in methods.values() if "503" not in one["responses"]}
    assert without == set(WITHOUT_DATABASE)
    for path in without:
        assert (await api.get(path.replace("{entidade}", "contratos"))).status_code == 200, path
    for path in ("/sync/status", "/sync/goals", "/contratos", "/dominios", "/health/ready"):
        assert (await api.get(path)).status_code == 503, path


async def test_the_pages_of_the_documentation_load_nothing_from_elsewhere(api: httpx.AsyncClient) -> None:
    script = (await api.get("/docs/assets/redoc.standalone.js")).text
    assert "cdn.redoc.ly" not in script
    assert not re.search(r'src:"(?:https?:)?//', script)
    assert (await api.get("/docs/assets/favicon-32x32.png")).status_code == 200
    assert "validatorUrl: null" in (await api.get("/docs/assets/docs.js")).text
