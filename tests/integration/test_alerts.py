"""Who is told what, and how often: episodes on a real database, a mail server and a webhook that really listen.

Time is given to each look; executions get their moments by SQL, as if they had happened then.
"""

import asyncio
import json
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import aiosmtplib
import httpx
import pytest
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from backend.config import BackendSettings
from backend.main import create_app
from backend.services.alerts import channels
from backend.services.alerts.channels import Channel, DeliveryError, Email, Webhook
from backend.services.alerts.episodes import Notifier, run_once, watch
from backend.services.alerts.findings import Rules
from backend.services.alerts.texts import compose_test
from backend.services.control import cancel_execution
from common.clock import to_wall_clock
from common.database import create_engine
from common.lifecycle import Mode, admission, executions, slices
from common.lifecycle.slices import PageCounts, PlannedSlice
from common.resources import RESOURCES_BY_NAME
from common.resources.description import Criterio
from tests.integration.conftest import Database, piece
from tests.sinks import MailSink, WebhookSink, listening
from tests.support import eventually

NOW = datetime(2026, 3, 10, 9, tzinfo=UTC)  # six in the morning in Brasília
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
LONG_AGO = NOW - timedelta(days=60)
RULES = Rules(no_success=HOUR, reminder=6 * HOUR, schedule_enabled=True, update_crons={"contratacoes": "*/15 * * * *"})
QUIET = Rules(no_success=None, reminder=6 * HOUR, schedule_enabled=True, update_crons={"contratacoes": "*/15 * * * *"})
DAY = date(2026, 3, 9)


