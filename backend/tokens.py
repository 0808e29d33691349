"""Access tokens: signed, short-lived, and void once their user's password has changed."""

import hashlib
import hmac
import time
import uuid
from collections.abc import Mapping

import jwt

ISSUER = "pncp-sync"
AUDIENCE = "pncp-sync-api"
LONGEST_MINUTES = 60
LEEWAY_SECONDS = 10
SHORTEST_KEY = 32
_USE = "access"
_CLAIMS = ("sub", "iat", "exp", "iss", "aud", "jti", "token_use", "pwd")


class InvalidTokenError(Exception):
    """The token is not valid."""


class Tokens:
    """Issues and verifies tokens. The first key signs; any key is accepted, found by its `kid`.

    `secrets`: each user's password hash. A token carries a fingerprint of the hash it was issued under.
    """

    def __init__(self, keys: list[bytes], minutes: int, secrets: Mapping[str, str]) -> None:
        self._keys = {_kid(key): key for key in keys}
        self._signer = _kid(keys[0])
        self.seconds = minutes * 60
        self._secrets = secrets

    def make(self, username: str) -> str:
        """Issue a token for a user whose password was checked."""
        now = int(time.time())
        claims = {
            "sub": username,
            "iat": now,
            "exp": now + self.seconds,
            "iss": ISSUER,
            "aud": AUDIENCE,
            "jti": uuid.uuid4().hex,
            "token_use": _USE,
            "pwd": self._fingerprint(self._signer, username),
        }
        return jwt.encode(claims, self._keys[self._signer], algorithm="HS256", headers={"kid": self._signer})

    def read(self, token: bytes) -> str:
        """The user of a valid token.

        Raises:
            InvalidTokenError: foreign, expired, or its user was removed or has a new password.

        """
        try:
            return self._read(token.decode("ascii"))
        # PyJWT's own errors, and those of its JSON parser on hostile input
        except (jwt.InvalidTokenError, ValueError, TypeError, OverflowError, RecursionError):
            raise InvalidTokenError from None

    def _read(self, token: str) -> str:
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
        username, made, ends, print_ = claims["sub"], claims["iat"], claims["exp"], claims["pwd"]
        if claims["token_use"] != _USE or not isinstance(made, int) or not isinstance(ends, int):
            raise InvalidTokenError
        if not 0 < ends - made <= LONGEST_MINUTES * 60 or username not in self._secrets:
            raise InvalidTokenError
        if not hmac.compare_digest(str(print_).encode(), self._fingerprint(kid, username).encode()):
            raise InvalidTokenError
        return str(username)

    def _fingerprint(self, kid: str, username: str) -> str:
        """A keyed digest of the stored hash, which reveals nothing about the password."""
        message = f"{username}\0{self._secrets[username]}".encode()
        return hmac.new(self._keys[kid], message, hashlib.sha256).hexdigest()[:32]


def _kid(key: bytes) -> str:
    return hashlib.sha256(b"pncp-sync kid\0" + key).hexdigest()[:16]
