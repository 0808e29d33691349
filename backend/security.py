"""Authentication: Basic and Bearer, with the same users, limits and log lines; programs ask by tokens alone."""

import asyncio
import base64
import binascii
import hashlib
import hmac
import re
import secrets
import time
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote_plus

import structlog

from backend.config import BackendSettings
from backend.errors import (
    ForbiddenError,
    RefusedError,
    TokenError,
    TooManyLoginsError,
    TooManyRequestsError,
    UnauthorizedError,
)
from backend.limiter import Limiter
from backend.metrics import Metrics
from backend.passwords import LONGEST_PASSWORD, dummy_like, hash_password, verify_password
from backend.services.deliveries.files import ConnectionFiles
from backend.tokens import Claims, InvalidTokenError, Tokens
from common.connections.scopes import ADMIN, FORM, READ_ALL, common_scopes, covers
from common.connections.settings import Client

log = structlog.get_logger(__name__)

HASHES_AT_ONCE = 2
"""Each hash takes 19 MiB and one processor."""
MOST_WAITING = 50
REMEMBERED_SECONDS = 60.0
LONGEST_HEADER = 4096
LONGEST_CLIENT_SECONDS = 30 * 60
"""Of the life of a client's token."""
CLIENT = "client:"
"""What the names of clients begin with where they stand among users: no user's name has a colon."""

Role = Literal["admin", "viewer"]


@dataclass(frozen=True)
class User:
    """An authenticated user, or a client."""

    name: str
    scopes: frozenset[str]

    @property
    def role(self) -> Role:
        """What people call its scopes."""
        return "admin" if ADMIN in self.scopes else "viewer"

    @property
    def is_client(self) -> bool:
        """Whether it is a program that has a file of its own."""
        return self.name.startswith(CLIENT)


@dataclass(frozen=True)
class IssuedToken:
    """A token, for how many seconds it is good, and what for."""

    token: str
    seconds: int
    scopes: frozenset[str]


def name_of(user: User | None) -> str:
    """A user's name for logs and answers; without authentication all users are the same."""
    return user.name if user else "an administrator"


def is_administrator(user: User | None) -> bool:
    """Whether a user may do everything; without authentication all users may."""
    return user is None or ADMIN in user.scopes


def require_scope(user: User | None, scope: str) -> None:
    """Refuse a user that lacks a scope; without authentication all users may do everything.

    Raises:
        ForbiddenError: it lacks the scope.

    """
    if user is not None and not covers(user.scopes, scope):
        log.warning("forbidden", user=user.name, scope=scope)
        raise ForbiddenError(scope)


def sees_personal_data(user: User | None) -> bool:
    """Whether the CPFs of natural persons are shown to a user, and not masked."""
    return is_administrator(user)


@dataclass(frozen=True)
class _Account:
    """A user with the hash of its password, and what its tokens are bound to: the hash, or a plain password."""

    user: User
    stored: str
    secret: str


