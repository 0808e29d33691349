"""Lists that are only read later: resultados, documents and termos of records in scope, below everything else."""

import asyncio
import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import httpx
import pytest

from common.lists import Scope, Scopes
from common.resources import LATER
from ingestor import debts as debts_module
from ingestor import worker as worker_module
from ingestor.debts import MOST_TRIES, Outcome, Turn, work_off
from ingestor.slices import SliceIngestion, Tools, ingest_slice
from ingestor.sources.pncp.client import PncpClient
from ingestor.store import later as later_module
from simulator.app import Simulator
from simulator.children import find_children, put_children
from simulator.records import ChildKey
from simulator.world import World
from tests.integration.conftest import CLOSED_DAY, MODALIDADE, Database, OpenApi, Portals, piece
from tests.integration.test_worker import Workers, finished, only, quick_polls, workers  # noqa: F401  # fixtures
from tests.support import eventually

ALL: Scopes = {"resultados": Scope(), "arquivos": Scope(), "termos": Scope()}
RESULTADOS: Scopes = {"resultados": Scope()}
LATER_STAMP = f"{CLOSED_DAY}T20:00:00"


@pytest.fixture
def day(world: World) -> World:
    """Contratações of a closed day: of the items of each the odd ones have results, of the last one none."""
    for number in range(6):
        world.put(
            data_publicacao=f"{CLOSED_DAY}T10:{number:02}:00",
            modalidade=MODALIDADE,
            items=[{"numeroItem": item, "temResultado": item % 2 == 1 and number < 5} for item in range(1, number + 2)],
            unidadeOrgao={"ufSigla": "SP" if number % 2 else "MG"},
        )
    return world


async def read_day(
    database: Database, client: PncpClient, scopes: Scopes, resource: str = "contratacoes"
) -> SliceIngestion:
    """Read the day as an execution of its own."""
    part = 0 if resource == "contratos" else MODALIDADE
    claim = await database.claimed([piece(modalidade=part)], resource=resource)
    tools = Tools(database.engine, client, asyncio.Event(), lease_seconds=60, scopes=scopes)
    work = SliceIngestion(tools, claim)
    assert await ingest_slice(work)
    return work


async def work(
    database: Database, client: PncpClient, scopes: Scopes = ALL, *, rounds: int = 1, most: int = 50
) -> list[Outcome]:
    """So many rounds of the worker, for which everything that is not set aside is due."""
    outcomes: list[Outcome] = []
    for _ in range(rounds):
        for _, child in LATER:
            await database.rows(f"UPDATE {child.debts} SET due_at = now()")
        outcomes += await work_off(
            database.engine, client, asyncio.Event(), most, turn=Turn(LATER, wanted=list(scopes), scopes=scopes)
        )
    return outcomes


async def owed(database: Database, table: str = "resultados") -> set[str]:
    return {row[0] for row in await database.rows(f"SELECT numero_controle_pncp FROM {table}_owed")}


def with_results(world: World) -> dict[str, list[int]]:
    """The numbers of the items with results of each contratação that has any."""
    found = {
        key: [item["numeroItem"] for item in map(json.loads, world.items(key)) if item["temResultado"]]
        for key in world.contratacoes.records
    }
    return {key: numbers for key, numbers in found.items() if numbers}


def on_the_portal(world: World) -> dict[tuple[str, int, int], Any]:
    """All resultados that the portal has, by their keys."""
    rows = [
        json.loads(row)
        for key, numbers in with_results(world).items()
        for number in numbers
        for row in find_children(world, ChildKey("resultados", key, number))
    ]
    return {(row["numeroControlePNCPCompra"], row["numeroItem"], row["sequencialResultado"]): row for row in rows}


async def stored(database: Database) -> dict[tuple[str, int, int], Any]:
    rows = await database.rows(
        "SELECT numero_controle_pncp, numero_item, sequencial_resultado, payload FROM resultados"
    )
    return {(row[0], row[1], row[2]): row.payload for row in rows}


def asked(portal: Simulator, kind: str) -> list[str]:
    return [served.target for served in portal.stats.log if f"/{kind}" in served.target]


def keys_of(world: World, numbers: Iterable[int]) -> list[str]:
    ordered = sorted(world.contratacoes.records.values(), key=lambda record: record.publicacao)
    return [ordered[number].numero_controle_pncp for number in numbers]


