"""Records that are not as they should be: what of them is stored, what is counted, and what ends in an error."""

import json
from decimal import Decimal
from typing import Any

import pytest

from common.resources.contratacoes import CONTRATACOES, ITENS
from ingestor.errors import PageUnfit
from ingestor.slices import SliceIngestion, ingest_slice
from ingestor.sources.pncp.client import PncpClient
from ingestor.sources.pncp.records import parse_list, parse_record
from ingestor.sources.values import Batch, Bundle, Record, Rejected
from ingestor.store.batch import store_page
from ingestor.store.progress import Progress
from simulator.world import World
from tests.integration.conftest import CLOSED_DAY, MODALIDADE, Database, Portals, truth
from tests.integration.test_ingestion import work_on
from tests.integration.test_store import EVENING, MORNING, NOON, bundle, store
from tests.integration.test_worker import Workers, finished, only, quick_polls, workers  # noqa: F401  # fixtures
from tests.records import ITEM, raw

RECORDS = 35


@pytest.fixture
def day(world: World) -> World:
    """A closed day with four pages of one modalidade."""
    world.publish(RECORDS, at=CLOSED_DAY, modalidade=MODALIDADE)
    return world


def of_the_day(world: World) -> list[Any]:
    return world.select("publicacao", f"{CLOSED_DAY}", f"{CLOSED_DAY}T23:59:59", [MODALIDADE])


async def read_day(database: Database, client: PncpClient) -> SliceIngestion:
    """Read the day as an execution of its own."""
    work = work_on(database, client, await database.claimed())
    assert await ingest_slice(work)
    return work


async def drift(database: Database) -> dict[tuple[str, str, str], int]:
    rows = await database.rows("SELECT resource, path, kind, records FROM schema_drift")
    return {(row.resource, row.path, row.kind): row.records for row in rows}


# --- drift ------------------------------------------------------------------------------------------------------


async def test_a_field_that_changes_its_type_on_every_record_costs_nothing_but_its_column(
    database: Database, portals: Portals, day: World
) -> None:
    portal = await portals.serve(day)
    portal.quirks.add("drifted_field")
    portal.quirks.add("drifted_field", match={"service": "itens"})

    work = await read_day(database, await portals.client(portal))

    assert await database.mirror() == truth(of_the_day(day))
    row = await database.slice(work.claim.slice_id)
    assert (row.status, row.records_processed, row.records_rejected) == ("success", RECORDS, 0)
    kept = "SELECT count(*) FROM contratacoes WHERE processo IS NULL AND jsonb_typeof(payload -> 'processo') = 'object'"
    assert await database.value(kept) == RECORDS
    itens = await database.value("SELECT count(*) FROM itens_contratacao")
    of_items = "jsonb_typeof(payload -> 'unidadeMedida') = 'object' AND unidade_medida IS NULL"
    assert await database.value(f"SELECT count(*) FROM itens_contratacao WHERE {of_items}") == itens
    assert await drift(database) == {
        ("contratacoes", "processo", "object"): RECORDS,
        ("itens_contratacao", "unidadeMedida", "object"): itens,
    }


async def test_drift_is_counted_only_where_a_record_is_written(
    database: Database, portals: Portals, day: World
) -> None:
    portal = await portals.serve(day)
    portal.quirks.add("drifted_field")
    portal.quirks.add("drifted_field", match={"service": "itens"})
    client = await portals.client(portal)
    await read_day(database, client)
    before = await database.rows("SELECT * FROM schema_drift ORDER BY path")

    await read_day(database, client)

    assert await database.rows("SELECT * FROM schema_drift ORDER BY path") == before


async def test_a_text_that_comes_as_a_number_on_every_record_is_read_as_its_text(
    database: Database, portals: Portals, world: World
) -> None:
    for number in range(12):
        world.put(data_publicacao=MORNING, record={"numeroCompra": 90001 + number, "processo": True})
    portal = await portals.serve(world)

    await read_day(database, await portals.client(portal))

    rows = await database.rows("SELECT numero_compra, processo FROM contratacoes ORDER BY 1")
    assert [tuple(row) for row in rows] == [(str(90001 + number), "true") for number in range(12)]
    assert await drift(database) == {}
    assert await database.value("SELECT count(*) FROM rejected_records") == 0


