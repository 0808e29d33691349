"""Intake from end to end: a spreadsheet from upload to records, records that are pushed, rows of another database."""

import json
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from subprocess import Popen
from typing import Any

import httpx
import psycopg
import rustpy_xlsxwriter
from sqlalchemy.engine import make_url

from bench.api import serving
from bench.databases import Databases, name_of, query
from bench.intake import ENTITY, rows_of
from bench.measure import PROC, DatabaseCpu, Run, cpu_seconds_of, peak_mib_of
from bench.mirror import worker
from bench.report import memory, per_second, table

# ruff: noqa: S608  # the names in statements are ours

PUSHED = 1000
"""Records of a request, the most that it may have."""
SOURCE = "bench"
PAGE = 1000
POLL_SECONDS = 0.1
LONGEST = 1800.0
_FILL = f"""
    CREATE TABLE {ENTITY} AS
    SELECT 'C' || lpad(n::text, 8, '0') AS numero, '00394460000141' AS orgao_cnpj,
           '00394460000141-1-' || lpad(n::text, 6, '0') || '/2026' AS numero_controle_pncp, 2026 AS ano,
           n AS sequencial, '23000.' || lpad(n::text, 6, '0') || '/2026-11' AS processo, '52998224725' AS fornecedor,
           'Aquisição de gêneros alimentícios para a merenda, lote ' || n AS objeto, n * 1.37 AS valor_estimado,
           n * 1.29 AS valor_homologado, date '2026-01-01' + n % 300 AS data_assinatura, 'homologada' AS situacao
      FROM generate_series(1, $1::int) n
"""
_KEYED = f"ALTER TABLE {ENTITY} ADD PRIMARY KEY (numero)"
_SUPPLIER = """
    INSERT INTO entity_records (entity, key, data) VALUES
        ('fornecedores_proprios', '52998224725', '{"documento": "52998224725", "nome": "Ana"}')
"""
_READ = f"SELECT * FROM {ENTITY} WHERE numero > %s ORDER BY numero LIMIT {PAGE}"
_FILE = f"""
url: ${{env:BENCH_SOURCE_URL}}
entities:
  {ENTITY}: {{table: {ENTITY}, key: numero, page: {PAGE}}}
"""


@dataclass
class _Peak:
    """The most memory that the child of a worker has held, looked at while it lives; in MiB."""

    pid: int
    mib: float = 0.0
    _known: set[int] = field(default_factory=set)

    def look(self) -> None:
        for entry in (PROC / str(self.pid) / "task").iterdir():
            try:
                children = (entry / "children").read_text().split()
                self.mib = max([self.mib, *(peak_mib_of(int(child)) for child in children)])
            except OSError:  # it has ended meanwhile
                continue


