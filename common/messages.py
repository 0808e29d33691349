"""The queue's contract: encoding and decoding of messages. Bytes in, bytes out; no broker here."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeGuard

from common.clock import check_window, parse_wall_clock
from common.lifecycle import DEFAULT_RESOURCE, Mode, criterio_of
from common.resources import RESOURCE_NAMES
from common.resources.description import CRITERIOS, Criterio
from common.resources.dominios import DOMINIOS

LONGEST_BODY = 16 * 1024
LONGEST_ID = 19  # digits of a bigint
DEAD_SUFFIX = ".dead"
EXECUTION_HEADER = "execution_id"
REASON_HEADER = "reason"
SIZE_HEADER = "size"
"""The header with the original size of a dead letter that was cut, in bytes."""
NO_IDENTITY = "the header execution_id is not the id of an execution"


class PoisonError(ValueError):
    """An invalid message; the text is the reason in the dead-letter queue."""


@dataclass(frozen=True)
class SyncCommand:
    """A request as a message carries it; the window is Brasília's wall clock, absent for an update."""

    mode: Mode
    window_start: datetime | None = None
    window_end: datetime | None = None
    criterio: Criterio = "publicacao"
    resource: str = DEFAULT_RESOURCE


def encode(command: SyncCommand) -> bytes:
    """Encode the body of a message."""
    body: dict[str, str] = {"mode": command.mode}
    if command.resource != DEFAULT_RESOURCE:
        body["resource"] = command.resource
    if command.mode == "backfill" and command.window_start and command.window_end:
        body |= {
            "data_ini": command.window_start.isoformat(),
            "data_fim": command.window_end.isoformat(),
            "criterio": command.criterio,
        }
    return json.dumps(body).encode()


def decode(body: bytes, *, now: datetime) -> SyncCommand:
    """Decode a body; an empty one and `{}` mean an update, unknown keys are ignored. `now` is Brasília's.

    Raises:
        PoisonError: anything that the HTTP interface would refuse too.

    """
    fields = _read_object(body)
    mode = fields.get("mode", "update")
    if mode not in ("update", "backfill"):
        raise PoisonError("mode is neither 'update' nor 'backfill'")
    resource = fields.get("resource", DEFAULT_RESOURCE)
    if resource not in (*RESOURCE_NAMES, DOMINIOS):
        raise PoisonError(f"resource is none of {', '.join((*RESOURCE_NAMES, DOMINIOS))}")
    if mode == "update":
        return SyncCommand("update", resource=resource)
    if "criterio" in fields and fields["criterio"] not in CRITERIOS:
        raise PoisonError(f"criterio is none of {', '.join(CRITERIOS)}")
    try:
        criterio = criterio_of(resource, "backfill", fields.get("criterio"))
        start, end = parse_wall_clock(fields.get("data_ini")), parse_wall_clock(fields.get("data_fim"))
        check_window(start, end, now)
    except ValueError as error:  # as is a window that the portal does not accept
        raise PoisonError(str(error)) from None
    return SyncCommand("backfill", start, end, criterio, resource)


@dataclass(frozen=True)
class ImportAnnounced:
    """Rows of an import that wait to be processed, from the first to the last; none where its file is still to be read.

    `layout` stands in the message as `entity`.
    """

    import_id: int
    layout: str
    rows: tuple[int, int] | None = None

    @property
    def message_id(self) -> str:
        """The id of the message: equal for the same rows."""
        return str(self.import_id) if self.rows is None else f"{self.import_id}/{self.rows[0]}"


def encode_import(announced: ImportAnnounced) -> bytes:
    """Encode the body of a message."""
    rows = None if announced.rows is None else list(announced.rows)
    return json.dumps({"import_id": announced.import_id, "entity": announced.layout, "rows": rows}).encode()


def decode_import(body: bytes) -> ImportAnnounced:
    """Decode a body; unknown keys are ignored.

    Raises:
        PoisonError: it names no rows of an import.

    """
    fields = _read_object(body)
    import_id, layout, rows = fields.get("import_id"), fields.get("entity"), fields.get("rows")
    if not _is_whole(import_id) or not 0 < import_id < 2**63:
        raise PoisonError("import_id is not the id of an import")
    if not isinstance(layout, str):
        raise PoisonError("entity is not a text")
    if rows is None:
        return ImportAnnounced(import_id, layout)
    if not isinstance(rows, list) or len(rows) != 2 or not all(map(_is_whole, rows)):  # noqa: PLR2004  # a pair
        raise PoisonError("rows are not the numbers of a first and a last row")
    return ImportAnnounced(import_id, layout, (rows[0], rows[1]))


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def execution_id_of(headers: dict[str, Any]) -> int | None:
    """The execution named by a message of ours; `None` for another party's.

    Raises:
        PoisonError: a header that is no identity of ours.

    """
    value = headers.get(EXECUTION_HEADER)
    if value is None:
        return None
    if isinstance(value, str | bytes) and len(value) <= LONGEST_ID and value.isascii() and value.isdigit():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**63:
        raise PoisonError(NO_IDENTITY)
    return value


def _read_object(body: bytes) -> dict[str, Any]:
    if len(body) > LONGEST_BODY:
        raise PoisonError(f"the body is longer than {LONGEST_BODY} bytes")
    if not body.strip():
        return {}
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        raise PoisonError("the body is not JSON") from None
    if not isinstance(fields, dict):
        raise PoisonError("the body is not a JSON object")
    return fields
