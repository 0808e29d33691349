"""Messages of saved searches: evaluated once a day at their hour, and sent until each channel has taken them.

One backend at a time does so, under an advisory lock. What is found is committed before it is sent, and a batch counts
as reported by a channel after that has accepted it: a crash in between repeats one message and loses none.
"""

import asyncio
import hashlib
import secrets
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from typing import Any

import structlog
from fastapi.exceptions import RequestValidationError
from sqlalchemy import Row, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from backend.errors import TooBroadError, TooSlowError
from backend.metrics import Metrics
from backend.services.alerts.channels import Channel, DeliveryError, Email
from backend.services.alerts.deliveries import Attempts
from backend.services.alerts.episodes import Notifier
from backend.services.deliveries.files import ConnectionFiles
from backend.services.election import look_if_elected
from backend.services.entities.mirror import Mirrors
from backend.services.entities.question import Question
from backend.services.entities.rows import Total, load_page
from backend.services.exports.about import for_format
from backend.services.exports.atom import for_feed
from backend.services.saved_searches import matches
from backend.services.saved_searches.matches import Saved
from backend.services.saved_searches.texts import MOST_SHOWN, Found, compose
from common.clock import BRASILIA, to_wall_clock
from common.database import in_transaction, is_database_trouble, raw_driver_of

log = structlog.get_logger(__name__)

LOOK_SECONDS = 30.0
WATCH = 7_020_114_150
"""The advisory lock of the backend that sends."""
FORGET_EVERY = timedelta(hours=1)
AGAIN_AFTER = timedelta(hours=1)
"""After an evaluation that has failed."""
LINKS_KEPT = timedelta(days=400)
"""How long the link of a message unsubscribes."""
CHANNELS = ("email", "webhook")
UNKNOWN = "Esta versão não conhece mais a lista ou um filtro da busca: salve outra."
UNEXPECTED = "Erro interno. O registro do servidor (log) traz a causa."

_NOW = text("SELECT now()")
_DUE = text("""
    SELECT * FROM buscas
     WHERE due_at <= :now AND cancelled_at IS NULL AND (email IS NOT NULL OR webhook) ORDER BY due_at, id
""")
_ACTIVE = text("""
    SELECT * FROM buscas
     WHERE batch > 0 AND cancelled_at IS NULL AND (email IS NOT NULL OR webhook) ORDER BY id
""")
_LOAD = text("SELECT * FROM buscas WHERE id = :id AND cancelled_at IS NULL")
_EVALUATED = text("""
    UPDATE buscas
       SET batch = :batch, evaluated_at = :now, due_at = :due_at, seen_after = greatest(seen_after, :seen_after),
           error_message = NULL
     WHERE id = :id AND generation = :generation AND batch = :before
    RETURNING id
""")
_FAILED = text("""
    UPDATE buscas SET error_message = :reason, due_at = :due_at WHERE id = :id AND generation = :generation
""")
_COUNT = text("""
    SELECT count(*) FROM buscas_registros
     WHERE search_id = :id AND generation = :generation AND batch > :batch AND left_at IS NULL
""")
_ADD_LINK = text("INSERT INTO buscas_cancelamentos (token_sha256, search_id) VALUES (:token_sha256, :id)")
_FORGET_LINKS = text("DELETE FROM buscas_cancelamentos WHERE created_at < :before")
# of one channel alone, as the others may be changed meanwhile
_NOTE = text("""
    UPDATE buscas SET deliveries = deliveries || CAST(:delivery AS jsonb) WHERE id = :id AND generation = :generation
""").bindparams(bindparam("delivery", type_=JSONB))


class _ChangedError(Exception):
    """The search was changed or deleted while it was evaluated."""


@dataclass(frozen=True)
class Delivery(Attempts):
    """What one channel has accepted of a search: all batches up to `batch`."""

    batch: int = 0
    sent_at: datetime | None = None


def deliveries_of(search: Row[Any]) -> dict[str, Delivery]:
    """What each channel of a search has accepted."""
    wanted = {"email": search.email is not None, "webhook": search.webhook}
    kept = search.deliveries
    return {name: Delivery.from_json(kept.get(name, {})) for name in CHANNELS if wanted[name]}


