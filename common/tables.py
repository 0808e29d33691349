"""All tables, as SQLAlchemy Core, their naming convention, and the revision that the code expects."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from common.delivery_tables import add_delivery
from common.intake_tables import add_intake
from common.lifecycle.causes import CAUSES
from common.resources import RESOURCES
from common.resources.coletas import add_coletas
from common.resources.derive import MOMENT, WALL_CLOCK, add_dominios, add_party, add_tables
from common.resources.derive import moment_column as _moment
from common.resources.derive import now_column as _now
from common.resources.mudancas import add_mudancas
from common.resources.parties import PARTIES
from common.resources.resumo import add_resumo

SCHEMA_REVISION = "0019"
"""The newest migration; a service refuses to start on a database that is at another one."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _count(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default=text("0"))


def _totals() -> list[Column[object]]:
    """How many executions there are, and what they add up to."""
    figures = ("executions", "records_processed", "records_rejected")
    counts: list[Column[object]] = [Column(name, BigInteger, nullable=False) for name in figures]
    return [*counts, Column("duration_seconds", Numeric, nullable=False)]


def _kind() -> Column[str]:
    """What is done: `sync` reads a source; `delivery` sends rows to a destination; `intake` takes in rows of others."""
    allowed = CheckConstraint("kind IN ('sync', 'delivery', 'intake')", name="kind")
    return Column("kind", Text, allowed, nullable=False, server_default="sync")


def _cause() -> Column[str]:
    words = ", ".join(f"'{cause}'" for cause in CAUSES)
    return Column("cause", Text, CheckConstraint(f"cause IN ({words})", name="cause"))


sync_executions = Table(
    "sync_executions",
    metadata,
    Column("id", BigInteger, Identity(always=False), primary_key=True),
    _kind(),
    # what is read, by the name of its description; an execution has one. Of a delivery: the name of its destination
    Column("resource", Text, nullable=False, server_default="contratacoes"),
    # of a delivery: what was changed since the last one, or all that differs
    Column("mode", Text, CheckConstraint("mode IN ('update', 'backfill')", name="mode"), nullable=False),
    Column(
        "criterio",
        Text,
        CheckConstraint("criterio IN ('publicacao', 'atualizacao')", name="criterio"),
        nullable=False,
    ),
    Column("window_start", WALL_CLOCK),
    Column("window_end", WALL_CLOCK),
    # the parts that are asked for, as of a slice; null: all that the ingestor is configured with
    Column("parts", ARRAY(Integer)),
    Column(
        "status",
        Text,
        CheckConstraint("status IN ('running', 'success', 'error')", name="status"),
        nullable=False,
        server_default="running",
    ),
    _count("records_processed"),
    _count("records_rejected"),
    Column("duration_seconds", Numeric(10, 2)),
    # why it failed: in a sentence for people, and in a word for programs
    Column("error_message", Text),
    _cause(),
    # the administrator who cancelled it
    Column("cancelled_by", Text),
    # who asked: api, message (another party's), retry, schedule, sweep, gap (an update that found a long hole), goal
    Column("trigger", Text, nullable=False),
    # the user of the API who asked
    Column("requested_by", Text),
    # another party's message, so that its redelivery makes no second row
    Column("message_id", Text, unique=True),
    # the execution whose failed slices this one repeats
    Column("retry_of", BigInteger, ForeignKey("sync_executions.id", ondelete="SET NULL")),
    # of a delivery: what was asked for, beside its destination and its mode
    Column("options", JSONB),
    # of a delivery that waits for an administrator to confirm it: why, how many records, and some of them
    Column("held", JSONB),
    # the trace of the request that asked for it (W3C `traceparent`), where traces are on
    Column("traceparent", Text),
    # a client's idempotency key, kept while the request counts as accepted, and the digest of the request
    Column("idempotency_key", Text, unique=True),
    Column("request_digest", Text),
    _now("created_at"),
    _now("updated_at"),
    _moment("published_at"),
    _moment("planned_at"),
    _moment("started_at"),
    _moment("finished_at"),
    Index("idx_sync_executions_status", "status"),
    Index("idx_sync_executions_created_at", "created_at"),
    # the retries of an execution: for retries, alerts, and the foreign key's check of every deleted row
    Index("ix_sync_executions_retry_of", "retry_of", postgresql_where=text("retry_of IS NOT NULL")),
    # what administrators cancelled, which is no failure; they are few
    Index("ix_sync_executions_cancelled", "mode", "trigger", postgresql_where=text("cause = 'cancelled'")),
    # a destination has one delivery at a time
    Index(
        "uq_sync_executions_delivering",
        "resource",
        unique=True,
        postgresql_where=text("kind = 'delivery' AND status = 'running'"),
    ),
    # a foreign database is read by one execution at a time
    Index(
        "uq_sync_executions_extracting",
        "resource",
        unique=True,
        postgresql_where=text("kind = 'intake' AND trigger <> 'import' AND status = 'running'"),
    ),
    # deliveries and intakes, newest first
    Index("ix_sync_executions_deliveries", "resource", "id", postgresql_where=text("kind <> 'sync'")),
    # what has filled a goal
    Index("ix_sync_executions_goal", "resource", "id", postgresql_where=text("trigger = 'goal'")),
    CheckConstraint("(status = 'error') = (cause IS NOT NULL)", name="cause_of_error"),
    CheckConstraint("(cause IS NOT DISTINCT FROM 'cancelled') = (cancelled_by IS NOT NULL)", name="cancelled_by"),
    CheckConstraint("(status = 'running') = (finished_at IS NULL)", name="finished_when_ended"),
)

