"""The verdict in each state of the mirror: the same in API, dashboard, metrics and mail, and in both languages."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pytest

from backend.config import BackendSettings
from backend.main import rules_of
from backend.services import dashboard as queries
from backend.services.alerts.findings import look
from backend.services.alerts.texts import Episode, compose
from backend.services.control import cancel_execution
from backend.services.dashboard import Dashboard
from backend.services.reading import ReadConnections
from backend.services.verdict.wording import word
from common.clock import to_wall_clock
from common.lifecycle import executions, slices
from common.lifecycle.slices import PlannedSlice
from common.resources.contratacoes import CONTRATACOES
from tests.integration.conftest import Database, OpenApi, Proxy, piece
from tests.integration.test_dashboard import ended, updated, wall_clock
from tests.integration.test_goals import last_owed, read
from tests.integration.test_metrics import scrape, value
from tests.rows import fill

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
YESTERDAY = last_owed()


@pytest.fixture(autouse=True)
def read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of these asks anew."""
    monkeypatch.setattr(queries, "FRESH_SECONDS", 0.0)


# --- what makes a state -------------------------------------------------------------------------------------------


async def worker(database: Database, *, since: timedelta = DAY) -> None:
    """An ingestor that has evaluated the schedule for so long."""
    await database.rows("INSERT INTO workers (id, alive_until) VALUES ('one', now() + interval '1 hour')")
    for name in ("update", "sweep"):
        await database.rows(
            "INSERT INTO schedules (name, effective_at) VALUES (:name, now() - CAST(:since AS interval))",
            name=name,
            since=since,
        )


async def update(database: Database, ago: timedelta = 5 * MINUTE) -> None:
    """A worker, and an update that ended so long ago and adjoins a day that was read whole."""
    await worker(database)
    await updated(database, wall_clock(ago), 6)
    await database.rows("UPDATE watermarks SET complete_from = current_date - 1")
    await database.rows("UPDATE sync_executions SET finished_at = now() - CAST(:ago AS interval)", ago=ago)


async def whole(database: Database, ago: timedelta = 5 * MINUTE) -> None:
    """The same, and ten days that were read whole."""
    await update(database, ago)
    await read(database, *((YESTERDAY - DAY * back, 6) for back in range(10)))


async def goal(database: Database, days: int, *, paused: bool = False) -> None:
    """A goal of so many days, on a mirror that has ten."""
    await whole(database)
    pause = ("now()", "'maria'", "'feriado'") if paused else ("NULL", "NULL", "NULL")
    await database.rows(
        "INSERT INTO goals (resource, from_day, set_by, set_at, paused_at, paused_by, pause_reason)"
        f" VALUES ('contratacoes', :first, 'maria', now(), {', '.join(pause)})",
        first=YESTERDAY - DAY * (days - 1),
    )


async def failed(database: Database, day: date, *, trigger: str = "api", cause: str = "no_answer") -> int:
    """A backfill of a day that has failed."""
    execution_id = await database.planned([piece(day)])
    await database.rows(
        "UPDATE sync_executions SET trigger = :trigger WHERE id = :id", trigger=trigger, id=execution_id
    )
    await database.run(slices.fail, await database.claim(), cause, "status 503")  # type: ignore[arg-type]  # a cause
    await database.run(executions.close, execution_id)
    return execution_id


async def outage(database: Database, reason: str | None, *, failures: int, since: str = "5 minutes") -> None:
    await database.rows(
        """
        INSERT INTO source_pauses (source, paused_until, reason, cause, error_message, failures, failing_since)
        VALUES ('consulta', now() + interval '21 seconds', :reason, 'no_answer', 'no connection', :failures,
                now() - CAST(CAST(:since AS text) AS interval))
        """,
        reason=reason,
        failures=failures,
        since=since,
    )


async def rejected(database: Database, *days: date) -> None:
    for number, day in enumerate(days):
        await database.rows(
            """
            INSERT INTO rejected_records (resource, reason, payload_hash, payload, day, part)
            VALUES ('contratacoes', 'no number', :hash, '{}', :day, 6)
            """,
            hash=f"{day} {number}",
            day=day,
        )


async def nothing(database: Database) -> None:
    await worker(database, since=timedelta())


async def nothing_for_a_day(database: Database) -> None:
    await worker(database)


async def no_worker_at_all(database: Database) -> None:
    """Nothing has run, and nothing can."""


