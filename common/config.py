"""Settings that both services read: database, broker, logging; and the one way to load any settings."""

import difflib
import os
import re
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from common.clock import FIRST_DAY
from common.cron import CronError, check_cron
from common.entities.reconciliation import DEADLINE_DAYS
from common.lifecycle import DEFAULT_RESOURCE
from common.lifecycle.admission import MAX_UNFINISHED
from common.lists import ListScope, Scopes, TermosScope
from common.resources import LATER_SERVICES, RESOURCE_NAMES, RESOURCES
from common.resources.dominios import DOMINIOS
from common.traces import can_send

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
LAST_PORT = 65535
PORTAL_URL = "https://pncp.gov.br/api"
LONGEST_QUEUE_NAME = 250
"""Bytes; AMQP ends at 255, and the queue of dead letters adds its suffix."""


class ConfigurationError(Exception):
    """A variable is missing or has an unusable value."""


def _database_url(value: SecretStr) -> SecretStr:
    """Accept any PostgreSQL URL, and set the driver."""
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
    if "sslmode" in url.query:  # libpq's name, as in URLs of providers; asyncpg calls it ssl
        query = {**url.query, "ssl": url.query["sslmode"]}
        query.pop("sslmode")
        url = url.set(query=query)
    return SecretStr(url.render_as_string(hide_password=False))


def _rabbitmq_url(value: SecretStr) -> SecretStr:
    try:
        parts = urlsplit(value.get_secret_value())  # its errors quote their input
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


def parse_names(value: object) -> object:
    """Names between commas, as a list."""
    return [name.strip() for name in value.split(",")] if isinstance(value, str) else value


def _resources(names: list[str]) -> list[str]:
    unknown = [name for name in names if name not in RESOURCE_NAMES]
    if unknown or not names:
        raise ValueError(f"expected names among {', '.join(RESOURCE_NAMES)}, separated by commas")
    return [name for name in RESOURCE_NAMES if name in names]


def _base_url(value: str) -> str:
    try:
        parts = urlsplit(value.strip())
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment:
        raise ValueError("is not a URL; expected https://pncp.gov.br/api")
    return value.strip().rstrip("/")


def _collector(value: str) -> str:
    try:
        url = _base_url(value)
    except ValueError:
        raise ValueError("is not a URL; expected one such as http://127.0.0.1:4318") from None
    if not can_send():
        raise ValueError("needs the packages of requirements-traces.txt")
    return url


def _cron(value: str) -> str:
    try:
        return check_cron(value)
    except CronError:
        expected = "expected a cron expression of five fields (minute hour day month weekday) that ever comes up"
        raise ValueError(f"{expected}, such as */15 * * * *") from None


def _cron_or_off(value: str) -> str:
    return OFF if value.strip() == OFF else _cron(value)


DatabaseURL = Annotated[SecretStr, AfterValidator(_database_url)]
RabbitMQURL = Annotated[SecretStr, AfterValidator(_rabbitmq_url)]


def _is_secret(annotation: Any) -> bool:
    return annotation is SecretStr or any(_is_secret(part) for part in get_args(annotation))


def secrets_of(kind: type[BaseSettings]) -> set[str]:
    """The variables of these settings that may come from a file, by `<NAME>_FILE`."""
    return {name.upper() for name, field in kind.model_fields.items() if _is_secret(field.annotation)}


class _SecretFiles(PydanticBaseSettingsSource):
    """Secrets in files, as Docker and Kubernetes hand them over: `<NAME>_FILE` beside the variables of a source."""

    def __init__(self, kind: type[BaseSettings], beside: EnvSettingsSource) -> None:
        super().__init__(kind)
        self._variables = beside.env_vars  # their names in lower case

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        """The content of the file that is named for this setting, if one is."""
        path = self._variables.get(f"{field_name}_file")
        if not path:
            return None, field_name, False
        name = field_name.upper()
        if self._variables.get(field_name):
            raise ConfigurationError(f"{name}: is set, and so is {name}_FILE; only one of them can count")
        try:
            content = Path(path).read_text(encoding="utf-8")
        except (OSError, ValueError):
            raise ConfigurationError(f"{name}_FILE: names a file that cannot be read") from None
        return content.rstrip("\r\n"), field_name, False

    def __call__(self) -> dict[str, Any]:
        """The settings that are found so; an empty file counts as not set."""
        names = [name.lower() for name in secrets_of(self.settings_cls)]
        fields = self.settings_cls.model_fields
        found = {name: self.get_field_value(fields[name], name)[0] for name in names}
        return {name: value for name, value in found.items() if value}


