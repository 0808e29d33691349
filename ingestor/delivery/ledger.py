"""The ledger: batches are frozen with their bytes and their key before they leave, and settled by their verdicts.

Every function that writes works in the transaction that holds the stream's slice, so that one worker alone writes.
Rows are written by `INSERT ... ON CONFLICT`: an UPDATE by a list of keys that is planned while the ledger is small
reads all rows of the stream for ever.
"""

import hashlib
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import asyncpg

from common.connections.samples import all_of, columns_sql, conditions_sql, sample_of
from common.delivery_tables import OWED, REJECTED, SENDING, SENT
from common.mapping.rendering import CannotRender
from ingestor.delivery.streams import Registered

# ruff: noqa: S608  # names of descriptions and of checked files

DIGEST_BYTES = 16
LONGEST_REASON = 500
LONGEST_ANSWER = 2000
NOT_UNIQUE = "mais de um registro tem a chave {key}"
NO_VERSION = "o registro não tem o momento da última mudança"
TOO_LARGE = "o registro é maior do que o destino aceita ({size} bytes)"


@dataclass(frozen=True)
class Frozen:
    """An open batch: the bytes of its request, and of each record its key, its echo, its digest, and its version.

    `tries` counts the requests with these bytes, the next one included. `refusals`: how many requests that held these
    records were refused whole, in this run.
    """

    id: int
    idempotency: uuid.UUID
    body: bytes
    keys: tuple[str, ...]
    echoes: tuple[str, ...] | None
    digests: tuple[bytes, ...]
    source_ats: tuple[datetime, ...]
    plan: int
    tries: int = 1


@dataclass
class Filled:
    """What became of some keys: batches, records of which the destination has all that is mapped, and rejections.

    `seen` counts the records that were read; the others are gone or match no longer. `new_rejections`: of records that
    were not rejected before.
    """

    batches: list[Frozen] = field(default_factory=list)
    seen: int = 0
    unchanged: int = 0
    rejected: int = 0
    new_rejections: int = 0


@dataclass(slots=True)
class _Record:
    key: str
    version: datetime
    content: bytes
    echo: str | None
    digest: bytes


class Unfit(Exception):
    """An entity whose rows are no records; the text says why."""


@dataclass
class Prepared:
    """Records as they were read: rendered, or `known` to the destination as they are, or `refused` with the reason."""

    seen: int = 0
    fresh: list[_Record] = field(default_factory=list)
    known: list[tuple[str, datetime]] = field(default_factory=list)
    refused: list[tuple[str, datetime | None, bytes | None, str]] = field(default_factory=list)


