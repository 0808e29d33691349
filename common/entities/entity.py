"""Entities: what readers list, filter and export; derived from the descriptions of resources, lists and parties, and
from the declarations of what others hand over.

An entity is a table with what is said of its rows elsewhere: entries of a list have the columns of their record by
which readers filter, and records that name a unit only by its number have its município and UF.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cache

from common.entities.columns import value_of
from common.entities.declared import Declaration, DeclaredColumn
from common.resources import RESOURCES
from common.resources.derive import (
    AUSENTE,
    BUSCA,
    entry_columns,
    key_column,
    party_columns,
    party_key,
    party_row_key,
    stored_columns,
)
from common.resources.description import Child, Column, Condition, Kind, Mention, Party, Resource
from common.resources.parties import PARTIES

# ruff: noqa: S608  # all names in these statements stand in descriptions

MAIN = "e"
"""What the entity's own table is called in statements."""
SEARCH, RELEVANCE = "q", "relevancia"
"""The filter on words."""
RECORD = "r"
"""And the table of the records that its entries belong to."""
NOW = "timezone('America/Sao_Paulo', now())"
MOMENTS = (Kind.MOMENT, Kind.STAMP)
DATES = (*MOMENTS, Kind.DAY)
INTEGERS = (Kind.INTEGER, Kind.LONG, Kind.CODE)
LARGEST_LONG = 2**63 - 1
OWN_PARAMETERS = (
    *("limite", "pular", "cursor", "ordem", "contagem", "campos", "dados_pessoais"),
    *("excel", "facetas", "agrupar", "medianas", "q", "visto_desde"),
)
"""Names that parameters of lists and files have beside filters."""
RECORDS = "entity_records"
"""The table of declared records."""
KEY, SEEN, CHANGED = "chave", "visto_em", "alterado_em"
"""Fields that the rows of declared entities have beside their columns."""


class Form(Enum):
    """How a filter compares."""

    ANY = "any"
    """Equal to one of several values."""
    FROM = "from"
    """No less than a value."""
    TO = "to"
    """No more than a value; a day stands for all of it."""
    HOLDS = "holds"
    """A condition of its own that is true or false."""
    WITH = "with"
    """A condition of its own that is asked with one value."""
    SEARCH = "search"
    """Words that a text has."""


@dataclass(frozen=True, eq=False)
class Field:
    """A column of an entity's rows, by the SQL that gives it.

    `is_default`: it stands in rows where no columns are named. `is_personal`: it may hold the number of a natural
    person, and `person` is the field that says which kind of person it is about, if one does. `is_free`: a text in
    which such a number may have been written, which is known by its check digits alone.
    """

    name: str
    label: str
    kind: Kind
    sql: str
    is_default: bool = True
    is_personal: bool = False
    person: str | None = None
    is_free: bool = False


@dataclass(frozen=True, eq=False)
class Filter:
    """What a filter compares, and how. `leads`: an index begins with it."""

    name: str
    label: str
    kind: Kind
    form: Form
    sql: str
    leads: bool = False


@dataclass(frozen=True, eq=False)
class Order:
    """An order of rows: by `sql`, then by the entity's key in the same direction.

    Where it is not `is_required`, some rows have no value; they come last.
    """

    name: str
    label: str
    sql: str
    kind: Kind
    is_required: bool
    is_descending: bool = True


@dataclass(frozen=True, eq=False)
class Entity:
    """What readers list. `source` stands behind FROM, and `key` tells its rows apart.

    `resources`: whose completeness is that of the entity; `children`: the lists whose entries these are. `period`: the
    filter, without `_de` and `_ate`, of the days by which the resources are covered; empty where rows have none.
    `resource`: whose records these are, if they are records; `party`: which party, if they are parties; `declared`:
    which declared entity. `searched`: the table whose words are searched, where it is not the entity's own.
    """

    name: str
    address: str
    label: str
    source: str
    key: tuple[Field, ...]
    fields: Mapping[str, Field]
    filters: Mapping[str, Filter]
    orders: Mapping[str, Order]
    resources: tuple[Resource, ...]
    children: tuple[Child, ...] = ()
    period: str = ""
    resource: Resource | None = None
    party: Party | None = None
    declared: Declaration | None = None
    searched: str = ""

    @property
    def default_order(self) -> Order:
        """The first of its orders."""
        return next(iter(self.orders.values()))


@dataclass
class _Parts:
    """What an entity is made of, while it is made."""

    joins: list[str] = field(default_factory=list)
    fields: dict[str, Field] = field(default_factory=dict)
    filters: dict[str, Filter] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)


