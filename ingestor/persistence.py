"""One page of the portal as SQL: what is known of its records, and the transaction that stores it.

Rows are copied into temporary tables and merged from there: the fastest way measured, and the guard on the version
stands in the database, where two workers meet.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import asyncpg
from sqlalchemy import Column, Numeric, Table, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from common.executions import Claim, PageCounts
from common.tables import contratacoes, itens_contratacao
from ingestor.pncp.records import (
    CONTRATACAO_COLUMNS,
    ITEM_COLUMNS,
    Contratacao,
    Item,
    Record,
    Rejected,
    Stamps,
    contratacao_row,
    item_row,
)

VALUE_REFUSED = (asyncpg.DataError, asyncpg.ProgramLimitExceededError)
"""What PostgreSQL says to a value that it cannot hold: out of range, or too large for an index."""


@dataclass(frozen=True)
class Bundle:
    """A contratação to be written, with its items as read; `itens_complete` is false where one was rejected."""

    record: Record[Contratacao]
    itens: list[Record[Item]]
    itens_complete: bool = True

    @property
    def key(self) -> str:
        """Its control number."""
        return self.record.typed.numero_controle_pncp


@dataclass(frozen=True)
class BundleCounts:
    """What writing bundles came to; what is unchanged or older is in none of them."""

    inserted: int = 0
    updated: int = 0
    itens: int = 0

    def plus(self, other: "BundleCounts") -> "BundleCounts":
        """The sum of both."""
        return BundleCounts(self.inserted + other.inserted, self.updated + other.updated, self.itens + other.itens)


@dataclass(frozen=True)
class PageResult:
    """What one read page leaves: all keys seen on it, those that count as processed, what to write and to reject."""

    number: int
    total_registros: int
    total_paginas: int
    keys: frozenset[str]
    processed: frozenset[str]
    bundles: list[Bundle] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)


@dataclass
class Progress:
    """What the committed pages of a slice say; it goes on growing in memory while the slice is held.

    `pages` and `keys` belong to the present reading, `processed` to all readings: it is what must not be counted twice.
    """

    reading: int
    pages: set[int] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)
    processed: set[str] = field(default_factory=set)
    total_registros: int = 0
    total_paginas: int = 0

    def add(self, result: PageResult) -> None:
        """Take in a page that has just been committed."""
        self.pages.add(result.number)
        self.keys |= result.keys
        self.processed |= result.processed
        self.total_registros = result.total_registros
        if result.number == 1:
            self.total_paginas = max(self.total_paginas, result.total_paginas)

    def with_page(self, result: PageResult) -> "Progress":
        """What it will be with a page that is about to be committed."""
        grown = replace(self, pages=set(self.pages), keys=set(self.keys), processed=set(self.processed))
        grown.add(result)
        return grown

    def begin_anew(self) -> None:
        """Forget the reading, keep what has been processed."""
        self.reading += 1
        self.pages, self.keys = set(), set()
        self.total_registros = self.total_paginas = 0


# --- reading ----------------------------------------------------------------------------------------------------

_PAGES = text("""
    SELECT reading, page, keys, processed, total_registros, total_paginas
      FROM sync_pages WHERE slice_id = :slice_id ORDER BY read_at
""")
_VERSIONS = """
    SELECT numero_controle_pncp, data_atualizacao, data_atualizacao_global, itens_at IS NOT NULL
      FROM contratacoes WHERE numero_controle_pncp = ANY($1::text[])
