"""What the files of connections say, checked and immutable."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any, Literal

from common.clock import BRASILIA
from common.connections.reading import Fault
from common.connections.results import ResultsRule
from common.connections.secrets import SecretText
from common.entities.declared import Declaration
from common.entities.delivered import Delivered
from common.mapping.rendering import Rendering

Preset = Literal["generic", "slack", "teams", "telegram"]
Method = Literal["POST", "PUT", "PATCH"]


@dataclass(frozen=True)
class Conditions:
    """SQL over the source of an entity with parameters `{0}`, `{1}`, ...; other braces are doubled. Empty for none."""

    sql: str
    values: tuple[Any, ...]

    def numbered(self, first: int) -> str:
        """The SQL with the numbers that its parameters have in a statement, from `first` on."""
        return self.sql.format(*(f"${number}" for number in range(first, first + len(self.values))))


@dataclass(frozen=True)
class Bearer:
    """A token of the destination's."""

    token: SecretText


@dataclass(frozen=True)
class Basic:
    """A user and a password."""

    username: SecretText
    password: SecretText


@dataclass(frozen=True)
class HeaderKey:
    """A key in a header of its own."""

    name: str
    value: SecretText


@dataclass(frozen=True)
class ClientCredentials:
    """A token that is asked for with a client's id and secret (OAuth 2.0). `in_body`: both stand in the form."""

    token_url: SecretText
    client_id: SecretText
    client_secret: SecretText
    scope: str | None = None
    in_body: bool = False


Auth = Bearer | Basic | HeaderKey | ClientCredentials


@dataclass(frozen=True, eq=False)
class Stream:
    """What a destination receives of one entity, and how.

    `wrap` is `array`, `lines`, `none`, or the name of the member whose value is the array; null for messages.
    """

    name: str
    entity: Delivered
    where: Conditions
    path: str
    method: Method
    batch_records: int
    batch_bytes: int
    wrap: str | None
    results: ResultsRule | None
    rendering: Rendering


@dataclass(frozen=True, eq=False)
class Destination:
    """One file of `destinations/`. `digest` is the SHA-256 of it; `timeout` is in seconds."""

    name: str
    digest: bytes
    kind: Literal["http", "amqp"]
    preset: Preset
    url: SecretText
    auth: Auth | None
    sign: tuple[SecretText, ...]
    headers: Mapping[str, SecretText]
    schedule: str
    after: Literal["update"] | None
    start: Literal["now", "all"] | date
    hold_above: int
    requests_per_second: float | None
    concurrency: int
    timeout: float
    allow_http: bool
    allow_private: bool
    exchange: str
    routing_key: str
    queue: str
    streams: tuple[Stream, ...]

    @property
    def first_moment(self) -> datetime | None:
        """Where `start` is a day, when it begins on Brasília's clock."""
        return datetime.combine(self.start, time(), BRASILIA) if isinstance(self.start, date) else None

    @property
    def secrets(self) -> tuple[SecretText, ...]:
        """All its texts that refer to secrets."""
        held: list[SecretText] = [self.url, *self.sign, *self.headers.values()]
        if self.auth is not None:
            held += [value for value in vars(self.auth).values() if isinstance(value, SecretText)]
        return tuple(dict.fromkeys(each for each in held if each.references))


Policy = Literal["valid_rows", "all_or_nothing"]


@dataclass(frozen=True)
class LayoutField:
    """Where the value of a column comes from. `header` is that of the sheet, or a member's name; null for `const`.

    `by_value`: what stands for a value as it is written; null where any does.
    """

    header: str | None
    const: Any = None
    default: Any = None
    by_value: Mapping[str, Any] | None = None


@dataclass(frozen=True, eq=False)
class Into:
    """What one row is of one entity: a field by the column of it."""

    entity: Declaration
    fields: Mapping[str, LayoutField]


@dataclass(frozen=True, eq=False)
class Layout:
    """How a row of a sheet, or a pushed object, becomes records: a file of `layouts/`, or an entity as it is."""

    name: str
    label: str
    policy: Policy
    into: tuple[Into, ...]


@dataclass(frozen=True, eq=False)
class SourceEntity:
    """How an entity is read out of a database.

    Either `table` or `query` is set. `key` are the columns there, in the order of the entity's key. `names`: what a
    column of the entity is called there, of those of the key and where the file says so; of any other the name is the
    same. Capitals do not count unless two columns differ by them alone. `lag`: for how long a writer may be late.
    """

    entity: Declaration
    table: str | None
    query: str | None
    key: tuple[str, ...]
    names: Mapping[str, str]
    cursor: str | None
    lag: timedelta
    page: int
    paging: Literal["keyset", "stream"]


@dataclass(frozen=True, eq=False)
class Source:
    """One file of `sources/`. `digest` is the SHA-256 of it; `timeout` is in seconds, of a statement.

    `schedule`: when all rows are read; `delta`: when those are that have changed. `hold_removed`: a whole reading that
    lacks a greater share of the records waits for a confirmation.
    """

    name: str
    digest: bytes
    url: SecretText
    schedule: str
    delta: str | None
    timeout: float
    hold_removed: float
    entities: tuple[SourceEntity, ...]


@dataclass(frozen=True)
class Client:
    """One file of `clients/`. `networks`: from where it may ask; without any, from anywhere."""

    name: str
    scopes: frozenset[str]
    networks: tuple[IPv4Network | IPv6Network, ...]
    secret_sha256: bytes = field(repr=False)

    def admits(self, address: str) -> bool:
        """Whether the client may ask from an address."""
        if not self.networks:
            return True
        try:
            given = ip_address(address)
        except ValueError:
            return False  # a name, or the path of a socket
        given = getattr(given, "ipv4_mapped", None) or given
        return any(given in network for network in self.networks)


@dataclass(frozen=True, eq=False)
class Connections:
    """What a folder says. `entities` are those of the mirror and the declared ones. `digest` is that of all files.

    `declarations` are the declared entities, with those that come with the product; `layouts` those of the folder, and
    one for each entity that is taken in, by its name.
    """

    destinations: Mapping[str, Destination] = field(default_factory=dict)
    entities: Mapping[str, Delivered] = field(default_factory=dict)
    clients: Mapping[str, Client] = field(default_factory=dict)
    digest: bytes = b""
    declarations: Mapping[str, Declaration] = field(default_factory=dict)
    layouts: Mapping[str, Layout] = field(default_factory=dict)
    sources: Mapping[str, Source] = field(default_factory=dict)


class ConnectionsInvalid(Exception):
    """Files of connections are not usable as they are."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = tuple(faults)
