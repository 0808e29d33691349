"""PDF for reading and printing: a summary, then a table, on A4 in landscape; on each page its number and the mirror."""

import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from html import escape
from itertools import islice
from pathlib import Path
from typing import Any

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4, landscape
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase.pdfmetrics import registerFont, stringWidth
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, LongTable, Paragraph, SimpleDocTemplate, Spacer, TableStyle

from backend.services.exports.tables import (
    BOOLEANS,
    DAYS,
    INTEGERS,
    MOMENTS,
    NUMBERS,
    About,
    Column,
    Row,
    Section,
    Table,
    decimal_in_words,
    maker_of,
)

LONGEST_TEXT = 300
"""Of a cell; the rest is in the other formats, as the summary says."""
ROWS_PER_TABLE = 500
"""The time that the library takes grows faster than the rows of a table."""
LEAST_WEIGHED, LONGEST_WEIGHED = 14, 60
"""Letters by which a column of texts has its share of the width; a short one has room for a name."""
LONGEST_FIXED = 30
"""Codes up to this length, which cannot be broken into lines, get the width that they need."""
FONT, BOLD = "DejaVuSansCondensed", "DejaVuSansCondensed-Bold"
_FONTS = Path(__file__).parents[2] / "web" / "vendor" / "dejavu"
_WIDTHS = {
    **dict.fromkeys(MOMENTS, 23 * mm),
    **dict.fromkeys(DAYS, 16 * mm),
    **dict.fromkeys(NUMBERS, 26 * mm),
    **dict.fromkeys(INTEGERS, 16 * mm),
    **dict.fromkeys(BOOLEANS, 14 * mm),
}
_ON_THE_RIGHT = (*NUMBERS, *INTEGERS)
_MARGIN = 10 * mm
_PADDING = 2.5
_NARROW = 3.0
"""A letter is hardly narrower, on average."""
_WIDE = 4.1
"""Nor wider, in codes and names."""
_NARROWEST = 14 * mm
_PAGES = "pages"
_PLAIN = ParagraphStyle("plain", fontName=FONT, fontSize=7, leading=8.5, splitLongWords=True)
_HEAD = ParagraphStyle("head", _PLAIN, fontName=BOLD, textColor=colors.white)
_TITLE = ParagraphStyle("title", _PLAIN, fontName=BOLD, fontSize=14, leading=18)
_SECTION = ParagraphStyle("section", _PLAIN, fontName=BOLD, fontSize=9, leading=13)
_SUMMARY = ParagraphStyle("summary", _PLAIN, fontSize=8, leading=11)
_STYLE = TableStyle(
    [
        ("BACKGROUND", (0, 0), (-1, 0), colors.HexColor("#1c3f6e")),
        ("ROWBACKGROUNDS", (0, 1), (-1, -1), [colors.white, colors.HexColor("#f2f5f9")]),
        ("LINEBELOW", (0, 0), (-1, -1), 0.25, colors.HexColor("#c5cedb")),
        ("FONT", (0, 1), (-1, -1), FONT, _PLAIN.fontSize, _PLAIN.leading),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LEFTPADDING", (0, 0), (-1, -1), _PADDING),
        ("RIGHTPADDING", (0, 0), (-1, -1), _PADDING),
        ("TOPPADDING", (0, 0), (-1, -1), 1.5),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
    ]
)
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]+")


class _Canvas(Canvas):  # type: ignore[misc]  # the library has no types
    """A canvas that draws the number of its pages where they have left room for it."""

    def save(self) -> None:
        """Draw the number, now that it is known, and write the file."""
        self.beginForm(_PAGES)
        self.setFont(FONT, 7)
        self.drawString(0, 0, str(self.getPageNumber() - 1))
        self.endForm()
        super().save()


def write_pdf(table: Table, about: About, target: Path, *, count: Callable[[Iterator[Row]], Iterator[Row]]) -> None:
    """Write a document. `count` passes rows on and counts them."""
    registerFont(TTFont(FONT, _FONTS / f"{FONT}.ttf"))
    registerFont(TTFont(BOLD, _FONTS / f"{BOLD}.ttf"))
    width, height = landscape(A4)
    facts = _Facts(table, about)

    def draw_foot(canvas: Any, _: object) -> None:
        canvas.setFont(FONT, 7)
        canvas.drawString(_MARGIN, 6 * mm, f"{about.title} · {about.mirror_sentence}")
        canvas.drawRightString(
            width - _MARGIN - 7 * mm, 6 * mm, f"{about.made_at} · página {canvas.getPageNumber()} de"
        )
        canvas.saveState()
        canvas.translate(width - _MARGIN - 6 * mm, 6 * mm)
        canvas.doForm(_PAGES)
        canvas.restoreState()

    document = SimpleDocTemplate(
        str(target),
        pagesize=(width, height),
        leftMargin=_MARGIN,
        rightMargin=_MARGIN,
        topMargin=_MARGIN,
        bottomMargin=13 * mm,
        title=about.title,
        author="PNCP Sync",
        subject=about.mirror_sentence,
        lang="pt-BR",
    )
    story: list[Flowable] = [Paragraph(escape(about.title), _TITLE)]
    story += [
        Paragraph(f"<b>{escape(name)}:</b> {escape(value, quote=False)}", _SUMMARY) for name, value in facts.summary()
    ]
    story.append(Spacer(1, 4 * mm))
    for section in about.sections:
        story += [Paragraph(escape(section.title), _SECTION), _section_table(section), Spacer(1, 4 * mm)]
    story += _tables(table, facts.widths(width - 2 * _MARGIN), count)
    document.build(story, onFirstPage=draw_foot, onLaterPages=draw_foot, canvasmaker=_Canvas)