"""


async def load_progress(db: AsyncConnection, claim: Claim) -> Progress:
    """What earlier claims of this slice have committed."""
    progress = Progress(claim.reading)
    for row in await db.execute(_PAGES, {"slice_id": claim.slice_id}):
        if row.reading == claim.reading:
            keys, processed = frozenset(row.keys), frozenset(row.processed)
            progress.add(PageResult(row.page, row.total_registros, row.total_paginas, keys, processed))
        else:
            progress.processed.update(row.processed)
    return progress


async def load_versions(db: AsyncConnection, keys: Iterable[str]) -> dict[str, tuple[Stamps, bool]]:
    """The stored version of each known control number, and whether its items are stored too."""
    driver = await _driver_of(db)
    rows = await driver.fetch(_VERSIONS, list(keys))
    return {key: ((header, whole), has_itens) for key, header, whole, has_itens in rows}


# --- writing ----------------------------------------------------------------------------------------------------


def _names(columns: Iterable[str]) -> str:
    return ", ".join(columns)


def _from_excluded(columns: Sequence[str]) -> str:
    return ", ".join(f"{name} = excluded.{name}" for name in columns)


def _stage(table: Table, columns: Sequence[str]) -> str:
    """The table that rows are copied into, numbers and JSON still as the text they came as.

    The database reads them while it merges; to send them ready for use costs the driver far more.
    """
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    kinds = {name: "text" if _is_text(table.c[name]) else table.c[name].type.compile(dialect) for name in columns}
    body = ", ".join(f"{name} {kind}" for name, kind in kinds.items())
    return f"CREATE TEMP TABLE IF NOT EXISTS stage_{table.name} ({body}) ON COMMIT DELETE ROWS"


def _is_text(column: Column[Any]) -> bool:
    return isinstance(column.type, Numeric | JSONB)


def _from_stage(table: Table, columns: Sequence[str]) -> str:
    """What the stage holds, as the table holds it."""
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    return ", ".join(
        f"CAST({name} AS {table.c[name].type.compile(dialect)})" if _is_text(table.c[name]) else name
        for name in columns
    )


# One round trip: the savepoint to come back to where a value is refused, and the stages, made once per connection.
_SAVEPOINT = "SAVEPOINT merge"
_BEGIN_MERGE = "; ".join(
    [
        _SAVEPOINT,
        _stage(contratacoes, CONTRATACAO_COLUMNS),
        _stage(itens_contratacao, ITEM_COLUMNS),
    ]
)
_UNDO_MERGE = "ROLLBACK TO SAVEPOINT merge"
_EMPTY_STAGES = "TRUNCATE stage_contratacoes, stage_itens_contratacao"

# An older version is never written; an equal one only where its items are wanted again.
_MERGE_CONTRATACOES = f"""
    INSERT INTO contratacoes AS known ({_names(CONTRATACAO_COLUMNS)}, itens_at)
    SELECT {_from_stage(contratacoes, CONTRATACAO_COLUMNS)}, now()
      FROM stage_contratacoes ORDER BY numero_controle_pncp
    ON CONFLICT (numero_controle_pncp) DO UPDATE
       SET {_from_excluded(CONTRATACAO_COLUMNS[1:])}, itens_at = now(), updated_at = now()
     WHERE excluded.data_atualizacao > known.data_atualizacao
        OR excluded.data_atualizacao_global > known.data_atualizacao_global
        OR (known.itens_at IS NULL AND excluded.data_atualizacao = known.data_atualizacao
            AND excluded.data_atualizacao_global = known.data_atualizacao_global)
    RETURNING numero_controle_pncp, xmax = 0
