"""Episodes: opened, notified, reminded, closed. All their state is in the table `alerts`.

One backend at a time evaluates, under an advisory lock. A message is recorded as sent after a channel has accepted it,
so that a crash in between repeats it once and loses nothing. Each channel has its own record, so that a failing webhook
does not delay e-mail.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import bindparam, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from backend.errors import ConflictError
from backend.language.translator import DEFAULT_LANGUAGE, Language, Text, Translator
from backend.models.alerts import Alert, AlertsQuery, ChannelOutcome
from backend.services.alerts.channels import Channel, DeliveryError, Message
from backend.services.alerts.deliveries import Attempts
from backend.services.alerts.findings import MOST_SHOWN, Finding, Rules, explain_end, look
from backend.services.alerts.queue_watch import QUEUE, QueueWatch
from backend.services.alerts.sentences import Details
from backend.services.alerts.texts import (
    REMINDED,
    Episode,
    Event,
    compose,
    compose_test,
    technical_detail,
    told_end,
    told_summary,
    write,
)
from backend.services.election import look_if_elected
from backend.services.verdict.state import Verdict
from backend.services.verdict.wording import word
from common.database import in_transaction, run_again
from common.tables import alerts

log = structlog.get_logger(__name__)

LOOK_SECONDS = 30.0
WATCH = 7_020_114_136
"""The advisory lock of the evaluating backend."""

TOLD_LATE = timedelta(days=7)
"""The end of an episode is not delivered after this time."""

_NOW = text("SELECT now()")
_LOAD_OPEN = text("SELECT id, kind, details FROM alerts WHERE resolved_at IS NULL")
_OPEN = text("""
    INSERT INTO alerts (kind, summary, details, deliveries, opened_at)
    VALUES (:kind, :summary, :details, :deliveries, :now)
    ON CONFLICT (kind) WHERE resolved_at IS NULL DO NOTHING
""").bindparams(bindparam("details", type_=JSONB), bindparam("deliveries", type_=JSONB))
_REFRESH = text("""
    UPDATE alerts SET summary = :summary, details = :details WHERE id = :id AND details IS DISTINCT FROM :details
""").bindparams(bindparam("details", type_=JSONB))
_RESOLVE = text("""
    UPDATE alerts SET resolved_at = :now, details = details || :ended WHERE id = :id AND resolved_at IS NULL
""").bindparams(bindparam("ended", type_=JSONB))
_LOAD_UNTOLD = text("""
    SELECT id, kind, summary, details, deliveries, opened_at, resolved_at FROM alerts
     WHERE resolved_at IS NULL OR (recovery_notified_at IS NULL AND resolved_at > :since)
     ORDER BY id
""")
_NOTE = text("""
    UPDATE alerts
       SET deliveries = :deliveries, delivery_error = :delivery_error, notified_at = :notified_at,
           notifications = :notifications, recovery_notified_at = :recovery_notified_at
     WHERE id = :id