# The idempotency keys of requests for an update that became an execution which was there before.
coalesced_keys = Table(
    "coalesced_keys",
    metadata,
    Column("idempotency_key", Text, primary_key=True),
    Column("request_digest", Text, nullable=False),
    Column("execution_id", BigInteger, ForeignKey("sync_executions.id", ondelete="CASCADE"), nullable=False),
    Index("ix_coalesced_keys_execution_id", "execution_id"),
)

# How many executions there are of each kind, and what they add up to: kept by triggers on `sync_executions`, so that
# counting a million rows of history costs no more than counting ten. Only the triggers write here.
sync_execution_counts = Table(
    "sync_execution_counts",
    metadata,
    Column("kind", Text, primary_key=True, server_default="sync"),
    Column("resource", Text, primary_key=True, server_default="contratacoes"),
    Column("mode", Text, primary_key=True),
    Column("trigger", Text, primary_key=True),
    Column("status", Text, primary_key=True),
    *_totals(),
)

# The same of those that have been deleted, by the same triggers: what metrics count never becomes less.
deleted_execution_counts = Table(
    "deleted_execution_counts",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("resource", Text, primary_key=True),
    Column("mode", Text, primary_key=True),
    Column("trigger", Text, primary_key=True),
    # success, error, or cancelled, which is an error that an administrator has made
    Column("status", Text, primary_key=True),
    *_totals(),
)

