"""Names that files of connections may not take."""

from common.entities import delivered, entity
from common.resources import RESOURCE_NAMES
from common.resources.dominios import DOMINIOS

ROUTES = frozenset(
    {
        *("about", "armazenamento", "arquivos", "assets", "auth", "buscas", "clients", "conciliacao"),
        *("connections", "control", "controle", "coverage", "dados", "dashboard", "deliveries", "descadastrar"),
        *("destinations", "docs", "entidades", "entities", "entradas", "entregas", "exportacoes", "facetas"),
        *("favicon", "feed", "files", "health", "imports", "intake", "jobs", "layouts", "metrics", "mudancas", "ocds"),
        *("openapi", "painel", "precos", "redoc", "rejeitados", "resumo", "robots", "sources", "static"),
        *("streams", "sync", "well_known"),
    }
)
"""First words of addresses of the API, which an entity would hide; some are for what is to come."""
TAKEN_BY_EXECUTIONS = frozenset({*RESOURCE_NAMES, DOMINIOS})
"""Executions name what they are about, and these are the resources that they read."""
TAKEN_BY_LISTS = frozenset(
    {
        *delivered.DELIVERED,
        *TAKEN_BY_EXECUTIONS,
        *(name for each in entity.ENTITIES for name in (each.name, each.address.replace("-", "_"))),
    }
)


def entity_name_fault(name: str) -> str | None:
    """Why a declared entity may not be called so, for people; null if it may."""
    if name in TAKEN_BY_LISTS:
        return f"`{name}` já é uma lista do espelho"
    return f"`{name}` é um endereço da API" if name in ROUTES else None


def destination_name_fault(name: str) -> str | None:
    """The same of a destination."""
    return f"`{name}` já é um recurso do espelho" if name in TAKEN_BY_EXECUTIONS else None