"""  # noqa: S608  # column names of ours

# $1: contratações that were written. Only órgãos and units that say something new are touched: most pages name the
# same few, and a row that is locked for nothing holds up every other worker. So `as_of` is when a name was first seen,
# and a record with another one may be later than that and yet older than records that have confirmed the present name:
# those are asked.
_MERGE_ORGAOS = """
    WITH written AS MATERIALIZED (
        SELECT orgao_entidade_cnpj, orgao_entidade_razao_social, orgao_entidade_poder_id, orgao_entidade_esfera_id,
               orgao_sub_rogado_cnpj, orgao_sub_rogado_razao_social, orgao_sub_rogado_poder_id,
               orgao_sub_rogado_esfera_id, payload, data_atualizacao_global
          FROM contratacoes WHERE numero_controle_pncp = ANY($1::text[])
    ), named AS (
        SELECT orgao_entidade_cnpj AS cnpj, orgao_entidade_razao_social AS razao_social,
               orgao_entidade_poder_id AS poder_id, orgao_entidade_esfera_id AS esfera_id,
               payload -> 'orgaoEntidade' AS payload, data_atualizacao_global AS as_of
          FROM written
        UNION ALL
        SELECT orgao_sub_rogado_cnpj, orgao_sub_rogado_razao_social, orgao_sub_rogado_poder_id,
               orgao_sub_rogado_esfera_id, payload -> 'orgaoSubRogado', data_atualizacao_global
          FROM written WHERE orgao_sub_rogado_cnpj IS NOT NULL
    ), newest AS (
        SELECT DISTINCT ON (cnpj) * FROM named WHERE cnpj IS NOT NULL ORDER BY cnpj, as_of DESC
    )
    INSERT INTO orgaos AS known (cnpj, razao_social, poder_id, esfera_id, payload, as_of)
    SELECT n.* FROM newest n LEFT JOIN orgaos o USING (cnpj)
     WHERE o.cnpj IS NULL
        OR (o.as_of <= n.as_of AND o.payload IS DISTINCT FROM n.payload
            AND NOT EXISTS (SELECT FROM contratacoes c
                             WHERE c.orgao_entidade_cnpj = n.cnpj AND c.data_atualizacao_global > n.as_of))
     ORDER BY cnpj
    ON CONFLICT (cnpj) DO UPDATE
       SET razao_social = excluded.razao_social, poder_id = excluded.poder_id, esfera_id = excluded.esfera_id,
           payload = excluded.payload, as_of = excluded.as_of, updated_at = now()
     WHERE known.as_of <= excluded.as_of
"""
_MERGE_UNIDADES = """
    WITH written AS MATERIALIZED (
        SELECT orgao_entidade_cnpj, unidade_orgao_codigo_unidade, unidade_orgao_nome_unidade,
               unidade_orgao_codigo_ibge, unidade_orgao_municipio_nome, unidade_orgao_uf_sigla, unidade_orgao_uf_nome,
               orgao_sub_rogado_cnpj, unidade_sub_rogada_codigo_unidade, unidade_sub_rogada_nome_unidade,
               unidade_sub_rogada_codigo_ibge, unidade_sub_rogada_municipio_nome, unidade_sub_rogada_uf_sigla,
               unidade_sub_rogada_uf_nome, payload, data_atualizacao_global
          FROM contratacoes WHERE numero_controle_pncp = ANY($1::text[])
    ), named AS (
        SELECT orgao_entidade_cnpj AS cnpj, unidade_orgao_codigo_unidade AS codigo_unidade,
               unidade_orgao_nome_unidade AS nome_unidade, unidade_orgao_codigo_ibge AS codigo_ibge,
               unidade_orgao_municipio_nome AS municipio_nome, unidade_orgao_uf_sigla AS uf_sigla,
               unidade_orgao_uf_nome AS uf_nome, payload -> 'unidadeOrgao' AS payload,
               data_atualizacao_global AS as_of
          FROM written
        UNION ALL
        SELECT orgao_sub_rogado_cnpj, unidade_sub_rogada_codigo_unidade, unidade_sub_rogada_nome_unidade,
               unidade_sub_rogada_codigo_ibge, unidade_sub_rogada_municipio_nome, unidade_sub_rogada_uf_sigla,
               unidade_sub_rogada_uf_nome, payload -> 'unidadeSubRogada', data_atualizacao_global
          FROM written WHERE unidade_sub_rogada_codigo_unidade IS NOT NULL
    ), newest AS (
        SELECT DISTINCT ON (cnpj, codigo_unidade) * FROM named
         WHERE cnpj IS NOT NULL AND codigo_unidade IS NOT NULL ORDER BY cnpj, codigo_unidade, as_of DESC
    )
    INSERT INTO unidades AS known
           (cnpj, codigo_unidade, nome_unidade, codigo_ibge, municipio_nome, uf_sigla, uf_nome, payload, as_of)
    SELECT n.* FROM newest n LEFT JOIN unidades u USING (cnpj, codigo_unidade)
     WHERE u.cnpj IS NULL
        OR (u.as_of <= n.as_of AND u.payload IS DISTINCT FROM n.payload
            AND NOT EXISTS (SELECT FROM contratacoes c
                             WHERE c.orgao_entidade_cnpj = n.cnpj AND c.unidade_orgao_codigo_unidade = n.codigo_unidade
                               AND c.data_atualizacao_global > n.as_of))
     ORDER BY cnpj, codigo_unidade
    ON CONFLICT (cnpj, codigo_unidade) DO UPDATE
       SET nome_unidade = excluded.nome_unidade, codigo_ibge = excluded.codigo_ibge,
           municipio_nome = excluded.municipio_nome, uf_sigla = excluded.uf_sigla, uf_nome = excluded.uf_nome,
           payload = excluded.payload, as_of = excluded.as_of, updated_at = now()
     WHERE known.as_of <= excluded.as_of