# The lines of the log that belong to an execution.
execution_log = Table(
    "execution_log",
    metadata,
    Column("id", BigInteger, Identity(always=False), primary_key=True),
    # no foreign key: its check would lock the executions' rows, and a line may outlive or outrun its row
    Column("execution_id", BigInteger, nullable=False),
    Column("slice_id", BigInteger),
    Column("logged_at", MOMENT, nullable=False),
    Column("level", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("fields", JSONB, nullable=False),
    Index("ix_execution_log_execution_id_id", "execution_id", "id"),
    Index("ix_execution_log_logged_at", "logged_at"),
)

sync_slices = Table(
    "sync_slices",
    metadata,
    Column("id", BigInteger, Identity(always=False), primary_key=True),
    Column("execution_id", BigInteger, ForeignKey("sync_executions.id", ondelete="CASCADE"), nullable=False),
    Column("ordinal", Integer, nullable=False),
    # these four are repeated here, so that claims and watermarks need no join
    _kind(),
    Column("resource", Text, nullable=False, server_default="contratacoes"),
    Column("mode", Text, nullable=False),
    Column("criterio", Text, nullable=False),
    # it fills a goal: it is claimed when there is nothing else
    Column("for_goal", Boolean, nullable=False, server_default=text("false")),
    # a part of the resource that has a listing of its own: a modalidade of contratacoes; 0 where it is not divided. Of
    # a delivery: the id of its stream
    Column("part", Integer, nullable=False, server_default=text("0")),
    # of a delivery null
    Column("first_day", Date),
    Column("last_day", Date),
    Column("window_start", WALL_CLOCK),
    Column("window_end", WALL_CLOCK),
    Column(
        "status",
        Text,
        CheckConstraint("status IN ('pending', 'running', 'success', 'error')", name="status"),
        nullable=False,
        server_default="pending",
    ),
    # the fencing token, incremented by each claim
    _count("attempt"),
    Column("worker_id", Text),
    _moment("lease_until"),
    _moment("run_after"),
    # when the present run of failures began; null after a claim that committed a page
    _moment("failing_since"),
    # records per page of its listing, fixed by the first claim: with another size the pages would differ
    Column("page_size", Integer),
    # claims in a row that ended without a committed page
    _count("stalls"),
    # failures of the source in a row: the back-off's exponent
    _count("failures"),
    # claims that found its listing empty though the mirror holds records of it
    _count("empty_sights"),
    # how often reading the listing has begun
    Column("reading", Integer, nullable=False, server_default=text("1")),
    Column("pages_total", Integer),
    _count("pages_done"),
    _count("records_processed"),
    _count("records_inserted"),
    _count("records_updated"),
    _count("records_rejected"),
    _count("itens_written"),
    # of a delivery: records that were looked at, and those of them of which the destination has all that is mapped
    _count("records_seen"),
    _count("records_unchanged"),
    # the last page's totalRegistros
    Column("total_registros", BigInteger),
    Column("error_message", Text),
    _cause(),
    _moment("started_at"),
    _moment("finished_at"),
    _now("updated_at"),
    CheckConstraint("status <> 'error' OR cause IS NOT NULL", name="cause_of_error"),
    CheckConstraint(
        "kind <> 'sync' OR num_nulls(first_day, last_day, window_start, window_end) = 0", name="days_of_sync"
    ),
    Index("uq_sync_slices_execution_id_ordinal", "execution_id", "ordinal", unique=True),
    # the candidates of a claim of one resource, in its order
    Index(
        "ix_sync_slices_claim",
        "for_goal",
        "mode",
        "resource",
        "execution_id",
        "ordinal",
        postgresql_where=text("status IN ('pending', 'running')"),
    ),
    # and those of a claim of a stream
    Index(
        "ix_sync_slices_deliveries",
        "execution_id",
        "ordinal",
        postgresql_where=text("kind <> 'sync' AND status IN ('pending', 'running')"),
    ),
    # whether an execution has anything left to do
    Index(
        "ix_sync_slices_unfinished",
        "execution_id",
        postgresql_where=text("status IN ('pending', 'running')"),
    ),
    # all slices that were ever claimed: the progress of an execution is counted from them
    Index(
        "ix_sync_slices_touched",
        "execution_id",
        postgresql_where=text("started_at IS NOT NULL OR run_after IS NOT NULL OR status <> 'pending'"),
    ),
    # what has been read of a listing of changes beyond a moment
    Index(
        "ix_sync_slices_watermark",
        "resource",
        "part",
        "window_end",
        "window_start",
        postgresql_where=text("criterio = 'atualizacao' AND status = 'success'"),
    ),
    # what is known of a day
    Index(
        "ix_sync_slices_coverage",
        "resource",
        "first_day",
        "part",
        "id",
        postgresql_where=text("criterio = 'publicacao'"),
    ),
    # the days of which a reading has failed
    Index(
        "ix_sync_slices_failed_days",
        "resource",
        "criterio",
        "first_day",
        postgresql_where=text("mode = 'backfill' AND status = 'error'"),
    ),
)

sync_pages = Table(
    "sync_pages",
    metadata,
    Column("slice_id", BigInteger, ForeignKey("sync_slices.id", ondelete="CASCADE"), primary_key=True),
    Column("reading", Integer, primary_key=True),
    Column("page", Integer, primary_key=True),
    # every row on the page, by its record's key or hash; a second row of one record is another. Empty where the reading
    # had shown them all before. Page 0 is the second look at page 1, reading 0 what earlier readings have shown
    Column("keys", ARRAY(Text), nullable=False),
    # the records of them that lay in the window, could be stored, and had not been counted
    Column("processed", ARRAY(Text), nullable=False),
    Column("total_registros", BigInteger, nullable=False),
    Column("total_paginas", Integer, nullable=False),
    # how many of its records could not be stored, where those are too many for single records' faults
    _count("unfit"),
    # how many rows it held
    Column("records", Integer, nullable=False, server_default=text("0")),
    _now("read_at"),
)

# What an execution has counted of a listing by `atualizacao`, where a record may move from one slice to the next.
sync_counted = Table(
    "sync_counted",
    metadata,
    Column("execution_id", BigInteger, ForeignKey("sync_executions.id", ondelete="CASCADE"), primary_key=True),
    Column("key", Text, primary_key=True),
)

# The days that have been read whole after they had ended. The ids are kept when slice and execution are deleted.
read_days = Table(
    "read_days",
    metadata,
    Column("resource", Text, primary_key=True),
    Column("criterio", Text, primary_key=True),
    Column("day", Date, primary_key=True),
    # as of a slice
    Column("part", Integer, primary_key=True),
    # of the newest such reading: when its slice was first claimed, and when it ended
    Column("began_at", MOMENT, nullable=False),
    Column("complete_at", MOMENT, nullable=False),
    Column("slice_id", BigInteger, nullable=False),
    Column("execution_id", BigInteger, nullable=False),
    Column("pages", Integer, nullable=False),
    Column("records", Integer, nullable=False),
    # the most records that one reading of the day has inserted or updated
    Column("stored", Integer, nullable=False),
    # what its last page said
    Column("total_registros", BigInteger),
)

# The first day of each listing that a sweep has ever had to read: it owes every closed day from there on.
swept_from = Table(
    "swept_from",
    metadata,
    Column("resource", Text, primary_key=True),
    Column("criterio", Text, primary_key=True),
    Column("part", Integer, primary_key=True),
    Column("day", Date, nullable=False),
)

# From which day on a resource is to be kept complete. Which of its days are missing follows from `read_days`.
goals = Table(
    "goals",
    metadata,
    Column("resource", Text, primary_key=True),
    # by an administrator, null where it was removed; the setting counts as long as `set_at` is null
    Column("from_day", Date),
    Column("set_by", Text),
    _moment("set_at"),
    _moment("paused_at"),
    Column("paused_by", Text),
    Column("pause_reason", Text),
    CheckConstraint("num_nulls(set_at, set_by) IN (0, 2)", name="set_by_a_user"),
    CheckConstraint("from_day IS NULL OR set_at IS NOT NULL", name="day_is_set"),
    CheckConstraint("num_nulls(paused_at, paused_by, pause_reason) IN (0, 3)", name="paused_with_reason"),
)

# How far each listing of changes has been read without a gap: everything from `since` to `reached`.
watermarks = Table(
    "watermarks",
    metadata,
    Column("resource", Text, primary_key=True),
    # as of a slice
    Column("part", Integer, primary_key=True),
    Column("since", WALL_CLOCK, nullable=False),
    Column("reached", WALL_CLOCK, nullable=False),
    # the first day of which everything published is stored; null until one was read by `publicacao`
    Column("complete_from", Date),
    _now("updated_at"),
)

# Optional fields that came in a type that their column does not take: the column is null, the payload keeps the value.
schema_drift = Table(
    "schema_drift",
    metadata,
    Column("resource", Text, primary_key=True),
    # the keys from the outermost object of a record, joined with dots
    Column("path", Text, primary_key=True),
    # what came: object, array, string, number, boolean, or unfit (the right type with a value that no column holds)
    Column("kind", Text, primary_key=True),
    _now("first_seen"),
    _now("last_seen"),
    # how many records were written with it
    Column("records", BigInteger, nullable=False, server_default=text("0")),
    # the value of the first of them as JSON, shortened
    Column("example", Text, nullable=False),
)

# What could not be stored, each record once however often it is seen.
rejected_records = Table(
    "rejected_records",
    metadata,
    Column("id", BigInteger, Identity(always=False), primary_key=True),
    # of the last sight
    Column("execution_id", BigInteger, ForeignKey("sync_executions.id", ondelete="SET NULL")),
    Column("slice_id", BigInteger, ForeignKey("sync_slices.id", ondelete="SET NULL")),
    Column("resource", Text, nullable=False),
    # its key, if it could be read
    Column("natural_key", Text),
    Column("reason", Text, nullable=False),
    # SHA-256 of table, key and payload
    Column("payload_hash", Text, nullable=False, unique=True),
    # text and not jsonb: the database may have refused the record
    Column("payload", Text, nullable=False),
    _now("first_seen"),
    _now("last_seen"),
    # executions that met it
    Column("times", Integer, nullable=False, server_default=text("1")),
    # the listing by `publicacao` that shows it; null where none has
    Column("day", Date),
    Column("part", Integer),
    # when it was stored after all, or a version of it that can be
    _moment("resolved_at"),
    Index("ix_rejected_records_execution_id", "execution_id"),
    Index("ix_rejected_records_slice_id", "slice_id"),
    # to resolve the rejections of a record that is stored
    Index(
        "ix_rejected_records_unresolved",
        "natural_key",
        postgresql_where=text("resolved_at IS NULL"),
    ),
    # what is old enough to be deleted
    Index("ix_rejected_records_resolved_at", "resolved_at", postgresql_where=text("resolved_at IS NOT NULL")),
    # what is still missing of a day
    Index(
        "ix_rejected_records_day",
        "day",
        "part",
        postgresql_where=text("resolved_at IS NULL"),
    ),
)

workers = Table(
    "workers",
    metadata,
    Column("id", Text, primary_key=True),
    _now("started_at"),
    _now("last_seen_at"),
    # until when it counts as alive, by its own lease
    Column("alive_until", MOMENT, nullable=False, server_default=text("now() + interval '2 minutes'")),
    # what it works on: kinds of executions
    Column("kinds", ARRAY(Text), nullable=False, server_default=text("'{sync}'")),
    # whether it has work that asks the portal: those that have share the portal's budget
    Column("is_busy", Boolean, nullable=False, server_default=text("false")),
    _moment("stopped_at"),
)

source_pauses = Table(
    "source_pauses",
    metadata,
    Column("source", Text, primary_key=True),
    Column("paused_until", MOMENT, nullable=False),
    # throttled (429), blocked (a page in HTML in place of data), refused (the source refuses us), down (no answers)
    Column("reason", Text),
    # the last failure, in a word and in a sentence
    Column("error_message", Text),
    _cause(),
    # pauses in a row without an answer between them: the back-off's exponent
    _count("failures"),
    # when the first of them began; null while the service answers
    _moment("failing_since"),
    # until when one worker alone probes the service
    _moment("probing_until"),
)

schedules = Table(
    "schedules",
    metadata,
    Column("name", Text, primary_key=True),
    # set by an administrator; null: the setting applies
    Column("cron", Text),
    _moment("paused_at"),
    Column("paused_by", Text),
    Column("pause_reason", Text),
    # ticks before this moment are never replayed: when the row was made, resumed, or given another cron
    _now("effective_at"),
    _now("updated_at"),
    Column("updated_by", Text),
    CheckConstraint("num_nulls(paused_at, paused_by, pause_reason) IN (0, 3)", name="paused_with_reason"),
)

# How far the records of a new scope have been looked at, for each table of lists that are only read later.
list_scopes = Table(
    "list_scopes",
    metadata,
    Column("list", Text, primary_key=True),
    Column("scope", Text, nullable=False),
    # the key of the last record that was looked at; all up to it that are in the scope are owed or read
    Column("position", Text, nullable=False, server_default=text("''")),
    _moment("ended_at"),
    _now("updated_at"),
)

schedule_ticks = Table(
    "schedule_ticks",
    metadata,
    # of all ingestors that find a schedule due, the one that inserts this key first starts its executions
    Column("schedule", Text, ForeignKey("schedules.name", ondelete="CASCADE"), primary_key=True),
    Column("due_at", MOMENT, primary_key=True),
    # the executions that it started, or why there are none
    Column("execution_ids", ARRAY(BigInteger)),
    Column("skipped_reason", Text),
    _now("created_at"),
)

# Alerts by e-mail or webhook: a row per episode, from the first message to the recovery.
alerts = Table(
    "alerts",
    metadata,
    Column("id", BigInteger, Identity(always=False), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("summary", Text, nullable=False),
    # what was wrong in the course of the episode
    Column("details", JSONB, nullable=False, server_default=text("'{}'")),
    # per channel what it has accepted, and when the next try is due
    Column("deliveries", JSONB, nullable=False, server_default=text("'{}'")),
    _now("opened_at"),
    # when the last message of the episode, the first or a reminder, was delivered
    _moment("notified_at"),
    _count("notifications"),
    # why the last delivery failed
    Column("delivery_error", Text),
    _moment("resolved_at"),
    _moment("recovery_notified_at"),
    # one open episode of a kind
    Index("uq_alerts_open", "kind", unique=True, postgresql_where=text("resolved_at IS NULL")),
)

# What administrators have taken note of: a trouble of the verdict, which counts again as soon as it changes.
acknowledgements = Table(
    "acknowledgements",
    metadata,
    # the id of the trouble
    Column("id", Text, primary_key=True),
    # what it was about: the number of the newest execution or record
    Column("fingerprint", Text, nullable=False),
    Column("acknowledged_by", Text, nullable=False),
    _now("acknowledged_at"),
)

# How far the rollup counts what was stored before there was one, for each table.
rollup_state = Table(
    "rollup_state",
    metadata,
    Column("entidade", Text, primary_key=True),
    # the earliest day that is counted; all later ones are too
    Column("counted_from", Date),
    # when all were; null while some are not
    _moment("complete_at"),
    # when a day was last compared with the table, and how often it differed
    _moment("verified_at"),
    _count("mismatches"),
)

# Up to which number all changes are visible: readers go no further, as an open transaction may hold an earlier one.
change_horizon = Table(
    "change_horizon",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1", name="one_row"), primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False, server_default=text("0")),
    # the next one, which holds as soon as all transactions before the one with this id have ended
    Column("next_seq", BigInteger),
    Column("next_xid", BigInteger),
    # the last number that was deleted for its age
    Column("deleted_to", BigInteger, nullable=False, server_default=text("0")),
)

# The bytes of each table on each day.
table_sizes = Table(
    "table_sizes",
    metadata,
    Column("day", Date, primary_key=True),
    Column("table_name", Text, primary_key=True),
    Column("heap_bytes", BigInteger, nullable=False),
    Column("index_bytes", BigInteger, nullable=False),
    Column("toast_bytes", BigInteger, nullable=False),
)

# Files that readers have asked for: a row per job, kept for a month after its end.
exportacoes = Table(
    "exportacoes",
    metadata,
    Column("id", BigInteger, Identity(always=False), primary_key=True),
    # as the API took it: entidade, formato, filtros, campos, ordem, excel, dados_pessoais
    Column("request", JSONB, nullable=False),
    # the user of the API who asked; null without authentication
    Column("requested_by", Text),
    Column("idempotency_key", Text),
    Column(
        "status",
        Text,
        CheckConstraint(
            "status IN ('na_fila', 'lendo', 'convertendo', 'pronta', 'erro', 'cancelada', 'apagada', 'expirada')",
            name="status",
        ),
        nullable=False,
        server_default="na_fila",
    ),
    # the fencing token, incremented by each claim
    _count("attempt"),
    _moment("lease_until"),
    # the identity of the folder that holds its files; until its first claim that of the backend that was asked
    Column("folder", Text),
    Column("file_name", Text),
    # how many rows there are, and what kind of number that is: exato, minimo, estimado
    Column("rows_total", BigInteger, nullable=False),
    Column("rows_total_kind", Text, nullable=False),
    # rows that are read or, while it is converted, written
    Column("rows_done", BigInteger, nullable=False, server_default=text("0")),
    Column("bytes", BigInteger, nullable=False, server_default=text("0")),
    # completeness of the mirror for what was asked: at the request, then in the snapshot that was read
    Column("mirror", JSONB, nullable=False),
    # why it failed: in a word for programs, and in a sentence
    Column("cause", Text),
    Column("error_message", Text),
    _now("created_at"),
    _moment("started_at"),
    # when its present step began: to tell how long it will take
    _moment("step_at"),
    _moment("finished_at"),
    _moment("expires_at"),
    CheckConstraint("(status = 'erro') = (cause IS NOT NULL)", name="cause_of_error"),
    CheckConstraint(
        "(status IN ('na_fila', 'lendo', 'convertendo')) = (finished_at IS NULL)", name="finished_when_ended"
    ),
    # one request of a user under a key
    Index(
        "uq_exportacoes_idempotency_key",
        text("coalesce(requested_by, '')"),
        "idempotency_key",
        unique=True,
        postgresql_where=text("idempotency_key IS NOT NULL"),
    ),
    # what is under way, and files that are kept
    Index(
        "ix_exportacoes_kept",
        "status",
        postgresql_where=text("status IN ('na_fila', 'lendo', 'convertendo', 'pronta')"),
    ),
)

# Files of a whole year of an entity, made at night: what is known of the newest of each name.
arquivos = Table(
    "arquivos",
    metadata,
    Column("name", Text, primary_key=True),
    Column("entidade", Text, nullable=False),
    # null: the entity has no years, and the file holds all of it
    Column("ano", Integer),
    Column("formato", Text, nullable=False),
    Column("folder", Text, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),
    # SHA-256 of the rows as CSV: the file is made anew when it changes
    Column("rows_sha256", Text, nullable=False),
    # completeness of the mirror for the year, in the snapshot of the rows
    Column("mirror", JSONB, nullable=False),
    Column("made_at", MOMENT, nullable=False),
    # when the rows were last compared
    Column("checked_at", MOMENT, nullable=False),
)

# When files of years were made, or are to be: a backend takes up what has not ended.
arquivos_geracoes = Table(
    "arquivos_geracoes",
    metadata,
    Column("id", BigInteger, Identity(always=False), primary_key=True),
    # the user of the API who asked; null: the cron, or no authentication
    Column("requested_by", Text),
    _now("created_at"),
    _moment("started_at"),
    _moment("finished_at"),
    _count("files_made"),
    _count("files_unchanged"),
    Column("error_message", Text),
    # one at a time
    Index(
        "uq_arquivos_geracoes_unfinished",
        text("(finished_at IS NULL)"),
        unique=True,
        postgresql_where=text("finished_at IS NULL"),
    ),
)

# Searches that users have saved, with what is known of their messages.
buscas = Table(
    "buscas",
    metadata,
    Column("id", BigInteger, Identity(always=False), primary_key=True),
    Column("name", Text, nullable=False),
    # the address of the list, and its filters as the API took them: by name a list of texts
    Column("entity", Text, nullable=False),
    Column("filters", JSONB, nullable=False),
    # where messages go; the address of the webhook is a setting
    Column("email", Text),
    Column("webhook", Boolean, nullable=False, server_default=text("false")),
    # of Brasília's day, from which on a message may go out
    Column("hour", Integer, CheckConstraint("hour BETWEEN 0 AND 23", name="hour"), nullable=False),
    # the user of the API whose it is; null without authentication
    Column("requested_by", Text),
    # only records that were first seen after this moment count; null: all records do
    _moment("seen_after"),
    # incremented by other filters, which begin with other records
    _count("generation"),
    # the number of the last evaluation that has found something
    _count("batch"),
    # per channel up to which batch it has taken messages, and when the next try is due
    Column("deliveries", JSONB, nullable=False, server_default=text("'{}'")),
    Column("due_at", MOMENT, nullable=False),
    _moment("evaluated_at"),
    # why the last evaluation failed
    Column("error_message", Text),
    _now("created_at"),
    _now("updated_at"),
    # when a recipient has unsubscribed: no message goes out any more
    _moment("cancelled_at"),
)

# The records that a saved search has matched. No foreign key: an evaluation would hold up who deletes the search.
buscas_registros = Table(
    "buscas_registros",
    metadata,
    Column("search_id", BigInteger, primary_key=True, autoincrement=False),
    Column("generation", Integer, primary_key=True, autoincrement=False),
    # the key of the record; its parts with slashes in between
    Column("key", Text, primary_key=True),
    # 0: it matched when the search was saved; else by which evaluation it was found
    Column("batch", Integer, nullable=False),
    # when it was found to match no longer; it is forgotten some time later
    _moment("left_at"),
    # what is to be told, and what is to be forgotten
    Index("ix_buscas_registros_batch", "search_id", "batch", postgresql_where=text("batch > 0")),
    Index("ix_buscas_registros_left_at", "left_at", postgresql_where=text("left_at IS NOT NULL")),
)

# Links in messages by which recipients unsubscribe: one of each message, kept after its search.
buscas_cancelamentos = Table(
    "buscas_cancelamentos",
    metadata,
    # SHA-256 of the token in the link
    Column("token_sha256", LargeBinary, primary_key=True),
    Column("search_id", BigInteger, nullable=False),
    _now("created_at"),
)


# how often something that is limited has happened within a window, counted by all backends together; a crash of
# PostgreSQL may empty it
limit_counts = Table(
    "limit_counts",
    metadata,
    Column("kind", Text, primary_key=True),
    # a keyed digest of the user, the address or both
    Column("key", Text, primary_key=True),
    # how long the window is
    Column("seconds", Integer, primary_key=True),
    Column("events", Integer, nullable=False),
    Column("ends_at", MOMENT, nullable=False),
    prefixes=["UNLOGGED"],
)


# The mirror: what the portal publishes, as it is described.
for _resource in RESOURCES:
    add_tables(metadata, _resource)
for _party in PARTIES:
    add_party(metadata, _party)
add_dominios(metadata)
add_coletas(metadata)
add_resumo(metadata)
add_mudancas(metadata)
add_delivery(metadata)
add_intake(metadata)