# --- what is owed -----------------------------------------------------------------------------------------------


async def test_nothing_is_owed_without_a_scope(database: Database, portals: Portals, day: World) -> None:
    portal = await portals.serve(day)

    await read_day(database, await portals.client(portal), {"resultados": None, "arquivos": None, "termos": None})

    assert await owed(database) == await owed(database, "arquivos_contratacao") == set()
    assert asked(portal, "resultados") == asked(portal, "arquivos") == []


async def test_only_contratacoes_in_scope_that_have_results_are_owed(
    database: Database, portals: Portals, day: World
) -> None:
    client = await portals.client(await portals.serve(day))

    await read_day(database, client, {"resultados": Scope(uf=("SP",))})
    assert await owed(database) == set(keys_of(day, [1, 3]))

    others = Scope(uf=("MG",), modalidade=(MODALIDADE,), cnpj=(keys_of(day, [2])[0][:14],))
    await database.rows("UPDATE contratacoes SET itens_at = NULL")
    await read_day(database, client, {"resultados": others})
    assert await owed(database) == set(keys_of(day, [1, 2, 3]))


async def test_published_long_ago_is_out_of_a_scope_of_days(database: Database, portals: Portals, day: World) -> None:
    client = await portals.client(await portals.serve(day))

    await read_day(database, client, {"resultados": Scope(dias=30)})

    assert await owed(database) == set()


async def test_results_are_owed_as_soon_as_the_items_have_come(
    database: Database, portals: Portals, day: World
) -> None:
    portal = await portals.serve(day)
    client = await portals.client(portal)
    rule = portal.quirks.add("items_down", match={"kind": "itens"})
    await read_day(database, client, ALL)
    assert await owed(database) == set()
    assert len(await owed(database, "arquivos_contratacao")) == 6

    portal.quirks.rules.remove(rule)
    await database.rows("UPDATE source_pauses SET paused_until = now()")
    await database.rows("UPDATE itens_owed SET due_at = now()")

    async def all_items_have_come() -> bool:
        await database.rows("UPDATE itens_owed SET due_at = now()")
        await work_off(database.engine, client, asyncio.Event(), 50, turn=Turn(scopes=ALL))
        return not await owed(database, "itens")

    await eventually(all_items_have_come)
    assert await owed(database) == set(with_results(day))


# --- what is read -----------------------------------------------------------------------------------------------


async def test_the_results_of_all_items_that_have_some_are_stored_and_their_suppliers_known(
    database: Database, portals: Portals, day: World
) -> None:
    portal = await portals.serve(day)
    client = await portals.client(portal)
    await read_day(database, client, RESULTADOS)

    assert set(await work(database, client)) == {"read"}

    expected = on_the_portal(day)
    assert await stored(database) == expected
    assert await owed(database) == set()
    assert len(asked(portal, "resultados")) == sum(map(len, with_results(day).values()))
    read = "SELECT numero_controle_pncp FROM contratacoes WHERE resultados_at IS NOT NULL"
    assert {row[0] for row in await database.rows(read)} == set(with_results(day))
    suppliers = await database.rows("SELECT tipo_pessoa, ni FROM fornecedores")
    assert {(row.tipo_pessoa, row.ni) for row in suppliers} == {
        (row["tipoPessoa"], row["niFornecedor"]) for row in expected.values()
    }