async def no_worker(database: Database) -> None:
    await whole(database)
    await database.rows("UPDATE workers SET alive_until = now() - interval '10 minutes'")


async def first_update_is_incomplete(database: Database) -> None:
    await worker(database)
    now = wall_clock(timedelta())
    pieces = [PlannedSlice(part, now.date(), now.date(), now - 15 * MINUTE, now) for part in (6, 8)]
    await database.planned(pieces, mode="update")
    await database.run(slices.finish, await database.claim())


async def portal_has_begun_to_fail(database: Database) -> None:
    await whole(database)
    await outage(database, "down", failures=1, since="10 seconds")


async def portal_is_away_from_the_start(database: Database) -> None:
    await worker(database)
    await database.requested("update")
    await outage(database, "down", failures=16)


async def portal_asks_for_a_pause(database: Database) -> None:
    await whole(database)
    await outage(database, "throttled", failures=1, since="10 seconds")


async def portal_asks_for_many_pauses(database: Database) -> None:
    await whole(database)
    await outage(database, "throttled", failures=5)


async def updates_are_paused(database: Database) -> None:
    await whole(database)
    await pause(database, "update")


async def the_sweep_is_paused(database: Database) -> None:
    await whole(database)
    await pause(database, "sweep")


async def pause(database: Database, schedule: str) -> None:
    await database.rows(
        "UPDATE schedules SET paused_at = now(), paused_by = 'maria', pause_reason = 'feriado' WHERE name = :name",
        name=schedule,
    )


async def two_hours_old(database: Database) -> None:
    await whole(database, 2 * HOUR)


async def half_a_day_old(database: Database) -> None:
    await whole(database, 12 * HOUR)


async def updates_fail_in_a_row(database: Database) -> None:
    await whole(database, 12 * HOUR)
    for _ in range(113):
        await ended(database, "error", cause="no_answer", error="status 503")


async def one_update_failed(database: Database) -> None:
    await whole(database)
    await ended(database, "error", cause="no_answer", error="status 503")


async def a_gap(database: Database) -> None:
    await whole(database, 12 * HOUR)
    await updated(database, wall_clock(5 * MINUTE), 6)


async def a_day_failed(database: Database) -> None:
    await whole(database)
    await failed(database, YESTERDAY - 20 * DAY)


async def a_backfill_was_cancelled(database: Database) -> None:
    await whole(database)
    execution_id = await database.planned([piece(YESTERDAY - 20 * DAY)])
    await cancel_execution(database.engine, execution_id, "maria")


async def goal_is_reached(database: Database) -> None:
    await goal(database, 10)


async def goal_has_days_left(database: Database) -> None:
    await goal(database, 1800)


async def goal_is_paused(database: Database) -> None:
    await goal(database, 30, paused=True)


async def goal_is_tried_again(database: Database) -> None:
    await goal(database, 12)
    await failed(database, YESTERDAY - 11 * DAY, trigger="goal")


async def records_were_rejected(database: Database) -> None:
    await whole(database)
    await rejected(database, *[YESTERDAY - DAY * back for back in range(9) for _ in (1, 2)])


async def goal_has_rejected_records(database: Database) -> None:
    await goal(database, 10)
    await rejected(database, YESTERDAY)


async def items_are_owed(database: Database) -> None:
    await whole(database)
    await owe(database)


async def items_were_set_aside(database: Database) -> None:
    await whole(database)
    await owe(database)
    await database.rows("UPDATE itens_owed SET set_aside_at = now()")


async def owe(database: Database) -> None:
    await fill(database.engine, 1, [CONTRATACOES])
    await database.rows("""
        INSERT INTO itens_owed (numero_controle_pncp, reason, cause, as_of)
        SELECT numero_controle_pncp, 'unread', 'status 503', now() FROM contratacoes LIMIT 1
    """)


async def fields_drift(database: Database) -> None:
    await whole(database)
    await database.rows("""
        INSERT INTO schema_drift (resource, path, kind, records, example)
        VALUES ('contratacoes', 'valorTotalEstimado', 'string', 3, '"a"')
    """)


async def a_listing_is_empty(database: Database) -> None:
    await whole(database)
    details = '{"listings": [{"resource": "contratacoes", "day": "2026-03-09", "modalidade": 6}], "quiet": {}}'
    await database.rows(
        "INSERT INTO alerts (kind, summary, details) VALUES ('empty', 'o dia veio vazio', CAST(:details AS jsonb))",
        details=details,
    )


