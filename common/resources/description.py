"""The values that describe a resource of the portal: frozen, without behaviour.

Tables, SQL and documentation are derived from them in `derive`, decoders in `ingestor.sources.pncp.decoders`, the merge
in `ingestor.store.statements`. Descriptions are compared by identity, so that they are cheap keys of a cache.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import Enum, auto
from functools import partial
from typing import Literal, get_args

Criterio = Literal["publicacao", "atualizacao"]
"""By which stamp a listing's window filters: that of publication, or that of the last change."""
CRITERIOS: tuple[Criterio, ...] = get_args(Criterio)


class Kind(Enum):
    """The type of a column, and the JSON types in which the portal may write it."""

    TEXT = auto()
    SHORT_TEXT = auto()
    """Part of an index: at most 250 characters, as PostgreSQL's indexes take no more than 2,700 bytes for a key."""
    INTEGER = auto()
    """32 bits."""
    LONG = auto()
    """64 bits; of declared entities alone."""
    CODE = auto()
    """An id that the portal's document calls a string and its answers write as a number; both are taken."""
    NUMBER = auto()
    """A decimal of any scale; a text that spells one is taken."""
    BOOLEAN = auto()
    DAY = auto()
    MOMENT = auto()
    """Brasília's wall clock; an offset is converted."""
    STAMP = auto()
    """A moment, or a day alone, which stands for its beginning; only for required columns."""
    JSON = auto()
    """Any JSON, kept as it is."""


@dataclass(frozen=True, eq=False)
class Column:
    """A column that is read out of a record.

    `path` names the keys from the record's outermost object to the value, joined with dots. `label` is for readers, in
    Portuguese. A record without a `required` column is rejected; what does not fit any other leaves it null.
    `personal`: it may be or hold the number of a natural person; the path of the value that says which kind of person
    it is about, empty where nothing does. `filter`: the name by which readers filter and sort, where it is not the
    column's; a text is a filter only with it. `refers`: the resource whose key it holds.
    """

    kind: Kind
    name: str
    path: str
    label: str
    required: bool = False
    personal: str | None = None
    filter: str = ""
    refers: str = ""


text = partial(Column, Kind.TEXT)
short_text = partial(Column, Kind.SHORT_TEXT)
integer = partial(Column, Kind.INTEGER)
code = partial(Column, Kind.CODE)
number = partial(Column, Kind.NUMBER)
boolean = partial(Column, Kind.BOOLEAN)
day = partial(Column, Kind.DAY)
moment = partial(Column, Kind.MOMENT)
stamp = partial(Column, Kind.STAMP)
json = partial(Column, Kind.JSON)


@dataclass(frozen=True, eq=False)
class Condition:
    """A filter for readers that is more than one column: `sql` about the table `{t}`, at the moment `{now}`.

    Of kind BOOLEAN it holds or not; else `{value}` is what it is asked with. The moment is Brasília's wall clock.
    """

    kind: Kind
    name: str
    label: str
    sql: str


@dataclass(frozen=True, eq=False)
class Party:
    """A table of parties that records name. Its key is that of `owner`, if it has one, and the columns `key`.

    The paths of its columns begin at the object that names it. `called` is the column with its name. `searched` are the
    columns whose words are found by a search.
    """

    name: str
    label: str
    key: tuple[str, ...]
    called: str
    columns: tuple[Column, ...]
    owner: "Party | None" = None
    searched: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Mention:
    """A place of a record that names a party. Where the record lacks a column of the party's key, it names none.

    `columns`: the record's columns that say what the party's columns say, by the latter; those of its owner's key too.
    `path` is the object that the party's `payload` is; where there is none, the party's values stand in the record
    itself, and its `payload` is made of them.

    A `partial` mention says less of a party than others do: it adds one that is not known, and yields to every other.
    So does a mention without a name.
    """

    party: Party
    columns: Mapping[str, str]
    path: str | None = None
    partial: bool = False


@dataclass(frozen=True, eq=False)
class Listing:
    """A listing of the portal: where it is, and the column with the stamp that its window filters on.

    `first_day` and `last_day` are the parameters of its window; `excludes_last_day`: the portal leaves out the last day
    that it is asked for. `begins`: the portal refuses earlier days. `empty_status` and `empty_text` tell an empty
    listing from a failure: the status, and what its body contains; of status 200, that it has no body.

    `counts`: the totals count the entries of this array of each record, and a page is cut between them, so that a
    record may stand on several pages. `repeats_rows`: the portal lists rows twice and counts them twice, so that totals
    say how many rows there are, and not how many records. `is_slow`: its pages are given from the first try on the time
    of a second one. `at_once`: the most requests of a worker that are under way.
    """

    path: str
    stamp: str
    first_day: str = "dataInicial"
    last_day: str = "dataFinal"
    excludes_last_day: bool = False
    begins: date | None = None
    empty_status: int = 204
    empty_text: str = ""
    counts: str | None = None
    repeats_rows: bool = False
    is_slow: bool = False
    at_once: int | None = None


@dataclass(frozen=True, eq=False)
class Axis:
    """The division of a resource's listings: the request's parameter, and the column that holds its value."""

    parameter: str
    column: str