"""

# $1: contratações that were there before, whose items were all read, and are not none
_DELETE_GONE = """
    DELETE FROM itens_contratacao known
     WHERE numero_controle_pncp = ANY($1::text[])
       AND NOT EXISTS (SELECT 1 FROM stage_itens_contratacao s
                        WHERE s.numero_controle_pncp = known.numero_controle_pncp
                          AND s.numero_item = known.numero_item)
"""
_MERGE_ITENS = f"""
    INSERT INTO itens_contratacao AS known ({_names(ITEM_COLUMNS)})
    SELECT {_from_stage(itens_contratacao, ITEM_COLUMNS)} FROM stage_itens_contratacao
     WHERE numero_controle_pncp = ANY($1::text[]) ORDER BY numero_controle_pncp, numero_item
    ON CONFLICT (numero_controle_pncp, numero_item) DO UPDATE
       SET {_from_excluded(ITEM_COLUMNS[2:])}, updated_at = now()
     WHERE known.payload IS DISTINCT FROM excluded.payload
"""  # noqa: S608  # column names of ours
_KEEP_PAGE = """
    INSERT INTO sync_pages AS known (slice_id, reading, page, keys, processed, total_registros, total_paginas)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (slice_id, reading, page) DO UPDATE
       SET keys = ARRAY(SELECT DISTINCT unnest(known.keys || excluded.keys)),
           processed = ARRAY(SELECT DISTINCT unnest(known.processed || excluded.processed)),
           total_registros = excluded.total_registros, total_paginas = excluded.total_paginas,
           read_at = clock_timestamp()
"""
_REJECT = text("""
    INSERT INTO rejected_records (execution_id, slice_id, resource, natural_key, reason, payload_hash, payload)
    VALUES (:execution_id, :slice_id, :resource, :natural_key, :reason, :payload_hash, :payload)
    ON CONFLICT (execution_id, payload_hash) DO NOTHING
