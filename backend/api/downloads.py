"""Files as answers: whole or a range of them, with a tag, without a connection to the database."""

import os
import re
from typing import Any

import anyio
from fastapi import Request, Response
from starlette.responses import FileResponse

from backend.api.entities import is_kept
from backend.errors import NotFoundError, problem
from backend.openapi import with_headers
from backend.services.exports.folder import Download
from backend.services.exports.formats import FORMATS
from backend.services.exports.yearly import MEDIA_TYPES

_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_MEDIA_TYPES = {*(each.media_type.partition(";")[0] for each in FORMATS.values()), *MEDIA_TYPES.values()}

FILE_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "O arquivo",
        "content": dict.fromkeys(sorted(_MEDIA_TYPES), _BINARY),
        **with_headers("ETag", "Content-Disposition"),
    },
    206: {"description": "A parte pedida por `Range`", **with_headers("ETag", "Content-Range")},
    304: {"description": "Quem pede já o tem (`If-None-Match`)", **with_headers("ETag")},
    416: {
        "description": "O arquivo não tem os bytes que `Range` pede",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    },
}


async def serve(request: Request, file: Download) -> Response:
    """The answer with a file, or with one range of bytes of it.

    Raises:
        NotFoundError: it is not on the disk.

    """
    headers = {"ETag": file.tag, "Accept-Ranges": "bytes", "Cache-Control": "private, no-cache"}
    if is_kept(request, file.tag):
        return Response(status_code=304, headers=headers)
    try:
        known = await anyio.to_thread.run_sync(os.stat, file.path)
    except FileNotFoundError:
        raise NotFoundError("O arquivo não está mais no disco.") from None
    asked = _RANGE.fullmatch(request.headers.get("Range", ""))
    if asked is None or asked.groups() == ("", ""):
        # several ranges, other units, and what is no range are ignored, as RFC 9110 allows
        request.scope["headers"] = [each for each in request.scope["headers"] if each[0] != b"range"]
    elif int(asked[1] or 0) >= known.st_size or (asked[1] and asked[2] and int(asked[2]) < int(asked[1])):
        return problem(
            416, "unknown_range", values={"bytes": known.st_size}, headers={"Content-Range": f"bytes */{known.st_size}"}
        )
    return FileResponse(file.path, headers=headers, media_type=file.media_type, filename=file.name, stat_result=known)