async def database_does_not_store(database: Database) -> None:
    await whole(database)
    await database.planned([piece(YESTERDAY)])
    claim = await database.claim()
    await database.rows(
        "UPDATE sync_slices SET cause = 'database', error_message = :error, stalls = 1 WHERE id = :id",
        error="could not extend file: No space left on device",
        id=claim.slice_id,
    )


async def two_troubles(database: Database) -> None:
    await fields_drift(database)
    await failed(database, YESTERDAY - 20 * DAY)


async def rejections_are_acknowledged(database: Database) -> None:
    await records_were_rejected(database)
    await acknowledge(database, "rejected")


async def acknowledge(database: Database, trouble: str, fingerprint: int = 10_000) -> None:
    await database.rows(
        "INSERT INTO acknowledgements (id, fingerprint, acknowledged_by) VALUES (:id, :fingerprint, 'maria')",
        id=trouble,
        fingerprint=str(fingerprint),
    )


# --- the table ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """A state of the mirror; the codes of its facts with their states, the whole, and what to press."""

    made_by: Callable[[Database], Awaitable[None]]
    fresh: str
    complete: str
    healthy: str
    whole: str
    action: str | None
    settings: dict[str, Any] = field(default_factory=dict)


OFF = {"schedule_enabled": False}
TABLE = [
    Row(nothing, "nothing_updated empty", "nothing_read empty", "healthy ok", "empty empty", "first_load"),
    Row(
        nothing_for_a_day,
        "never_updated problem",
        "nothing_read empty",
        "healthy ok",
        "never_updated problem",
        "update_now",
    ),
    Row(no_worker_at_all, "no_worker problem", "nothing_read empty", "no_worker problem", "no_worker problem", None),
    Row(no_worker, "no_worker problem", "complete ok", "no_worker problem", "no_worker problem", None),
    Row(whole, "fresh ok", "complete ok", "healthy ok", "ok ok", None),
    Row(update, "fresh ok", "days_unknown attention", "healthy ok", "days_unknown attention", "set_goal"),
    Row(
        first_update_is_incomplete,
        "first_update_partial attention",
        "days_unknown attention",
        "healthy ok",
        "first_update_partial attention",
        "update_now",
    ),
    Row(
        portal_is_away_from_the_start,
        "portal_away problem",
        "days_unknown attention",
        "healthy ok",
        "portal_away problem",
        None,
    ),
    Row(
        portal_has_begun_to_fail,
        "portal_failing attention",
        "complete ok",
        "healthy ok",
        "portal_failing attention",
        None,
    ),
    Row(portal_asks_for_a_pause, "fresh ok", "complete ok", "healthy ok", "ok ok", None),
    Row(
        portal_asks_for_many_pauses,
        "portal_throttled attention",
        "complete ok",
        "healthy ok",
        "portal_throttled attention",
        None,
    ),
    Row(
        updates_are_paused,
        "update_paused attention",
        "complete ok",
        "healthy ok",
        "update_paused attention",
        "resume_schedule",
    ),
    Row(
        the_sweep_is_paused,
        "fresh ok",
        "complete ok",
        "schedule_paused attention",
        "schedule_paused attention",
        "resume_schedule",
    ),
    Row(whole, "fresh_by_hand ok", "complete ok", "healthy ok", "ok ok", None, OFF),
    Row(
        two_hours_old,
        "schedule_off attention",
        "complete ok",
        "healthy ok",
        "schedule_off attention",
        "update_now",
        OFF,
    ),
    Row(two_hours_old, "late attention", "complete ok", "healthy ok", "late attention", "update_now"),
    Row(half_a_day_old, "late problem", "complete ok", "healthy ok", "late problem", "update_now"),
    Row(
        updates_fail_in_a_row,
        "updates_failing problem",
        "complete ok",
        "failed_updates attention",
        "updates_failing problem",
        "update_now",
    ),
    Row(
        one_update_failed,
        "fresh ok",
        "complete ok",
        "failed_updates attention",
        "failed_updates attention",
        "show_history",
    ),
    Row(a_gap, "gap problem", "complete ok", "healthy ok", "gap problem", "update_now"),
    Row(
        a_day_failed,
        "fresh ok",
        "days_failed problem",
        "failed_backfills problem",
        "days_failed problem",
        "retry_failed",
    ),
    Row(
        a_backfill_was_cancelled,
        "fresh ok",
        "days_missing attention",
        "healthy ok",
        "days_missing attention",
        "show_coverage",
    ),
    Row(goal_is_reached, "fresh ok", "complete ok", "healthy ok", "ok ok", None),
    Row(
        goal_has_days_left,
        "fresh ok",
        "days_missing attention",
        "healthy ok",
        "days_missing attention",
        "show_coverage",
    ),
    Row(
        goal_is_paused,
        "fresh ok",
        "filling_paused attention",
        "healthy ok",
        "filling_paused attention",
        "resume_goal",
    ),
    Row(
        goal_is_tried_again,
        "fresh ok",
        "days_tried_again attention",
        "healthy ok",
        "days_tried_again attention",
        "show_coverage",
    ),
    Row(
        records_were_rejected,
        "fresh ok",
        "days_rejected attention",
        "rejected attention",
        "days_rejected attention",
        "show_rejected",
    ),
    Row(
        goal_has_rejected_records,
        "fresh ok",
        "days_rejected attention",
        "rejected attention",
        "days_rejected attention",
        "show_rejected",
    ),
    Row(
        rejections_are_acknowledged,
        "fresh ok",
        "days_rejected attention",
        "healthy ok",
        "days_rejected attention",
        "show_rejected",
    ),
    Row(items_are_owed, "fresh ok", "itens_owed attention", "healthy ok", "itens_owed attention", None),
    Row(
        items_were_set_aside,
        "fresh ok",
        "itens_set_aside attention",
        "healthy ok",
        "itens_set_aside attention",
        None,
    ),
    Row(fields_drift, "fresh ok", "complete ok", "drift attention", "drift attention", None),
    Row(a_listing_is_empty, "fresh ok", "complete ok", "alert attention", "alert attention", "show_alerts"),
    Row(
        database_does_not_store,
        "fresh ok",
        "complete ok",
        "database_failing problem",
        "database_failing problem",
        None,
    ),
    Row(
        two_troubles,
        "fresh ok",
        "days_failed problem",
        "troubles problem",
        "days_failed problem",
        "retry_failed",
    ),
    Row(
        whole,
        "never_updated attention",
        "days_unknown attention",
        "healthy ok",
        "never_updated attention",
        "update_now",
        {"pncp_resources": ["contratacoes", "atas"]},
    ),
]
METRIC = {"ok": 0, "empty": 1, "attention": 1, "problem": 2}


