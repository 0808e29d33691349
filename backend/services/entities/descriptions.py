"""What can be asked of an entity, as data: pages make their forms and tables of it."""

from collections.abc import Mapping

from backend.models.descriptions import (
    DescribedField,
    DescribedFilter,
    DescribedFormat,
    DescribedOrder,
    Description,
)
from backend.models.descriptions import Form as FormName
from backend.models.descriptions import Kind as KindName
from backend.services.entities.question import parse_question
from backend.services.exports.about import for_format, title_field
from backend.services.exports.formats import FORMATS
from backend.services.exports.serving import MOST_ROWS
from backend.services.facets import default_facets_of, facets_of
from common.entities.entity import MAIN, RECORD, Entity, Filter, Form
from common.resources.description import Kind
from common.resources.dominios import SEEN

_KINDS: Mapping[Kind, KindName] = {
    Kind.TEXT: "texto",
    Kind.SHORT_TEXT: "texto",
    Kind.INTEGER: "inteiro",
    Kind.LONG: "inteiro",
    Kind.CODE: "codigo",
    Kind.NUMBER: "numero",
    Kind.BOOLEAN: "booleano",
    Kind.DAY: "dia",
    Kind.MOMENT: "momento",
    Kind.STAMP: "momento",
    Kind.JSON: "json",
}
_FORMS: Mapping[Form, FormName] = {
    Form.ANY: "valores",
    Form.FROM: "desde",
    Form.TO: "ate",
    Form.HOLDS: "condicao",
    Form.WITH: "com_valor",
    Form.SEARCH: "palavras",
}
CONTROL = "controle"
"""The address that leads to the record of a control number."""
_DOMAINS = {(seen.table, seen.code): name for name, tables in SEEN.items() for seen in tables}


def describe_entity(entity: Entity) -> Description:
    """The filters, fields, orders and formats of an entity, with the columns that one page shows."""
    counted = facets_of(entity)
    # a feed shows what a page has room for
    shown = for_format(parse_question(entity, []), "atom", names_fields=False).fields
    return Description(
        entidade=entity.name,
        endereco=entity.address,
        rotulo=entity.label,
        titulo=title_field(entity),
        colunas=[each.name for each in shown],
        facetas=default_facets_of(entity),
        filtros=[
            DescribedFilter(
                nome=each.name,
                rotulo=each.label,
                tipo=_KINDS[each.kind],
                forma=_FORMS[each.form],
                indice=each.leads,
                faceta=each.name in counted,
                dominio=_domain_of(entity, each),
            )
            for each in entity.filters.values()
        ],
        campos=[
            DescribedField(
                nome=each.name, rotulo=each.label, tipo=_KINDS[each.kind], refere=_referred(entity, each.name)
            )
            for each in entity.fields.values()
        ],
        ordens=[
            DescribedOrder(nome=each.name, rotulo=each.label, decrescente=each.is_descending)
            for each in entity.orders.values()
        ],
        formatos=[
            DescribedFormat(
                nome=each.name,
                registros_na_hora=min(MOST_ROWS, each.most_rows or MOST_ROWS),
                registros=each.most_rows,
                registros_por_planilha=each.rows_per_sheet,
            )
            for each in FORMATS.values()
        ],
    )


def _referred(entity: Entity, name: str) -> str | None:
    """The list whose keys a column of a declared entity holds."""
    column = entity.declared.columns.get(name) if entity.declared is not None else None
    if column is None:
        return None
    if column.references is not None:
        return column.references.replace("_", "-")
    return CONTROL if column.type == "control_number" else None


def _domain_of(entity: Entity, chosen: Filter) -> str | None:
    """The domain table that names the codes in a filter's column."""
    alias, _, column = chosen.sql.partition(".")
    table = {MAIN: entity.name, RECORD: entity.resources[0].name if entity.resources else ""}.get(alias, "")
    return _DOMAINS.get((table, column))