async def test_what_a_drifted_record_says_otherwise_is_in_its_columns(database: Database) -> None:
    record = parse_record(
        CONTRATACOES,
        raw(anoCompra="dois mil", orgaoEntidade={"cnpj": "1", "razaoSocial": ["x"]}, valorTotalHomologado=10**70),
    )
    assert isinstance(record, Record)
    item = raw(ITEM, quantidade="dez")
    claim = await database.claimed()

    await store(database, claim, Bundle(record, parse_list(ITENS, b"[%s]" % item, record.typed.numero_controle_pncp)))

    row = await database.row("SELECT * FROM contratacoes")
    assert (row.ano_compra, row.valor_total_homologado, row.orgao_entidade_razao_social) == (None, None, None)
    assert (row.sequencial_compra, row.orgao_entidade_cnpj, row.processo) == (350, "1", "P-1")
    assert (row.payload["anoCompra"], row.payload["orgaoEntidade"]["razaoSocial"]) == ("dois mil", ["x"])
    of_item = await database.row("SELECT * FROM itens_contratacao")
    assert (of_item.quantidade, of_item.descricao, of_item.payload) == (None, "Areia", json.loads(item))
    orgao = await database.row("SELECT cnpj, razao_social, payload FROM orgaos WHERE cnpj = '1'")
    assert tuple(orgao) == ("1", None, {"cnpj": "1", "razaoSocial": ["x"]})


async def test_an_unchanged_item_that_drifts_is_not_written_again(database: Database, world: World) -> None:
    item = {"numeroItem": 1, "descricao": "a", "quantidade": "dez"}
    key = world.put(data_publicacao=MORNING, data_atualizacao=MORNING, items=[item])
    claim = await database.claimed()
    await store(database, claim, bundle(world, key))
    before = await database.row("SELECT xmin, * FROM itens_contratacao")
    world.put(numeroControlePNCP=key, data_atualizacao=NOON, data_atualizacao_global=NOON)

    await store(database, claim, bundle(world, key))

    assert await database.row("SELECT xmin, * FROM itens_contratacao") == before


@pytest.mark.parametrize("cnpj", ["", " ", "\t"])
async def test_an_orgao_without_a_cnpj_makes_no_row(database: Database, world: World, cnpj: str) -> None:
    orgao = {"cnpj": cnpj, "razaoSocial": "x"}
    key = world.put(
        numeroControlePNCP="33333333000133-1-000001/2025",
        data_publicacao=MORNING,
        orgaoEntidade=orgao,
        orgaoSubRogado=orgao,
        unidadeSubRogada={"codigoUnidade": "1"},
    )
    other = world.put(
        data_publicacao=MORNING, orgaoEntidade={"cnpj": "11111111000111"}, unidadeOrgao={"codigoUnidade": cnpj}
    )
    claim = await database.claimed()

    await store(database, claim, bundle(world, key), bundle(world, other))

    assert [row.cnpj for row in await database.rows("SELECT cnpj FROM orgaos")] == ["11111111000111"]
    assert await database.rows("SELECT * FROM unidades") == []
    assert await database.value("SELECT count(*) FROM contratacoes") == 2


async def test_an_item_that_postgresql_refuses_costs_neither_its_record_nor_the_other_items(
    database: Database, world: World
) -> None:
    items = [{"numeroItem": 1}, {"numeroItem": 2, "chaveNova": Decimal("1e200000")}, {"numeroItem": 3}]
    key = world.put(data_publicacao=MORNING, items=items)
    good = world.put(data_publicacao=MORNING, items=2)
    claim = await database.claimed()

    counts = await store(database, claim, bundle(world, key), bundle(world, good))

    assert (counts.processed, counts.inserted, counts.itens, counts.rejected) == (2, 2, 4, 1)
    rows = await database.rows(
        "SELECT numero_item FROM itens_contratacao WHERE numero_controle_pncp = :key ORDER BY 1", key=key
    )
    assert [row.numero_item for row in rows] == [1, 3]
    rejected = await database.row("SELECT resource, natural_key, payload FROM rejected_records")
    assert tuple(rejected)[:2] == ("itens_contratacao", key)
    assert "chaveNova" in rejected.payload


# --- rejected records -------------------------------------------------------------------------------------------


async def test_a_rejected_record_is_one_row_however_often_it_is_read(
    database: Database, portals: Portals, day: World
) -> None:
    portal = await portals.serve(day)
    portal.quirks.add("null_dates", match={"page": 2}, value={"position": 3})
    client = await portals.client(portal)

    works = [await read_day(database, client) for _ in range(3)]

    row = await database.row("SELECT * FROM rejected_records")
    last = works[-1].claim
    assert (row.times, row.execution_id, row.slice_id) == (3, last.execution_id, last.slice_id)
    assert row.first_seen < row.last_seen
    counts = [(await database.slice(work.claim.slice_id)).records_rejected for work in works]
    assert counts == [1, 1, 1]


async def test_a_rejected_record_outlives_its_execution(database: Database) -> None:
    claim = await database.claimed()
    await store(database, claim, rejected=[Rejected("k", "reason", "{}", "contratacoes")])

    await database.rows("DELETE FROM sync_executions")

    row = await database.row("SELECT execution_id, slice_id, natural_key FROM rejected_records")
    assert tuple(row) == (None, None, "k")


