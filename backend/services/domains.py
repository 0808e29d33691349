"""Domain tables: what the portal calls its codes, and what the records call them."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row, TextClause, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.errors import NotFoundError
from backend.models.domains import Domain, DomainEntry, DomainListed, Domains, SeenName
from common.database import driver_of
from common.resources.dominios import DOMAIN_TABLES, SEEN, Seen

# ruff: noqa: S608  # all names in these statements stand in descriptions

NAMES = list(dict.fromkeys((*(table.name for table in DOMAIN_TABLES), *SEEN)))
SAMPLED_ROWS = 30_000
SEEN_SECONDS = 2.0
ALL = 100.0  # per cent
_TIMED_OUT = "57014"
_LIMIT = text("SELECT set_config('statement_timeout', :milliseconds, true)")

_COUNT = text("""
    SELECT dominio, count(*) AS entradas, count(ausente_desde) AS ausentes FROM dominios GROUP BY dominio
""")
_LOAD = text("""
    SELECT codigo, nome, descricao, ativo, ausente_desde FROM dominios WHERE dominio = :dominio
""")
_SHARE = text("""
    SELECT CASE WHEN reltuples > :most THEN 100 * :most / reltuples ELSE 100 END
      FROM pg_class WHERE oid = CAST(:table_name AS regclass)
""")


async def _rows_within(
    db: AsyncConnection, statement: TextClause, parameters: Mapping[str, Any], *, seconds: float
) -> Sequence[Row[Any]] | None:
    """The rows of a query, or `None` where it would take longer; the connection may be in a transaction or not."""
    try:
        async with (await driver_of(db)).transaction():
            await db.execute(_LIMIT, {"milliseconds": str(int(seconds * 1000))})
            return (await db.execute(statement, parameters)).all()
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != _TIMED_OUT:
            raise
        return None


async def load_domains(db: AsyncConnection) -> Domains:
    """All domain tables, with how many entries each has."""
    counts = {row.dominio: row for row in await db.execute(_COUNT)}
    return Domains(
        tabelas=[
            DomainListed(
                tabela=name,
                entradas=counts[name].entradas if name in counts else 0,
                ausentes=counts[name].ausentes if name in counts else 0,
                vista_em=_tables(name),
            )
            for name in NAMES
        ]
    )


def _tables(name: str) -> list[str]:
    return [seen.table for seen in SEEN.get(name, ())]


async def load_domain(db: AsyncConnection, name: str) -> Domain:
    """The codes of one domain table, those of the portal and those of records.

    Of large tables a sample is counted: some 30,000 rows on pages by chance.

    Raises:
        NotFoundError: there is no such table.

    """
    if name not in NAMES:
        raise NotFoundError(f"Não existe a tabela de domínio {name}.")
    official = {row.codigo: row for row in await db.execute(_LOAD, {"dominio": name})}
    names: defaultdict[str, Counter[str | None]] = defaultdict(Counter)
    is_estimated = is_incomplete = False
    for seen in SEEN.get(name, ()):
        share: float = (await db.execute(_SHARE, {"table_name": seen.table, "most": SAMPLED_ROWS})).scalar_one()
        rows = await _rows_within(db, text(_to_count(seen)), {"share": share}, seconds=SEEN_SECONDS)
        is_estimated = is_estimated or share < ALL
        is_incomplete = is_incomplete or rows is None
        for row in rows or ():
            names[row.codigo][row.nome] += round(row.registros * ALL / share)
    codes = sorted({*official, *names}, key=lambda code: (not code.isdigit(), int(code) if code.isdigit() else 0, code))
    return Domain(
        tabela=name,
        vista_em=_tables(name),
        estimado=is_estimated,
        incompleta=is_incomplete,
        entradas=[
            _entry(code, official.get(code), names[code], is_official=bool(official), is_used=name in SEEN)
            for code in codes
        ],
    )


def _to_count(seen: Seen) -> str:
    return f"""
    SELECT CAST({seen.code} AS text) AS codigo, {seen.name} AS nome, count(*) AS registros
      FROM {seen.table} TABLESAMPLE SYSTEM (:share)
     WHERE {seen.code} IS NOT NULL
     GROUP BY {seen.code}, {seen.name}
"""


def _entry(
    code: str, official: Row[Any] | None, names: Mapping[str | None, int], *, is_official: bool, is_used: bool
) -> DomainEntry:
    divergence = None
    if is_official and official is None:
        divergence = "fora_da_tabela"
    elif is_used and not names:
        divergence = "sem_registros"
    elif official is not None and any(name != official.nome for name in names):
        divergence = "outro_nome"
    return DomainEntry(
        codigo=code,
        nome=official.nome if official else None,
        descricao=official.descricao if official else None,
        ativo=official.ativo if official else None,
        ausente_desde=official.ausente_desde if official else None,
        registros=sum(names.values()),
        nomes=[
            SeenName(nome=name, registros=count)
            for name, count in sorted(names.items(), key=lambda pair: (-pair[1], pair[0] or ""))
        ],
        divergencia=divergence,
    )