def run_taking_in(databases: Databases, rows: int, repeats: int) -> None:
    """Each door in turns, into a database of its own."""
    uploads: dict[int, list[tuple[Run, float]]] = {rows // 10: [], rows: []}
    pushes: list[tuple[Run, float]] = []
    readings: list[Run] = []
    bare: list[float] = []
    for _ in range(repeats):
        for size, runs in uploads.items():
            with _product(databases) as product:
                runs.append(product.upload(size))
        with _product(databases) as product:
            pushes.append(product.push(rows))
        with _product(databases, rows) as product:
            bare.append(rows / product.read_and_discard())
            readings.append(product.read(rows))
    _print(uploads, pushes, readings, bare)


def _print(
    uploads: dict[int, list[tuple[Run, float]]],
    pushes: list[tuple[Run, float]],
    readings: list[Run],
    bare: Sequence[float],
) -> None:
    head = ["", "s", "rows/s", "CPU s of the worker", "PostgreSQL's", "MiB of the worker", "of its child"]
    lines = []
    for size, found in uploads.items():
        runs = [run for run, _ in found]
        lines.append([f".xlsx of {size:,} rows", *_cells(runs), f"{max(child for _, child in found):.0f}"])
    runs = [run for run, _ in pushes]
    lines.append([f"{runs[0].records:,} records pushed", *_cells(runs), "-"])
    lines.append([f"{readings[0].records:,} rows of PostgreSQL", *_cells(readings), "-"])
    discarded = ", ".join(f"{rate:,.0f}" for rate in bare)
    accepted = ", ".join(f"{rate:,.0f}" for _, rate in pushes)
    table(
        f"Intake: rows of {ENTITY}, from the upload, the first request or the beginning of the reading to the end",
        head,
        lines,
        f"Load of the machine in the last minute: {os.getloadavg()[0]:.1f}.",
        f"Pushed by one client, {PUSHED:,} a request, answered when they are stored: {accepted} records/s.",
        f"The same SELECT read by pages and thrown away: {discarded} rows/s.",
    )


def _cells(runs: Sequence[Run]) -> list[str]:
    middle = sorted(runs, key=lambda run: run.seconds)[len(runs) // 2]
    used = (middle.cpu_seconds, middle.database_cpu_seconds)
    return [f"{middle.seconds:.1f}", per_second(runs), *(f"{each:.1f}" for each in used), memory(runs)]


# --- the product ------------------------------------------------------------------------------------------------


class _Product:
    """A backend and a worker that takes in, on a database of their own."""

    def __init__(self, address: str, database_url: str, source_url: str, process: "Popen[bytes]") -> None:
        self._database_url = database_url
        self._source_url = source_url
        self._process = process
        self._http = httpx.Client(base_url=address, timeout=60, trust_env=False)

    def close(self) -> None:
        self._http.close()

    def upload(self, rows: int) -> tuple[Run, float]:
        """A sheet of so many rows, from its first byte to its last record; and the peak memory of what reads it."""
        with tempfile.TemporaryDirectory(prefix="pncp-bench-") as folder:
            path = Path(folder) / f"{ENTITY}.xlsx"
            rustpy_xlsxwriter.write_worksheets([("Planilha", rows_of(rows))], str(path))
            child = _Peak(self._process.pid)

            def send() -> None:
                parameters = {"nome": path.name, "confirmar": "nao"}
                with path.open("rb") as file:
                    self._http.put(f"/intake/{ENTITY}/arquivo", content=file, params=parameters).raise_for_status()

            return self._measure(send, rows, child), child.mib

    def push(self, rows: int) -> tuple[Run, float]:
        """So many records, a thousand a request, to the last record; and how many were accepted in a second."""
        records = rows_of(rows)
        bodies = []
        while chunk := list(islice(records, PUSHED)):
            bodies.append(json.dumps([{**row, "orgao_cnpj": "00394460000141"} for row in chunk], default=str))
        sent = [0.0]

        def send() -> None:
            began = time.monotonic()
            for body in bodies:
                self._http.post(
                    f"/intake/{ENTITY}", content=body, headers={"Content-Type": "application/json"}
                ).raise_for_status()
            sent[0] = time.monotonic() - began

        return self._measure(send, rows), rows / sent[0]

    def read(self, rows: int) -> Run:
        """A whole reading of the other database."""
        return self._measure(lambda: self._http.post(f"/sources/{SOURCE}/ler", json={}).raise_for_status(), rows)

    def read_and_discard(self) -> float:
        """Seconds that the same pages take when nothing is done with their rows."""
        began, last = time.monotonic(), ""
        url = make_url(self._source_url).set(drivername="postgresql")
        with psycopg.connect(url.render_as_string(hide_password=False)) as db:
            while found := db.execute(_READ, (last,)).fetchall():
                last = found[-1][0]
        return time.monotonic() - began

    def _measure(self, begin: Any, rows: int, child: _Peak | None = None) -> Run:
        used = cpu_seconds_of(self._process.pid)
        with DatabaseCpu(name_of(self._database_url)) as database_cpu:
            began = time.monotonic()
            begin()
            while not self._is_done(rows):
                if time.monotonic() - began > LONGEST:
                    raise TimeoutError(f"{rows} rows were not processed after {LONGEST} s")
                if child is not None:
                    child.look()
                time.sleep(POLL_SECONDS)
            seconds = time.monotonic() - began
        used = cpu_seconds_of(self._process.pid) - used
        return Run(seconds, rows, used, database_cpu.seconds, peak_mib_of(self._process.pid))

    def _is_done(self, rows: int) -> bool:
        if self._process.poll() is not None:
            raise RuntimeError("the worker has ended")
        jobs = self._http.get("/jobs", params={"kind": "intake", "limit": 200}).raise_for_status().json()["jobs"]
        if any(job["status"] == "error" for job in jobs):
            raise RuntimeError(f"intake failed: {[job['error_message'] for job in jobs]}")
        if not jobs or any(job["status"] == "running" for job in jobs):
            return False
        made = query(self._database_url, "SELECT count(*) FROM entity_records WHERE entity = $1", ENTITY)[0][0]
        if made != rows:
            raise RuntimeError(f"{made} of {rows} rows became records")
        return True


@contextmanager
def _product(databases: Databases, foreign_rows: int = 0) -> Iterator[_Product]:
    """The product up, with a database of others where one is to be read."""
    database_url, source_url = databases.fresh("intake"), databases.fresh("foreign", migrated=False)
    query(database_url, _SUPPLIER)
    if foreign_rows:
        query(source_url, _FILL, foreign_rows)
        query(source_url, _KEYED)
    with tempfile.TemporaryDirectory(prefix="pncp-bench-") as folder:
        (Path(folder) / "sources").mkdir()
        (Path(folder) / "sources" / f"{SOURCE}.yaml").write_text(_FILE, encoding="utf-8")
        settings = {
            "CONNECTIONS_DIR": folder,
            "WORKER_KINDS": "intake",
            "BENCH_SOURCE_URL": source_url.replace("postgresql+asyncpg", "postgresql"),
        }
        backend = {"DATABASE_URL": database_url, "CONNECTIONS_DIR": folder, "SCHEDULE_ENABLED": "false"}
        with serving("standalone.serve", backend) as address, worker(database_url, settings) as process:
            product = _Product(address, database_url, source_url, process)
            try:
                yield product
            finally:
                product.close()
    for url in (database_url, source_url):
        databases.drop(url)
