"""What pydantic says of a file, as faults for people."""

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from common.mapping.problem import At, Problem, unknown

_QUOTES = "esperava um texto; coloque o valor entre aspas"
_SAID = {
    "missing": "falta `{name}`",
    "string_type": "esperava um texto",
    "int_type": "esperava um número inteiro",
    "float_type": "esperava um número",
    "bool_type": "esperava true ou false",
    "list_type": "esperava uma lista",
    "dict_type": "esperava chaves e valores",
    "model_type": "esperava chaves e valores",
    "model_attributes_type": "esperava chaves e valores",
    "union_tag_not_found": "falta `kind`",
    "union_tag_invalid": "`kind` é um de {expected_tags}",
    "literal_error": "esperava {expected}",
    "greater_than_equal": "o mínimo é {ge}",
    "greater_than": "deve ser maior que {gt}",
    "less_than_equal": "o máximo é {le}",
    "string_too_long": "o máximo são {max_length} caracteres",
    "string_too_short": "não pode ser vazio",
    "too_long": "o máximo são {max_length}",
    "too_short": "não pode ser vazio",
}


def problems_of(error: ValidationError, model: type[BaseModel]) -> Iterator[Problem]:
    """Each error with its place; of several at one place the first."""
    places: set[At] = set()
    for each in error.errors(include_url=False):
        place = tuple(part for part in each["loc"] if part != "[key]")
        if place not in places:
            places.add(place)
            yield Problem(place, _said(each, place, model))


def _said(error: ErrorDetails, place: At, model: type[BaseModel]) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind == "extra_forbidden":
        return unknown("chave desconhecida", str(place[-1]), _known_at(model, place[:-1]))
    if kind == "value_error":
        return str(context["error"])
    if kind == "string_type" and isinstance(error["input"], bool | int | float) | _is_date(error["input"]):
        return _QUOTES
    if kind == "literal_error" and not isinstance(error["input"], str):
        return f"{_SAID[kind].format_map(context)}, entre aspas".replace(" or ", " ou ")
    name = place[-1] if place else ""
    return _SAID.get(kind, "valor inválido").format_map({"name": name, **context}).replace(" or ", " ou ")


def _is_date(value: Any) -> bool:
    return hasattr(value, "isoformat")


def _known_at(model: type[BaseModel], place: At) -> set[str]:
    """The keys of what stands at a place."""
    models = {model}
    for part in place:
        # an index, a name of the file's own and the tag of a union lead no further than their container
        fields = [field for each in models for name, field in each.model_fields.items() if part in (name, field.alias)]
        models = {found for field in fields for found in _models(field.annotation)} or models
    return {field.alias or name for each in models for name, field in each.model_fields.items()}


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)
