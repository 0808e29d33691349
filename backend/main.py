"""The application: its lifespan, middleware, routes and OpenAPI document."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import structlog
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Mount

from backend.access import methods_at, methods_of
from backend.api import (
    alerts,
    auth,
    declared,
    deliveries,
    destinations,
    documentation,
    entities,
    executions,
    exports,
    files,
    goals,
    imports,
    intake,
    jobs,
    lists,
    mirror,
    ocds,
    operations,
    page,
    prices,
    reconciliation,
    records,
    saved_searches,
    schedules,
    sources,
    summaries,
    sync,
    verdict,
    yearly,
)
from backend.bodies import BodyLimit
from backend.config import OWN_PREFIXES, BackendSettings
from backend.dependencies import State
from backend.errors import PROBLEM_RESPONSES, install_error_handlers
from backend.heads import bound_heads
from backend.limiter import Limiter
from backend.metrics import Metrics
from backend.middleware import (
    ForgetShared,
    Gate,
    HeadLimit,
    HostCheck,
    Measure,
    OneLineStart,
    OriginCheck,
    RequestContext,
    SecurityHeaders,
    Traced,
)
from backend.models.about import About
from backend.openapi import TAGS, describe, name_operation
from backend.security import Security
from backend.services.alerts.channels import channels_of
from backend.services.alerts.episodes import Notifier, watch
from backend.services.alerts.findings import Rules
from backend.services.alerts.queue_watch import QueueWatch
from backend.services.dashboard import Dashboard
from backend.services.deliveries.files import ConnectionFiles
from backend.services.entities.mirror import Mirrors
from backend.services.execution_log import forget_lines
from backend.services.exports import running, serving
from backend.services.exports.folder import Folder, open_folder
from backend.services.exports.yearly import YearFiles
from backend.services.figures import FiguresReader
from backend.services.ocds.package import Publisher
from backend.services.publisher import RabbitMQPublisher
from backend.services.reading import ReadConnections
from backend.services.saved_searches.delivery import Courier
from backend.services.saved_searches.saved import SearchSettings
from backend.services.shared_limits import SharedCounts
from backend.services.sweeper import sweep
from backend.version import VERSION
from common.config import ConfigurationError, find_typos, load_settings
from common.database import cause_of, check_schema, create_engine, is_database_trouble
from common.execution_log import keep_execution_log
from common.garbage import collect_seldom
from common.logs import configure_logging
from common.traces import keep_traces

log = structlog.get_logger(__name__)

DESCRIPTION = """\
Inicia, acompanha e explica as sincronizações do PNCP para o PostgreSQL.

