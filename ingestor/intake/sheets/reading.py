"""What the readers of all formats share: a sheet's rows, its limits, and why a file is refused."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

MEBIBYTE = 1024 * 1024
ERRORS = frozenset(
    {
        *("#NULL!", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#N/A", "#SPILL!", "#CALC!", "#GETTING_DATA"),
        *("#NULO!", "#VALOR!", "#NOME?", "#NÚM!", "#N/D", "#DESPEJAR!", "#CÁLC!"),
        *("Err:502", "Err:504", "Err:508", "Err:509", "Err:522", "Err:523"),
    }
)
"""As Excel and LibreOffice write them, in English and Portuguese."""
MOST_FAULTY_CELLS = 10_000


class Limits(msgspec.Struct, frozen=True):
    """The most that a file may have. `inflated` and `memory` are in bytes, `seconds` are of work."""

    rows: int = 100_000
    columns: int = 200
    parts: int = 1_000
    inflated: int = 200 * MEBIBYTE
    memory: int = 512 * MEBIBYTE
    seconds: int = 60


class FaultyCell(msgspec.Struct, frozen=True):
    """A cell without a value that could be read; `code` as in `common.intake.faults`."""

    code: str
    error: str = ""


class Refused(Exception):
    """A file is not taken; `values` belong into the sentence of the code."""

    def __init__(self, code: str, **values: str | int) -> None:
        super().__init__(code)
        self.code = code
        self.values = values


Row = tuple[int, list[Any]]
"""Its number as a person sees it, and its cells from the first column on."""
Rows = Iterator[Row]
Faults = Mapping[tuple[int, int], FaultyCell]
"""By row and column, both from 1 on."""


def column_letters(column: int) -> str:
    """`A` for 1, `AA` for 27."""
    letters = ""
    while column:
        column, rest = divmod(column - 1, 26)
        letters = chr(65 + rest) + letters
    return letters


def column_number(letters: str) -> int:
    """1 for `A`, 27 for `AA`."""
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number
