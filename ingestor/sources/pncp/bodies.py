"""Bodies as servers and gateways send them: cut at a limit while they are read, and turned into UTF-8."""

import codecs
from functools import lru_cache

import aiohttp

from ingestor.errors import PncpTooLarge, PncpUnavailable
from ingestor.room import current_charge

LONGEST_BODY = 20 * 1024 * 1024
"""Bytes of one answer, unpacked."""

PARTS_AT_ONCE = 1024
"""Parts that are kept apart before they are joined: a body may arrive in millions of parts of two bytes each."""

_MARK = codecs.BOM_UTF8
_READABLE_CHARSETS = {"iso8859-1", "iso8859-15", "cp1252", "utf-16", "utf-16-le", "utf-16-be"}
"""By the names that Python gives them. Some of its other codecs take time that grows with the square of the size."""


async def read_body(response: aiohttp.ClientResponse, path: str) -> bytes:
    """The unpacked body in UTF-8, as far as its charset is known; a packed bomb reaches the limit as well.

    Raises:
        PncpTooLarge: it is larger than `LONGEST_BODY`.
        PncpUnavailable: it is packed more than once.
        NoRoomError: there is no room for it in the share that it is counted in.

    """
    charge = current_charge()
    charge.begin()
    if "," in response.headers.get("Content-Encoding", ""):  # packed twice, 16 kB may unfold to 16 GB in one go
        raise PncpUnavailable(f"{path}: the body is packed more than once", "bad_answer")
    parts: list[bytes] = []
    latest: list[bytes] = []
    size = 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > LONGEST_BODY:
            raise PncpTooLarge(f"{path}: the body is larger than {LONGEST_BODY} bytes")
        charge.grow(len(part))
        latest.append(part)
        if len(latest) == PARTS_AT_ONCE:
            parts.append(b"".join(latest))
            latest.clear()
    parts += latest
    return to_utf8(parts[0] if len(parts) == 1 else b"".join(parts), response.headers.get("Content-Type", ""))


def to_utf8(body: bytes, content_type: str) -> bytes:
    """The body without a byte order mark, and in UTF-8 where its `Content-Type` names another charset.

    JSON is UTF-8, and gateways name charsets that a body is not in: what is UTF-8 is left as it is. What cannot be
    read by the charset that is named is left as it is too; it is for the parser to refuse.
    """
    if body.startswith(_MARK):
        return body[len(_MARK) :]
    charset = _charset_of(content_type)
    if charset is None or (b"\x00" not in body and is_utf8(body)):
        return body
    try:
        text = body.decode(charset)
    except UnicodeDecodeError:
        return body
    return text.removeprefix("\ufeff").encode()


@lru_cache(maxsize=32)
def _charset_of(content_type: str) -> str | None:
    """The charset that a `Content-Type` names, if it is one that is read and is not UTF-8."""
    for parameter in content_type.split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            try:
                charset = codecs.lookup(value.strip().strip("\"'")).name
            except (LookupError, ValueError):
                return None
            return charset if charset in _READABLE_CHARSETS else None
    return None


CHECKED_AT_ONCE = 1024 * 1024
"""Bytes that are decoded together to see whether they are UTF-8: one emoji makes four bytes of every character."""


def is_utf8(body: bytes) -> bool:
    """Whether a body is valid UTF-8."""
    try:
        if len(body) <= CHECKED_AT_ONCE:
            body.decode()
            return True
        decoder = codecs.getincrementaldecoder("utf-8")()
        view = memoryview(body)
        for start in range(0, len(body), CHECKED_AT_ONCE):
            decoder.decode(view[start : start + CHECKED_AT_ONCE])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True