# A plan that is made while the ledger is empty and has been vacuumed would read all of it for each key, and is kept.
_BY_INDEX = "SET LOCAL enable_seqscan = off"
_STAMP = f"""
    INSERT INTO deliveries (stream_id, key, state, plan, source_at)
    SELECT $1, key, {SENT}, $2, source_at FROM unnest($3::text[], $4::timestamptz[]) AS seen (key, source_at)
    ON CONFLICT (stream_id, key) DO UPDATE SET plan = excluded.plan, source_at = excluded.source_at
"""
_REJECT = f"""
    INSERT INTO deliveries AS known (stream_id, key, state, plan, source_at, digest, sent_at, batch_id, tries,
                                     rejected_since, reason)
    SELECT $1, key, {REJECTED}, $2, source_at, digest, now(), $3::bigint, 1, now(), reason
      FROM unnest($4::text[], $5::timestamptz[], $6::bytea[], $7::text[]) AS bad (key, source_at, digest, reason)
    ON CONFLICT (stream_id, key) DO UPDATE
       SET state = {REJECTED}, plan = excluded.plan, source_at = excluded.source_at, digest = excluded.digest,
           sent_at = now(), batch_id = excluded.batch_id, tries = least(known.tries + 1, 32767),
           rejected_since = coalesce(known.rejected_since, now()), reason = excluded.reason
    RETURNING known.rejected_since = now()
"""
_SENDING = f"""
    INSERT INTO deliveries AS known (stream_id, key, state, batch_id)
    SELECT $1, unnest($2::text[]), {SENDING}, $3
    ON CONFLICT (stream_id, key) DO UPDATE SET state = {SENDING}, batch_id = excluded.batch_id, digest = NULL
"""
_FREEZE = """
    INSERT INTO delivery_batches (stream_id, execution_id, idempotency, body, keys, echoes, digests, source_ats, plan,
                                  records, bytes, tries, first_sent_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 1, now()) RETURNING id
"""
_ACCEPT = f"""
    INSERT INTO deliveries (stream_id, key, state, plan, source_at, digest, sent_at, batch_id)
    SELECT $1, key, {SENT}, $2, source_at, digest, now(), $3
      FROM unnest($4::text[], $5::timestamptz[], $6::bytea[]) AS good (key, source_at, digest)
    ON CONFLICT (stream_id, key) DO UPDATE
       SET state = {SENT}, plan = excluded.plan, source_at = excluded.source_at, digest = excluded.digest,
           sent_at = now(), batch_id = excluded.batch_id, tries = 0, rejected_since = NULL, reason = NULL
"""
_GIVE_BACK = f"""
    INSERT INTO deliveries AS known (stream_id, key, state) SELECT $1, unnest($2::text[]), {OWED}
    ON CONFLICT (stream_id, key) DO UPDATE
       SET state = CASE WHEN known.rejected_since IS NULL THEN {OWED} ELSE {REJECTED} END
"""
_FORGET_REJECTIONS = f"""
    UPDATE deliveries
       SET state = {OWED}, plan = NULL, source_at = NULL, digest = NULL, sent_at = NULL,
           rejected_since = NULL, reason = NULL, tries = 0
     WHERE stream_id = $1 AND rejected_since >= $2
"""
_REASONS = """
    SELECT reason FROM deliveries WHERE stream_id = $1 AND rejected_since >= $2 GROUP BY reason
     ORDER BY count(*) DESC LIMIT $3
"""
_CLOSE = """
    UPDATE delivery_batches
       SET state = $2, body = NULL, settled_at = now(), last_status = $3, last_error = $4, last_answer = $5
     WHERE id = $1 AND state = 'open'
"""
_NOTE_ANSWER = "UPDATE delivery_batches SET last_status = $2, last_error = $3, last_answer = $4 WHERE id = $1"
_TRY_AGAIN = "UPDATE delivery_batches SET tries = tries + 1 WHERE id = $1 AND state = 'open' RETURNING tries"
_LOAD_OPEN = """
    SELECT id, idempotency, body, keys, echoes, digests, source_ats, plan, tries FROM delivery_batches
     WHERE stream_id = $1 AND state = 'open' ORDER BY id
"""
_DELETE_OLD = """
    DELETE FROM delivery_batches WHERE id IN (
           SELECT id FROM delivery_batches WHERE settled_at < now() - make_interval(days => $1) LIMIT 1000)
"""


async def load_open(driver: "asyncpg.Connection[Any]", stream_id: int) -> list[Frozen]:
    """The batches of a stream that have no verdict yet, oldest first."""
    return [
        Frozen(
            row["id"],
            uuid.UUID(bytes=row["idempotency"].bytes),
            row["body"],
            tuple(row["keys"]),
            None if row["echoes"] is None else tuple(row["echoes"]),
            tuple(row["digests"]),
            tuple(row["source_ats"]),
            row["plan"],
            row["tries"],
        )
        for row in await driver.fetch(_LOAD_OPEN, stream_id)
    ]


async def prepare(
    driver: "asyncpg.Connection[Any]",
    registered: Registered,
    keys: Sequence[str],
    *,
    most_bytes: int,
    forgets: bool,
    asks_rejected: bool,
) -> Prepared:
    """Read the records of these keys as they are now, and render them; the one function here that needs no lock.

    A record of more than `most_bytes` is rejected, and one without the moment of its last change. `forgets`: send
    records although the destination has all that is mapped of them; `asks_rejected`: also what it has rejected.

    Raises:
        Unfit: two records have one key.

    """
    prepared = Prepared()
    await driver.execute(_BY_INDEX)
    found: set[str] = set()
    render = registered.stream.rendering.render
    for row in await driver.fetch(_rows(registered), registered.id, list(keys), *registered.stream.where.values):
        key, version, digest_before, was_rejected = row[0], row[1], row[2], row[3]
        prepared.seen += 1
        if key in found:
            raise Unfit(NOT_UNIQUE.format(key=key))
        found.add(key)
        if version is None:
            prepared.refused.append((key, version, None, NO_VERSION))
            continue
        try:
            rendered = render(row[4:], key, version)
        except CannotRender as error:
            prepared.refused.append((key, version, None, str(error)))
            continue
        if len(rendered.content) > most_bytes:
            prepared.refused.append((key, version, None, TOO_LARGE.format(size=len(rendered.content))))
            continue
        digest = hashlib.blake2b(rendered.content, digest_size=DIGEST_BYTES).digest()
        if digest == digest_before and not forgets and not (was_rejected and asks_rejected):
            prepared.known.append((key, version))
        else:
            prepared.fresh.append(_Record(key, version, rendered.content, rendered.echo, digest))
    return prepared


