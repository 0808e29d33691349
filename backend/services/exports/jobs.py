"""Export jobs: their rows in the table `exportacoes`, and every change of their status.

A job is claimed under a lease and fenced by its `attempt`, as slices are: a backend that dies leaves its jobs to any
other, and one that comes back too late finds that its job is not its own any more.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Row, bindparam, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.errors import ConflictError, IdempotencyKeyReusedError, NotFoundError, TooManyUnfinishedError
from backend.services.entities.rows import TotalKind
from common.tables import exportacoes

Cause = Literal["disco_cheio", "limite", "banco", "interrompida", "pedido", "inesperada"]
"""Why a job failed: the disk is full, the limit of bytes, the database, backends that died, a request that no longer
serves, anything else."""

UNDER_WAY = ("na_fila", "lendo", "convertendo")
ENDED_BY_USERS = ("cancelada", "apagada")
ADMISSION = 7_020_114_142
"""The advisory lock under which unfinished jobs are counted and a new one is added."""
MOST_UNFINISHED = 20
LEASE_SECONDS = 15.0
HAND_OVER_SECONDS = 5.0
"""For so long only the backend that was asked takes a new job: its client asks there for the file."""
MOST_ATTEMPTS = 3
KEPT_DAYS = 30
"""How long the row of a job stays after its end."""

_TAKE_ADMISSION = text("SELECT pg_advisory_xact_lock(:key)")
_COUNT = text("""
    SELECT count(*) FILTER (WHERE status <> 'pronta') AS unfinished,
           count(*) FILTER (WHERE status <> 'pronta' AND requested_by IS NOT DISTINCT FROM :requested_by) AS own,
           coalesce(sum(bytes) FILTER (WHERE folder = :folder), 0) AS bytes,
           min(expires_at) FILTER (WHERE folder = :folder) AS next_expiry
      FROM exportacoes WHERE status IN ('na_fila', 'lendo', 'convertendo', 'pronta')
""")
_FIND_KEY = text("""
    SELECT id, request FROM exportacoes
     WHERE coalesce(requested_by, '') = coalesce(:requested_by, '') AND idempotency_key = :key
""")
_ADD = text("""
    INSERT INTO exportacoes (request, requested_by, idempotency_key, folder, rows_total, rows_total_kind, mirror)
    VALUES (:request, :requested_by, :key, :folder, :rows_total, :rows_total_kind, :mirror) RETURNING id
