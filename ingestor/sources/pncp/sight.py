"""What a page shows of its records, read no further than it takes to tell which of them have to be written."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, field

from common.clock import start_of_day
from common.lifecycle.slices import Claim
from common.resources.description import Criterio, Resource
from ingestor.sources.pncp.completeness import row_names
from ingestor.sources.pncp.decoders import ResourceDecoders, path_of, resource_decoders, to_moment
from ingestor.sources.pncp.envelope import Page
from ingestor.sources.pncp.records import parse_record
from ingestor.sources.values import Record, Rejected, Stamps, compare_versions

LONGEST_ENTRY_KEY = 100


class Seen(Struct, frozen=True, gc=False):
    """A record as a listing shows it, read no further than it takes to tell whether it has to be written.

    `stamp` is the one that the listing filters on; `raw` is the whole record.
    """

    key: str
    version: Stamps
    stamp: datetime
    raw: bytes | Raw


def see_all(resource: Resource, records: Sequence[bytes | Raw], criterio: str) -> list[Seen | Rejected]:
    """Read of the records of a page what tells whether they have to be written.

    All in one go where nothing is to be mended or refused, as of nearly all pages; else one by one.
    """
    plain = _see_plain(resource, records, criterio)
    return [see(resource, raw, criterio) for raw in records] if plain is None else plain


def _see_plain(resource: Resource, records: Sequence[bytes | Raw], criterio: str) -> list[Seen | Rejected] | None:
    decoders = resource_decoders(resource)
    if resource.has_day_stamps:
        return None
    key_of, is_key = decoders.key, decoders.is_key
    version_of, stamp_of = decoders.version, decoders.stamps[criterio]
    try:
        sights = decoders.decode_plain_sights(b"[%s]" % b",".join(records))
    except (ValueError, RecursionError):
        return None
    seen: list[Seen | Rejected] = []
    for told, raw in zip(sights, records, strict=True):
        key = key_of(told)
        if not is_key(key):
            return None
        stamp = stamp_of(told)
        seen.append(Seen(key, version_of(told), _in_seconds(stamp) if stamp.microsecond else stamp, raw))
    return seen


def see(resource: Resource, raw: bytes | Raw, criterio: str) -> Seen | Rejected:
    """Read of one record of a listing what tells whether it has to be written; the rest is read if it has."""
    decoders = resource_decoders(resource)
    try:
        told = decoders.decode_sight(raw)
        if decoders.is_key(decoders.key(told)):
            return _seen(decoders, told, criterio, raw)
    except (ValueError, OverflowError, RecursionError):  # what is wrong, or can be mended, the whole record tells
        pass
    record = parse_record(resource, raw)
    if isinstance(record, Rejected):
        return record
    told = decoders.decode_sight(record.payload.encode())
    return _seen(decoders, told, criterio, raw)


def _seen(decoders: ResourceDecoders, told: Any, criterio: str, raw: bytes | Raw) -> Seen:
    """What is seen of a record."""
    header, whole = decoders.version(told)
    stamp = _in_seconds(to_moment(decoders.stamps[criterio](told)))
    return Seen(decoders.key(told), (to_moment(header), to_moment(whole)), stamp, raw)


def _in_seconds(stamp: datetime) -> datetime:
    """A stamp in whole seconds, as windows are.

    No fraction was ever recorded; one within a day's last second would lie between that day's window and the next.
    """
    return stamp.replace(microsecond=0)


def newest_first(records: Iterable[Seen]) -> dict[str, list[Seen]]:
    """The versions of each record, by its key: a page may hold a record twice. Of equal ones the first is enough."""
    found: dict[str, list[Seen]] = {}
    for record in records:
        known = found.setdefault(record.key, [])
        judged = [compare_versions(record.version, other.version) for other in known]
        if "unchanged" not in judged:
            known.insert(judged.index("newer") if "newer" in judged else len(known), record)
    return found


def name_rows(resource: Resource, criterio: Criterio, records: Iterable[Seen | Rejected]) -> frozenset[str]:
    """The names of the rows of one page: of its records by their keys, or of what is counted of each."""
    counts = resource.listings[criterio].counts
    names: list[str] = []
    for record in records:
        if isinstance(record, Seen):
            name, raw = record.key, record.raw
        else:
            name, raw = record.natural_key or record.hash, record.payload.encode()
        names += [name] if counts is None else _entry_names(resource, counts, name, raw)
    return row_names(names)


def _entry_names(resource: Resource, counts: str, name: str, raw: bytes | Raw) -> list[str]:
    assert resource.child is not None  # noqa: S101  # what is counted of a record are the entries of its list
    try:
        entries = _decoder_of_entries(counts, path_of(resource.child.columns, resource.child.key[0]))(raw).entries
    except (ValueError, RecursionError):
        return [name]
    return [f"{name} {_key_of_entry(entry)}" for entry in entries] or [name]


def _key_of_entry(entry: Any) -> str:
    """What stands in the place of an entry's key, whatever that is: the page counts the entry all the same."""
    return "" if entry.key is UNSET else bytes(entry.key)[:LONGEST_ENTRY_KEY].decode("utf-8", "replace")


