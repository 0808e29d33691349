"""Requests with an `Idempotency-Key` that have been accepted before."""

from sqlalchemy.ext.asyncio import AsyncConnection

from backend.errors import IdempotencyKeyReusedError
from common.lifecycle import admission
from common.lifecycle.admission import KnownRequest


async def find_earlier(db: AsyncConnection, key: str | None, digest: str) -> KnownRequest | None:
    """The execution of an equal request with this key; `None` where there is none, or no key.

    Raises:
        IdempotencyKeyReusedError: the key belongs to another request.

    """
    known = None if key is None else await admission.find_request(db, key)
    if known is not None and known.request_digest != digest:
        raise IdempotencyKeyReusedError("idempotency_key_reused")
    return known
