"""Files of OCDS releases: one compiled release a line, written batch by batch out of one snapshot."""

import asyncio
import gzip
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from sqlalchemy.ext.asyncio import AsyncEngine

from backend.services.entities.mirror import Mirror, Mirrors
from backend.services.entities.question import Question
from backend.services.entities.rows import ordered, to_json
from backend.services.ocds.loading import load_mirror, load_processes
from backend.services.ocds.release import Process, to_release
from common.database import UnreachableDatabaseError, raw_driver_of
from common.lists import Scopes

# ruff: noqa: S608  # names in these statements stand in descriptions, and values are parameters

BATCH = 100
"""Contratações that are in memory at once."""


async def write_releases(
    engine: AsyncEngine, scopes: Scopes, question: Question, target: Path, prefix: str
) -> tuple[int, str, Mirror]:
    """Write the releases of all contratações of a question, compressed.

    How many there are, the SHA-256 of the lines, and the completeness of the mirror, all of one snapshot.
    """
    entity, where = question.entity, question.where()
    (key,) = entity.key
    keys = f"SELECT {key.sql} FROM {entity.source}{where.sql} ORDER BY {ordered(question.order, entity.key)}"
    rows, digest = 0, hashlib.sha256()
    async with engine.connect() as db:
        await db.execution_options(isolation_level="REPEATABLE READ")
        try:
            mirror = await load_mirror(Mirrors(scopes), db, question)
            driver = await raw_driver_of(db)
            with target.open("wb") as written, gzip.GzipFile("", "wb", 6, written, mtime=0) as file:
                cursor = await driver.cursor(keys, *where.values)
                while batch := [row[0] for row in await cursor.fetch(BATCH)]:
                    processes = await load_processes(driver, batch)
                    await asyncio.to_thread(_write, processes, prefix, file, digest)
                    rows += len(processes)
        except BaseException as error:
            await db.invalidate()  # amid a cursor it is of no use to the next one
            if isinstance(error, ConnectionError | TimeoutError):  # other OSErrors are the file's
                raise UnreachableDatabaseError(str(error) or type(error).__name__) from error
            raise
    return rows, digest.hexdigest(), mirror


def _write(processes: Sequence[Process], prefix: str, file: IO[bytes] | gzip.GzipFile, digest: Any) -> None:
    lines = b"".join(to_json(to_release(each, prefix)) + b"\n" for each in processes)
    digest.update(lines)
    file.write(lines)
