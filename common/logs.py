"""Logging for both services: structlog and the standard library in one stream."""

import logging
import re
import sys
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from common.masking import mask_text

HIDDEN = "***"
DEEPEST = 20
"""How far into a value CPFs are looked for; one that holds itself has no end."""
_SECRET = re.compile("authorization|password|token|secret|dsn|cookie", re.IGNORECASE)


def is_secret(name: str) -> bool:
    """Whether the value of this name must not be written."""
    return _SECRET.search(name) is not None


def _redact(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """The last safeguard: hide values whose name is that of a secret."""
    return {name: HIDDEN if is_secret(name) else value for name, value in event.items()}


def _mask(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Mask the CPFs in all texts of a line."""
    return {name: value if name == "exc_info" else _masked(value) for name, value in event.items()}


def _masked(value: object, depth: int = 0) -> object:
    if isinstance(value, str):
        return mask_text(value)
    if depth < DEEPEST and isinstance(value, dict):
        return {name: _masked(inner, depth + 1) for name, inner in value.items()}
    if depth < DEEPEST and isinstance(value, list | tuple):
        return [_masked(inner, depth + 1) for inner in value]
    return value


def _mask_line(_: WrappedLogger, __: str, line: Any) -> str:  # the renderer before makes it a text
    """Mask what is written of a traceback."""
    return mask_text(line)


def configure_logging(level: str, form: str | None, stream: TextIO = sys.stdout) -> None:
    """Send every record to the stream, as `json` or as `text`; by default text on a terminal and JSON elsewhere."""
    as_text = form == "text" or (form is None and stream.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        _redact,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        # filter by level first: disabled levels are free
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    # plain tracebacks: local variables may hold passwords
    renderers: list[Processor] = (
        [
            _mask,
            structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback),
            _mask_line,
        ]
        if as_text
        else [structlog.processors.format_exc_info, _mask, structlog.processors.JSONRenderer(ensure_ascii=False)]
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    handler.setLevel(level)  # the root's own may become lower, for the log of executions
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):  # uvicorn has handlers of its own
        logging.getLogger(name).handlers = []
        logging.getLogger(name).propagate = name != "uvicorn.access"
    for name in ("httpx", "httpcore", "aiormq", "aio_pika"):  # they log a line per request, and every reconnect twice
        logging.getLogger(name).setLevel(max(logging.getLevelName(level), logging.WARNING))
