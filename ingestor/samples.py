"""A few records of a stream as its destination would receive them: the question for them, and what becomes of a row."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from common.connections.settings import Stream
from common.mapping.rendering import CannotRender

SAMPLES = 5


@dataclass(frozen=True)
class Sample:
    """A record with its content, or with the reason for which it has none."""

    key: str
    version: datetime
    content: bytes | None
    reason: str | None


def samples_sql(stream: Stream) -> str:
    """SQL of key, version and the columns that the rendering reads, in no order.

    Its first parameter is how many rows; the values of the stream's conditions follow.
    """
    entity, where = stream.entity, stream.where
    columns = ", ".join(
        (entity.key_sql, entity.version, *(entity.columns[name].sql for name in stream.rendering.columns))
    )
    places = [f"${number}" for number in range(2, 2 + len(where.values))]
    conditions = " AND ".join(f"({each})" for each in (entity.condition, where.sql.format(*places)) if each)
    return f"SELECT {columns} FROM {entity.source} WHERE {conditions or 'true'} LIMIT $1"  # noqa: S608  # of descriptions


def sample_of(stream: Stream, row: Sequence[Any]) -> Sample:
    """What a row of that question becomes."""
    key, version, *values = row
    try:
        return Sample(key, version, stream.rendering.render(values, key, version).content, None)
    except CannotRender as error:
        return Sample(key, version, None, str(error))
