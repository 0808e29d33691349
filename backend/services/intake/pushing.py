"""Records that are pushed as JSON: checked while the sender waits, staged, committed, announced."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

import msgspec
import structlog
from fastapi.exceptions import RequestValidationError
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from backend.errors import ConflictError, IdempotencyKeyReusedError
from backend.metrics import Metrics
from backend.models.imports import RejectedCell
from backend.services.intake.announcing import announce
from backend.services.publisher import RabbitMQPublisher
from common.connections.settings import Layout
from common.database import in_transaction
from common.entities.declared import to_json
from common.intake.faults import as_written, sentence
from common.intake.rows import Reader
from common.lifecycle import imports
from common.lifecycle.imports import CellError, StagedRow

log = structlog.get_logger(__name__)

DOOR = "api"
MOST_RECORDS = 1000
NOTHING_ACCEPTED = "nothing_accepted"

_DECODER = msgspec.json.Decoder(float_hook=Decimal)
_EXECUTION_OF = text("SELECT execution_id FROM imports WHERE id = :id")
# What was refused later, while it was processed, was accepted.
_ANSWERED = text("""
    SELECT i.execution_id, i.rows, r.row, r.entity, r.errors
      FROM imports i
      LEFT JOIN import_rows r ON r.import_id = i.id AND r.state = 'rejected'
                             AND r.errors -> 0 ->> 'code' <> ALL(CAST(:later AS text[]))
     WHERE i.id = :id ORDER BY r.row, r.entity
