"""Derives from a description its tables, the SQL that reads its columns, and its documentation.

The database reads the columns out of the payload itself. To build rows of a record and encode them for the driver costs
the ingestor several times what it costs the database to pick the values out of the `jsonb` that it stores anyway; and a
column cannot differ from the payload beside it.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR
from sqlalchemy.types import TypeEngine

from common.clock import BRASILIA
from common.resources import coletas, dominios, mudancas, resumo
from common.resources.description import Child, Column, Kind, Party, Resource

Searchable = Resource | Child | Party
BUSCA = "busca"
"""The column with the words of a row."""
AUSENTE = "ausente_desde"
"""The column that says since when a record is no longer listed."""

WALL_CLOCK = sa.DateTime(timezone=False)  # Brasília's, as the source writes it
MOMENT = sa.DateTime(timezone=True)  # an event of ours

_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it without types

_TYPES: dict[Kind, TypeEngine[Any]] = {
    Kind.TEXT: sa.Text(),
    Kind.SHORT_TEXT: sa.Text(),
    Kind.INTEGER: sa.Integer(),
    Kind.CODE: sa.Integer(),
    Kind.NUMBER: sa.Numeric(),
    Kind.BOOLEAN: sa.Boolean(),
    Kind.DAY: sa.Date(),
    Kind.MOMENT: WALL_CLOCK,
    Kind.STAMP: WALL_CLOCK,
    Kind.JSON: JSONB(),
}


# --- tables -----------------------------------------------------------------------------------------------------


def moment_column(name: str) -> sa.Column[object]:
    """A column for an event of ours that may not have happened."""
    return sa.Column(name, MOMENT)


def now_column(name: str) -> sa.Column[object]:
    """A column for an event of ours that happens as the row is made."""
    return sa.Column(name, MOMENT, nullable=False, server_default=sa.text("now()"))


def add_tables(metadata: sa.MetaData, resource: Resource) -> None:
    """Add the table of a resource, those of its lists, and those of the lists which are owed."""
    sa.Table(
        resource.name,
        metadata,
        *_columns(stored_columns(resource), {resource.key}),
        sa.Column("payload", JSONB, nullable=False),
        # null asks for the list again: of the child at the next sight of the record
        *(moment_column(child.read_at) for child in resource.lists),
        *([moment_column(AUSENTE)] if resource.shows_absence else []),
        now_column("created_at"),
        now_column("updated_at"),
        *_search(resource),
        # what has changed since a moment
        sa.Index(f"ix_{resource.name}_updated_at", "updated_at"),
        *(
            sa.Index(
                f"ix_{resource.name}_{names[0]}", *names, postgresql_include=list(resource.covers.get(names[0], ()))
            )
            for names in resource.indexes
        ),
        *_absent(resource),
    )
    for child in resource.lists:
        _add_list(metadata, resource, child)
        _add_debts(metadata, resource, child)


def _add_list(metadata: sa.MetaData, resource: Resource, child: Child) -> None:
    """Add the table of the entries of lists."""
    sa.Table(
        child.name,
        metadata,
        *_columns((key_column(resource), *entry_columns(child)), {resource.key, *child.key}),
        sa.Column("payload", JSONB, nullable=False),
        now_column("created_at"),
        now_column("updated_at"),
        *_search(child),
        sa.ForeignKeyConstraint(
            [resource.key], [f"{resource.name}.{resource.key}"], ondelete="CASCADE", initially="DEFERRED"
        ),
        *(sa.Index(f"ix_{child.name}_{names[0]}", *names) for names in child.indexes),
    )


def _add_debts(metadata: sa.MetaData, resource: Resource, child: Child) -> None:
    """Add the table of records that are stored without their lists, which are read later."""
    is_later = child in resource.later
    # what was asked for by hand comes first, then the newest
    order = [sa.text("asked_at"), sa.text("as_of DESC")] if is_later else [sa.text("as_of DESC")]
    sa.Table(
        child.debts,
        metadata,
        sa.Column(
            resource.key,
            sa.Text,
            sa.ForeignKey(f"{resource.name}.{resource.key}", ondelete="CASCADE"),
            primary_key=True,
        ),
        # the later stamp of the record's version: the newest are read first
        sa.Column("as_of", WALL_CLOCK, nullable=False),
        # unread (the list could not be read) or empty (an empty list that is not confirmed yet)
        sa.Column("reason", sa.Text, nullable=False),
        # the last failure, in a sentence
        sa.Column("cause", sa.Text),
        # the execution that met the record last
        sa.Column("execution_id", sa.BigInteger, sa.ForeignKey("sync_executions.id", ondelete="SET NULL")),
        now_column("owed_since"),
        # failed tries in a row, and how often the list was empty
        _count_column("tries"),
        _count_column("empty_sights"),
        # the next try is not before this; a worker that tries moves it beyond its lease
        now_column("due_at"),
        # tried too often: only a newer version of the record or an administrator starts another try
        moment_column("set_aside_at"),
        # when an administrator has asked for it last
        *([moment_column("asked_at")] if is_later else []),
        # the parts that are still to be read; null before the first
        *([sa.Column("parts_left", postgresql.ARRAY(sa.Integer))] if child.parts else []),
        sa.Index(f"ix_{child.debts}_due", *order, postgresql_where=sa.text("set_aside_at IS NULL")),
        sa.Index(f"ix_{child.debts}_execution_id", "execution_id"),
    )


def _absent(resource: Resource) -> list[sa.Index]:
    """The index of the records that the portal no longer has, which are few, in the order of its lists."""
    if not resource.shows_absence:
        return []
    is_absent = sa.text(f"{AUSENTE} IS NOT NULL")
    stamp = resource.listings["publicacao"].stamp
    return [sa.Index(f"ix_{resource.name}_{AUSENTE}", stamp, resource.key, postgresql_where=is_absent)]


def _count_column(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.Integer, nullable=False, server_default=sa.text("0"))


def _search(described: Searchable) -> list[sa.schema.SchemaItem]:
    """The column with the words of a row, their index, and that of rows which have none yet."""
    if not described.searched:
        return []
    name = described.name
    return [
        # null: not made yet, which is done in the background
        sa.Column(BUSCA, TSVECTOR),
        sa.Index(f"ix_{name}_{BUSCA}", BUSCA, postgresql_using="gin", postgresql_where=sa.text(f"{BUSCA} IS NOT NULL")),
        sa.Index(f"ix_{name}_unsearched", search_order(described), postgresql_where=sa.text(f"{BUSCA} IS NULL")),
    ]


def search_order(described: Searchable) -> str:
    """The column by which the words that are missing are made, from its highest value down.

    It is never null, and no other index begins with it, so that the one of rows without words is what is taken. Of
    others than resources it never changes: their rows can be changed without a new entry in every index.
    """
    return described.version[0] if isinstance(described, Resource) else "created_at"


def add_party(metadata: sa.MetaData, party: Party) -> None:
    """Add the table of a party."""
    sa.Table(
        party.name,
        metadata,
        *_columns(party_columns(party), set(party_key(party))),
        sa.Column("payload", JSONB, nullable=False),
        *_row_number(party),
        # the stamp of the record's version that these values were read from
        sa.Column("as_of", WALL_CLOCK, nullable=False),
        # whether only mentions that say less than others, or no name, have named it
        sa.Column("is_partial", sa.Boolean, nullable=False, server_default=sa.false()),
        now_column("created_at"),
        now_column("updated_at"),
        *_search(party),
    )


def _row_number(party: Party) -> list[sa.Column[object]]:
    is_needed = party_row_key(party) != party_key(party)
    return [sa.Column("id", sa.BigInteger, sa.Identity(always=True), unique=True)] if is_needed else []


def add_dominios(metadata: sa.MetaData) -> None:
    """Add the table of the portal's domain tables."""
    sa.Table(
        dominios.DOMINIOS,
        metadata,
        sa.Column("dominio", sa.Text, primary_key=True),
        *_columns(dominios.COLUMNS, {"codigo"}),
        sa.Column("payload", JSONB, nullable=False),
        now_column("seen_at"),
        moment_column(AUSENTE),
        now_column("created_at"),
        now_column("updated_at"),
    )


