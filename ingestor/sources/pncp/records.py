"""The portal's records and lists of entries, typed; what of them has to be rejected.

A record's bytes are kept beside its typed form: they are its `payload`, so that a key without a column is not lost
and a number keeps every digit.
"""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType

import msgspec
from msgspec import UNSET, Raw

from common.resources.description import Child, Resource
from ingestor.sources.pncp.decoders import (
    ChildDecoders,
    Decoders,
    RejectedError,
    child_decoders,
    resource_decoders,
    to_moment,
)
from ingestor.sources.pncp.envelope import NotAPageError, check_body, decode_any_array, decode_array, decode_or_mend
from ingestor.sources.pncp.mending import REFUSED_ESCAPE, mend, parse_leniently, value_of, without
from ingestor.sources.values import Entry, EntryKey, Itens, Record, Rejected

DECODED_AT_ONCE = 1024 * 1024
"""Bytes of a list that are decoded together: their texts and objects are dropped as soon as their numbers are known."""
MOST_REFUSED_ENTRIES = 1_000
"""Entries of one list that cannot be stored: with more of them it is no such list."""
LONGEST_KEY = 1_000
"""Bytes of an array or object in the place of a rejected record's key that are still decoded."""


def parse_record(resource: Resource, raw: bytes | Raw) -> Record | Rejected:
    """Read one record of a listing; only its key and its stamps must be as expected."""
    decoders = resource_decoders(resource)
    entry = _parse(bytes(raw), decoders)
    if isinstance(entry, Rejected):
        return entry
    header, whole = decoders.version(entry.typed)
    payload, columns = entry.payload, entry.columns
    if resource.omits:
        payload, columns = without(payload, resource.omits), columns and without(columns, resource.omits)
    return Record(
        entry.typed,
        payload,
        columns,
        entry.drift,
        key=decoders.key(entry.typed),
        version=(to_moment(header), to_moment(whole)),
    )


def parse_nested(resource: Resource, record: Record) -> Record | Rejected | None:
    """Read the whole record of another resource that stands in a record, if one does."""
    assert resource.nested is not None  # noqa: S101  # the caller has looked
    raw = value_of(record.payload, resource.nested.path)
    return None if raw is None else parse_record(resource.nested.resource, raw)


def parse_entry(child: Child, raw: bytes) -> Entry | Rejected:
    """Read one entry of a list; only its key must be as expected."""
    return _parse(raw, child_decoders(child))


def parse_list(child: Child, body: bytes, parent: str) -> Itens:
    """Read the list that belongs to the record with the key `parent`.

    Raises:
        NotAPageError: not JSON, or not an array.

    """
    check_body(body, decode_any_array)
    decoders = child_decoders(child)
    plain = _parse_plain_list(decoders, body)
    if plain is not None:
        return plain
    itens = Itens(size=len(body))
    for raw in decode_or_mend(decode_array, body):
        entry = _parse(bytes(raw), decoders)
        itens.told += 1
        if isinstance(entry, Rejected):
            itens.rejected.append(Rejected(parent, entry.reason, entry.payload, child.name))
            if len(itens.rejected) > MOST_REFUSED_ENTRIES:
                raise NotAPageError(f"more than {MOST_REFUSED_ENTRIES} entries that cannot be stored")
        else:
            number = decoders.key(entry.typed)
            itens.payloads[number] = entry.payload.encode()
            itens.drifted.pop(number, None)
            if entry.columns is not None:
                itens.drifted[number] = entry.columns.encode(), entry.drift
    return itens


def _parse_plain_list(decoders: ChildDecoders, body: bytes) -> Itens | None:
    """All entries in one go, where nothing is to be mended, checked or rejected: nearly twice as fast as one by one."""
    if b"\\u" in body and REFUSED_ESCAPE.search(body):
        return None
    try:
        raws = decode_array(body)
        parts = [body] if len(body) <= DECODED_AT_ONCE else _in_parts(raws)
        numbers = [decoders.key(entry) for part in parts for entry in decoders.decode_plain_list(part)]
    except (ValueError, RecursionError):  # msgspec's and Unicode's errors are ValueErrors
        return None
    return Itens(dict(zip(numbers, raws, strict=True)), told=len(numbers), size=len(body))


def _in_parts(raws: list[Raw]) -> Iterator[bytes]:
    """A long list as arrays of about `DECODED_AT_ONCE`."""
    part, size = list[Raw](), 0
    for raw in raws:
        part.append(raw)
        size += memoryview(raw).nbytes
        if size >= DECODED_AT_ONCE:
            yield b"[%s]" % b",".join(part)
            part, size = [], 0
    yield b"[%s]" % b",".join(part)


def _parse(raw: bytes, decoders: Decoders) -> Entry | Rejected:
    try:
        if REFUSED_ESCAPE.search(raw):
            raw = mend(raw)
        payload = raw.decode()
        try:
            typed = decoders.decode(raw)
            decoders.check(typed)
        except (msgspec.ValidationError, RejectedError):  # of the right syntax: what does not fit can be left out
            return parse_leniently(raw, decoders)
    except (ValueError, RecursionError) as error:  # msgspec's and Unicode's errors are ValueErrors
        shown = raw.decode("utf-8", "replace").replace("\x00", "")
        return Rejected(_key_in(raw, decoders), str(error), shown, decoders.name)
    return Entry(typed, payload)


def _key_in(raw: bytes, decoders: Decoders) -> str | None:
    try:
        value = decoders.decode_key(raw).value
        written = b"null" if value is UNSET else bytes(value)
        if len(written) > LONGEST_KEY and written.startswith((b"[", b"{")):
            return None
        key = msgspec.json.decode(written)
    except (ValueError, RecursionError):
        return None
    return None if key is None else str(key)[:100]


def part_of(child: Child, entry: EntryKey) -> int:
    """The part of a list to which an entry belongs."""
    assert child.parts is not None  # noqa: S101  # the caller has looked
    assert isinstance(entry, tuple)  # noqa: S101  # it names its part and its place in that
    part: int = entry[child.key.index(child.parts.column)]
    return part


def list_path(resource: Resource, child: Child, key: str, part: Mapping[str, int] = MappingProxyType({})) -> str:
    """Where the portal has the list of a record, whose key says it (1,899 of 1,899 control numbers recompose exactly).

    `part` names the part that is asked for, of a list that has parts.

    Raises:
        ValueError: not a key of the resource.

    """
    match = re.fullmatch(resource.key_pattern, key)
    if match is None:
        raise ValueError(f"{key} is not of the form {resource.key_form}")
    # numbers stand without leading zeros there; a CNPJ has 14 characters
    return child.path.format_map(
        {name: value if name == "cnpj" else int(value) for name, value in match.groupdict().items()} | {**part}
    )