""")


@dataclass(frozen=True)
class Pushed:
    """An import of pushed records; without a job where none of them was accepted."""

    import_id: int
    job_id: int | None
    accepted: int
    rejected: Sequence[RejectedCell]


@dataclass(frozen=True)
class Push:
    """Records as they are pushed, and by which request."""

    layout: Layout
    records: Sequence[Any]
    rows: Sequence[StagedRow]
    who: str | None = None
    idempotency_key: str | None = None

    @property
    def digest(self) -> str:
        """Equal for equal requests of one user."""
        asked = {"layout": self.layout.name, "who": self.who, "records": self.records}
        return hashlib.sha256(to_json(asked).encode()).hexdigest()

    @property
    def rejected(self) -> list[RejectedCell]:
        """What is wrong with rows that are not accepted."""
        return [
            RejectedCell(row=row.row, entity=row.entity, **vars(error))
            for row in self.rows
            for error in row.errors[: imports.MOST_ERRORS]
        ]

    @property
    def accepted(self) -> int:
        """How many rows are."""
        return sum(1 for row in self.rows if not row.errors)


def parse_records(body: bytes, *, most: int = MOST_RECORDS) -> list[Any]:
    """The records of a body, numbers with a fraction as decimals; a single object is a list of one.

    Raises:
        RequestValidationError: it is not JSON, or no list of 1 to `most`.

    """
    try:
        read = _DECODER.decode(body)
    except (msgspec.DecodeError, RecursionError, ValueError, ArithmeticError):
        raise _refused("json_invalid") from None
    records = read if isinstance(read, list) else [read]
    if not isinstance(read, list | dict):
        raise _refused("records_form")
    if not records:
        raise _refused("too_short")
    if len(records) > most:
        raise _refused("records_too_many", most=most)
    return records


def _refused(code: str, **values: Any) -> RequestValidationError:
    return RequestValidationError([{"type": code, "loc": ("body",), "msg": "", "ctx": values}])


def check_records(layout: Layout, records: Sequence[Any]) -> list[StagedRow]:
    """The rows of records, numbered from 1. Members that the layout does not name are faults, as they may be typos."""
    reader = Reader(layout, door="json")
    named = {field.header for into in layout.into for field in into.fields.values() if field.header is not None}
    rows: list[StagedRow] = []
    for number, record in enumerate(records, start=1):
        rows += _check_record(reader, layout, named, number, record)
    if layout.policy == "all_or_nothing" and any(row.errors for row in rows):
        error = CellError("", "", "others_rejected", sentence("others_rejected", {}))
        return [row if row.errors else replace(row, errors=(error,)) for row in rows]
    return rows


def _check_record(reader: Reader, layout: Layout, named: set[str], number: int, record: Any) -> list[StagedRow]:
    if not isinstance(record, Mapping):
        error = CellError("", _shown(record), "not_object", sentence("not_object", {}))
        return [StagedRow(number, layout.name, None, None, (error,))]
    unknown = tuple(
        CellError(as_written(name), _shown(record[name]), "unknown_column", _unknown(name, named))
        for name in record
        if name not in named
    )
    rows = reader.read(number, record)
    if unknown:  # of which entity it was meant to be, nothing says
        return [replace(row, errors=(*unknown, *row.errors)[: imports.MOST_ERRORS]) for row in rows]
    return rows


def _shown(value: Any) -> str:
    return "…" if isinstance(value, list | dict) else as_written(value, is_personal=True)


def _unknown(name: str, named: set[str]) -> str:
    near = get_close_matches(name, sorted(named), n=1)
    return sentence("unknown_column", {"near": f"; a mais próxima é {near[0]}" if near else ""})


async def push(engine: AsyncEngine, publisher: RabbitMQPublisher | None, asked: Push, *, metrics: Metrics) -> Pushed:
    """Store rows and announce them; the same key with the same records is the same import.

    Raises:
        IdempotencyKeyReusedError: the key belongs to another request.
        ConflictError: the same request is being processed.

    """

    async def accept(db: AsyncConnection) -> tuple[int, bool]:
        earlier = await _find_earlier(db, asked)
        if earlier is not None:
            return earlier, False
        created = await imports.create(
            db,
            door=DOOR,
            layout=asked.layout.name,
            requested_by=asked.who,
            idempotency_key=asked.idempotency_key,
            request_digest=asked.digest,
        )
        if created is None:  # another request with this key was faster
            earlier = await _find_earlier(db, asked)
            if earlier is None:
                raise ConflictError("request_in_progress")
            return earlier, False
        if asked.accepted:
            await imports.push(db, created, layout=asked.layout.name, rows=asked.rows, requested_by=asked.who)
        else:
            why = "nenhum registro foi aceito"
            await imports.refuse_push(db, created, asked.rows, code=NOTHING_ACCEPTED, fault=why)
        return created, True

    import_id, is_new = await in_transaction(engine, accept)
    if not is_new:
        return await _load_answer(engine, import_id)
    async with engine.connect() as db:
        job_id: int | None = (await db.execute(_EXECUTION_OF, {"id": import_id})).scalar_one_or_none()
    pushed = Pushed(import_id, job_id, asked.accepted, asked.rejected)
    await _tell(publisher, asked, pushed, metrics)
    return pushed


async def _load_answer(engine: AsyncEngine, import_id: int) -> Pushed:
    """What was answered when an import was pushed, whatever its layout has become since."""
    later = [imports.REPLACED, imports.REFERENCE_MISSING]
    async with engine.connect() as db:
        rows = (await db.execute(_ANSWERED, {"id": import_id, "later": later})).all()
    refused = [row for row in rows if row.row is not None]
    cells = [RejectedCell(row=row.row, entity=row.entity, **error) for row in refused for error in row.errors]
    return Pushed(import_id, rows[0].execution_id, rows[0].rows - len(refused), cells)


async def _tell(publisher: RabbitMQPublisher | None, asked: Push, pushed: Pushed, metrics: Metrics) -> None:
    """Log, count and announce a new import."""
    if pushed.job_id is not None:
        structlog.contextvars.bind_contextvars(execution_id=pushed.job_id)  # until the request has ended
    told = {"import_id": pushed.import_id, "layout": asked.layout.name, "door": DOOR, "user": asked.who}
    log.info("import accepted", **told, accepted=pushed.accepted, rejected=len(asked.rows) - pushed.accepted)
    for row in asked.rows:
        if row.errors:
            metrics.import_row_rejected(row.entity)
    if pushed.accepted:
        await announce(publisher, pushed.import_id, asked.layout.name, rows=len(asked.records))


async def _find_earlier(db: AsyncConnection, asked: Push) -> int | None:
    known = None if asked.idempotency_key is None else await imports.find_request(db, asked.idempotency_key)
    if known is None:
        return None
    if known[1] != asked.digest:
        raise IdempotencyKeyReusedError("idempotency_key_reused")
    return known[0]
