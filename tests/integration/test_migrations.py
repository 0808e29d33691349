"""The migrations: up from nothing, down to nothing, in agreement with the tables that the code knows."""

import asyncio
import re
import uuid
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy.engine import make_url

from common import watermarks
from common.database import create_engine
from common.lifecycle.causes import CAUSES
from common.lifecycle.slices import PlannedSlice
from ingestor.planning import Gap, Rules, update_slices
from ingestor.schedule import Span, _note_owed
from ingestor.store.search import fill_words
from tests.support import migrate

LEFT = """
    SELECT relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace
     WHERE nspname = 'public' AND relname NOT LIKE 'alembic_version%'
    UNION ALL SELECT proname FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace
     WHERE nspname = 'public' AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
    UNION ALL SELECT cfgname FROM pg_ts_config JOIN pg_namespace n ON n.oid = cfgnamespace WHERE nspname = 'public'
"""
"""What is left, but for what belongs to an extension, which may be others' too."""
OLD_HISTORY = """
    INSERT INTO sync_executions (mode, criterio, trigger, status, finished_at, records_processed, duration_seconds)
    VALUES ('update', 'atualizacao', 'api', 'success', now(), 7, 1.5),
           ('update', 'atualizacao', 'api', 'success', now(), 5, 2.5),
           ('backfill', 'publicacao', 'sweep', 'error', now(), 0, NULL)
"""


@pytest.fixture
def empty_database(server_url: str) -> Iterator[str]:
    name = f"pncp_test_{uuid.uuid4().hex[:12]}"
    query(server_url, f"CREATE DATABASE {name}")
    yield make_url(server_url).set(database=name).render_as_string(hide_password=False)
    query(server_url, f"DROP DATABASE {name} WITH (FORCE)")


def query(url: str, statement: str) -> list[tuple[Any, ...]]:
    async def run() -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(url)
        try:
            return [tuple(row) for row in await connection.fetch(statement)]
        finally:
            await connection.close()

    return asyncio.run(run())


def test_the_schema_goes_up_agrees_with_the_tables_and_goes_down_to_nothing(empty_database: str) -> None:
    migrate(empty_database, "upgrade", "head")
    migrate(empty_database, "check")
    assert query(empty_database, LEFT)

    migrate(empty_database, "downgrade", "base")
    assert query(empty_database, LEFT) == []

    migrate(empty_database, "upgrade", "head")


def test_what_a_history_came_to_before_it_was_counted_is_counted_too(empty_database: str) -> None:
    migrate(empty_database, "upgrade", "0001")
    query(empty_database, OLD_HISTORY)

    migrate(empty_database, "upgrade", "head")

    counts = (
        "SELECT mode, status, executions, records_processed, duration_seconds FROM sync_execution_counts ORDER BY 1"
    )
    assert query(empty_database, counts) == [("backfill", "error", 1, 0, 0), ("update", "success", 2, 12, 4)]


def test_of_the_rows_of_one_rejected_record_the_last_stays(empty_database: str) -> None:
    migrate(empty_database, "upgrade", "0003")
    query(empty_database, OLD_HISTORY)
    query(
        empty_database,
        """
        INSERT INTO rejected_records
               (execution_id, resource, natural_key, reason, payload_hash, payload, created_at, resolved_at)
        VALUES (1, 'contratacoes', 'a', 'r', 'x', '{}', '2025-01-01', NULL),
               (2, 'contratacoes', 'a', 'r', 'x', '{}', '2025-01-02', now()),
               (1, 'contratacoes', 'b', 'r', 'y', '{}', '2025-01-03', now())
        """,
    )

    migrate(empty_database, "upgrade", "head")

    rows = """
        SELECT execution_id, natural_key, to_char(first_seen, 'DD'), to_char(last_seen, 'DD'), times,
               resolved_at IS NULL
          FROM rejected_records ORDER BY natural_key
    """
    assert query(empty_database, rows) == [(2, "a", "01", "02", 2, True), (1, "b", "03", "03", 1, False)]

    migrate(empty_database, "downgrade", "0003")
    assert query(empty_database, "SELECT execution_id, natural_key FROM rejected_records ORDER BY 2") == [
        (2, "a"),
        (1, "b"),
    ]


