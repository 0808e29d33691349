"""The ingestor's settings."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import NoDecode

from common.config import (
    LAST_PORT,
    AdmissionSettings,
    BrokerSettings,
    ConnectionsSettings,
    DatabaseSettings,
    IntakeSettings,
    ListSettings,
    LoggingSettings,
    PortalSettings,
    ScheduleSettings,
    parse_names,
)
from common.lifecycle import KINDS, Kind

SHORTEST_DAYS = 60
"""Alerts compare with the same hours of eight weeks ago; everything else that asks executions looks less far back."""

LAST_MODALIDADE = 99
"""The portal's table ends at 19; the rest is for modalidades to come."""


_NUMBERS = re.compile(r"([0-9]{1,4})(?:\s*-\s*([0-9]{1,4}))?")


def parse_modalidades(value: object) -> object:
    """Parse `1-13,15` as a list; other types than text are left to pydantic."""
    if not isinstance(value, str):
        return value
    chosen: set[int] = set()
    for part in value.split(","):
        match = _NUMBERS.fullmatch(part.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last:
            raise ValueError("expected numbers and ranges such as 1-13,15")
        chosen.update(range(first, last + 1))
    return sorted(chosen)


def _known_modalidades(values: list[int]) -> list[int]:
    if not values or min(values) < 1 or max(values) > LAST_MODALIDADE:
        raise ValueError(f"expected at least one number, each from 1 to {LAST_MODALIDADE}")
    return values


def _history_days(value: int) -> int:
    if 0 < value < SHORTEST_DAYS:
        raise ValueError(f"expected 0, to keep all, or at least {SHORTEST_DAYS}: alerts compare with the weeks before")
    return value


class IngestorSettings(
    DatabaseSettings,
    BrokerSettings,
    AdmissionSettings,
    ConnectionsSettings,
    IntakeSettings,
    ListSettings,
    LoggingSettings,
    PortalSettings,
    ScheduleSettings,
):
    """The ingestor's settings from the environment; `.env.example` explains each."""

    pncp_user_agent: str = "pncp-sync/0.1"
    pncp_modalidades: Annotated[
        list[int], NoDecode, BeforeValidator(parse_modalidades), AfterValidator(_known_modalidades)
    ] = Field(default_factory=lambda: list(range(1, 20)))
    pncp_page_size: Annotated[int, Field(ge=10, le=500)] | None = None
    pncp_requests_per_second: Annotated[float, Field(ge=0, le=1000)] = 1
    pncp_requests_in_flight: Annotated[int, Field(ge=0, le=1000)] = 6
    pncp_itens_concurrency: Annotated[int, Field(ge=1, le=256)] = 4
    pncp_retry_wait_max: Annotated[float, Field(ge=0, le=300)] = 30
    pncp_pause_seconds: Annotated[float, Field(gt=0, le=900)] = 30
    http_timeout: Annotated[float, Field(gt=0, le=600)] = 30
    rolling_window_minutes: Annotated[int, Field(ge=1, le=10080)] = 15
    update_overlap_minutes: Annotated[int, Field(ge=0, le=10080)] = 10
    worker_kinds: Annotated[list[Kind], NoDecode, BeforeValidator(parse_names)] = Field(
        default_factory=lambda: list(KINDS)
    )
    worker_concurrency: Annotated[int, Field(ge=1, le=64)] = 4
    lease_seconds: Annotated[float, Field(ge=2, le=3600)] = 60
    slice_retry_seconds: Annotated[float, Field(gt=0, le=3600)] = 60
    delivery_retry_seconds: Annotated[float, Field(gt=0, le=3600)] = 5
    history_days: Annotated[int, Field(ge=0, le=36500), AfterValidator(_history_days)] = 180
    coletas_enabled: bool = False
    coletas_retention_days: Annotated[int, Field(ge=0, le=36500)] = 90
    search_itens: bool = True
    mudancas_days: Annotated[int, Field(ge=0, le=36500)] = 90
    delivery_allow_loopback: bool = False
    intake_dir: Path | None = None
    metrics_host: str = "127.0.0.1"
    metrics_port: Annotated[int, Field(ge=0, le=LAST_PORT)] = 0

    @property
    def delivers(self) -> bool:
        """Whether this worker sends records to destinations: it is asked to, and there may be some."""
        return "delivery" in self.worker_kinds and (self.connections_dir is not None or len(self.worker_kinds) == 1)

    @property
    def takes_in(self) -> bool:
        """Whether this worker processes imports and reads foreign databases."""
        return "intake" in self.worker_kinds