def _add_columns(
    parts: _Parts,
    table: str,
    columns: Iterable[Column],
    *,
    leads: frozenset[str] = frozenset(),
    seldom: frozenset[str] = frozenset(),
    is_joined: bool = False,
) -> None:
    """Add the columns of a table. Those of a record have other names where an entry of its list has namesakes.

    `leads`: with which an index begins; `seldom`: which do not stand in rows unless they are named; `is_joined`: a row
    may lack the whole table.
    """
    columns = tuple(columns)
    by_path = {column.path: column.name for column in columns}
    for column in columns:
        sql, is_namesake = f"{table}.{column.name}", column.name in parts.fields
        field_name = f"registro_{column.name}" if is_namesake else column.name
        parts.fields[field_name] = Field(
            field_name,
            f"{column.label} (do registro)" if is_namesake else column.label,
            column.kind,
            sql,
            is_default=column.kind is not Kind.JSON and column.name not in seldom,
            is_personal=column.personal is not None,
            person=by_path[column.personal] if column.personal else None,
        )
        name, has_index = column.filter or column.name, column.name in leads
        if column.filter or has_index or column.kind not in (Kind.TEXT, Kind.JSON):
            for each in _filters_of(column, name, sql, leads=has_index):
                parts.filters.setdefault(each.name, each)
        if (has_index and column.kind in DATES) or name == "valor":
            is_required = column.required and not is_joined
            parts.orders.setdefault(name, Order(name, column.label, sql, column.kind, is_required))


def _filters_of(column: Column | DeclaredColumn, name: str, sql: str, *, leads: bool) -> Iterable[Filter]:
    """The filters on a column: a range of what has an order, else equality."""
    if column.kind in DATES:
        ends = ("_de", "a partir de"), ("_ate", "até, inclusive")
    elif column.kind is Kind.NUMBER:
        ends = ("_min", "no mínimo"), ("_max", "no máximo")
    else:
        yield Filter(name, column.label, column.kind, Form.ANY, sql, leads)
        return
    for (suffix, meaning), form in zip(ends, (Form.FROM, Form.TO), strict=True):
        yield Filter(f"{name}{suffix}", f"{column.label}: {meaning}", column.kind, form, sql, leads)


def _add_conditions(parts: _Parts, table: str, conditions: Iterable[Condition]) -> None:
    for each in conditions:
        form = Form.HOLDS if each.kind is Kind.BOOLEAN else Form.WITH
        sql = each.sql.replace("{t}", table).replace("{now}", NOW)
        parts.filters.setdefault(each.name, Filter(each.name, each.label, each.kind, form, sql))


def _join_parties(parts: _Parts, mentions: Iterable[Mention], table: str) -> None:
    """Add what is known of the órgão and the unit of a record that says less of them; of each the first it names."""
    first: dict[Party, Mention] = {}
    for mention in mentions:
        first.setdefault(mention.party, mention)
    for party, mention in first.items():
        columns = party_columns(party)
        if mention.partial and not any(column.personal is not None for column in columns):
            keys = (f"{party.name}.{name} = {table}.{mention.columns[name]}" for name in party_key(party))
            parts.joins.append(f"LEFT JOIN {party.name} ON {' AND '.join(keys)}")
            missing = (column for column in columns if column.name not in mention.columns)
            _add_columns(parts, party.name, missing, is_joined=True)


def _add_own(parts: _Parts) -> None:
    """Add what the mirror knows of every row, and the filters of all entities."""
    for name, column, label in (
        ("visto_em", "created_at", "Visto pela primeira vez no espelho"),
        ("alterado_em", "updated_at", "Alterado pela última vez no espelho"),
    ):
        sql = f"timezone('America/Sao_Paulo', {MAIN}.{column})"
        parts.fields[name] = Field(name, label, Kind.MOMENT, sql)
    parts.fields["payload"] = Field(
        "payload", "Como veio do portal", Kind.JSON, f"{MAIN}.payload", is_default=False, is_personal=True
    )
    _add_since(parts)
    cnpj = parts.filters.get("cnpj")
    if cnpj is not None:
        # a range, which an index can answer; LIKE could not in most collations
        sql = f"{cnpj.sql} BETWEEN {{value}} || '000000' AND {{value}} || 'ZZZZZZ'"
        label = "Os oito primeiros caracteres do CNPJ do órgão"
        parts.filters["cnpj_raiz"] = Filter("cnpj_raiz", label, Kind.SHORT_TEXT, Form.WITH, sql, cnpj.leads)


