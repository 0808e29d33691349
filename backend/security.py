"""Authentication: Basic and Bearer, with the same users, limits and log lines."""

import asyncio
import base64
import binascii
import hashlib
import secrets
import time
from dataclasses import dataclass
from typing import Literal

import structlog

from backend.config import BackendSettings
from backend.errors import RefusedError, TooManyLoginsError, TooManyRequestsError, UnauthorizedError
from backend.limiter import Limiter
from backend.metrics import Metrics
from backend.passwords import LONGEST_PASSWORD, dummy_like, hash_password, verify_password
from backend.tokens import InvalidTokenError, Tokens

log = structlog.get_logger(__name__)

HASHES_AT_ONCE = 2
"""Each hash takes 19 MiB and one processor."""
MOST_WAITING = 50
REMEMBERED_SECONDS = 60.0
LONGEST_HEADER = 4096

Role = Literal["admin", "viewer"]


@dataclass(frozen=True)
class User:
    """An authenticated user."""

    name: str
    role: Role


def name_of(user: User | None) -> str:
    """A user's name for logs and answers; without authentication all users are the same."""
    return user.name if user else "an administrator"


def is_administrator(user: User | None) -> bool:
    """Whether a user may do everything; without authentication all users may."""
    return user is None or user.role == "admin"


def sees_personal_data(user: User | None) -> bool:
    """Whether the CPFs of natural persons are shown to a user, and not masked."""
    return is_administrator(user)


@dataclass(frozen=True)
class _Account:
    user: User
    stored: str