def told(judged: dict[str, Any]) -> str:
    return f"{judged['code']} {judged['state']}"


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.made_by.__name__} {row.whole}")
async def test_the_verdict_is_the_same_everywhere(
    open_api: OpenApi, database: Database, database_url: str, row: Row
) -> None:
    api = await open_api(**row.settings)
    await row.made_by(database)

    verdict = (await api.get("/sync/verdict")).json()
    facts = {fact["fact"]: fact for fact in verdict["facts"]}
    assert [told(fact) for fact in facts.values()] == [row.fresh, row.complete, row.healthy]
    assert told(verdict) == row.whole
    assert (verdict["action"] and verdict["action"]["code"]) == row.action

    shown = (await api.get("/sync/dashboard")).json()["verdict"]
    assert [told(fact) for fact in shown["facts"]] == [told(fact) for fact in facts.values()]
    metrics = await scrape(api)
    for name, fact in facts.items():
        assert value(metrics, "pncp_verdict", fact=name) == METRIC[fact["state"]]
    english = (await api.get("/sync/verdict", headers={"Accept-Language": "en"})).json()
    assert [told(fact) for fact in english["facts"]] == [told(fact) for fact in facts.values()]
    assert all(theirs["title"] and ours["title"] for theirs, ours in zip(english["facts"], shown["facts"], strict=True))

    settings = BackendSettings(**{"database_url": database_url, "rabbitmq_url": None, **row.settings})
    found = await Dashboard(ReadConnections(database.engine), settings, settings.list_scopes).verdict()
    mail = compose(
        "opened",
        Episode(1, "sync", "algo", {"execution_ids": [], "executions": []}, datetime.now(UTC)),
        number=1,
        public_url=None,
        reminder=None,
        verdict=word(found, "pt-BR"),
    )
    for fact in word(found, "pt-BR").facts:
        assert f"- {fact.title}. {fact.text}" in mail.text
    assert [told(fact) for fact in mail.payload["verdict"]["facts"]] == [told(fact) for fact in facts.values()]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.made_by.__name__} {row.whole}")