""")


async def store_page(
    db: AsyncConnection,
    claim: Claim,
    result: PageResult,
    progress: Progress,
    *,
    keeps_page: bool = True,
    staged: bool = False,
) -> tuple[PageResult, PageCounts]:
    """Write a page: records, órgãos, units, items, what was rejected, and the page's own row.

    Runs inside the caller's transaction, which holds the slice. Answers the result as it really went (a record that
    the database itself refuses is rejected here) and what it adds to the slice's counts. `keeps_page`: false where the
    slice ends in this transaction, so that nobody will go on from the page. `staged`: what `stage_bundles` answered.
    """
    stored, refused = BundleCounts(), list[Rejected]()
    if result.bundles:
        stored, refused = await store_bundles(db, result.bundles, staged=staged)
    if refused:
        lost = {record.natural_key for record in refused}
        result = replace(result, processed=result.processed - lost, rejected=[*result.rejected, *refused])
    rejected = 0
    for record in result.rejected:
        rejected += await keep_rejected(db, record, execution_id=claim.execution_id, slice_id=claim.slice_id)
    if keeps_page:
        driver = await _driver_of(db)
        await driver.execute(
            _KEEP_PAGE,
            claim.slice_id,
            progress.reading,
            result.number,
            sorted(result.keys),
            sorted(result.processed),
            result.total_registros,
            result.total_paginas,
        )
    fresh = len(result.processed - progress.processed)
    return result, PageCounts(fresh, stored.inserted, stored.updated, rejected, stored.itens)


_ANYTHING = text("SELECT")


async def stage_bundles(db: AsyncConnection, bundles: list[Bundle]) -> bool:
    """Copy bundles to where `store_bundles` merges them from; `False` where the database refuses a value.

    This comes before anything is locked: no time limit of the server's holds while it waits for the next row of a
    COPY, so that a process which is frozen there would keep what it has locked until it wakes.
    """
    driver = await _driver_of(db)
    try:
        await _copy(driver, bundles)
    except VALUE_REFUSED:
        await driver.execute(_UNDO_MERGE)
        return False
    return True


async def store_bundles(
    db: AsyncConnection, bundles: list[Bundle], *, staged: bool = False
) -> tuple[BundleCounts, list[Rejected]]:
    """Write all bundles at once, `staged` or not; where the database refuses a value, one at a time, to find which."""
    driver = await _driver_of(db)
    try:
        if staged:
            await driver.execute(_SAVEPOINT)
        else:
            await _copy(driver, bundles)
        return await _merge(driver, bundles), []
    except VALUE_REFUSED:
        await driver.execute(_UNDO_MERGE)
    if staged:
        await driver.execute(_EMPTY_STAGES)
    stored = BundleCounts()
    refused: list[Rejected] = []
    for bundle in bundles:
        try:
            await _copy(driver, [bundle])
            stored = stored.plus(await _merge(driver, [bundle]))
        except VALUE_REFUSED as error:
            await driver.execute(_UNDO_MERGE)
            refused.append(Rejected(bundle.key, str(error), bundle.record.payload))
        else:
            await driver.execute(_EMPTY_STAGES)
    return stored, refused


async def _driver_of(db: AsyncConnection) -> "asyncpg.Connection[Any]":
    """The driver's own connection, inside the transaction that SQLAlchemy has begun on it: COPY needs it."""
    raw = await db.get_raw_connection()
    driver = raw.driver_connection
    if not isinstance(driver, asyncpg.Connection):
        raise TypeError("not an asyncpg connection")
    if not driver.is_in_transaction():
        await db.execute(_ANYTHING)  # SQLAlchemy begins its transaction with its own first statement only
    return driver


async def _copy(driver: "asyncpg.Connection[Any]", bundles: list[Bundle]) -> None:
    """Begin a savepoint and fill the stages."""
    await driver.execute(_BEGIN_MERGE)
    await driver.copy_records_to_table(
        "stage_contratacoes",
        records=[contratacao_row(bundle.record) for bundle in bundles],
        columns=CONTRATACAO_COLUMNS,
    )
    itens = [item_row(bundle.key, item) for bundle in bundles for item in bundle.itens]
    if itens:
        await driver.copy_records_to_table("stage_itens_contratacao", records=itens, columns=ITEM_COLUMNS)


async def _merge(driver: "asyncpg.Connection[Any]", bundles: list[Bundle]) -> BundleCounts:
    """Merge what the stages hold, which is these bundles."""
    written = dict(await driver.fetch(_MERGE_CONTRATACOES))
    # An empty answer for the items may be a fault of the portal's: it takes nothing away.
    complete = {bundle.key for bundle in bundles if bundle.itens and bundle.itens_complete}
    known_before = [key for key, is_new in written.items() if not is_new and key in complete]
    if known_before:
        await driver.execute(_DELETE_GONE, known_before)
    has_itens = any(bundle.itens for bundle in bundles)
    stored = await driver.execute(_MERGE_ITENS, list(written)) if has_itens else "INSERT 0 0"
    if written:
        await driver.execute(_MERGE_ORGAOS, list(written))
        await driver.execute(_MERGE_UNIDADES, list(written))
    inserted = sum(written.values())
    return BundleCounts(inserted, len(written) - inserted, int(stored.rsplit(" ", 1)[1]))


async def keep_rejected(db: AsyncConnection, record: Rejected, *, execution_id: int, slice_id: int | None) -> int:
    """Keep a rejected record; 0 if this execution has it already."""
    result = await db.execute(
        _REJECT,
        {
            "execution_id": execution_id,
            "slice_id": slice_id,
            "resource": record.resource,
            "natural_key": record.natural_key,
            "reason": record.reason[:2000],
            "payload_hash": record.hash,
            "payload": record.payload,
        },
    )
    return result.rowcount
