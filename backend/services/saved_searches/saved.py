"""Saved searches as their users see them: saved, listed, changed, previewed, deleted, and cancelled by a recipient."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Row, bindparam, delete, select, text, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from backend.errors import ConflictError, NotFoundError
from backend.models.saved_searches import (
    SavedSearch,
    SavedSearchChange,
    SavedSearchChannel,
    SavedSearches,
    SavedSearchesQuery,
    SavedSearchPreview,
    SavedSearchRecord,
    SavedSearchRequest,
)
from backend.security import User, name_of, sees_personal_data
from backend.services.alerts.episodes import Notifier
from backend.services.deliveries.files import ConnectionFiles
from backend.services.entities.mirror import Mirrors
from backend.services.entities.rows import load_total
from backend.services.reading import ReadConnections
from backend.services.saved_searches import matches
from backend.services.saved_searches.delivery import (
    Delivery,
    channel_for,
    deliveries_of,
    digest_of,
    load_found,
    next_due,
    shown,
)
from backend.services.saved_searches.matches import Saved, to_question
from backend.services.saved_searches.texts import compose, list_path
from common.database import in_transaction, raw_driver_of
from common.tables import buscas

log = structlog.get_logger(__name__)

ADMISSION = 7_020_114_151
"""The advisory lock under which a user's searches are counted and a new one is added."""

_NOW = text("SELECT now()")
_TAKE_ADMISSION = text("SELECT pg_advisory_xact_lock(:key)")
_COUNT = text("SELECT count(*) FROM buscas WHERE requested_by IS NOT DISTINCT FROM :requested_by")
_ADD = text("""
    INSERT INTO buscas (name, entity, filters, email, webhook, hour, requested_by, seen_after, due_at)
    VALUES (:name, :entity, :filters, :email, :webhook, :hour, :requested_by, :seen_after, :due_at) RETURNING id
""").bindparams(bindparam("filters", type_=JSONB))
_FIND_LINK = text("""
    SELECT l.search_id, b.name, b.cancelled_at
      FROM buscas_cancelamentos l LEFT JOIN buscas b ON b.id = l.search_id WHERE l.token_sha256 = :token_sha256
""")
_CANCEL = text("UPDATE buscas SET cancelled_at = now() WHERE id = :id AND cancelled_at IS NULL RETURNING id")


@dataclass(frozen=True)
class SearchSettings:
    """How many searches a user may save, by which channels messages can go, and where declared lists stand."""

    per_user: int
    notifier: Notifier
    connections: ConnectionFiles


async def save_search(
    engine: AsyncEngine, reading: ReadConnections, settings: SearchSettings, body: SavedSearchRequest, user: User | None
) -> SavedSearch:
    """Save a search; what matches it now is not new.

    Raises:
        RequestValidationError: the list does not take these filters.
        ConflictError: the user has too many searches, or a channel is not configured.
        TooBroadError, TooSlowError: the list of these filters takes too long.

    """
    question = to_question(await settings.connections.load(), body.entidade, body.filtros)
    _check_channels(settings.notifier, email=body.email, webhook=body.webhook)
    requested_by = user.name if user else None

    async def add(db: AsyncConnection) -> int:
        await db.execute(_TAKE_ADMISSION, {"key": ADMISSION})
        count: int = (await db.execute(_COUNT, {"requested_by": requested_by})).scalar_one()
        if count >= settings.per_user:
            raise ConflictError(f"Já há {count} buscas suas salvas, e o limite é {settings.per_user}: apague uma.")
        now: datetime = (await db.execute(_NOW)).scalar_one()
        seen_after = now - matches.LATE if await matches.is_broad(db, question) else None
        values = {
            "name": body.nome,
            "entity": body.entidade,
            "filters": body.filtros,
            "email": body.email,
            "webhook": body.webhook,
            "hour": body.hora,
            "requested_by": requested_by,
            "seen_after": seen_after,
            "due_at": next_due(body.hora, now, None),
        }
        search_id = int((await db.execute(_ADD, values)).scalar_one())
        await matches.begin(db, Saved(search_id, 0, question, seen_after))
        return search_id

    search_id = await in_transaction(engine, add)
    log.info("search saved", search_id=search_id, entity=body.entidade, user=name_of(user))
    return await load_search(reading, search_id, user)


