"""What the names in a mapping read: columns of a row and paths into its JSON, or paths into an entry of a list."""

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

from common.entities.delivered import DeliveredColumn
from common.mapping.problem import At, Problem, unknown
from common.mapping.templates import Get
from common.resources.description import Kind


class Columns:
    """The columns that a mapping reads, in the order in which it names them first."""

    def __init__(self, columns: Mapping[str, DeliveredColumn]) -> None:
        self._known = columns
        self._used: dict[str, int] = {}

    @property
    def used(self) -> tuple[DeliveredColumn, ...]:
        """Those that have been named."""
        return tuple(self._known[name] for name in self._used)

    def find(self, name: str, at: At) -> tuple[Get, Kind | None]:
        """What reads a column, or a path into one of JSON.

        Raises:
            Problem: there is no such column, or it is not JSON.

        """
        first, *path = name.split(".")
        column = self._known.get(first)
        if column is None:
            raise Problem(at, unknown("coluna desconhecida", first, self._known))
        if path and (column.kind is not Kind.JSON or "" in path):
            raise Problem(at, f"`{name}`: `{first}` não é JSON, não há nada dentro")
        index = self._used.setdefault(first, len(self._used))
        return (_of_path(itemgetter(index), path), None) if path else (itemgetter(index), column.kind)


def find_in_entry(name: str, at: At) -> tuple[Get, None]:
    """What reads a path from an entry of a list.

    Raises:
        Problem: it is no path.

    """
    path = name.split(".")
    if "" in path:
        raise Problem(at, f"`{name}` não é um caminho")
    return _of_path(lambda entry: entry, path), None


def _of_path(get: Get, path: Sequence[str]) -> Get:
    def read(row: Any) -> Any:
        value = get(row)
        for name in path:
            if isinstance(value, dict):
                value = value.get(name)
            elif isinstance(value, list) and name.isascii() and name.isdigit() and int(name) < len(value):
                value = value[int(name)]
            else:
                return None
        return value

    return read
