"""Files of whole years of an entity, made at night where their rows have changed; CPFs are masked in all of them.

One backend makes them, under an advisory lock. A round that its backend does not end is taken up by another one, which
leaves what has been looked at. Rows are compared by the digest of their CSV, so that a change of any column counts.
"""

import asyncio
import gzip
import hashlib
import shutil
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Row, TextClause, bindparam, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from backend.errors import ConflictError, NotFoundError
from backend.models import yearly as models
from backend.services.election import look_if_elected
from backend.services.entities.mirror import Mirror
from backend.services.entities.question import Question, parse_question
from backend.services.exports.about import columns_of, describe
from backend.services.exports.converting import convert, has_parquet
from backend.services.exports.copying import with_file_fields
from backend.services.exports.folder import Download, Folder, in_another_folder
from backend.services.exports.running import ROWS, Progress, copy_rows, is_disk_full
from backend.services.ocds.files import write_releases
from backend.services.reading import ReadConnections
from common.clock import to_wall_clock
from common.config import OFF
from common.cron import next_runs
from common.database import in_transaction, is_database_trouble, raw_driver_of
from common.entities.entity import ENTITIES_BY_ADDRESS, Entity, of_resource
from common.lists import Scopes
from common.resources.contratacoes import CONTRATACOES
from common.tables import arquivos, arquivos_geracoes

# ruff: noqa: S608  # names in these statements stand in descriptions

log = structlog.get_logger(__name__)

LOOK_SECONDS = 15.0
LOCK = 7_020_114_140
"""The advisory lock of the backend that makes files."""
GZIP, PARQUET = ".gz", "parquet"
OCDS, RELEASES = "ocds", "jsonl.gz"
"""What files of OCDS releases are called, and their ending."""
MEDIA_TYPES = {
    "csv.gz": "application/gzip",
    "ndjson.gz": "application/gzip",
    PARQUET: "application/vnd.apache.parquet",
    RELEASES: "application/gzip",
}
WORK = ".geracao-"
"""How the folders begin in which files are made."""
_PART = 1024 * 1024

_NEWEST = select(arquivos_geracoes).order_by(arquivos_geracoes.c.id.desc()).limit(1)
_BEGIN = text("""
    INSERT INTO arquivos_geracoes (requested_by) VALUES (:requested_by) ON CONFLICT DO NOTHING
""")
_START = text("UPDATE arquivos_geracoes SET started_at = coalesce(started_at, now()) WHERE id = :id")
_END = text("""
    UPDATE arquivos_geracoes g
       SET finished_at = now(), error_message = :error,
           files_made = (SELECT count(*) FROM arquivos WHERE made_at >= g.created_at),
           files_unchanged = (SELECT count(*) FROM arquivos WHERE checked_at >= g.created_at AND made_at < g.created_at)
     WHERE id = :id
""")
_CHECKED = text("UPDATE arquivos SET checked_at = now() WHERE name = ANY(CAST(:names AS text[]))")
_MADE = text("""
    INSERT INTO arquivos (name, entidade, ano, formato, folder, rows, bytes, sha256, rows_sha256, mirror, made_at,
                          checked_at)
    VALUES (:name, :entidade, :ano, :formato, :folder, :rows, :bytes, :sha256, :rows_sha256, :mirror, now(), now())
    ON CONFLICT (name) DO UPDATE
       SET folder = excluded.folder, rows = excluded.rows, bytes = excluded.bytes, sha256 = excluded.sha256,
           rows_sha256 = excluded.rows_sha256, mirror = excluded.mirror, made_at = now(), checked_at = now()
""").bindparams(bindparam("mirror", type_=JSONB))


@dataclass(frozen=True)
class _Year:
    """What one set of files holds: a year of an entity, or all of one that has no years."""

    entity: Entity
    year: int | None

    @property
    def stem(self) -> str:
        return self.entity.address if self.year is None else f"{self.entity.address}-{self.year}"

    def question(self) -> Question:
        """All rows of the year, in the order of their list."""
        name, year = self.entity.period, self.year
        parameters = [] if year is None else [(f"{name}_de", f"{year}-01-01"), (f"{name}_ate", f"{year}-12-31")]
        return with_file_fields(parse_question(self.entity, parameters, may_see_all=False, has_pages=False))