def next_due(hour: int, now: datetime, evaluated_at: datetime | None) -> datetime:
    """When the hour comes next on Brasília's clock, on a day on which nothing was evaluated. All moments are aware."""
    wall = to_wall_clock(now)
    day = wall.date()
    is_done = evaluated_at is not None and to_wall_clock(evaluated_at).date() >= day
    if is_done or datetime.combine(day, time(hour)) <= wall:
        day += timedelta(days=1)
    return datetime.combine(day, time(hour), BRASILIA)


def may_send(delivery: Delivery, hour: int, now: datetime) -> bool:
    """Whether a channel may get a message now: from the hour on, once on a day, and not before a pause is over."""
    wall = to_wall_clock(now)
    if wall.hour < hour or (delivery.retry_at is not None and now < delivery.retry_at):
        return False
    return delivery.sent_at is None or to_wall_clock(delivery.sent_at).date() != wall.date()


class Courier:
    """Evaluates saved searches and sends their messages."""

    def __init__(
        self,
        engine: AsyncEngine,
        mirrors: Mirrors,
        connections: ConnectionFiles,
        notifier: Notifier,
        metrics: Metrics,
    ) -> None:
        self._engine = engine
        self._mirrors = mirrors
        self._connections = connections
        self._notifier = notifier
        self._metrics = metrics
        self._forgotten_at: datetime | None = None

    async def watch(self, *, every: float = LOOK_SECONDS) -> None:
        """Look until cancelled, whenever no other backend does; wait while the database is away."""
        while True:
            await look_if_elected(
                self._engine,
                WATCH,
                self._look,
                waits="saved searches wait for the database",
                fails="saved searches could not be evaluated",
            )
            await asyncio.sleep(every)

    async def _look(self) -> None:
        async with self._engine.connect() as db:
            now: datetime = (await db.execute(_NOW)).scalar_one()
        await self.run_once(now)

    async def run_once(self, now: datetime) -> None:
        """Evaluate the searches whose hour has come, then send what is due."""
        async with self._engine.connect() as db:
            due = (await db.execute(_DUE, {"now": now})).all()
        for search in due:
            await self._evaluate(search, now)
        async with self._engine.connect() as db:
            active = (await db.execute(_ACTIVE)).all()
        for search in active:
            for name, delivery in deliveries_of(search).items():
                if delivery.batch < search.batch and may_send(delivery, search.hour, now):
                    await self._deliver(search.id, name, now)
        if self._forgotten_at is None or now - self._forgotten_at >= FORGET_EVERY:
            await in_transaction(self._engine, lambda db: _forget(db, now))
            self._forgotten_at = now

    async def _evaluate(self, search: Row[Any], now: datetime) -> None:
        """Note the records that have come to match. A search that fails does not hold up the others."""
        values = {"id": search.id, "generation": search.generation}
        due_at = next_due(search.hour, now, now)
        try:
            saved = Saved.of(search, await self._connections.load())
            found = await in_transaction(self._engine, lambda db: _note_matches(db, search, saved, now, due_at))
        except _ChangedError:
            return  # the next look finds it as it is now
        except RequestValidationError:
            reason = UNKNOWN
        except TooSlowError as error:
            reason, due_at = str(error), now + AGAIN_AFTER
        except Exception as error:
            if is_database_trouble(error):
                raise
            log.exception("saved search could not be evaluated", search_id=search.id)
            reason, due_at = UNEXPECTED, now + AGAIN_AFTER
        else:
            log.info("saved search evaluated", search_id=search.id, entity=search.entity, found=found)
            return
        log.warning("saved search not evaluated", search_id=search.id, reason=reason)
        async with self._engine.begin() as db:
            await db.execute(_FAILED, {**values, "reason": reason, "due_at": due_at})

    async def _deliver(self, search_id: int, name: str, now: datetime) -> None:
        """Send one channel all that it has not had, and record it."""
        async with self._engine.connect() as db:
            search = (await db.execute(_LOAD, {"id": search_id})).one_or_none()  # a recipient may have unsubscribed
        delivery = None if search is None else deliveries_of(search).get(name)
        if search is None or delivery is None or delivery.batch >= search.batch:
            return
        channel = channel_for(self._notifier, name, search.email)
        if channel is None:
            return  # the setting is gone; what is due waits for it
        try:
            is_sent = await self._send(channel, search, delivery)
        except Exception as error:  # it must not hold up other searches
            if is_database_trouble(error):
                raise
            is_known = isinstance(error, DeliveryError | TooBroadError | TooSlowError | RequestValidationError)
            reason = UNEXPECTED
            if isinstance(error, RequestValidationError):
                reason = UNKNOWN
            elif is_known:
                reason = str(error)
            self._metrics.saved_search_sent(name, delivered=False)
            log.warning(
                "saved search not delivered", search_id=search_id, channel=name, reason=reason, exc_info=not is_known
            )
            state = delivery.failed(now, reason)
        else:
            if is_sent:
                self._metrics.saved_search_sent(name, delivered=True)
                log.info("saved search delivered", search_id=search_id, channel=name, batch=search.batch)
            state = Delivery(search.batch, now if is_sent else delivery.sent_at)
        values = {"id": search_id, "generation": search.generation, "delivery": {name: state.to_json()}}
        await in_transaction(self._engine, lambda db: db.execute(_NOTE, values))

    async def _send(self, channel: Channel, search: Row[Any], delivery: Delivery) -> bool:
        """Send what is new to a channel; `False` where all of it has gone again."""
        saved = Saved.of(search, await self._connections.load())
        async with self._engine.connect() as db:
            await db.execution_options(isolation_level="AUTOCOMMIT")
            asked = {"id": saved.id, "generation": saved.generation, "batch": delivery.batch}
            number = int((await db.execute(_COUNT, asked)).scalar_one())
            if not number:
                return False
            found = await load_found(db, self._mirrors, saved, matches.noted_after(saved, delivery.batch))
        found = replace(found, total=Total(number, "exato"))
        token = None
        if channel.name == "email":
            token = secrets.token_urlsafe(32)
            link = {"id": saved.id, "token_sha256": digest_of(token)}
            await in_transaction(self._engine, lambda db: db.execute(_ADD_LINK, link))
        message = compose(
            search, shown(saved.question), found, number=search.batch, public_url=self._notifier.public_url, token=token
        )
        await channel.send(message)
        return True


