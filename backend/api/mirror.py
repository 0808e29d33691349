"""What the mirror holds: changes, room, domain tables."""

from typing import Annotated

from fastapi import APIRouter, Query

from backend.access import reads
from backend.dependencies import AppState, CurrentUser, EachParameterOnce
from backend.errors import NOT_FOUND_RESPONSE
from backend.models.changes import Changes, ChangesQuery
from backend.models.domains import Domain, Domains
from backend.models.storage import Storage
from backend.security import sees_personal_data
from backend.services.changes import load_changes
from backend.services.domains import load_domain, load_domains
from backend.services.personal import mask_changes
from backend.services.storage import load_storage

router = APIRouter(tags=["espelho"])


@router.get(
    "/mudancas", operation_id="list_changes", summary="O que mudou no espelho", dependencies=[EachParameterOnce]
)
@reads
async def get_changes(query: Annotated[ChangesQuery, Query()], state: AppState, user: CurrentUser) -> Changes:
    """Inserções e alterações dos registros, na ordem de um número que só cresce; é como se mantém uma cópia.

    Guardam-se por `MUDANCAS_DAYS`. Um leitor vê mascarados os CPFs. Com `entidade` e `chave`, as alterações de um só
    registro, sem a sua inserção, que está em `visto_em`.
    """
    async with state["reading"].connect() as db:
        changes = await load_changes(db, query.entidade, query.desde, query.limite, query.chave)
    return changes if sees_personal_data(user) else mask_changes(changes)


@router.get("/armazenamento", summary="Quanto o banco ocupa")
@reads
async def get_storage(state: AppState) -> Storage:
    """Por tabela, com o crescimento por dia. Os ingestores registram os tamanhos uma vez por dia."""
    async with state["reading"].connect() as db:
        return await load_storage(db)


@router.get("/dominios", operation_id="list_domains", summary="As tabelas de domínio")
@reads
async def get_domains(state: AppState) -> Domains:
    """As que o portal publica, e as que só os registros mostram."""
    async with state["reading"].connect() as db:
        return await load_domains(db)


@router.get("/dominios/{tabela}", summary="Uma tabela de domínio", responses=NOT_FOUND_RESPONSE)
@reads
async def get_domain(tabela: str, state: AppState) -> Domain:
    """Cada código com o nome que o portal lhe dá, os nomes que os registros lhe dão, e no que diferem."""
    async with state["reading"].connect() as db:
        return await load_domain(db, tabela)