async def test_what_alerts_find_the_verdict_says_too(
    open_api: OpenApi, database: Database, database_url: str, row: Row
) -> None:
    api = await open_api(**row.settings)
    await row.made_by(database)
    settings = BackendSettings(**{"database_url": database_url, "rabbitmq_url": None, **row.settings})
    now = datetime.now(UTC)
    async with database.engine.connect() as db:
        found = await look(db, rules_of(settings), now, watching_since=now - 30 * DAY, known={})

    verdict = (await api.get("/sync/verdict")).json()

    if found:
        assert verdict["state"] in ("attention", "problem"), [finding.summary for finding in found]


# --- what the sentences say ---------------------------------------------------------------------------------------


async def verdict_of(api: httpx.AsyncClient, language: str = "pt-BR") -> dict[str, Any]:
    answer = await api.get("/sync/verdict", headers={"Accept-Language": language})
    assert answer.status_code == 200, answer.text
    assert (answer.headers["Content-Language"], answer.headers["Vary"]) == (language, "Accept-Language")
    found: dict[str, Any] = answer.json()
    return found


async def test_a_portal_that_never_answered_is_what_is_said_first(api: httpx.AsyncClient, database: Database) -> None:
    await portal_is_away_from_the_start(database)
    began = to_wall_clock(await database.value("SELECT failing_since FROM source_pauses"))

    title = (await verdict_of(api))["title"]
    assert title.startswith(f"O portal não responde desde {began:%H:%M}; nova tentativa em ")
    assert title.endswith(" s")
    assert (await verdict_of(api, "en"))["title"].startswith(f"The portal does not answer since {began:%H:%M}; next")
    (trouble,) = (await verdict_of(api))["troubles"]
    assert (trouble["id"], trouble["kind"], trouble["original"]) == ("source-consulta", "source", "no connection")


async def test_a_hundred_failed_updates_are_one_trouble_with_a_true_count(
    api: httpx.AsyncClient, database: Database
) -> None:
    await updates_fail_in_a_row(database)

    (trouble,) = (await verdict_of(api))["troubles"]
    assert (trouble["id"], trouble["count"], len(trouble["execution_ids"])) == ("failed-updates", 113, 100)
    assert trouble["title"] == "113 atualizações falharam"
    assert (await verdict_of(api, "en"))["troubles"][0]["title"] == "113 updates failed"


async def test_failed_backfills_are_one_trouble_for_each_cause(api: httpx.AsyncClient, database: Database) -> None:
    await whole(database)
    away = [await failed(database, YESTERDAY - DAY * back) for back in (20, 21)]
    refused = await failed(database, YESTERDAY - 22 * DAY, cause="portal_refused")

    troubles = {one["id"]: one for one in (await verdict_of(api))["troubles"]}

    assert {name: one["execution_ids"] for name, one in troubles.items()} == {
        "failed-no_answer": away[::-1],
        "failed-portal_refused": [refused],
    }
    assert troubles["failed-no_answer"]["title"] == "2 cargas falharam: o portal não respondeu como devia"
    assert troubles["failed-no_answer"]["action"]["body"] == {"execution_ids": away[::-1]}


async def test_all_that_failed_is_repeated_by_one_request(api: httpx.AsyncClient, database: Database) -> None:
    await whole(database)
    first, second, third = [await failed(database, YESTERDAY - DAY * back) for back in (20, 21, 22)]

    chosen = await api.post("/sync/retry-failed", json={"execution_ids": [first]})
    rest = await api.post("/sync/retry-failed")
    again = await api.post("/sync/retry-failed")

    assert (chosen.status_code, rest.status_code, again.status_code) == (200, 200, 409)
    assert (chosen.json()["retried"], rest.json()["retried"], rest.json()["remaining"]) == (1, 2, 0)
    retries = await database.rows("SELECT retry_of FROM sync_executions WHERE trigger = 'retry' ORDER BY id")
    assert [row.retry_of for row in retries] == [first, second, third]


async def test_repeating_stops_where_there_is_no_place_left_and_says_how_many_are(
    open_api: OpenApi, database: Database
) -> None:
    api = await open_api(max_unfinished=2)
    await whole(database)
    for back in (20, 21, 22):
        await failed(database, YESTERDAY - DAY * back)

    assert (await api.post("/sync/retry-failed")).json()["remaining"] == 1
    assert (await api.post("/sync/retry-failed")).status_code == 429


