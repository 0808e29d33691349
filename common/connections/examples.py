"""Runs the examples of a stream: records as they are given, and what they become."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec

from common.connections.files import ExampleFile
from common.connections.typed import typed
from common.entities.delivered import Delivered
from common.mapping.problem import At, Problem, unknown
from common.mapping.rendering import CannotRender, Rendering
from common.resources.description import Kind

VERSION = datetime(2026, 1, 1, tzinfo=UTC)
"""When records of examples have changed last."""
LINE = "line"
_decode = msgspec.json.Decoder(float_hook=Decimal).decode


def failed_examples(
    examples: list[ExampleFile], entity: Delivered, rendering: Rendering, at: At, *, is_message: bool
) -> Iterator[Problem]:
    """What does not come out as an example says."""
    for index, example in enumerate(examples):
        place = (*at, index)
        if (example.expect is None) is (example.rejected is None):
            yield Problem(place, "um exemplo tem `expect` ou `rejected`")
            continue
        try:
            given = {
                name: _given(name, value, entity, (*place, "given", name)) for name, value in example.given.items()
            }
        except Problem as problem:
            yield problem
            continue
        yield from _compared(example, given, entity, rendering, place, is_message=is_message)


def _given(name: str, value: Any, entity: Delivered, at: At) -> Any:
    column = entity.columns.get(name)
    if column is None:
        raise Problem(at, unknown("coluna desconhecida", name, entity.columns))
    if value is None:
        return None
    return json.dumps(value, default=str) if column.kind is Kind.JSON else typed(value, column.kind, at)


def _compared(
    example: ExampleFile, given: Mapping[str, Any], entity: Delivered, rendering: Rendering, at: At, *, is_message: bool
) -> Iterator[Problem]:
    row = [given.get(name) for name in rendering.columns]
    key = "/".join(str(given.get(name, "")) for name in entity.key_names)
    try:
        content = rendering.render(row, key, VERSION).content
    except CannotRender as error:
        if example.rejected is None:
            yield Problem(at, f"o exemplo é recusado: {error}")
        elif example.rejected not in str(error):
            yield Problem((*at, "rejected"), f"o exemplo é recusado por outro motivo: {error}")
        return
    if example.expect is None:
        yield Problem((*at, "rejected"), "o exemplo não é recusado")
        return
    made = {LINE: content.decode()} if is_message else _decode(content)
    for name, expected in example.expect.items():
        place = (*at, "expect", name)
        if name not in made:
            yield Problem(place, unknown("campo desconhecido", name, made))
        elif _plain(made[name]) != _plain(expected):
            yield Problem(place, f"`{name}` é {_shown(made[name])}, o exemplo espera {_shown(expected)}")


def _plain(value: Any) -> Any:
    """A value so that what is written otherwise but is the same compares as equal; true is not 1."""
    if isinstance(value, bool):
        return ("truth", value)
    if isinstance(value, int | float):
        return Decimal(repr(value))
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return value


def _shown(value: Any) -> str:
    return json.dumps(value, default=str, ensure_ascii=False)
