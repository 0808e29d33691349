"""The files of connections as they are written: models that take nothing unknown and convert nothing."""

import re
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from common.connections.conditions import ANY_ITEM, OPERATORS
from common.cron import CronError, check_cron
from common.entities.declared import ColumnType
from common.mapping.plan import Fields, Scalar, Written

NAME = r"[a-z][a-z0-9_-]{0,40}"
ENTITY_NAME = r"[a-z][a-z0-9_]{0,40}"
IDENTIFIER = r"[a-z_][a-z0-9_]{0,62}"
DEFAULT_SCHEDULE = "0 1 * * *"
MOST_RECORDS, MOST_OF_A_MESSAGE = 10_000, 100
MOST_BYTES = 50 * 1024 * 1024
MOST_STREAMS = 100
MOST_SCOPES = 40
"""Of a client: a token names them all, and has to fit into a header."""


def _is(pattern: str, said: str) -> AfterValidator:
    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(said)
        return value

    return AfterValidator(check)


def _cron(value: str) -> str:
    try:
        return check_cron(value)
    except CronError:
        raise ValueError('esperava um cron de cinco campos, como "0 1 * * *"') from None


def _start(value: Any) -> Any:
    if value in ("now", "all") or type(value) is date:
        return value
    raise ValueError("esperava now (só o que mudar de agora em diante), all (tudo) ou um dia AAAA-MM-DD")


