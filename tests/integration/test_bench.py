"""The benchmarks run from end to end and measure what they say; their figures are not asserted."""

import re
from collections.abc import Iterator
from datetime import date, timedelta

import httpx
import pytest

from bench import deliver, filling, ingest, intake, read, taking_in
from bench.api import exists, serving
from bench.contender import Task, run
from bench.databases import Databases, query
from bench.mirror import backfill, ingestor
from bench.portal import Portal, make_world
from bench.receiver import Receiver
from common.resources import RESOURCE_NAMES, RESOURCES_BY_NAME
from ingestor.sources.pncp.records import list_path
from simulator.app import serve
from simulator.generated import generate

DAY = date(2025, 3, 10)
RECORDS = 40

# One worker for all: each starts processes of its own.
pytestmark = pytest.mark.xdist_group("bench")
every_other_resource = pytest.mark.parametrize("name", [name for name in RESOURCE_NAMES if name != "contratacoes"])


@pytest.fixture
def databases(server_url: str) -> Iterator[Databases]:
    databases = Databases(server_url)
    yield databases
    databases.close()


async def test_the_portal_of_the_benchmark_answers_as_the_simulator_does() -> None:
    world = generate(1, DAY, DAY, RECORDS)
    listing = f"consulta/v1/contratacoes/publicacao?dataInicial={DAY:%Y%m%d}&dataFinal={DAY:%Y%m%d}"
    keys = re.fullmatch(r"(\w{14})-1-(\d+)/(\d{4})", world.keys[0])
    assert keys is not None
    itens = f"pncp/v1/orgaos/{keys[1]}/compras/{keys[3]}/{int(keys[2])}/itens"
    targets = [
        *(f"{listing}&codigoModalidadeContratacao={each}&pagina=1&tamanhoPagina=50" for each in range(1, 20)),
        f"{listing}&codigoModalidadeContratacao=6&pagina=2&tamanhoPagina=10",
        f"{listing}&codigoModalidadeContratacao=6&pagina=99&tamanhoPagina=50",
        f"{itens}?pagina=1&tamanhoPagina=500",
        f"{itens}?tamanhoPagina=3&pagina=2",
        "pncp/v1/orgaos/00000000000000/compras/2025/1/itens",
    ]
    async with serve(world) as simulator, httpx.AsyncClient(trust_env=False) as client:
        with Portal(DAY, DAY, RECORDS) as portal:
            for target in targets:
                theirs = await client.get(f"{simulator.base_url}/{target}")
                ours = await client.get(f"{portal.url}/{target}")
                assert (ours.status_code, _timeless(ours.text)) == (theirs.status_code, _timeless(theirs.text)), target
                assert dict(ours.headers) == {name: value for name, value in theirs.headers.items() if name != "date"}
            assert portal.requests() == {"consulta": 21, "itens": 3}


def _timeless(text: str) -> str:
    return re.sub(r'"timestamp":"[^"]*"', "", text)


def test_a_benchmarked_backfill_is_a_whole_one_and_its_cost_is_measured(databases: Databases) -> None:
    with Portal(DAY, DAY, RECORDS) as portal:
        task = Task(portal.url, databases.fresh("ours"), DAY, DAY)
        with ingestor(task) as process:
            portal.reset()
            done = backfill(task, [process])
            first = portal.requests()
            portal.reset()
            backfill(task, [process])
            again = portal.requests()

    assert done.records == portal.records
    assert done.seconds > 0
    assert done.peak_mib > 1
    assert first["itens"] >= portal.records
    assert "itens" not in again, "what has not changed is not asked for"


