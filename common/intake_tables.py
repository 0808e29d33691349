"""Tables of what is taken in: declared records and their references, imports and their rows, foreign databases.

What an entity or a source is stands in files (`common.connections`). Here is what has become of it.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR

from common.resources.derive import moment_column, now_column

DOORS = ("api", "file", "folder", "page", "sql")
"""How rows come in: pushed as JSON, uploaded by a program, left in the folder, uploaded on the page, read from a
database."""
IMPORT_STATES = ("receiving", "received", "checked", "processing", "done", "refused", "discarded")
ROW_STATES = ("pending", "processed", "unchanged", "rejected")
ACTIONS = ("create", "change", "none", "remove")
"""What a row does to its record, or has done; only a removal that was asked for by key removes."""


def _in(column: str, words: tuple[str, ...]) -> CheckConstraint:
    return CheckConstraint(f"{column} IN ({', '.join(repr(word) for word in words)})", name=column)


def _count(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default=text("0"))


def add_intake(metadata: MetaData) -> None:
    """Add the tables."""
    Table(
        "entity_records",
        metadata,
        Column("entity", Text, primary_key=True),
        # the parts of a composite key stand with slashes in between
        Column("key", Text, primary_key=True),
        Column("data", JSONB, nullable=False),
        now_column("created_at"),
        now_column("updated_at"),
        # when its source no longer had it, or it was removed by hand
        moment_column("removed_at"),
        # of the content, 16 bytes of BLAKE2b; null where the content was blanked after its removal
        Column("digest", LargeBinary),
        # the database that it is read from; only that one's whole readings remove it
        Column("source", Text),
        # the import that has last changed it
        Column("import_id", BigInteger),
        # the words of the columns that are searched
        Column("busca", TSVECTOR),
        # what rows are paged by whose keys are numbers of natural persons
        Column("number", BigInteger, Identity(always=False), nullable=False),
        Index("ix_entity_records_updated_at", "entity", "updated_at"),
        Index("ix_entity_records_source", "source", "entity", "key", postgresql_where=text("source IS NOT NULL")),
        Index("ix_entity_records_removed_at", "removed_at", postgresql_where=text("removed_at IS NOT NULL")),
        Index("ix_entity_records_busca", "busca", postgresql_using="gin", postgresql_where=text("busca IS NOT NULL")),
    )
    # what a record refers to: the database refuses a reference to a record that was never there
    Table(
        "entity_refs",
        metadata,
        Column("entity", Text, primary_key=True),
        Column("key", Text, primary_key=True),
        # the column that refers
        Column("field", Text, primary_key=True),
        Column("ref_entity", Text, nullable=False),
        Column("ref_key", Text, nullable=False),
        ForeignKeyConstraint(
            ["entity", "key"],
            ["entity_records.entity", "entity_records.key"],
            name="fk_entity_refs_record",
            ondelete="CASCADE",
        ),
        ForeignKeyConstraint(
            ["ref_entity", "ref_key"], ["entity_records.entity", "entity_records.key"], name="fk_entity_refs_referred"
        ),
        Index("ix_entity_refs_referred", "ref_entity", "ref_key"),
    )
    Table(
        "imports",
        metadata,
        Column("id", BigInteger, Identity(always=False), primary_key=True),
        # no foreign key: executions are deleted by their age. Null while an upload is being received. What a reading of
        # a source could not store is an import of each of its entities
        Column("execution_id", BigInteger),
        Column("door", Text, _in("door", DOORS), nullable=False),
        # the name of an entity, or of a file of `sources/` that says how rows become records
        Column("layout", Text, nullable=False),
        Column("state", Text, _in("state", IMPORT_STATES), nullable=False),
        # rows are taken in only after a person has looked at the preview
        Column("needs_confirmation", Boolean, nullable=False, server_default=text("false")),
        Column("file_name", Text),
        Column("file_bytes", BigInteger),
        Column("file_sha256", LargeBinary),
        # what its rows come to; the four together are `rows`
        _count("rows"),
        _count("pending"),
        _count("processed"),
        _count("unchanged"),
        _count("rejected"),
        # of the processed ones
        _count("created"),
        _count("changed"),
        # what is told of the file: header, unknown columns, repeated keys; and what its rows would do
        Column("notes", JSONB, nullable=False, server_default=text("'{}'")),
        # why it was refused: a code, and a sentence for people
        Column("fault_code", Text),
        Column("fault", Text),
        Column("requested_by", Text),
        Column("idempotency_key", Text, unique=True),
        Column("request_digest", Text),
        now_column("created_at"),
        moment_column("checked_at"),
        moment_column("confirmed_at"),
        Column("confirmed_by", Text),
        moment_column("ended_at"),
        now_column("updated_at"),
        Index("ix_imports_layout", "layout", "id"),
        Index("uq_imports_execution_id_layout", "execution_id", "layout", unique=True),
        Index("ix_imports_file_sha256", "file_sha256", "layout", postgresql_where=text("file_sha256 IS NOT NULL")),
        Index("ix_imports_ended_at", "ended_at", postgresql_where=text("ended_at IS NOT NULL")),
    )
    Table(
        "import_files",
        metadata,
        Column("import_id", BigInteger, ForeignKey("imports.id", ondelete="CASCADE"), primary_key=True),
        Column("part", Integer, primary_key=True),
        # 1 MiB, but for the last one
        Column("data", LargeBinary, nullable=False),
    )
    Table(
        "import_rows",
        metadata,
        Column("import_id", BigInteger, ForeignKey("imports.id", ondelete="CASCADE"), primary_key=True),
        # as the sheet numbers them, or from 1 in the order in which they were pushed
        Column("row", Integer, primary_key=True),
        # a row may be a record of several entities; of a row that could not be read at all: the layout
        Column("entity", Text, primary_key=True),
        # null where the row has no readable key
        Column("key", Text),
        Column("state", Text, _in("state", ROW_STATES), nullable=False),
        Column("action", Text, _in("action", ACTIONS)),
        # the content as it is stored; null where it cannot be
        Column("data", JSONB),
        Column("digest", LargeBinary),
        # of a rejected row: [{"column", "value", "code", "message"}, ...]
        Column("errors", JSONB),
        # the record that a pending row refers to, and that is not there
        Column("waits_entity", Text),
        Column("waits_key", Text),
        # those that are still to be looked at, in their order
        Index(
            "ix_import_rows_pending",
            "import_id",
            "row",
            postgresql_where=text("state = 'pending' AND waits_key IS NULL"),
        ),
        Index(
            "ix_import_rows_waiting",
            "waits_entity",
            "waits_key",
            postgresql_where=text("state = 'pending' AND waits_key IS NOT NULL"),
        ),
        # those that a later row of their record overtakes
        Index(
            "ix_import_rows_waiting_key",
            "entity",
            "key",
            postgresql_where=text("state = 'pending' AND waits_key IS NOT NULL"),
        ),
        Index("ix_import_rows_state", "import_id", "state", "row"),
        # the imports that a record came by
        Index("ix_import_rows_key", "entity", "key", "import_id"),
    )
    Table(
        "sources",
        metadata,
        Column("name", Text, primary_key=True),
        # SHA-256 of its file as the worker has loaded it
        Column("config_digest", LargeBinary),
        # since when its file is gone
        moment_column("missing_since"),
        moment_column("last_success_at"),
        Column("last_error", Text),
        now_column("updated_at"),
    )
    # a source's interest in an entity
    Table(
        "source_entities",
        metadata,
        Column("id", Integer, Identity(always=False), primary_key=True),
        Column("source", Text, ForeignKey("sources.name", ondelete="CASCADE"), nullable=False),
        Column("entity", Text, nullable=False),
        # of how it is read; another one begins anew
        Column("plan_digest", LargeBinary, nullable=False),
        # up to which value of the cursor column changes were read, as text; and when all rows were
        Column("cursor_value", Text),
        moment_column("full_at"),
        # the reading under way: the last key of the last page that was stored, and the cursor at its beginning
        Column("reading_execution_id", BigInteger),
        Column("reading_after", JSONB),
        Column("reading_cursor", Text),
        # rows without a value of the cursor, which only whole readings find
        Column("without_cursor", BigInteger),
        # as of the last whole reading
        Column("rows", BigInteger),
        # columns of the view as they were last seen: name and type
        Column("columns", JSONB),
        Index("uq_source_entities_source_entity", "source", "entity", unique=True),
    )
    # the keys that a whole reading under way has met: what it has not met is removed when it ends
    Table(
        "source_keys",
        metadata,
        Column(
            "source_entity_id",
            Integer,
            ForeignKey("source_entities.id", ondelete="CASCADE"),
            primary_key=True,
            autoincrement=False,
        ),
        Column("key", Text, primary_key=True),
    )