class _Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_file=".env",
        env_file_encoding="utf-8",
        env_ignore_empty=True,  # `RABBITMQ_URL=` in a compose file means "none", not "the empty URL"
        extra="ignore",
        hide_input_in_errors=True,  # a rejected DATABASE_URL carries its password
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # one folder for all; ours are named one by one
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment before `.env`, and in each a secret's own variable or the one that names its file."""
        assert isinstance(env_settings, EnvSettingsSource)  # noqa: S101  # for the type checker
        assert isinstance(dotenv_settings, DotEnvSettingsSource)  # noqa: S101
        return (
            init_settings,
            env_settings,
            _SecretFiles(settings_cls, env_settings),
            dotenv_settings,
            _SecretFiles(settings_cls, dotenv_settings),
        )


class DatabaseSettings(_Settings):
    """Where PostgreSQL is."""

    database_url: DatabaseURL


class BrokerSettings(_Settings):
    """Where RabbitMQ is; without it executions are found by polling."""

    rabbitmq_url: RabbitMQURL | None = None
    queue_name: Annotated[str, AfterValidator(_queue_name)] = "ingest.pncp"


class AdmissionSettings(_Settings):
    """The most unfinished executions; both services need the same number."""

    max_unfinished: Annotated[int, Field(ge=1, le=1000)] = MAX_UNFINISHED


class ListSettings(_Settings):
    """Which lists are read later than their records, and how fast; the backend says beforehand what that comes to."""

    pncp_resultados: ListScope = None
    pncp_arquivos: ListScope = None
    pncp_termos: TermosScope = None
    pncp_historico: ListScope = None
    pncp_lists_per_second: Annotated[float, Field(gt=0, le=1000)] = 1

    @property
    def list_scopes(self) -> Scopes:
        """The scope of each kind of list, by the name of its service."""
        return {service: getattr(self, f"pncp_{service}") for service in LATER_SERVICES}


class LoggingSettings(_Settings):
    """The level and the format of logs, and where traces go."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["json", "text"] | None = None
    traces_url: Annotated[str, AfterValidator(_collector)] | None = None


class PortalSettings(_Settings):
    """Where the portal is. The backend asks it nothing; it says where the records come from."""

    pncp_base_url: Annotated[str, AfterValidator(_base_url)] = PORTAL_URL

    @property
    def portal_is_simulated(self) -> bool:
        """Whether records come from anywhere but the portal itself."""
        return urlsplit(self.pncp_base_url).hostname != urlsplit(PORTAL_URL).hostname


def schedule_name(resource: str, action: str) -> str:
    """The name of a schedule: `update` or `sweep`, for further resources `contratos.update`."""
    return action if resource == DEFAULT_RESOURCE else f"{resource}.{action}"


def to_action(name: str) -> tuple[str, str]:
    """The resource of a schedule and what it starts, `update` or `sweep`; the inverse of `schedule_name`."""
    resource, _, action = name.rpartition(".")
    return resource or DEFAULT_RESOURCE, action


DEFAULT_CRONS = {
    schedule_name(resource.name, action): cron
    for resource in RESOURCES
    for action, cron in (("update", resource.update_cron), ("sweep", resource.sweep_cron))
}
"""The crons of all schedules by their names, in Brasília's wall clock."""
OTHER_SCHEDULES = [name for name in DEFAULT_CRONS if name not in ("update", "sweep")]


def parse_crons(value: object) -> object:
    """Parse `contratos.update=5 * * * *; atas.sweep=0 2 * * *` as a mapping."""
    crons = value
    if isinstance(value, str):
        parts = [part.partition("=") for part in value.split(";") if part.strip()]
        crons = {name.strip(): cron for name, _, cron in parts}
    if isinstance(crons, dict) and any(name not in OTHER_SCHEDULES for name in crons):
        raise ValueError(f"expected name=cron, separated by semicolons, of {', '.join(OTHER_SCHEDULES)}")
    return crons