async def freeze(
    driver: "asyncpg.Connection[Any]",
    registered: Registered,
    execution_id: int,
    prepared: Prepared,
    *,
    most_records: int,
    limit: int,
) -> Filled:
    """Freeze what is to be sent, and note the rest.

    A request has `limit` bytes at most, or one record: the destination has refused more for several, and has not said
    that it refuses a single one.
    """
    filled = Filled(seen=prepared.seen, unchanged=len(prepared.known), rejected=len(prepared.refused))
    if prepared.known:
        await driver.execute(_STAMP, registered.id, registered.plan, *_columns(prepared.known, 2))
    if prepared.refused:
        filled.new_rejections = await _reject(driver, registered.id, registered.plan, None, prepared.refused)
    for records in _cut(prepared.fresh, most_records, limit, registered.stream.rendering.overhead):
        filled.batches.append(await _freeze(driver, registered, execution_id, records))
    return filled


async def render_some(driver: "asyncpg.Connection[Any]", registered: Registered, keys: list[str]) -> list[str]:
    """Records as they would be sent, or the reason why they cannot be; nothing is written."""
    stream = registered.stream
    rows = await driver.fetch(_rows(registered), registered.id, keys, *stream.where.values)
    samples = (sample_of(stream, (row[0], row[1], *row[4:])) for row in rows)
    return [sample.content or sample.reason or "" for sample in samples]


async def load_reasons(driver: "asyncpg.Connection[Any]", stream_id: int, since: datetime, most: int) -> list[str]:
    """Different reasons of rejections since a moment, those of most records first."""
    rows = await driver.fetch(_REASONS, stream_id, since, most)
    return [row[0] for row in rows]


def _rows(registered: Registered) -> str:
    """The statement that reads records by their keys ($2), each with what the ledger ($1) knows of it."""
    stream = registered.stream
    names = [f"c{n}" for n in range(len(stream.rendering.columns))]
    conditions = all_of(stream.entity.rows_of().format(keys="$2"), conditions_sql(stream, first=3))
    return (
        f"SELECT r.key, r.version, d.digest, d.rejected_since IS NOT NULL{''.join(f', r.{name}' for name in names)}"
        f" FROM (SELECT {columns_sql(stream)} FROM {stream.entity.source} WHERE {conditions})"
        f" AS r ({', '.join(['key', 'version', *names])})"
        " LEFT JOIN LATERAL (SELECT digest, rejected_since FROM deliveries"
        " WHERE stream_id = $1 AND key = r.key LIMIT 1) d ON true"
    )


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    return [[row[n] for row in rows] for n in range(width)]


def _cut(records: list[_Record], most_records: int, most_bytes: int, overhead: int) -> Iterable[list[_Record]]:
    """Batches of at most so many records and bytes, in the order of the records."""
    batch: list[_Record] = []
    size = overhead
    for record in records:
        more = len(record.content) + 1
        if batch and (len(batch) == most_records or size + more > most_bytes):
            yield batch
            batch, size = [], overhead
        batch.append(record)
        size += more
    if batch:
        yield batch


async def _freeze(
    driver: "asyncpg.Connection[Any]", registered: Registered, execution_id: int, records: list[_Record]
) -> Frozen:
    body = registered.stream.rendering.body([record.content for record in records])
    has_echoes = any(record.echo is not None for record in records)
    idempotency = uuid.uuid4()
    keys = tuple([record.key for record in records])
    echoes = tuple([record.echo or "" for record in records]) if has_echoes else None
    digests = tuple([record.digest for record in records])
    source_ats = tuple([record.version for record in records])
    batch_id: int = await driver.fetchval(
        _FREEZE,
        registered.id,
        execution_id,
        idempotency,
        body,
        keys,
        echoes,
        digests,
        source_ats,
        registered.plan,
        len(records),
        len(body),
    )
    await driver.execute(_SENDING, registered.id, sorted(keys), batch_id)
    return Frozen(batch_id, idempotency, body, keys, echoes, digests, source_ats, registered.plan)


