"""Verifies signatures by the Standard Webhooks specification, version 1."""

import base64
import binascii
import hmac
from collections.abc import Mapping
from typing import Final

TOLERANCE_SECONDS: Final = 300


def parse_secret(text: str) -> bytes:
    """The key of a secret that is `whsec_` and base64.

    Raises:
        ValueError: it is not.

    """
    try:
        key = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        key = b""
    if not key:
        raise ValueError("a secret is whsec_ and a key in base64")
    return key


def is_signed(headers: Mapping[str, str], body: bytes, key: bytes, *, now: float) -> bool:
    """Whether one of the signatures is right and its time is near `now`, in seconds since 1970."""
    name, at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not name or not (at.isascii() and at.isdigit()) or abs(now - int(at)) > TOLERANCE_SECONDS:
        return False
    signed = b".".join((name.encode(), at.encode(), body))
    right = "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    given = headers.get("webhook-signature", "").split()
    return any(hmac.compare_digest(right.encode(), signature.encode()) for signature in given)