class House:
    """The executions of a mirror, and one backend that looks at it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.engine = database.engine
        self.channels: list[Channel] = []
        self.rules = QUIET

    async def look(self, now: datetime = NOW) -> None:
        notifier = Notifier(self.channels, "https://pncp.example.org")
        await run_once(self.engine, self.rules, notifier, now=now, watching_since=LONG_AGO)

    async def alerts(self) -> list[Any]:
        return list(await self.database.rows("SELECT * FROM alerts ORDER BY id"))

    async def ran(
        self,
        mode: Mode = "update",
        *,
        at: datetime,
        pieces: list[PlannedSlice] | None = None,
        failing: tuple[int, ...] = (),
        records: int = 3,
        of: int | None = None,
        resource: str = "contratacoes",
        criterio: Criterio | None = None,
    ) -> int:
        """An execution that ended at a moment; the slices of the modalidades that are `failing` failed."""
        if of is None:
            now = to_wall_clock(at)
            start = now - timedelta(days=1)  # from where the last one succeeded
            update = [PlannedSlice(6 if resource == "contratacoes" else 0, start.date(), now.date(), start, now)]
            execution_id = await self.database.planned(
                pieces or (update if mode == "update" else [piece(DAY)]),
                mode=mode,
                resource=resource,
                criterio=criterio,
            )
        else:
            copy = await self.database.run(admission.retry, of)
            assert copy is not None
            execution_id = copy
        for _ in await self.database.rows("SELECT id FROM sync_slices WHERE execution_id = :id", id=execution_id):
            claim = await self.database.claim()
            assert claim.execution_id == execution_id
            await self.database.rows("UPDATE sync_slices SET started_at = :at WHERE id = :id", id=claim.slice_id, at=at)
            if claim.part in failing:
                assert await self.database.run(slices.fail, claim, "no_answer", "portal: 503\nand nothing else")
                continue
            counts = PageCounts(processed=records)
            await self.database.run(
                slices.advance,
                claim,
                counts,
                pages_done=1,
                pages_total=1,
                total_registros=records,
                lease_seconds=60,
            )
            assert await self.database.run(slices.finish, claim)
        await self.database.run(executions.close, execution_id)
        return await self.happened(execution_id, at)

    async def happened(self, execution_id: int, at: datetime) -> int:
        await self.database.rows(
            "UPDATE sync_executions SET created_at = :at, finished_at = :at WHERE id = :id", id=execution_id, at=at
        )
        await self.database.rows(
            "UPDATE sync_slices SET finished_at = :at WHERE execution_id = :id", id=execution_id, at=at
        )
        await self.database.rows(
            "UPDATE read_days SET complete_at = :at WHERE execution_id = :id", id=execution_id, at=at
        )
        return execution_id


@pytest.fixture
def house(database: Database) -> House:
    return House(database)


@pytest.fixture
async def mail(house: House) -> AsyncIterator[MailSink]:
    async with listening(MailSink()) as sink:
        house.channels.append(email_to(sink))
        yield sink


@pytest.fixture
async def hook(house: House) -> AsyncIterator[WebhookSink]:
    async with listening(WebhookSink()) as sink:
        house.channels.append(Webhook(f"http://127.0.0.1:{sink.port}/services/token-of-the-hook?x=1"))
        yield sink


def email_to(sink: MailSink, **parts: Any) -> Email:
    fields = {"security": "none", "sender": "pncp@example.org", "recipients": ("ana@example.org", "rui@example.org")}
    return Email(host="127.0.0.1", port=sink.port, **{**fields, **parts})


def subjects(sink: MailSink) -> list[str]:
    return [str(letter["Subject"]).split(":")[0].removeprefix("[PNCP Sync] ") for letter in sink.letters]


# --- one message per episode ------------------------------------------------------------------------------------


async def test_a_failing_night_is_one_alert_and_one_recovery(house: House, mail: MailSink, hook: WebhookSink) -> None:
    house.rules = RULES
    await house.ran(at=NOW - 10 * HOUR)
    night = [NOW + timedelta(minutes=15 * n) for n in range(1, 13)]
    for moment in night:
        await house.ran(at=moment - 9 * HOUR, failing=(6,))
        await house.look(moment - 9 * HOUR)
        await house.look(moment - 9 * HOUR + MINUTE)
    await house.ran("backfill", at=NOW - 5 * HOUR, failing=(6,))
    await house.look(NOW - 5 * HOUR)

    assert subjects(mail) == ["Alerta"]
    (alert,) = await house.alerts()
    assert alert.resolved_at is None
    assert "13 execuções falharam" in alert.summary
    assert "nenhuma atualização teve sucesso desde" in alert.summary

    # an update makes good all updates, the backfill is still to be repeated
    await house.ran(at=NOW - 4 * HOUR)
    await house.look(NOW - 4 * HOUR)
    assert (await house.alerts())[0].resolved_at is None
    await house.ran("backfill", at=NOW - 4 * HOUR + MINUTE)
    for minutes in (2, 3, 59):
        await house.look(NOW - 4 * HOUR + minutes * MINUTE)

    assert subjects(mail) == ["Alerta", "Resolvido"]
    assert [body["event"] for body in hook.bodies] == ["opened", "recovered"]
    (alert,) = await house.alerts()
    assert (alert.notifications, alert.delivery_error) == (1, None)
    assert alert.resolved_at == alert.recovery_notified_at == NOW - 4 * HOUR + 2 * MINUTE


async def test_what_is_sent_says_what_failed_and_how_to_go_on(house: House, mail: MailSink, hook: WebhookSink) -> None:
    failed = await house.ran("backfill", at=NOW - HOUR, failing=(6,))
    await house.look()

    (letter,) = mail.letters
    assert mail.recipients == [["ana@example.org", "rui@example.org"]]
    assert (letter["From"], letter["To"]) == ("pncp@example.org", "ana@example.org, rui@example.org")
    told = letter.get_content()
    for part in (
        "1 execução falhou",
        "portal: 503 and nothing else",
        f"./pncp retry {failed}",
        "https://pncp.example.org/",
    ):
        assert part in told
    (body,) = hook.bodies
    assert hook.targets == ["/services/token-of-the-hook?x=1"]
    assert "1 execução falhou" in body["text"]
    assert (body["alert"]["kind"], body["alert"]["details"]["executions"][0]["id"]) == ("sync", failed)


async def test_a_reminder_comes_every_six_hours_while_it_lasts(house: House, mail: MailSink) -> None:
    await house.ran("backfill", at=NOW - HOUR, failing=(6,))
    for hours in range(14):
        await house.look(NOW + hours * HOUR)
    assert subjects(mail) == ["Alerta", "Lembrete", "Lembrete"]
    assert (await house.alerts())[0].notifications == 3


async def test_without_a_channel_episodes_are_kept_and_a_channel_that_comes_hears_of_the_open_one(
    house: House, database: Database
) -> None:
    await house.ran("backfill", at=NOW - HOUR, failing=(6,))
    await house.look()
    await house.ran("backfill", at=NOW + HOUR)
    await house.look(NOW + HOUR)
    await house.ran("backfill", at=NOW + 2 * HOUR, failing=(6,))
    await house.look(NOW + 2 * HOUR)
    assert [alert.resolved_at is None for alert in await house.alerts()] == [False, True]
    async with listening(MailSink()) as mail:
        house.channels.append(email_to(mail))
        await house.look(NOW + 3 * HOUR)
        assert subjects(mail) == ["Alerta"]


# --- what counts as a failure, and what makes it good -----------------------------------------------------------


async def is_alarmed(house: House, now: datetime = NOW) -> bool:
    await house.look(now)
    return any(alert.resolved_at is None for alert in await house.alerts())


async def test_a_cancelled_execution_never_alerts(house: House) -> None:
    execution_id = await house.database.planned()
    await cancel_execution(house.engine, execution_id, "ana")
    await house.happened(execution_id, NOW - HOUR)
    assert not await is_alarmed(house)


async def test_an_execution_that_was_refused_for_want_of_the_broker_does_not_alert(house: House) -> None:
    execution_id = await house.database.requested()
    assert await house.database.run(admission.refuse, execution_id)
    await house.happened(execution_id, NOW - HOUR)
    assert not await is_alarmed(house)


async def test_a_retry_of_what_failed_makes_it_good_and_one_that_fails_does_not(house: House) -> None:
    pieces = [piece(DAY, 6), piece(DAY, 8)]
    first = await house.ran("backfill", at=NOW - 5 * HOUR, pieces=pieces, failing=(6, 8))
    second = await house.ran("backfill", at=NOW - 4 * HOUR, failing=(8,), of=first)
    assert await is_alarmed(house)
    await house.ran("backfill", at=NOW - 3 * HOUR, of=second)
    assert not await is_alarmed(house)


@pytest.mark.parametrize(
    ("pieces", "criterio", "good"),
    [
        ([piece(date(2026, 3, 8)), piece(DAY)], "publicacao", True),  # a longer window
        ([piece(DAY, 6), piece(DAY, 8)], "publicacao", True),
        ([piece(DAY, 8)], "publicacao", False),  # another modalidade
        ([piece(date(2026, 3, 8))], "publicacao", False),  # another day
        ([piece(DAY)], "atualizacao", False),  # another criterio
        ([PlannedSlice(6, DAY, DAY, datetime(2026, 3, 9), datetime(2026, 3, 9, 12))], "publicacao", False),  # a part
    ],
)
async def test_a_backfill_is_made_good_by_a_later_one_that_covers_it(
    house: House, pieces: list[PlannedSlice], criterio: str, good: bool
) -> None:
    await house.ran("backfill", at=NOW - 5 * HOUR, failing=(6,))
    later = await house.ran("backfill", at=NOW - 4 * HOUR, pieces=pieces)
    for table, key in (
        ("sync_executions", "id"),
        ("sync_slices", "execution_id"),
        ("read_days", "execution_id"),
    ):
        await house.database.rows(
            f"UPDATE {table} SET criterio = :criterio WHERE {key} = :id", criterio=criterio, id=later
        )
    assert await is_alarmed(house) is not good


async def test_an_earlier_success_makes_nothing_good(house: House) -> None:
    await house.ran("backfill", at=NOW - 5 * HOUR)
    await house.ran("backfill", at=NOW - 4 * HOUR, failing=(6,))
    assert await is_alarmed(house)


async def test_what_failed_before_it_was_planned_is_made_good_by_a_later_one_that_covers_it(house: House) -> None:
    backfill, update = await house.database.requested(first=DAY), await house.database.requested("update")
    for execution_id in (backfill, update):
        await house.database.run(
            executions.end, execution_id, status="error", cause="no_worker", error_message="no worker"
        )
        await house.happened(execution_id, NOW - 5 * HOUR)
    assert await is_alarmed(house)
    await house.ran(at=NOW - 4 * HOUR)
    assert await is_alarmed(house)
    await house.ran("backfill", at=NOW - 3 * HOUR)
    assert not await is_alarmed(house)


async def test_a_failure_of_more_than_a_week_ago_is_history_and_the_end_says_so(house: House, mail: MailSink) -> None:
    await house.ran("backfill", at=NOW - timedelta(days=6, hours=23), failing=(6,))
    assert await is_alarmed(house)
    assert not await is_alarmed(house, NOW + 2 * HOUR)
    assert "não foi refeito em 7 dias" in mail.letters[-1].get_content()


# --- records that could not be stored ---------------------------------------------------------------------------


async def test_days_with_rejected_records_are_one_alert_until_they_are_stored(house: House, mail: MailSink) -> None:
    for day in (DAY - timedelta(days=2), DAY):
        await house.ran("backfill", at=NOW - 2 * HOUR, pieces=[piece(day)])
        await house.database.rows(
            "INSERT INTO rejected_records (resource, reason, payload_hash, payload, day, part)"
            " VALUES ('contratacoes', 'no date', :hash, '{}', :day, 6)",
            hash=str(day),
            day=day,
        )
        for minutes in range(3):
            await house.look(NOW + minutes * MINUTE)
    (alert,) = await house.alerts()
    assert (alert.kind, alert.resolved_at) == ("rejected", None)
    assert alert.summary == (
        "2 registros não puderam ser gravados; 2 dias de 07/03/2026 a 09/03/2026 não estão completos"
    )
    assert "./pncp rejected" in mail.letters[0].get_content()

    await house.database.rows("UPDATE rejected_records SET resolved_at = now()")
    assert not await is_alarmed(house, NOW + 5 * MINUTE)
    assert subjects(mail) == ["Alerta", "Resolvido"]
    assert "os registros foram gravados" in mail.letters[1].get_content()


# --- updates that do not come -----------------------------------------------------------------------------------


async def test_updates_that_do_not_come_are_an_alert_though_nothing_failed(house: House, mail: MailSink) -> None:
    house.rules = RULES
    await house.ran(at=NOW - 50 * MINUTE)
    assert not await is_alarmed(house)
    assert await is_alarmed(house, NOW + 15 * MINUTE)
    assert "Há um ingestor em pé" in mail.letters[0].get_content()
    await house.ran(at=NOW + 20 * MINUTE)
    assert not await is_alarmed(house, NOW + 21 * MINUTE)
    assert "uma atualização teve sucesso em 10/03/2026 06:20" in mail.letters[1].get_content()


async def test_a_gap_that_stays_unread_is_an_alert_though_updates_succeed(house: House, mail: MailSink) -> None:
    house.rules = RULES
    await house.ran(at=NOW - timedelta(days=30))
    await house.ran(at=NOW - 10 * MINUTE)
    assert await is_alarmed(house)
    assert "há uma lacuna por ler desde 08/02/2026 06:00, embora as atualizações sigam" in mail.letters[0].get_content()

    gap = [PlannedSlice(6, DAY, DAY, *map(to_wall_clock, (NOW - timedelta(days=30), NOW - timedelta(hours=20))))]
    await house.ran("backfill", at=NOW, pieces=gap)
    assert await is_alarmed(house), "by publication nothing is known of what changed"
    bridge = await house.database.planned(gap, criterio="atualizacao")
    await house.database.run(slices.finish, await house.database.claim())
    await house.database.run(executions.close, bridge)
    assert not await is_alarmed(house)
    assert "a lacuna foi lida" in mail.letters[1].get_content()


async def test_nothing_is_overdue_where_the_schedule_is_off_or_not_watched(house: House) -> None:
    await house.ran(at=NOW - 9 * HOUR)
    for rules in (QUIET, Rules(HOUR, None, schedule_enabled=False, update_crons={"contratacoes": "*/15 * * * *"})):
        house.rules = rules
        assert not await is_alarmed(house)


async def test_a_paused_schedule_is_no_alert_and_ends_one(house: House, mail: MailSink) -> None:
    house.rules = RULES
    await house.ran(at=NOW - 9 * HOUR)
    await house.database.rows("INSERT INTO schedules (name, effective_at) VALUES ('update', :at)", at=NOW - 9 * HOUR)
    assert await is_alarmed(house)
    await house.database.rows("UPDATE schedules SET paused_at = now(), paused_by = 'ana', pause_reason = 'obras'")
    assert not await is_alarmed(house)
    assert "posta em pausa" in mail.letters[-1].get_content()


async def test_a_resumed_schedule_has_its_time_again(house: House) -> None:
    house.rules = RULES
    await house.ran(at=NOW - 9 * HOUR)
    await house.database.rows("INSERT INTO schedules (name, effective_at) VALUES ('update', :at)", at=NOW - 30 * MINUTE)
    assert not await is_alarmed(house)
    assert await is_alarmed(house, NOW + 31 * MINUTE)


async def test_a_process_that_has_just_started_waits_its_hour_but_ends_no_episode(house: House, mail: MailSink) -> None:
    house.rules = RULES
    await house.ran(at=NOW - 9 * HOUR)
    notifier = Notifier(house.channels)
    await run_once(house.engine, RULES, notifier, now=NOW, watching_since=NOW - 5 * MINUTE)
    assert await house.alerts() == []
    await run_once(house.engine, RULES, notifier, now=NOW + HOUR, watching_since=NOW - 5 * MINUTE)
    assert subjects(mail) == ["Alerta"]

    for minutes in range(1, 40):  # a restart in the middle
        moment = NOW + HOUR + minutes * MINUTE
        await run_once(house.engine, RULES, notifier, now=moment, watching_since=NOW + HOUR)

    assert subjects(mail) == ["Alerta"]
    assert [alert.resolved_at for alert in await house.alerts()] == [None]


async def test_what_made_a_failure_good_is_known_without_its_execution(house: House) -> None:
    await house.ran("backfill", at=NOW - 5 * HOUR, failing=(6,))
    later = await house.ran("backfill", at=NOW - 4 * HOUR)
    await house.database.rows("DELETE FROM sync_executions WHERE id = :id", id=later)
    assert not await is_alarmed(house)


# --- listings that are empty ------------------------------------------------------------------------------------


async def read_days(house: House, weeks: int, records: int, modalidades: tuple[int, ...] = (6,)) -> None:
    for week in range(1, weeks + 1):
        day = DAY - timedelta(weeks=week)
        pieces = [piece(day, modalidade) for modalidade in modalidades]
        await house.ran("backfill", at=NOW - timedelta(weeks=week), pieces=pieces, records=records)


@pytest.mark.parametrize(
    ("weeks", "records", "alarmed"), [(3, 10, False), (4, 10, True), (8, 1, True), (8, 0, False), (0, 0, False)]
)
async def test_an_empty_day_is_suspicious_where_its_weekday_never_was(
    house: House, weeks: int, records: int, alarmed: bool
) -> None:
    await read_days(house, weeks, records)
    await house.ran("backfill", at=NOW - HOUR, records=0)
    assert await is_alarmed(house) is alarmed


async def test_the_day_that_is_read_again_with_records_ends_the_suspicion(house: House, mail: MailSink) -> None:
    await read_days(house, 5, 10)
    await house.ran("backfill", at=NOW - HOUR, records=0)
    assert await is_alarmed(house)
    assert "o dia 09/03/2026 foi lido sem nenhum registro" in mail.letters[0].get_content()
    await house.ran("backfill", at=NOW, records=5)
    assert not await is_alarmed(house, NOW + MINUTE)
    assert subjects(mail) == ["Alerta", "Resolvido"]


@pytest.mark.parametrize(
    ("resource", "by"), [("atas", "atualizacao"), ("contratos", "publicacao"), ("instrumentos_cobranca", "atualizacao")]
)
async def test_a_day_of_another_resource_is_empty_by_the_listing_of_its_days(
    house: House, resource: str, by: Criterio
) -> None:
    for week in range(5):
        day = DAY - timedelta(weeks=week)
        of: dict[str, Any] = {"resource": resource, "criterio": by, "pieces": [piece(day, 0)]}
        await house.ran("backfill", at=NOW - timedelta(weeks=week, hours=1), records=10 if week else 0, **of)
    assert await is_alarmed(house)
    (alert,) = await house.alerts()
    assert alert.details["listings"] == [{"resource": resource, "day": str(DAY), "modalidade": None}]
    assert alert.summary == f"{RESOURCES_BY_NAME[resource].label}: o dia 09/03/2026 foi lido sem nenhum registro"

    await house.ran("backfill", at=NOW, records=5, resource=resource, criterio=by, pieces=[piece(DAY, 0)])
    assert not await is_alarmed(house, NOW + MINUTE)


async def test_updates_of_another_resource_that_bring_nothing_are_told_by_its_own_past(house: House) -> None:
    for week in range(1, 6):
        for resource in ("contratacoes", "atas"):
            await house.ran(at=NOW - timedelta(weeks=week, hours=1), records=60, resource=resource)
    await house.ran(at=NOW - 2 * HOUR, records=0, resource="atas")
    await house.ran(at=NOW - 2 * HOUR, records=1)
    assert await is_alarmed(house)
    assert (await house.alerts())[0].summary.startswith("Atas de registro de preços: as atualizações não trazem nada")
    await house.ran(at=NOW + HOUR, records=1, resource="atas")
    assert not await is_alarmed(house, NOW + 2 * HOUR)


async def test_a_large_modalidade_that_is_empty_is_suspicious_and_a_small_one_is_not(house: House) -> None:
    await read_days(house, 5, 20, (6, 8))
    await house.ran("backfill", at=NOW - HOUR, pieces=[piece(DAY, 8)])
    await house.ran("backfill", at=NOW - HOUR, pieces=[piece(DAY, 6)], records=0)
    assert not await is_alarmed(house)
    await house.database.rows("UPDATE read_days SET records = 50 WHERE day < :day", day=DAY)
    assert await is_alarmed(house)
    assert "modalidade 6" in (await house.alerts())[0].summary


async def test_a_day_is_not_judged_while_other_modalidades_of_it_are_still_to_be_read(house: House) -> None:
    await read_days(house, 5, 10, (6, 8))
    await house.database.planned([piece(DAY, 6), piece(DAY, 8)])
    claim = await house.database.claim()
    assert await house.database.run(slices.finish, claim)
    assert await house.database.value("SELECT records FROM read_days WHERE day = :day", day=DAY) == 0
    await house.database.rows("UPDATE read_days SET complete_at = :at WHERE day = :day", at=NOW, day=DAY)
    assert not await is_alarmed(house, NOW + MINUTE)


async def test_today_is_never_judged(house: House) -> None:
    await read_days(house, 5, 10)
    await house.ran("backfill", at=NOW - 15 * HOUR, records=0)  # the afternoon of that very day
    assert not await is_alarmed(house, NOW - 14 * HOUR)


async def test_updates_that_bring_nothing_are_suspicious_where_they_always_bring_much(
    house: House, mail: MailSink
) -> None:
    for week in range(1, 6):
        for hours in (1, 2):
            await house.ran(at=NOW - timedelta(weeks=week, hours=hours), records=30)
    await house.ran(at=NOW - 2 * HOUR, records=0)
    assert await is_alarmed(house)
    assert await is_alarmed(house, NOW + 12 * HOUR)  # by another hour of the day, but nothing has come yet
    await house.ran(at=NOW + 13 * HOUR, records=1)
    assert not await is_alarmed(house, NOW + 14 * HOUR)
    assert subjects(mail) == ["Alerta", "Resolvido"]


async def test_updates_of_the_small_hours_may_bring_nothing(house: House) -> None:
    for week in range(1, 9):
        await house.ran(at=NOW - timedelta(weeks=week, hours=1), records=49)
    await house.ran(at=NOW - 2 * HOUR, records=0)
    assert not await is_alarmed(house)


# --- delivery ---------------------------------------------------------------------------------------------------


async def test_a_server_that_is_down_is_tried_again_later_and_nothing_is_lost(house: House) -> None:
    mail = MailSink()
    async with listening(mail):
        pass
    house.channels.append(email_to(mail))
    await house.ran("backfill", at=NOW - HOUR, failing=(6,))
    await house.look(NOW)
    (alert,) = await house.alerts()
    assert (alert.notified_at, alert.delivery_error) == (None, "email: o servidor recusou a conexão")

    async with listening(mail):
        await house.look(NOW + timedelta(seconds=29))  # not yet
        assert mail.letters == []
        await house.look(NOW + timedelta(seconds=31))
        assert subjects(mail) == ["Alerta"]
    (alert,) = await house.alerts()
    assert (alert.notified_at, alert.delivery_error) == (NOW + timedelta(seconds=31), None)


async def test_what_began_and_ended_while_the_server_was_down_is_told_once(house: House) -> None:
    mail = MailSink()
    async with listening(mail):
        pass
    house.channels.append(email_to(mail))
    await house.ran("backfill", at=NOW - HOUR, failing=(6,))
    await house.look(NOW)
    await house.ran("backfill", at=NOW + HOUR)
    await house.look(NOW + HOUR)
    async with listening(mail):
        await house.look(NOW + 2 * HOUR)
        await house.look(NOW + 3 * HOUR)
    assert subjects(mail) == ["Resolvido"]
    assert "portal: 503" in mail.letters[0].get_content()
    assert (await house.alerts())[0].recovery_notified_at == NOW + 2 * HOUR


async def test_a_dead_webhook_holds_up_no_mail_and_is_told_everything_when_it_lives(
    house: House, mail: MailSink
) -> None:
    hook = WebhookSink(status=500)
    async with listening(hook):
        house.channels.append(Webhook(f"http://127.0.0.1:{hook.port}/"))
        await house.ran("backfill", at=NOW - HOUR, failing=(6,))
        for hours in range(8):
            await house.look(NOW + hours * HOUR)
        assert subjects(mail) == ["Alerta", "Lembrete"]
        assert (await house.alerts())[0].delivery_error == "webhook: o servidor respondeu 500"
        hook.status = 204
        await house.ran("backfill", at=NOW + 8 * HOUR)
        await house.look(NOW + 9 * HOUR)
    assert subjects(mail) == ["Alerta", "Lembrete", "Resolvido"]
    assert [body["event"] for body in hook.bodies] == ["recovered"]
    (alert,) = await house.alerts()
    assert (alert.delivery_error, alert.recovery_notified_at) == (None, NOW + 9 * HOUR)


async def test_a_crash_between_delivery_and_its_note_repeats_one_message(house: House, mail: MailSink) -> None:
    await house.ran("backfill", at=NOW - HOUR, failing=(6,))
    (before,) = house.channels

    class Dying:
        name = "email"

        async def send(self, message: channels.Message) -> None:
            await before.send(message)
            raise asyncio.CancelledError

    house.channels = [Dying()]
    with pytest.raises(asyncio.CancelledError):
        await house.look()
    house.channels = [before]
    for minutes in range(1, 10):
        await house.look(NOW + minutes * MINUTE)
    assert subjects(mail) == ["Alerta", "Alerta"]
    assert mail.letters[0]["Message-ID"] == mail.letters[1]["Message-ID"]


async def test_two_backends_tell_it_once(house: House, mail: MailSink, hook: WebhookSink) -> None:
    await house.ran("backfill", at=datetime.now(UTC) - HOUR, failing=(6,))
    notifier = Notifier(house.channels)
    backends = [asyncio.create_task(watch(house.engine, QUIET, notifier, every=0.01)) for _ in range(3)]

    async def both_told() -> bool:
        return bool(mail.letters and hook.bodies)

    await eventually(both_told)
    await house.ran("backfill", at=datetime.now(UTC))

    async def is_closed() -> bool:
        return all(alert.recovery_notified_at is not None for alert in await house.alerts())

    await eventually(is_closed)
    for backend in backends:
        backend.cancel()
    await asyncio.gather(*backends, return_exceptions=True)
    assert subjects(mail) == ["Alerta", "Resolvido"]
    assert [body["event"] for body in hook.bodies] == ["opened", "recovered"]


async def test_watching_survives_a_database_that_goes(house: House, mail: MailSink, database_proxy: Any) -> None:
    proxy, url = database_proxy
    engine = create_engine(url, application_name="pncp-tests", pool_size=3)
    watching = asyncio.create_task(watch(engine, QUIET, Notifier(house.channels), every=0.05))
    await proxy.cut()
    with structlog.testing.capture_logs() as logs:
        await eventually(lambda: any(line["event"] == "alerts wait for the database" for line in logs))
    await house.ran("backfill", at=datetime.now(UTC) - HOUR, failing=(6,))
    await proxy.mend()
    await eventually(lambda: len(mail.letters) == 1)
    watching.cancel()
    await asyncio.wait([watching])
    await engine.dispose()


# --- servers, good and bad --------------------------------------------------------------------------------------

MESSAGE = compose_test(NOW, public_url=None)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of 127.0.0.1 that is signed by itself alone, with its key in the same file."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    files = ["-keyout", str(path), "-out", str(path.with_suffix(".crt")), "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, *files], check=True, capture_output=True)
    path.write_text(path.read_text() + path.with_suffix(".crt").read_text())
    return path


def tls_of(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


async def test_a_password_is_spoken_only_behind_starttls(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening(MailSink(credentials=("pncp", "pássaro"), tls=tls_of(certificate))) as sink:
        channel = email_to(sink, security="starttls", username="pncp", password="pássaro")
        with pytest.raises(DeliveryError, match="o certificado do servidor não é válido"):
            await channel.send(MESSAGE)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        await channel.send(MESSAGE)
        assert sink.secured == [True]
        wrong = email_to(sink, security="starttls", username="pncp", password="secret-of-ours")
        with pytest.raises(DeliveryError) as refusal:
            await wrong.send(MESSAGE)
    assert str(refusal.value) == "o servidor recusou o usuário ou a senha (535)"


@pytest.mark.parametrize("kind", ["email", "webhook"])
async def test_a_server_behind_tls_is_believed_by_its_certificate(
    kind: str, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mail, hook = MailSink(), WebhookSink()
    async with listening(mail, tls=tls_of(certificate)), listening(hook, tls=tls_of(certificate)):
        channel = {
            "email": email_to(mail, security="tls"),
            "webhook": Webhook(f"https://127.0.0.1:{hook.port}/token-of-the-hook"),
        }[kind]
        with pytest.raises(DeliveryError, match=r"^o certificado do servidor não é válido$"):
            await channel.send(MESSAGE)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        await channel.send(MESSAGE)
    assert len(mail.letters) + len(hook.bodies) == 1


async def test_a_server_without_starttls_gets_no_message() -> None:
    async with listening(MailSink()) as sink:
        with pytest.raises(DeliveryError, match="não oferece STARTTLS"):
            await email_to(sink, security="starttls").send(MESSAGE)
    assert sink.letters == []


@pytest.mark.parametrize(("at", "said"), [("MAIL", "mensagem (554)"), ("RCPT", "destinatários"), ("DATA", "(554)")])
async def test_what_a_mail_server_says_stays_with_it(at: str, said: str) -> None:
    async with listening(MailSink(refuse_at=at)) as sink:
        with pytest.raises(DeliveryError) as refusal:
            await email_to(sink).send(MESSAGE)
    assert said in str(refusal.value)
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(
    ("status", "said"), [(302, "respondeu 302"), (404, "respondeu 404"), (0, "encerrou a conexão")]
)
async def test_a_webhook_that_does_not_take_it_is_told_without_its_address(status: int, said: str) -> None:
    async with listening(WebhookSink(status=status)) as sink:
        with pytest.raises(DeliveryError) as refusal:
            await Webhook(f"http://127.0.0.1:{sink.port}/token-of-the-hook").send(MESSAGE)
    assert said in str(refusal.value)
    assert "token" not in str(refusal.value)
    assert len(sink.targets) == 1  # a redirect is not followed


def channel_to(sink: MailSink, kind: str) -> Channel:
    if kind.startswith("email"):
        return email_to(sink, security="tls" if kind == "email behind tls" else "none")
    return Webhook(f"{'https' if kind == 'webhook behind tls' else 'http'}://127.0.0.1:{sink.port}/token-of-the-hook")


@pytest.mark.parametrize(
    ("kind", "limit"),
    [
        *[(kind, "SEND_SECONDS") for kind in ("email", "email behind tls", "webhook")],
        *[(kind, "STEP_SECONDS") for kind in ("email", "email behind tls", "webhook", "webhook behind tls")],
    ],
)
async def test_a_server_that_says_nothing_is_given_up(kind: str, limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, limit, 0.2)
    async with listening(MailSink(is_silent=True)) as sink:
        with pytest.raises(DeliveryError, match=r"^o servidor não respondeu a tempo$"):
            await channel_to(sink, kind).send(MESSAGE)


@pytest.mark.parametrize("kind", ["email", "webhook"])
@pytest.mark.parametrize("stalls_at", ["EHLO", "MAIL", "DATA"])
async def test_a_delivery_that_is_cancelled_waits_for_no_answer(kind: str, stalls_at: str) -> None:
    async with listening(MailSink(stalls_at=stalls_at, is_silent=kind == "webhook")) as sink:
        sending = asyncio.create_task(channel_to(sink, kind).send(MESSAGE))
        await eventually(lambda: sink.is_waited_for)
        sending.cancel()
        done, _ = await asyncio.wait([sending], timeout=2)
    assert done
    assert sending.cancelled()


async def test_a_cancellation_that_the_library_drops_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    quitting = asyncio.Event()

    async def drop_it(_: aiosmtplib.SMTP) -> None:
        quitting.set()
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)

    monkeypatch.setattr(aiosmtplib.SMTP, "quit", drop_it)
    async with listening(MailSink()) as sink:
        sending = asyncio.create_task(email_to(sink).send(MESSAGE))
        await quitting.wait()
        sending.cancel()
        await asyncio.wait([sending], timeout=2)
    assert sending.cancelled()


async def test_one_recipient_that_is_refused_keeps_the_message_from_no_other() -> None:
    async with listening(MailSink(refused=("rui@example.org",))) as sink:
        with structlog.testing.capture_logs() as logs:
            await email_to(sink).send(MESSAGE)
    assert sink.recipients == [["ana@example.org"]]
    assert [line["recipients"] for line in logs if "some recipients" in line["event"]] == [["rui@example.org"]]


async def test_a_server_that_takes_a_message_and_hangs_up_has_taken_it() -> None:
    async with listening(MailSink(hangs_up_at="QUIT")) as sink:
        await email_to(sink).send(MESSAGE)
    assert len(sink.letters) == 1


async def test_a_server_that_is_no_http_server_is_told() -> None:
    async with listening(MailSink()) as sink:
        with pytest.raises(DeliveryError, match=r"não fala HTTP$"):
            await channel_to(sink, "webhook").send(MESSAGE)


@pytest.mark.parametrize("kind", ["email", "webhook"])
async def test_a_name_that_does_not_exist_is_told(kind: str) -> None:
    channel: Channel = Webhook("http://no-such-name.invalid/token-of-the-hook")
    if kind == "email":
        channel = Email("no-such-name.invalid", 25, "none", "pncp@example.org", ("ana@example.org",))
    with pytest.raises(DeliveryError, match=r"^o nome do servidor não foi encontrado$"):
        await channel.send(MESSAGE)


async def test_proxies_of_the_environment_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with listening(WebhookSink()) as sink:
        await Webhook(f"http://127.0.0.1:{sink.port}/").send(MESSAGE)
    assert sink.bodies[0]["event"] == "test"


# --- the API ----------------------------------------------------------------------------------------------------

Api = Callable[..., Awaitable[httpx.AsyncClient]]


@pytest.fixture
async def serve(engine: AsyncEngine, database_url: str) -> AsyncIterator[Api]:
    async with AsyncExitStack() as stack:

        async def serve(**settings: Any) -> httpx.AsyncClient:
            app = create_app(BackendSettings(database_url=database_url, rabbitmq_url=None, **settings))  # type: ignore[arg-type]
            state = await stack.enter_async_context(app.router.lifespan_context(app))

            async def with_state(scope: Any, receive: Any, send: Any) -> None:
                await app({**scope, "state": dict(state or {})}, receive, send)

            transport = httpx.ASGITransport(app=with_state)
            return await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://api"))

        yield serve


async def test_episodes_are_listed_page_by_page(serve: Api, house: House) -> None:
    for number in range(3):
        await house.ran("backfill", at=NOW + number * HOUR, failing=(6,))
        await house.look(NOW + number * HOUR)
        await house.ran("backfill", at=NOW + number * HOUR + MINUTE)
        await house.look(NOW + number * HOUR + MINUTE)
    last = await house.ran("backfill", at=NOW + 4 * HOUR, failing=(6,))
    await house.look(NOW + 4 * HOUR)
    api = await serve()

    first = (await api.get("/sync/alerts", params={"limit": 3})).json()
    assert (first["open_count"], first["channels"]) == (1, [])
    assert [alert["resolved_at"] is None for alert in first["alerts"]] == [True, False, False]
    assert first["alerts"][0]["execution_ids"] == [last]
    assert first["alerts"][1]["resolution"] == "o que falhou foi refeito"
    assert first["alerts"][0]["technical_detail"] == [
        f"execução {last}: 1 of 1 slices failed: 2026-03-09 modalidade 6: portal: 503 and nothing else"
    ]
    second = (await api.get("/sync/alerts", params={"limit": 3, "cursor": first["next_cursor"]})).json()
    assert (len(second["alerts"]), second["next_cursor"]) == (1, None)


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "cursor=0", "cursor=x", "limit=1&limit=2", "other=1"])
async def test_no_query_of_alerts_breaks_anything(serve: Api, query: str) -> None:
    assert (await (await serve()).get(f"/sync/alerts?{query}")).status_code == 422


async def test_a_test_message_goes_through_every_channel_and_tells_each_outcome(serve: Api) -> None:
    async with listening(MailSink()) as mail, listening(WebhookSink(status=403)) as hook:
        api = await serve(
            alert_email_to="ana@example.org",
            alert_email_from="pncp@example.org",
            smtp_host="127.0.0.1",
            smtp_port=mail.port,
            smtp_starttls=False,
            alert_webhook_url=f"http://127.0.0.1:{hook.port}/token-of-the-hook",
        )
        answer = await api.post("/sync/alerts/test")
    assert answer.status_code == 200
    assert answer.json() == {
        "channels": [
            {"channel": "email", "delivered": True, "error": None},
            {"channel": "webhook", "delivered": False, "error": "o servidor respondeu 403"},
        ]
    }
    assert "teste" in mail.letters[0].get_content()


async def test_without_a_channel_there_is_nothing_to_test(serve: Api) -> None:
    answer = await (await serve()).post("/sync/alerts/test")
    assert answer.status_code == 409
    assert "ALERT_WEBHOOK_URL" in answer.json()["detail"]


async def test_a_viewer_reads_alerts_and_sends_no_test(serve: Api) -> None:
    api = await serve(admin_password="a-password-of-ana", viewer_password="a-password-of-rui")
    assert (await api.get("/sync/alerts")).status_code == 401
    assert (await api.get("/sync/alerts", auth=("viewer", "a-password-of-rui"))).status_code == 200
    assert (await api.post("/sync/alerts/test", auth=("viewer", "a-password-of-rui"))).status_code == 403
    assert (await api.post("/sync/alerts/test", auth=("admin", "a-password-of-ana"))).status_code == 409


async def test_no_secret_of_a_channel_is_kept_or_answered(serve: Api, house: House) -> None:
    async with listening(MailSink(credentials=("pncp", "other"))) as mail, listening(WebhookSink(status=500)) as hook:
        api = await serve(
            log_level="DEBUG",
            alert_email_to="ana@example.org",
            alert_email_from="pncp@example.org",
            smtp_host="127.0.0.1",
            smtp_port=mail.port,
            smtp_starttls=False,
            smtp_username="pncp",
            smtp_password="marker-of-the-mail",
            alert_webhook_url=f"http://127.0.0.1:{hook.port}/marker-of-the-hook",
        )
        await house.ran("backfill", at=datetime.now(UTC) - HOUR, failing=(6,))
        house.channels = [
            email_to(mail, username="pncp", password="marker-of-the-mail"),
            Webhook(f"http://127.0.0.1:{hook.port}/marker-of-the-hook"),
        ]
        await house.look(datetime.now(UTC))
        answers = [await api.post("/sync/alerts/test"), await api.get("/sync/alerts"), await api.get("/openapi.json")]
    kept = json.dumps([str(alert) for alert in await house.alerts()])
    told = " ".join([*[answer.text for answer in answers], kept, repr(house.channels)])
    assert "o servidor recusou o usuário ou a senha (535)" in told
    assert "marker-of" not in told


# --- the portal's outages ---------------------------------------------------------------------------------------


async def failing(
    database: Database,
    *,
    since: datetime,
    until: datetime,
    failures: int = 1,
    reason: str = "down",
    service: str = "consulta",
) -> None:
    """A service that has failed since a moment, and is paused until another."""
    await database.rows(
        """
        INSERT INTO source_pauses (source, paused_until, reason, cause, error_message, failures, failing_since)
        VALUES (:service, :until, :reason, 'no_answer', '/consulta/v1: status 503', :failures, :since)
        ON CONFLICT (source) DO UPDATE
           SET paused_until = :until, reason = :reason, failures = :failures, failing_since = :since
        """,
        service=service,
        until=until,
        reason=reason,
        failures=failures,
        since=since,
    )


async def answering(database: Database) -> None:
    await database.rows("UPDATE source_pauses SET failing_since = NULL, failures = 0, reason = NULL")


@pytest.mark.parametrize(
    ("reason", "failures", "seconds", "is_told"),
    [
        ("down", 1, 29, False),
        ("down", 2, 31, True),
        ("refused", 2, 31, True),
        ("down", 1, 181, True),
        ("blocked", 1, 29, False),
        ("blocked", 1, 31, True),
        ("throttled", 2, 61, False),
        ("throttled", 3, 301, True),
    ],
)
async def test_an_outage_is_told_once_it_is_more_than_a_moment(
    house: House, reason: str, failures: int, seconds: float, is_told: bool
) -> None:
    began = NOW - timedelta(seconds=seconds)
    await failing(house.database, since=began, until=NOW + MINUTE, failures=failures, reason=reason)
    await house.look()
    assert [alert.kind for alert in await house.alerts()] == (["source"] if is_told else [])


async def test_an_outage_of_both_services_is_one_episode_that_ends_when_both_answer(house: House) -> None:
    began = NOW - 2 * MINUTE
    await failing(house.database, since=began, until=NOW + timedelta(seconds=21), failures=2)
    await house.look()
    await failing(house.database, since=NOW, until=NOW + MINUTE, reason="refused", service="itens")
    await house.look(NOW + MINUTE)
    (alert,) = await house.alerts()
    assert alert.summary == (
        "o portal (serviço consulta) não responde desde 10/03/2026 05:58;"
        " nova tentativa às 06:00:21; o portal (serviço itens) recusa os pedidos desde 10/03/2026 06:00;"
        " nova tentativa às 06:01:00"
    )

    await house.database.rows("UPDATE source_pauses SET failing_since = NULL WHERE source = 'consulta'")
    await house.look(NOW + MINUTE)
    assert (await house.alerts())[0].resolved_at is None, "one pause is enough for an episode to go on"
    await answering(house.database)
    await house.look(NOW + 2 * MINUTE)
    (alert,) = await house.alerts()
    assert alert.resolved_at is not None
    assert alert.details["resolution"].startswith("o portal voltou a responder")


async def test_an_outage_after_which_nothing_was_asked_is_told_no_more(house: House) -> None:
    await failing(house.database, since=NOW - 3 * HOUR, until=NOW - timedelta(minutes=59), failures=5)
    await house.look()
    await house.look(NOW + 2 * MINUTE)
    (alert,) = await house.alerts()
    assert alert.resolved_at is not None


async def test_what_fails_because_of_an_outage_is_no_second_alert(house: House) -> None:
    """An update and a backfill end because the portal stays away; the update is made good by the next one."""
    house.rules = RULES
    await house.ran("update", at=NOW - 2 * HOUR)
    await failing(house.database, since=NOW - 2 * HOUR, until=NOW + MINUTE, failures=9)
    for mode in ("update", "backfill"):
        ended = await house.ran(mode, at=NOW, failing=(6,))
        await house.database.rows("UPDATE sync_executions SET cause = 'portal_down' WHERE id = :id", id=ended)
    await house.look()
    assert [alert.kind for alert in await house.alerts()] == ["source"]

    await answering(house.database)
    await house.look(NOW + MINUTE)
    source, sync = await house.alerts()
    assert source.resolved_at is not None
    assert (sync.kind, sync.details["execution_ids"]) == ("sync", [ended]), "the backfill has to be repeated"
    assert not sync.details["overdue"]
    await house.look(NOW + 62 * MINUTE)
    assert (await house.alerts())[1].details["overdue"], "but updates have to come again"
