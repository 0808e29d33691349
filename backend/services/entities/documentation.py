"""The OpenAPI document of lists, derived from entities: FastAPI sees no parameters, since we read them ourselves."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from backend.errors import NOT_FOUND_RESPONSE, TOO_LONG_RESPONSE
from backend.models.entities import Mirror
from backend.openapi import with_headers
from backend.services.entities.address import LONGEST, Part
from backend.services.entities.detail import MOST_LISTED, SITUATIONS, address_name
from backend.services.entities.question import LONGEST_VALUE, MOST_VALUES, PERSONAL_DATA, Parameter, parameters_of
from backend.services.exports.tables import grouped
from backend.services.profiles import MOST, NEWEST, PROFILED
from common.entities.entity import Entity, Field, Filter, Form
from common.resources.description import Kind
from common.resources.parties import ORGAOS

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
    Kind.LONG: {"type": "integer", "format": "int64"},
    Kind.CODE: _INTEGER,
    Kind.NUMBER: _NUMBER,
    Kind.BOOLEAN: {"type": "boolean"},
    Kind.DAY: {"type": "string", "format": "date"},
    Kind.MOMENT: _MOMENT,
    Kind.STAMP: _MOMENT,
    Kind.JSON: {},
}
MIRROR = Mirror.model_json_schema()
_SEARCHES = "um índice conduz a busca por ele"


def document_list(entity: Entity) -> dict[str, Any]:
    """The arguments of a route that describe a list."""
    said = (
        "`espelho` diz se nada falta do que foi pedido: até quando as mudanças foram lidas, e quantos dias do período"
        " não estão provados completos."
        if entity.declared is None
        else "`espelho` diz até quando vieram registros, e quantas linhas esperam por um registro a que se referem."
    )
    return {
        "description": f"{entity.label}, com filtros. Um parâmetro desconhecido é recusado (422).\n\n{said}",
        "responses": list_answers(entity.fields.values()),
        "openapi_extra": {"parameters": list(parameters(entity))},
    }


def list_answers(fields: Iterable[Field]) -> dict[int | str, dict[str, Any]]:
    """The answers of a route that gives pages of rows with these fields."""
    return {
        200: {
            "description": "Uma página",
            "content": {"application/json": {"schema": _page(fields)}},
            **with_headers("ETag", "Link"),
        },
        **TOO_LONG_RESPONSE,
    }


def document_parameters(
    entity: Entity, own: tuple[str, Sequence[str], str], *others: Mapping[str, Any]
) -> dict[str, Any]:
    """What the document says of a route that takes an entity's filters, names out of a closed list, and `others`."""
    name, known, description = own
    schema = {"type": "array", "items": {"type": "string", "enum": list(known)}, "minItems": 1}
    parameter = {"name": name, "in": "query", "description": description, "schema": schema}
    return {"parameters": [*parameters(entity, has_pages=False), parameter, *others]}


def document_detail(entity: Entity, parts: Iterable[Part]) -> dict[str, Any]:
    """The arguments of a route that describe one row."""
    record = entity.resource is not None
    said = "o que lhe pertence, o que ele cita e o que o cita" if record else "onde é citado"
    schema = _record(entity) if record else _party(entity)
    return {
        "description": f"Um registro ({entity.label}), com todos os campos e {said}.\n\n"
        "O 404 diz se o espelho está completo.",
        "responses": {
            200: {
                "description": "O registro",
                "content": {"application/json": {"schema": schema}},
                **with_headers("ETag"),
            },
            **NOT_FOUND_RESPONSE,
        },
        "openapi_extra": {"parameters": [*map(_path_parameter, parts), PERSONAL_PARAMETER]},
    }


def _path_parameter(part: Part) -> dict[str, Any]:
    schema = {"type": "string", "pattern": f"^{part.pattern}$", "maxLength": LONGEST}
    return {"name": part.name, "in": "path", "required": True, "schema": schema}


def parameters(entity: Entity, *, has_pages: bool = True) -> Iterable[dict[str, Any]]:
    """The parameters of an entity's filters, and those of pages."""
    for each in entity.filters.values():
        yield _parameter(each)
    if has_pages:
        yield from own_parameters(entity)


