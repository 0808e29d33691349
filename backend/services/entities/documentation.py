"""The OpenAPI document of lists, derived from entities: FastAPI sees no parameters, since we read them ourselves."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from backend.models.entities import Mirror
from backend.services.entities.entity import Entity, Field, Filter, Form
from backend.services.entities.question import MOST_VALUES, parameters_of
from common.resources.description import Kind

_NUMBER = {"type": "number"}
_INTEGER = {"type": "integer", "format": "int32"}
_TEXT = {"type": "string"}
_MOMENT = {
    "type": "string",
    "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?)?$",
    "description": "horário de Brasília",
}
_TYPES: Mapping[Kind, Mapping[str, Any]] = {
    Kind.TEXT: _TEXT,
    Kind.SHORT_TEXT: _TEXT,
    Kind.INTEGER: _INTEGER,
    Kind.CODE: _INTEGER,
    Kind.NUMBER: _NUMBER,
    Kind.BOOLEAN: {"type": "boolean"},
    Kind.DAY: {"type": "string", "format": "date"},
    Kind.MOMENT: _MOMENT,
    Kind.STAMP: _MOMENT,
    Kind.JSON: {},
}
_SEARCHES = "um índice conduz a busca por ele"


def document_list(entity: Entity) -> dict[str, Any]:
    """The arguments of a route that describe a list."""
    return {
        "description": f"{entity.label}, com filtros. Um parâmetro desconhecido é recusado (422).\n\n"
        "`espelho` diz se nada falta do que foi pedido: até quando as mudanças foram lidas, e quantos dias do período"
        " não estão provados completos.",
        "responses": {200: {"description": "Uma página", "content": {"application/json": {"schema": _page(entity)}}}},
        "openapi_extra": {"parameters": list(parameters(entity))},
    }


def document_parameters(entity: Entity, own: tuple[str, Sequence[str], str]) -> dict[str, Any]:
    """What the document says of a route that takes an entity's filters, and names out of a closed list."""
    name, known, description = own
    schema = {"type": "array", "items": {"type": "string", "enum": list(known)}, "minItems": 1}
    parameter = {"name": name, "in": "query", "description": description, "schema": schema}
    return {"parameters": [*parameters(entity, has_pages=False), parameter]}


def parameters(entity: Entity, *, has_pages: bool = True) -> Iterable[dict[str, Any]]:
    """The parameters of an entity's filters, and those of pages."""
    for each in entity.filters.values():
        yield _parameter(each)
    if has_pages:
        for own in parameters_of(entity):
            schema = dict(own.schema)
            extra = {"style": "form", "explode": False} if schema.get("type") == "array" else {}
            yield {"name": own.name, "in": "query", "description": own.description, "schema": schema, **extra}


def _parameter(each: Filter) -> dict[str, Any]:
    schema: dict[str, Any] = dict(_TYPES[each.kind])
    if schema.get("type") == "string" and "format" not in schema and "pattern" not in schema:
        schema |= {"maxLength": 1_000, "pattern": "^[^\\u0000]*$"}
    if each.form is Form.ANY:
        schema = {"type": "array", "items": schema, "minItems": 1, "maxItems": MOST_VALUES}
    description = each.label + (f"; {_SEARCHES}" if each.leads else "")
    return {"name": each.name, "in": "query", "description": description, "schema": schema}


def _page(entity: Entity) -> dict[str, Any]:
    nullable_integer = {"type": ["integer", "null"]}
    return {
        "type": "object",
        "required": ["registros", "total", "total_tipo", "proximo", "pular", "limite", "espelho"],
        "properties": {
            "registros": {"type": "array", "items": row_schema(entity.fields.values())},
            "total": nullable_integer,
            "total_tipo": {
                "type": "string",
                "enum": ["exato", "minimo", "estimado", "nenhum"],
                "description": "`minimo`: há pelo menos tantos",
            },
            "proximo": {"type": ["string", "null"], "description": "o `cursor` da próxima página; nulo na última"},
            "pular": {"type": "integer"},
            "limite": {"type": "integer"},
            "espelho": Mirror.model_json_schema(),
        },
    }


def row_schema(fields: Iterable[Field]) -> dict[str, Any]:
    """A row, in which only the fields that are asked for stand, and any may be null."""
    return {"type": "object", "properties": {each.name: _field_schema(each) for each in fields}}


def _field_schema(each: Field) -> dict[str, Any]:
    schema = dict(_TYPES[each.kind])
    return (
        {**schema, "type": [schema["type"], "null"], "description": each.label}
        if schema
        else {"description": each.label}
    )
