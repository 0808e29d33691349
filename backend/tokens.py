"""Access tokens: signed, short-lived, and void once the secret of their user or client has changed."""

import hashlib
import hmac
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass

import jwt

ISSUER = "pncp-sync"
AUDIENCE = "pncp-sync-api"
LONGEST_MINUTES = 60
LEEWAY_SECONDS = 10
SHORTEST_KEY = 32
_USE = "access"
_CLAIMS = ("sub", "iat", "exp", "iss", "aud", "jti", "token_use", "pwd", "scope")


class InvalidTokenError(Exception):
    """The token is not valid."""


@dataclass(frozen=True)
class Claims:
    """What a signed token says: its owner, and which scopes it has at most. `client`: the name of a program."""

    subject: str
    client: str | None
    scopes: frozenset[str]
    kid: str
    fingerprint: str


class Tokens:
    """Issues and reads tokens. The first key signs; any key is accepted, found by its `kid`.

    A token carries a fingerprint of the secret it was issued under: a password's hash, or that of a client's secret.
    """

    def __init__(self, keys: list[bytes]) -> None:
        self._keys = {_kid(key): key for key in keys}
        self._signer = _kid(keys[0])

    def make(self, subject: str, secret: str, scopes: Iterable[str], *, seconds: int, client: str | None = None) -> str:
        """Issue a token for a user or a client whose secret was checked."""
        now = int(time.time())
        claims = {
            "sub": subject,
            "iat": now,
            "exp": now + seconds,
            "iss": ISSUER,
            "aud": AUDIENCE,
            "jti": uuid.uuid4().hex,
            "token_use": _USE,
            "pwd": self._fingerprint(self._signer, subject, secret),
            "scope": " ".join(sorted(scopes)),
            **({} if client is None else {"client": client}),
        }
        return jwt.encode(claims, self._keys[self._signer], algorithm="HS256", headers={"kid": self._signer})

    def read(self, token: bytes) -> Claims:
        """What a token of ours says that has not expired; whether it still holds, `is_current` answers.

        Raises:
            InvalidTokenError: foreign, malformed or expired.

        """
        try:
            return self._read(token.decode("ascii"))
        # PyJWT's own errors, and those of its JSON parser on hostile input
        except (jwt.InvalidTokenError, ValueError, TypeError, OverflowError, RecursionError):
            raise InvalidTokenError from None

    def is_current(self, claims: Claims, secret: str) -> bool:
        """Whether a token was issued under this secret."""
        expected = self._fingerprint(claims.kid, claims.subject, secret)
        return hmac.compare_digest(claims.fingerprint.encode(), expected.encode())

    def _read(self, token: str) -> Claims:
        kid = str(jwt.get_unverified_header(token).get("kid"))
        key = self._keys.get(kid)
        if key is None:
            raise InvalidTokenError
        claims = jwt.decode(
            token,
            key,
            algorithms=["HS256"],
            audience=AUDIENCE,
            issuer=ISSUER,
            leeway=LEEWAY_SECONDS,
            options={"require": list(_CLAIMS)},
        )
        made, ends, client = claims["iat"], claims["exp"], claims.get("client")
        if claims["token_use"] != _USE or not isinstance(made, int) or not isinstance(ends, int):
            raise InvalidTokenError
        if not 0 < ends - made <= LONGEST_MINUTES * 60:
            raise InvalidTokenError
        if not isinstance(claims["scope"], str) or not isinstance(client, str | None):
            raise InvalidTokenError
        return Claims(claims["sub"], client, frozenset(claims["scope"].split()), kid, str(claims["pwd"]))

    def _fingerprint(self, kid: str, subject: str, secret: str) -> str:
        """A keyed digest of the stored hash, which reveals nothing about the secret."""
        message = f"{subject}\0{secret}".encode()
        return hmac.new(self._keys[kid], message, hashlib.sha256).hexdigest()[:32]


def _kid(key: bytes) -> str:
    return hashlib.sha256(b"pncp-sync kid\0" + key).hexdigest()[:16]
