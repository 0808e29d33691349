"""A mirror of any size, made by SQL: contratos, contratações with eight items each, their parties, rollup and coverage.

Records are those of the simulator with numbers, days, units, suppliers and texts of their own. Their columns and words
are read out of the payload by the SQL of the merge. Triggers are off and indexes gone while rows are written.

What belongs to the row `n` is drawn by hashes of `n`, so that contratos can name the contratação of a number.
"""

import asyncio
import random
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from itertools import product

import asyncpg
import orjson
from sqlalchemy.engine import make_url

from bench.portal import make_world
from common.database import create_engine, in_transaction
from common.resources.contratacoes import CONTRATACOES
from common.resources.contratos import CONTRATOS
from common.resources.derive import BUSCA, party_columns, search_vector, stored_columns, to_sql
from common.resources.description import Child, Column, Party, Resource
from common.resources.itens import ITENS
from common.resources.parties import FORNECEDORES, ORGAOS, UNIDADES
from ingestor.rollup import count_a_day

# ruff: noqa: S608  # names in these statements stand here or in descriptions

DAYS = 1_826
ITENS_OF_EACH = 8
AT_ONCE = 50_000
WRITERS = 2
TEMPLATES = 500
UNITS = 6_000
CONTRATOS_OF_A_SUPPLIER = 20
KILOBYTES_OF_CONTRATO, KILOBYTES_OF_ITEM = 3.3, 2.8
"""On disk with their indexes; of an item with its part of its contratação."""

# Shares of contratos in percent.
OF_SHARE = {
    22: ("SP",),
    14: ("MG",),
    9: ("PR", "RS"),
    7: ("SC",),
    6: ("BA",),
    4: ("GO", "RJ"),
    3: ("CE", "PE"),
    2: ("ES", "MT", "MS", "PA", "PB", "MA"),
    1: ("RN", "PI", "DF", "AL", "SE", "TO", "RO", "AM", "AC", "AP", "RR"),
}
UFS = {uf: share for share, ufs in OF_SHARE.items() for uf in ufs}
ESFERAS = {"M": 71, "E": 14, "F": 13, "D": 2}
BEGINNINGS = (
    *("Aquisição de", "Contratação de empresa para fornecimento de", "Registro de preços para aquisição de"),
    *("Contratação de empresa especializada em", "Prestação de serviços de", "Fornecimento parcelado de"),
    *("Registro de preços para eventual contratação de", "Locação de"),
)
THINGS = (
    *("pneus e câmaras de ar", "pneus para caminhão", "medicamentos da farmácia básica", "medicamentos judiciais"),
    *(
        "merenda escolar",
        "gêneros alimentícios para a merenda escolar",
        "material de limpeza",
        "material de expediente",
    ),
    *("combustíveis", "óleo diesel S-10", "gasolina comum", "material elétrico", "material hidráulico", "tintas"),
    *("mobiliário escolar", "equipamentos de informática", "computadores", "impressoras", "software de gestão"),
    *("transporte escolar", "limpeza urbana", "manutenção predial", "manutenção de veículos", "peças para veículos"),
    *("ambulâncias", "material odontológico", "material hospitalar", "luvas de procedimento", "seringas", "oxigênio"),
    *("uniformes", "livros didáticos", "brinquedos pedagógicos", "instrumentos musicais", "shows artísticos"),
    *("assessoria jurídica", "assessoria contábil", "consultoria em engenharia", "pavimentação asfáltica", "drenagem"),
    *("reforma de escola", "construção de creche", "iluminação pública", "poços artesianos", "segurança eletrônica"),
    *("vigilância armada", "seguro de veículos", "passagens aéreas", "publicidade institucional"),
)
ENDS = (
    *("", "para atender às necessidades da Secretaria Municipal de Saúde", "para a Secretaria de Educação"),
    *("conforme especificações do Termo de Referência", "destinados à frota municipal", "para o exercício de 2025"),
    *("para o Fundo Municipal de Saúde", "com entrega parcelada, pelo período de doze meses", "da rede municipal"),
    *("para as unidades administrativas do órgão, conforme condições, quantidades e exigências do edital",),
    *("em atendimento à emenda parlamentar", "para o Campus São Francisco"),
)