class _Facts:
    """What has to be known of all rows before the first is drawn: sums, cut texts, how long texts are."""

    def __init__(self, table: Table, about: About) -> None:
        self.about = about
        self.columns = table.columns
        self.cut = 0
        self.lengths = [len(column.label) for column in table.columns]
        self.longest = [0] * len(table.columns)
        """Of texts without a space; those with one count as longer than any."""
        self.sums = {n: Decimal() for n, column in enumerate(table.columns) if column.name in about.sums}
        for row in table.rows():
            for n, value in enumerate(row):
                if value is not None:
                    self.lengths[n] += min(len(value), LONGEST_TEXT)
                    self.longest[n] = max(self.longest[n], LONGEST_TEXT if " " in value else len(value))
                    self.cut += len(value) > LONGEST_TEXT
            for n in self.sums:
                self.sums[n] += Decimal(row[n] or 0)

    def summary(self) -> Iterator[tuple[str, str]]:
        """The lines above the table."""
        about = self.about
        yield "Registros", f"{about.rows:,}".replace(",", ".")
        yield "Filtros", "; ".join(f"{label}: {value}" for label, value in about.filters) or "nenhum"
        yield "Ordem", about.order
        yield from about.notes
        for n, total in self.sums.items():
            yield f"Soma de {self.columns[n].label}", decimal_in_words(str(total))
        yield "Espelho", about.mirror_sentence
        yield "Feito em", about.made_at
        if self.cut:
            yield (
                "Textos encurtados",
                f"{self.cut}, com mais de {LONGEST_TEXT} caracteres, terminam em …; inteiros nos outros formatos",
            )

    def widths(self, room: float) -> list[float]:
        """The widths of columns: those of numbers and dates are fixed, texts share the rest by how long they are."""
        kinds = [column.kind for column in self.columns]
        fixed = [_WIDTHS.get(kind, 0.0) for kind in kinds]
        short = [
            max(_NARROWEST, _WIDE * longest + 2 * _PADDING) if not width and longest <= LONGEST_FIXED else width
            for width, longest in zip(fixed, self.longest, strict=True)
        ]
        if sum(short) <= room * (1 if all(short) else 0.7):
            fixed = short
        rows = max(1, self.about.rows)
        weights = [
            0.0 if width else float(min(max(length / rows, LEAST_WEIGHED), LONGEST_WEIGHED))
            for width, length in zip(fixed, self.lengths, strict=True)
        ]
        if not any(weights):
            return [width * room / sum(fixed) for width in fixed]
        share = (room - sum(fixed)) / sum(weights)
        return [width or share * weight for width, weight in zip(fixed, weights, strict=True)]


def _tables(table: Table, widths: list[float], count: Callable[[Iterator[Row]], Iterator[Row]]) -> Iterator[Flowable]:
    head = [Paragraph(escape(column.label), _HEAD) for column in table.columns]
    makers = [_maker_of(column, width - 2 * _PADDING) for column, width in zip(table.columns, widths, strict=True)]
    style = TableStyle(_aligned(table.columns), parent=_STYLE)
    rows = count(table.rows())
    part = list(islice(rows, ROWS_PER_TABLE))
    while True:
        cells = [
            ["" if value is None else make(value) for make, value in zip(makers, row, strict=True)] for row in part
        ]
        yield LongTable([head, *cells], colWidths=widths, repeatRows=1, style=style)
        part = list(islice(rows, ROWS_PER_TABLE))
        if not part:
            return


def _section_table(section: Section) -> Flowable:
    """A small table, on the left of the page."""
    widths = [_WIDTHS.get(column.kind, 62 * mm) for column in section.columns]
    makers = [_maker_of(column, width - 2 * _PADDING) for column, width in zip(section.columns, widths, strict=True)]
    cells = [
        ["" if value is None else make(value) for make, value in zip(makers, row, strict=True)] for row in section.rows
    ]
    head = [Paragraph(escape(column.label), _HEAD) for column in section.columns]
    style = TableStyle(_aligned(section.columns), parent=_STYLE)
    return LongTable([head, *cells], colWidths=widths, repeatRows=1, style=style, hAlign="LEFT")


def _aligned(columns: tuple[Column, ...]) -> list[tuple[Any, ...]]:
    """Numbers on the right."""
    return [("ALIGN", (n, 1), (n, -1), "RIGHT") for n, each in enumerate(columns) if each.kind in _ON_THE_RIGHT]


def _maker_of(column: Column, width: float) -> Callable[[str], str | Flowable]:
    if column.kind in NUMBERS:
        return decimal_in_words
    made = maker_of(column, moments="%d/%m/%Y %H:%M")
    if made is not None:
        return made
    return str if column.kind in INTEGERS else lambda text: _fit(text, width)


def _fit(text: str, width: float) -> str | Flowable:
    """A text as it is where it fits into a line; to break one into lines costs ten times as much."""
    shown = _shown(text)
    if len(shown) * _NARROW < width and stringWidth(shown, FONT, _PLAIN.fontSize) <= width:
        return shown
    return Paragraph(escape(shown, quote=False), _PLAIN)


def _shown(text: str) -> str:
    shown = text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"
    return _UNPRINTABLE.sub(" ", shown)
