"""Declared entities and layouts for those who hand records over: columns, counts, schemas of records."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import asyncpg

from backend.models.declared import DeclaredColumnShown, DeclaredEntities, DeclaredEntity, LayoutColumn, ShownLayout
from backend.services.deliveries.files import Known, unknown_entity
from backend.services.exports.xlsx import write_model
from common.connections.settings import Layout
from common.database import is_database_trouble
from common.entities.declared import ColumnType, Declaration, DeclaredColumn

# names in these statements stand in declarations

COUNTED = 100_000
"""Records of each entity that are counted."""
SECONDS = 2.0

_COUNT = "SELECT count(*) FROM (SELECT FROM {source} LIMIT {most}) AS counted"
_CHANGED = """
    SELECT timezone('America/Sao_Paulo', max(updated_at)) FROM entity_records WHERE entity = $1
"""


def find_declared(known: Known, name: str) -> Declaration:
    """A declared entity by its name, or by the address of its list.

    Raises:
        NotFoundError: there is none.

    """
    found = known.declarations.get(name.replace("-", "_"))
    if found is None:
        raise unknown_entity(name, known)
    return found


async def list_declared(driver: "asyncpg.Connection[Any]", known: Known) -> DeclaredEntities:
    """All declared entities, with how many records they have."""
    return DeclaredEntities(
        entidades=[await _shown(driver, known, known.declarations[name]) for name in sorted(known.declarations)]
    )


async def _shown(driver: "asyncpg.Connection[Any]", known: Known, entity: Declaration) -> DeclaredEntity:
    listed = known.lists[entity.name.replace("_", "-")]
    count = await _count(driver, listed.source)
    return DeclaredEntity(
        nome=entity.name,
        rotulo=entity.label,
        endereco=listed.address,
        origem="produto" if entity.is_shipped else "arquivo",
        recebe=entity.view is None,
        chave=list(entity.key),
        colunas=[
            DeclaredColumnShown(
                nome=each.name,
                rotulo=each.label,
                tipo=each.type,
                obrigatoria=each.name in entity.required,
                refere=each.references,
            )
            for each in entity.columns.values()
        ],
        layouts=layouts_of(known, entity),
        registros=None if count is None else min(count, COUNTED),
        registros_tipo="minimo" if count is not None and count > COUNTED else "exato",
        alterada_em=None if entity.view is not None else await driver.fetchval(_CHANGED, entity.name),
    )


async def _count(driver: "asyncpg.Connection[Any]", source: str) -> int | None:
    """How many rows there are, up to one more than are counted; null where a view cannot be read."""
    try:
        return int(await driver.fetchval(_COUNT.format_map({"source": source, "most": COUNTED + 1}), timeout=SECONDS))
    except TimeoutError:
        return None
    except asyncpg.PostgresError as error:
        if is_database_trouble(error):
            raise
        return None


def layouts_of(known: Known, entity: Declaration) -> list[str]:
    """The layouts whose rows become records of an entity."""
    return sorted(
        each.name for each in known.layouts.values() if any(into.entity.name == entity.name for into in each.into)
    )


# --- schemas ----------------------------------------------------------------------------------------------------

_TYPES: Mapping[ColumnType, Mapping[str, Any]] = {
    "text": {"type": "string"},
    "integer": {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "day": {"type": "string", "format": "date"},
    "moment": {
        "type": "string",
        "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?$",
        "description": "horário de Brasília, sem fuso",
    },
    "json": {},
    "cnpj": {"type": "string", "pattern": "^[0-9A-Z]{12}[0-9]{2}$"},
    "cpf": {"type": "string", "pattern": "^[0-9]{11}$"},
    "cpf_cnpj": {"type": "string", "pattern": "^([0-9]{11}|[0-9A-Z]{12}[0-9]{2})$"},
    "control_number": {"type": "string", "description": "número de controle, como o PNCP o escreve"},
}


def schema_of(known: Known, entity: Declaration) -> dict[str, Any]:
    """The JSON Schema of a record as it is stored.

    `x-chave`: the columns of the key; `x-layouts`: the layouts whose rows become such records. At a column, `x-refere`:
    the entity whose key its value is; `x-decimais`: to how many decimals it is rounded.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"/entities/{entity.name}",
        "title": entity.label,
        "type": "object",
        "properties": {
            each.name: _schema(each, is_required=each.name in entity.required) for each in entity.columns.values()
        },
        "required": list(entity.required),
        "additionalProperties": False,
        "x-chave": list(entity.key),
        "x-layouts": layouts_of(known, entity),
    }


