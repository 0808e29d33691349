"""Saved searches, and the links in their messages by which recipients unsubscribe."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import HTMLResponse

from backend.access import asks, reads
from backend.dependencies import AppState, CurrentUser, EachParameterOnce
from backend.errors import CONFLICT_RESPONSE, NOT_FOUND_RESPONSE
from backend.models.saved_searches import (
    SavedSearch,
    SavedSearchChange,
    SavedSearches,
    SavedSearchesQuery,
    SavedSearchPreview,
    SavedSearchRequest,
)
from backend.openapi import with_headers
from backend.services.saved_searches import saved
from backend.services.saved_searches.texts import unsubscribe_page

router = APIRouter(prefix="/buscas", tags=["buscas salvas"])

SearchId = Annotated[int, Path(ge=1, le=2**63 - 1, description="o `id` da resposta de `POST /buscas`")]
Token = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{43}$", description="o do endereço numa mensagem")]


@router.post(
    "",
    operation_id="create_search",
    status_code=201,
    summary="Salva uma busca",
    responses={201: with_headers("Location"), **CONFLICT_RESPONSE},
)
@asks
async def save(body: SavedSearchRequest, response: Response, state: AppState, user: CurrentUser) -> SavedSearch:
    """Uma vez por dia, na hora pedida, uma mensagem diz que registros novos há; sem nenhum, não sai mensagem.

    O que já corresponde agora não é novo. Cada registro é dito uma vez só, mesmo que mude depois. Os filtros são os da
    lista. Sem `email` e sem `webhook`, a busca fica salva, e `/buscas/{id}/previa` diz o que há de novo.
    """
    found = await saved.save_search(state["engine"], state["reading"], state["searches"], body, user)
    response.headers["Location"] = f"/buscas/{found.id}"
    return found


@router.get(
    "",
    operation_id="list_searches",
    summary="Buscas salvas, da mais nova para a mais antiga",
    dependencies=[EachParameterOnce],
)
@reads
async def get_searches(
    query: Annotated[SavedSearchesQuery, Query()], state: AppState, user: CurrentUser
) -> SavedSearches:
    """As próprias; um administrador vê as de todos."""
    return await saved.list_searches(state["reading"], query, user)


@router.get("/{search_id}", summary="Uma busca salva", responses=NOT_FOUND_RESPONSE)
@reads
async def get_search(search_id: SearchId, state: AppState, user: CurrentUser) -> SavedSearch:
    """Com os endereços da lista e do feed, e como vão as mensagens."""
    return await saved.load_search(state["reading"], search_id, user)


@router.patch(
    "/{search_id}",
    operation_id="change_search",
    summary="Muda uma busca salva",
    responses={**NOT_FOUND_RESPONSE, **CONFLICT_RESPONSE},
)
@asks
async def change(search_id: SearchId, body: SavedSearchChange, state: AppState, user: CurrentUser) -> SavedSearch:
    """O que falta no pedido fica como está; a lista não muda. 409 se um destinatário a cancelou."""
    return await saved.change_search(
        state["engine"], state["reading"], state["searches"], body, search_id=search_id, user=user
    )


@router.delete(
    "/{search_id}",
    operation_id="delete_search",
    status_code=204,
    summary="Apaga uma busca salva",
    responses=NOT_FOUND_RESPONSE,
)
@asks
async def delete(search_id: SearchId, state: AppState, user: CurrentUser) -> None:
    """Depois não sai mais mensagem nenhuma."""
    await saved.delete_search(state["engine"], search_id, user)


@router.get(
    "/{search_id}/previa",
    operation_id="preview_search",
    summary="O que a próxima mensagem diria agora",
    responses={**NOT_FOUND_RESPONSE, **CONFLICT_RESPONSE},
)
@reads
async def get_preview(search_id: SearchId, state: AppState, user: CurrentUser) -> SavedSearchPreview:
    """Os CPFs vão mascarados, como nas mensagens. Ver a prévia não muda o que é novo."""
    return await saved.preview(state["reading"], state["mirrors"], state["searches"], search_id, user)


@router.get(
    "/cancelar/{token}",
    operation_id="get_unsubscribe_page",
    summary="A página que pergunta se as mensagens devem parar",
    response_class=HTMLResponse,
    responses=NOT_FOUND_RESPONSE,
)
async def ask_to_unsubscribe(token: Token, state: AppState) -> HTMLResponse:
    """Nada muda: programas de correio abrem os endereços de uma mensagem sozinhos."""
    link = await saved.find_link(state["engine"], token)
    return HTMLResponse(unsubscribe_page(link.name, is_cancelled=link.is_cancelled))


@router.post(
    "/cancelar/{token}",
    operation_id="unsubscribe_search",
    summary="Cancela as mensagens de uma busca",
    response_class=HTMLResponse,
    responses=NOT_FOUND_RESPONSE,
)
async def unsubscribe(token: Token, state: AppState) -> HTMLResponse:
    """O cancelamento com um clique da RFC 8058, sem autenticação; repetido, responde o mesmo."""
    await saved.unsubscribe(state["engine"], token)
    return HTMLResponse(unsubscribe_page(None, is_cancelled=True))
