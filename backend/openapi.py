"""The OpenAPI document: what FastAPI makes of the endpoints, and what all of them share.

An operation is called as its function, or as its route says; generated clients make their functions of these names.
"""

from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from backend.access import CLOSED, Access, access_of, leaves
from backend.errors import FORBIDDEN_RESPONSE, LIMIT_RESPONSE, UNAUTHORIZED_RESPONSE
from backend.middleware import LIVENESS, PUBLIC
from backend.models.examples import EXAMPLES
from backend.models.imports import RecordsRefused
from backend.models.problem import Problem
from common.connections.scopes import ADMIN, DELIVER, INTAKE, READ

TAGS = [
    {"name": "verdict", "description": "Em dia, completo, são: o veredito, e o que fazer do que falhou."},
    {"name": "sync", "description": "Iniciar, acompanhar e cancelar sincronizações; o que o espelho tem de cada dia."},
    {"name": "executions", "description": "Uma execução: andamento, fatias, registro (log), cancelar, repetir."},
    {"name": "schedules", "description": "As agendas que iniciam atualizações e varreduras: pausa e cron."},
    {"name": "goals", "description": "Desde que dia cada recurso deve estar completo, e quanto falta para isso."},
    {"name": "entregas", "description": "O que é entregue a outros sistemas: destinos, trabalhos, rejeitados."},
    {"name": "entradas", "description": "O que outros sistemas e pessoas enviam, e as fontes que são lidas."},
    {"name": "alerts", "description": "O que foi avisado por e-mail ou webhook."},
    {"name": "auth", "description": "Tokens, e quem pergunta."},
    {"name": "operations", "description": "Saúde e métricas, para quem opera o serviço."},
    {"name": "dados", "description": "O que o espelho tem: listas com filtros, detalhes, somas, preços e arquivos."},
    {"name": "cadastros", "description": "Entidades declaradas: listas, esquemas e planilhas para preencher."},
    {"name": "exportações", "description": "Arquivos grandes, feitos por trabalhos que se acompanham."},
    {"name": "arquivos", "description": "Arquivos prontos de anos inteiros."},
    {"name": "buscas salvas", "description": "Buscas que avisam, uma vez por dia, dos registros novos."},
    {"name": "espelho", "description": "O que mudou, quanto ocupa, e as tabelas de domínio."},
]

WITHOUT_DATABASE = (LIVENESS, "/metrics", "/about", "/sync/resources", "/entidades/{entidade}")
"""The addresses that are answered whatever the database does."""

_HEADERS: dict[str, dict[str, Any]] = {
    "Location": {"description": "onde está o que foi criado", "schema": {"type": "string"}},
    "Link": {"description": 'a próxima página, se há (`rel="next"`)', "schema": {"type": "string"}},
    "ETag": {
        "description": "a versão da resposta; com ela em `If-None-Match`, o que não mudou responde 304 sem corpo",
        "schema": {"type": "string"},
    },
    "Content-Disposition": {"description": "o nome do arquivo", "schema": {"type": "string"}},
    "Content-Range": {"description": "que bytes, e de quantos", "schema": {"type": "string"}},
    "X-Total-Registros": {"description": "quantos registros há no arquivo", "schema": {"type": "string"}},
    "X-Espelho": {
        "description": "se o espelho está completo, em uma frase sem acentos",
        "schema": {"type": "string"},
    },
    "Retry-After": {"description": "depois de quantos segundos tentar de novo", "schema": {"type": "integer"}},
    "WWW-Authenticate": {"description": "como se autenticar: Basic ou Bearer", "schema": {"type": "string"}},
    "X-Request-Id": {
        "description": "o identificador do pedido, que o registro (log) traz; o do pedido, se veio um",
        "schema": {"type": "string"},
    },
}
_OF_EVERY_ANSWER = ("X-Request-Id",)
_OF_STATUS = {
    "401": ("WWW-Authenticate",),
    "409": ("Retry-After",),
    "429": ("Retry-After",),
    "503": ("Retry-After",),
}
_GRANTS = ("password", "clientCredentials")
_KINDS = {
    ADMIN: "tudo",
    READ: "ler os registros de uma entidade, ou tudo que se lê",
    INTAKE: "enviar registros de uma entidade",
    DELIVER: "iniciar entregas a um destino",
}


def name_operation(route: APIRoute) -> str:
    """The id of an operation whose route gives none."""
    return route.name


def describe(app: FastAPI, *, authenticates: bool) -> None:
    """Add to an application's document what all endpoints share: authentication, errors, headers, and examples."""
    make = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = make()
            problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            refused = RecordsRefused.model_json_schema(ref_template="#/components/schemas/{model}")
            components = schema["components"]
            components["schemas"] |= {**problem.pop("$defs", {}), "Problem": problem}
            components["schemas"] |= {**refused.pop("$defs", {}), "RecordsRefused": refused}
            components["headers"] = _HEADERS
            if authenticates:
                components["securitySchemes"] = _schemes_of(access_of(route) for route in leaves(app.router.routes))
            declared = {
                (getattr(route, "path_format", ""), method): access_of(route)
                for route in leaves(app.router.routes)
                for method in getattr(route, "methods", None) or ()
            }
            for path, operations in schema["paths"].items():
                for method, operation in operations.items():
                    access = declared.get((path, method.upper()), CLOSED)
                    _describe_access(operation, path, access, authenticates=authenticates)
                    _describe_answers(operation)
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way to change its document


def _schemes_of(declared: Iterable[Access]) -> dict[str, Any]:
    """The ways to authenticate, with all scopes that some endpoint asks for."""
    scopes = {scope: _KINDS[scope.partition(":")[0]] for scope in sorted({access.scope for access in declared})}
    flows = {grant: {"tokenUrl": "/auth/token", "scopes": scopes} for grant in _GRANTS}
    return {"basic": {"type": "http", "scheme": "basic"}, "token": {"type": "oauth2", "flows": flows}}


def _describe_access(operation: dict[str, Any], path: str, access: Access, *, authenticates: bool) -> None:
    answers = {} if path == LIVENESS else LIMIT_RESPONSE
    needs_user = authenticates and path not in PUBLIC
    if needs_user:
        scopes = [access.scope, access.also] if access.also else [access.scope]
        operation["security"] = [{"basic": []}, *({"token": [scope]} for scope in scopes)]
        answers = {**answers, **UNAUTHORIZED_RESPONSE, **FORBIDDEN_RESPONSE}
    elif path in WITHOUT_DATABASE:  # with users, too many logins at once are refused by 503
        del operation["responses"]["503"]
    for code, answer in answers.items():
        operation["responses"].setdefault(str(code), answer)


def _describe_answers(operation: dict[str, Any]) -> None:
    """Add the headers of each answer, and an example of the main one."""
    example = EXAMPLES.get(operation["operationId"])
    for code, answer in operation["responses"].items():
        is_problem = "application/problem+json" in answer.get("content", {})
        names = (*_OF_EVERY_ANSWER, *(_OF_STATUS.get(code, ()) if is_problem else ()))
        shared = {name: {"$ref": f"#/components/headers/{name}"} for name in names}
        described = operation["responses"][code] = {**answer, "headers": {**answer.get("headers", {}), **shared}}
        if example is not None and code.startswith("2"):
            json = {**described["content"]["application/json"], "example": example}
            described["content"] = {**described["content"], "application/json": json}


def with_headers(*names: str) -> dict[str, Any]:
    """What a route declares of an answer that has these headers of `_HEADERS`."""
    return {"headers": {name: {"$ref": f"#/components/headers/{name}"} for name in names}}