NEW_SLICE = """
    INSERT INTO sync_slices (execution_id, ordinal, mode, criterio, modalidade, first_day, last_day, window_start,
                             window_end, status, give_up_at, started_at, finished_at)
    SELECT 1, coalesce(max(ordinal), 0) + 1, '{mode}', '{criterio}', {modalidade}, '{start}', '{end}', '{start}',
           '{end}', '{status}', now(), {read_at}, {read_at} FROM sync_slices
"""
HOLE = ("2026-01-10 12:00", "2026-01-12 08:00")
BEFORE, AFTER = ("2026-01-09 12:00", HOLE[0]), (HOLE[1], "2026-01-13 08:00")
HOLE_DAYS = [("2026-01-10", "2026-01-10 23:59:59"), ("2026-01-11", "2026-01-11 23:59:59")]
LAST_DAY = ("2026-01-12", "2026-01-12 23:59:59")


def old_slice(modalidade: int, window: tuple[str, str], *, status: str = "success", **changes: str) -> str:
    """A slice of the past, an update's unless it is said otherwise; read at the end of its window, or at `read_at`."""
    start, end = window
    read_at = f"timestamp '{changes.pop('read_at', end)}' AT TIME ZONE 'America/Sao_Paulo'"
    known = {"mode": "update", "criterio": "atualizacao"} | changes
    return NEW_SLICE.format(modalidade=modalidade, start=start, end=end, status=status, read_at=read_at, **known)


def test_watermarks_begin_with_what_the_history_has_read_without_a_hole(empty_database: str) -> None:
    """Each modalidade has updates before and after a hole of two days; what else was read differs."""
    migrate(empty_database, "upgrade", "0003")
    query(empty_database, OLD_HISTORY)
    backfill = {"mode": "backfill"}
    published = {"mode": "backfill", "criterio": "publicacao"}
    slices = [old_slice(modalidade, window) for modalidade in range(1, 7) for window in (BEFORE, AFTER)]
    # 1: nothing; 2: the backfill of the gap, in days that ended in any order; 3: the same, but one day failed
    slices += [old_slice(2, window, **backfill) for window in (LAST_DAY, *HOLE_DAYS)]
    slices += [old_slice(3, window, **backfill) for window in (HOLE_DAYS[0], LAST_DAY)]
    slices += [old_slice(3, HOLE_DAYS[1], status="error", **backfill)]
    # 4: sweeps by publication have read the days since; 5: one of them before the hole had ended
    swept = [*HOLE_DAYS, LAST_DAY]
    slices += [old_slice(4, window, read_at="2026-01-18 01:00", **published) for window in swept]
    slices += [old_slice(5, window, read_at="2026-01-18 01:00", **published) for window in swept[1:]]
    slices += [old_slice(5, swept[0], read_at="2026-01-11 01:00", **published)]
    # 6: a backfill long before the first update; 7: no update; 8: read before its window had ended
    slices += [old_slice(6, ("2025-01-01", "2025-01-01 23:59:59"), **backfill), old_slice(7, BEFORE, **backfill)]
    slices += [old_slice(8, BEFORE, read_at="2026-01-10 10:00"), old_slice(8, AFTER, status="error")]
    for statement in slices:
        query(empty_database, statement)

    migrate(empty_database, "upgrade", "head")

    found = query(empty_database, "SELECT part, CAST(since AS text), CAST(reached AS text) FROM watermarks ORDER BY 1")
    start, hole, end = "2026-01-09 12:00:00", "2026-01-10 12:00:00", "2026-01-13 08:00:00"
    assert found == [
        (1, start, hole),
        (2, start, end),
        (3, start, "2026-01-10 23:59:59"),
        (4, start, end),
        (5, start, hole),
        (6, start, hole),
        (8, start, "2026-01-10 10:00:00"),
    ]


