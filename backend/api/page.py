"""The administrators' page: one document and its assets. They are public because they hold no data."""

import gzip
import re
from functools import lru_cache
from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.responses import FileResponse
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

router = APIRouter(include_in_schema=False)

WEB = Path(__file__).parent.parent / "web"
MOST_ASSETS = 200
_GZIP = re.compile(r"gzip(;q=(1(\.0*)?|0\.0*[1-9][0-9]*))?")


@router.api_route("/", methods=["GET", "HEAD"])
async def page() -> FileResponse:
    """The document. It loads its data from the API with the user's credentials."""
    return FileResponse(WEB / "index.html", media_type="text/html")


def mount_assets(app: FastAPI) -> None:
    """An asset of the document, compressed, with an ETag."""
    app.mount("/assets/preact", CompressedFiles(directory=WEB / "vendor" / "preact"))
    app.mount("/assets", CompressedFiles(directory=WEB / "assets"))


class CompressedFiles(StaticFiles):
    """Static files, compressed for clients that take gzip: each file once, when it is first asked for."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, or 304 where the client has it. Its ETag is weak: it stands for both encodings."""
        asked = Headers(scope=scope)
        answer = await super().get_response(path, scope)
        if "etag" not in answer.headers:
            return answer
        answer.headers["ETag"] = f"W/{answer.headers['ETag']}"
        answer.headers["Vary"] = "Accept-Encoding"
        if not isinstance(answer, FileResponse) or not _takes_gzip(asked):
            return answer
        headers = {name: answer.headers[name] for name in ("ETag", "Vary", "Last-Modified")}
        body = _compress(str(answer.path), answer.headers["ETag"])
        return Response(body, headers=headers | {"Content-Encoding": "gzip"}, media_type=answer.media_type)


def _takes_gzip(asked: Headers) -> bool:
    encodings = [one.replace(" ", "").lower() for one in asked.get("accept-encoding", "").split(",")]
    return any(_GZIP.fullmatch(one) for one in encodings)


@lru_cache(MOST_ASSETS)
def _compress(path: str, version: str) -> bytes:  # noqa: ARG001  # a changed file is compressed again
    return gzip.compress(Path(path).read_bytes(), mtime=0)
