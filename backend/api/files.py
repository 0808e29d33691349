"""The same lists as files: `/{entity}.csv` and the like, and as Atom feeds."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from urllib.parse import urlencode

import structlog
from fastapi import APIRouter, Request, Response
from starlette.types import Message, Receive, Scope, Send

from backend.access import reads_list
from backend.api.entities import Endpoint, answer
from backend.dependencies import AppState, CurrentUser, State
from backend.errors import NO_PARQUET_RESPONSE, NO_ROOM_RESPONSE
from backend.openapi import with_headers
from backend.security import User, sees_personal_data
from backend.services.entities.documentation import own_parameters, parameters
from backend.services.entities.mirror import Mirror
from backend.services.entities.question import PAGING, Question, parse_question, refuse
from backend.services.entities.rows import load_page
from backend.services.exports.about import file_name, for_format, to_ascii
from backend.services.exports.atom import MOST_ENTRIES, for_feed, to_feed
from backend.services.exports.formats import EXCEL, FORMATS, MOST_PDF_ROWS, Format
from backend.services.exports.serving import MOST_ROWS, ServedFile
from backend.services.exports.tables import grouped
from common.clock import BRASILIA
from common.database import raw_driver_of
from common.entities.entity import ENTITIES, Entity

log = structlog.get_logger(__name__)

router = APIRouter(tags=["dados"])
Suffix = Literal["csv", "xlsx", "parquet", "ndjson", "pdf", "atom"]
ATOM = "application/atom+xml"
HEADERS = ("Content-Disposition", "X-Total-Registros", "X-Espelho")
"""What says what is in a file, beside the file."""
PART_SECONDS = 30.0
"""A client that takes no part for so long is hung up on."""
SEND_SECONDS = 900.0
"""And one that takes so long for the whole."""


def _file_of(entity: Entity) -> Endpoint:
    @reads_list(entity.address)
    async def download(request: Request, state: AppState, user: CurrentUser, formato: Suffix) -> Response:
        return await give_file(entity, request, state, user, formato)

    return download


async def give_file(entity: Entity, request: Request, state: State, user: User | None, suffix: Suffix) -> Response:
    """A file with the rows that a request asks for."""
    given = request.query_params.multi_items()
    named = {name for name, _ in given}
    for_excel = _is_for_excel(request, suffix)
    filters = [(name, value) for name, value in given if name != EXCEL]
    question = parse_question(entity, filters, may_see_all=sees_personal_data(user), has_pages=False)
    question = for_format(question, suffix, names_fields="campos" in named)
    if suffix == "atom":
        return await _feed(request, state, question)
    async with state["reading"].connect() as db:
        mirror = await state["mirrors"].load(db, question)
    return _Download(state, _Wanted(question, FORMATS[suffix], mirror, for_excel))


def _is_for_excel(request: Request, formato: Suffix) -> bool:
    values = request.query_params.getlist(EXCEL)
    if values and formato != "csv":
        refuse(EXCEL, "só vale para .csv")
    if any(value not in ("0", "1") for value in values) or len(values) > 1:
        refuse(EXCEL, "deve ser 0 ou 1")
    return values == ["1"]


async def _feed(request: Request, state: State, question: Question) -> Response:
    async with state["reading"].connect() as db:
        page = await load_page(await raw_driver_of(db), for_feed(question))
        mirror = await state["mirrors"].load(db, question)
    query = urlencode(request.query_params.multi_items())
    address = f"{request.url.path}?{query}" if query else request.url.path
    body = to_feed(question, page.rows, mirror, shown=question.fields, address=address)
    return answer(request, body, {}, may_be_kept=not question.sees_all, media_type=ATOM)


@dataclass(frozen=True)
class _Wanted:
    question: Question
    form: Format
    mirror: Mirror
    for_excel: bool


class _Download(Response):
    """Makes a file and sends it, while the client is there."""

    def __init__(self, state: State, wanted: _Wanted) -> None:
        super().__init__()
        self._state = state
        self._wanted = wanted
        self._is_sent = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stop the making as soon as the client has gone."""
        work = asyncio.create_task(self._make(send))
        gone = asyncio.create_task(_disconnect(receive))
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            if work.done() or self._is_sent:
                await work
            else:
                log.info("the client of a file has gone", path=scope["path"])
        finally:
            gone.cancel()
            work.cancel()
            await asyncio.wait({work, gone})

    async def _make(self, send: Send) -> None:
        wanted = self._wanted
        maker = self._state["files"]
        async with maker.open(wanted.question, wanted.form, wanted.mirror, for_excel=wanted.for_excel) as made:
            headers = self._head_of(made)
            pairs = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
            try:
                async with asyncio.timeout(SEND_SECONDS):
                    await _send(send, {"type": "http.response.start", "status": 200, "headers": pairs})
                    async for part in made.parts():
                        await _send(send, {"type": "http.response.body", "body": part, "more_body": True})
                    self._is_sent = True  # what follows looks as if the client had gone
                    await _send(send, {"type": "http.response.body", "body": b""})
            # the answer stays without its end, so that the client does not take it for whole
            except TimeoutError:
                log.warning("a file was taken too slowly", entity=wanted.question.entity.name, format=wanted.form.name)
            except Exception:
                log.exception("a file ended early", entity=wanted.question.entity.name, format=wanted.form.name)

    def _head_of(self, made: ServedFile) -> Mapping[str, str]:
        wanted = self._wanted
        name = file_name(wanted.question, wanted.form.name, datetime.now(BRASILIA))
        return {
            "Content-Type": wanted.form.media_type,
            "Content-Disposition": f'attachment; filename="{name}"',
            "X-Total-Registros": str(made.rows),
            "X-Espelho": to_ascii(wanted.mirror.to_sentence()),
            **({} if made.size is None else {"Content-Length": str(made.size)}),
        }


