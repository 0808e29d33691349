"""What is owed and what drifts is shown in status, history, dashboard, metrics, alerts."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from backend.language.translator import Translator
from backend.services.alerts.findings import Finding, Rules, explain_end, look
from backend.services.alerts.texts import Episode, compose
from common.lifecycle import executions, slices
from common.resources.contratacoes import CONTRATACOES, ITENS
from ingestor.sources.pncp.records import parse_list, parse_record
from ingestor.sources.values import Bundle, Itens, Owed, Record
from simulator.world import World
from tests.integration.conftest import Database
from tests.integration.test_metrics import scrape, value
from tests.integration.test_store import MORNING, bundle, store
from tests.records import ITEM, KEY, raw

QUIET = Rules(no_success=None, reminder=None, schedule_enabled=False, update_crons={"contratacoes": "*/15 * * * *"})
CAUSE = "/pncp/v1/orgaos/{}/compras/2025/1/itens: status 503"


@pytest.fixture
async def owing(database: Database, world: World) -> int:
    """An execution that has ended over three records without items, one of them with an empty list."""
    claim = await database.claimed()
    for number, reason in enumerate(("unread", "unread", "empty")):
        key = world.put(data_publicacao=MORNING, items=1)
        owed = Owed(reason, CAUSE.format(number))  # type: ignore[arg-type]  # both are reasons
        await store(database, claim, Bundle(bundle(world, key).record, Itens(owed=owed)))
    await database.run(slices.finish, claim)
    await database.run(executions.close, claim.execution_id)
    return claim.execution_id


async def findings(database: Database) -> dict[str, Finding]:
    """What alerts find now, by kind."""
    now = datetime.now(UTC)
    async with database.engine.connect() as db:
        found = await look(db, QUIET, now, watching_since=now, known={})
    return {finding.kind: finding for finding in found}


async def test_a_success_over_owed_items_says_so(api: httpx.AsyncClient, database: Database, owing: int) -> None:
    status = (await api.get("/sync/status")).json()
    (listed,) = (await api.get("/sync/history")).json()["executions"]
    detail = (await api.get(f"/sync/executions/{owing}")).json()

    assert (status["status"], status["itens_owed"]) == ("success", 3)
    assert (listed["itens_owed"], detail["itens_owed"]) == (3, 3)
    async with database.engine.connect() as db:
        assert (await executions.summarize(db, owing)).itens_owed == 3

    await database.rows("DELETE FROM itens_owed WHERE reason = 'empty'")

    assert (await api.get("/sync/status")).json()["itens_owed"] == 2


async def test_before_the_first_execution_nothing_is_owed(api: httpx.AsyncClient) -> None:
    assert (await api.get("/sync/status")).json()["itens_owed"] == 0
    owed = (await api.get("/sync/dashboard")).json()["itens_owed"]
    assert (owed["count"], owed["since"], owed["causes"]) == (0, None, [])


async def test_the_dashboard_tells_how_many_since_when_and_why(
    api: httpx.AsyncClient, database: Database, owing: int
) -> None:
    await database.rows("UPDATE itens_owed SET set_aside_at = now() WHERE cause LIKE '%/1/compras%'")

    owed = (await api.get("/sync/dashboard")).json()["itens_owed"]

    since = await database.value("SELECT min(owed_since) FROM itens_owed")
    assert datetime.fromisoformat(owed.pop("since")) == since
    assert owed.pop("cause").endswith(": status 503")
    assert all(one.pop("cause").endswith(": status 503") for one in (*owed["causes"], *owed["resources"]))
    assert owed["resources"][0].pop("since")
    assert owed == {
        "count": 3,
        "unread": 1,
        "empty": 1,
        "set_aside": 1,
        "causes": [
            {"resource": "contratacoes", "reason": "unread", "records": 2, "contratacoes": 2, "is_set_aside": True},
            {"resource": "contratacoes", "reason": "empty", "records": 1, "contratacoes": 1, "is_set_aside": False},
        ],
        "resources": [
            {"resource": "contratacoes", "label": "Itens das contratações", "count": 3}
            | {"unread": 1, "empty": 1, "set_aside": 1}
        ],
    }


@pytest.fixture
async def owing_plans(database: Database, owing: int) -> int:
    """Of two plans, too, that the same execution has stored, the items are owed, for 25 hours."""
    await database.rows("""
        INSERT INTO pcas (id_pca_pncp, data_publicacao_pncp, data_atualizacao_global_pca, payload)
        SELECT 'p' || n, now(), now(), '{}' FROM generate_series(1, 2) n
    """)
    await database.rows(
        """INSERT INTO itens_pca_owed (id_pca_pncp, as_of, reason, cause, execution_id, owed_since)
           SELECT id_pca_pncp, now(), 'unread', 'status 500', :id, now() - interval '25 hours' FROM pcas""",
        id=owing,
    )
    return owing


async def test_owed_items_of_every_resource_are_told(
    api: httpx.AsyncClient, database: Database, owing_plans: int
) -> None:
    owed = (await api.get("/sync/dashboard")).json()["itens_owed"]
    samples = await scrape(api)
    alert = (await findings(database))["itens"]
    async with database.engine.connect() as db:
        summary = await executions.summarize(db, owing_plans)

    assert (owed["count"], owed["unread"], owed["empty"]) == (5, 4, 1)
    assert {(one["resource"], one["count"], one["label"]) for one in owed["resources"]} == {
        ("contratacoes", 3, "Itens das contratações"),
        ("pcas", 2, "Itens dos planos de contratação anual"),
    }
    assert {(one["resource"], one["reason"], one["records"]) for one in owed["causes"]} == {
        ("contratacoes", "unread", 2),
        ("contratacoes", "empty", 1),
        ("pcas", "unread", 2),
    }
    assert value(samples, "pncp_itens_owed", resource="pcas", state="unread") == 2
    assert value(samples, "pncp_itens_owed", resource="contratacoes", state="unread") == 2
    since = [
        value(samples, "pncp_itens_owed_since_timestamp_seconds", resource=one) for one in ("pcas", "contratacoes")
    ]
    assert 0 < since[0] < since[1]
    assert alert.summary.startswith("Planos de contratação anual: faltam os itens de 2 registros, desde ")
    assert "Contratações" not in alert.summary, "those are owed for less than a day"
    assert "Planos de contratação anual: itens: status 500" in told(alert)
    assert summary.itens_owed == 5


async def test_metrics_count_what_is_owed_by_its_state(api: httpx.AsyncClient, database: Database, owing: int) -> None:
    await database.rows("UPDATE itens_owed SET set_aside_at = now() WHERE cause LIKE '%/1/compras%'")

    samples = await scrape(api)

    for resource, count in (("contratacoes", 1), ("pcas", 0)):
        for state in ("unread", "empty", "set_aside"):
            assert value(samples, "pncp_itens_owed", resource=resource, state=state) == count
    assert value(samples, "pncp_itens_owed_since_timestamp_seconds", resource="contratacoes") > 0
    assert samples["pncp_itens_owed_since_timestamp_seconds"][("resource", "pcas"),] == 0


async def test_items_that_are_owed_for_over_a_day_are_an_alert_and_so_are_those_set_aside(
    database: Database, owing: int
) -> None:
    assert "itens" not in await findings(database)

    await database.rows("UPDATE itens_owed SET set_aside_at = now() WHERE reason = 'empty'")
    aside = (await findings(database))["itens"]
    await database.rows("UPDATE itens_owed SET set_aside_at = NULL, owed_since = now() - interval '25 hours'")
    late = (await findings(database))["itens"]

    assert aside.summary.startswith("Contratações: faltam os itens de 3 registros, desde ")
    assert "1 foi posto de lado" in aside.summary
    assert "posto" not in late.summary
    assert [(one["reason"], one["records"]) for one in late.details["causes"]] == [("unread", 2), ("empty", 1)]
    assert all(one["cause"].endswith(": status 503") for one in late.details["causes"])
    text = told(late)
    assert "Itens que faltam desde" in text
    assert "python -m ingestor itens" in text
    async with database.engine.connect() as db:
        (reason,) = await explain_end(db, "itens", late.details, datetime.now(UTC))
    assert Translator("pt-BR").say(reason) == "os itens que faltavam vieram"


def told(finding: Finding) -> str:
    """The e-mail that opens an episode of this."""
    episode = Episode(1, finding.kind, finding.summary, finding.details, datetime.now(UTC))
    return compose("opened", episode, number=1, public_url=None, reminder=timedelta(hours=1)).text


@pytest.fixture
async def drifting(database: Database) -> None:
    """A stored record with two fields that do not fit, and an item with one."""
    record = parse_record(CONTRATACOES, raw(processo={"numero": 1}, anoCompra="dois mil"))
    assert isinstance(record, Record)
    itens = parse_list(ITENS, b"[%s]" % raw(ITEM, quantidade="dez"), KEY)
    await store(database, await database.claimed(), Bundle(record, itens))


@pytest.mark.usefixtures("drifting")
async def test_drift_is_on_the_dashboard_in_metrics_and_an_alert_until_it_is_a_week_old(
    api: httpx.AsyncClient, database: Database
) -> None:
    shown: list[dict[str, Any]] = (await api.get("/sync/dashboard")).json()["drift"]
    samples = await scrape(api)
    finding = (await findings(database))["drift"]

    assert {(one["resource"], one["path"], one["kind"], one["records"], one["example"]) for one in shown} == {
        ("contratacoes", "processo", "object", 1, '{"numero": 1}'),
        ("contratacoes", "anoCompra", "string", 1, '"dois mil"'),
        ("itens_contratacao", "quantidade", "string", 1, '"dez"'),
    }
    labels = {"resource": "contratacoes", "path": "processo", "kind": "object"}
    assert value(samples, "pncp_schema_drift_records_total", **labels) == 1
    assert "contratacoes.anoCompra, contratacoes.processo, itens_contratacao.quantidade" in finding.summary
    assert "Campos que mudaram de tipo desde" in told(finding)
    assert "payload guarda o que veio" in told(finding)

    await database.rows("UPDATE schema_drift SET last_seen = now() - interval '8 days'")

    assert "drift" not in await findings(database)
    async with database.engine.connect() as db:
        (reason,) = await explain_end(db, "drift", finding.details, datetime.now(UTC))
    assert Translator("pt-BR").say(reason) == "nenhum valor assim veio há 7 dias"
