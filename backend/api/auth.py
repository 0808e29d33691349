"""Access tokens, in place of Basic credentials on each request."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.exceptions import RequestValidationError

from backend.access import reads
from backend.dependencies import Address, AppState, CurrentUser, Peer
from backend.errors import LIMIT_RESPONSE, NOT_FOUND_RESPONSE, UNAUTHORIZED_RESPONSE, NotFoundError, TokenError
from backend.models.auth import TokenRequest, TokenResponse, WhoAmI
from backend.security import IssuedToken, Security, basic_credentials
from common.connections.scopes import ADMIN

router = APIRouter(prefix="/auth", tags=["auth"])

RESPONSES = {**UNAUTHORIZED_RESPONSE, **NOT_FOUND_RESPONSE, **LIMIT_RESPONSE}


@router.post(
    "/token",
    operation_id="create_token",
    summary="Troca usuário e senha, ou cliente e segredo, por um token",
    responses=RESPONSES,
)
async def make_token(
    form: Annotated[TokenRequest, Form()], request: Request, state: AppState, peer: Peer, address: Address
) -> TokenResponse:
    """O token vale alguns minutos, e deixa de valer quando a senha ou o segredo muda. 404 onde não há autenticação.

    Um cliente se identifica no formulário ou no cabeçalho (Basic). Os erros dele têm em `error` o código de OAuth 2.0.
    """
    security = state["security"]
    if security is None:
        raise NotFoundError("no_authentication")
    if form.grant_type == "password":
        issued = await _for_user(security, form, peer)
    elif form.grant_type == "client_credentials":
        client = _client_of(form, request)
        issued = await security.make_client_token(*client, form.scope, peer=peer, address=address)
    else:
        raise TokenError("unsupported_grant_type")
    return TokenResponse(access_token=issued.token, expires_in=issued.seconds, scope=" ".join(sorted(issued.scopes)))


async def _for_user(security: Security, form: TokenRequest, peer: str) -> IssuedToken:
    if form.username is None or form.password is None:
        missing = [name for name in ("username", "password") if getattr(form, name) is None]
        raise RequestValidationError([{"type": "missing", "loc": ("body", name), "msg": ""} for name in missing])
    username, password = (value.encode("utf-8", "replace") for value in (form.username, form.password))
    return await security.make_token(username, password, form.scope, peer)


def _client_of(form: TokenRequest, request: Request) -> tuple[str, str]:
    """The client and the secret that a request gives, once."""
    in_head = basic_credentials(request.headers.getlist("Authorization"))
    if in_head is not None and (form.client_secret is not None or form.client_id not in (None, in_head[0])):
        raise TokenError("invalid_request")
    return in_head or (form.client_id or "", form.client_secret or "")


@router.get("/me", operation_id="get_current_user", summary="Quem pergunta")
@reads
async def who_am_i(state: AppState, user: CurrentUser) -> WhoAmI:
    """O usuário das credenciais, o seu papel e os seus escopos; sem autenticação, todos são administradores."""
    return WhoAmI(
        authentication=state["security"] is not None,
        username=user.name if user else None,
        role=user.role if user else "admin",
        scopes=sorted(user.scopes) if user else [ADMIN],
    )