@every_other_resource
async def test_of_every_resource_the_portal_of_the_benchmark_answers_as_the_simulator_does(name: str) -> None:
    resource = RESOURCES_BY_NAME[name]
    listing = resource.listings[resource.day_criterio]
    last_day = DAY + timedelta(days=1) if listing.excludes_last_day else DAY
    days = f"{listing.first_day}={DAY:%Y%m%d}&{listing.last_day}={last_day:%Y%m%d}"
    world = make_world(name, 1, DAY, DAY, RECORDS)
    targets = [f"{listing.path[1:]}?{days}&pagina={page}&tamanhoPagina={resource.page_size}" for page in (1, 99)]
    for key in list(world.store(name).records)[:3] if resource.child else ():
        assert resource.child is not None
        targets.append(f"{list_path(resource, resource.child, key)[1:]}?pagina=1&tamanhoPagina=2000")
    async with serve(world) as simulator, httpx.AsyncClient(trust_env=False) as client:
        with Portal(DAY, DAY, RECORDS, resource=name) as portal:
            assert portal.records == len(world.store(name).records) == RECORDS
            for target in targets:
                theirs = await client.get(f"{simulator.base_url}/{target}")
                ours = await client.get(f"{portal.url}/{target}")
                assert (ours.status_code, _timeless(ours.text)) == (theirs.status_code, _timeless(theirs.text)), target


@every_other_resource
def test_of_every_resource_a_backfill_is_a_whole_one_and_so_is_what_is_fetched_and_discarded(
    databases: Databases, name: str
) -> None:
    with Portal(DAY, DAY, RECORDS, resource=name) as portal:
        task = Task(portal.url, databases.fresh("ours"), DAY, DAY, resource=name)
        with ingestor(task) as process:
            ours = backfill(task, [process])
        theirs = run("bench.limits", task)

    assert ours.records == theirs.records == portal.records == RECORDS


def test_a_setting_is_measured_beside_the_defaults_and_days_are_as_large_as_was_asked_for(
    databases: Databases, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "contenders", lambda *_: [ingest.OURS])

    ingest.run_ingest(
        databases, [RECORDS], [0], 1, RESOURCES_BY_NAME["pcas"], per_day=RECORDS // 2, settings=["COLETAS_ENABLED=true"]
    )

    printed = capsys.readouterr().out
    assert f"{RECORDS} pcas" in printed
    assert f"{DAY}..{DAY + timedelta(days=1)}" in printed
    for contender in ("PNCP Sync", "PNCP Sync, COLETAS_ENABLED=true"):
        assert re.search(rf"^{contender} +\| +[0-9,]+ \|", printed, re.MULTILINE), contender