async def test_a_list_of_many_parts_is_read_some_at_a_time_and_goes_on_where_it_was(
    database: Database, portals: Portals, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(debts_module, "PARTS_AT_ONCE", 4)
    items = [{"numeroItem": number, "temResultado": True} for number in range(1, 11)]
    world.put(data_publicacao=f"{CLOSED_DAY}T10:00:00", modalidade=MODALIDADE, items=items)
    portal = await portals.serve(world)
    client = await portals.client(portal)
    await read_day(database, client, RESULTADOS)

    assert await work(database, client) == ["in_part"]
    assert (await database.value("SELECT parts_left FROM resultados_owed")) == [5, 6, 7, 8, 9, 10]
    assert await work(database, client, rounds=2) == ["in_part", "read"]

    assert await stored(database) == on_the_portal(world)
    assert len(asked(portal, "resultados")) == 10


async def test_parts_that_fail_hold_up_no_others_and_are_set_aside_in_the_end(
    database: Database, portals: Portals, day: World
) -> None:
    portal = await portals.serve(day)
    client = await portals.client(portal)
    await read_day(database, client, RESULTADOS)
    [key] = keys_of(day, [4])
    cnpj, sequencial, ano = key[:14], int(key[17:23]), key[-4:]
    portal.quirks.add("403", match={"path": f"{cnpj}/compras/{ano}/{sequencial}/itens/1/resultados"})

    assert sorted(await work(database, client)) == ["failed", *["read"] * 4]

    assert await stored(database) == {entry: row for entry, row in on_the_portal(day).items() if entry[:2] != (key, 1)}
    row = await database.row("SELECT * FROM resultados_owed")
    assert (row.numero_controle_pncp, row.parts_left, row.tries) == (key, [1], 1)
    assert "status 403" in row.cause

    outcomes = await work(database, client, rounds=MOST_TRIES - 1)
    assert outcomes == [*["failed"] * (MOST_TRIES - 2), "set_aside"]
    assert await work(database, client) == []


@pytest.mark.parametrize("said", ["404", "no_content"])
async def test_an_item_that_has_no_results_after_all_takes_nothing_away(
    database: Database, portals: Portals, day: World, said: str
) -> None:
    portal = await portals.serve(day)
    client = await portals.client(portal)
    await read_day(database, client, RESULTADOS)
    await work(database, client)
    before = await stored(database)

    portal.quirks.add(said, match={"kind": "resultados"})
    await database.rows("UPDATE contratacoes SET resultados_at = NULL, itens_at = NULL")
    await read_day(database, client, RESULTADOS)
    assert await owed(database) == set(with_results(day))
    await work(database, client)

    assert await stored(database) == before
    assert await owed(database) == set()


async def test_a_change_of_the_contratacao_owes_again_and_cancelled_and_gone_results_stay(
    database: Database, portals: Portals, day: World
) -> None:
    client = await portals.client(await portals.serve(day))
    [key] = keys_of(day, [2])
    put_children(day, "resultados", key, 2, item=1, at=f"{CLOSED_DAY}T19:00:00")
    await read_day(database, client, RESULTADOS)
    await work(database, client)
    before = await stored(database)
    assert {entry for entry in before if entry[:2] == (key, 1)} == {(key, 1, 1), (key, 1, 2)}

    cancelled = {"sequencialResultado": 2, "situacaoCompraItemResultadoId": 2}
    put_children(day, "resultados", key, [cancelled], item=1, at=LATER_STAMP)
    await read_day(database, client, RESULTADOS)
    assert await owed(database) == {key}
    await work(database, client)

    after = await stored(database)
    assert after.keys() == before.keys()
    assert after[key, 1, 1] == before[key, 1, 1]
    state = await database.value(
        "SELECT situacao_compra_item_resultado_id FROM resultados"
        " WHERE numero_controle_pncp = :key AND numero_item = 1 AND sequencial_resultado = 2",
        key=key,
    )
    assert state == 2


async def test_results_of_a_version_that_has_been_replaced_meanwhile_are_read_again(
    database: Database, portals: Portals, day: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(debts_module, "PARTS_AT_ONCE", 1)
    client = await portals.client(await portals.serve(day))
    [key] = keys_of(day, [4])
    await read_day(database, client, RESULTADOS)
    await work(database, client)
    assert await database.value("SELECT parts_left FROM resultados_owed WHERE numero_controle_pncp = :key", key=key)

    put_children(day, "resultados", key, 3, item=1, at=LATER_STAMP)
    await read_day(database, client, {})  # owes nothing: the debt is of an older version

    await work(database, client, rounds=3)
    assert await stored(database) == on_the_portal(day)


async def test_documents_are_replaced_where_they_are_proved_and_withdrawn_ones_stay_as_rows(
    database: Database, portals: Portals, day: World
) -> None:
    portal = await portals.serve(day)
    client = await portals.client(portal)
    [key] = keys_of(day, [0])
    put_children(day, "arquivos", key, 3, at=f"{CLOSED_DAY}T19:00:00")
    await read_day(database, client, ALL)
    await work(database, client)
    listed = "SELECT sequencial_documento, status_ativo FROM arquivos_contratacao WHERE numero_controle_pncp = :key"
    assert len(await database.rows(listed, key=key)) == 3

    put_children(day, "arquivos", key, [{"statusAtivo": True}, {"statusAtivo": False}], at=LATER_STAMP)
    await read_day(database, client, ALL)
    await work(database, client)

    rows = await database.rows(f"{listed} ORDER BY 1", key=key)
    assert [tuple(row) for row in rows] == [(1, True), (2, False)]
    assert await owed(database, "arquivos_contratacao") == set()


async def test_documents_and_termos_of_contratos_come_too(database: Database, portals: Portals, world: World) -> None:
    world.publish(12, at=CLOSED_DAY, resource="contratos")
    keys = sorted(world.contratos.records)
    put_children(world, "termos", keys[0], 2, at=LATER_STAMP)
    put_children(world, "arquivos", keys[1], 2, at=LATER_STAMP)
    client = await portals.client(await portals.serve(world))
    await read_day(database, client, ALL, "contratos")
    assert await owed(database, "termos_contrato") == await owed(database, "arquivos_contrato") == set(keys)

    # an empty list is confirmed by the portal's count
    assert {"read", "empty"} == set(await work(database, client))

    for kind, table in (("termos", "termos_contrato"), ("arquivos", "arquivos_contrato")):
        rows = await database.rows(f"SELECT numero_controle_pncp, payload FROM {table}")
        assert sorted((row[0], json.dumps(row.payload, sort_keys=True)) for row in rows) == sorted(
            (key, json.dumps(json.loads(one), sort_keys=True))
            for key in keys
            for one in find_children(world, ChildKey(kind, key))
        )
        assert await owed(database, table) == set()


@pytest.mark.parametrize(
    ("resource", "table", "number"),
    [
        ("contratacoes", "historico_contratacao", "documentoSequencial"),
        ("contratos", "historico_contrato", "sequencialDocumentoContrato"),
    ],
)
async def test_events_are_stored_once_each_in_the_order_of_time_and_stay(
    database: Database, portals: Portals, world: World, resource: str, table: str, number: str
) -> None:
    part = {"modalidade": MODALIDADE} if resource == "contratacoes" else {}
    key = world.put(data_publicacao=f"{CLOSED_DAY}T10:00:00", resource=resource, **part)
    at = "logManutencaoDataInclusao"
    listed = [
        {at: "2025-01-03T10:00:00", "tipoLogManutencao": 1, "justificativa": "a terceira"},
        {at: "2025-01-02T10:00:00", "tipoLogManutencao": 0, number: 1},
        {at: "2025-01-02T10:00:00", "tipoLogManutencao": 0, number: 2},
        # the same as another type of JSON: the same event
        {at: "2025-01-02T10:00:00-03:00", "tipoLogManutencao": "0", number: 2},
    ]
    put_children(world, "historico", key, listed, at=f"{CLOSED_DAY}T11:00:00")
    client = await portals.client(await portals.serve(world))
    scopes: Scopes = {"historico": Scope()}
    await read_day(database, client, scopes, resource)
    assert await owed(database, table) == {key}

    assert await work(database, client, scopes) == ["read"]

    told = f"SELECT evento, documento_sequencial, justificativa FROM {table} ORDER BY evento"
    rows = await database.rows(told)
    assert [row.evento[:21] for row in rows] == ["2025-01-02T10:00:00-0"] * 2 + ["2025-01-03T10:00:00-1"]
    assert [row.documento_sequencial for row in rows] == [1, 2, None]
    assert rows[2].justificativa == "a terceira"
    assert await database.value(f"SELECT count(*) FROM {resource} WHERE historico_at IS NOT NULL") == 1

    put_children(world, "historico", key, [{at: "2025-01-04T10:00:00"}], at=LATER_STAMP)
    await read_day(database, client, scopes, resource)
    assert await work(database, client, scopes) == ["read"]
    assert [row.evento[:10] for row in await database.rows(told)] == [f"2025-01-0{day}" for day in (2, 2, 3, 4)]


async def test_results_that_are_down_leave_everything_else_alone(
    database: Database,
    portals: Portals,
    workers: Workers,  # noqa: F811
    day: World,
) -> None:
    portal = await portals.serve(day)
    rule = portal.quirks.add("items_down", match={"kind": "resultados"})
    workers.start(await portals.client(portal), scopes=ALL, **only(MODALIDADE))

    execution = await finished(database, await database.requested())
    assert (execution.status, execution.records_processed) == ("success", 6)

    async def documents_have_come() -> bool:
        return not await owed(database, "arquivos_contratacao")

    await eventually(documents_have_come)
    assert await owed(database) == set(with_results(day))
    assert await owed(database, "itens") == set()

    portal.quirks.rules.remove(rule)

    async def results_have_come() -> bool:
        await database.rows("UPDATE resultados_owed SET due_at = now()")
        return not await owed(database)

    await eventually(results_have_come)
    assert await stored(database) == on_the_portal(day)


async def test_what_is_owed_later_waits_while_items_are_due(
    database: Database,
    portals: Portals,
    workers: Workers,  # noqa: F811
    day: World,
) -> None:
    portal = await portals.serve(day)
    client = await portals.client(portal)
    await read_day(database, client, RESULTADOS)
    [key] = keys_of(day, [5])
    await database.rows(
        "INSERT INTO itens_owed (numero_controle_pncp, as_of, reason) SELECT numero_controle_pncp,"
        " data_atualizacao_global, 'unread' FROM contratacoes WHERE numero_controle_pncp = :key",
        key=key,
    )
    await database.rows("UPDATE contratacoes SET itens_at = NULL WHERE numero_controle_pncp = :key", key=key)
    before = len(portal.stats.log)
    workers.start(client, scopes=RESULTADOS, **only(MODALIDADE))

    async def results_have_come() -> bool:
        return not await owed(database)

    await eventually(results_have_come)
    assert "/resultados" not in portal.stats.log[before].target


# --- a scope that is new ----------------------------------------------------------------------------------------


async def test_a_scope_that_becomes_wider_owes_what_was_there_before_and_a_narrower_one_owes_less(
    database: Database,
    portals: Portals,
    workers: Workers,  # noqa: F811
    day: World,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(later_module, "RECORDS_AT_ONCE", 2)
    client = await portals.client(await portals.serve(day))
    await read_day(database, client, {})

    async def looked_at_for(scope: Scope) -> None:
        worker, task = workers.start(client, scopes={"resultados": scope}, **only(MODALIDADE))

        async def all_looked_at() -> bool:
            said = "SELECT count(*) FROM list_scopes WHERE scope = :scope AND ended_at IS NOT NULL"
            return bool(await database.value(said, scope=str(scope)))

        await eventually(all_looked_at)
        worker.stopping.set()
        await task

    # nothing is read meanwhile
    monkeypatch.setattr(worker_module.Worker, "_work_off", _nothing)
    await looked_at_for(Scope(uf=("SP",)))
    assert await owed(database) == set(keys_of(day, [1, 3]))
    await looked_at_for(Scope())
    assert await owed(database) == set(with_results(day))
    await looked_at_for(Scope(uf=("MG",)))
    assert await owed(database) == set(keys_of(day, [0, 2, 4]))


async def _nothing(*_: object) -> bool:
    return False


# --- on demand, and beforehand ------------------------------------------------------------------------------------


async def test_a_list_that_is_asked_for_comes_first_whatever_the_scope(
    api: httpx.AsyncClient,
    database: Database,
    portals: Portals,
    workers: Workers,  # noqa: F811
    day: World,
) -> None:
    client = await portals.client(await portals.serve(day))
    await read_day(database, client, {})
    [key] = keys_of(day, [4])

    answer = await api.post("/sync/lists", json={"list": "resultados", "numero_controle_pncp": key})

    assert answer.status_code == 202, answer.text
    assert answer.json() == {
        "list": "resultados",
        "resource": "contratacoes",
        "numero_controle_pncp": key,
        "status": "asked",
        "asked_at": answer.json()["asked_at"],
        "read_at": None,
        "requests": 3,
    }
    workers.start(client, **only(MODALIDADE))

    async def has_come() -> bool:
        return not await owed(database)

    await eventually(has_come)
    assert await stored(database) == {entry: row for entry, row in on_the_portal(day).items() if entry[0] == key}


async def test_what_was_asked_for_is_read_before_newer_records(
    api: httpx.AsyncClient, database: Database, portals: Portals, day: World
) -> None:
    client = await portals.client(await portals.serve(day))
    await read_day(database, client, RESULTADOS)
    [oldest] = keys_of(day, [0])
    await api.post("/sync/lists", json={"list": "resultados", "numero_controle_pncp": oldest})

    await work(database, client, most=1)

    assert {entry[0] for entry in await stored(database)} == {oldest}


PASSWORDS = {f"{role}_password": f"{role}-and-its-long-words" for role in ("admin", "viewer")}
ADMIN, VIEWER = (httpx.BasicAuth(role, f"{role}-and-its-long-words") for role in ("admin", "viewer"))


async def test_a_viewer_asks_too_and_what_waits_is_not_asked_for_twice(
    open_api: OpenApi, database: Database, portals: Portals, day: World
) -> None:
    client = await portals.client(await portals.serve(day))
    await read_day(database, client, {})
    api = await open_api(**PASSWORDS)
    [key] = keys_of(day, [4])
    body = {"list": "resultados", "numero_controle_pncp": key}

    answers = await asyncio.gather(*(api.post("/sync/lists", json=body, auth=VIEWER) for _ in range(2)))

    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json() == answers[1].json()
    assert await database.value("SELECT count(*) FROM resultados_owed WHERE asked_at IS NOT NULL") == 1
    # an administrator has it read anew: tries that failed do not count
    await database.rows("UPDATE resultados_owed SET tries = 3")
    await api.post("/sync/lists", json=body, auth=VIEWER)
    assert await database.value("SELECT tries FROM resultados_owed") == 3
    await api.post("/sync/lists", json=body, auth=ADMIN)
    assert await database.value("SELECT tries FROM resultados_owed") == 0


async def test_a_list_that_was_just_read_is_read_again_for_an_administrator_alone(
    open_api: OpenApi, database: Database, portals: Portals, day: World
) -> None:
    client = await portals.client(await portals.serve(day))
    await read_day(database, client, {})
    api = await open_api(**PASSWORDS)
    [key] = keys_of(day, [0])
    body = {"list": "arquivos", "numero_controle_pncp": key}
    assert (await api.post("/sync/lists", json=body, auth=VIEWER)).status_code == 202
    await work(database, client)

    answer = await api.post("/sync/lists", json=body, auth=VIEWER)

    read_at = await database.value("SELECT arquivos_at FROM contratacoes WHERE numero_controle_pncp = :key", key=key)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["status"], answer.json()["asked_at"], answer.json()["requests"]) == ("read", None, 0)
    assert datetime.fromisoformat(answer.json()["read_at"]) == read_at
    assert await owed(database, "arquivos_contratacao") == set()

    await database.rows("UPDATE contratacoes SET arquivos_at = now() - interval '61 minutes'")
    assert (await api.post("/sync/lists", json=body, auth=VIEWER)).status_code == 202
    await work(database, client)
    assert (await api.post("/sync/lists", json=body, auth=ADMIN)).status_code == 202
    assert await owed(database, "arquivos_contratacao") == {key}


async def test_only_so_many_lists_that_viewers_ask_for_wait(
    open_api: OpenApi, database: Database, portals: Portals, day: World
) -> None:
    client = await portals.client(await portals.serve(day))
    await read_day(database, client, ALL)  # what a scope owes does not count
    api = await open_api(**PASSWORDS, lists_asked_at_once=2)
    keys = keys_of(day, range(4))

    async def ask(name: str, key: str, user: httpx.BasicAuth) -> httpx.Response:
        return await api.post("/sync/lists", json={"list": name, "numero_controle_pncp": key}, auth=user)

    answers = await asyncio.gather(*(ask(name, keys[0], VIEWER) for name in ("resultados", "arquivos")))
    assert [answer.status_code for answer in answers] == [202, 202]
    refused = await ask("resultados", keys[1], VIEWER)
    assert refused.status_code == 429
    assert refused.headers["Retry-After"]
    assert "Já esperam 2 listas pedidas" in refused.json()["detail"]
    # what waits already costs nothing more, and an administrator is not refused
    assert (await ask("resultados", keys[0], VIEWER)).status_code == 202
    assert (await ask("resultados", keys[2], ADMIN)).status_code == 202

    await database.rows("UPDATE arquivos_contratacao_owed SET set_aside_at = now() WHERE asked_at IS NOT NULL")
    assert (await ask("resultados", keys[1], VIEWER)).status_code == 429
    await database.rows("DELETE FROM resultados_owed WHERE asked_at IS NOT NULL")
    assert (await ask("resultados", keys[1], VIEWER)).status_code == 202


async def test_what_viewers_ask_for_counts_as_a_write(
    open_api: OpenApi, database: Database, portals: Portals, day: World
) -> None:
    await read_day(database, await portals.client(await portals.serve(day)), {})
    api = await open_api(**PASSWORDS, limit_writes_per_minute=1)
    body = {"list": "arquivos", "numero_controle_pncp": keys_of(day, [0])[0]}

    answers = [await api.post("/sync/lists", json=body, auth=VIEWER) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [202, 429]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"list": "resultados", "numero_controle_pncp": "00394460000141-1-000001/2025"}, 404),
        ({"list": "termos", "numero_controle_pncp": "00394460000141-1-000001/2025"}, 404),
        ({"list": "itens", "numero_controle_pncp": "00394460000141-1-000001/2025"}, 422),
        ({"list": "resultados"}, 422),
    ],
)
async def test_a_list_of_no_record_cannot_be_asked_for(
    api: httpx.AsyncClient, body: dict[str, str], status: int
) -> None:
    assert (await api.post("/sync/lists", json=body)).status_code == status


