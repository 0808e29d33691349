"""How an answer says what has become of each record: where its list is, and which entries are rejections."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from common.mapping.values import to_text

LONGEST_REASON = 500
NO_REASON = "recusado sem motivo"
_ABSENT = object()


@dataclass(frozen=True)
class Rejection:
    """A condition on an entry: what stands at `path` is `present`, or is (not) one of `values`, which are texts."""

    path: tuple[str, ...]
    form: str
    values: frozenset[str] = frozenset()

    def holds(self, entry: Any) -> bool:
        """Whether it holds for an entry."""
        found = _at(entry, self.path)
        if self.form == "present":
            # what is null, false or empty says that there is nothing
            return found is not _ABSENT and found is not None and found is not False and found not in ("", [], {})
        is_one = found is not _ABSENT and to_text(found) in self.values
        return is_one if self.form == "in" else not is_one


@dataclass(frozen=True)
class ResultsRule:
    """Reads the entries of an answer. `at` is the path to their list, empty where the answer itself is the list.

    `key` is the path to what tells an entry's record, null where entries stand in the order of the request.
    """

    at: str
    key: str | None
    rejected_when: tuple[Rejection, ...]
    reason: str | None

    def entries(self, document: Any) -> list[Any] | None:
        """The list of an answer; null where there is none."""
        found = _at(document, path_of(self.at))
        return found if isinstance(found, list) else None

    def is_rejected(self, entry: Any) -> bool:
        """Whether any of the conditions holds."""
        return any(each.holds(entry) for each in self.rejected_when)

    def reason_of(self, entry: Any) -> str:
        """Why, as the destination says it, in one line of at most 500 characters."""
        found = _at(entry, path_of(self.reason)) if self.reason else None
        text = "" if found is _ABSENT or found is None else to_text(found) or str(found)
        printable = "".join(char if char.isprintable() else " " for char in text[: 2 * LONGEST_REASON])
        return " ".join(printable.split())[:LONGEST_REASON] or NO_REASON

    def key_of(self, entry: Any) -> str | None:
        """What the entry calls its record; null where it does not."""
        found = _at(entry, path_of(self.key)) if self.key else None
        return None if found is _ABSENT else to_text(found)


def path_of(text: str | None) -> tuple[str, ...]:
    """The keys of a path that is written with dots."""
    return tuple(text.split(".")) if text else ()


def _at(document: Any, path: Sequence[str]) -> Any:
    for name in path:
        if isinstance(document, dict) and name in document:
            document = document[name]
        elif isinstance(document, list) and name.isascii() and name.isdigit() and int(name) < len(document):
            document = document[int(name)]
        else:
            return _ABSENT
    return document