async def test_a_version_that_can_be_stored_settles_what_was_rejected_of_a_record(
    database: Database, world: World
) -> None:
    key = world.put(data_publicacao=MORNING, items=2)
    claim = await database.claimed()
    of_items = Rejected(key, "reason", '{"numeroItem": "x"}', "itens_contratacao")
    await store(
        database,
        claim,
        rejected=[
            Rejected(key, "reason", "{}", "contratacoes"),
            Rejected("other", "reason", "{}", "contratacoes"),
            of_items,
        ],
    )

    await store(database, claim, bundle(world, key))

    rows = await database.rows("SELECT natural_key FROM rejected_records WHERE resolved_at IS NULL")
    assert [row.natural_key for row in rows] == ["other"]


async def test_what_is_rejected_beside_a_record_that_is_stored_stays_rejected(database: Database, world: World) -> None:
    key = world.put(data_publicacao=MORNING, data_atualizacao=MORNING, items=2)
    claim = await database.claimed()
    item = Rejected(key, "reason", '{"numeroItem": "x"}', "itens_contratacao")
    for stamp in (NOON, EVENING):
        world.put(numeroControlePNCP=key, data_atualizacao=stamp, data_atualizacao_global=stamp)
        await store(database, claim, bundle(world, key), rejected=[item])

    assert await database.value("SELECT count(*) FROM rejected_records WHERE resolved_at IS NULL") == 1

    world.put(numeroControlePNCP=key, data_atualizacao=EVENING, data_atualizacao_global=f"{CLOSED_DAY}T19:00:00")
    await store(database, claim, bundle(world, key))

    assert await database.value("SELECT count(*) FROM rejected_records WHERE resolved_at IS NULL") == 0


# --- a page too many of whose records cannot be stored ----------------------------------------------------------


async def test_a_page_of_which_much_cannot_be_stored_is_a_failure_and_the_rest_is_stored(
    database: Database, portals: Portals, day: World
) -> None:
    portal = await portals.serve(day)
    for position in range(5):
        portal.quirks.add("null_dates", match={"page": 3}, value={"position": position})
    claim = await database.claimed()

    with pytest.raises(PageUnfit, match="5 records of page 3 could not be stored"):
        await ingest_slice(work_on(database, await portals.client(portal), claim))

    row = await database.slice(claim.slice_id)
    assert (row.status, row.reading, row.records_processed, row.records_rejected) == ("running", 2, RECORDS - 5, 5)
    assert len(await database.mirror()) == RECORDS - 5


async def test_a_page_with_few_records_that_cannot_be_stored_is_none(
    database: Database, portals: Portals, day: World
) -> None:
    portal = await portals.serve(day)
    for position in range(4):
        portal.quirks.add("null_dates", match={"page": 3}, value={"position": position})

    work = await read_day(database, await portals.client(portal))

    assert (await database.slice(work.claim.slice_id)).records_rejected == 4


async def test_a_killed_worker_s_unfit_page_is_not_forgotten(database: Database, world: World) -> None:
    claim = await database.claimed()
    rejected = [Rejected(f"k{number}", "reason", "{}", "contratacoes") for number in range(5)]
    keys = frozenset(record.natural_key or "" for record in rejected)
    page = Batch(CONTRATACOES, 2, 20, 2, keys, frozenset(), rejected=rejected, listed=5)
    async with database.engine.begin() as db:
        await store_page(db, claim, page, Progress(1), keeps_page=False)

    assert await database.value("SELECT unfit FROM sync_pages WHERE page = 2") == 5


async def test_a_slice_whose_page_cannot_be_stored_ends_in_an_error_that_says_so(
    database: Database,
    portals: Portals,
    workers: Workers,  # noqa: F811
    day: World,
) -> None:
    portal = await portals.serve(day)
    for position in range(6):
        portal.quirks.add("null_dates", match={"page": 3}, value={"position": position})
    workers.start(await portals.client(portal), **only(MODALIDADE))
    execution_id = await database.requested()

    execution = await finished(database, execution_id)

    assert execution.status == "error"
    assert "6 records of page 3 could not be stored" in execution.error_message
    assert execution.cause == "bad_answer"
    assert (execution.records_processed, execution.records_rejected) == (RECORDS - 6, 6)
    assert len(await database.mirror()) == RECORDS - 6
    assert await database.value("SELECT reading FROM sync_slices") == 4, "it is tried three times"


async def test_a_page_that_was_unfit_once_is_stored_when_it_comes_well(
    database: Database,
    portals: Portals,
    workers: Workers,  # noqa: F811
    day: World,
) -> None:
    portal = await portals.serve(day)
    for position in range(6):
        portal.quirks.add("null_dates", match={"page": 3}, value={"position": position}, times=1)
    workers.start(await portals.client(portal), **only(MODALIDADE))

    execution = await finished(database, await database.requested())

    assert (execution.status, execution.records_processed) == ("success", RECORDS)
    assert await database.mirror() == truth(of_the_day(day))
    assert await database.value("SELECT count(*) FROM rejected_records WHERE resolved_at IS NULL") == 0
