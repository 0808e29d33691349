"""Signatures of requests by the Standard Webhooks specification, version 1."""

import base64
import binascii
import hmac
from collections.abc import Sequence
from datetime import datetime
from typing import Final

PREFIX: Final = "whsec_"
"""How a signing secret begins; the rest is the key in base64."""


class InvalidSigningSecret(ValueError):
    """The secret is not `whsec_` and base64; the text does not hold it."""


def sign(secrets: Sequence[str], *, message_id: str, at: datetime, body: bytes) -> dict[str, str]:
    """The three headers of a signed request: one signature for each secret, so that keys can be rotated.

    `message_id` is the same for every attempt, `at` the time of this one.

    Raises:
        InvalidSigningSecret: a secret cannot be read.

    """
    timestamp = str(int(at.timestamp()))
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    signatures = (base64.b64encode(hmac.digest(_key(secret), signed, "sha256")).decode() for secret in secrets)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise InvalidSigningSecret("a signing secret is whsec_ and a key in base64")
    return key
