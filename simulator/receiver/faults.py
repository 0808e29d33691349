"""Which faults a receiver has, and which of them befalls a request or a record."""

import random
import zlib
from dataclasses import dataclass, fields, replace
from typing import Final, Literal, Self

Kind = Literal[
    "error_before",
    "error_after",
    "hang",
    "reset",
    "garbage",
    "throttle",
    "unauthorized",
    "not_found",
    "gone",
    "redirect",
]

KINDS: Final[tuple[tuple[Kind, str], ...]] = (
    ("error_before", "500, nothing applied"),
    ("error_after", "applied, then 500"),
    ("hang", "applied, then no answer"),
    ("reset", "applied, then the connection is reset"),
    ("garbage", "applied, then 200 with a body that is not JSON"),
    ("throttle", "429 with `Retry-After: 1`"),
    ("unauthorized", "401"),
    ("not_found", "404"),
    ("gone", "410"),
    ("redirect", "307 to another address of the same receiver"),
)
"""Faults of requests, at most one for each, and what they do."""


@dataclass(frozen=True)
class Faults:
    """The share of requests that each fault befalls, from 0 to 1, all together at most 1.

    `bad`: the share of keys that are refused, the same ones always. `missing`: the share of accepted records that an
    answer with results leaves out. `largest`: bytes of a body beyond which the answer is 413; 0 = any size.
    """

    error_before: float = 0
    error_after: float = 0
    hang: float = 0
    reset: float = 0
    garbage: float = 0
    throttle: float = 0
    unauthorized: float = 0
    not_found: float = 0
    gone: float = 0
    redirect: float = 0
    bad: float = 0
    missing: float = 0
    largest: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Faults written as `error_before=0.08,bad=0.01`.

        Raises:
            ValueError: a name is not known, or a number is not one that it can have.

        """
        names = {each.name for each in fields(cls)}
        values: dict[str, float] = {}
        for part in filter(None, (part.strip() for part in text.split(","))):
            name, _, number = (word.strip() for word in part.partition("="))
            if name not in names:
                raise ValueError(f"{name}: expected one of {', '.join(sorted(names))}")
            try:
                values[name] = float(number)
            except ValueError:
                raise ValueError(f"{name}: expected a number, as in {name}=0.05") from None
            if name != "largest" and not 0 <= values[name] <= 1:
                raise ValueError(f"{name}: expected a share from 0 to 1")
        largest = values.pop("largest", 0)
        if not 0 <= largest < float("inf"):
            raise ValueError("largest: expected a number of bytes")
        found = replace(cls(**values), largest=int(largest))  # type: ignore[arg-type]  # the shares alone
        if sum(getattr(found, kind) for kind, _ in KINDS) > 1:
            raise ValueError("the shares of faults are more than 1 together")
        return found


class Chance:
    """Draws faults; the same seed and the same requests draw the same ones."""

    def __init__(self, seed: int = 1) -> None:
        self.seed = seed
        self.random = random.Random(seed)

    def draw(self, faults: Faults) -> Kind | None:
        """The fault of the next request."""
        left = self.random.random()
        for kind, _ in KINDS:
            left -= getattr(faults, kind)
            if left < 0:
                return kind
        return None

    def is_bad(self, faults: Faults, key: str) -> bool:
        """Whether a key is one of those that are refused."""
        return zlib.crc32(f"{self.seed}:{key}".encode()) < faults.bad * 2**32

    def is_missing(self, faults: Faults) -> bool:
        """Whether an answer leaves the next accepted record out."""
        return self.random.random() < faults.missing
