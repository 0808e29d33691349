"""The backend's settings."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from common.config import BrokerSettings, DatabaseSettings, LoggingSettings, ScheduleSettings


def _not_in_production(value: str) -> str:
    """Public money is at stake: an API that anyone may call is not started as if it were protected."""
    if value == "production":
        raise ValueError("this version has no authentication yet, which production needs; run it as development")
    return value


class BackendSettings(DatabaseSettings, BrokerSettings, LoggingSettings, ScheduleSettings):
    """What the backend reads from the environment; `.env.example` gives each a line of meaning."""

    app_env: Annotated[Literal["development", "production"], AfterValidator(_not_in_production)] = "development"
    backend_host: str = "127.0.0.1"
    backend_port: Annotated[int, Field(ge=1, le=65535)] = 8000
    backend_reload: bool = False