def key_column(resource: Resource) -> Column:
    """The column of a resource's key, which may be one of ours."""
    if resource.key_columns:
        paths = [column.path for name in resource.key_columns for column in resource.columns if column.name == name]
        return Column(Kind.TEXT, resource.key, " ".join(paths), f"Chave: {resource.key_form}", required=True)
    return next(column for column in resource.columns if column.name == resource.key)


def stored_columns(resource: Resource) -> tuple[Column, ...]:
    """The columns of a resource's table that say what its records say."""
    return (key_column(resource), *resource.columns) if resource.key_columns else resource.columns


def entry_columns(child: Child) -> tuple[Column, ...]:
    """The columns of a list's table that say what its entries say."""
    if not child.key_columns:
        return child.columns
    (name,) = child.key
    paths = [column.path for column in _key_columns(child)]
    return (
        Column(Kind.TEXT, name, " ".join(paths), "Chave: quando, o que se fez e de que", required=True),
        *child.columns,
    )


def _key_columns(child: Child) -> list[Column]:
    return [column for name in child.key_columns for column in child.columns if column.name == name]


def party_key(party: Party) -> tuple[str, ...]:
    """The columns of a party's key, its owner's first."""
    return (*(party_key(party.owner) if party.owner else ()), *party.key)


def party_row_key(party: Party) -> tuple[str, ...]:
    """The columns by which readers page through a party: its key, or a number of ours where that holds personal data.

    What readers page by stands in addresses, where nothing is masked.
    """
    is_personal = any(column.personal is not None for column in party.columns if column.name in party.key)
    return ("id",) if is_personal else party_key(party)


