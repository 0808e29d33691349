"""What a rendering is: from a row of an entity to the content of a record, and from contents to a request."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple


class CannotRender(Exception):
    """A record has no content; the text is the reason, for people, with the field that it is about."""


class Rendered(NamedTuple):
    """The JSON of one record, or one line of a message in UTF-8; and what the destination calls it in its answer."""

    content: bytes
    echo: str | None


@dataclass(frozen=True, eq=False)
class Rendering(ABC):
    """A mapping of an entity, compiled.

    `columns` are those that it reads, in order. `digest`, 16 bytes, changes with anything that the contents depend on.
    `overhead` is how many bytes a body has beside its contents; it has one more for each content.
    """

    columns: tuple[str, ...]
    digest: bytes
    content_type: str
    overhead: int

    @abstractmethod
    def render(self, row: Sequence[Any], key: str, version: datetime) -> Rendered:
        """The content of a row, whose values stand in the order of `columns` as the driver gives them (JSON as text).

        Raises:
            CannotRender: a value is missing or does not fit.

        """

    @abstractmethod
    def body(self, contents: Sequence[bytes]) -> bytes:
        """The body of a request with these contents."""
