"""The backend's settings."""

from typing import Annotated, Literal

from pydantic import Field

from common.config import BrokerSettings, DatabaseSettings, LoggingSettings


class BackendSettings(DatabaseSettings, BrokerSettings, LoggingSettings):
    """What the backend reads from the environment; `.env.example` gives each a line of meaning."""

    app_env: Literal["development", "production"] = "development"
    backend_host: str = "127.0.0.1"
    backend_port: Annotated[int, Field(ge=1, le=65535)] = 8000
    backend_reload: bool = False
