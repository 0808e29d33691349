"""Swagger UI and ReDoc from our own files, and the OpenAPI document that they show.

FastAPI's own pages load them from the internet, which fails on a closed network, and hold inline scripts, which our
policy without 'unsafe-inline' refuses.
"""

from functools import cache
from pathlib import Path
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response

from backend.access import reads

router = APIRouter(include_in_schema=False)

WEB = Path(__file__).parent.parent / "web"
FILES = {
    "swagger-ui-bundle.js": WEB / "vendor" / "swagger-ui" / "swagger-ui-bundle.js",
    "swagger-ui.css": WEB / "vendor" / "swagger-ui" / "swagger-ui.css",
    "favicon-32x32.png": WEB / "vendor" / "swagger-ui" / "favicon-32x32.png",
    "docs.js": WEB / "docs.js",
    "redoc.standalone.js": WEB / "vendor" / "redoc" / "redoc.standalone.js",
    "redoc.js": WEB / "redoc.js",
}
MAKERS_PICTURE, OUR_PICTURE = b"https://cdn.redoc.ly/redoc/logo-mini.svg", b"/docs/assets/favicon-32x32.png"


@router.get("/docs")
@reads
async def docs() -> FileResponse:
    """Swagger UI."""
    return FileResponse(WEB / "docs.html", media_type="text/html")


@router.get("/redoc")
@reads
async def redoc() -> FileResponse:
    """ReDoc."""
    return FileResponse(WEB / "redoc.html", media_type="text/html")


@cache
def _redoc() -> bytes:
    """ReDoc, with a picture of ours in place of the one that it fetches from its maker."""
    return FILES["redoc.standalone.js"].read_bytes().replace(MAKERS_PICTURE, OUR_PICTURE)


@router.get("/docs/assets/{name}")
@reads
async def asset(
    name: Literal[
        "swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png", "docs.js", "redoc.standalone.js", "redoc.js"
    ],
) -> Response:
    """The assets of the two pages."""
    if name == "redoc.standalone.js":
        return Response(_redoc(), media_type="text/javascript")
    return FileResponse(FILES[name])


@router.get("/openapi.json")
@reads
async def openapi(request: Request) -> dict[str, Any]:
    """The OpenAPI document; it is made once."""
    described: dict[str, Any] = request.app.openapi()
    return described