async def try_again(driver: "asyncpg.Connection[Any]", frozen: Frozen) -> int:
    """Count one more request with the same bytes, before it leaves; answers how many there are with it."""
    tries: int = await driver.fetchval(_TRY_AGAIN, frozen.id)
    return tries


async def note_answer(
    driver: "asyncpg.Connection[Any]", frozen: Frozen, status: int | None, error: str, answer: bytes
) -> None:
    """Keep what an answer without a verdict has said; the batch stays open."""
    await driver.execute(_NOTE_ANSWER, frozen.id, status, error[:LONGEST_REASON], readable(answer))


async def settle(
    driver: "asyncpg.Connection[Any]",
    stream_id: int,
    frozen: Frozen,
    *,
    state: str,
    accepted: Iterable[str],
    rejected: Mapping[str, str],
    status: int | None,
    error: str | None = None,
    answer: bytes = b"",
) -> tuple[int, int]:
    """Close a batch: what was accepted and rejected has a verdict, and all other records of it are owed again.

    Answers how many were rejected, and how many of those had not been before.
    """
    by_key = {key: n for n, key in enumerate(frozen.keys)}
    good = sorted(set(accepted))
    if good:
        places = [by_key[key] for key in good]
        source_ats, digests = [frozen.source_ats[n] for n in places], [frozen.digests[n] for n in places]
        await driver.execute(_ACCEPT, stream_id, frozen.plan, frozen.id, good, source_ats, digests)
    bad = [
        (key, frozen.source_ats[by_key[key]], frozen.digests[by_key[key]], rejected[key]) for key in sorted(rejected)
    ]
    new = await _reject(driver, stream_id, frozen.plan, frozen.id, bad) if bad else 0
    unknown = sorted(set(frozen.keys) - set(good) - set(rejected))
    if unknown:
        await driver.execute(_GIVE_BACK, stream_id, unknown)
    await driver.execute(
        _CLOSE, frozen.id, state, status, None if error is None else error[:LONGEST_REASON], readable(answer) or None
    )
    return len(bad), new


async def _reject(
    driver: "asyncpg.Connection[Any]",
    stream_id: int,
    plan: int,
    batch_id: int | None,
    bad: Sequence[tuple[str, datetime | None, bytes | None, str]],
) -> int:
    """Note rejections, each by key, version, digest and reason; answers how many had not been rejected before."""
    rows = [(key, version, digest, reason[:LONGEST_REASON]) for key, version, digest, reason in sorted(bad)]
    new = await driver.fetch(_REJECT, stream_id, plan, batch_id, *_columns(rows, 4))
    return sum(row[0] for row in new)


async def give_back(driver: "asyncpg.Connection[Any]", stream_id: int, batch_id: int, keys: Iterable[str]) -> None:
    """Abandon an open batch: its records are owed again."""
    await driver.execute(_GIVE_BACK, stream_id, sorted(keys))
    await driver.execute(_CLOSE, batch_id, "abandoned", None, None, None)


async def forget_rejections(driver: "asyncpg.Connection[Any]", stream_id: int, since: datetime) -> int:
    """Owe the records again that have been rejected first since a moment; answers how many."""
    return int((await driver.execute(_FORGET_REJECTIONS, stream_id, since)).rpartition(" ")[2])


async def delete_old(driver: "asyncpg.Connection[Any]", days: int) -> int:
    """Delete some of the batches that were settled so many days ago; answers how many."""
    return int((await driver.execute(_DELETE_OLD, days)).rpartition(" ")[2])


def readable(answer: bytes) -> str:
    """The beginning of an answer as text that PostgreSQL takes, without control signs."""
    text = answer[: 4 * LONGEST_ANSWER].decode("utf-8", "replace")[:LONGEST_ANSWER]
    return "".join(sign if sign.isprintable() or sign == "\n" else " " for sign in text)
