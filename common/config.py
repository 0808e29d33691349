"""Settings that both services read: database, broker, logging; and the one way to load any settings."""

from typing import Annotated, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from common.cron import CronError, check_cron

LAST_PORT = 65535
LONGEST_QUEUE_NAME = 250
"""Bytes; AMQP ends at 255, and the queue of dead letters adds its suffix."""


class ConfigurationError(Exception):
    """A variable is missing or holds a value that cannot be used."""


def _database_url(value: SecretStr) -> SecretStr:
    """Take any PostgreSQL URL and name the driver that we use."""
    try:
        url = make_url(value.get_secret_value())
    except (ArgumentError, ValueError):
        raise ValueError("is not a URL; expected postgresql://user:password@host:5432/database") from None
    if url.get_backend_name() not in ("postgresql", "postgres"):
        raise ValueError("must begin with postgresql://")
    if "@" in (url.host or ""):
        raise ValueError("holds more than one @; one in the password is written %40")
    if url.port is not None and not 0 < url.port <= LAST_PORT:
        raise ValueError(f"names a port that is not in 1..{LAST_PORT}")
    url = url.set(drivername="postgresql+asyncpg")
    if "sslmode" in url.query:  # libpq's name, which people paste from their provider; asyncpg calls it ssl
        query = {**url.query, "ssl": url.query["sslmode"]}
        query.pop("sslmode")
        url = url.set(query=query)
    return SecretStr(url.render_as_string(hide_password=False))


def _rabbitmq_url(value: SecretStr) -> SecretStr:
    try:
        parts = urlsplit(value.get_secret_value())  # its errors quote what they were given
        known = parts.scheme in ("amqp", "amqps") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if not known:
        raise ValueError("is not a broker's URL; expected amqp://user:password@host:5672/vhost")
    return value


def _queue_name(value: str) -> str:
    name = value.strip()
    if not 0 < len(name.encode()) <= LONGEST_QUEUE_NAME:
        raise ValueError(f"expected a name of 1 to {LONGEST_QUEUE_NAME} bytes")
    return name


def _cron(value: str) -> str:
    try:
        return check_cron(value)
    except CronError:
        expected = "expected a cron expression of five fields (minute hour day month weekday) that ever comes up"
        raise ValueError(f"{expected}, such as */15 * * * *") from None


DatabaseURL = Annotated[SecretStr, AfterValidator(_database_url)]
RabbitMQURL = Annotated[SecretStr, AfterValidator(_rabbitmq_url)]


class _Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_file=".env",
        env_file_encoding="utf-8",
        env_ignore_empty=True,  # `RABBITMQ_URL=` in a compose file means "none", not "the empty URL"
        extra="ignore",
        hide_input_in_errors=True,  # a rejected DATABASE_URL carries its password
    )


class DatabaseSettings(_Settings):
    """Where PostgreSQL is."""

    database_url: DatabaseURL


class BrokerSettings(_Settings):
    """Where RabbitMQ is; without it executions are found by polling."""

    rabbitmq_url: RabbitMQURL | None = None
    queue_name: Annotated[str, AfterValidator(_queue_name)] = "ingest.pncp"


class LoggingSettings(_Settings):
    """How loud, and in which form."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["json", "text"] | None = None


class ScheduleSettings(_Settings):
    """When updates and sweeps start by themselves, unless an administrator has said otherwise through the API."""

    schedule_enabled: bool = True
    schedule_update: Annotated[str, AfterValidator(_cron)] = "*/15 * * * *"
    schedule_sweep: Annotated[str, AfterValidator(_cron)] = "0 1 * * *"

    @property
    def crons(self) -> dict[str, str]:
        """The cron of each schedule by its name, in Brasília's wall clock."""
        return {"update": self.schedule_update, "sweep": self.schedule_sweep}


S = TypeVar("S", bound=BaseSettings)


def load_settings(kind: type[S]) -> S:
    """Read settings from the environment and `.env`.

    Raises:
        ConfigurationError: one line that names each variable at fault, never its value.

    """
    try:
        return kind()
    except ValidationError as error:
        faults = []
        for fault in error.errors(include_url=False, include_context=False, include_input=False):
            name = str(fault["loc"][0]).upper() if fault["loc"] else "settings"
            message = "is required" if fault["type"] == "missing" else fault["msg"].removeprefix("Value error, ")
            faults.append(f"{name}: {message}")
        raise ConfigurationError("; ".join(faults)) from None
