"""Settings of destinations as senders take them, for tests."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ingestor.delivery.shapes import Auth, SecretMissing


@dataclass(frozen=True)
class Text:
    """A secret that is there."""

    text: str

    def resolve(self) -> str:
        return self.text


@dataclass(frozen=True)
class Missing:
    """A secret that is not there."""

    def resolve(self) -> str:
        raise SecretMissing("TOKEN is not set")


@dataclass(frozen=True)
class BearerToken:
    token: Any
    kind: Literal["bearer"] = "bearer"


@dataclass(frozen=True)
class Login:
    username: Any
    password: Any
    kind: Literal["basic"] = "basic"


@dataclass(frozen=True)
class KeyHeader:
    name: str
    value: Any
    kind: Literal["header"] = "header"


@dataclass(frozen=True)
class Client:
    token_url: Any
    client_id: Any = Text("id")
    client_secret: Any = Text("s3cr3t")
    scope: str | None = None
    kind: Literal["oauth2_client_credentials"] = "oauth2_client_credentials"


@dataclass(frozen=True)
class Rendered:
    content_type: str = "application/json"


@dataclass(frozen=True)
class Outlet:
    """A stream."""

    name: str = "contratacoes"
    path: str = ""
    method: str = "POST"
    wrap: str | None = "array"
    rendering: Rendered = Rendered()


@dataclass(frozen=True)
class Target:
    """A destination of any kind."""

    url: Any
    name: str = "erp"
    timeout: float = 10
    allow_http: bool = True
    allow_private: bool = False
    concurrency: int = 1
    auth: Auth | None = None
    headers: Mapping[str, Any] = field(default_factory=dict)
    sign: tuple[Any, ...] = ()
    exchange: str | None = None
    routing_key: str | None = None
    queue: str | None = None