def _add_since(parts: _Parts) -> None:
    """Add the filter on what has come, or was changed, since a moment."""
    since = f"{MAIN}.updated_at >= timezone('America/Sao_Paulo', {{value}})"
    label = "Visto pela primeira vez, ou alterado, a partir deste momento"
    parts.filters["visto_desde"] = Filter("visto_desde", label, Kind.MOMENT, Form.WITH, since)


def _add_absence(parts: _Parts) -> None:
    """Add since when the portal no longer lists a record, and the filter on that."""
    column = f"{MAIN}.{AUSENTE}"
    label = "Fora da listagem do portal desde"
    parts.fields[AUSENTE] = Field(AUSENTE, label, Kind.MOMENT, f"timezone('America/Sao_Paulo', {column})")
    label = "Não está mais na listagem do portal"
    parts.filters["ausente"] = Filter("ausente", label, Kind.BOOLEAN, Form.HOLDS, f"{column} IS NOT NULL")


def _add_search(parts: _Parts, searched: Iterable[str]) -> None:
    """Add the filter on words, where the table has them."""
    columns = ", ".join(f"`{name}`" for name in searched)
    if columns:
        label = f'Palavras em {columns}: todas, em qualquer número; também `OU`, `-palavra`, `"frase"`, `prefixo*`'
        parts.filters[SEARCH] = Filter(SEARCH, label, Kind.TEXT, Form.SEARCH, f"{MAIN}.{BUSCA}", leads=True)


def _with_relevance(orders: Mapping[str, Order], searched: Sequence[str]) -> dict[str, Order]:
    """The orders, and after them the one by how well the words of a question fit, where the table has words.

    A question in this order has its words as its first parameter.
    """
    if not searched:
        return dict(orders)
    # a decimal, which stays the same in a cursor
    rank = f"round(CAST(ts_rank({MAIN}.{BUSCA}, to_tsquery('pncp', $1)) AS numeric), 6)"
    label = "Relevância: quanto as palavras de `q` dizem do registro"
    return {**orders, RELEVANCE: Order(RELEVANCE, label, rank, Kind.NUMBER, is_required=True)}


def _leading(indexes: Iterable[tuple[str, ...]], key: Iterable[str]) -> frozenset[str]:
    return frozenset(columns[0] for columns in (*indexes, tuple(key)))


def _seldom_wanted(mentions: Iterable[Mention]) -> frozenset[str]:
    """The columns of every mention of a party but the first."""
    seen: set[Party] = set()
    seldom: set[str] = set()
    kept: set[str] = set()
    for mention in mentions:
        (seldom if mention.party in seen else kept).update(mention.columns.values())
        seen.add(mention.party)
    return frozenset(seldom - kept)


def _add_record(parts: _Parts, resource: Resource, table: str, *, is_whole: bool) -> None:
    """Add the columns of a record, or those that the entries of its lists show too."""
    columns = [
        each
        for each in stored_columns(resource)
        if is_whole or each.name in resource.context or (each.filter and each.name != resource.key)
    ]
    leads, seldom = _leading(resource.indexes, (resource.key,)), _seldom_wanted(resource.mentions)
    _add_columns(parts, table, columns, leads=leads, seldom=seldom)
    _join_parties(parts, resource.mentions, table)
    _add_conditions(parts, table, resource.conditions)


def _day_order(resource: Resource, table: str) -> Order:
    """By the stamp of the listing by which days of the resource are covered."""
    stamp = resource.listings[resource.day_criterio].stamp
    column = next(each for each in resource.columns if each.name == stamp)
    return Order(column.filter or stamp, column.label, f"{table}.{stamp}", column.kind, is_required=True)


@cache
def of_resource(resource: Resource) -> Entity:
    """The records of a resource."""
    parts, order = _Parts(), _day_order(resource, MAIN)
    parts.orders[order.name] = order
    _add_search(parts, resource.searched)
    _add_record(parts, resource, MAIN, is_whole=True)
    _add_own(parts)
    if resource.shows_absence:
        _add_absence(parts)
    return Entity(
        name=resource.name,
        address=resource.name.replace("_", "-"),
        label=resource.label,
        source=" ".join((f"{resource.name} {MAIN}", *parts.joins)),
        key=(parts.fields[resource.key],),
        fields=parts.fields,
        filters=parts.filters,
        orders=_with_relevance(parts.orders, resource.searched),
        resources=(resource,),
        period=order.name,
        resource=resource,
    )