READ_DAY = """
    INSERT INTO sync_slices (execution_id, ordinal, mode, criterio, modalidade, first_day, last_day, window_start,
                             window_end, status, started_at, finished_at, pages_done, records_processed,
                             records_inserted, records_updated, total_registros)
    SELECT {execution}, coalesce(max(ordinal), 0) + 1, 'backfill', '{criterio}', {modalidade}, CAST('{start}' AS date),
           CAST('{end}' AS date), '{start}', '{end}', '{status}', timestamp '{began}' AT TIME ZONE 'America/Sao_Paulo',
           now(), 2, {records}, {stored}, 0, {records} FROM sync_slices
"""


def old_day(modalidade: int, day: str, **changes: Any) -> str:
    """A slice of release 0004 that has read a day whole on the next one, in execution 3, a sweep."""
    known: dict[str, Any] = {"execution": 3, "criterio": "publicacao", "start": day, "end": f"{day} 23:59:59"}
    known |= {"began": f"{day[:-2]}{int(day[-2:]) + 1:02} 00:00:00", "status": "success", "records": 7, "stored": 7}
    return READ_DAY.format(modalidade=modalidade, **known | changes)


def test_what_the_history_has_read_whole_is_taken_over_and_need_not_be_read_again(empty_database: str) -> None:
    migrate(empty_database, "upgrade", "0004")
    query(empty_database, OLD_HISTORY)
    tenth, eleventh = "2026-01-10", "2026-01-11"
    for statement in [
        old_day(6, tenth),
        old_day(6, tenth, execution=1, records=8, stored=1),  # the newest stands for the day, a backfill's too
        old_day(6, tenth, status="error", execution=1, records=1),
        old_day(8, tenth, criterio="atualizacao"),
        # not read whole, or not after their end
        old_day(8, tenth, end=f"{tenth} 23:59:58"),
        old_day(8, tenth, start=f"{tenth} 00:00:01"),
        old_day(8, eleventh, began=f"{eleventh} 23:59:59"),
        old_day(8, eleventh, status="error"),
        old_day(8, tenth, end=f"{eleventh} 23:59:59", began="2026-01-12"),
        # a sweep that was cancelled before it had slices has asked for its day in all parts
        """
        INSERT INTO sync_executions (mode, criterio, trigger, status, finished_at, window_start, window_end)
        VALUES ('backfill', 'publicacao', 'sweep', 'error', now(), '2026-01-09', '2026-01-09 23:59:59')
        """,
    ]:
        query(empty_database, statement)

    migrate(empty_database, "upgrade", "head")

    found = query(
        empty_database,
        """
        SELECT resource, criterio, part, CAST(day AS text), slice_id, execution_id, pages, records, stored,
               total_registros, CAST(timezone('America/Sao_Paulo', began_at) AS text)
          FROM read_days ORDER BY criterio, part
        """,
    )
    midnight = f"{eleventh} 00:00:00"
    assert found == [
        ("contratacoes", "atualizacao", 8, tenth, 4, 3, 2, 7, 7, 7, midnight),
        ("contratacoes", "publicacao", 6, tenth, 2, 1, 2, 8, 7, 8, midnight),
    ]
    assert query(empty_database, "SELECT criterio, part, CAST(day AS text) FROM swept_from ORDER BY 1, 2") == [
        ("atualizacao", 8, tenth),
        ("publicacao", 6, "2026-01-09"),
        ("publicacao", 8, "2026-01-09"),
    ]
    migrate(empty_database, "downgrade", "0004")


RELEASE = Path(__file__).parents[1] / "data" / "release_0004.sql"
READ_BY_THE_RELEASE = """
    SELECT CAST(first_day AS text), modalidade, records_processed FROM sync_slices WHERE criterio = 'publicacao'
     ORDER BY 1, 2
"""
MIRRORED = """
    SELECT count(*), md5(string_agg(CAST(payload AS text), '' ORDER BY numero_controle_pncp)) FROM contratacoes
     UNION ALL
    SELECT count(*), md5(string_agg(CAST(payload AS text), '' ORDER BY numero_controle_pncp, numero_item))
      FROM itens_contratacao
"""
MARKS = "SELECT resource, part, since, reached, complete_from FROM watermarks ORDER BY 1, 2"


