"""Access tokens by OAuth 2.0 client credentials (RFC 6749, section 4.4), kept until shortly before their end."""

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote_plus, urlencode

import msgspec

from ingestor.delivery.verdicts import Answer

MARGIN_SECONDS: Final = 30
"""So long before its end a token is replaced, or after half its life if that is shorter."""
DEFAULT_SECONDS: Final = 300
"""How long a token is used whose answer does not say it."""
LONGEST_SECONDS: Final = 24 * 3600
LONGEST_TOKEN: Final = 16 * 1024

Post = Callable[[Mapping[str, str], bytes], Awaitable[Answer]]
"""Sends a form with these headers to the authorization server."""


class TokenRefused(Exception):
    """The authorization server has given no token; its status is kept, nothing else of its answer."""

    def __init__(self, status: int | None) -> None:
        super().__init__(f"no token, status {status}")
        self.status = status


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks for a token, and what it is to permit. `in_body`: name and secret stand in the form."""

    name: str
    secret: str = field(repr=False)
    scope: str | None = None
    in_body: bool = False


class Tokens:
    """The token of one client. Requests that want one at the same time wait for the same one."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._token = ""
        self._until = 0.0
        self._lock = asyncio.Lock()

    @property
    def held(self) -> str:
        """The token that is kept, if any."""
        return self._token

    async def take(self, post: Post, client: Client, *, instead_of: str = "") -> str:
        """A token that is valid, and another one than `instead_of`, which the destination has refused.

        Raises:
            TokenRefused: the authorization server has given none.

        """
        async with self._lock:
            if not self._token or self._token == instead_of or self._clock() >= self._until:
                self._token = ""
                self._token, seconds = await _fetch(post, client)
                self._until = self._clock() + seconds
            return self._token


async def _fetch(post: Post, client: Client) -> tuple[str, float]:
    """A token, and for how many seconds it is to be used."""
    form = {"grant_type": "client_credentials"} | ({"scope": client.scope} if client.scope else {})
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    if client.in_body:
        form |= {"client_id": client.name, "client_secret": client.secret}
    else:
        login = f"{quote_plus(client.name)}:{quote_plus(client.secret)}"  # RFC 6749, section 2.3.1
        headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
    return _read(await post(headers, urlencode(form).encode()))


def _read(answer: Answer) -> tuple[str, float]:
    document = _document(answer) if answer.status in {HTTPStatus.OK, HTTPStatus.CREATED} else {}
    token, kind, seconds = (document.get(name) for name in ("access_token", "token_type", "expires_in"))
    is_bearer = kind is None or (isinstance(kind, str) and kind.lower() == "bearer")
    if not isinstance(token, str) or not _is_token(token) or not is_bearer:
        raise TokenRefused(answer.status)
    lifetime = min(max(_number(seconds), 0.0), LONGEST_SECONDS)
    return token, max(lifetime - MARGIN_SECONDS, lifetime / 2)


def _document(answer: Answer) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(answer.body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_token(text: str) -> bool:
    return 0 < len(text) <= LONGEST_TOKEN and text.isascii() and text.isprintable() and " " not in text


def _number(value: object) -> float:
    """Some servers say the seconds as a text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return DEFAULT_SECONDS
    try:
        return float(value)
    except (ValueError, OverflowError):
        return DEFAULT_SECONDS