@dataclass(frozen=True)
class Sizes:
    """How many rows there are, of how many days, and which is the last."""

    contratos: int
    itens: int
    last_day: date
    days: int = DAYS

    @property
    def contratacoes(self) -> int:
        """So many that each has its items."""
        return max(1, self.itens // ITENS_OF_EACH)

    @property
    def suppliers(self) -> int:
        """Of which the largest has a contrato in eighty, where there are ten million."""
        return max(10, self.contratos // CONTRATOS_OF_A_SUPPLIER)

    @property
    def gigabytes(self) -> float:
        """On disk, about."""
        return (self.contratos * KILOBYTES_OF_CONTRATO + self.itens * KILOBYTES_OF_ITEM) / 1e6


def fill(url: str, sizes: Sizes) -> None:
    """Fill a migrated, empty database."""
    asyncio.run(_fill(url, sizes))


async def _fill(url: str, sizes: Sizes) -> None:
    db = await asyncpg.connect(url)
    try:
        await _make_stock(db)
        owed = await _clear_way(db)
        await _write(url, sizes)
        await db.execute("SET maintenance_work_mem = '512MB'")
        start = time.monotonic()
        for statement in owed:
            await db.execute(statement)
        print(f"  indexes and keys: {time.monotonic() - start:.0f} s", flush=True)
        for table in (*TABLES, "orgaos", "unidades", "fornecedores"):
            await db.execute(f"VACUUM ANALYZE {table}")
        await db.execute(_COVERED, sizes.last_day, sizes.days)
        await db.execute("DELETE FROM rollup_state WHERE entidade = ANY($1)", [CONTRATACOES.name, CONTRATOS.name])
        await _count_rollup(url)
        await db.execute("DROP SCHEMA stock CASCADE")
        for statement in ("VACUUM ANALYZE", "CHECKPOINT"):  # otherwise they would run while we measure
            await db.execute(statement)
    finally:
        await db.close()


# --- what rows are made of --------------------------------------------------------------------------------------


async def _make_stock(db: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Templates, units and phrases, in a schema of their own."""
    await db.execute("""
        DROP SCHEMA IF EXISTS stock CASCADE;
        CREATE SCHEMA stock;
        CREATE TABLE stock.templates (kind text, n int, payload jsonb, PRIMARY KEY (kind, n));
        CREATE TABLE stock.units (n int PRIMARY KEY, cnpj text, orgao jsonb, unidade jsonb);
        CREATE TABLE stock.phrases (n int PRIMARY KEY, words text);
    """)
    for table, rows in (("templates", _templates()), ("units", _units()), ("phrases", enumerate(phrases()))):
        await db.copy_records_to_table(table, schema_name="stock", records=rows)
    await db.execute("ANALYZE stock.templates, stock.units, stock.phrases")


def _templates() -> Iterable[tuple[str, int, str]]:
    day = date(2025, 3, 10)
    contratos = make_world(CONTRATOS.name, 1, day, day, 2 * TEMPLATES).store(CONTRATOS.name)
    world = make_world(CONTRATACOES.name, 1, day, day, 2 * TEMPLATES)
    contratacoes = world.store(CONTRATACOES.name)
    itens = [orjson.loads(item) for key in contratacoes.records for item in world.items(key)]
    of_kinds = {
        CONTRATOS.name: [contratos.invent(each) for each in contratos.records.values()],
        CONTRATACOES.name: [contratacoes.invent(each) for each in contratacoes.records.values()],
        ITENS.name: itens,
    }
    for kind, payloads in of_kinds.items():
        for n in range(TEMPLATES):
            yield kind, n, orjson.dumps(payloads[n]).decode()


def _units() -> Iterable[tuple[int, str, str, str]]:
    draw = random.Random(1)  # noqa: S311
    ufs = draw.choices(list(UFS), list(UFS.values()), k=UNITS)
    esferas = draw.choices(list(ESFERAS), list(ESFERAS.values()), k=UNITS)
    for n, (uf, esfera) in enumerate(zip(ufs, esferas, strict=True)):
        cnpj = f"{10_000_000 + n * 13_007 % 89_999_999:08}000100"
        orgao = {"cnpj": cnpj, "razaoSocial": f"MUNICIPIO NUMERO {n}", "poderId": "E", "esferaId": esfera}
        unidade = {
            "ufNome": uf,
            "codigoUnidade": str(n % 50),
            "nomeUnidade": f"Secretaria de Administração {n}",
            "ufSigla": uf,
            "municipioNome": f"Município {n}",
            "codigoIbge": str(1_100_000 + n),
        }
        yield n, cnpj, orjson.dumps(orgao).decode(), orjson.dumps(unidade).decode()


def phrases() -> list[str]:
    """Some thousands of texts, of which the first are the most frequent."""
    made = [" ".join(words).strip() for words in product(BEGINNINGS, THINGS, ENDS)]
    random.Random(1).shuffle(made)  # noqa: S311
    return made


# --- SQL --------------------------------------------------------------------------------------------------------

TABLES = (CONTRATACOES.name, ITENS.name, CONTRATOS.name)


def _drawn(n: str, purpose: int) -> str:
    """SQL of a number between 0 and 1 that belongs to a row for a purpose."""
    return f"((hashint8extended({n}, {purpose}) & 1073741823) / CAST(1073741824 AS float8))"


def _picked(n: str, purpose: int, count: int, power: int = 1) -> str:
    """SQL of one of `count` numbers from 0 on; the lower ones the more often, the higher the power."""
    return f"CAST(floor({count} * power({_drawn(n, purpose)}, {power})) AS int)"


def _moment(n: str, count: int, sizes: Sizes) -> str:
    """SQL of when row `n` of so many was published: the newest last, more of them each year, on weekdays by day."""
    first_day = sizes.last_day - timedelta(days=sizes.days)
    day = f"(DATE '{first_day}' + CAST(floor({sizes.days} * sqrt({n} / {float(count)})) AS int))"
    weekend = f"greatest(CAST(extract(isodow FROM {day}) AS int) - 5, 0)"
    return f"({day} - {weekend} + time '07:00' + {_drawn(n, 1)} * interval '12 hours')"


def _sequencial(n: str) -> str:
    """SQL of a number as keys have it: with six digits, or more where they are needed."""
    return f"lpad(CAST({n} AS text), greatest(6, length(CAST({n} AS text))), '0')"


def _to_iso(moment: str) -> str:
    return f"""to_char({moment}, 'YYYY-MM-DD"T"HH24:MI:SS')"""


def _common(key: str) -> str:
    """What the payloads of all records have of their own."""
    return f"""
        'numeroControlePNCP', {key}, 'orgaoEntidade', u.orgao, 'unidadeOrgao', u.unidade,
        'processo', drawn.n || '/' || extract(year FROM moment),
        'dataPublicacaoPncp', {_to_iso("moment")}, 'dataAtualizacao', {_to_iso("moment")},
        'dataAtualizacaoGlobal', {_to_iso("moment + later")}"""


def _drawing(count: int, sizes: Sizes) -> str:
    """What is drawn for the rows from $1 to $2 of a resource."""
    return f"""
        SELECT n, {_moment("n", count, sizes)} AS moment, {_picked("n", 2, UNITS, 2)} AS unit,
               {_picked("n", 3, TEMPLATES)} AS template, {_picked("n", 4, len(phrases()), 2)} AS phrase,
               {_drawn("n", 5)} * interval '90 days' AS later
          FROM generate_series(CAST($1 AS bigint), $2) AS n"""


def _contratacoes(sizes: Sizes) -> str:
    key = f"u.cnpj || '-1-' || {_sequencial('drawn.n')} || '/' || extract(year FROM moment)"
    page = f"""
        SELECT t.payload || jsonb_build_object({_common(key)}, 'anoCompra', extract(year FROM moment),
               'sequencialCompra', drawn.n, 'dataInclusao', {_to_iso("moment")}, 'objetoCompra', p.words,
               'dataAberturaProposta', {_to_iso("moment")},
               'dataEncerramentoProposta', {_to_iso("moment + interval '15 days'")},
               'valorTotalEstimado', {_amount("drawn.n", 6)}) AS payload
          FROM ({_drawing(sizes.contratacoes, sizes)}) AS drawn
          JOIN stock.units u ON u.n = unit JOIN stock.phrases p ON p.n = phrase
          JOIN stock.templates t ON t.kind = '{CONTRATACOES.name}' AND t.n = template"""
    return _insert(CONTRATACOES, stored_columns(CONTRATACOES), page, {ITENS.read_at: "now()"})


def _contratos(sizes: Sizes) -> str:
    key = f"u.cnpj || '-2-' || {_sequencial('drawn.n')} || '/' || extract(year FROM moment)"
    compra = f"1 + CAST(floor({sizes.contratacoes - 1} * n / {float(sizes.contratos)}) AS bigint)"
    page = f"""
        SELECT t.payload || jsonb_build_object({_common(key)}, 'anoContrato', extract(year FROM moment),
               'sequencialContrato', drawn.n, 'objetoContrato', p.words, 'valorGlobal', {_amount("drawn.n", 6)},
               'dataAssinatura', CAST(moment AS date), 'dataVigenciaInicio', CAST(moment AS date),
               'dataVigenciaFim', CAST(moment + 4 * later AS date),
               'niFornecedor', ni, 'tipoPessoa', tipo, 'nomeRazaoSocialFornecedor', nome,
               'numeroControlePncpCompra', b.cnpj || '-1-' || {_sequencial("compra")} || '/'
                   || extract(year FROM {_moment("compra", sizes.contratacoes, sizes)})) AS payload
          FROM (SELECT *, {compra} AS compra, {_picked("n", 7, sizes.suppliers, 3)} AS supplier
                  FROM ({_drawing(sizes.contratos, sizes)}) AS drawn) AS drawn
          CROSS JOIN LATERAL (SELECT {_SUPPLIER}) AS s
          JOIN stock.units u ON u.n = unit JOIN stock.phrases p ON p.n = phrase
          JOIN stock.units b ON b.n = {_picked("compra", 2, UNITS, 2)}
          JOIN stock.templates t ON t.kind = '{CONTRATOS.name}' AND t.n = template"""
    return _insert(CONTRATOS, stored_columns(CONTRATOS), page, {})


# One in ten is a natural person.
_SUPPLIER = """
    CASE supplier % 10 WHEN 9 THEN 'PF' ELSE 'PJ' END AS tipo,
    CASE supplier % 10 WHEN 9 THEN lpad(CAST(supplier AS text), 11, '0')
                       ELSE lpad(CAST(supplier AS text), 8, '0') || '000100' END AS ni,
    'EMPRESA ' || supplier || ' COMERCIO E SERVICOS LTDA' AS nome"""
LARGEST_SUPPLIER = "00000000000100"


def _amount(n: str, purpose: int) -> str:
    return f"round(CAST(power(10, 2 + 5 * {_drawn(n, purpose)}) AS numeric), 2)"


def _itens(sizes: Sizes) -> str:
    """The items of the contratações from $1 to $2."""
    line = f"(drawn.n * {ITENS_OF_EACH} + numero)"
    moment = _moment("n", sizes.contratacoes, sizes)
    page = f"""
        SELECT u.cnpj || '-1-' || {_sequencial("drawn.n")} || '/' || extract(year FROM moment)
               AS {CONTRATACOES.key},
               t.payload || jsonb_build_object('numeroItem', numero, 'descricao', p.words,
               'valorTotal', {_amount(line, 6)}, 'dataInclusao', {_to_iso("moment")},
               'dataAtualizacao', {_to_iso("moment")}) AS payload
          FROM (SELECT n, {moment} AS moment, numero, {_picked("n", 2, UNITS, 2)} AS unit,
                       {_picked(line, 3, TEMPLATES)} AS template, {_picked(line, 4, len(phrases()), 2)} AS phrase
                  FROM generate_series(CAST($1 AS bigint), $2) AS drawn (n)
                  CROSS JOIN generate_series(1, {ITENS_OF_EACH}) AS numero) AS drawn
          JOIN stock.units u ON u.n = unit JOIN stock.phrases p ON p.n = phrase
          JOIN stock.templates t ON t.kind = '{ITENS.name}' AND t.n = template"""
    return _insert(ITENS, ITENS.columns, page, {CONTRATACOES.key: CONTRATACOES.key})


def _insert(described: Resource | Child | Party, columns: Iterable[Column], page: str, more: dict[str, str]) -> str:
    values = to_sql(columns) | more
    values[BUSCA] = search_vector(values[name] for name in described.searched)
    return f"""
    INSERT INTO {described.name} ({", ".join(values)})
    SELECT {", ".join(values.values())} FROM ({page} OFFSET 0) AS page"""


def _parties(sizes: Sizes) -> Iterable[str]:
    as_of = {"as_of": f"TIMESTAMP '{sizes.last_day}'"}
    yield _insert(ORGAOS, party_columns(ORGAOS), "SELECT orgao AS payload FROM stock.units", as_of)
    units = "SELECT cnpj, unidade AS payload FROM stock.units"
    yield _insert(UNIDADES, UNIDADES.columns, units, as_of | {"cnpj": "cnpj"})
    suppliers = f"""
        SELECT jsonb_build_object('tipoPessoa', tipo, 'ni', ni, 'nome', nome) AS payload
          FROM generate_series(0, {sizes.suppliers - 1}) AS supplier CROSS JOIN LATERAL (SELECT {_SUPPLIER}) AS s"""
    yield _insert(FORNECEDORES, party_columns(FORNECEDORES), suppliers, as_of)


# Every day has been read whole, and changes up to now.
_COVERED = """
    WITH parts AS (
        SELECT 'contratos' AS resource, 0 AS part
         UNION ALL
        SELECT 'contratacoes', part FROM generate_series(1, 19) AS part
    ), days AS (
        INSERT INTO read_days (resource, criterio, day, part, began_at, complete_at, slice_id, execution_id, pages,
                               records, stored)
        SELECT resource, 'publicacao', CAST($1 AS date) - age, part, now(), now(), 1, 1, 1, 1, 1
          FROM parts CROSS JOIN generate_series(0, CAST($2 AS int)) AS age
    )
    INSERT INTO watermarks (resource, part, since, reached, complete_from)
    SELECT resource, part, $1, timezone('America/Sao_Paulo', now()), CAST($1 AS date) - CAST($2 AS int) FROM parts
"""


# --- writing ----------------------------------------------------------------------------------------------------

_CONSTRAINTS = """
    SELECT CAST(CAST(conrelid AS regclass) AS text) AS table, quote_ident(conname) AS name,
           pg_get_constraintdef(oid) AS definition
      FROM pg_constraint
     WHERE contype IN ('p', 'f') AND (CAST(CAST(conrelid AS regclass) AS text) = ANY($1)
                                      OR CAST(CAST(confrelid AS regclass) AS text) = ANY($1))
     ORDER BY contype = 'f' DESC, conname
"""
_INDEXES = """
    SELECT CAST(CAST(indexrelid AS regclass) AS text) AS name, pg_get_indexdef(indexrelid) AS definition
      FROM pg_index
     WHERE CAST(CAST(indrelid AS regclass) AS text) = ANY($1) AND NOT indisprimary
"""


async def _clear_way(db: "asyncpg.Connection[asyncpg.Record]") -> list[str]:
    """Switch triggers and autovacuum off, drop indexes and keys of what is filled; answers what undoes that."""
    indexes = await db.fetch(_INDEXES, TABLES)
    constraints = await db.fetch(_CONSTRAINTS, TABLES)
    undo = [each["definition"] for each in indexes]
    for each in constraints:  # foreign keys first, and in the end last
        await db.execute(f"ALTER TABLE {each['table']} DROP CONSTRAINT {each['name']}")
    undo += [
        f"ALTER TABLE {each['table']} ADD CONSTRAINT {each['name']} {each['definition']}"
        for each in reversed(constraints)
    ]
    for each in indexes:
        await db.execute(f"DROP INDEX {each['name']}")
    for table in TABLES:
        await db.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER, SET (autovacuum_enabled = off)")
        undo.append(f"ALTER TABLE {table} ENABLE TRIGGER USER, RESET (autovacuum_enabled)")
    return undo


async def _write(url: str, sizes: Sizes) -> None:
    db = await asyncpg.connect(url)
    for statement in _parties(sizes):
        await db.execute(statement)
    await db.close()
    of_each = max(1, AT_ONCE // ITENS_OF_EACH)
    await _write_rows(url, CONTRATACOES.name, _contratacoes(sizes), sizes.contratacoes, AT_ONCE)
    await _write_rows(url, ITENS.name, _itens(sizes), sizes.contratacoes, of_each)
    await _write_rows(url, CONTRATOS.name, _contratos(sizes), sizes.contratos, AT_ONCE)


async def _write_rows(url: str, table: str, statement: str, count: int, at_once: int) -> None:
    """Write what belongs to the numbers from 1 to `count`, so many at once over several connections."""
    firsts = list(range(1, count + 1, at_once))
    waiting = iter(firsts)
    start, done = time.monotonic(), 0

    async def write() -> None:
        nonlocal done
        db = await asyncpg.connect(url, server_settings={"synchronous_commit": "off", "jit": "off"})
        try:
            for first in waiting:
                await db.execute(statement, first, min(first + at_once - 1, count))
                done += 1
                if done * 10 // len(firsts) > (done - 1) * 10 // len(firsts):
                    seconds = time.monotonic() - start
                    left = seconds / done * (len(firsts) - done)
                    print(f"  {table}: {done / len(firsts):.0%}, {seconds:.0f} s, {left:.0f} s left", flush=True)
        finally:
            await db.close()

    await asyncio.gather(*(write() for _ in range(WRITERS)))


async def _count_rollup(url: str) -> None:
    """As ingestors count what was stored before the rollup, day by day."""
    start = time.monotonic()
    address = make_url(url).set(drivername="postgresql+asyncpg").render_as_string(hide_password=False)
    engine = create_engine(address, application_name="bench", pool_size=1, statement_seconds=600)
    try:
        for resource in (CONTRATACOES, CONTRATOS):
            while await in_transaction(engine, partial(count_a_day, resource=resource)):
                pass
    finally:
        await engine.dispose()
    print(f"  rollup: {time.monotonic() - start:.0f} s", flush=True)
