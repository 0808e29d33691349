"""Cursors: the place after a row, in an order, as an opaque text that addresses can hold."""

import base64
import binascii
import hashlib
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson

from common.entities.entity import INTEGERS, LARGEST_LONG, MOMENTS, Entity, Order
from common.resources.description import Kind

LONGEST = 2_000


@dataclass(frozen=True)
class Place:
    """After which row a page begins: its value in the order, null where it has none, and its key."""

    value: Any
    key: tuple[Any, ...]


def _mark(entity: Entity, order: Order) -> str:
    """What tells the cursors of one order of an entity from all others."""
    told = f"{entity.name} {order.sql} {order.is_descending} {' '.join(each.sql for each in entity.key)}"
    return hashlib.blake2b(told.encode(), digest_size=4).hexdigest()


def to_cursor(place: Place, entity: Entity, order: Order) -> str:
    """The cursor of a place."""
    content = [_mark(entity, order), place.value, *place.key]
    return base64.urlsafe_b64encode(orjson.dumps(content, default=str)).decode().rstrip("=")


def parse_cursor(written: str, entity: Entity, order: Order) -> Place | None:
    """The place of a cursor; `None` where it is none, or of another entity or order."""
    if len(written) > LONGEST:
        return None
    try:
        content = orjson.loads(base64.b64decode(written + "=" * (-len(written) % 4), altchars=b"-_", validate=True))
    except (ValueError, binascii.Error):
        return None
    if not isinstance(content, list) or len(content) != 2 + len(entity.key):
        return None
    mark, value, *values = content
    if mark != _mark(entity, order) or (value is None and order.is_required):
        return None
    try:
        kinds = [each.kind for each in entity.key]
        return Place(
            None if value is None else _parse(value, order.kind),
            tuple(_parse(each, kind) for each, kind in zip(values, kinds, strict=True)),
        )
    except (ValueError, TypeError, InvalidOperation):
        return None


def _parse(value: Any, kind: Kind) -> Any:
    if kind in INTEGERS:
        if type(value) is not int or abs(value) > LARGEST_LONG:
            raise TypeError
        return value
    if not isinstance(value, str) or "\0" in value:
        raise TypeError
    if kind is Kind.NUMBER:
        number = Decimal(value)
        if not number.is_finite():
            raise ValueError
        return number
    if kind in MOMENTS:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is not None:
            raise ValueError
        return moment
    return date.fromisoformat(value) if kind is Kind.DAY else value