async def test_what_is_acknowledged_does_not_count_until_there_is_more_of_it(
    api: httpx.AsyncClient, database: Database
) -> None:
    await one_update_failed(database)
    assert told(await verdict_of(api)) == "failed_updates attention"

    answer = await api.post("/sync/troubles/failed-updates/acknowledge")
    assert answer.status_code == 200, answer.text
    assert told(answer.json()) == "ok ok"
    (trouble,) = answer.json()["troubles"]
    assert trouble["acknowledged_by"] == "an administrator"

    await ended(database, "error", cause="no_answer", error="status 503")
    assert told(await verdict_of(api)) == "failed_updates attention"

    await api.post("/sync/troubles/failed-updates/acknowledge")
    assert told(await verdict_of(api)) == "ok ok"
    answer = await api.delete("/sync/troubles/failed-updates/acknowledge")
    assert told(answer.json()) == "failed_updates attention"
    assert (await api.delete("/sync/troubles/failed-updates/acknowledge")).status_code == 404


async def test_only_what_failed_or_was_rejected_can_be_acknowledged(api: httpx.AsyncClient, database: Database) -> None:
    await fields_drift(database)
    assert (await api.post("/sync/troubles/drift/acknowledge")).status_code == 409
    assert (await api.post("/sync/troubles/rejected/acknowledge")).status_code == 404


async def test_a_viewer_reads_the_verdict_and_changes_nothing(open_api: OpenApi, database: Database) -> None:
    api = await open_api(admin_password="correct horse battery", viewer_password="a viewer's own words")
    await one_update_failed(database)
    viewer = ("viewer", "a viewer's own words")
    assert (await api.get("/sync/verdict", auth=viewer)).status_code == 200
    assert (await api.get("/sync/verdict")).status_code == 401
    for method, path in (
        ("POST", "/sync/troubles/failed-updates/acknowledge"),
        ("DELETE", "/sync/troubles/failed-updates/acknowledge"),
        ("POST", "/sync/retry-failed"),
    ):
        assert (await api.request(method, path, auth=viewer)).status_code == 403


async def test_of_several_resources_the_worst_is_named(open_api: OpenApi, database: Database) -> None:
    api = await open_api(pncp_resources=["contratacoes", "atas", "contratos"])
    await whole(database)

    verdict = await verdict_of(api)

    assert verdict["title"] == "Contratos e empenhos: ainda não atualizou"
    assert verdict["text"].endswith(" O mesmo com outro recurso.")
    assert [(one["resource"], one["fresh"]["code"]) for one in verdict["resources"]] == [
        ("contratacoes", "fresh"),
        ("contratos", "never_updated"),
        ("atas", "never_updated"),
    ]


async def test_a_goal_s_days_are_those_of_its_own_address(api: httpx.AsyncClient, database: Database) -> None:
    await goal_has_days_left(database)

    (resource,) = (await verdict_of(api))["resources"]
    goals = {one["resource"]: one for one in (await api.get("/sync/goals")).json()["goals"]}

    for name in ("days", "days_complete", "days_missing", "days_failed", "days_rejected"):
        assert resource[name] == goals["contratacoes"][name]
    assert resource["complete"]["title"] == "Faltam 1.790 dias"


async def test_a_broker_that_is_away_needs_attention(open_api: OpenApi, database: Database, closed_port: int) -> None:
    api = await open_api(rabbitmq_url=f"amqp://guest:guest@127.0.0.1:{closed_port}/")
    await whole(database)
    assert told(await verdict_of(api)) == "broker_away attention"


async def test_without_its_database_the_backend_says_so(
    open_api: OpenApi, database_proxy: tuple[Proxy, str], database: Database
) -> None:
    proxy, url = database_proxy
    api = await open_api(database_url=url)
    await whole(database)
    assert told(await verdict_of(api)) == "ok ok"
    await proxy.cut()
    verdict = await verdict_of(api)
    assert told(verdict) == "database_away problem"
    assert [told(fact) for fact in verdict["facts"]] == ["unknown problem", "unknown problem", "database_away problem"]
    metrics = await scrape(api)
    assert [value(metrics, "pncp_verdict", fact=name) for name in ("fresh", "complete", "healthy")] == [2, 2, 2]
    await proxy.mend()
    assert told(await verdict_of(api)) == "ok ok"
