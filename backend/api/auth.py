"""Access tokens, in place of Basic credentials on each request."""

from typing import Annotated

from fastapi import APIRouter, Form

from backend.access import reads
from backend.dependencies import AppState, CurrentUser, Peer
from backend.errors import LIMIT_RESPONSE, NOT_FOUND_RESPONSE, UNAUTHORIZED_RESPONSE, NotFoundError
from backend.models.auth import TokenRequest, TokenResponse, WhoAmI

router = APIRouter(prefix="/auth", tags=["auth"])

RESPONSES = {**UNAUTHORIZED_RESPONSE, **NOT_FOUND_RESPONSE, **LIMIT_RESPONSE}


@router.post("/token", operation_id="create_token", summary="Troca usuário e senha por um token", responses=RESPONSES)
async def make_token(form: Annotated[TokenRequest, Form()], state: AppState, peer: Peer) -> TokenResponse:
    """O token vale alguns minutos, e deixa de valer quando a senha muda. 404 onde não há autenticação."""
    security = state["security"]
    if security is None:
        raise NotFoundError("no_authentication")
    token, seconds = await security.make_token(
        form.username.encode("utf-8", "replace"), form.password.encode("utf-8", "replace"), peer
    )
    return TokenResponse(access_token=token, expires_in=seconds)


@router.get("/me", operation_id="get_current_user", summary="Quem pergunta")
@reads
async def who_am_i(state: AppState, user: CurrentUser) -> WhoAmI:
    """O usuário das credenciais e o seu papel; sem autenticação, todos são administradores."""
    return WhoAmI(
        authentication=state["security"] is not None,
        username=user.name if user else None,
        role=user.role if user else "admin",
    )
