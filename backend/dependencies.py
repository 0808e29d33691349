"""The dependencies of endpoints; the only file that uses `Depends`.

All of them are `async`: FastAPI runs others in a thread, which costs more than most answers.
"""

from collections.abc import AsyncIterator
from typing import Annotated, TypedDict, cast

from fastapi import Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from sqlalchemy.ext.asyncio import AsyncEngine

from backend.language.translator import Language, language_of_request
from backend.metrics import Metrics
from backend.middleware import address_of, peer_of
from backend.models.about import About
from backend.security import Security, User
from backend.services.alerts.episodes import Notifier
from backend.services.dashboard import Dashboard
from backend.services.deliveries.files import ConnectionFiles
from backend.services.entities.mirror import Mirrors
from backend.services.exports.running import Exports
from backend.services.exports.serving import FileMaker
from backend.services.exports.yearly import YearFiles
from backend.services.figures import FiguresReader
from backend.services.ocds.package import Publisher
from backend.services.publisher import RabbitMQPublisher
from backend.services.reading import ReadConnections
from backend.services.saved_searches.saved import SearchSettings
from backend.services.status import SyncStatusService
from common.config import ListSettings, ScheduleSettings


class State(TypedDict):
    """What the lifespan opens and closes."""

    engine: AsyncEngine
    reading: ReadConnections
    publisher: RabbitMQPublisher | None
    intake_publisher: RabbitMQPublisher | None
    schedule: ScheduleSettings
    lists: ListSettings
    connections: ConnectionFiles
    lists_asked_at_once: int
    mirrors: Mirrors
    files: FileMaker
    exports: Exports
    yearly: YearFiles
    ocds: Publisher | None
    max_unfinished: int
    dashboard: Dashboard
    security: Security | None
    notifier: Notifier
    searches: SearchSettings
    metrics: Metrics
    figures: FiguresReader
    about: About


async def _state(request: Request) -> State:
    return cast("State", request.state._state)  # noqa: SLF001  # Starlette keeps the lifespan's dictionary there


async def _status_service(state: Annotated[State, Depends(_state)]) -> AsyncIterator[SyncStatusService]:
    """A service on one read connection. Nothing is written through it, so there is nothing to commit."""
    async with state["reading"].connect() as db:
        yield SyncStatusService(db)


async def _each_once(request: Request) -> None:
    """Refuse a query parameter that is given twice."""
    names = [name for name, _ in request.query_params.multi_items()]
    for name in names:
        if names.count(name) > 1:
            fault = {"type": "repeated", "loc": ("query", name), "msg": "foi informado mais de uma vez"}
            raise RequestValidationError([fault])


async def _user(request: Request) -> User | None:
    """The authenticated user; `None` without authentication."""
    return cast("User | None", request.state.user)


async def _peer(request: Request) -> str:
    return peer_of(request.scope)


async def _address(request: Request) -> str:
    return address_of(request.scope)


async def _language(response: Response) -> Language:
    """The language of the answer, which says so."""
    language = language_of_request.get()
    response.headers["Content-Language"] = language
    response.headers["Vary"] = "Accept-Language"
    return language


AppState = Annotated[State, Depends(_state)]
Status = Annotated[SyncStatusService, Depends(_status_service, scope="function")]
CurrentUser = Annotated[User | None, Depends(_user)]
Peer = Annotated[str, Depends(_peer)]
"""What requests are counted by: an address, or a network of IPv6."""
Address = Annotated[str, Depends(_address)]
"""From where a request comes."""
RequestLanguage = Annotated[Language, Depends(_language)]
EachParameterOnce = Depends(_each_once)