@cache
def _decoder_of_entries(counts: str, key: str) -> Callable[[bytes | Raw], Any]:
    entry = msgspec.defstruct("_Entry", [("key", Raw | UnsetType, field(default=UNSET, name=key))], gc=False)
    return msgspec.json.Decoder(msgspec.defstruct("_Record", [("entries", list[entry], field(name=counts))])).decode  # type: ignore[valid-type]  # made above


@dataclass(frozen=True)
class JudgedPage:
    """A page's records, judged: its rows, what lies in the window, what may be stored, what is beyond reading."""

    keys: frozenset[str]
    in_window: dict[str, list[Seen]]
    candidates: dict[str, list[Seen]]
    rejected: list[Rejected]
    stamps: list[datetime]


def judge_records(resource: Resource, page: Page, claim: Claim) -> JudgedPage:
    """Judge the records of a page against the slice's window, both ends included.

    A backfill stores what lies in its window. An update stores whatever its pages show: a change that became visible
    late lies before every later window, and its page may be the only one that ever shows it.
    """
    good: list[Seen] = []
    rejected: list[Rejected] = []
    for record in see_all(resource, page.records, claim.criterio):
        if isinstance(record, Rejected):
            rejected.append(record)
        else:
            good.append(record)
    keys = name_rows(resource, claim.criterio, [*good, *rejected])
    begins = claim.window_start if not resource.has_day_stamps else start_of_day(claim.window_start)
    in_window = newest_first(record for record in good if begins <= record.stamp <= claim.window_end)
    candidates = newest_first(good) if claim.mode == "update" else in_window
    return JudgedPage(keys, in_window, candidates, rejected, [record.stamp for record in good])


def choose_wanted(
    resource: Resource, candidates: dict[str, list[Seen]], stored: dict[str, tuple[Stamps, bool]]
) -> tuple[list[Record], list[Rejected], set[str]]:
    """The records that have to be written; what of them cannot be stored; the keys of which nothing can be.

    Where a page holds several versions of a record, the newest that can be stored is taken.
    """
    wanted: list[Record] = []
    rejected: list[Rejected] = []
    lost: set[str] = set()
    for key, versions in candidates.items():
        for seen in versions:
            if not needs_writing(seen.version, stored.get(key), has_day_stamps=resource.has_day_stamps):
                break
            record = parse_record(resource, seen.raw)
            if isinstance(record, Record):
                wanted.append(record)
                break
            rejected.append(record)
        else:
            lost.add(key)
    return wanted, rejected, lost


def needs_writing(version: Stamps, stored: tuple[Stamps, bool] | None, *, has_day_stamps: bool = False) -> bool:
    """Whether a record is new, newer than what is stored, or stored without its list.

    With `has_day_stamps` a record of equal stamps may be another one; the database compares it with what is stored.
    """
    if stored is None:
        return True
    known, has_itens = stored
    judged = compare_versions(version, known)
    return judged == "newer" or (judged == "unchanged" and (has_day_stamps or not has_itens))
