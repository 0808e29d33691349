"""Spreadsheets: how fast their rows are read into rows of an entity, and in how much memory."""

import asyncio
import csv
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import rustpy_xlsxwriter

from bench.measure import peak_mib_of
from bench.report import table
from common.connections.loading import no_connections
from common.intake.rows import Reader, cells_of
from ingestor.intake.spreadsheet import open_sheet

ENTITY = "compras"
FORMS = ("xlsx", "csv")


@dataclass(frozen=True)
class _Reading:
    """Seconds of the clock, of the worker's processor and of its child's, and their peak memory in MiB."""

    seconds: float
    own: float
    child: float
    own_mib: float
    child_mib: float


def run_intake(rows: int, repeats: int) -> None:
    """Each format in turns."""
    found: dict[str, list[_Reading]] = {form: [] for form in FORMS}
    with tempfile.TemporaryDirectory(prefix="pncp-bench-") as folder:
        paths = {form: Path(folder) / f"{ENTITY}.{form}" for form in FORMS}
        rustpy_xlsxwriter.write_worksheets([("Planilha", rows_of(rows))], str(paths["xlsx"]))
        with paths["csv"].open("w", encoding="cp1252", newline="") as file:
            writer = csv.writer(file, delimiter=";")
            writer.writerow(next(rows_of(1)))
            writer.writerows(map(_as_text, rows_of(rows)))
        for _ in range(repeats):
            for form in FORMS:
                found[form].append(asyncio.run(_read(paths[form], rows)))
    lines = []
    for form, runs in found.items():
        seconds, own, child = (median(getattr(run, name) for run in runs) for name in ("seconds", "own", "child"))
        own_mib, child_mib = (median(getattr(run, name) for run in runs) for name in ("own_mib", "child_mib"))
        lines.append(
            [f".{form}", f"{rows / seconds:,.0f}", f"{own:.2f}", f"{child:.2f}", f"{own_mib:.0f}", f"{child_mib:.0f}"]
        )
    head = ["", "rows/s", "worker CPU s", "child CPU s", "worker MiB", "child MiB"]
    columns = len(next(rows_of(1)))
    table(f"Spreadsheets: {rows:,} rows of {columns} columns into rows of {ENTITY}", head, lines)


async def _read(path: Path, rows: int) -> _Reading:
    began, own = time.monotonic(), time.process_time()
    child = _child_seconds()
    reader = Reader(no_connections().layouts[ENTITY], door="sheet")
    good, peak = 0, 0.0
    async with open_sheet(path) as sheet:
        reader.bind(sheet.headers)
        async for batch in sheet.batches():
            for number, cells in batch:
                good += sum(not row.errors for row in reader.read(number, cells_of(sheet.headers, cells)))
            with suppress(FileNotFoundError):  # it has said all and is gone
                peak = max(peak, peak_mib_of(sheet.pid))
    if good != rows:
        raise RuntimeError(f"{good} of {rows} rows were read")
    seconds = time.monotonic() - began
    worker = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return _Reading(seconds, time.process_time() - own, _child_seconds() - child, worker, peak)


def _child_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def rows_of(count: int) -> Iterator[dict[str, Any]]:
    """Twelve of the columns filled, by their names."""
    for number in range(count):
        yield {
            "numero": f"C{number}",
            "orgao_cnpj": 394460000141,  # a number, which has lost its zeros
            "numero_controle_pncp": f"00394460000141-1-{number:06}/2026",
            "ano": 2026,
            "sequencial": number,
            "processo": f"23000.{number:06}/2026-11",
            "fornecedor": "529.982.247-25",
            "objeto": f"Aquisição de gêneros alimentícios para a merenda, lote {number}",
            "valor_estimado": number * 1.37,
            "valor_homologado": number * 1.29,
            "data_assinatura": date(2026, 1, 1) + timedelta(days=number % 300),
            "situacao": "homologada",
        }


def _as_text(row: dict[str, Any]) -> Iterator[str]:
    for value in row.values():
        if isinstance(value, float):
            yield f"{value:,.2f}".translate(str.maketrans(",.", ".,"))
        else:
            yield value.strftime("%d/%m/%Y") if isinstance(value, date) else str(value)