async def test_the_plan_says_records_requests_and_hours_of_each_list(
    open_api: OpenApi, database: Database, portals: Portals, day: World
) -> None:
    client = await portals.client(await portals.serve(day))
    await read_day(database, client, {"resultados": Scope(uf=("SP",))})
    api = await open_api(pncp_resultados="tudo", pncp_termos="tudo", pncp_lists_per_second=0.001)
    results = with_results(day)
    in_sp = keys_of(day, [1, 3])

    plan = (await api.post("/sync/lists/plan", json={})).json()

    requests = sum(map(len, results.values()))
    by_list = {(one["list"], one["resource"]): one for one in plan["lists"]}
    assert by_list.keys() == {(child.service, resource.name) for resource, child in LATER}
    assert by_list["resultados", "contratacoes"] == {
        "list": "resultados",
        "resource": "contratacoes",
        "scope": "tudo",
        "owed": 2,
        "set_aside": 0,
        "new": 3,
        "requests": requests,
        "hours": round(requests / 0.001 / 3600, 1),
    }
    assert by_list["arquivos", "contratacoes"]["scope"] == "nenhum"
    assert (plan["requests"], plan["requests_per_second"]) == (requests, 0.001)

    asked_for = {"list": "arquivos", "scope": "uf=MG"}
    [of_compras, of_contratos] = (await api.post("/sync/lists/plan", json=asked_for)).json()["lists"]
    assert (of_compras["new"], of_compras["requests"], of_contratos["new"]) == (3, 3, 0)

    refused = await api.post("/sync/lists/plan", json={"scope": "estado=SP"})
    assert refused.status_code == 422

    first, *others = (await api.get("/sync/dashboard")).json()["lists_owed"]
    since = await database.value("SELECT min(owed_since) FROM resultados_owed")
    assert datetime.fromisoformat(first.pop("since")) == since
    assert first == {
        "list": "resultados",
        "resource": "contratacoes",
        "label": "Resultados dos itens das contratações",
        "scope": "tudo",
        "owed": len(in_sp),
        "set_aside": 0,
        "requests": sum(len(results.get(key, [])) for key in in_sp),
    }
    assert [(one["list"], one["resource"], one["scope"], one["owed"], one["since"]) for one in others] == [
        ("arquivos", "contratacoes", "nenhum", 0, None),
        ("historico", "contratacoes", "nenhum", 0, None),
        ("arquivos", "contratos", "nenhum", 0, None),
        ("termos", "contratos", "tudo", 0, None),
        ("historico", "contratos", "nenhum", 0, None),
    ]
    metrics = (await api.get("/metrics")).text
    assert 'pncp_lists_owed{list="resultados",resource="contratacoes",state="unread"} 2.0' in metrics


async def test_of_a_list_with_too_many_debts_the_number_is_estimated(
    api: httpx.AsyncClient, database: Database, portals: Portals, day: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await portals.client(await portals.serve(day))
    await read_day(database, client, ALL)
    await database.rows("ANALYZE arquivos_contratacao_owed")
    monkeypatch.setattr("backend.services.owed.MOST_COUNTED", 2)

    lists = (await api.get("/sync/dashboard")).json()["lists_owed"]

    [found] = [one for one in lists if (one["list"], one["resource"]) == ("arquivos", "contratacoes")]
    assert (found["owed"], found["set_aside"], found["since"], found["requests"]) == (6, None, None, None)