async def _note_matches(db: AsyncConnection, search: Row[Any], saved: Saved, now: datetime, due_at: datetime) -> int:
    reported = max((each.batch for each in deliveries_of(search).values()), default=0)
    batch = search.batch + 1
    found = await matches.evaluate(db, saved, batch=batch, reported=reported, now=now)
    values = {"id": saved.id, "generation": saved.generation, "before": search.batch, "now": now, "due_at": due_at}
    seen_after = None if saved.seen_after is None else now - matches.KEPT
    values |= {"batch": batch if found else search.batch, "seen_after": seen_after}
    if (await db.execute(_EVALUATED, values)).one_or_none() is None:
        raise _ChangedError
    return found


async def _forget(db: AsyncConnection, now: datetime) -> None:
    await matches.forget(db, now)
    await db.execute(_FORGET_LINKS, {"before": now - LINKS_KEPT})


def channel_for(notifier: Notifier, name: str, email: str | None) -> Channel | None:
    """The configured channel of a name, of e-mail to this address; an e-mail needs a link to unsubscribe by."""
    channel = next((each for each in notifier.channels if each.name == name), None)
    if isinstance(channel, Email):
        return None if email is None or notifier.public_url is None else replace(channel, recipients=(email,))
    return channel


def shown(question: Question) -> Question:
    """The question with the fields that a message has room for."""
    return for_format(question, "atom", names_fields=False)


async def load_found(db: AsyncConnection, mirrors: Mirrors, saved: Saved, question: Question) -> Found:
    """The newest records of a question about a search, without their total, and the mirror's completeness.

    Raises:
        TooBroadError, TooSlowError: it takes too long.

    """
    wanted = replace(for_feed(shown(question)), limit=MOST_SHOWN)
    page = await load_page(await raw_driver_of(db), wanted)
    return Found(page.total, page.rows, await mirrors.load(db, saved.question))


def digest_of(token: str) -> bytes:
    """What is kept of the token of a link."""
    return hashlib.sha256(token.encode()).digest()