def party_columns(party: Party) -> tuple[Column, ...]:
    """The columns of a party, first its owner's key."""
    owner = party_columns(party.owner) if party.owner else ()
    return (*(column for column in owner if party.owner and column.name in party_key(party.owner)), *party.columns)


def _columns(columns: Iterable[Column], key: set[str]) -> list[sa.Column[object]]:
    return [
        sa.Column(
            column.name,
            _TYPES[column.kind],
            primary_key=column.name in key,
            nullable=not (column.required or column.name in key),
        )
        for column in columns
    ]


# --- SQL --------------------------------------------------------------------------------------------------------


def to_sql(columns: Iterable[Column]) -> dict[str, str]:
    """SQL that reads each column out of a `jsonb` by the name of `payload`, the payload included."""
    return {**{column.name: _expression(column) for column in columns}, "payload": "payload"}


def entry_sql(child: Child) -> dict[str, str]:
    """The same for the entries of a list. A key of ours is a text whose order is that of its first column, a moment."""
    if not child.key_columns:
        return to_sql(child.columns)
    (name,) = child.key
    parts = [_KEY_PARTS.get(column.kind, _KEY_PART).format(value=_expression(column)) for column in _key_columns(child)]
    return {name: f"concat_ws('-', {', '.join(parts)})", **to_sql(child.columns)}


_KEY_PARTS = {Kind.MOMENT: "to_char({value}, 'YYYY-MM-DD\"T\"HH24:MI:SS')"}
_KEY_PART = "coalesce(CAST({value} AS text), '0')"


def json_object(path: str) -> str:
    """SQL of the object at a path of `payload`, which is `payload` itself where the path is empty."""
    return "payload" + "".join(f" -> '{key}'" for key in path.split(".") if key)


# A code may be written as an empty text. A stamp without an offset is Brasília's already, as in `to_wall_clock`; only
# longer ones can have one.
_MOMENT = (
    "CASE WHEN length({value}) > 19 AND {value} ~* '(z|[+-][0-9]{{2}}:?[0-9]{{2}})$'"
    " THEN CAST({value} AS timestamptz) AT TIME ZONE '{zone}' ELSE CAST({value} AS timestamp) END"
)
_EXPRESSIONS = {
    Kind.TEXT: "{value}",
    Kind.SHORT_TEXT: "{value}",
    Kind.INTEGER: "CAST(nullif({value}, '') AS integer)",
    Kind.CODE: "CAST(nullif({value}, '') AS integer)",
    Kind.NUMBER: "CAST({value} AS numeric)",
    Kind.BOOLEAN: "CAST({value} AS boolean)",
    Kind.DAY: "CAST({value} AS date)",
    Kind.MOMENT: _MOMENT,
    Kind.STAMP: _MOMENT,
    Kind.JSON: "nullif({json}, 'null')",
}


def _expression(column: Column) -> str:
    outer, _, name = column.path.rpartition(".")
    inside = json_object(outer)
    return _EXPRESSIONS[column.kind].format(
        value=f"({inside} ->> '{name}')", json=f"{inside} -> '{name}'", zone=BRASILIA.key
    )


# The parser takes what these characters join for one word: "materiais/bens" for a file, "lote.conforme" for a host. A
# replacement of each costs a tenth of `translate`. The length keeps a vector under its limit of 1 MiB, which the
# database would refuse with the whole record.
_JOINING = "/.-_@<&+~"
_SEARCHED_CHARACTERS = 100_000


def search_vector(texts: Iterable[str]) -> str:
    """SQL of the words of several texts, each SQL of its own, as `busca` has them."""
    words = f"left(concat_ws(' ', {', '.join(texts)}), {_SEARCHED_CHARACTERS})"
    for character in _JOINING:
        words = f"replace({words}, '{character}', ' ')"
    return f"to_tsvector('pncp', {words})"


# --- documentation ----------------------------------------------------------------------------------------------