class YearFiles:
    """The files of whole years, and the loop that makes them."""

    def __init__(
        self,
        engine: AsyncEngine,
        copying: AsyncEngine,
        *,
        folder: Folder | None,
        scopes: Scopes,
        cron: str,
        entities: Sequence[str],
        formats: Sequence[str],
        ocds_prefix: str | None,
    ) -> None:
        """`folder` is `None` where FILES_DIR is not set: there are no files. With a prefix there are OCDS files."""
        self._engine = engine
        self._copying = copying
        self.folder = folder
        self._scopes = scopes
        self.cron = cron
        self._entities = [ENTITIES_BY_ADDRESS[name] for name in entities]
        self._formats = [each for each in formats if each != PARQUET or has_parquet()]
        self._ocds_prefix = ocds_prefix
        self._wake = asyncio.Event()

    async def ask(self, requested_by: str | None) -> Row[Any]:
        """Have files made now; the round that does so, which may be one that is under way.

        Raises:
            ConflictError: there is no folder for them.

        """
        if self.folder is None:
            raise ConflictError("FILES_DIR não está definida: não há onde guardar arquivos.")

        async def begin(db: AsyncConnection) -> Row[Any]:
            await db.execute(_BEGIN, {"requested_by": requested_by})
            return (await db.execute(_NEWEST)).one()

        newest = await in_transaction(self._engine, begin)
        self._wake.set()
        return newest

    async def work(self) -> None:
        """Make files when they are due or asked for, until cancelled, whenever no other backend does."""
        began = datetime.now(UTC)
        while True:
            await look_if_elected(
                self._engine,
                LOCK,
                partial(self._look, began),
                waits="files wait for the database",
                fails="files could not be looked at",
            )
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), LOOK_SECONDS)
            self._wake.clear()

    async def _look(self, began: datetime) -> None:
        async with self._engine.connect() as db:
            newest = (await db.execute(_NEWEST)).one_or_none()
        if newest is None or newest.finished_at is not None:
            due = [] if self.cron == OFF else next_runs(self.cron, newest.created_at if newest else began, 1)
            if not due or due[0] > datetime.now(UTC):
                return
            newest = await self.ask(None)
        error = None
        try:
            await self._make_all(newest)
        except Exception as fault:
            if is_database_trouble(fault):
                raise
            log.exception("files could not be made")
            full = "O disco dos arquivos (FILES_DIR) está cheio."
            error = full if is_disk_full(fault) else str(fault)[:500] or type(fault).__name__
        await self._execute(_END, {"id": newest.id, "error": error})
        log.info("files made", round_id=newest.id, error=error)

    async def _make_all(self, asked: Row[Any]) -> None:
        """Look at every year; those that have been looked at in this round are left."""
        assert self.folder is not None  # noqa: S101  # without one there are no rounds
        for name in await asyncio.to_thread(lambda folder: list(folder.names(WORK)), self.folder):
            await asyncio.to_thread(self.folder.remove, name)  # of a backend that died
        await self._execute(_START, {"id": asked.id})
        for entity in self._entities:
            for each in await self._years_of(entity):
                names = {file_format: f"{each.stem}.{file_format}" for file_format in self._formats}
                await self._make_year(asked, names, partial(self._make, each, names))
        if self._ocds_prefix is not None:
            for each in await self._years_of(of_resource(CONTRATACOES)):
                name = f"{OCDS}-{each.year}.{RELEASES}"
                await self._make_year(asked, {RELEASES: name}, partial(self._make_releases, each, name))

    async def _make_year(
        self,
        asked: Row[Any],
        names: Mapping[str, str],
        make: Callable[[Mapping[str, Row[Any]], Path], Coroutine[Any, Any, None]],
    ) -> None:
        """Make these files in a folder of their own, unless this round has looked at them."""
        assert self.folder is not None  # noqa: S101
        known = await self._load_known(names.values())
        if all(name in known and known[name].checked_at >= asked.created_at for name in names.values()):
            return
        path = await asyncio.to_thread(self.folder.of_job, f"{WORK}{asked.id}")
        try:
            await make(known, path)
        finally:
            await asyncio.to_thread(self.folder.remove, path.name)

    async def _execute(self, statement: TextClause, values: Mapping[str, Any]) -> None:
        await in_transaction(self._engine, lambda db: db.execute(statement, values))

    async def _years_of(self, entity: Entity) -> Sequence[_Year]:
        """The years from an entity's first to its last; one without a year if it has none."""
        if not entity.period:
            return [_Year(entity, None)]
        sql = entity.default_order.sql
        span = f"SELECT min({sql}) AS first, max({sql}) AS last FROM {entity.source}"
        async with self._copying.connect() as db:
            found = await (await raw_driver_of(db)).fetchrow(span)
        if found is None or found["first"] is None:
            return []
        return [_Year(entity, year) for year in range(found["first"].year, found["last"].year + 1)]

    async def _load_known(self, names: Iterable[str]) -> Mapping[str, Row[Any]]:
        async with self._engine.connect() as db:
            rows = await db.execute(select(arquivos).where(arquivos.c.name.in_(list(names))))
            return {row.name: row for row in rows}

    async def _make(self, each: _Year, names: Mapping[str, str], known: Mapping[str, Row[Any]], path: Path) -> None:
        """Make the files of a year whose rows are other ones than before, or that are missing."""
        assert self.folder is not None  # noqa: S101
        question, source = each.question(), path / ROWS
        rows, mirror = await copy_rows(self._copying, self._scopes, question, source, Progress())
        if not rows:
            return
        digest = await asyncio.to_thread(_sha256_of, source)
        kept = [name for name in names.values() if name in known and self._is_same(known[name], digest)]
        await self._execute(_CHECKED, {"names": kept})
        for file_format, name in names.items():
            if name in kept:
                continue
            made = path / name
            await self._convert(question, mirror, file_format, source, made, rows=rows)
            await self._keep(each, made, (each.entity.address, file_format), mirror, rows=rows, digest=digest)

    async def _make_releases(self, each: _Year, name: str, known: Mapping[str, Row[Any]], path: Path) -> None:
        """Make the file of a year's OCDS releases if any of them is another one than before."""
        assert self._ocds_prefix is not None  # noqa: S101  # the caller has looked
        made = path / name
        rows, digest, mirror = await write_releases(
            self._copying, self._scopes, each.question(), made, self._ocds_prefix
        )
        if not rows:
            return
        if name in known and self._is_same(known[name], digest):
            await self._execute(_CHECKED, {"names": [name]})
        else:
            await self._keep(each, made, (OCDS, RELEASES), mirror, rows=rows, digest=digest)

    async def _keep(
        self, each: _Year, made: Path, kind: tuple[str, str], mirror: Mirror, *, rows: int, digest: str
    ) -> None:
        """Put a file in its place; `kind`: its entity and its format."""
        assert self.folder is not None  # noqa: S101
        values = {
            "name": made.name,
            "entidade": kind[0],
            "ano": each.year,
            "formato": kind[1],
            "folder": self.folder.identity,
            "rows": rows,
            "bytes": (await asyncio.to_thread(made.stat)).st_size,
            "sha256": await asyncio.to_thread(_sha256_of, made),
            "rows_sha256": digest,
            "mirror": mirror.to_json(),
        }
        await asyncio.to_thread(made.replace, self.folder.path / made.name)
        await self._execute(_MADE, values)
        log.info("file made", name=made.name, rows=rows, bytes=values["bytes"])

    def _is_same(self, row: Row[Any], digest: str) -> bool:
        assert self.folder is not None  # noqa: S101
        path = self.folder.path / row.name
        is_there = row.folder == self.folder.identity and path.exists() and path.stat().st_size == row.bytes
        return is_there and bool(row.rows_sha256 == digest)

    async def _convert(
        self, question: Question, mirror: Mirror, file_format: str, source: Path, target: Path, *, rows: int
    ) -> None:
        plain = file_format.removesuffix(GZIP)
        if plain != "csv":
            about = describe(question, mirror, rows=rows, made_at=to_wall_clock(datetime.now(UTC)))
            converted = target if plain == file_format else source.with_name(plain)
            await convert(plain, source, converted, columns_of(question), about)
            source = converted
        if plain != file_format:
            await asyncio.to_thread(_compress, source, target)


