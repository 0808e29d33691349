"""Swagger UI from our own files, and the OpenAPI document that it shows.

FastAPI's own page loads Swagger UI from the internet, which is blank on a closed network, and holds a script, which a
policy without 'unsafe-inline' does not run.
"""

from pathlib import Path
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse

router = APIRouter(include_in_schema=False)

WEB = Path(__file__).parent.parent / "web"
FILES = {
    "swagger-ui-bundle.js": WEB / "vendor" / "swagger-ui" / "swagger-ui-bundle.js",
    "swagger-ui.css": WEB / "vendor" / "swagger-ui" / "swagger-ui.css",
    "favicon-32x32.png": WEB / "vendor" / "swagger-ui" / "favicon-32x32.png",
    "docs.js": WEB / "docs.js",
}


@router.get("/docs")
async def docs() -> FileResponse:
    """Swagger UI."""
    return FileResponse(WEB / "docs.html", media_type="text/html")


@router.get("/docs/assets/{name}")
async def asset(
    name: Literal["swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png", "docs.js"],
) -> FileResponse:
    """What Swagger UI is made of."""
    return FileResponse(FILES[name])


@router.get("/openapi.json")
async def openapi(request: Request) -> dict[str, Any]:
    """The document; it is made once."""
    described: dict[str, Any] = request.app.openapi()
    return described
