"""The administrators' page: one document and its assets. They are public because they hold no data."""

from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.responses import FileResponse
from starlette.staticfiles import StaticFiles

router = APIRouter(include_in_schema=False)

WEB = Path(__file__).parent.parent / "web"


@router.api_route("/", methods=["GET", "HEAD"])
async def page() -> FileResponse:
    """The document. It loads its data from the API with the user's credentials."""
    return FileResponse(WEB / "index.html", media_type="text/html")


def mount_assets(app: FastAPI) -> None:
    """An asset of the document, with an ETag."""
    app.mount("/assets/preact", StaticFiles(directory=WEB / "vendor" / "preact"))
    app.mount("/assets", StaticFiles(directory=WEB / "assets"))