def parse_goals(value: object) -> object:
    """Parse `2021-01-01`, for all resources that are kept up to date, and `atas=2023-01-01` as a mapping."""
    if not isinstance(value, str):
        return value
    parts = [part.rpartition("=") for part in value.split(",") if part.strip()]
    days = {name.strip(): _DAY.fullmatch(day.strip()) for name, _, day in parts}
    try:
        goals = {name: date.fromisoformat(found[0]) for name, found in days.items() if found}
    except ValueError:  # a day that no calendar has
        goals = {}
    names = {"", *RESOURCE_NAMES}
    if len(goals) < len(days) or not names.issuperset(days) or min(goals.values(), default=FIRST_DAY) < FIRST_DAY:
        resources = ", ".join(RESOURCE_NAMES)
        raise ValueError(f"expected a day from {FIRST_DAY} on, or resource=day, between commas, of {resources}")
    return goals


Cron = Annotated[str, AfterValidator(_cron)]
CronOrOff = Annotated[str, AfterValidator(_cron_or_off)]
OFF = "off"
DOMINIOS_SCHEDULE = schedule_name(DOMINIOS, "update")


class ScheduleSettings(_Settings):
    """The crons of updates and sweeps, and what is to be kept; administrators can override them through the API.

    The domain tables have updates alone; `off` in place of their cron: they are not read.
    """

    schedule_enabled: bool = True
    schedule_update: Cron = DEFAULT_CRONS["update"]
    schedule_sweep: Cron = DEFAULT_CRONS["sweep"]
    schedule_dominios: CronOrOff = "30 2 * * *"
    schedule_crons: Annotated[dict[str, Cron], NoDecode, BeforeValidator(parse_crons)] = Field(default_factory=dict)
    pncp_resources: Annotated[list[str], NoDecode, BeforeValidator(parse_names), AfterValidator(_resources)] = Field(
        default_factory=lambda: [DEFAULT_RESOURCE]
    )
    mirror_from: Annotated[dict[str, date], NoDecode, BeforeValidator(parse_goals)] = Field(default_factory=dict)

    @property
    def goals(self) -> dict[str, date]:
        """From which day on each resource is to be kept complete, where the setting says it."""
        of_all = self.mirror_from.get("")
        named = {name: day for name, day in self.mirror_from.items() if name}
        return ({} if of_all is None else dict.fromkeys(self.pncp_resources, of_all)) | named

    @property
    def crons(self) -> dict[str, str]:
        """The cron of each schedule of the resources that are kept up to date, by its name (`schedule_name`)."""
        own = {"update": self.schedule_update, "sweep": self.schedule_sweep, **self.schedule_crons}
        names = [schedule_name(resource, action) for resource in self.pncp_resources for action in ("update", "sweep")]
        crons = {name: own.get(name, DEFAULT_CRONS[name]) for name in names}
        return crons if self.schedule_dominios == OFF else crons | {DOMINIOS_SCHEDULE: self.schedule_dominios}

    @property
    def update_crons(self) -> dict[str, str]:
        """The cron of the updates of each resource that is kept up to date, by its name."""
        return {resource: self.crons[schedule_name(resource, "update")] for resource in self.pncp_resources}


class ConnectionsSettings(_Settings):
    """Where the files of connections to other systems are."""

    connections_dir: Path | None = None


class IntakeSettings(_Settings):
    """How records of others are taken in."""

    intake_queue: Annotated[str, AfterValidator(_queue_name)] = "processed_data"
    upload_max_bytes: Annotated[int, Field(ge=1024, le=100 * 1024 * 1024)] = 10 * 1024 * 1024
    imports_days: Annotated[int, Field(ge=1, le=36500)] = 30
    reconciliation_days: Annotated[int, Field(ge=0, le=3650)] = DEADLINE_DAYS


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
            message = "is required" if fault["type"] == "missing" else fault["msg"].removeprefix("Value error, ")
            # what is wrong with several settings together names them itself
            faults.append(f"{str(fault['loc'][0]).upper()}: {message}" if fault["loc"] else message)
        raise ConfigurationError("; ".join(faults)) from None


def find_typos(kind: type[BaseSettings], own_prefixes: Iterable[str] = ()) -> dict[str, str]:
    """Unknown variables that look like ours, each with the probable intended name.

    These are names similar to a setting's, and names with a prefix that only this project uses.
    """
    known = {name.upper() for name in kind.model_fields} | {f"{name}_FILE" for name in secrets_of(kind)}
    typos = {}
    for name in {*os.environ, *dotenv_values(".env")} - known:
        much_like = difflib.get_close_matches(name, known, n=1, cutoff=0.9)
        if much_like or name.startswith(tuple(own_prefixes)):
            typos[name] = (much_like or difflib.get_close_matches(name, known, n=1, cutoff=0.0))[0]
    return typos
