"""Rows of texts (CSV): their encoding and their delimiter, then one after the other, however many there are."""

import codecs
import csv
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path

from ingestor.intake.sheets.reading import MEBIBYTE, Refused, Rows

_DELIMITERS = ";\t,|"
_SAMPLE_BYTES = 64 * 1024
_SAMPLE_ROWS = 50
_LONGEST_CELL = MEBIBYTE
_MARKUP = ("<!doctype", "<html", "<head", "<body", "<table", "<meta", "<?xml", "<div", "<style", "<script")


def rows_of(path: Path) -> Rows:
    """The rows; all values are texts. A row has the number that a sheet would show for it.

    Raises:
        Refused: it is no text, is HTML, or a quote is not closed.

    """
    encoding = _encoding(path)
    with path.open("rb") as raw, TextIOWrapper(raw, encoding, newline="") as text:
        sample = text.read(_SAMPLE_BYTES)
        if "\0" in sample:
            raise Refused("unknown_format")
        if sample.lstrip().lower().startswith(_MARKUP):
            raise Refused("html")
        first = sample.partition("\n")[0].strip()
        names_its_own = len(first) == len("sep=;") and first.lower().startswith("sep=")
        delimiter = first[-1] if names_its_own else _delimiter(sample)
        text.seek(0)
        if names_its_own:  # Excel's own line, which it does not show
            text.readline()
        csv.field_size_limit(_LONGEST_CELL)
        row = 0
        try:
            for cells in csv.reader(text, delimiter=delimiter, strict=True):
                row += 1
                yield row, list(cells)
        except csv.Error:
            raise Refused("quotes", row=row + 1) from None


def _encoding(path: Path) -> str:
    """UTF-8 where the whole file is, UTF-16 where a mark says so, else Windows' own for western languages."""
    decode = codecs.getincrementaldecoder("utf-8")().decode
    with path.open("rb") as file:
        if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            return _checked(path, "utf-16")
        file.seek(0)
        try:
            while chunk := file.read(_SAMPLE_BYTES):
                decode(chunk)
            decode(b"", final=True)
        except UnicodeDecodeError:
            return _checked(path, "cp1252")
    return "utf-8-sig"


def _checked(path: Path, encoding: str) -> str:
    decode = codecs.getincrementaldecoder(encoding)().decode
    with path.open("rb") as file:
        try:
            while chunk := file.read(_SAMPLE_BYTES):
                decode(chunk)
            decode(b"", final=True)
        except UnicodeDecodeError:
            raise Refused("unknown_format") from None
    return encoding


def _delimiter(sample: str) -> str:
    """The sign that parts the first rows into equally many cells, counted outside quotes."""
    counts = list(_counts(sample))
    if not counts:
        return _DELIMITERS[0]
    header = counts[0]

    def fits(sign: str) -> tuple[bool, int, int]:
        alike = sum(each[sign] == header[sign] for each in counts)
        return header[sign] > 0, alike, header[sign]

    return max(_DELIMITERS, key=fits)


def _counts(sample: str) -> Iterator[dict[str, int]]:
    """How often each sign stands in each of the first rows that are not empty."""
    counts, is_quoted, is_empty, rows = dict.fromkeys(_DELIMITERS, 0), False, True, 0
    for sign in sample:
        if sign == '"':
            is_quoted = not is_quoted
        elif is_quoted:
            continue
        elif sign in counts:
            counts[sign] += 1
        elif sign == "\n":
            if not is_empty:
                yield counts
                rows += 1
            if rows == _SAMPLE_ROWS:
                return
            counts, is_empty = dict.fromkeys(_DELIMITERS, 0), True
            continue
        is_empty = is_empty and sign.isspace() and sign not in counts
    if not is_empty and not rows:
        yield counts
