"""Records of a stream as its destination would receive them: how they are asked for, and what becomes of a row."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from common.connections.settings import Stream
from common.mapping.rendering import CannotRender

NO_RECORD = "falta a chave, ou o momento da última mudança"
"""Of a row of a view. A delivery rejects a row without the moment, and ends at one without a key."""


@dataclass(frozen=True)
class Sample:
    """A record with its content, or with the reason for which it has none."""

    key: str | None
    version: datetime | None
    content: str | None = None
    reason: str | None = None


def columns_sql(stream: Stream) -> str:
    """SQL of a record's key, its version, and the columns that the rendering reads."""
    entity = stream.entity
    return ", ".join((entity.key_sql, entity.version, *(entity.columns[name].sql for name in stream.rendering.columns)))


def conditions_sql(stream: Stream, *, first: int) -> str:
    """SQL of what holds for a stream's records; the values of its conditions are parameters from `first` on."""
    return all_of(stream.entity.condition, stream.where.numbered(first))


def all_of(*conditions: str) -> str:
    """Conditions as one; the empty ones hold."""
    return " AND ".join(f"({one})" for one in conditions if one) or "true"


def sample_of(stream: Stream, row: Iterable[Any]) -> Sample:
    """What a row of `columns_sql` becomes."""
    key, version, *values = row
    if key is None or version is None:
        return Sample(key, version, reason=NO_RECORD)
    try:
        return Sample(key, version, content=stream.rendering.render(values, key, version).content.decode())
    except CannotRender as error:
        return Sample(key, version, reason=str(error))
