"""What a receiver has been sent: the records by their keys, what was applied twice or out of order, and the requests.

All of it is in memory and bounded.
"""

import hashlib
from collections import Counter, OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from html import unescape
from typing import Any, Final

import orjson

MOST_KEYS: Final = 20_000
MOST_REPLY_BYTES: Final = 64 * 1024 * 1024
"""So many idempotency keys are remembered, the newest, and so many bytes of the replies under them."""
MOST_BOXES: Final = 100
MOST_EVENTS: Final = 50
MOST_STATES: Final = 1000
"""States of one record that are told apart, the oldest."""
LONGEST_TEXT: Final = 4000


class NotRecords(ValueError):
    """A body holds no records."""


@dataclass(slots=True)
class Kept:
    """The newest state of a record, as it came, and how often each of its states, by its digest, was applied."""

    record: Any
    version: Any
    applied: Counter[str]


@dataclass(frozen=True, slots=True)
class Reply:
    """What a request was answered once it was applied; `body_digest` is of the request."""

    body_digest: bytes
    status: int
    content: bytes
    content_type: str = "application/json"


@dataclass(slots=True)
class Event:
    """A request, for the page. `at` is wall clock in Brasília."""

    at: datetime
    box: str
    said: str
    text: str = ""


@dataclass(slots=True)
class Box:
    """What came to one address.

    `duplicates`: applications of a record that had been applied with the same content before. `backwards`: applications
    of a version older than the one that was there. `refused`: how often each key was refused.
    """

    most_records: int
    records: OrderedDict[str, Kept] = field(default_factory=OrderedDict)
    refused: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    duplicates: int = 0
    backwards: int = 0
    repeats: int = 0
    reused_keys: int = 0
    forgotten: int = 0

    def apply(self, key: str, record: Any, version: Any) -> None:
        """Insert or replace a record, whatever was there before."""
        digest = hashlib.sha256(orjson.dumps(record, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]
        before = self.records.pop(key, None)
        applied = before.applied if before else Counter()
        self.duplicates += digest in applied
        self.backwards += before is not None and is_older(version, before.version)
        if len(applied) < MOST_STATES or digest in applied:
            applied[digest] += 1
        self.records[key] = Kept(record, version, applied)
        while len(self.records) > self.most_records:
            self.records.popitem(last=False)
            self.forgotten += 1

    def count_refusal(self, key: str) -> None:
        """Count the refusal of a record; keys beyond the bound are not counted."""
        if key in self.refused or len(self.refused) < self.most_records:
            self.refused[key] += 1

    def counts(self) -> dict[str, Any]:
        """Everything but the records."""
        return {
            "requests": self.requests,
            "statuses": dict(self.statuses),
            "records": len(self.records),
            "refused": len(self.refused),
            "duplicates": self.duplicates,
            "backwards": self.backwards,
            "repeats": self.repeats,
            "reused_keys": self.reused_keys,
            "forgotten": self.forgotten,
        }

    def details(self) -> dict[str, Any]:
        """The counts, with the records and the refused keys themselves."""
        records = {
            key: {"record": kept.record, "version": kept.version, "applied": dict(kept.applied)}
            for key, kept in self.records.items()
        }
        return {**self.counts(), "records": records, "refused": dict(self.refused)}


@dataclass(slots=True)
class State:
    """All boxes, the replies by their idempotency keys, and the latest requests."""

    most_records: int = 100_000
    boxes: dict[str, Box] = field(default_factory=dict)
    replies: OrderedDict[tuple[str, str], Reply] = field(default_factory=OrderedDict)
    events: deque[Event] = field(default_factory=lambda: deque(maxlen=MOST_EVENTS))
    bad_signatures: int = 0
    reply_bytes: int = 0

    def box(self, name: str) -> Box:
        """The box of this name, made when it is first asked for.

        Raises:
            KeyError: there are too many others.

        """
        if name not in self.boxes and len(self.boxes) >= MOST_BOXES:
            raise KeyError(name)
        return self.boxes.setdefault(name, Box(self.most_records))

    def remember(self, box: str, key: str, reply: Reply) -> None:
        """Keep what a request was answered."""
        before = self.replies.pop((box, key), None)
        self.replies[box, key] = reply
        self.reply_bytes += len(reply.content) - (len(before.content) if before else 0)
        while len(self.replies) > MOST_KEYS or self.reply_bytes > MOST_REPLY_BYTES:
            _, forgotten = self.replies.popitem(last=False)
            self.reply_bytes -= len(forgotten.content)

    def clear(self) -> None:
        """Forget everything."""
        self.boxes.clear()
        self.replies.clear()
        self.events.clear()
        self.bad_signatures = 0
        self.reply_bytes = 0


def is_older(version: Any, than: Any) -> bool:
    """Whether a version is older than another one: as times where both are, as numbers or texts else."""
    if version is None or than is None:
        return False
    try:
        return datetime.fromisoformat(version) < datetime.fromisoformat(than)
    except (TypeError, ValueError):
        try:
            return bool(version < than)
        except TypeError:
            return False


def parse_records(body: bytes) -> list[Any]:
    """The records of a body: an array, an object with one list of objects, lines, or one object.

    Raises:
        NotRecords: it is none of these.

    """
    document = _load(body)
    if isinstance(document, Mapping):
        lists = [value for value in document.values() if isinstance(value, list)]
        is_wrapped = len(document) == 1 and len(lists) == 1
        document = lists[0] if is_wrapped else [document]
    if not isinstance(document, list) or not all(isinstance(record, Mapping) for record in document):
        raise NotRecords("expected records")
    return document


def _load(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        lines = [line for line in body.splitlines() if line.strip()]
        try:
            return [orjson.loads(line) for line in lines] if len(lines) > 1 else None
        except orjson.JSONDecodeError:
            return None


def key_of(record: Mapping[str, Any], names: Sequence[str]) -> str:
    """The key of a record: its value in the first of these fields that it has, else what it holds itself."""
    for name in names:
        if record.get(name) is not None:
            return str(record[name])
    return hashlib.sha256(orjson.dumps(record, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


def texts_of(document: Any) -> str:
    """The texts of a chat's message, whatever its form is, one a line and without the chat's escapes."""
    found: list[str] = []
    left = [document]
    while left and sum(map(len, found)) < LONGEST_TEXT:
        each = left.pop()
        if isinstance(each, Mapping):
            if isinstance(each.get("text"), str):
                found.append(each["text"])
            left += [value for value in reversed(list(each.values())) if not isinstance(value, str)]
        elif isinstance(each, list):
            left += reversed(each)
    return unescape("\n".join(found))[:LONGEST_TEXT]