""").bindparams(bindparam("deliveries", type_=JSONB))
_COUNT_OPEN = text("SELECT count(*) FROM alerts WHERE resolved_at IS NULL")


@dataclass(frozen=True)
class Notifier:
    """The channels, and what each message contains; `verdict` loads what a message says of the whole mirror."""

    channels: Sequence[Channel]
    public_url: str | None = None
    verdict: Callable[[], Awaitable[Verdict]] | None = None
    language: Language = DEFAULT_LANGUAGE


@dataclass(frozen=True)
class Delivery(Attempts):
    """What one channel has accepted of one episode."""

    sent: int = 0
    sent_at: datetime | None = None
    recovery_sent_at: datetime | None = None


async def watch(
    engine: AsyncEngine,
    rules: Rules,
    notifier: Notifier,
    queue: QueueWatch | None = None,
    *,
    every: float = LOOK_SECONDS,
) -> None:
    """Evaluate until cancelled, whenever no other backend does; wait while the database is away."""
    watching_since: datetime | None = None

    async def evaluate() -> None:
        nonlocal watching_since
        now = await _load_now(engine)
        watching_since = watching_since or now
        await run_once(engine, rules, notifier, queue, now=now, watching_since=watching_since)

    while True:
        await look_if_elected(
            engine, WATCH, evaluate, waits="alerts wait for the database", fails="alerts could not be evaluated"
        )
        await asyncio.sleep(every)


async def _load_now(engine: AsyncEngine) -> datetime:
    async with engine.connect() as db:
        now: datetime = (await db.execute(_NOW)).scalar_one()
        return now


async def _load_details(engine: AsyncEngine, kind: str) -> Details | None:
    """The details of the open episode of a kind."""
    async with engine.connect() as db:
        return next((row.details for row in await db.execute(_LOAD_OPEN) if row.kind == kind), None)


async def run_once(
    engine: AsyncEngine,
    rules: Rules,
    notifier: Notifier,
    queue: QueueWatch | None = None,
    *,
    now: datetime,
    watching_since: datetime,
) -> None:
    """Bring the episodes up to `now` (aware), then deliver what is due."""
    unheard = None if queue is None else await queue.look(now, await _load_details(engine, QUEUE))

    async def settle(db: AsyncConnection) -> None:
        rows = (await db.execute(_LOAD_OPEN)).all()
        known = {row.kind: row.details for row in rows}
        findings = await look(db, rules, now, watching_since=watching_since, known=known)
        if unheard is not None:
            findings = [*findings, unheard]
        names = [channel.name for channel in notifier.channels]
        await _settle(db, {row.kind: row.id for row in rows}, findings, names, now=now)
        for row in rows:
            if row.kind not in {finding.kind for finding in findings}:
                await _resolve(db, row.id, row.kind, await explain_end(db, row.kind, row.details, now), now=now)

    await in_transaction(engine, settle)
    await deliver(engine, rules, notifier, now=now)


async def _settle(
    db: AsyncConnection,
    open_ids: Mapping[str, int],
    findings: Sequence[Finding],
    channels: Sequence[str],
    *,
    now: datetime,
) -> None:
    """Continue the episode of each finding, or open one with no message delivered yet."""
    for finding in findings:
        values = {"summary": finding.summary, "details": finding.details}
        if finding.kind in open_ids:
            await db.execute(_REFRESH, {**values, "id": open_ids[finding.kind]})
            continue
        untold = {name: Delivery().to_json() for name in channels}
        await db.execute(_OPEN, {**values, "kind": finding.kind, "deliveries": untold, "now": now})
        log.warning("alert opened", kind=finding.kind, summary=finding.summary)


async def _resolve(db: AsyncConnection, alert_id: int, kind: str, reasons: Sequence[Text], *, now: datetime) -> None:
    """Store why it ended by codes, and in Portuguese for those who read the table."""
    reason = "; ".join(Translator().say(one) for one in reasons)
    ended = {"resolution": reason, "ended": [write(one) for one in reasons]}
    await db.execute(_RESOLVE, {"id": alert_id, "ended": ended, "now": now})
    log.info("alert resolved", kind=kind, reason=reason)


async def deliver(engine: AsyncEngine, rules: Rules, notifier: Notifier, *, now: datetime) -> None:
    """Send each channel its due messages, one after the other, and record them."""
    if not notifier.channels:
        return
    async with engine.connect() as db:
        rows = (await db.execute(_LOAD_UNTOLD, {"since": now - TOLD_LATE})).all()
    for row in rows:
        episode = Episode(row.id, row.kind, row.summary, row.details, row.opened_at, row.resolved_at)
        deliveries = {name: Delivery.from_json(kept) for name, kept in row.deliveries.items()}
        for channel in notifier.channels:
            delivery = deliveries.get(channel.name)
            event = next_event(delivery, episode, now, rules.reminder if episode.kind in REMINDED else None)
            if event is None:
                continue
            known = delivery or Delivery()
            message = compose(
                event,
                episode,
                number=known.sent + 1,
                public_url=notifier.public_url,
                reminder=rules.reminder,
                verdict=None if notifier.verdict is None else word(await notifier.verdict(), notifier.language),
                language=notifier.language,
            )
            deliveries[channel.name] = await _send(channel, message, event, known, now=now)
            await _note(engine, episode, deliveries, [one.name for one in notifier.channels])


def next_event(delivery: Delivery | None, episode: Episode, now: datetime, reminder: timedelta | None) -> Event | None:
    """The next message of a channel; `None` for none.

    `delivery` is `None` for a channel that was not configured when the episode began: it gets messages of open episodes
    only. An episode that ended before its first message was delivered gets one message.
    """
    if delivery is not None and delivery.retry_at is not None and now < delivery.retry_at:
        return None
    if episode.resolved_at is not None:
        return "recovered" if delivery is not None and delivery.recovery_sent_at is None else None
    if delivery is None or delivery.sent_at is None:
        return "opened"
    return "reminder" if reminder is not None and now - delivery.sent_at >= reminder else None


async def _send(channel: Channel, message: Message, event: Event, delivery: Delivery, *, now: datetime) -> Delivery:
    """Try to deliver a message; answers the channel's state after that."""
    told = {"channel": channel.name, "thread": message.thread, "about": event}
    try:
        await channel.send(message)
    except DeliveryError as error:
        log.warning("alert not delivered", **told, reason=str(error))
        return delivery.failed(now, str(error))
    log.info("alert delivered", **told)
    if event == "recovered":
        return Delivery(delivery.sent, delivery.sent_at, recovery_sent_at=now)
    return Delivery(delivery.sent + 1, now)


