"""The application: what it owns, how it is opened and closed, and what it is made of."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import structlog
from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles

from backend.api import executions, operations, schedules, sync
from backend.config import BackendSettings
from backend.dependencies import State
from backend.errors import PROBLEM_RESPONSES, install_error_handlers
from backend.middleware import BodyLimit, OneLineStart
from backend.models.problem import Problem
from backend.services.publisher import RabbitMQPublisher
from backend.services.sweeper import sweep
from common.config import ConfigurationError, load_settings
from common.database import check_schema, create_engine, is_unavailable
from common.logs import configure_logging

log = structlog.get_logger(__name__)

VENDOR = Path(__file__).parent / "web" / "vendor"

DESCRIPTION = """\
Inicia, acompanha e explica as sincronizações do PNCP para o PostgreSQL.

Datas de janela são o horário de Brasília, sem fuso, como no portal (`2025-01-31T23:59:59`); os instantes dos eventos
do próprio sistema (`created_at`, `updated_at`, ...) trazem o fuso. Erros seguem a RFC 9457
(`application/problem+json`), e `detail` diz o que fazer. Depois de um 5xx sem identificador, consulte o histórico
antes de repetir o pedido.
"""


def create_app(settings: BackendSettings) -> FastAPI:
    """Put the application together; nothing is opened before its lifespan runs."""
    app = FastAPI(
        title="PNCP Sync",
        version="0.1.0",
        description=DESCRIPTION,
        lifespan=_lifespan(settings),
        docs_url=None,
        redoc_url=None,
        responses=PROBLEM_RESPONSES,
    )
    app.add_middleware(BodyLimit)
    app.add_middleware(OneLineStart)
    install_error_handlers(app)
    for router in (sync.router, executions.router, schedules.router, operations.router):
        app.include_router(router)
    _serve_documentation(app)
    _describe_problems(app)
    return app


def _lifespan(settings: BackendSettings) -> Callable[[FastAPI], AbstractAsyncContextManager[dict[str, Any]]]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        configure_logging(settings.log_level, settings.log_format)
        engine = create_engine(settings.database_url.get_secret_value(), application_name="pncp-backend", pool_size=10)
        publisher = None
        if settings.rabbitmq_url is not None:
            publisher = RabbitMQPublisher(settings.rabbitmq_url.get_secret_value(), settings.queue_name)
        try:
            try:
                await check_schema(engine)
            except Exception as error:
                if not is_unavailable(error):
                    raise
                log.warning("database is not available yet", error=type(error).__name__)
            if publisher is not None and not await publisher.connect():
                log.warning("broker is not available yet")
            sweeper = asyncio.create_task(sweep(engine))
            sweeper.add_done_callback(_end_with)
            yield {**State(engine=engine, publisher=publisher, schedule=settings)}
            sweeper.cancel()
        finally:
            if publisher is not None:
                await publisher.close()
            await engine.dispose()

    return lifespan


def _end_with(task: asyncio.Task[None]) -> None:
    """A background task that dies takes the process with it, so that its supervisor starts it anew."""
    if not task.cancelled():
        log.critical("a background task has died", exc_info=task.exception())
        signal.raise_signal(signal.SIGTERM)


def _serve_documentation(app: FastAPI) -> None:
    """Swagger UI from our own files: the default page loads it from the internet and is blank on a closed network."""
    app.mount("/docs/assets", StaticFiles(directory=VENDOR / "swagger-ui"), name="swagger-ui")

    @app.get("/", include_in_schema=False)
    async def page() -> RedirectResponse:
        return RedirectResponse("/docs")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="/openapi.json",
            title="PNCP Sync",
            swagger_js_url="/docs/assets/swagger-ui-bundle.js",
            swagger_css_url="/docs/assets/swagger-ui.css",
            swagger_favicon_url="/docs/assets/favicon-32x32.png",
        )


def _describe_problems(app: FastAPI) -> None:
    """Every endpoint's documented errors refer to one schema, which no endpoint answers with and so nobody adds."""
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        schema = describe()
        template = "#/components/schemas/{model}"
        problem = Problem.model_json_schema(ref_template=template)
        schemas = schema["components"]["schemas"]
        schemas |= {**problem.pop("$defs", {}), "Problem": problem}
        return schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way to change its document


def __getattr__(name: str) -> FastAPI:
    """Make `app` when a server asks for it, so that importing this module does nothing."""
    if name != "app":
        raise AttributeError(name)
    try:
        return create_app(load_settings(BackendSettings))
    except ConfigurationError as error:
        sys.exit(f"backend: {error}")