def _check_channels(notifier: Notifier, *, email: str | None, webhook: bool) -> None:
    """Refuse channels that are not configured."""
    if email is not None and channel_for(notifier, "email", email) is None:
        raise ConflictError(
            "Este servidor não envia e-mails de buscas: faltam SMTP_HOST, ALERT_EMAIL_FROM e ALERT_EMAIL_TO, ou"
            " PUBLIC_URL, para o endereço que cancela as mensagens."
        )
    if webhook and channel_for(notifier, "webhook", None) is None:
        raise ConflictError("Nenhum webhook está configurado: defina ALERT_WEBHOOK_URL.")


async def list_searches(reading: ReadConnections, query: SavedSearchesQuery, user: User | None) -> SavedSearches:
    """The user's searches, those of all users for an administrator."""
    statement = select(buscas).order_by(buscas.c.id.desc()).limit(query.limite + 1)
    if not sees_personal_data(user):
        statement = statement.where(buscas.c.requested_by == (user.name if user else None))
    if query.cursor is not None:
        statement = statement.where(buscas.c.id < query.cursor)
    async with reading.connect() as db:
        rows = (await db.execute(statement)).all()
    found = [_to_model(row) for row in rows[: query.limite]]
    return SavedSearches(buscas=found, proximo=str(found[-1].id) if len(rows) > query.limite else None)


async def load_search(reading: ReadConnections, search_id: int, user: User | None) -> SavedSearch:
    """A search that the user may see.

    Raises:
        NotFoundError: there is none.

    """
    async with reading.connect() as db:
        return _to_model(await _load(db, search_id, user))


async def _load(db: AsyncConnection, search_id: int, user: User | None, *, is_locked: bool = False) -> Row[Any]:
    statement = select(buscas).where(buscas.c.id == search_id)
    if is_locked:
        statement = statement.with_for_update(key_share=True)
    row = (await db.execute(statement)).one_or_none()
    if row is None or not (sees_personal_data(user) or (user is not None and row.requested_by == user.name)):
        raise NotFoundError(f"Não existe a busca {search_id}.")
    return row


async def change_search(
    engine: AsyncEngine,
    reading: ReadConnections,
    settings: SearchSettings,
    body: SavedSearchChange,
    *,
    search_id: int,
    user: User | None,
) -> SavedSearch:
    """Change a search. Other filters begin anew; a channel that is added begins with what is found from then on.

    Raises:
        NotFoundError: there is none that the user may change.
        RequestValidationError, TooBroadError, TooSlowError, ConflictError: as `save_search`; also if it was cancelled.

    """
    given = body.model_dump(exclude_unset=True)
    _check_channels(settings.notifier, email=given.get("email"), webhook=given.get("webhook", False))

    known = await settings.connections.load()

    async def change(db: AsyncConnection) -> None:
        row = await _load(db, search_id, user, is_locked=True)
        if row.cancelled_at is not None:
            raise ConflictError("Um destinatário cancelou esta busca, e ela não muda mais: salve outra.")
        now: datetime = (await db.execute(_NOW)).scalar_one()
        names = {"nome": "name", "filtros": "filters", "email": "email", "webhook": "webhook", "hora": "hour"}
        values: dict[str, Any] = {names[name]: value for name, value in given.items()}
        deliveries = _deliveries_after(row, values)
        saved = None
        if "filters" in values and values["filters"] != row.filters:
            question = to_question(known, row.entity, values["filters"])
            seen_after = now - matches.LATE if await matches.is_broad(db, question) else None
            saved = Saved(search_id, row.generation + 1, question, seen_after)
            deliveries = {name: replace(each, batch=0) for name, each in deliveries.items()}
            values |= {"generation": saved.generation, "batch": 0, "seen_after": seen_after, "error_message": None}
        if "hour" in values:
            values["due_at"] = next_due(values["hour"], now, row.evaluated_at)
        values |= {"deliveries": {name: each.to_json() for name, each in deliveries.items()}, "updated_at": now}
        await db.execute(update(buscas).where(buscas.c.id == search_id).values(values))
        if saved is not None:
            await matches.begin(db, saved)

    await in_transaction(engine, change)
    log.info("saved search changed", search_id=search_id, user=name_of(user), changed=sorted(given))
    return await load_search(reading, search_id, user)


def _deliveries_after(row: Row[Any], values: Mapping[str, Any]) -> dict[str, Delivery]:
    """What each channel has accepted once the channels have changed; a new address has no failures."""
    before = deliveries_of(row)
    wanted = {"email": values.get("email", row.email) is not None, "webhook": values.get("webhook", row.webhook)}
    after = {}
    for name, is_wanted in wanted.items():
        if is_wanted:
            # without any channel nothing is evaluated, so that the first one begins where the search did
            after[name] = before.get(name) or Delivery(row.batch)
    if "email" in after and values.get("email", row.email) != row.email:
        after["email"] = replace(after["email"], failures=0, retry_at=None, error=None)
    return after