async def _send(send: Send, message: Message) -> None:
    async with asyncio.timeout(PART_SECONDS):
        await send(message)


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


_BINARY: Mapping[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_TEXT: Mapping[str, Any] = {"schema": {"type": "string"}}


def document_file(entity: Entity) -> dict[str, Any]:
    """The arguments of the route that describe it."""
    described = describe_files(entity.label)
    known = [*parameters(entity, has_pages=False), *own_parameters(entity, without=PAGING)]
    return {**described, "openapi_extra": {"parameters": [*known, EXCEL_PARAMETER]}}


EXCEL_PARAMETER = {
    "name": EXCEL,
    "in": "query",
    "description": "`1`: CSV para o Excel no Brasil, com `;`, vírgula decimal e BOM; só para `.csv`",
    "schema": {"type": "string", "enum": ["0", "1"], "default": "0"},
}


def describe_files(label: str) -> dict[str, Any]:
    """What the document says of the files of a list, but for its parameters."""
    content = {
        each.media_type.partition(";")[0]: _TEXT if "text" in each.media_type or each.name == "ndjson" else _BINARY
        for each in FORMATS.values()
    }
    return {
        "description": f"{label}, em um arquivo com os mesmos filtros da lista. Sem `campos`, com todos os"
        f" campos que não são JSON; PDF, com os que cabem em uma página. Até {grouped(MOST_ROWS)} registros, e PDF até"
        f" {grouped(MOST_PDF_ROWS)}; acima disso, 422 diz quantos são. `.atom` traz os {MOST_ENTRIES} mais novos.",
        "responses": {
            200: {
                "description": "O arquivo",
                "content": {**content, ATOM: _TEXT},
                **with_headers(*HEADERS),
            },
            **NO_PARQUET_RESPONSE,
            **NO_ROOM_RESPONSE,
        },
    }


for _entity in ENTITIES:
    router.add_api_route(
        f"/{_entity.address}.{{formato}}",
        _file_of(_entity),
        methods=["GET"],
        operation_id=f"download_{_entity.name}",
        summary=f"{_entity.label}: arquivo",
        **document_file(_entity),
    )
