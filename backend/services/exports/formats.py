"""The formats of files: names, media types, and how many rows they take."""

from dataclasses import dataclass

MOST_PDF_ROWS = 5_000
MOST_SHEET_ROWS = 1_048_575
"""Beside the head of a sheet."""


@dataclass(frozen=True)
class Format:
    """A format: the ending of its files, their media type, and whether rows are converted after they were copied."""

    name: str
    media_type: str
    is_converted: bool = True
    most_rows: int | None = None
    rows_per_sheet: int | None = None


FORMATS = {
    each.name: each
    for each in (
        Format("csv", "text/csv; charset=utf-8", is_converted=False),
        Format(
            "xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", rows_per_sheet=MOST_SHEET_ROWS
        ),
        Format("parquet", "application/vnd.apache.parquet"),
        Format("ndjson", "application/x-ndjson"),
        Format("pdf", "application/pdf", most_rows=MOST_PDF_ROWS),
    )
}
EXCEL = "excel"
"""How CSV for Excel in Brazil is called where it is told from plain CSV."""