@dataclass(frozen=True, eq=False)
class Child:
    """The entries of a list that belongs to each record. Its key: the record's and the columns of `key`.

    `key_columns`: the portal gives entries no number, and `key` is one column of ours that joins these, so that of
    entries that agree in all of them one is stored. Such a list keeps what is gone.

    `path` is where the portal has the list, made of the groups of the record's key pattern; `path/quantidade` says how
    many entries it has. `page_size` is asked for at once. `service` is what it is called in `source_pauses`, and by
    administrators.

    `read_at` is a column of the record's table: when its list was last read in full, null while that is to be done.
    `debts` is the table of the lists that are owed.

    `parts`: the list is asked for in parts, which come whole and are not counted by the portal; `path` names a part by
    its `column`. `keeps_gone`: an entry that is no longer listed stays. `mentions`: the parties that entries name, as
    of the moment in the column `stamp`. `indexes` are those beside the key, each by its columns.
    """

    name: str
    label: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    path: str
    page_size: int
    service: str
    read_at: str
    debts: str
    parts: "Parts | None" = None
    keeps_gone: bool = False
    mentions: tuple[Mention, ...] = ()
    stamp: str | None = None
    indexes: tuple[tuple[str, ...], ...] = ()
    address: str = ""
    searched: tuple[str, ...] = ()
    key_columns: tuple[str, ...] = ()

    @property
    def told_apart_by(self) -> tuple[str, ...]:
        """The columns in which no two entries of a list are the same."""
        return self.key_columns or self.key


@dataclass(frozen=True, eq=False)
class Parts:
    """The parts of a list: one for each entry of another list of the record, `child`, whose column `has` is true.

    `column` is the one of `child` that tells them apart, and a column of their own entries too.
    """

    child: Child
    column: str
    has: str


@dataclass(frozen=True, eq=False)
class Nested:
    """A whole record of another resource that stands in a record at `path`, and is written as one of its own."""

    resource: "Resource"
    path: str


@dataclass(frozen=True, eq=False)
class Rollup:
    """What of a resource is counted and added up for each day, the one in its column `day`.

    `dimensions` and `amounts`: its columns by those of the rollup (`common.resources.resumo`).
    """

    day: str
    dimensions: Mapping[str, str] = field(default_factory=dict)
    amounts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Resource:
    """A kind of record that the portal lists, by the name of its table.

    `key` and `version` are columns; neither stamp of a version alone will do. `key_columns`: the portal gives no key in
    one value, and `key` is a column of ours that joins these with hyphens. `key_pattern` is a regular expression for
    all of a key, `key_form` says it for people. `has_day_stamps`: the stamps are days, so that equal ones do not mean
    that nothing has changed, and the version that was read later stands.

    `listings` are by `publicacao`, by `atualizacao`, or both. A listing by `atualizacao` alone is also how days are
    loaded and covered. `shows_changes`: a record that changes comes again in it.

    `page_size`: the most records that a page of its listings holds. `omits` are keys of a record that its payload is
    kept without, as a table of its own has them. `indexes` are those beside the key and `updated_at`, each by its
    columns, and `covers` what an index holds beside its columns, by the first of them: columns that are added up.
    `searched` are the columns whose words are found by a search.
    `is_collected`: what is read of it may also be kept as it was read (`coletas`), by the `ano` of its key.

    `update_cron` and `sweep_cron`: when its updates and its sweeps start, unless settings or administrators say
    otherwise, on Brasília's clock. Those of no two resources start at the same minute.

    `rollup`: what is added up of its records as they are written.

    `child` is the list that is read with each record, and owed where it does not come. `later` are lists that are only
    ever read later than their record, and only of records that are in their scope (`common.lists`).

    `conditions` are filters for readers beside those that are columns. `page`: where the portal shows a record to
    people, made of the groups of `key_pattern`, numbers without zeros in front. `context`: the columns that readers of
    its lists see beside each entry, with those by which they filter.
    """

    name: str
    label: str
    key: str
    key_pattern: str
    key_form: str
    version: tuple[str, str]
    page_size: int
    listings: Mapping[Criterio, Listing]
    update_cron: str
    sweep_cron: str
    columns: tuple[Column, ...]
    axis: Axis | None = None
    mentions: tuple[Mention, ...] = ()
    child: Child | None = None
    later: tuple[Child, ...] = ()
    nested: Nested | None = None
    rollup: Rollup | None = None
    indexes: tuple[tuple[str, ...], ...] = ()
    covers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    key_columns: tuple[str, ...] = ()
    has_day_stamps: bool = False
    shows_changes: bool = True
    omits: tuple[str, ...] = ()
    searched: tuple[str, ...] = ()
    is_collected: bool = False
    conditions: tuple[Condition, ...] = ()
    page: str = ""
    context: tuple[str, ...] = ()

    @property
    def day_criterio(self) -> Criterio:
        """The listing by which whole days are loaded, swept and covered."""
        return "publicacao" if "publicacao" in self.listings else "atualizacao"

    @property
    def shows_absence(self) -> bool:
        """Whether a day that is read whole shows which of its records the portal no longer has.

        Listed by `publicacao`, a record stays in its day whatever changes; and what is listed are records.
        """
        listing = self.listings.get("publicacao")
        return listing is not None and listing.counts is None and not listing.repeats_rows

    @property
    def lists(self) -> tuple[Child, ...]:
        """All lists of its records, first the one that is read with them."""
        return self.later if self.child is None else (self.child, *self.later)

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables of its records and of the entries of their lists."""
        return (self.name, *(child.name for child in self.lists))