def _several(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


_HEADER_SAID = "não é um nome de cabeçalho"
Name = Annotated[str, _is(NAME, "use letras minúsculas, dígitos, - e _, começando por uma letra; no máximo 41")]
Identifier = Annotated[str, _is(IDENTIFIER, "use letras minúsculas, dígitos e _, começando por uma letra ou _")]
ViewName = Annotated[
    str, _is(rf"({IDENTIFIER}\.)?{IDENTIFIER}", "esperava o nome de uma visão, com ou sem esquema, em minúsculas")
]
Cron = Annotated[str, AfterValidator(_cron)]
Start = Annotated[
    Any,
    AfterValidator(_start),
    WithJsonSchema({"anyOf": [{"enum": ["now", "all"]}, {"type": "string", "format": "date"}]}),
]
Several = Annotated[
    list[str], BeforeValidator(_several, json_schema_input_type=str | list[str]), Field(min_length=1, max_length=5)
]
Number = Annotated[float, BeforeValidator(_number, json_schema_input_type=float)]
HeaderName = Annotated[str, _is(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", _HEADER_SAID)]
Path = Annotated[
    str, _is(r"(/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)*/?(\?[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?", "esperava /caminho")
]
Reference = Annotated[str, Field(description="${env:NAME} or ${file:/path}")]
_VALUE = {"type": ["string", "number", "boolean"]}
_CONDITION: dict[str, Any] = {
    "anyOf": [
        _VALUE,
        {
            "type": "object",
            "additionalProperties": False,
            "minProperties": 1,
            "properties": {
                "in": {"type": "array", "items": _VALUE, "minItems": 1},
                "equals": _VALUE,
                "at_least": {"type": ["number", "string"]},
                "at_most": {"type": ["number", "string"]},
                "from": {"type": "string"},
                "to": {"type": "string"},
                "is_null": {"type": "boolean"},
                "contains_any": {"type": "array", "items": {"type": "string"}, "minItems": 1},
            },
        },
    ]
}
assert tuple(_CONDITION["anyOf"][1]["properties"]) == OPERATORS  # noqa: S101  # one list cannot leave out what is in the other
Where = Annotated[
    dict[str, Any],
    WithJsonSchema(
        {
            "type": "object",
            "properties": {ANY_ITEM: {"type": "object", "additionalProperties": _CONDITION, "minProperties": 1}},
            "additionalProperties": _CONDITION,
        }
    ),
]


class BearerFile(Written):
    """`Authorization: Bearer`, with a token that does not change by itself."""

    kind: Literal["bearer"]
    token: Reference


class BasicFile(Written):
    """`Authorization: Basic`."""

    kind: Literal["basic"]
    username: str
    password: Reference


class HeaderFile(Written):
    """A key in a header of its own."""

    kind: Literal["header"]
    name: HeaderName
    value: Reference


class ClientCredentialsFile(Written):
    """A token that is asked for at `token_url` (OAuth 2.0). `in_body`: id and secret stand in the form."""

    kind: Literal["oauth2_client_credentials"]
    token_url: str
    client_id: str
    client_secret: Reference
    scope: str | None = None
    in_body: bool = False


AuthFile = Annotated[BearerFile | BasicFile | HeaderFile | ClientCredentialsFile, Field(discriminator="kind")]


class BatchFile(Written):
    """How many records stand in a request, and how a body holds them."""

    records: int | None = Field(None, ge=1, le=MOST_RECORDS)
    max_bytes: int | None = Field(None, ge=1024, le=MOST_BYTES)
    wrap: str | None = Field(
        None, min_length=1, max_length=100, description="array, lines, none, or the name of the array's member"
    )


class RejectionFile(Written):
    """What an entry must (not) say to be a rejection."""

    in_: list[Scalar] | None = Field(None, alias="in", min_length=1)
    not_in: list[Scalar] | None = Field(None, min_length=1)


def _rejection(value: Any) -> Any:
    if value == "present" or isinstance(value, dict | RejectionFile):
        return value
    raise ValueError("esperava present, {in: [...]} ou {not_in: [...]}")


class ResultsFile(Written):
    """Where an answer lists what has become of each record."""

    at: str = Field("", description="path to the list; empty: the answer itself")
    key: str | None = Field(None, description="by which field an entry names its record; not set: by their order")
    rejected_when: Annotated[
        dict[str, Annotated[Any, AfterValidator(_rejection)]],
        Field(min_length=1),
        WithJsonSchema(
            {
                "type": "object",
                "minProperties": 1,
                "additionalProperties": {
                    "anyOf": [
                        {"const": "present"},
                        {
                            "type": "object",
                            "additionalProperties": False,
                            "minProperties": 1,
                            "maxProperties": 1,
                            "properties": {
                                "in": {"type": "array", "minItems": 1},
                                "not_in": {"type": "array", "minItems": 1},
                            },
                        },
                    ]
                },
            }
        ),
    ]
    reason: str | None = None


class MessageFile(Written):
    """A chat's message: a line of each record below a head."""

    head: str = Field("", max_length=1000)
    line: str = Field(min_length=1, max_length=4000)


class ExampleFile(Written):
    """A record, and what becomes of it: some of its fields, or the reason for which it is rejected."""

    given: dict[str, Any]
    expect: dict[str, Any] | None = Field(None, description="fields and their values; of a message: line")
    rejected: str | None = Field(None, description="a part of the reason")


class StreamFile(Written):
    """What a destination receives of one entity."""

    entity: str
    name: Name | None = None
    where: Where | None = None
    path: Path = ""
    method: Literal["POST", "PUT", "PATCH"] = "POST"
    batch: BatchFile = BatchFile()
    results: ResultsFile | None = None
    fields: Fields | None = None
    message: MessageFile | None = None
    examples: list[ExampleFile] = Field(default_factory=list)


class DestinationFile(Written):
    """A file of `destinations/`."""

    preset: Literal["generic", "slack", "teams", "telegram"] = "generic"
    kind: Literal["http", "amqp"] = "http"
    url: str = Field(description="${env:NAME} or ${file:/path} where it holds a secret")
    auth: AuthFile | None = None
    sign: Several | None = Field(None, description="Standard Webhooks; two values while a key is rotated")
    headers: dict[HeaderName, str] = Field(default_factory=dict)
    schedule: Cron = Field(DEFAULT_SCHEDULE, description="when all is compared, on Brasília's clock")
    after: Literal["update"] | None = Field(None, description="also after each successful update")
    start: Start
    hold_above: int | None = Field(None, ge=1, description="a run that owes more waits for a confirmation")
    requests_per_second: Annotated[Number, Field(gt=0, le=1000)] | None = None
    concurrency: int = Field(1, ge=1, le=8)
    timeout: Annotated[Number, Field(ge=1, le=300)] = 30.0
    allow_http: bool = False
    allow_private: bool = False
    chat_id: str | None = Field(None, min_length=1, max_length=100, description="of telegram")
    exchange: str | None = Field(None, max_length=250, description="of amqp")
    routing_key: str | None = Field(None, max_length=250, description="of amqp")
    queue: str | None = Field(None, min_length=1, max_length=250, description="of amqp")
    streams: Annotated[list[StreamFile], Field(min_length=1, max_length=MOST_STREAMS)]


def _column(value: Any) -> Any:
    return {"type": value} if isinstance(value, str) else value


class ColumnFile(Written):
    """A column: its type, what it is for people, and what its values must be."""

    type: ColumnType
    label: str = Field("", max_length=200)
    required: bool = False
    decimals: int | None = Field(None, ge=0, le=10, description="of a number, rounded half up")
    max: int | None = Field(None, ge=1, le=100_000, description="of a text, in characters")
    values: list[str] | None = Field(None, min_length=1, max_length=200, description="the only ones that it may have")
    references: Identifier | None = Field(None, description="the entity whose key it holds")


class EntityFile(Written):
    """A file of `entities/`: records that others hand over, or the rows of a view."""

    label: str = Field("", max_length=200)
    view: ViewName | None = None
    key: Annotated[
        list[Identifier],
        BeforeValidator(_several, json_schema_input_type=str | list[str]),
        Field(min_length=1, max_length=5),
    ]
    version: Identifier | None = Field(None, description="of a view: a column of type timestamptz")
    search: list[Identifier] = Field(
        default_factory=list, max_length=20, description="columns whose words are searched"
    )
    columns: Annotated[
        dict[
            Identifier, Annotated[ColumnFile, BeforeValidator(_column, json_schema_input_type=ColumnType | ColumnFile)]
        ],
        Field(min_length=1, max_length=500),
    ]


def _layout_field(value: Any) -> Any:
    return {"from": value} if isinstance(value, str) else value


class LayoutFieldFile(Written):
    """Where the value of a column comes from: a header or member of the row, or a constant."""

    from_: str | None = Field(None, alias="from", min_length=1, max_length=200)
    const: Scalar | None = None
    default: Scalar | None = Field(None, description="where the row has nothing")
    map: dict[str, Scalar] | None = Field(None, min_length=1, max_length=1000)


class IntoFile(Written):
    """What one row is of one entity."""

    entity: Identifier
    fields: Annotated[
        dict[
            Identifier,
            Annotated[LayoutFieldFile, BeforeValidator(_layout_field, json_schema_input_type=str | LayoutFieldFile)],
        ],
        Field(min_length=1, max_length=500),
    ]


class LayoutFile(Written):
    """A file of `layouts/`: how a row of a sheet, or a pushed object, becomes records."""

    label: str = Field("", max_length=200)
    policy: Literal["valid_rows", "all_or_nothing"] = "valid_rows"
    into: list[IntoFile] = Field(min_length=1, max_length=20)


class CursorFile(Written):
    """The column that says when a row was changed, and for how long a writer may be late."""

    column: str = Field(min_length=1, max_length=128)
    lag: Annotated[str, _is(r"[0-9]{1,6}[smhd]", "esperava um tempo como 15m, 2h ou 1d")] = "15m"


class SourceEntityFile(Written):
    """How an entity is read: from a table or view, or by a query."""

    table: str | None = Field(None, min_length=1, max_length=300)
    query: str | None = Field(None, min_length=1, max_length=20_000)
    key: Annotated[
        list[str],
        BeforeValidator(_several, json_schema_input_type=str | list[str]),
        Field(min_length=1, max_length=5),
    ]
    fields: dict[Identifier, Annotated[str, Field(min_length=1, max_length=128)]] = Field(
        default_factory=dict, description="columns that are called otherwise there, by ours"
    )
    cursor: CursorFile | None = None
    page: int = Field(1000, ge=1, le=10_000)
    paging: Literal["keyset", "stream"] = "keyset"


class SourceFile(Written):
    """A file of `sources/`: a database of others."""

    url: str = Field(description="${env:NAME} or ${file:/path}, at least its password")
    schedule: Cron = Field("30 0 * * *", description="when all is read, on Brasília's clock")
    delta: Cron | None = Field(None, description="when only changes are read, of entities that have a cursor")
    timeout: Annotated[Number, Field(ge=1, le=3600)] = 60.0
    hold_removed: Annotated[Number, Field(ge=0, le=1)] = 0.2
    entities: Annotated[dict[Identifier, SourceEntityFile], Field(min_length=1, max_length=MOST_STREAMS)]


class ClientFile(Written):
    """A file of `clients/`: a program that calls the API."""

    scopes: Annotated[list[str], Field(min_length=1, max_length=MOST_SCOPES)] = Field(
        description="read:, intake: or deliver: and a name, or * for all: intake:compras, read:*"
    )
    networks: list[str] = Field(
        default_factory=list, max_length=100, description="from where it may ask, as 10.1.0.0/16; empty: from anywhere"
    )
    secret_sha256: Annotated[str, _is(r"[0-9a-f]{64}", "esperava 64 dígitos hexadecimais, de make-client")]


FILES: Mapping[str, type[Written]] = {
    "destinations": DestinationFile,
    "entities": EntityFile,
    "layouts": LayoutFile,
    "sources": SourceFile,
    "clients": ClientFile,
}
"""By the folder in which they lie."""


def schema_of(folder: str) -> dict[str, Any]:
    """The JSON Schema of the files in a folder, for editors."""
    schema = FILES[folder].model_json_schema(by_alias=True, mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
