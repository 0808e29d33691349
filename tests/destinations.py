"""Destinations and streams as senders take them, for tests."""

from typing import Any, cast

from common.connections.secrets import SecretText
from common.connections.settings import Conditions, Destination, Stream
from common.entities.delivered import Delivered
from common.mapping.rendering import Rendering


class Plain:
    """A rendering of which only the media type matters."""

    def __init__(self, content_type: str = "application/json") -> None:
        self.content_type = content_type


def stream(*, content_type: str = "application/json", **settings: Any) -> Stream:
    """A stream that posts arrays to the address of its destination, with other settings as they are given."""
    settings = {
        "name": "contratacoes",
        "entity": cast("Delivered", None),
        "where": Conditions("", ()),
        "path": "",
        "method": "POST",
        "batch_records": 1000,
        "batch_bytes": 1024 * 1024,
        "wrap": "array",
        "results": None,
        "rendering": cast("Rendering", Plain(content_type)),
        **settings,
    }
    return Stream(**settings)


def destination(url: str | SecretText, **settings: Any) -> Destination:
    """A destination without TLS, authorization and pace, with other settings as they are given."""
    settings = {
        "name": "erp",
        "digest": b"",
        "kind": "http",
        "preset": "generic",
        "url": url if isinstance(url, SecretText) else SecretText(url),
        "auth": None,
        "sign": (),
        "headers": {},
        "schedule": "0 1 * * *",
        "after": None,
        "start": "all",
        "hold_above": 10_000,
        "requests_per_second": None,
        "concurrency": 1,
        "timeout": 10.0,
        "allow_http": True,
        "allow_private": False,
        "exchange": "",
        "routing_key": "",
        "queue": "",
        "streams": (),
        **settings,
    }
    return Destination(**settings)
