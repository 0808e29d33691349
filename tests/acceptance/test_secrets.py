"""Nothing secret is in what the services print or answer: start with marked secrets, make errors, and look."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import jwt
import pytest
from sqlalchemy import text

from tests.acceptance.conftest import Stack
from tests.sinks import WebhookSink, listening
from tests.support import eventually

PASSWORD = "marker-of-the-admin"
KEY = "marker-of-the-tokens-0123456789abcdef"
BROKER = "marker-of-the-broker"
MAIL = "marker-of-the-mail"
WEBHOOK = "marker-of-the-webhook"
MARKERS = (PASSWORD, KEY, BROKER, MAIL, WEBHOOK, "marker-in-a-request")
ALERTS = {
    "ALERT_EMAIL_TO": "ana@example.org",
    "ALERT_EMAIL_FROM": "pncp@example.org",
    "SMTP_HOST": "127.0.0.1",
    "SMTP_PORT": "1",
    "SMTP_USERNAME": "pncp",
    "SMTP_PASSWORD": MAIL,
}


@pytest.fixture
async def hook() -> AsyncIterator[WebhookSink]:
    async with listening(WebhookSink()) as sink:
        yield sink


async def test_marked_secrets_are_in_no_log_and_in_no_answer(stack: Stack, hook: WebhookSink) -> None:
    settings = {"ADMIN_PASSWORD": PASSWORD, "JWT_SECRET": KEY, "RABBITMQ_URL": f"amqp://u:{BROKER}@127.0.0.1:1/"}
    settings |= ALERTS | {"ALERT_WEBHOOK_URL": f"http://127.0.0.1:{hook.port}/{WEBHOOK}"}
    backend = await stack.start_backend(**settings, LOG_LEVEL="DEBUG", ADMIN_PASWORD="marker-in-a-request")
    answers: list[httpx.Response] = []
    login = {"username": "admin", "password": PASSWORD}
    token = (await stack.api.post("/auth/token", data=login)).json()["access_token"]
    bearer = {"Authorization": f"Bearer {token}"}
    wrong = jwt.encode({"sub": "marker-in-a-request"}, "x" * 32)

    answers += [
        await stack.api.get("/health"),
        await stack.api.get("/sync/status", auth=("admin", "marker-in-a-request")),
        await stack.api.get("/sync/status", auth=("marker-in-a-request", "x")),
        await stack.api.get("/sync/status", headers={"Authorization": f"Bearer {wrong}"}),
        await stack.api.get("/sync/status?token=marker-in-a-request"),
        await stack.api.post("/auth/token", data={"username": "marker-in-a-request", "password": "x"}),
        await stack.api.post("/auth/token", json={"password": "marker-in-a-request"}),
        await stack.api.post("/sync/force", headers=bearer, json={"mode": "marker-in-a-request"}),
        await stack.api.post("/sync/force", headers=bearer, content=b'{"password": "marker-in-a-request", "x": NaN}'),
        await stack.api.post("/sync/force", headers=bearer, json={}),  # there is no broker: 503
        await stack.api.get("/openapi.json", headers=bearer),
        await stack.api.post("/sync/alerts/test", headers=bearer),
        await stack.api.get("/sync/alerts", headers=bearer),
    ]
    metrics = await stack.api.get("/metrics", headers=bearer)
    # the execution that could not be announced tells its course in its log
    (failed,) = (await stack.api.get("/sync/history", headers=bearer)).json()["executions"]
    path = f"/sync/executions/{failed['id']}/log"

    async def is_told() -> bool:
        return "execution finished" in (await stack.api.get(path, headers=bearer)).text

    await eventually(is_told)
    log = await stack.api.get(path, headers=bearer)
    async with stack.engine.connect() as db:
        kept = str((await db.execute(text("SELECT event, fields FROM execution_log"))).all())
    stack.settings |= {"RABBITMQ_URL": settings["RABBITMQ_URL"], "DATABASE_URL": "postgresql://u:x@127.0.0.1:1/d"}
    ingestor = stack.start("ingestor", "-m", "ingestor", LOG_LEVEL="DEBUG")
    await eventually(lambda: "waiting for the database" in ingestor.text, seconds=60)

    assert [answer.status_code for answer in answers] == [
        200,
        401,
        401,
        401,
        401,
        401,
        422,
        422,
        422,
        503,
        200,
        200,
        200,
    ]
    assert [one["error"] for one in answers[-2].json()["channels"]] == ["o servidor recusou a conexão", None]
    assert hook.targets == [f"/{WEBHOOK}"]
    assert "pncp_failed_logins_total 3.0" in metrics.text
    assert "message was not confirmed" in log.text
    assert "execution accepted" in kept
    assert "ADMIN_PASWORD" in backend.text  # the typo is told, by name
    for marker in (*MARKERS, token):
        assert not [answer.request.url for answer in (*answers, metrics, log) if marker in answer.text]
        assert marker not in kept
        for process in stack.processes:
            assert marker not in process.text


ERP = """
url: ${env:ERP_URL}
entities: {produtos: {table: produtos, key: codigo}}
"""


async def test_the_password_of_a_source_is_in_no_log_and_in_no_answer(stack: Stack, tmp_path: Path) -> None:
    marker = "marker-of-the-source"
    for name, written in {
        "sources/erp.yaml": ERP,
        "entities/produtos.yaml": "key: codigo\ncolumns: {codigo: integer}\n",
    }.items():
        path = tmp_path / "connections" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(written, encoding="utf-8")
    stack.settings |= {"CONNECTIONS_DIR": str(tmp_path / "connections"), "LOG_LEVEL": "DEBUG"}
    await stack.start_backend()
    worker = stack.start(
        "worker",
        "-m",
        "ingestor",
        WORKER_KINDS="intake",
        DELIVERY_RETRY_SECONDS="0.1",
        ERP_URL=f"postgresql://leitor:{marker}@127.0.0.1:1/erp?sslpassword={marker}",
    )
    await eventually(lambda: "worker started" in worker.text, seconds=60)
    job = (await stack.api.post("/sources/erp/ler", json={})).headers["location"]

    async def has_failed() -> bool:
        return bool((await stack.api.get("/sources/erp")).json()["last_error"])

    await eventually(has_failed, seconds=30)
    await eventually(lambda: "job is tried again later" in worker.text, seconds=30)
    answers = [await stack.api.get(path) for path in ("/sources", job, f"{job}/log", "/metrics", "/imports")]
    async with stack.engine.connect() as db:
        kept = str((await db.execute(text("SELECT last_error FROM sources"))).all())
        kept += str((await db.execute(text("SELECT error_message FROM sync_slices"))).all())
    assert "não há conexão" in kept
    for answer in answers:
        assert answer.status_code == 200
        assert marker not in answer.text
    assert marker not in kept
    for process in stack.processes:
        assert marker not in process.text