def own_parameters(entity: Entity, *, without: Collection[str] = ()) -> Iterable[dict[str, Any]]:
    """The parameters that are no filters, but for some."""
    return (_own_parameter(own) for own in parameters_of(entity) if own.name not in without)


def _own_parameter(own: Parameter) -> dict[str, Any]:
    extra = {"style": "form", "explode": False} if own.schema.get("type") == "array" else {}
    return {"name": own.name, "in": "query", "description": own.description, "schema": dict(own.schema), **extra}


PERSONAL_PARAMETER = _own_parameter(PERSONAL_DATA)


def _parameter(each: Filter) -> dict[str, Any]:
    schema: dict[str, Any] = dict(_TYPES[each.kind])
    if schema.get("type") == "string" and "format" not in schema and "pattern" not in schema:
        schema |= {"maxLength": LONGEST_VALUE, "pattern": "^[^\\u0000]*$"}
    if each.form is Form.ANY:
        schema = {"type": "array", "items": schema, "minItems": 1, "maxItems": MOST_VALUES}
    description = each.label + (f"; {_SEARCHES}" if each.leads else "")
    return {"name": each.name, "in": "query", "description": description, "schema": schema}


def _total_kind() -> dict[str, Any]:
    return {
        "type": "string",
        "enum": ["exato", "minimo", "estimado", "nenhum"],
        "description": "`minimo`: há pelo menos tantos",
    }


def _page(fields: Iterable[Field]) -> dict[str, Any]:
    return _object(
        registros={"type": "array", "items": row_schema(fields)},
        total={"type": ["integer", "null"]},
        total_tipo=_total_kind(),
        proximo={"type": ["string", "null"], "description": "o `cursor` da próxima página; nulo na última"},
        pular={"type": "integer"},
        limite={"type": "integer"},
        espelho=MIRROR,
    )


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


def _section(rows: dict[str, Any], **more: dict[str, Any]) -> dict[str, Any]:
    return _object(
        registros={"type": "array", "items": rows, "maxItems": MOST_LISTED},
        total={"type": ["integer", "null"]},
        total_tipo=_total_kind(),
        endereco={"type": ["string", "null"], "description": "a lista inteira"},
        **more,
    )


_ADDRESS = {"type": "string", "description": "do detalhe, neste espelho"}
_ANY_ADDRESS: dict[str, Any] = {**_ADDRESS, "type": ["string", "null"]}
_SOURCE = {"type": ["string", "null"], "description": "a página do registro no portal"}
_NAME: dict[str, Any] = {"type": "string"}
_COUNT: dict[str, Any] = {"type": "integer"}
_NAMES: dict[str, Any] = {"type": "array", "items": _NAME}
_UNTIL = {"type": ["string", "null"], "description": "até quando as mudanças foram lidas, no horário de Brasília"}
_ROW = {"type": "object"}


def _record(entity: Entity) -> dict[str, Any]:
    assert entity.resource is not None  # noqa: S101  # the caller has looked
    lists = {
        address_name(child): _section(
            _ROW,
            lida_em={"type": ["string", "null"]},
            situacao={"type": "string", "enum": list(SITUATIONS)},
            lista={"type": ["string", "null"], "description": "como se pede em POST /sync/lists; nulo: vem sempre"},
        )
        for child in entity.resource.lists
    }
    referred = _object(
        entidade=_NAME,
        campo=_NAME,
        chave=_NAME,
        endereco=_ANY_ADDRESS,
        fonte=_SOURCE,
        registro={"type": ["object", "null"], "description": "nulo: o espelho não o tem"},
    )
    referring = _section(_ROW, entidade=_NAME, campo=_NAME)
    return _object(
        entidade=_NAME,
        registro=row_schema(entity.fields.values()),
        endereco=_ADDRESS,
        fonte=_SOURCE,
        listas=_object(**lists),
        refere={"type": "array", "items": referred},
        referido_por={"type": "array", "items": referring},
        partes={"type": "array", "items": _object(entidade=_NAME, campo=_NAME, endereco=_ADDRESS)},
        espelho=_object(
            ate=_UNTIL,
            completo={"type": "boolean", "description": "nada falta do registro e das suas listas"},
            registros_recusados=_COUNT,
            listas_faltando=_NAMES,
            listas_fora_do_escopo=_NAMES,
        ),
    )


