"""The backend's settings, and what production refuses of them."""

import hashlib
import os
import re
from collections.abc import Iterator
from ipaddress import IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import NoDecode

from backend.language.translator import DEFAULT_LANGUAGE, Language
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
from common.config import (
    OFF,
    AdmissionSettings,
    BrokerSettings,
    ConnectionsSettings,
    CronOrOff,
    DatabaseSettings,
    IntakeSettings,
    ListSettings,
    LoggingSettings,
    PortalSettings,
    ScheduleSettings,
)
from common.entities.entity import ENTITIES, ENTITIES_BY_ADDRESS

OWN_PREFIXES = ("ADMIN_", "VIEWER_", "JWT_", "BACKEND_", "LIMIT_", "ALERT_", "EXPORT_", "SAVED_SEARCHES_", "UPLOAD_")
"""Prefixes of variables that only this project uses: an unknown variable with one of them is a mistake."""

IN_PRODUCTION = Limits(
    failed_logins_per_minute=5,
    failed_logins_per_hour=50,
    tokens_per_minute=5,
    writes_per_minute=10,
    reads_per_minute=120,
    unauthenticated_per_minute=60,
    client_tokens_per_minute=10,
    client_requests_per_minute=300,
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
    """A list of names between commas."""
    if isinstance(value, str):
        return [name.strip() for name in value.split(",") if name.strip()]
    return value


def _without_star(value: list[str]) -> list[str]:
    """Refuse CORS for every origin: with it, authentication would protect little."""
    for origin in value:
        if not origin.startswith(("http://", "https://")) or "*" in origin or origin.count("/") > 2:  # noqa: PLR2004
            raise ValueError("expected origins such as https://pncp.example.org, and never *")
    return value


FILE_FORMATS = ("csv.gz", "parquet", "ndjson.gz")
"""What files of whole years can be."""


def _entities(value: list[str]) -> list[str]:
    if not value or any(name not in ENTITIES_BY_ADDRESS for name in value):
        raise ValueError(f"expected names among {', '.join(ENTITIES_BY_ADDRESS)}, separated by commas")
    return list(dict.fromkeys(value))


def _file_formats(value: list[str]) -> list[str]:
    if not value or any(name not in FILE_FORMATS for name in value):
        raise ValueError(f"expected names among {', '.join(FILE_FORMATS)}, separated by commas")
    return list(dict.fromkeys(value))


MAIL_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?")


def _address(value: str) -> str:
    if not MAIL_ADDRESS.fullmatch(value):
        raise ValueError("expected e-mail addresses such as pncp@example.org, without names")
    return value


def _addresses(value: list[str]) -> list[str]:
    return [_address(one) for one in value]


def _is_web_address(value: str) -> bool:
    try:
        parts = urlsplit(value)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return known and "@" not in parts.netloc and not parts.fragment and value.isascii() and value.isprintable()


def _webhook(value: SecretStr) -> SecretStr:
    url = value.get_secret_value()
    if not _is_web_address(url) or " " in url:
        raise ValueError("is not the URL of a webhook; expected https://host/path, without user and password")
    return value


def _public_url(value: str) -> str:
    if not _is_web_address(value) or " " in value or "?" in value:
        raise ValueError("is not a URL; expected one such as https://pncp.example.org")
    return value.rstrip("/")


def _web_page(value: str) -> str:
    if not _is_web_address(value) or " " in value:
        raise ValueError("is not a URL; expected one such as https://example.org/page")
    return value


def _host(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,253}", value):
        try:
            IPv6Address(value)
        except ValueError:
            raise ValueError("expected the name or address of a server, without a port") from None
    return value


_WIDEST_PREFIX = 7
"""The shortest prefix of a network of proxies: private networks are no wider (10.0.0.0/8, fc00::/7)."""


def _is_everyone(proxy: str) -> bool:
    """Whether a proxy's network is so wide that it includes strangers."""
    try:
        return proxy == "*" or ip_network(proxy, strict=False).prefixlen < _WIDEST_PREFIX
    except ValueError:
        return False  # a name, or the path of a socket


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


Username = Annotated[str, AfterValidator(_username)]
PasswordHash = Annotated[SecretStr, AfterValidator(_hash)]
Names = Annotated[list[str], NoDecode, BeforeValidator(_names)]
Limit = Annotated[int, Field(ge=0, le=1_000_000)]


class BackendSettings(
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
    """The backend's settings from the environment; `.env.example` explains each."""

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
    limit_client_tokens_per_minute: Limit | None = None
    limit_client_requests_per_minute: Limit | None = None
    limit_concurrency: Limit | None = None

    alert_email_to: Annotated[Names, AfterValidator(_addresses)] = Field(default_factory=list)
    alert_email_from: Annotated[str, AfterValidator(_address)] | None = None
    smtp_host: Annotated[str, AfterValidator(_host)] | None = None
    smtp_port: Annotated[int, Field(ge=1, le=65535)] | None = None
    smtp_username: str | None = None
    smtp_password: SecretStr | None = None
    smtp_tls: bool = False
    smtp_starttls: bool | None = None
    alert_webhook_url: Annotated[SecretStr, AfterValidator(_webhook)] | None = None
    alert_language: Language = DEFAULT_LANGUAGE
    alert_no_success_minutes: Annotated[int, Field(ge=0, le=100_000)] = 60
    alert_reminder_minutes: Annotated[int, Field(ge=0, le=100_000)] = 360
    public_url: Annotated[str, AfterValidator(_public_url)] | None = None

    export_dir: Path | None = None
    export_hours: Annotated[int, Field(ge=1, le=8760)] = 24
    export_max_bytes: Annotated[int, Field(ge=1_000_000)] = 10_000_000_000
    export_concurrency: Annotated[int, Field(ge=1, le=16)] = 2
    export_per_user: Annotated[int, Field(ge=1, le=100)] = 3

    saved_searches_per_user: Annotated[int, Field(ge=1, le=1000)] = 20
    lists_asked_at_once: Annotated[int, Field(ge=1, le=100_000)] = 200

    files_cron: CronOrOff = OFF
    files_dir: Path | None = None
    files_entities: Annotated[Names, AfterValidator(_entities)] = Field(
        default_factory=lambda: [entity.address for entity in ENTITIES if entity.resource is not None]
    )
    files_formats: Annotated[Names, AfterValidator(_file_formats)] = Field(default_factory=lambda: list(FILE_FORMATS))

    ocds_prefix: Annotated[str, Field(pattern=r"^ocds-[a-z0-9]{6}$")] | None = None
    ocds_publisher: Annotated[str, Field(min_length=1, max_length=250)] = "PNCP Sync"
    ocds_license: Annotated[str, AfterValidator(_web_page)] | None = None
    ocds_publication_policy: Annotated[str, AfterValidator(_web_page)] | None = None

    @property
    def export_path(self) -> Path:
        """Where files for readers lie; by default a folder of the database's own among temporary files."""
        if self.export_dir is not None:
            return self.export_dir
        mark = hashlib.sha256(self.database_url.get_secret_value().encode()).hexdigest()[:12]
        # without the trial write of `tempfile`: where nothing can be written, everything but files is served
        folders = (os.environ.get("TMPDIR"), "/tmp", "/var/tmp")  # noqa: S108  # what is made in them is for us alone
        found = next((folder for folder in folders if folder and Path(folder).is_dir()), ".")
        return Path(found) / f"pncp-exports-{mark}"

    @property
    def mail_security(self) -> Literal["tls", "starttls", "none"]:
        """How the connection to the mail server is secured; STARTTLS by default."""
        if self.smtp_tls:
            return "tls"
        return "none" if self.smtp_starttls is False else "starttls"

    @property
    def mail_port(self) -> int:
        """The mail server's port; by default the usual one for its security."""
        return self.smtp_port or {"tls": 465, "starttls": 587, "none": 25}[self.mail_security]

    @property
    def in_production(self) -> bool:
        """Whether `APP_ENV` is `production`."""
        return self.app_env == "production"

    @property
    def authenticates(self) -> bool:
        """Whether callers have to authenticate."""
        return self.admin_password is not None or self.admin_password_hash is not None

    @property
    def binds_to_loopback(self) -> bool:
        """Whether only this machine reaches the port."""
        return _is_loopback(self.backend_host)

    @property
    def shows_documentation(self) -> bool:
        """Whether /docs and /openapi.json are there."""
        return not self.in_production if self.docs_enabled is None else self.docs_enabled

    @property
    def limits(self) -> Limits:
        """The rate limits; outside production there are none by default."""
        defaults = IN_PRODUCTION if self.in_production else Limits()
        given = {name: getattr(self, f"limit_{name}") for name in Limits.__dataclass_fields__}
        return Limits(**{name: getattr(defaults, name) if value is None else value for name, value in given.items()})

    @property
    def counting_key(self) -> bytes:
        """The key under which all backends count by users and addresses, made of a secret that they have in common."""
        secret = self.jwt_secret or self.database_url
        return hashlib.blake2b(secret.get_secret_value().encode(), person=b"pncp-sync limit").digest()[:32]

    @property
    def most_concurrent(self) -> int | None:
        """The most connections at once; uvicorn answers 503 to more."""
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
        yield from self._contradictions_of_mail()
        if self.files_cron != OFF and self.files_dir is None:
            yield "FILES_DIR: is required where FILES_CRON is set"
        for name, secret in self._keys():
            if len(secret.encode()) < SHORTEST_KEY:
                yield f"{name}: is shorter than {SHORTEST_KEY} bytes; make one with: openssl rand -hex 32"

    def _contradictions_of_mail(self) -> Iterator[str]:
        if self.alert_email_to and self.smtp_host is None:
            yield "SMTP_HOST: is required where ALERT_EMAIL_TO is set"
        if self.alert_email_to and self.alert_email_from is None:
            yield "ALERT_EMAIL_FROM: is required where ALERT_EMAIL_TO is set"
        if self.smtp_host is not None and not self.alert_email_to:
            yield "ALERT_EMAIL_TO: is required where SMTP_HOST is set"
        if (self.smtp_username is None) != (self.smtp_password is None):
            missing = "SMTP_PASSWORD" if self.smtp_password is None else "SMTP_USERNAME"
            yield f"{missing}: is required, as the other one of the two is set"
        if self.smtp_tls and self.smtp_starttls:
            yield "SMTP_STARTTLS: is not for a connection that is TLS from its first byte (SMTP_TLS)"
        in_clear = self.mail_security == "none" and self.smtp_host not in ("127.0.0.1", "::1", "localhost")
        if self.smtp_password is not None and in_clear:
            yield "SMTP_STARTTLS: must not be false where SMTP_PASSWORD is set, or it goes over the network in clear"

    def _refused_in_production(self) -> Iterator[str]:
        if not self.authenticates:
            yield "ADMIN_PASSWORD_HASH: production needs it; make one with: python -m backend hash-password"
        yield from self._guessable_passwords()
        if self.jwt_secret is None and self.authenticates:
            yield "JWT_SECRET: production needs one; make it with: openssl rand -hex 32"
        for name, secret in self._keys():
            if len(secret.encode()) >= SHORTEST_KEY and (is_sample(secret) or secret in _KNOWN_KEYS):
                yield f"{name}: is a sample or too simple; make one with: openssl rand -hex 32"
        if any(_is_everyone(proxy.strip()) for proxy in (self.forwarded_allow_ips or "").split(",")):
            yield "FORWARDED_ALLOW_IPS: would believe anyone's X-Forwarded-For; name the proxy's address or network"
        if self.backend_reload:
            yield "BACKEND_RELOAD: is for development only"

    def _guessable_passwords(self) -> Iterator[str]:
        for name, password, stored in self._passwords():
            username = self.admin_username if name == "ADMIN_PASSWORD" else self.viewer_username
            if password is not None:
                try:
                    check_strength(password, username)
                except UnfitPasswordError as error:
                    yield f"{name}: {error}; production wants a better one"
            elif stored is not None and any(verify_password(stored, word.encode()) for word in (username, *SAMPLES)):
                yield f"{name}_HASH: is the hash of a sample or of the user's name; production wants a better password"

    def _keys(self) -> Iterator[tuple[str, str]]:
        for name, key in (("JWT_SECRET", self.jwt_secret), ("JWT_SECRET_PREVIOUS", self.jwt_secret_previous)):
            if key is not None:
                yield name, key.get_secret_value()

    def _passwords(self) -> Iterator[tuple[str, str | None, str | None]]:
        """Variable, password and hash of each possible user."""
        for name, password, stored in (
            ("ADMIN_PASSWORD", self.admin_password, self.admin_password_hash),
            ("VIEWER_PASSWORD", self.viewer_password, self.viewer_password_hash),
        ):
            yield (
                name,
                None if password is None else password.get_secret_value(),
                None if stored is None else stored.get_secret_value(),
            )
