"""Swagger UI and ReDoc from our own files, and the OpenAPI document that they show.

FastAPI's own pages load them from the internet, which fails on a closed network, and hold inline scripts, which our
policy without 'unsafe-inline' refuses.
"""

from pathlib import Path
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse

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


@router.get("/docs/assets/{name}")
@reads
async def asset(
    name: Literal[
        "swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png", "docs.js", "redoc.standalone.js", "redoc.js"
    ],
) -> FileResponse:
    """The assets of the two pages."""
    return FileResponse(FILES[name])


@router.get("/openapi.json")
@reads
async def openapi(request: Request) -> dict[str, Any]:
    """The OpenAPI document; it is made once."""
    described: dict[str, Any] = request.app.openapi()
    return described
