"""Files that are uploaded: stored in parts while they arrive, and one import once they are whole."""

import hashlib
from collections.abc import AsyncIterable
from dataclasses import dataclass

import structlog
from fastapi.exceptions import RequestValidationError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from starlette.requests import ClientDisconnect

from backend.errors import ConflictError, UploadCutError
from backend.services.intake.announcing import announce
from backend.services.publisher import RabbitMQPublisher
from common.connections.settings import Layout
from common.database import cause_of, in_transaction, is_database_trouble
from common.intake.reports import KINDS, fault_of_name
from common.lifecycle import imports
from common.lifecycle.imports import PART_BYTES

log = structlog.get_logger(__name__)


class FileKnownError(ConflictError):
    """The same bytes were imported before; the answer says as what."""

    def __init__(self, import_id: int) -> None:
        super().__init__("file_known", id=import_id)
        self.headers = {"Location": f"/imports/{import_id}"}


@dataclass(frozen=True)
class Upload:
    """A file as it is offered."""

    layout: Layout
    door: str
    file_name: str
    needs_confirmation: bool
    may_repeat: bool
    who: str | None


def check_name(file_name: str) -> None:
    """Refuse what is no spreadsheet by its name.

    Raises:
        RequestValidationError: it is none.

    """
    if fault_of_name(file_name) is not None:
        kinds = {"kinds": ", ".join(KINDS)}
        raise RequestValidationError([{"type": "file_kind", "loc": ("query", "nome"), "msg": "", "ctx": kinds}])


async def receive(
    engine: AsyncEngine, publisher: RabbitMQPublisher | None, upload: Upload, chunks: AsyncIterable[bytes]
) -> tuple[int, int]:
    """Store a file as it arrives, at most 1 MiB of it in memory; answers its import and the job.

    Raises:
        FileKnownError: the layout has these bytes already.
        UploadCutError: it did not come to its end.
        RequestValidationError: it is empty.

    """
    async with engine.begin() as db:
        import_id = await imports.create(
            db,
            door=upload.door,
            layout=upload.layout.name,
            file_name=upload.file_name,
            needs_confirmation=upload.needs_confirmation,
            requested_by=upload.who,
        )
    assert import_id is not None  # noqa: S101  # it has no key
    is_kept = False
    try:
        size, sha256 = await _store(engine, import_id, chunks)
        job_id = await _finish(engine, import_id, upload, size, sha256)
        is_kept = True
    except ClientDisconnect:
        log.info("upload was cut", import_id=import_id, layout=upload.layout.name, user=upload.who)
        raise UploadCutError from None
    finally:
        if not is_kept:
            await _drop(engine, import_id)
    structlog.contextvars.bind_contextvars(execution_id=job_id)  # until the request has ended
    told = {"import_id": import_id, "layout": upload.layout.name, "door": upload.door, "user": upload.who}
    log.info("import accepted", **told, bytes=size)
    await announce(publisher, import_id, upload.layout.name)
    return import_id, job_id


async def _store(engine: AsyncEngine, import_id: int, chunks: AsyncIterable[bytes]) -> tuple[int, bytes]:
    """Write parts of 1 MiB, each in a transaction of its own; answers the size and the SHA-256."""
    held = bytearray()
    digest = hashlib.sha256()
    part = size = 0
    async for chunk in chunks:
        held += chunk
        digest.update(chunk)
        size += len(chunk)
        while len(held) >= PART_BYTES:
            await _add(engine, import_id, part, bytes(held[:PART_BYTES]))
            del held[:PART_BYTES]
            part += 1
    if not size:
        raise RequestValidationError([{"type": "missing", "loc": ("body",), "msg": ""}])
    if held:
        await _add(engine, import_id, part, bytes(held))
    return size, digest.digest()


async def _add(engine: AsyncEngine, import_id: int, part: int, data: bytes) -> None:
    async with engine.begin() as db:
        await imports.add_part(db, import_id, part, data)


async def _finish(engine: AsyncEngine, import_id: int, upload: Upload, size: int, sha256: bytes) -> int:
    name = upload.layout.name

    async def finish(db: AsyncConnection) -> int:
        same = await imports.find_same_file(db, import_id, name, sha256)
        if same is not None and not upload.may_repeat:
            raise FileKnownError(same)
        return await imports.mark_received(
            db, import_id, layout=name, size=size, sha256=sha256, requested_by=upload.who
        )

    return await in_transaction(engine, finish)


async def _drop(engine: AsyncEngine, import_id: int) -> None:
    """Delete what has arrived; where the database is away, it is deleted by its age."""
    try:
        async with engine.begin() as db:
            await imports.drop_receiving(db, import_id)
    except Exception as error:
        if not is_database_trouble(error):
            raise
        log.warning("what was received of a file stays for an hour", import_id=import_id, cause=cause_of(error))
