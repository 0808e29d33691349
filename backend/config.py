"""The backend's settings, and what production refuses of them."""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import NoDecode

from backend.limiter import Limits
from backend.passwords import (
    SAMPLES,
    UnfitPasswordError,
    check_hash,
    check_strength,
    is_sample,
    verify_password,
)
from backend.tokens import LONGEST_MINUTES, SHORTEST_KEY
from common.config import BrokerSettings, DatabaseSettings, LoggingSettings, ScheduleSettings

OWN_PREFIXES = ("ADMIN_", "VIEWER_", "JWT_", "BACKEND_", "LIMIT_")
"""Of variables that nobody else has a use for: an unknown one is surely a mistake."""

IN_PRODUCTION = Limits(
    failed_logins_per_minute=5,
    failed_logins_per_hour=50,
    tokens_per_minute=5,
    writes_per_minute=10,
    reads_per_minute=120,
    unauthenticated_per_minute=60,
)
MOST_CONCURRENT = 100
# of jwt.io, and of FastAPI's tutorial
_KNOWN_KEYS = (
    "your-256-bit-secret",
    "a-string-secret-at-least-256-bits-long",
    "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
)


def _username(value: str) -> str:
    if ":" in value or not value.isprintable() or not 0 < len(value.encode()) <= 128:  # noqa: PLR2004
        raise ValueError("expected 1 to 128 printable characters without a colon")
    return value


def _hash(value: SecretStr) -> SecretStr:
    return SecretStr(check_hash(value.get_secret_value()))


def _names(value: object) -> object:
    """A list as people write it: names between commas."""
    if isinstance(value, str):
        return [name.strip() for name in value.split(",") if name.strip()]
    return value


def _without_star(value: list[str]) -> list[str]:
    """Whoever may be asked by any page of any site need not ask who is there."""
    for origin in value:
        if not origin.startswith(("http://", "https://")) or "*" in origin or origin.count("/") > 2:  # noqa: PLR2004
            raise ValueError("expected origins such as https://pncp.example.org, and never *")
    return value


Username = Annotated[str, AfterValidator(_username)]
PasswordHash = Annotated[SecretStr, AfterValidator(_hash)]
Names = Annotated[list[str], NoDecode, BeforeValidator(_names)]
Limit = Annotated[int, Field(ge=0, le=1_000_000)]


class BackendSettings(DatabaseSettings, BrokerSettings, LoggingSettings, ScheduleSettings):
    """What the backend reads from the environment; `.env.example` gives each a line of meaning."""

    app_env: Literal["development", "production"] = "development"
    backend_host: str = "127.0.0.1"
    backend_port: Annotated[int, Field(ge=1, le=65535)] = 8000
    backend_reload: bool = False
    docs_enabled: bool | None = None

    admin_username: Username = "admin"
    admin_password: SecretStr | None = None
    admin_password_hash: PasswordHash | None = None
    viewer_username: Username = "viewer"
    viewer_password: SecretStr | None = None
    viewer_password_hash: PasswordHash | None = None
    jwt_secret: SecretStr | None = None
    jwt_secret_previous: SecretStr | None = None
    token_minutes: Annotated[int, Field(ge=1, le=LONGEST_MINUTES)] = 30

    execution_log_days: Annotated[int, Field(ge=0, le=36500)] = 90

    allowed_hosts: Names = Field(default_factory=list)
    cors_origins: Annotated[Names, AfterValidator(_without_star)] = Field(default_factory=list)
    forwarded_allow_ips: str | None = None

    limit_failed_logins_per_minute: Limit | None = None
    limit_failed_logins_per_hour: Limit | None = None
    limit_tokens_per_minute: Limit | None = None
    limit_writes_per_minute: Limit | None = None
    limit_reads_per_minute: Limit | None = None
    limit_unauthenticated_per_minute: Limit | None = None
    limit_concurrency: Limit | None = None

    @property
    def in_production(self) -> bool:
        """Whether others depend on it."""
        return self.app_env == "production"

    @property
    def authenticates(self) -> bool:
        """Whether callers must say who they are."""
        return self.admin_password is not None or self.admin_password_hash is not None

    @property
    def shows_documentation(self) -> bool:
        """Whether /docs and /openapi.json are there."""
        return not self.in_production if self.docs_enabled is None else self.docs_enabled

    @property
    def limits(self) -> Limits:
        """How often whom; where nothing is said, none outside production."""
        defaults = IN_PRODUCTION if self.in_production else Limits()
        given = {name: getattr(self, f"limit_{name}") for name in Limits.__dataclass_fields__}
        return Limits(**{name: getattr(defaults, name) if value is None else value for name, value in given.items()})

    @property
    def most_concurrent(self) -> int | None:
        """How many connections at once; beyond them uvicorn itself answers 503."""
        given = self.limit_concurrency
        return (MOST_CONCURRENT if self.in_production else None) if given is None else given or None

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        faults = list(self._contradictions())
        if self.in_production:
            faults += self._refused_in_production()
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def _contradictions(self) -> Iterator[str]:
        has_viewer = self.viewer_password is not None or self.viewer_password_hash is not None
        if has_viewer and not self.authenticates:
            yield "ADMIN_PASSWORD_HASH: is required where there is a viewer"
        if has_viewer and self.viewer_username == self.admin_username:
            yield "VIEWER_USERNAME: is the administrator's name too"
        for name, password, stored in self._passwords():
            if password is not None and stored is not None and not verify_password(stored, password.encode()):
                yield f"{name}_HASH: is the hash of another password than {name}; only one of the two is needed"
        for name, secret in self._keys():
            if len(secret.encode()) < SHORTEST_KEY:
                yield f"{name}: is shorter than {SHORTEST_KEY} bytes; make one with: openssl rand -hex 32"

    def _refused_in_production(self) -> Iterator[str]:
        if not self.authenticates:
            yield "ADMIN_PASSWORD_HASH: production needs it; make one with: python -m backend hash-password"
        for name, password, stored in self._passwords():
            username = self.admin_username if name == "ADMIN_PASSWORD" else self.viewer_username
            if password is not None:
                try:
                    check_strength(password, username)
                except UnfitPasswordError as error:
                    yield f"{name}: {error}; production wants a better one"
            elif stored is not None and any(verify_password(stored, word.encode()) for word in (username, *SAMPLES)):
                yield f"{name}_HASH: is the hash of a sample or of the user's name; production wants a better password"
        if self.jwt_secret is None and self.authenticates:
            yield "JWT_SECRET: production needs one; make it with: openssl rand -hex 32"
        for name, secret in self._keys():
            if len(secret.encode()) >= SHORTEST_KEY and (is_sample(secret) or secret in _KNOWN_KEYS):
                yield f"{name}: is a sample or too simple; make one with: openssl rand -hex 32"
        if self.backend_reload:
            yield "BACKEND_RELOAD: is for development only"

    def _keys(self) -> Iterator[tuple[str, str]]:
        for name, key in (("JWT_SECRET", self.jwt_secret), ("JWT_SECRET_PREVIOUS", self.jwt_secret_previous)):
            if key is not None:
                yield name, key.get_secret_value()

    def _passwords(self) -> Iterator[tuple[str, str | None, str | None]]:
        """Variable, password and hash of each user that there may be."""
        for name, password, stored in (
            ("ADMIN_PASSWORD", self.admin_password, self.admin_password_hash),
            ("VIEWER_PASSWORD", self.viewer_password, self.viewer_password_hash),
        ):
            yield (
                name,
                None if password is None else password.get_secret_value(),
                None if stored is None else stored.get_secret_value(),
            )
