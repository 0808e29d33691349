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
    """It proves nothing."""


class Tokens:
    """Makes and reads tokens; the first key signs, any key is accepted, each found by its `kid`.

    `secrets` are the users' password hashes: a token carries a fingerprint of the one that it was made under.
    """

    def __init__(self, keys: list[bytes], minutes: int, secrets: Mapping[str, str]) -> None:
        self._keys = {_kid(key): key for key in keys}
        self._signer = _kid(keys[0])
        self.seconds = minutes * 60
        self._secrets = secrets

    def make(self, username: str) -> str:
        """A token for a user who has just shown the password."""
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
        """The user whom a token stands for.

        Raises:
            InvalidTokenError: it is not one of ours, not valid now, or of a user who is gone or has a new password.

        """
        try:
            return self._read(token.decode("ascii"))
        # beside PyJWT's own errors those of JSON that was made to break a parser
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
        """Of the stored hash, under the key, so that it tells nobody anything about the password."""
        message = f"{username}\0{self._secrets[username]}".encode()
        return hmac.new(self._keys[kid], message, hashlib.sha256).hexdigest()[:32]


def _kid(key: bytes) -> str:
    return hashlib.sha256(b"pncp-sync kid\0" + key).hexdigest()[:16]