""").bindparams(bindparam("request", type_=JSONB), bindparam("mirror", type_=JSONB))
_CLAIM = text("""
    UPDATE exportacoes
       SET status = 'lendo', attempt = attempt + 1, folder = :folder, rows_done = 0, bytes = 0, step_at = now(),
           started_at = coalesce(started_at, now()), lease_until = now() + make_interval(secs => :lease)
     WHERE id = (
           SELECT id FROM exportacoes
            WHERE (status = 'na_fila'
                   AND (folder = :folder OR created_at < now() - make_interval(secs => :hand_over)))
               OR (status IN ('lendo', 'convertendo') AND lease_until < now() AND attempt < :most)
            ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING id, attempt, request, rows_total
""")
_GIVE_UP = text("""
    UPDATE exportacoes
       SET status = 'erro', finished_at = now(), lease_until = NULL, cause = 'interrompida',
           error_message = 'Foi interrompida ' || attempt || ' vezes: o backend ou o banco de dados caiu. Peça de novo.'
     WHERE status IN ('lendo', 'convertendo') AND lease_until < now() AND attempt >= :most
    RETURNING id
""")
# The rows that a COPY has read are known to the server alone.
_BEAT = text("""
    UPDATE exportacoes e
       SET lease_until = now() + make_interval(secs => :lease), bytes = :bytes,
           rows_done = coalesce((SELECT tuples_processed FROM pg_stat_progress_copy WHERE pid = :pid), :rows_done)
     WHERE id = :id AND attempt = :attempt AND status IN ('lendo', 'convertendo')
    RETURNING (SELECT coalesce(sum(k.bytes), 0) FROM exportacoes k
                WHERE k.folder = e.folder AND k.id <> e.id
                  AND k.status IN ('na_fila', 'lendo', 'convertendo', 'pronta')) AS others_bytes
""")
_CONVERT = text("""
    UPDATE exportacoes
       SET status = 'convertendo', rows_total = :rows, rows_total_kind = 'exato', rows_done = 0, mirror = :mirror,
           step_at = now(), lease_until = now() + make_interval(secs => :lease)
     WHERE id = :id AND attempt = :attempt AND status = 'lendo'
    RETURNING id
""").bindparams(bindparam("mirror", type_=JSONB))
_FINISH = text("""
    UPDATE exportacoes
       SET status = 'pronta', rows_total = :rows, rows_total_kind = 'exato', rows_done = :rows, bytes = :bytes,
           mirror = :mirror, file_name = :file_name, lease_until = NULL, finished_at = now(),
           expires_at = now() + make_interval(hours => :hours)
     WHERE id = :id AND attempt = :attempt AND status IN ('lendo', 'convertendo')
    RETURNING id
""").bindparams(bindparam("mirror", type_=JSONB))
_FAIL = text("""
    UPDATE exportacoes
       SET status = 'erro', cause = :cause, error_message = :message, finished_at = now(), lease_until = NULL
     WHERE id = :id AND attempt = :attempt AND status IN ('lendo', 'convertendo')
    RETURNING id
""")
_PUT_BACK = text("""
    UPDATE exportacoes SET status = 'na_fila', lease_until = NULL, rows_done = 0, bytes = 0
     WHERE id = :id AND attempt = :attempt AND status IN ('lendo', 'convertendo')
""")
_END = text("""
    UPDATE exportacoes
       SET status = CASE WHEN finished_at IS NULL THEN 'cancelada' ELSE 'apagada' END, cause = NULL,
           finished_at = coalesce(finished_at, now()), lease_until = NULL, idempotency_key = NULL
     WHERE id = :id AND status NOT IN ('cancelada', 'apagada')
""")
_EXPIRE = text("UPDATE exportacoes SET status = 'expirada' WHERE status = 'pronta' AND expires_at < now()")
_FORGET = text("""
    DELETE FROM exportacoes
     WHERE status IN ('erro', 'cancelada', 'apagada', 'expirada')
       AND finished_at < now() - make_interval(days => :days)
""")
_LIVE = text("""
    SELECT id, attempt FROM exportacoes
     WHERE folder = :folder AND status IN ('lendo', 'convertendo', 'pronta')
""")


@dataclass(frozen=True)
class Job:
    """A claimed job: `attempt` is its fencing token; `request` as the API took it."""

    id: int
    attempt: int
    request: Mapping[str, Any]
    rows_total: int

    @property
    def folder_name(self) -> str:
        """The name of its folder."""
        return folder_name(self.id, self.attempt)


PREFIX = "exportacao-"


def folder_name(job_id: int, attempt: int) -> str:
    """The name of a job's folder, another one for each attempt."""
    return f"{PREFIX}{job_id}-{attempt}"


async def find_by_key(
    db: AsyncConnection, key: str, requested_by: str | None, request: Mapping[str, Any]
) -> int | None:
    """The job that was asked for under an idempotency key.

    Raises:
        IdempotencyKeyReusedError: it was another request.

    """
    row = (await db.execute(_FIND_KEY, {"key": key, "requested_by": requested_by})).one_or_none()
    if row is None:
        return None
    if row.request != request:
        raise IdempotencyKeyReusedError("Esta Idempotency-Key já foi usada para outro pedido.")
    return int(row.id)


async def add(
    db: AsyncConnection,
    request: Mapping[str, Any],
    *,
    requested_by: str | None,
    key: str | None,
    folder: str,
    total: tuple[int, TotalKind],
    mirror: Mapping[str, Any],
    per_user: int,
    most_bytes: int,
) -> int:
    """Record a job; its id. A request whose key is known is that job.

    Raises:
        TooManyUnfinishedError: there are too many jobs, of all users or of this one.
        ConflictError: the files that are kept leave no room.
        IdempotencyKeyReusedError: the key belongs to another request.

    """
    await db.execute(_TAKE_ADMISSION, {"key": ADMISSION})
    if key is not None and (known := await find_by_key(db, key, requested_by, request)) is not None:
        return known
    counts = (await db.execute(_COUNT, {"requested_by": requested_by, "folder": folder})).one()
    if counts.own >= per_user:
        raise TooManyUnfinishedError(f"Já há {counts.own} exportações suas em andamento: espere, ou cancele uma.")
    if counts.unfinished >= MOST_UNFINISHED:
        raise TooManyUnfinishedError(f"Já há {counts.unfinished} exportações em andamento: espere que uma termine.")
    if counts.bytes >= most_bytes:
        until = f"; a próxima expira em {counts.next_expiry:%d/%m/%Y %H:%M} UTC" if counts.next_expiry else ""
        raise ConflictError(
            f"Os arquivos guardados já têm {counts.bytes} bytes, e o limite (EXPORT_MAX_BYTES) é {most_bytes}:"
            f" apague uma exportação{until}."
        )
    values = {"request": request, "requested_by": requested_by, "key": key, "folder": folder, "mirror": mirror}
    row = await db.execute(_ADD, {**values, "rows_total": total[0], "rows_total_kind": total[1]})
    return int(row.scalar_one())


async def claim(db: AsyncConnection, folder: str) -> Job | None:
    """Take the oldest job that is free: new, or left by a backend that has died."""
    values = {"folder": folder, "lease": LEASE_SECONDS, "hand_over": HAND_OVER_SECONDS, "most": MOST_ATTEMPTS}
    row = (await db.execute(_CLAIM, values)).one_or_none()
    return None if row is None else Job(*row)


async def beat(db: AsyncConnection, job: Job, *, pid: int | None, rows_done: int, size: int) -> int | None:
    """Extend the lease and note progress; the bytes of all other jobs in the folder, `None` if the job has ended.

    `pid`: the server's process that copies its rows, if one does.
    """
    values = {"id": job.id, "attempt": job.attempt, "pid": pid, "rows_done": rows_done, "bytes": size}
    row = (await db.execute(_BEAT, {**values, "lease": LEASE_SECONDS})).one_or_none()
    return None if row is None else int(row.others_bytes)


async def begin_converting(db: AsyncConnection, job: Job, *, rows: int, mirror: Mapping[str, Any]) -> bool:
    """All rows are read; `False` if the job has ended."""
    values = {"id": job.id, "attempt": job.attempt, "rows": rows, "mirror": mirror, "lease": LEASE_SECONDS}
    return (await db.execute(_CONVERT, values)).one_or_none() is not None


async def finish(
    db: AsyncConnection, job: Job, *, rows: int, size: int, file_name: str, mirror: Mapping[str, Any], hours: int
) -> bool:
    """The file is there; `False` if the job has ended before."""
    values = {"id": job.id, "attempt": job.attempt, "rows": rows, "bytes": size, "file_name": file_name}
    return (await db.execute(_FINISH, {**values, "mirror": mirror, "hours": hours})).one_or_none() is not None


async def fail(db: AsyncConnection, job: Job, cause: Cause, message: str) -> bool:
    """The job ends without a file; `False` if it has ended before."""
    values = {"id": job.id, "attempt": job.attempt, "cause": cause, "message": message}
    return (await db.execute(_FAIL, values)).one_or_none() is not None


async def put_back(db: AsyncConnection, job: Job) -> None:
    """This backend stops: another one, or itself when it is back, begins the job anew."""
    await db.execute(_PUT_BACK, {"id": job.id, "attempt": job.attempt})


async def end(db: AsyncConnection, job_id: int) -> None:
    """Cancel a job, or give up its file; for its users there is none any more."""
    await db.execute(_END, {"id": job_id})


async def tidy(db: AsyncConnection) -> list[int]:
    """Expire files, forget old rows, and give up jobs that too many backends have left; the ids of these."""
    await db.execute(_EXPIRE)
    await db.execute(_FORGET, {"days": KEPT_DAYS})
    return [row.id for row in await db.execute(_GIVE_UP, {"most": MOST_ATTEMPTS})]


async def load_live_folders(db: AsyncConnection, folder: str) -> set[str]:
    """The names of the folders of jobs that still have a use."""
    return {folder_name(row.id, row.attempt) for row in await db.execute(_LIVE, {"folder": folder})}


async def load(db: AsyncConnection, job_id: int) -> Row[Any]:
    """The row of a job.

    Raises:
        NotFoundError: there is none, or a user has ended it.

    """
    row = (await db.execute(select(exportacoes).where(exportacoes.c.id == job_id))).one_or_none()
    if row is None:
        raise NotFoundError(f"Não existe a exportação {job_id}.")
    if row.status in ENDED_BY_USERS:
        raise NotFoundError(f"A exportação {job_id} foi {row.status}.")
    return row


async def load_many(
    db: AsyncConnection, *, requested_by: str | None, sees_all: bool, before: int | None, limit: int
) -> list[Row[Any]]:
    """Jobs from the newest to the oldest, those of one user or all."""
    statement = select(exportacoes).where(exportacoes.c.status.not_in(ENDED_BY_USERS))
    statement = statement.order_by(exportacoes.c.id.desc()).limit(limit)
    if not sees_all:
        statement = statement.where(exportacoes.c.requested_by == requested_by)
    if before is not None:
        statement = statement.where(exportacoes.c.id < before)
    return list((await db.execute(statement)).all())