@cache
def of_child(resource: Resource, child: Child) -> Entity:
    """The entries of a list of a resource's records."""
    parts, order = _Parts(), _day_order(resource, RECORD)
    parts.orders[order.name] = order
    _add_search(parts, child.searched)
    columns, leads = (key_column(resource), *entry_columns(child)), _leading(child.indexes, (resource.key,))
    _add_columns(parts, MAIN, columns, leads=leads, seldom=_seldom_wanted(child.mentions))
    _add_record(parts, resource, RECORD, is_whole=False)
    _add_own(parts)
    join = f"JOIN {resource.name} {RECORD} ON {RECORD}.{resource.key} = {MAIN}.{resource.key}"
    return Entity(
        name=child.name,
        address=child.address or child.name.replace("_", "-"),
        label=child.label,
        source=" ".join((f"{child.name} {MAIN}", join, *parts.joins)),
        key=tuple(parts.fields[name] for name in (resource.key, *child.key)),
        fields=parts.fields,
        filters=parts.filters,
        orders=_with_relevance(parts.orders, child.searched),
        resources=(resource,),
        children=(child,),
        period=order.name,
    )


def _together(address: str, entities: Sequence[Entity]) -> Entity:
    """One entity of the rows of several, with what all of them have; `entidade` says of which resource a row is."""
    kind = Field("entidade", "De que registro", Kind.TEXT, f"{MAIN}.entidade")
    first, *others = entities
    shared = [name for name in first.fields if all(name in each.fields for each in others)]
    selects = []
    for each in entities:
        columns = ", ".join(f"{each.fields[name].sql} AS {name}" for name in shared)
        own = f"'{each.resources[0].name}' AS entidade, {MAIN}.created_at, {MAIN}.updated_at"
        selects.append(f"SELECT {own}, {columns} FROM {each.source}")
    fields = {"entidade": kind} | {name: replace(first.fields[name], sql=f"{MAIN}.{name}") for name in shared}
    by_sql = {first.fields[name].sql: f"{MAIN}.{name}" for name in shared}
    filters = {"entidade": Filter("entidade", kind.label, kind.kind, Form.ANY, kind.sql)} | {
        name: replace(each, sql=by_sql.get(each.sql, each.sql), leads=False)
        for name, each in first.filters.items()
        if each.sql in by_sql or name == "visto_desde"
    }
    orders = {name: replace(each, sql=by_sql[each.sql]) for name, each in first.orders.items() if each.sql in by_sql}
    return replace(
        first,
        name=address,
        address=address,
        label=" e ".join(each.label for each in entities),
        source=f"({' UNION ALL '.join(selects)}) {MAIN}",
        key=(kind, *(fields[each.name] for each in first.key)),
        fields=fields,
        filters=filters,
        orders=orders,
        resources=tuple(each.resources[0] for each in entities),
        children=tuple(child for each in entities for child in each.children),
    )


@cache
def of_party(party: Party) -> Entity:
    """The parties of a kind."""
    parts, names = _Parts(), party_row_key(party)
    _add_search(parts, party.searched)
    _add_columns(parts, MAIN, party_columns(party), leads=frozenset(names[:1]))
    _add_own(parts)
    key = tuple(parts.fields.get(name) or Field(name, "Número", Kind.INTEGER, f"{MAIN}.{name}") for name in names)
    order = Order("chave", "Chave", key[0].sql, key[0].kind, is_required=True, is_descending=False)
    parts.orders[order.name] = order
    return Entity(
        name=party.name,
        address=party.name,
        label=party.label,
        source=f"{party.name} {MAIN}",
        key=key,
        fields=parts.fields,
        filters=parts.filters,
        orders=_with_relevance(parts.orders, party.searched),
        resources=tuple(each for each in RESOURCES if _names(each, party)),
        party=party,
    )


def _names(resource: Resource, party: Party) -> bool:
    mentions = (*resource.mentions, *(mention for child in resource.lists for mention in child.mentions))
    return any(mention.party is party for mention in mentions)


# --- declared entities ------------------------------------------------------------------------------------------