Datas de janela são o horário de Brasília, sem fuso, como no portal (`2025-01-31T23:59:59`); os instantes dos eventos
do próprio sistema (`created_at`, `updated_at`, ...) trazem o fuso. Erros seguem a RFC 9457
(`application/problem+json`), e `detail` diz o que fazer. Depois de um 5xx sem identificador, consulte o histórico
antes de repetir o pedido.
"""


def create_app(settings: BackendSettings) -> FastAPI:
    """Create the application; connections are opened by its lifespan."""
    limiter = Limiter(settings.limits, settings.counting_key)
    metrics = Metrics()
    connections = ConnectionFiles(settings.connections_dir, settings.reconciliation_days, settings.counting_key)
    security = Security(settings, limiter, metrics, connections) if settings.authenticates else None
    app = FastAPI(
        title="PNCP Sync",
        version=VERSION,
        description=DESCRIPTION,
        lifespan=_lifespan(settings, security, limiter, metrics, connections),
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,  # a redirect's address would be made of the caller's Host header
        responses=PROBLEM_RESPONSES,
        openapi_tags=TAGS,
        generate_unique_id_function=name_operation,
        # its own spans hold the query, in which people name companies and persons
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    install_error_handlers(app, metrics, lambda scope: methods_at(app.router.routes, scope))
    routers = [
        *(sync.router, verdict.router, executions.router, schedules.router, goals.router),
        *(lists.router, alerts.router),
        *(summaries.router, entities.router),  # sums first: the address of a party takes anything
        *(files.router, prices.router, exports.router, yearly.router, saved_searches.router, ocds.router),
        *(operations.router, auth.router, page.router, mirror.router),
        *(destinations.router, jobs.router, deliveries.router),
        *(intake.router, imports.router, records.router, sources.router),
        *(declared.router, reconciliation.router),
    ]
    page.mount_assets(app)
    if settings.shows_documentation:
        routers.append(documentation.router)
    routers.append(declared.lists)  # last: what files declare hides no other address
    for router in routers:
        app.include_router(router)
    _add_middleware(app, settings, security, limiter, metrics)
    mounts = [route for route in app.router.routes if isinstance(route, Mount)]
    app.add_middleware(
        Measure, metrics=metrics, routes=[*mounts, *(route for router in routers for route in router.routes)]
    )
    app.add_middleware(OneLineStart)
    describe(app, authenticates=settings.authenticates)
    return app


def _add_middleware(
    app: FastAPI, settings: BackendSettings, security: Security | None, limiter: Limiter, metrics: Metrics
) -> None:
    """Add the middleware, from the innermost to the outermost."""
    app.add_middleware(ForgetShared)
    app.add_middleware(BodyLimit, most_of_file=settings.upload_max_bytes)
    app.add_middleware(Gate, security=security, limiter=limiter, metrics=metrics, routes=app.router.routes)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=methods_of(app.router.routes),
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key"],
            expose_headers=["Location", "Retry-After", "X-Request-Id", *files.HEADERS],
        )
    app.add_middleware(OriginCheck, origins=settings.cors_origins)
    if not settings.allowed_hosts and (not settings.authenticates or settings.binds_to_loopback):
        app.add_middleware(HostCheck, names=None, loopback_only=settings.authenticates)
    elif settings.allowed_hosts and "*" not in settings.allowed_hosts:
        app.add_middleware(HostCheck, names=settings.allowed_hosts)
    app.add_middleware(HeadLimit)
    app.add_middleware(SecurityHeaders)
    if settings.traces_url is not None:
        app.add_middleware(Traced, routes=app.router.routes)
    app.add_middleware(RequestContext)


def _lifespan(
    settings: BackendSettings,
    security: Security | None,
    limiter: Limiter,
    metrics: Metrics,
    connections: ConnectionFiles,
) -> Callable[[FastAPI], AbstractAsyncContextManager[dict[str, Any]]]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        configure_logging(settings.log_level, settings.log_format)
        _warn(settings)
        engine = create_engine(
            settings.database_url.get_secret_value(),
            application_name="pncp-backend",
            pool_size=10,
            settings={
                "plan_cache_mode": "force_custom_plan",  # a list by SP and one by a rare UF want other plans
                "work_mem": "32MB",  # with 4 MB, what words find among millions of rows is looked up again row by row
            },
        )
        copying = create_engine(
            settings.database_url.get_secret_value(),
            application_name="pncp-backend-files",
            pool_size=serving.CONNECTIONS,
            statement_seconds=serving.COPY_SECONDS,
        )
        folder = open_folder(settings.export_path, "EXPORT_DIR")
        workspace = serving.Workspace(folder.path)
        publisher = _broker_of(settings, settings.queue_name)
        intake_publisher = _broker_of(settings, settings.intake_queue)
        long_copying = create_engine(
            settings.database_url.get_secret_value(),
            application_name="pncp-backend-exports",
            pool_size=settings.export_concurrency + 1,
            statement_seconds=running.COPY_SECONDS,
        )
        reading = ReadConnections(engine)
        limiter.shared = SharedCounts(engine)
        figures = FiguresReader(engine, settings.update_crons, settings.goals)
        dashboard = Dashboard(reading, settings, settings.list_scopes, publisher)
        try:
            try:
                await check_schema(engine)
            except Exception as error:
                if not is_database_trouble(error):
                    raise
                log.warning("database is not available yet", cause=cause_of(error))
            if publisher is not None and not await publisher.connect():
                log.warning("broker is not available yet")
            exports = _exports_of(settings, engine, long_copying, connections, folder=folder, metrics=metrics)
            year_files = _year_files_of(settings, engine, long_copying)
            notifier = Notifier(channels_of(settings), settings.public_url, dashboard.verdict, settings.alert_language)
            mirrors = Mirrors(settings.list_scopes)
            rules = replace(rules_of(settings), connections=connections)
            queue_watch = None if publisher is None else QueueWatch(publisher)
            background = [
                asyncio.create_task(sweep(engine)),
                asyncio.create_task(exports.work()),
                asyncio.create_task(watch(engine, rules, notifier, queue_watch)),
                asyncio.create_task(Courier(engine, mirrors, connections, notifier, metrics).watch()),
                asyncio.create_task(connections.watch()),
            ]
            if settings.execution_log_days:
                background.append(asyncio.create_task(forget_lines(engine, days=settings.execution_log_days)))
            if year_files.folder is not None:
                background.append(asyncio.create_task(year_files.work()))
            for task in background:
                task.add_done_callback(_end_with)
            async with keep_execution_log(engine), keep_traces(settings.traces_url, "pncp-backend"):
                yield {
                    **State(
                        engine=engine,
                        reading=reading,
                        publisher=publisher,
                        intake_publisher=intake_publisher,
                        schedule=settings,
                        lists=settings,
                        connections=connections,
                        lists_asked_at_once=settings.lists_asked_at_once,
                        mirrors=mirrors,
                        files=serving.FileMaker(copying, workspace),
                        exports=exports,
                        yearly=year_files,
                        ocds=_publisher_of(settings),
                        max_unfinished=settings.max_unfinished,
                        dashboard=dashboard,
                        security=security,
                        notifier=notifier,
                        searches=SearchSettings(settings.saved_searches_per_user, notifier, connections),
                        metrics=metrics,
                        figures=figures,
                        about=About(
                            version=VERSION,
                            portal_url=settings.pncp_base_url,
                            portal_is_simulated=settings.portal_is_simulated,
                            has_documentation=settings.shows_documentation,
                        ),
                    )
                }
            await _end(background)  # they may be holding connections
        finally:
            await figures.close()
            await dashboard.close()
            await _close(publisher, intake_publisher)
            await long_copying.dispose()
            await copying.dispose()
            await engine.dispose()
            workspace.close()

    return lifespan


def _broker_of(settings: BackendSettings, queue: str) -> RabbitMQPublisher | None:
    """What publishes to a queue, where there is a broker; it connects at first use."""
    return None if settings.rabbitmq_url is None else RabbitMQPublisher(settings.rabbitmq_url.get_secret_value(), queue)


async def _close(*publishers: RabbitMQPublisher | None) -> None:
    for each in publishers:
        if each is not None:
            await each.close()


def _exports_of(
    settings: BackendSettings,
    engine: AsyncEngine,
    copying: AsyncEngine,
    connections: ConnectionFiles,
    *,
    folder: Folder,
    metrics: Metrics,
) -> running.Exports:
    limits = running.ExportLimits(
        at_once=settings.export_concurrency,
        per_user=settings.export_per_user,
        most_bytes=settings.export_max_bytes,
        hours=settings.export_hours,
    )
    return running.Exports(
        engine,
        copying,
        connections,
        folder=folder,
        scopes=settings.list_scopes,
        limits=limits,
        metrics=metrics,
    )


def _year_files_of(settings: BackendSettings, engine: AsyncEngine, copying: AsyncEngine) -> YearFiles:
    return YearFiles(
        engine,
        copying,
        folder=None if settings.files_dir is None else open_folder(settings.files_dir, "FILES_DIR"),
        scopes=settings.list_scopes,
        cron=settings.files_cron,
        entities=settings.files_entities,
        formats=settings.files_formats,
        ocds_prefix=settings.ocds_prefix,
    )


def _publisher_of(settings: BackendSettings) -> Publisher | None:
    if settings.ocds_prefix is None:
        return None
    return Publisher(
        settings.ocds_prefix, settings.ocds_publisher, settings.ocds_license, settings.ocds_publication_policy
    )


def rules_of(settings: BackendSettings) -> Rules:
    """The thresholds of alerts."""
    no_success, reminder = settings.alert_no_success_minutes, settings.alert_reminder_minutes
    return Rules(
        no_success=timedelta(minutes=no_success) if no_success else None,
        reminder=timedelta(minutes=reminder) if reminder else None,
        schedule_enabled=settings.schedule_enabled,
        update_crons=settings.update_crons,
    )


async def _end(tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancel tasks until they have ended: an error in a statement's clean-up may replace a cancellation."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=1)


def _end_with(task: asyncio.Task[None]) -> None:
    """Exit when a background task dies, so that the supervisor restarts the process."""
    if not task.cancelled():
        log.critical("a background task has died", exc_info=task.exception())
        signal.raise_signal(signal.SIGTERM)


def _warn(settings: BackendSettings) -> None:
    """Warn about settings that are valid but may be mistakes."""
    for name, meant in find_typos(BackendSettings, OWN_PREFIXES).items():
        log.warning("unknown variable, a typo?", variable=name, known=meant)
    if not settings.authenticates:
        log.warning("no authentication: anyone who reaches the port can start synchronisations")
    if settings.authenticates and settings.jwt_secret is None:
        log.warning("JWT_SECRET is not set: a token holds in the backend that has made it alone, until that one ends")
    if settings.in_production and not settings.allowed_hosts:
        if settings.binds_to_loopback:
            log.warning("ALLOWED_HOSTS is not set: on a loopback address, only local names are answered")
        else:
            log.warning("ALLOWED_HOSTS is not set: requests are served whatever host they name")
    if not settings.authenticates and "*" in settings.allowed_hosts:
        log.warning("ALLOWED_HOSTS is * without authentication: any web site may reach this API through a browser")
    if settings.in_production and settings.admin_password is not None and settings.admin_password_hash is None:
        log.warning("ADMIN_PASSWORD is set as it is; ADMIN_PASSWORD_HASH would do")


def __getattr__(name: str) -> FastAPI:
    """Create `app` on first access, so that importing this module does nothing."""
    if name != "app":
        raise AttributeError(name)
    try:
        served = create_app(load_settings(BackendSettings))
    except ConfigurationError as error:
        sys.exit(f"backend: {error}")
    collect_seldom()
    bound_heads()
    return served
