"""Tables of deliveries: destinations and their streams, the ledger of records, and frozen requests.

What a destination is stands in files (`common.connections`). Here is what has become of it.
"""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)

from common.resources.derive import MOMENT, moment_column, now_column

OWED, SENT, SENDING, REJECTED = 0, 1, 2, 3
"""The states of a record in the ledger. An owed one was in a request that has brought no verdict about it."""
BATCH_STATES = ("open", "accepted", "partial", "split", "refused", "abandoned")
"""An open batch has no verdict yet. A split one was refused whole, and its records have gone on in two halves."""


def add_delivery(metadata: MetaData) -> None:
    """Add the tables."""
    Table(
        "destinations",
        metadata,
        Column("name", Text, primary_key=True),
        # SHA-256 of its file as the worker has loaded it
        Column("config_digest", LargeBinary),
        # since when its file is gone; the ledger is kept
        moment_column("missing_since"),
        # the destination wants no more (410), until an administrator resumes it
        moment_column("stopped_at"),
        Column("stopped_reason", Text),
        # the breaker: failures in a row, when the first of them was, when the next try is due, and what the last was
        Column("failures", Integer, nullable=False, server_default=text("0")),
        moment_column("failing_since"),
        moment_column("retry_at"),
        Column("last_error", Text),
        moment_column("last_success_at"),
        # when a run last counted what its streams owe
        moment_column("counted_at"),
        now_column("updated_at"),
    )
    Table(
        "streams",
        metadata,
        Column("id", Integer, Identity(always=False), primary_key=True),
        Column("destination", Text, ForeignKey("destinations.name", ondelete="CASCADE"), nullable=False),
        Column("name", Text, nullable=False),
        Column("entity", Text, nullable=False),
        # the number of its mapping, incremented by each change, and the digest of the mapping
        Column("plan", Integer, nullable=False, server_default=text("1")),
        Column("plan_digest", LargeBinary, nullable=False),
        # records that were last changed up to here are never owed unless the ledger has them; null: all are
        moment_column("baseline_at"),
        # all changes up to here were looked at by a run that ended, and when all records were
        moment_column("cursor_at"),
        moment_column("full_at"),
        # what the destination has refused as too large: the most bytes of a request from then on
        Column("batch_limit", Integer),
        # records that are owed, as of the last run, and the oldest change of them
        Column("owed", BigInteger, nullable=False, server_default=text("0")),
        moment_column("oldest_owed_at"),
        Index("uq_streams_destination_name", "destination", "name", unique=True),
    )
    Table(
        "deliveries",
        metadata,
        # no foreign key: it would be looked up for every record
        Column("stream_id", Integer, primary_key=True, autoincrement=False),
        Column("key", Text, primary_key=True),
        Column(
            "state",
            SmallInteger,
            CheckConstraint(f"state IN ({OWED}, {SENT}, {SENDING}, {REJECTED})", name="state"),
            nullable=False,
        ),
        # the mapping and the version of the record that were last settled
        Column("plan", Integer),
        Column("source_at", MOMENT),
        # of the content that was last settled, 16 bytes of BLAKE2b; null where the destination may have another one
        Column("digest", LargeBinary),
        # when the destination last gave a verdict
        Column("sent_at", MOMENT),
        # the batch that it is or was last in
        Column("batch_id", BigInteger),
        # rejections in a row, since when, and the last reason
        Column("tries", SmallInteger, nullable=False, server_default=text("0")),
        Column("rejected_since", MOMENT),
        Column("reason", Text),
        # not by the state, which each request changes: an update that changes no index costs half as much
        Index("ix_deliveries_rejected", "stream_id", "key", postgresql_where=text("rejected_since IS NOT NULL")),
        # the trace of a record
        Index("ix_deliveries_key", "key"),
        # each record is written when it is frozen and when it is settled: the second row version stays on its page
        postgresql_with={"fillfactor": "40"},
    )
    Table(
        "delivery_batches",
        metadata,
        Column("id", BigInteger, Identity(always=False), primary_key=True),
        Column("stream_id", Integer, ForeignKey("streams.id", ondelete="CASCADE"), nullable=False),
        # no foreign key: executions are deleted by their age
        Column("execution_id", BigInteger, nullable=False),
        # what the destination tells repeated requests by
        Column("idempotency", Uuid, nullable=False),
        # the request, byte by byte, stored as it is (EXTERNAL); null once the verdict is in
        Column("body", LargeBinary),
        # of each record in the order of the body: its key, what the destination calls it in its answer, the digest of
        # its content, and the version that was read
        Column("keys", ARRAY(Text), nullable=False),
        Column("echoes", ARRAY(Text)),
        Column("digests", ARRAY(LargeBinary), nullable=False),
        Column("source_ats", ARRAY(MOMENT), nullable=False),
        Column("plan", Integer, nullable=False),
        Column("records", Integer, nullable=False),
        Column("bytes", Integer, nullable=False),
        Column(
            "state",
            Text,
            CheckConstraint(
                f"state IN ({', '.join(repr(state) for state in BATCH_STATES)})",
                name="state",
            ),
            nullable=False,
            server_default="open",
        ),
        Column("tries", Integer, nullable=False, server_default=text("0")),
        # of the last answer: its status, what went wrong, and the beginning of its text
        Column("last_status", Integer),
        Column("last_error", Text),
        Column("last_answer", Text),
        now_column("created_at"),
        moment_column("first_sent_at"),
        moment_column("settled_at"),
        # the sizes of refused requests that it is a part of: how often it was split
        Column("splits", Integer, nullable=False, server_default=text("0")),
        CheckConstraint("(state = 'open') = (settled_at IS NULL)", name="settled_when_ended"),
        CheckConstraint("state <> 'open' OR body IS NOT NULL", name="body_while_open"),
        Index("ix_delivery_batches_stream_id_id", "stream_id", "id"),
        Index("ix_delivery_batches_open", "stream_id", "id", postgresql_where=text("state = 'open'")),
        Index("ix_delivery_batches_execution_id", "execution_id"),
        Index("ix_delivery_batches_settled_at", "settled_at", postgresql_where=text("settled_at IS NOT NULL")),
    )