def run_script(url: str, script: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(script)
        finally:
            await connection.close()

    asyncio.run(run())


async def planned_after_the_upgrade(url: str) -> tuple[list[PlannedSlice], Gap | None, list[Span]]:
    """The slices of an update a minute after the release's, the gap that it finds, and the days of a sweep that night.

    The day is a Saturday; on Sundays a sweep reads thirty days again.
    """
    driven = make_url(url).set(drivername="postgresql+asyncpg").render_as_string(hide_password=False)
    engine = create_engine(driven, application_name="pncp-tests", pool_size=1)
    try:
        async with engine.begin() as db:
            known = await watermarks.load_beyond(db, (6, 8), resource="contratacoes")
            now = max(mark.reached for mark in known.values()) + timedelta(minutes=1)
            rules = Rules({"contratacoes": (6, 8)}, timedelta(minutes=15), timedelta(minutes=10))
            pieces, gap = update_slices(known, (6, 8), now, rules)
            owed = await _note_owed(db, "contratacoes", "publicacao", (6, 8), now.date())
    finally:
        await engine.dispose()
    return pieces, gap, owed


def test_a_database_of_the_last_release_is_upgraded_without_reading_a_day_again(empty_database: str) -> None:
    run_script(empty_database, RELEASE.read_text())
    read, mirrored, marks = (query(empty_database, sql) for sql in (READ_BY_THE_RELEASE, MIRRORED, MARKS))
    assert (len(read), [count for count, _ in mirrored], len(marks)) == (8, [11, 56], 2)

    migrate(empty_database, "upgrade", "head")

    days = """
        SELECT CAST(day AS text), part, records FROM read_days
         WHERE resource = 'contratacoes' AND criterio = 'publicacao' ORDER BY 1, 2
    """
    assert query(empty_database, days) == read
    assert query(empty_database, MIRRORED) == mirrored
    assert query(empty_database, MARKS) == marks
    assert query(empty_database, "SELECT count(*) FROM read_days") == [(8,)]
    pieces, gap, owed = asyncio.run(planned_after_the_upgrade(empty_database))
    assert gap is None
    assert owed == [], "the sweep has nothing to read, not even the day before"
    reached = marks[0][3]
    assert [(piece.part, piece.first_day) for piece in pieces] == [(6, reached.date()), (8, reached.date())]
    assert {piece.window_start for piece in pieces} == {reached + timedelta(minutes=1 - 15)}


PATH = "/consulta/v1/contratacoes/publicacao"
LISTING = "2025-03-10 modalidade 6: "
SENTENCES = {
    # what a slice's error was, behind its day and modalidade: the word for it
    f"{PATH}: status 503 (Service Unavailable)": "no_answer",
    f"{PATH}: status 400 (Erro 999)": "no_answer",
    f"{PATH}: status 429, Retry-After 3 s": "no_answer",
    f"{PATH}: ServerTimeoutError Timeout on reading data from socket": "no_answer",
    f"{PATH}: TimeoutError": "no_answer",
    f"{PATH}: ClientConnectorError Cannot connect to host 127.0.0.1:9 ssl:default": "no_answer",
    f"{PATH}: ServerDisconnectedError Server disconnected": "no_answer",
    "the portal's service consulta is paused (down): status 500": "no_answer",
    f"{PATH}: status 302": "portal_refused",
    f"{PATH}: status 403 (Forbidden)": "portal_refused",
    f"{PATH}: status 422 (Data inválida)": "portal_refused",
    f"{PATH}: status 200 with a page in HTML (503 Service Unavailable)": "portal_refused",
    f"{PATH} page 2: not JSON: unexpected character: line 1 column 1": "bad_answer",
    f"{PATH} page 1: not the expected shape: Expected `int`, got `str`": "bad_answer",
    f"{PATH} page 1: 50 records are promised and page 1 is empty": "bad_answer",
    f"{PATH}: the body is larger than 67108864 bytes": "bad_answer",
    "6 records of page 3 could not be stored, nor of 2 other pages": "bad_answer",
    "3 of 18 records are missing from the listing, after 4 readings": "incomplete",
    f"{PATH} page 4 is not there (status 404); page 1 now promises 3 pages, after 4 readings": "incomplete",
    f"{PATH} page 4 is not there (status 404); page 1 still promises 5 pages": "incomplete",
    f"{PATH} page 4 is not there (status 422) (status 500)": "incomplete",
    "20 pages in a row, down to 7, show no record that is new": "incomplete",
    "the listing is empty, and its records are known (1 of 3 looks)": "incomplete",
    "unexpected ZeroDivisionError": "internal",
    "something that no release has written": "internal",
}
OLD_EXECUTION = """
    INSERT INTO sync_executions (mode, criterio, trigger, status, error_message, finished_at)
    VALUES ('backfill', 'publicacao', 'api', '{status}', {error}, {finished_at})
"""
OLD_SLICE = """
    INSERT INTO sync_slices (execution_id, ordinal, mode, criterio, modalidade, first_day, last_day, window_start,
                             window_end, status, error_message)
    SELECT (SELECT max(id) FROM sync_executions), count(*) + 1, 'backfill', 'publicacao', 6, '2025-03-10',
           '2025-03-10', '2025-03-10', '2025-03-10', '{status}', {error} FROM sync_slices
"""
CAUSES_AND_SENTENCES = "SELECT status, cause, error_message FROM {table} ORDER BY id"


def old_execution(url: str, error: str | None, *slices: tuple[str, str | None], status: str = "error") -> None:
    """An execution as the release 0004 leaves it, with slices of this status and error."""

    def quoted(words: str | None) -> str:
        return "NULL" if words is None else "'" + words.replace("'", "''") + "'"

    finished_at = "NULL" if status == "running" else "now()"
    query(url, OLD_EXECUTION.format(status=status, error=quoted(error), finished_at=finished_at))
    for status_of_slice, error_of_slice in slices:
        query(url, OLD_SLICE.format(status=status_of_slice, error=quoted(error_of_slice)))


def test_every_sentence_of_the_past_gets_its_cause(empty_database: str) -> None:
    migrate(empty_database, "upgrade", "0004")
    for sentence in SENTENCES:
        error = LISTING + sentence
        old_execution(empty_database, f"1 of 2 slices failed: {error}", ("success", None), ("error", error))

    migrate(empty_database, "upgrade", "head")

    executions = query(empty_database, CAUSES_AND_SENTENCES.format(table="sync_executions"))
    assert {row[2].removeprefix(f"1 of 2 slices failed: {LISTING}"): row[1] for row in executions} == SENTENCES
    slices = query(empty_database, CAUSES_AND_SENTENCES.format(table="sync_slices"))
    assert slices[::2] == [("success", None, None)] * len(SENTENCES)
    assert slices[1::2] == [("error", cause, sentence) for sentence, cause in SENTENCES.items()]


def test_executions_of_the_past_that_were_ended_get_their_causes(empty_database: str) -> None:
    outage = "the portal has not answered since 2025-03-10 04:00 (down): /consulta: status 503"
    stalled = f"6 workers in a row ended without a page: {LISTING}unexpected KeyError"
    failed, refused = f"{LISTING}{PATH}: status 503", f"{LISTING}{PATH}: status 403"
    migrate(empty_database, "upgrade", "0004")
    old_execution(empty_database, "cancelled by maria: a 2ª", ("error", failed), ("error", "cancelled by maria: a 2ª"))
    old_execution(empty_database, "no worker", ("error", "no worker"))
    old_execution(empty_database, "Failed to publish to RabbitMQ")
    old_execution(empty_database, outage, ("error", outage))
    old_execution(empty_database, "planning failed: ValueError")
    old_execution(empty_database, f"1 of 1 slices failed: {stalled}", ("error", stalled))
    old_execution(
        empty_database, f"3 of 3 slices failed: {failed}", *[("error", each) for each in (failed, refused)] * 2
    )
    old_execution(empty_database, f"1 of 1 slices failed: {refused}")  # its slices were deleted by hand
    old_execution(empty_database, None, ("error", None))
    waiting = [("pending", failed), ("running", f"{LISTING}database: disk full"), ("pending", None)]
    old_execution(empty_database, None, *waiting, status="running")

    migrate(empty_database, "upgrade", "head")

    found = query(empty_database, "SELECT status, cause, cancelled_by FROM sync_executions ORDER BY id")
    assert found == [
        ("error", "cancelled", "maria: a 2ª"),
        ("error", "no_worker", None),
        ("error", "publish_failed", None),
        ("error", "portal_down", None),
        ("error", "internal", None),
        ("error", "stalled", None),
        ("error", "no_answer", None),
        ("error", "portal_refused", None),
        ("error", "internal", None),
        ("running", None, None),
    ]
    slices = query(empty_database, CAUSES_AND_SENTENCES.format(table="sync_slices"))
    assert [(status, cause) for status, cause, _ in slices] == [
        ("error", "no_answer"),
        *[("error", "cut_off")] * 3,
        ("error", "stalled"),
        *[("error", "no_answer"), ("error", "portal_refused")] * 2,
        ("error", "cut_off"),
        ("pending", "no_answer"),
        ("running", "database"),
        ("pending", None),
    ]
    assert slices[-2][2] == "disk full"
    counts = "SELECT sum(executions) FROM sync_execution_counts"
    assert query(empty_database, counts) == [(10,)]

    migrate(empty_database, "downgrade", "0004")
    assert query(empty_database, "SELECT count(*) FROM sync_executions WHERE error_message LIKE 'cancelled by %'") == [
        (1,)
    ]


def test_a_pause_under_way_gets_its_word_and_keeps_its_sentence(empty_database: str) -> None:
    migrate(empty_database, "upgrade", "0005")
    query(
        empty_database,
        """
        INSERT INTO source_pauses (source, paused_until, reason, cause)
        VALUES ('consulta', now(), 'down', 'status 503'), ('contratos', now(), 'refused', 'status 302'),
               ('itens', now(), NULL, NULL)
        """,
    )

    migrate(empty_database, "upgrade", "head")

    assert query(empty_database, "SELECT source, cause, error_message FROM source_pauses ORDER BY 1") == [
        ("consulta", "no_answer", "status 503"),
        ("contratos", "portal_refused", "status 302"),
        ("itens", None, None),
    ]
    migrate(empty_database, "downgrade", "0005")
    assert query(empty_database, "SELECT cause FROM source_pauses ORDER BY source") == [
        ("status 503",),
        ("status 302",),
        (None,),
    ]


def test_the_database_takes_every_cause_and_no_other_word(database_url: str) -> None:
    checks = query(
        database_url, "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname LIKE 'ck_sync_%_cause'"
    )
    assert [sorted(re.findall(r"'(\w+)'", check)) for (check,) in checks] == [sorted(CAUSES)] * 2


UNINDEXED = """
    SELECT conrelid::regclass::text, conname FROM pg_constraint c
     WHERE contype = 'f' AND NOT EXISTS (
           SELECT 1 FROM pg_index i
            WHERE i.indrelid = c.conrelid AND i.indisvalid
              AND (i.indkey::int2[])[0:cardinality(c.conkey) - 1] @> c.conkey
              AND (i.indpred IS NULL OR pg_get_expr(i.indpred, i.indrelid) = format('(%s IS NOT NULL)',
                   (SELECT attname FROM pg_attribute WHERE attrelid = c.conrelid AND attnum = c.conkey[1]))))
"""


def test_every_reference_has_an_index_so_that_deleting_reads_no_table(database_url: str) -> None:
    """Else each of the thousands of slices that go with an execution reads all rejected records."""
    assert len(query(database_url, "SELECT 1 FROM pg_constraint WHERE contype = 'f'")) > 5
    assert query(database_url, UNINDEXED) == []


CONTRATO_OF_BEFORE = """
    INSERT INTO contratos (numero_controle_pncp, data_publicacao_pncp, data_atualizacao, data_atualizacao_global,
                           payload, orgao_entidade_cnpj, unidade_orgao_codigo_unidade, tipo_pessoa, ni_fornecedor,
                           nome_razao_social_fornecedor, codigo_pais_fornecedor, tipo_pessoa_sub_contratada,
                           ni_fornecedor_sub_contratado, nome_fornecedor_sub_contratado)
    VALUES ('{key}', '2025-01-01', '2025-01-01', '{stamp}', '{{}}', '{orgao}', '7',
            {kind}, '1', '{name}', 'BRA', 'PJ', '{hired}', 'HIRED')
"""


def test_suppliers_are_those_of_the_contratos_that_are_stored(empty_database: str) -> None:
    migrate(empty_database, "upgrade", "0005")
    rows = [
        {"stamp": "2025-01-02", "name": "OLD", "hired": "2"},
        {"stamp": "2025-01-03", "name": "NEW", "hired": "1"},
        {"stamp": "2025-01-04", "name": " ", "hired": "1"},
        {"stamp": "2025-01-05", "name": "NOBODY", "hired": "", "kind": "NULL"},
    ]
    for number, row in enumerate(rows):
        query(empty_database, CONTRATO_OF_BEFORE.format(**{"key": number, "orgao": number // 2, "kind": "'PJ'", **row}))
    query(
        empty_database,
        """
        INSERT INTO orgaos (cnpj, razao_social, payload, as_of) VALUES ('0', 'A', '{}', '2025-01-01'),
               ('1', NULL, '{}', '2025-02-01')
        """,
    )
    query(
        empty_database,
        "INSERT INTO unidades (cnpj, codigo_unidade, payload, as_of) VALUES ('0', '7', '{}', '2025-01-01')",
    )

    migrate(empty_database, "upgrade", "head")

    suppliers = (
        "SELECT tipo_pessoa, ni, nome, codigo_pais, CAST(as_of AS date), is_partial FROM fornecedores ORDER BY ni"
    )
    assert query(empty_database, suppliers) == [
        ("PJ", "1", "NEW", "BRA", date(2025, 1, 3), False),
        ("PJ", "2", "HIRED", None, date(2025, 1, 2), True),
    ]
    payload = "SELECT payload ->> 'nome' FROM fornecedores WHERE ni = '1'"
    assert query(empty_database, payload) == [("NEW",)]
    parties = """
        SELECT CAST(as_of AS date), is_partial FROM orgaos
         UNION ALL SELECT CAST(as_of AS date), is_partial FROM unidades ORDER BY 1, 2
    """
    assert query(empty_database, parties) == [
        (date(2025, 1, 3), False),
        (date(2025, 1, 3), True),
        (date(2025, 2, 1), True),
    ]


LEFT_WITHOUT_WORDS = "SELECT count(*) FROM contratos WHERE busca IS NULL"
FOUND = "SELECT count(*) FROM contratos WHERE busca @@ to_tsquery('pncp', 'medicamentos')"
INVALID = "SELECT CAST(indexrelid AS regclass) FROM pg_index WHERE NOT indisvalid"


async def make_words(url: str) -> None:
    driven = make_url(url).set(drivername="postgresql+asyncpg").render_as_string(hide_password=False)
    engine = create_engine(driven, application_name="pncp-tests", pool_size=2)
    try:
        await fill_words(engine, asyncio.Event(), searches_itens=True)
    finally:
        await engine.dispose()


def contratos_of_before(url: str) -> None:
    migrate(url, "upgrade", "0006")
    for number in range(5):
        values = {"key": number, "orgao": "0", "kind": "'PJ'", "stamp": "2025-01-02", "name": "A", "hired": "2"}
        query(url, CONTRATO_OF_BEFORE.format(**values))
    query(url, "UPDATE contratos SET objeto_contrato = 'MEDICAMENTOS/MATERIAIS', unidade_orgao_uf_sigla = 'SP'")
    query(url, "UPDATE contratos SET unidade_orgao_uf_sigla = repeat('x', 251) WHERE numero_controle_pncp = '0'")


def test_rows_of_before_are_searched_once_the_ingestors_have_made_their_words(empty_database: str) -> None:
    contratos_of_before(empty_database)

    migrate(empty_database, "upgrade", "head")

    assert query(empty_database, LEFT_WITHOUT_WORDS) == [(5,)]
    asyncio.run(make_words(empty_database))
    assert query(empty_database, LEFT_WITHOUT_WORDS) == [(0,)]
    assert query(empty_database, FOUND) == [(5,)]
    too_long = "SELECT numero_controle_pncp FROM contratos WHERE unidade_orgao_uf_sigla IS NULL"
    assert query(empty_database, too_long) == [("0",)], "an index could not hold it"

    migrate(empty_database, "downgrade", "0006")
    migrate(empty_database, "upgrade", "head")
    assert query(empty_database, LEFT_WITHOUT_WORDS) == [(5,)]


IS_BEING_MADE = "SELECT true FROM pg_index WHERE indexrelid = to_regclass('ix_contratacoes_busca') AND NOT indisvalid"


async def upgrade_beside_a_reader(url: str) -> bool:
    """Upgrade while a transaction is open that has read; answers whether a table is written whose index is being made.

    One that is made concurrently waits for the reader, and is seen meanwhile.
    """
    reader, writer = await asyncpg.connect(url), await asyncpg.connect(url)
    reading = reader.transaction(isolation="repeatable_read")
    await reading.start()
    await reader.fetch("SELECT 1")  # a snapshot, and no lock on a table
    upgrading = asyncio.create_task(asyncio.to_thread(migrate, url, "upgrade", "head"))
    is_written = False
    try:
        while not (is_written or upgrading.done()):
            if await writer.fetchval(IS_BEING_MADE):
                await writer.execute("SET lock_timeout = '1s'")
                await writer.execute("UPDATE contratacoes SET valor_total_estimado = 1")
                is_written = True
            await asyncio.sleep(0.02)
        await reading.rollback()
        await upgrading
        return is_written
    finally:
        await reader.close()
        await writer.close()


def test_rows_are_written_while_the_upgrade_makes_its_indexes(empty_database: str) -> None:
    contratos_of_before(empty_database)

    assert asyncio.run(upgrade_beside_a_reader(empty_database))

    assert query(empty_database, INVALID) == []


def test_an_upgrade_that_was_cut_off_goes_on(empty_database: str) -> None:
    """What it has done outside of its transaction stays, and an index that it was making is not valid."""
    contratos_of_before(empty_database)
    migrate(empty_database, "upgrade", "0007")
    query(empty_database, "UPDATE alembic_version SET version_num = '0006'")
    query(empty_database, "DROP INDEX ix_contratos_updated_at")
    query(empty_database, "ALTER INDEX ix_contratos_ni_fornecedor RENAME TO ix_contratos_ni_fornecedor_new")
    query(
        empty_database,
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = CAST('ix_contratos_busca' AS regclass)",
    )

    migrate(empty_database, "upgrade", "head")

    assert query(empty_database, INVALID) == []
    migrate(empty_database, "check")
    names = "SELECT relname FROM pg_class WHERE relname LIKE 'ix_contratos_%' AND relkind = 'i' ORDER BY 1"
    assert ("ix_contratos_ni_fornecedor",) in query(empty_database, names)
    assert not [name for (name,) in query(empty_database, names) if name.endswith("_new")]


def test_a_second_deployer_waits_for_the_first_and_changes_nothing(empty_database: str) -> None:
    async def both() -> None:
        await asyncio.gather(*(asyncio.to_thread(migrate, empty_database, "upgrade", "head") for _ in range(2)))

    asyncio.run(both())

    migrate(empty_database, "check")