class Security:
    """Identifies users, by an Authorization header or by name and password."""

    def __init__(self, settings: BackendSettings, limiter: Limiter, metrics: Metrics) -> None:
        self._limiter = limiter
        self._metrics = metrics
        accounts = _accounts_of(settings)
        self._accounts = {account.user.name.encode(): account for account, _ in accounts}
        self._dummy = dummy_like(accounts[0][0].stored)
        fingerprinted = {account.user.name: secret for account, secret in accounts}
        self._tokens = Tokens(_keys_of(settings), settings.token_minutes, fingerprinted)
        self._hashing = asyncio.Semaphore(HASHES_AT_ONCE)
        self._waiting = 0
        self._salt = secrets.token_bytes(32)
        self._remembered: dict[bytes, tuple[User, float]] = {}

    async def identify(self, authorization: list[bytes], peer: str) -> User:
        """The user of a request's Authorization headers.

        Raises:
            RefusedError: missing or wrong credentials, or a limit is reached.

        """
        scheme, _, value = (authorization[0] if len(authorization) == 1 else b"").partition(b" ")
        if len(value) > LONGEST_HEADER:
            scheme = b""
        if scheme.lower() == b"basic":
            username, password = _decode_basic(value)
            return await self.log_in(username, password, peer)
        if scheme.lower() == b"bearer":
            try:
                return self._user_of(value.strip())
            except InvalidTokenError:
                # not a failed login: tokens cannot be guessed, and an expired one must not lock its owner out
                log.info("token refused", peer=peer)
                self._metrics.refused_tokens.inc()
        if seconds := await self._limiter.hit("unauthenticated", peer):
            self._metrics.limit_hit("unauthenticated")
            raise TooManyRequestsError(seconds)
        raise UnauthorizedError

    def _user_of(self, token: bytes) -> User:
        return self._accounts[self._tokens.read(token).encode()].user

    async def make_token(self, username: bytes, password: bytes, peer: str) -> tuple[str, int]:
        """A token for a name and a password, and its lifetime in seconds.

        Raises:
            RefusedError: wrong credentials, or a limit is reached.

        """
        if seconds := await self._limiter.hit("token", peer):
            log.warning("limit reached", limit="token", peer=peer)
            self._metrics.limit_hit("token")
            raise TooManyRequestsError(seconds)
        user = await self.log_in(username, password, peer)
        if seconds := await self._limiter.hit("token of user", user.name):
            log.warning("limit reached", limit="token", user=user.name, peer=peer)
            self._metrics.limit_hit("token")
            raise TooManyRequestsError(seconds)
        log.info("logged in", user=user.name, peer=peer)
        return self._tokens.make(user.name), self._tokens.seconds

    async def log_in(self, username: bytes, password: bytes, peer: str) -> User:
        """The user of this name, if the password is right.

        Raises:
            RefusedError: wrong credentials, or a limit is reached.

        """
        known = self._recall(username, password)
        if known is not None:
            return known
        if self._waiting >= MOST_WAITING:
            raise TooManyLoginsError(retry_after=5)
        self._waiting += 1
        try:
            async with self._hashing:
                return await self._check(username, password, peer)
        finally:
            self._waiting -= 1

    async def _check(self, username: bytes, password: bytes, peer: str) -> User:
        # do not log an unknown name: it may be a password in the wrong field
        account = self._accounts.get(username)
        shown = account.user.name if account else "(unknown)"
        name = username[:1024].decode("latin-1")
        if refused := await self._refusal(name, peer):
            log.warning("limit reached", limit="failed login", user=shown, peer=peer)
            self._metrics.limit_hit("failed login")
            raise refused
        right = False
        if len(username) <= LONGEST_PASSWORD and len(password) <= LONGEST_PASSWORD:
            stored = account.stored if account else self._dummy
            right = await asyncio.to_thread(verify_password, stored, password)
        if account is None or not right:
            await self._limiter.hit("failed login", f"peer {peer}")
            seconds = await self._limiter.hit("failed login", f"user {name}")
            log.warning("login failed", user=shown, peer=peer)
            self._metrics.failed_logins.inc()
            raise TooManyRequestsError(seconds) if seconds else UnauthorizedError
        self._remember(username, password, account.user)
        return account.user

    async def _refusal(self, name: str, peer: str) -> RefusedError | None:
        """Check the limits before hashing.

        A name with too many failures is refused to peers that have failed, so that its owner can still log in from
        another address.
        """
        if seconds := await self._limiter.full("failed login", f"peer {peer}"):
            return TooManyRequestsError(seconds)
        seconds = await self._limiter.full("failed login", f"user {name}")
        if seconds and not await self._limiter.is_clean("failed login", f"peer {peer}"):
            return TooManyRequestsError(seconds)
        return None

    def _digest(self, username: bytes, password: bytes) -> bytes:
        length = len(username).to_bytes(4)
        return hashlib.sha256(self._salt + length + username + password).digest()

    def _recall(self, username: bytes, password: bytes) -> User | None:
        """The user if these credentials were right within the last minute: polling needs no hash each time."""
        user, until = self._remembered.get(self._digest(username, password), (None, 0.0))
        return user if time.monotonic() < until else None

    def _remember(self, username: bytes, password: bytes, user: User) -> None:
        """Remember right credentials only: one entry per user."""
        self._remembered[self._digest(username, password)] = (user, time.monotonic() + REMEMBERED_SECONDS)


def _decode_basic(value: bytes) -> tuple[bytes, bytes]:
    """Name and password as bytes; both empty if malformed, which no user matches."""
    try:
        username, colon, password = base64.b64decode(value.strip(), validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return b"", b""
    return (username, password) if colon else (b"", b"")


def _accounts_of(settings: BackendSettings) -> list[tuple[_Account, str]]:
    """The users, each with the secret that its tokens are bound to: the hash, or the password if set as plain text."""
    accounts = []
    for user, password, stored in (
        (User(settings.admin_username, "admin"), settings.admin_password, settings.admin_password_hash),
        (User(settings.viewer_username, "viewer"), settings.viewer_password, settings.viewer_password_hash),
    ):
        if stored is not None:
            accounts.append((_Account(user, stored.get_secret_value()), stored.get_secret_value()))
        elif password is not None:
            plain = password.get_secret_value()
            accounts.append((_Account(user, hash_password(plain.encode())), plain))
    return accounts


def _keys_of(settings: BackendSettings) -> list[bytes]:
    """The signing key, then the previous one; by default one random key of this process."""
    given = [key.get_secret_value().encode() for key in (settings.jwt_secret, settings.jwt_secret_previous) if key]
    return given or [secrets.token_bytes(32)]
