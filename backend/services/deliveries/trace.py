"""The trace of one record: where it went, when, and what the destinations said."""

from typing import Any

from sqlalchemy import Row, text

from backend.models.destinations import RecordTrace, TracedRequest, TracedStream
from backend.services.deliveries.files import ConnectionFiles, unknown_entity
from backend.services.reading import ReadConnections
from common.delivery_tables import OWED, REJECTED, SENDING, SENT
from common.masking import mask_text

LOOKED_THROUGH = 200
"""The newest requests of a stream, among which those with the record are looked for."""
SHOWN = 5
_STATES = {OWED: "devido", SENT: "enviado", SENDING: "enviando", REJECTED: "rejeitado"}

_STREAMS = text("""
    SELECT t.id, t.destination, t.name AS stream, d.state, d.source_at, d.sent_at, d.batch_id, d.tries, d.reason
      FROM deliveries d JOIN streams t ON t.id = d.stream_id
     WHERE d.key = :key AND t.entity = :entity ORDER BY t.destination, t.id
""")
# The one that the ledger names, however old it is, and others among the newest.
_REQUESTS = text("""
    SELECT id, execution_id, state, records, tries, created_at, settled_at, last_status, last_error, last_answer
      FROM delivery_batches
     WHERE id IN (SELECT CAST(:batch_id AS bigint)
                   UNION
                  SELECT id FROM (SELECT id, keys FROM delivery_batches WHERE stream_id = :stream_id
                                   ORDER BY id DESC LIMIT :most) newest
                   WHERE :key = ANY(keys))
     ORDER BY id DESC LIMIT :shown
""")


async def trace_record(
    reading: ReadConnections, files: ConnectionFiles, entity: str, key: str, *, sees_all: bool
) -> RecordTrace:
    """What has become of a record at every destination.

    Raises:
        NotFoundError: no entity has this name.

    """
    known = await files.load()
    name = entity.replace("-", "_")
    if name not in known.entities:
        raise unknown_entity(entity, known)
    traced = []
    async with reading.connect() as db:
        for row in (await db.execute(_STREAMS, {"key": key, "entity": name})).all():
            asked = {"batch_id": row.batch_id, "stream_id": row.id, "key": key, "most": LOOKED_THROUGH, "shown": SHOWN}
            requests = (await db.execute(_REQUESTS, asked)).all()
            traced.append(
                TracedStream(
                    destination=row.destination,
                    stream=row.stream,
                    state=_STATES[row.state],
                    version=row.source_at,
                    sent_at=row.sent_at,
                    tries=row.tries,
                    reason=row.reason if sees_all or row.reason is None else mask_text(row.reason),
                    requests=[_to_request(one, sees_all=sees_all) for one in requests],
                )
            )
    return RecordTrace(entity=name, key=key, streams=traced)


def _to_request(row: Row[Any], *, sees_all: bool) -> TracedRequest:
    return TracedRequest(
        batch=row.id,
        job_id=row.execution_id,
        state=row.state,
        records=row.records,
        tries=row.tries,
        created_at=row.created_at,
        settled_at=row.settled_at,
        status=row.last_status,
        error=row.last_error,
        answer=row.last_answer if sees_all else None,
    )
