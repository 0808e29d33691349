"""What the mirror holds: sums, changes, room, domain tables."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi.exceptions import RequestValidationError

from backend.access import reads
from backend.dependencies import AppState, CurrentUser, EachParameterOnce
from backend.errors import NOT_FOUND_RESPONSE, NotFoundError
from backend.models.changes import Changes, ChangesQuery
from backend.models.domains import Domain, Domains
from backend.models.storage import Storage
from backend.models.summary import Summary, SummaryQuery
from backend.security import sees_personal_data
from backend.services.changes import load_changes
from backend.services.domains import load_domain, load_domains
from backend.services.personal import mask_changes
from backend.services.storage import load_storage
from backend.services.summary import default_groups_of, groups_of, load_summary
from common.resources import RESOURCES

router = APIRouter(tags=["espelho"])

SUMMARIES = {resource.name.replace("_", "-"): (resource, resource.rollup) for resource in RESOURCES if resource.rollup}
Entity = Annotated[str, Path(json_schema_extra={"enum": list(SUMMARIES)}, description="do que se pede o resumo")]


@router.get("/mudancas", summary="O que mudou no espelho", dependencies=[EachParameterOnce])
@reads
async def get_changes(query: Annotated[ChangesQuery, Query()], state: AppState, user: CurrentUser) -> Changes:
    """Inserções e alterações dos registros, na ordem de um número que só cresce; é como se mantém uma cópia.

    Guardam-se por `MUDANCAS_DAYS`. Um leitor vê mascarados os CPFs.
    """
    async with state["reading"].connect() as db:
        changes = await load_changes(db, query.entidade, query.desde, query.limite)
    return changes if sees_personal_data(user) else mask_changes(changes)


@router.get("/armazenamento", summary="Quanto o banco ocupa")
@reads
async def get_storage(state: AppState) -> Storage:
    """Por tabela, com o crescimento por dia. Os ingestores registram os tamanhos uma vez por dia."""
    async with state["reading"].connect() as db:
        return await load_storage(db)


@router.get("/dominios", summary="As tabelas de domínio")
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


@router.get("/{entidade}/resumo", summary="Quantos registros há, e quanto somam", responses=NOT_FOUND_RESPONSE)
@reads
async def get_summary(entidade: Entity, query: Annotated[SummaryQuery, Query()], state: AppState) -> Summary:
    """Em qualquer tamanho do espelho em milissegundos: as somas são mantidas enquanto se grava."""
    if entidade not in SUMMARIES:
        raise NotFoundError(f"Não há resumo de {entidade}: use {', '.join(SUMMARIES)}.")
    resource, rollup = SUMMARIES[entidade]
    for name in (*query.filters, *(query.agrupar or ())):
        if name not in groups_of(rollup):
            fault = {"type": "value_error", "loc": ("query", name), "msg": f"{entidade} não tem {name}"}
            raise RequestValidationError([fault])
    groups = list(dict.fromkeys(query.agrupar)) if query.agrupar is not None else default_groups_of(rollup)
    async with state["reading"].connect() as db:
        return await load_summary(db, resource, groups, query.filters, query.span, empenhos=query.empenhos)
