"""What a listing shows of its records, read no further than it takes to tell whether they have to be written."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from msgspec import Struct

from common.clock import to_wall_clock
from common.resources.description import Resource
from ingestor.sources.pncp.decoders import resource_decoders
from ingestor.sources.pncp.records import parse_record
from ingestor.sources.values import Rejected, Stamps, compare_versions


class Seen(Struct, frozen=True, gc=False):
    """A record as a listing shows it, read no further than it takes to tell whether it has to be written.

    `stamp` is the one that the listing filters on; `raw` is the whole record.
    """

    key: str
    version: Stamps
    stamp: datetime
    raw: bytes


def see(resource: Resource, raw: bytes, criterio: str) -> Seen | Rejected:
    """Read of one record of a listing what tells whether it has to be written; the rest is read if it has."""
    decoders = resource_decoders(resource)
    try:
        told = decoders.decode_sight(raw)
        if decoders.is_key(told.key):
            return _seen(told, decoders.stamps[criterio](told), raw)
    except (ValueError, OverflowError, RecursionError):  # what is wrong, or can be mended, the whole record tells
        pass
    record = parse_record(resource, raw)
    if isinstance(record, Rejected):
        return record
    told = decoders.decode_sight(record.payload.encode())
    return _seen(told, decoders.stamps[criterio](told), raw)


def _seen(told: Any, stamp: datetime, raw: bytes) -> Seen:
    """What is seen of a record.

    Its stamp is in whole seconds, as windows are. No fraction was ever recorded; one within a day's last second would
    lie between that day's window and the next.
    """
    version = to_wall_clock(told.header), to_wall_clock(told.whole)
    return Seen(told.key, version, to_wall_clock(stamp).replace(microsecond=0), raw)


def newest_first(records: Iterable[Seen]) -> dict[str, list[Seen]]:
    """The versions of each record, by its key: a page may hold a record twice. Of equal ones the first is enough."""
    found: dict[str, list[Seen]] = {}
    for record in records:
        known = found.setdefault(record.key, [])
        judged = [compare_versions(record.version, other.version) for other in known]
        if "unchanged" not in judged:
            known.insert(judged.index("newer") if "newer" in judged else len(known), record)
    return found
