"""A fault of a mapping or a condition, by the place of what it is about."""

from collections.abc import Iterable
from difflib import get_close_matches

At = tuple[str | int, ...]
"""Where a value stands in a file: the keys and indexes that lead to it."""


class Problem(Exception):
    """What is wrong, for people, and where."""

    def __init__(self, at: At, message: str) -> None:
        super().__init__(message)
        self.at = at
        self.message = message


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """The sentence on a name that is not known, with the nearest one that is."""
    near = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"{what} `{name}`" + (f"; quis dizer `{near[0]}`?" if near else "")