def _parts_of(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while part := file.read(_PART):
            yield part


def _sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    for part in _parts_of(path):
        digest.update(part)
    return digest.hexdigest()


def _compress(source: Path, target: Path) -> None:
    """Compress a file; the same bytes for the same content."""
    with source.open("rb") as read, target.open("wb") as written, gzip.GzipFile("", "wb", 6, written, mtime=0) as file:
        shutil.copyfileobj(read, file, _PART)


# --- for the API ------------------------------------------------------------------------------------------------


async def load_files(reading: ReadConnections, files: YearFiles, public_url: str | None) -> models.YearFiles:
    """All files by their names, and the newest round."""
    async with reading.connect() as db:
        rows = (await db.execute(select(arquivos).order_by(arquivos.c.entidade, arquivos.c.ano, arquivos.c.name))).all()
        newest = (await db.execute(_NEWEST)).one_or_none()
    shown = [
        models.YearFile(
            nome=row.name,
            endereco=f"{public_url or ''}/arquivos/{row.name}",
            entidade=row.entidade,
            ano=row.ano,
            formato=row.formato,
            registros=row.rows,
            bytes=row.bytes,
            sha256=row.sha256,
            espelho=row.mirror,
            feito_em=row.made_at,
            verificado_em=row.checked_at,
        )
        for row in rows
    ]
    due = [] if files.cron == OFF or files.folder is None else next_runs(files.cron, datetime.now(UTC), 1)
    return models.YearFiles(
        arquivos=shown,
        geracao=None if newest is None else to_round(newest),
        horario=files.cron,
        proxima=due[0] if due else None,
        dataset=_dataset_of(shown),
    )


def to_round(row: Row[Any]) -> models.Round:
    """A round as the API tells it."""
    return models.Round(
        id=row.id,
        solicitante=row.requested_by,
        pedida_em=row.created_at,
        iniciada_em=row.started_at,
        terminada_em=row.finished_at,
        arquivos_feitos=row.files_made,
        arquivos_iguais=row.files_unchanged,
        erro=row.error_message,
    )


def _dataset_of(files: Sequence[models.YearFile]) -> dict[str, Any]:
    """The files as search engines for data sets read them (https://schema.org/Dataset)."""
    years = [each.ano for each in files if each.ano is not None]
    return {
        "@context": "https://schema.org",
        "@type": "Dataset",
        "name": "Espelho do Portal Nacional de Contratações Públicas (PNCP)",
        "description": "Registros do PNCP, por entidade e ano, como o portal os publica; CPFs mascarados.",
        "inLanguage": "pt-BR",
        "isBasedOn": "https://pncp.gov.br",
        "spatialCoverage": "Brasil",
        **({"temporalCoverage": f"{min(years)}/{max(years)}"} if years else {}),
        **({"dateModified": max(each.feito_em for each in files).isoformat()} if files else {}),
        "distribution": [
            {
                "@type": "DataDownload",
                "name": each.nome,
                "contentUrl": each.endereco,
                "encodingFormat": MEDIA_TYPES[each.formato],
                "contentSize": f"{each.bytes} B",
                "sha256": each.sha256,
                "dateModified": each.feito_em.isoformat(),
            }
            for each in files
        ],
    }


async def find_file(reading: ReadConnections, files: YearFiles, name: str) -> Download:
    """The file of this name.

    Raises:
        NotFoundError: there is none.
        ConflictError: it is in the folder of another backend.

    """
    async with reading.connect() as db:
        row = (await db.execute(select(arquivos).where(arquivos.c.name == name))).one_or_none()
    if row is None:
        raise NotFoundError("Não existe este arquivo; /arquivos diz quais existem.")
    if files.folder is None or row.folder != files.folder.identity:
        raise in_another_folder("FILES_DIR")
    return Download(files.folder.path / row.name, row.name, MEDIA_TYPES[row.formato], f'"{row.sha256[:32]}"')