class Security:
    """Identifies users, by an Authorization header or by name and password."""

    def __init__(
        self, settings: BackendSettings, limiter: Limiter, metrics: Metrics, connections: ConnectionFiles
    ) -> None:
        self._limiter = limiter
        self._metrics = metrics
        self._connections = connections
        accounts = _accounts_of(settings)
        self._accounts = {account.user.name.encode(): account for account in accounts}
        self._dummy = dummy_like(accounts[0].stored)
        self._tokens = Tokens(_keys_of(settings))
        self._seconds = settings.token_minutes * 60
        self._hashing = asyncio.Semaphore(HASHES_AT_ONCE)
        self._waiting = 0
        self._salt = secrets.token_bytes(32)
        self._remembered: dict[bytes, tuple[User, float]] = {}

    async def identify(self, authorization: list[bytes], peer: str, address: str) -> User:
        """The user of a request's Authorization headers. They are counted by `peer`, and come from `address`.

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
                return await self._user_of(self._tokens.read(value.strip()), address)
            except InvalidTokenError:
                # not a failed login: tokens cannot be guessed, and an expired one must not lock its owner out
                log.info("token refused", peer=peer)
                self._metrics.refused_tokens.inc()
        if seconds := await self._limiter.hit("unauthenticated", peer):
            self._metrics.limit_hit("unauthenticated")
            raise TooManyRequestsError(seconds)
        raise UnauthorizedError

    async def _user_of(self, claims: Claims, address: str) -> User:
        """The user of a token, with what both the token and the settings of this moment allow."""
        if claims.client is None:
            account = self._accounts.get(claims.subject.encode())
            if account is None or not self._tokens.is_current(claims, account.secret):
                raise InvalidTokenError
            return User(claims.subject, common_scopes(claims.scopes, account.user.scopes))
        client = (await self._connections.load()).clients.get(claims.client)
        if client is None or claims.subject != CLIENT + client.name or not client.admits(address):
            raise InvalidTokenError
        if not self._tokens.is_current(claims, client.secret_sha256.hex()):
            raise InvalidTokenError
        return User(claims.subject, common_scopes(claims.scopes, client.scopes))

    async def make_token(self, username: bytes, password: bytes, scope: str | None, peer: str) -> IssuedToken:
        """A token for a name and a password, with all scopes of the user or those that are asked for.

        Raises:
            RefusedError: wrong credentials, a scope that the user lacks, or a limit is reached.

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
        scopes = _narrow(user.scopes, scope)
        log.info("logged in", user=user.name, peer=peer)
        token = self._tokens.make(user.name, self._accounts[user.name.encode()].secret, scopes, seconds=self._seconds)
        return IssuedToken(token, self._seconds, scopes)

    async def make_client_token(
        self, name: str, secret: str, scope: str | None, *, peer: str, address: str
    ) -> IssuedToken:
        """A token for a client and its secret, with all scopes of its file or those that are asked for.

        Raises:
            RefusedError: wrong credentials, a scope that the client lacks, or a limit is reached.

        """
        if seconds := await self._limiter.hit("token of client", f"peer {peer}"):
            log.warning("limit reached", limit="token of client", peer=peer)
            self._metrics.limit_hit("token")
            raise TooManyRequestsError(seconds)
        client = await self._check_client(name, secret, peer, address)
        subject = CLIENT + client.name
        if seconds := await self._limiter.hit("token of client", subject, signed_in=True):
            log.warning("limit reached", limit="token of client", user=subject, peer=peer)
            self._metrics.limit_hit("token")
            raise TooManyRequestsError(seconds)
        scopes = _narrow(client.scopes, scope)
        lives = min(self._seconds, LONGEST_CLIENT_SECONDS)
        log.info("logged in", user=subject, peer=peer)
        token = self._tokens.make(subject, client.secret_sha256.hex(), scopes, seconds=lives, client=client.name)
        return IssuedToken(token, lives, scopes)

    async def _check_client(self, name: str, secret: str, peer: str, address: str) -> Client:
        """The client of this name, if the secret is right; a fast hash is enough for a secret that is all chance."""
        client = (await self._connections.load()).clients.get(name)
        shown = CLIENT + client.name if client else "(unknown)"
        counted = (CLIENT + name)[:1024]
        if refused := await self._refusal(counted, peer):
            log.warning("limit reached", limit="failed login", user=shown, peer=peer)
            self._metrics.limit_hit("failed login")
            raise refused
        given = hashlib.sha256(secret.encode("utf-8", "replace")).digest()
        is_right = hmac.compare_digest(given, client.secret_sha256 if client else bytes(32))
        if client is not None and is_right and client.admits(address):
            return client
        if seconds := await self._count_failure(counted, peer, shown):
            raise TooManyRequestsError(seconds)
        raise TokenError("invalid_client")

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
            seconds = await self._count_failure(name, peer, shown)
            raise TooManyRequestsError(seconds) if seconds else UnauthorizedError
        self._remember(username, password, account.user)
        return account.user

    async def _count_failure(self, name: str, peer: str, shown: str) -> int:
        """Count a failed login; the seconds to wait where the name has too many, else 0."""
        await self._limiter.hit("failed login", f"peer {peer}")
        seconds = await self._limiter.hit("failed login", f"user {name}")
        log.warning("login failed", user=shown, peer=peer)
        self._metrics.failed_logins.inc()
        return seconds

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


def basic_credentials(authorization: list[str]) -> tuple[str, str] | None:
    """The client and the secret of a Basic header, each written as in a form (RFC 6749, 2.3.1); null without one."""
    scheme, _, value = (authorization[0] if len(authorization) == 1 else "").partition(" ")
    if scheme.lower() != "basic" or len(value) > LONGEST_HEADER:
        return None
    name, secret = _decode_basic(value.encode("latin-1", "replace"))
    return unquote_plus(name.decode("latin-1")), unquote_plus(secret.decode("latin-1"))


def _narrow(held: frozenset[str], asked: str | None) -> frozenset[str]:
    """The scopes that are asked for, all of which must be held; without any, those that are held."""
    scopes = frozenset((asked or "").split())
    if any((scope != ADMIN and not re.fullmatch(FORM, scope)) or not covers(held, scope) for scope in scopes):
        raise TokenError("invalid_scope")
    return scopes or held


def _accounts_of(settings: BackendSettings) -> list[_Account]:
    """The users that are set."""
    admin = User(settings.admin_username, frozenset({ADMIN}))
    viewer = User(settings.viewer_username, frozenset({READ_ALL}))
    accounts = []
    for user, password, stored in (
        (admin, settings.admin_password, settings.admin_password_hash),
        (viewer, settings.viewer_password, settings.viewer_password_hash),
    ):
        if stored is not None:
            accounts.append(_Account(user, stored.get_secret_value(), stored.get_secret_value()))
        elif password is not None:
            plain = password.get_secret_value()
            accounts.append(_Account(user, hash_password(plain.encode()), plain))
    return accounts


def _keys_of(settings: BackendSettings) -> list[bytes]:
    """The signing key, then the previous one; by default one random key of this process."""
    given = [key.get_secret_value().encode() for key in (settings.jwt_secret, settings.jwt_secret_previous) if key]
    return given or [secrets.token_bytes(32)]