_OWN = {
    "payload": "O registro como veio do portal",
    "as_of": "Carimbo da versão do registro de que estes dados foram lidos, do último dia em que um registro os disse",
    "is_partial": "Se até aqui só foi citado por registros que dizem menos do que outros, ou sem nome",
    "id": "Número do espelho, por que leitores passam de página em página: a chave pode conter um CPF",
    AUSENTE: "Desde quando falta na listagem do portal do seu dia; nulo enquanto está nela",
    "created_at": "Quando esta linha foi criada",
    "updated_at": "Quando esta linha mudou pela última vez",
}
"""What the columns say that are the mirror's own."""
_READ_AT = "Quando a lista em {} foi lida por inteiro; nulo enquanto falta"
_OF_DOMINIOS = {
    "dominio": "Tabela de domínio, pelo fim do endereço da sua lista",
    "seen_at": "Quando foi vista pela última vez na lista",
    AUSENTE: "Desde quando falta na lista; nulo enquanto está nela",
}
_INTRODUCTION = """\
# Data dictionary

Every table of the mirror with its columns: the field of the record that each is read from, its type, and its meaning.
A column without a field is the mirror's own. Only columns marked `not null` always hold a value.
What does not fit a column leaves it null, and stays in `payload`.
`timestamp without time zone` is Brasília's wall clock as the portal writes it.
`timestamp with time zone` is an event of the mirror's.

This page is made from the descriptions: `python -m common.resources > docs/data.md`."""


def to_markdown(resources: Iterable[Resource], parties: Iterable[Party]) -> str:
    """The data dictionary: every column of the mirror's tables, where it is read from, its type and its meaning."""
    metadata = sa.MetaData()
    lines = [_INTRODUCTION]
    for resource in resources:
        add_tables(metadata, resource)
        own = {child.read_at: _READ_AT.format(child.name) for child in resource.lists} | _busca(resource)
        places = " and ".join(f"`{each.path}` by `{each.stamp}`" for each in resource.listings.values())
        lines += _lines(
            metadata.tables[resource.name], resource.label, stored_columns(resource), own, f"Listed at {places}."
        )
        for child in resource.lists:
            columns = (key_column(resource), *entry_columns(child))
            note = f"Listed at `{child.path}`."
            lines += _lines(metadata.tables[child.name], child.label, columns, _busca(child), note)
    for party in parties:
        add_party(metadata, party)
        lines += _lines(metadata.tables[party.name], party.label, party_columns(party), _busca(party))
    add_dominios(metadata)
    lists = ", ".join(f"`{each.name}`" for each in dominios.DOMAIN_TABLES)
    note = f"Each `dominio` is a list of the portal below `/pncp/v1/`: {lists}."
    lines += _lines(metadata.tables[dominios.DOMINIOS], dominios.LABEL, dominios.COLUMNS, _OF_DOMINIOS, note)
    coletas.add_coletas(metadata)
    for table in (metadata.tables[coletas.COLETAS], metadata.tables[coletas.PAGINAS], coletas.demandas()):
        name = table.name
        lines += _lines(table, coletas.LABELS[name], (), coletas.MEANINGS[name], coletas.NOTES.get(name, ""))
    resumo.add_resumo(metadata)
    for name in (resumo.DAILY, resumo.MONTHLY, resumo.DELTAS):
        lines += _lines(metadata.tables[name], resumo.LABELS[name], (), resumo.MEANINGS[name], resumo.NOTES[name])
    mudancas.add_mudancas(metadata)
    lines += _lines(metadata.tables[mudancas.MUDANCAS], mudancas.LABEL, (), mudancas.MEANINGS, mudancas.NOTE)
    return "\n".join((*lines, ""))


def _busca(described: Searchable) -> dict[str, str]:
    return {BUSCA: f"Palavras de {', '.join(described.searched)}; nulo enquanto a busca não as conhece"}


def _lines(
    table: sa.Table, label: str, columns: Iterable[Column], own: Mapping[str, str] | None = None, note: str = ""
) -> Iterator[str]:
    """The part of one table; `own` has the meaning of columns that only this table has for the mirror itself."""
    described = {column.name: column for column in columns}
    meanings = {**_OWN, **(own or {})}
    yield from ("", f"## `{table.name}`: {label}", "")
    unique = [column for index in table.indexes if index.unique for column in index.columns]
    key = ", ".join(f"`{column.name}`" for column in list(table.primary_key) or unique)
    if key:
        yield f"Key: {key}."
    for constraint in table.foreign_key_constraints:
        names = ", ".join(f"`{name}`" for name in constraint.column_keys)
        yield f"Each row belongs to the one of `{constraint.referred_table.name}` with the same {names}."
    if note:
        yield note
    yield from ("", "| column | field of the portal | type | meaning |", "| --- | --- | --- | --- |")
    for column in table.columns:
        kind = column.type.compile(_DIALECT).lower() + ("" if column.nullable else " not null")
        known = described.get(column.name)
        field, meaning = (f"`{known.path}`", known.label) if known else ("", meanings[column.name])
        meaning += "; dado pessoal, se de pessoa física" if known and known.personal else ""
        yield f"| `{column.name}` | {field} | {kind} | {meaning} |"