@run_again
async def _note(
    engine: AsyncEngine, episode: Episode, deliveries: Mapping[str, Delivery], present: Sequence[str]
) -> None:
    told = [delivery for name, delivery in deliveries.items() if name in present]
    errors = [f"{name}: {one.error}" for name, one in deliveries.items() if name in present and one.error]
    is_closed = episode.resolved_at is not None and all(one.recovery_sent_at is not None for one in told)
    async with engine.begin() as db:
        await db.execute(
            _NOTE,
            {
                "id": episode.id,
                "deliveries": {name: delivery.to_json() for name, delivery in deliveries.items()},
                "delivery_error": "; ".join(errors) or None,
                "notified_at": max((one.sent_at for one in deliveries.values() if one.sent_at), default=None),
                "notifications": max((one.sent for one in deliveries.values()), default=0),
                "recovery_notified_at": max(one.recovery_sent_at for one in told if one.recovery_sent_at)
                if is_closed
                else None,
            },
        )


# --- for the API ------------------------------------------------------------------------------------------------


async def list_alerts(
    engine: AsyncEngine, query: AlertsQuery, language: Language = DEFAULT_LANGUAGE
) -> tuple[list[Alert], int, str | None]:
    """Episodes from the newest to the oldest, how many are open, and where the next page begins."""
    statement = select(alerts).order_by(alerts.c.id.desc()).limit(query.limit + 1)
    if query.cursor is not None:
        statement = statement.where(alerts.c.id < query.cursor)
    async with engine.connect() as db:
        rows = (await db.execute(statement)).all()
        open_count: int = (await db.execute(_COUNT_OPEN)).scalar_one()
    words = Translator(language)
    shown = [
        Alert(
            **{name: getattr(row, name) for name in Alert.model_fields if hasattr(row, name) and name != "summary"},
            summary=told_summary(Episode(row.id, row.kind, row.summary, row.details, row.opened_at), words),
            execution_ids=row.details.get("execution_ids", [])[:MOST_SHOWN],
            resolution=told_end(row.details, words) if row.resolved_at else None,
            technical_detail=technical_detail(row.details, words),
        )
        for row in rows[: query.limit]
    ]
    return shown, open_count, str(shown[-1].id) if len(rows) > query.limit else None


async def send_test(notifier: Notifier) -> list[ChannelOutcome]:
    """Send a test message through every channel at once.

    Raises:
        ConflictError: there is no channel.

    """
    if not notifier.channels:
        raise ConflictError("no_channel")
    message = compose_test(datetime.now(UTC), public_url=notifier.public_url, language=notifier.language)

    async def outcome(channel: Channel) -> ChannelOutcome:
        try:
            await channel.send(message)
        except DeliveryError as error:
            return ChannelOutcome(channel=channel.name, delivered=False, error=str(error))
        return ChannelOutcome(channel=channel.name, delivered=True, error=None)

    return list(await asyncio.gather(*(outcome(channel) for channel in notifier.channels)))