def _schema(column: DeclaredColumn, *, is_required: bool) -> dict[str, Any]:
    schema: dict[str, Any] = {"title": column.label, **_TYPES[column.type]}
    if column.longest is not None:
        schema["maxLength"] = column.longest
    if column.decimals is not None:
        schema["x-decimais"] = column.decimals
    if column.values:
        schema["enum"] = list(column.values)
    if column.references is not None:
        schema["x-refere"] = column.references
    if not is_required and "type" in schema:
        schema["type"] = [schema["type"], "null"]
        if "enum" in schema:
            schema["enum"].append(None)
    return schema


# --- layouts ----------------------------------------------------------------------------------------------------


def show_layout(layout: Layout) -> ShownLayout:
    """A layout and the columns that its sheets have."""
    return ShownLayout(
        nome=layout.name,
        rotulo=layout.label,
        entidades=[into.entity.name for into in layout.into],
        colunas=[
            LayoutColumn(
                nome=each.header, entidade=each.entity.name, coluna=each.column.name, obrigatoria=each.is_required
            )
            for each in headers_of(layout)
        ],
    )


@dataclass(frozen=True)
class Header:
    """A column of a sheet: its header, and the first column of an entity that is made of it."""

    header: str
    entity: Declaration
    column: DeclaredColumn
    is_required: bool


def headers_of(layout: Layout) -> list[Header]:
    """The columns that a sheet of a layout has, in their order. Those of an entity as it is are called by labels."""
    found: dict[str, Header] = {}
    for into in layout.into:
        labels = [each.label for each in into.entity.columns.values()]
        for name, made in into.fields.items():
            column = into.entity.columns[name]
            if made.header is None:
                continue
            has_label = layout.name == into.entity.name and labels.count(column.label) == 1
            header = column.label if has_label else made.header
            is_required = name in into.entity.required and made.default is None
            found.setdefault(header, Header(header, into.entity, column, is_required))
    return list(found.values())


_TYPES_IN_WORDS: Mapping[ColumnType, str] = {
    "text": "texto",
    "integer": "número inteiro",
    "number": "número",
    "boolean": "sim ou não",
    "day": "dia, como 31/01/2026",
    "moment": "dia e hora, como 31/01/2026 10:30",
    "json": "JSON",
    "cnpj": "CNPJ",
    "cpf": "CPF",
    "cpf_cnpj": "CPF ou CNPJ",
    "control_number": "número de controle do PNCP",
}


def model_of(layout: Layout) -> bytes:
    """An empty sheet of a layout, with another one that explains its columns, as XLSX."""
    headers = headers_of(layout)
    explained = [
        {
            "Coluna": each.header,
            "Entidade": each.entity.label,
            "Campo": each.column.name,
            "Tipo": _TYPES_IN_WORDS[each.column.type],
            "Obrigatória": "sim" if each.is_required else "não",
            "Observação": "; ".join(_notes(each.column)),
        }
        for each in headers
    ]
    with TemporaryDirectory() as folder:
        path = Path(folder, "modelo.xlsx")
        write_model(layout.label, [(each.header, each.column.kind.name) for each in headers], explained, path)
        return path.read_bytes()


def _notes(column: DeclaredColumn) -> Iterator[str]:
    if column.longest is not None:
        yield f"até {column.longest} caracteres"
    if column.decimals is not None:
        yield f"arredondado a {column.decimals} casas decimais"
    if column.values:
        yield f"um destes: {', '.join(column.values)}"
    if column.references is not None:
        yield f"chave de um registro de {column.references}"