async def delete_search(engine: AsyncEngine, search_id: int, user: User | None) -> None:
    """Delete a search; what it has matched is forgotten later.

    Raises:
        NotFoundError: there is none that the user may delete.

    """

    async def end(db: AsyncConnection) -> None:
        await _load(db, search_id, user)
        await db.execute(delete(buscas).where(buscas.c.id == search_id))

    await in_transaction(engine, end)
    log.info("saved search deleted", search_id=search_id, user=name_of(user))


async def preview(
    reading: ReadConnections, mirrors: Mirrors, settings: SearchSettings, search_id: int, user: User | None
) -> SavedSearchPreview:
    """What the next message would say now; nothing counts as reported by it.

    Raises:
        NotFoundError: there is none that the user may see.
        ConflictError: a recipient has cancelled it.
        TooBroadError, TooSlowError: it takes too long.

    """
    known = await settings.connections.load()
    async with reading.connect() as db:
        row = await _load(db, search_id, user)
        if row.cancelled_at is not None:
            raise ConflictError("Um destinatário cancelou esta busca: não sai mais mensagem nenhuma.")
        saved = Saved.of(row, known)
        reported = min((each.batch for each in deliveries_of(row).values()), default=row.batch)
        question = matches.not_reported(saved, reported)
        found = await load_found(db, mirrors, saved, question)
        if found.total.number is None:
            total = await load_total(await raw_driver_of(db), replace(question, counting="exata"))
            found = replace(found, total=total)
    message = compose(row, shown(saved.question), found, number=row.batch + 1, public_url=settings.notifier.public_url)
    return SavedSearchPreview(
        total=found.total.number or 0,
        total_tipo=found.total.kind,
        registros=[SavedSearchRecord(**each) for each in message.payload["registros"]],
        assunto=message.subject,
        texto=message.text,
        lista=list_path(row.entity, row.filters),
        espelho=found.mirror.to_json(),
    )


# --- recipients -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Link:
    """A link to unsubscribe: the name of its search, null where there is none any more."""

    search_id: int
    name: str | None
    is_cancelled: bool


async def find_link(engine: AsyncEngine, token: str) -> Link:
    """What a link is about.

    Raises:
        NotFoundError: no message has it.

    """
    async with engine.connect() as db:
        row = (await db.execute(_FIND_LINK, {"token_sha256": digest_of(token)})).one_or_none()
    if row is None:
        raise NotFoundError("Este endereço não cancela nenhuma busca: abra o da mensagem mais nova.")
    return Link(row.search_id, row.name, row.cancelled_at is not None)


async def unsubscribe(engine: AsyncEngine, token: str) -> None:
    """Cancel a search for good, for its recipient; that it is cancelled or deleted already is no error.

    Raises:
        NotFoundError: no message has this link.

    """
    link = await find_link(engine, token)
    cancelled = await in_transaction(engine, lambda db: _cancel(db, link.search_id))
    if cancelled:
        log.info("saved search cancelled by a recipient", search_id=link.search_id)


async def _cancel(db: AsyncConnection, search_id: int) -> bool:
    return (await db.execute(_CANCEL, {"id": search_id})).one_or_none() is not None


def _to_model(row: Row[Any]) -> SavedSearch:
    deliveries = deliveries_of(row)
    filters: Mapping[str, Sequence[str]] = row.filters
    is_due = bool(deliveries) and row.cancelled_at is None
    return SavedSearch(
        id=row.id,
        nome=row.name,
        entidade=row.entity,
        filtros=row.filters,
        email=row.email,
        webhook=row.webhook,
        hora=row.hour,
        solicitante=row.requested_by,
        lista=list_path(row.entity, filters),
        atom=list_path(row.entity, filters, ".atom"),
        vistos_desde=row.seen_after,
        criada_em=row.created_at,
        alterada_em=row.updated_at,
        procurada_em=row.evaluated_at,
        procura_em=row.due_at if is_due else None,
        erro=row.error_message,
        canais=[
            SavedSearchChannel(canal=name, enviada_em=each.sent_at, erro=each.error, tenta_em=each.retry_at)
            for name, each in deliveries.items()
        ],
        cancelada_em=row.cancelled_at,
    )