def of_declared(entity: Declaration, secret: str = "") -> Entity:
    """The records of a declared entity that are not removed, or the rows of its view.

    Where keys may be numbers of natural persons, rows are paged by a number of ours, as cursors show what they are
    paged by; a view has none, and its rows are paged by a hash. Without `secret`, of letters and digits, its readers
    could find the number by trying all of them.
    """
    parts, values = _Parts(), {name: f"{MAIN}.v_{name}" for name in entity.columns}
    key = Field(KEY, "Chave", Kind.TEXT, f"{MAIN}.key", is_personal=entity.has_personal_key)
    parts.fields[KEY] = key
    for each in entity.columns.values():
        is_json = each.kind is Kind.JSON
        parts.fields[each.name] = Field(
            each.name,
            each.label,
            each.kind,
            f"{MAIN}.v_{each.name}",
            is_default=not is_json,
            is_personal=each.is_personal or is_json,
            is_free=each.type == "text" and not each.values and each.name not in entity.key,
        )
    _add_declared_filters(parts, entity, values)
    paged = _paged_by(entity, key, parts.fields, secret)
    parts.orders[KEY] = Order(KEY, key.label, paged[0].sql, paged[0].kind, is_required=True, is_descending=False)
    moments = [(CHANGED, "Alterado pela última vez", f"{MAIN}.updated_at")]
    if entity.view is None:
        moments.insert(0, (SEEN, "Recebido pela primeira vez", f"{MAIN}.created_at"))
    for name, label, sql in moments:
        parts.fields[name] = Field(name, label, Kind.MOMENT, f"timezone('America/Sao_Paulo', {sql})")
    parts.orders[CHANGED] = Order(CHANGED, moments[-1][1], parts.fields[CHANGED].sql, Kind.MOMENT, is_required=True)
    for each in entity.columns.values():
        if each.kind in (*DATES, Kind.NUMBER):
            parts.orders.setdefault(each.name, Order(each.name, each.label, values[each.name], each.kind, False))
    searched = entity.searched if entity.view is None else ()
    return Entity(
        name=entity.name,
        address=entity.name.replace("_", "-"),
        label=entity.label,
        source=_declared_source(entity),
        key=paged,
        fields=parts.fields,
        filters=parts.filters,
        orders=_with_relevance(parts.orders, searched),
        resources=(),
        declared=entity,
    )


def _declared_source(entity: Declaration) -> str:
    """What stands behind FROM. The planner takes it apart, so that only what is asked for is read out of a record."""
    table = "d"
    columns = [f"{value_of(entity, each, table)} AS v_{each.name}" for each in entity.columns.values()]
    if entity.view is not None:
        key = joined_key([f"{table}.{name}" for name in entity.key])
        version = f"{table}.{entity.version}"
        own = [f"{key} AS key", f"{version} AS created_at", f"{version} AS updated_at"]
        return f"(SELECT {', '.join((*own, *columns))} FROM {entity.view} {table}) {MAIN}"
    own = [f"{table}.{name}" for name in ("key", "number", "created_at", "updated_at", BUSCA)]
    rows = f"{RECORDS} {table} WHERE {table}.entity = '{entity.name}' AND {table}.removed_at IS NULL"
    return f"(SELECT {', '.join((*own, *columns))} FROM {rows}) {MAIN}"


def _paged_by(entity: Declaration, key: Field, fields: Mapping[str, Field], secret: str) -> tuple[Field, ...]:
    if entity.view is None:
        return (Field("numero", "Número", Kind.LONG, f"{MAIN}.number"),) if key.is_personal else (key,)
    if key.is_personal:
        return (Field("resumo", "Resumo da chave", Kind.TEXT, f"md5('{secret}' || {MAIN}.key)"),)
    return tuple(fields[name] for name in entity.key)


def _add_declared_filters(parts: _Parts, entity: Declaration, values: Mapping[str, str]) -> None:
    """Add filters on the words, the key and each column. A name that another one has gets `_` behind it."""
    _add_search(parts, entity.searched if entity.view is None else ())
    _add_since(parts)
    leads = entity.view is None
    parts.filters[KEY] = Filter(KEY, "Chave", Kind.SHORT_TEXT, Form.ANY, f"{MAIN}.key", leads=leads)
    for each in entity.columns.values():
        if each.kind is Kind.JSON:
            continue
        is_key = leads and each.name == entity.key_text
        for made in _filters_of(each, each.name, values[each.name], leads=is_key):
            name = made.name
            while name in parts.filters or name in OWN_PARAMETERS:
                name += "_"
            # what has few values can be counted by them; numbers of companies and persons have not
            kind = Kind.SHORT_TEXT if made.kind is Kind.TEXT and each.type != "text" else made.kind
            parts.filters[name] = replace(made, name=name, kind=kind)


def joined_key(parts: Sequence[str]) -> str:
    """SQL of a key as one text."""
    return " || '/' || ".join(f"CAST({part} AS text)" for part in parts)


def _all() -> Iterable[Entity]:
    yield from map(of_resource, RESOURCES)
    by_address: defaultdict[str, list[Entity]] = defaultdict(list)
    for resource in RESOURCES:
        for child in resource.lists:
            made = of_child(resource, child)
            by_address[made.address].append(made)
    for address, entities in by_address.items():
        yield entities[0] if len(entities) == 1 else _together(address, entities)
    yield from map(of_party, PARTIES)


ENTITIES: tuple[Entity, ...] = tuple(_all())
ENTITIES_BY_ADDRESS = {entity.address: entity for entity in ENTITIES}