@pytest.mark.slow
@every_other_resource
def test_every_contender_does_the_whole_task_of_every_resource(
    databases: Databases, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    pytest.importorskip("dlt", reason="requirements-bench.txt is not installed")
    resource = RESOURCES_BY_NAME[name]
    ingest.run_ingest(databases, [RECORDS], [0], repeats=1, resource=resource)

    printed = capsys.readouterr().out
    for contender in ingest.contenders(RECORDS, 0, resource):
        assert re.search(rf"^{contender} +\| +[0-9,]+ \|", printed, re.MULTILINE), contender


@pytest.mark.slow
def test_every_contender_does_the_whole_task(databases: Databases, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("dlt", reason="requirements-bench.txt is not installed")
    pytest.importorskip("requests", reason="requirements-bench.txt is not installed")
    # It refuses a contender that did fewer records than there are.
    ingest.run_ingest(databases, [RECORDS], [0], repeats=1)

    printed = capsys.readouterr().out
    for name in ("PNCP Sync", "fetch and discard", "COPY of the rows", "dlt", "plain script"):
        assert re.search(rf"^{name} +\| +[0-9,]+ \|", printed, re.MULTILINE), name


def test_a_filled_mirror_is_as_an_ingested_one_and_every_question_is_answered(
    databases: Databases, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = databases.fresh("read")
    filling.fill(url, filling.Sizes(300, 160, DAY, days=5))

    kept, counted, words = query(
        url,
        """
        SELECT (SELECT count(*) FROM contratos WHERE numero_controle_pncp = payload ->> 'numeroControlePNCP'),
               (SELECT sum(n) FROM resumo_diario WHERE entidade = 'contratos'),
               (SELECT count(*) FROM contratos c JOIN contratacoes a
                    ON a.numero_controle_pncp = c.numero_controle_pncp_compra WHERE c.busca IS NOT NULL)""",
    )[0]
    assert (kept, counted, words) == (300, 300, 300)
    indexes = "SELECT tablename, indexname FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1, 2"
    assert query(url, indexes) == query(databases.fresh("empty"), indexes)

    questions = list(read.questions(url))
    with serving("standalone.serve", {"DATABASE_URL": url, "RABBITMQ_URL": ""}) as backend:
        assert [each for each in questions if not exists(backend + each.path)] == []

    some = [questions[0], next(each for each in questions if "cursor=" in each.path)]
    monkeypatch.setattr(read, "questions", lambda _: some)
    read.measure(url, seconds=0.1, repeats=1, exported=100)

    printed = capsys.readouterr().out
    for question in some:
        assert re.search(rf"^{question.name} +\| +[0-9.]+ \|.* \| +(yes|no: .*)$", printed, re.MULTILINE), question.name
    assert "Files" in printed or "no files" in printed


def test_benchmarked_deliveries_bring_every_record_and_what_owes_nothing_is_asked(
    databases: Databases, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliver, "contenders", lambda *_: [deliver.OURS, deliver.RENDER])
    # it refuses a contender that has sent fewer records than there are, and a ledger that still owes some
    deliver.run_deliver(databases, [1_200], [0], repeats=1)

    printed = capsys.readouterr().out
    for contender in (deliver.OURS, deliver.RENDER):
        assert re.search(rf"^{contender} +\| +[0-9,]+ \|", printed, re.MULTILINE), contender
    for question in ("the join alone", "all that differs", "what has changed since the last run"):
        assert re.search(rf"^{question} +\| +[0-9.]+ \| +[0-9.]+$", printed, re.MULTILINE), question


@pytest.mark.slow
def test_every_contender_delivers_every_record(databases: Databases, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("drt", reason="requirements-bench.txt is not installed")
    pytest.importorskip("psycopg2", reason="requirements-bench.txt is not installed")
    deliver.run_deliver(databases, [1_200], [0, 5], repeats=1)

    printed = capsys.readouterr().out
    for name in deliver.contenders(1_200, 0):
        assert re.search(rf"^{name} +\| +[0-9,]+ \|", printed, re.MULTILINE), name


def test_benchmarked_spreadsheets_are_read_to_their_last_row(capsys: pytest.CaptureFixture[str]) -> None:
    intake.run_intake(1_200, repeats=1)

    printed = capsys.readouterr().out
    for form in intake.FORMS:
        assert re.search(rf"^\.{form} +\| +[0-9,]+ \|", printed, re.MULTILINE), form


def test_benchmarked_intake_makes_a_record_of_every_row_by_each_door(
    databases: Databases, capsys: pytest.CaptureFixture[str]
) -> None:
    taking_in.run_taking_in(databases, 1_200, repeats=1)

    printed = capsys.readouterr().out
    for name in (".xlsx of 120 rows", ".xlsx of 1,200 rows", "1,200 records pushed", "1,200 rows of PostgreSQL"):
        assert re.search(rf"^{re.escape(name)} +\| +[0-9.]+ \|", printed, re.MULTILINE), name


def test_the_receiver_of_the_benchmark_counts_requests_records_and_bytes() -> None:
    body = b'{"registros":[{"CODIGO":1},{"CODIGO":2}]}'
    with Receiver() as receiver, httpx.Client(trust_env=False) as client:
        receiver.reset(0)
        for _ in range(3):
            assert client.post(f"{receiver.url}/produtos", content=body).status_code == 200
        received = receiver.received()
        receiver.reset(0)
        assert (receiver.received().requests, received.requests) == (0, 3)
    assert (received.records, received.bytes) == (6, 3 * len(body))
