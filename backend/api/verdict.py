"""The verdict, and what administrators do about its troubles."""

from typing import Annotated

from fastapi import APIRouter, Path

from backend.access import changes, reads
from backend.dependencies import AppState, CurrentUser, RequestLanguage
from backend.errors import BUSY_RESPONSE, CONFLICT_RESPONSE, NOT_FOUND_RESPONSE
from backend.models.verdict import RetriedFailed, RetryFailedRequest, SyncVerdict
from backend.security import name_of
from backend.services.control import retry_failed
from backend.services.verdict.acknowledging import acknowledge, forget
from backend.services.verdict.wording import word

router = APIRouter(prefix="/sync", tags=["verdict"])

TroubleId = Annotated[str, Path(max_length=100, description="o `id` de um problema do veredito")]


@router.get("/verdict", summary="O veredito: em dia, completo, são")
@reads
async def get_verdict(state: AppState, language: RequestLanguage) -> SyncVerdict:
    """O que um administrador deve saber primeiro, com o que fazer; as frases no idioma de `Accept-Language`.

    Responde também sem o banco de dados: então isso é o veredito. O painel, as métricas (`pncp_verdict`) e os e-mails
    dizem o mesmo.
    """
    return word(await state["dashboard"].verdict(), language)


@router.post(
    "/troubles/{trouble_id}/acknowledge",
    summary="Dá um problema por visto",
    responses={**NOT_FOUND_RESPONSE, **CONFLICT_RESPONSE},
)
@changes
async def acknowledge_trouble(
    trouble_id: TroubleId, state: AppState, user: CurrentUser, language: RequestLanguage
) -> SyncVerdict:
    """Ele deixa de contar no estado até que mude; os fatos de atualidade e de completude não mudam por isso."""
    verdict = await state["dashboard"].verdict()
    await acknowledge(state["engine"], verdict, trouble_id, name_of(user))
    state["dashboard"].forget()
    return word(await state["dashboard"].verdict(), language)


@router.delete("/troubles/{trouble_id}/acknowledge", summary="Volta a contar um problema", responses=NOT_FOUND_RESPONSE)
@changes
async def unacknowledge_trouble(
    trouble_id: TroubleId, state: AppState, user: CurrentUser, language: RequestLanguage
) -> SyncVerdict:
    """O que foi dado por visto conta de novo."""
    await forget(state["engine"], trouble_id, name_of(user))
    state["dashboard"].forget()
    return word(await state["dashboard"].verdict(), language)


@router.post("/retry-failed", summary="Repete tudo o que falhou", responses={**CONFLICT_RESPONSE, **BUSY_RESPONSE})
@changes
async def repeat_failed(state: AppState, user: CurrentUser, request: RetryFailedRequest | None = None) -> RetriedFailed:
    """Uma execução nova de cada uma que falhou e não foi suprida, com as suas fatias com erro, e só elas."""
    return await retry_failed(
        state["engine"],
        None if request is None else request.execution_ids,
        user.name if user else None,
        at_most=state["max_unfinished"],
    )