def _party(entity: Entity) -> dict[str, Any]:
    named = _object(entidade=_NAME, campo=_NAME, endereco=_ADDRESS)
    described = _object(
        entidade=_NAME,
        registro=row_schema(entity.fields.values()),
        endereco=_ADDRESS,
        citada_em={"type": "array", "items": named, "description": "vazia onde o número está mascarado"},
        espelho=MIRROR,
    )
    described["properties"] |= {
        "pertence_a": _ADDRESS,
        "raiz": {"type": ["string", "null"], "description": "o início do CNPJ da empresa e de suas filiais"},
    }
    if entity.party in PROFILED:
        described["properties"]["perfil"] = _profile(is_orgao=entity.party is ORGAOS)
        described["required"].append("perfil")
    return described


_AMOUNT: dict[str, Any] = {"type": ["number", "null"], "description": "sem os contratos de receita"}
_ANY_AMOUNT: dict[str, Any] = {"type": ["number", "null"]}
_ANY_NAME: dict[str, Any] = {"type": ["string", "null"]}
_ANY_CODE: dict[str, Any] = {"type": ["integer", "null"]}


def _several(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": _object(**properties)}


def _profile(*, is_orgao: bool) -> dict[str, Any]:
    """The profile of an órgão or of a supplier, as `backend.services.profiles` makes it."""
    sums: dict[str, dict[str, Any]] = {"contratos": _COUNT, "vigentes": _COUNT, "valor_global": _AMOUNT}
    whole = {**_COUNT, "description": f"quantos há; em `registros`, os {MOST} de maior valor"}
    limited: dict[str, dict[str, Any]] = {"total": _COUNT, "total_tipo": _total_kind()}
    other: dict[str, dict[str, Any]] = (
        {"cnpj": _ANY_NAME} if not is_orgao else {"tipo_pessoa": _ANY_NAME, "ni": _ANY_NAME}
    )
    others = _object(total=whole, registros=_several(**other, nome=_ANY_NAME, endereco=_ANY_ADDRESS, **sums))
    shared: dict[str, dict[str, Any]] = {
        "contratos": _object(**sums),
        "anos": _several(ano=_COUNT, **sums),
        "ufs": _object(total=whole, registros=_several(uf=_ANY_NAME, **sums)),
    }
    bids: dict[str, dict[str, Any]] = {
        "contratacoes": _COUNT,
        "valor_estimado": _ANY_AMOUNT,
        "valor_homologado": _ANY_AMOUNT,
    }
    kind: dict[str, dict[str, Any]] = {"modalidade_id": _ANY_CODE, "modalidade_nome": _ANY_NAME}
    if is_orgao:
        return _object(
            **shared,
            fornecedores=others,
            contratacoes=_several(ano=_COUNT, **bids),
            modalidades=_several(**kind, **bids),
            atas=_object(atas=_COUNT, vigentes=_COUNT),
            pcas=_several(ano=_ANY_CODE, planos=_COUNT, itens=_COUNT, valor_total=_ANY_AMOUNT),
        )
    counted = f"dos {grouped(NEWEST)} contratos mais novos"
    return _object(
        **shared,
        compradores=others,
        nomes={
            **_several(nome=_NAME, contratos=_COUNT, ate=_NAME),
            "description": f"os mais frequentes, {counted}",
        },
        modalidades={
            **_several(**kind, contratos=_COUNT),
            "description": f"das contratações {counted}",
        },
        contados={**_COUNT, "description": "de quantos contratos se contam nomes e modalidades, no máximo"},
        itens_vencidos={
            **_object(**limited, valor_homologado=_ANY_AMOUNT),
            "description": "resultados informados; a soma é a dos que foram contados",
        },
        atas={
            **_object(atas=_COUNT, vigentes=_COUNT, de_resultados=_COUNT),
            "description": "das contratações em que venceu itens, por tantos resultados no máximo",
        },
        filiais={
            **_object(**limited, registros=_several(ni=_NAME, nome=_ANY_NAME, endereco=_ADDRESS)),
            "description": "outros CNPJs da mesma raiz",
        },
    )


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
