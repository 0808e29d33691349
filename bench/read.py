"""Reading a mirror of some millions of rows: lists, counts, words, sums, details and files, each beside its target."""

import asyncio
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from urllib.parse import urlencode

import asyncpg

from backend.services.entities.address import record_path
from backend.services.entities.cursor import Place, to_cursor
from backend.services.exports.serving import MOST_ROWS
from bench.api import exists, serving
from bench.databases import Databases, query
from bench.filling import LARGEST_SUPPLIER, Sizes, fill
from bench.load import Answers, ask
from bench.report import ratio, table
from common.entities.entity import Entity, of_child, of_resource
from common.resources.contratacoes import CONTRATACOES
from common.resources.contratos import CONTRATOS
from common.resources.itens import ITENS

# ruff: noqa: S608  # names in these statements stand in descriptions

MANY = 32
SLOWEST_FOR_MANY = 0.5
"""Seconds: what takes one client longer is not asked over many connections."""
EXPORTED = MOST_ROWS
FORMATS = {"csv": 120_000, "parquet": 60_000, "xlsx": 30_000, "ndjson": 0}
"""Each with how many rows per second are its target, 0 where there is none."""
FIRST_BYTE_MS = 200
CSV_OF_FLOOR = 0.8
CHUNK = 1 << 16


@dataclass(frozen=True)
class Target:
    """What a question is to reach: milliseconds of one client, requests per second and milliseconds of many."""

    p50_ms: float | None = None
    p99_ms: float | None = None
    per_second: float | None = None
    many_p99_ms: float | None = None

    @property
    def sentence(self) -> str:
        """For the table."""
        of_one = [f"{name} {value:g}" for name, value in (("p50", self.p50_ms), ("p99", self.p99_ms)) if value]
        of_many = [
            *([f"{self.per_second:g}/s"] if self.per_second else []),
            *([f"p99 {self.many_p99_ms:g}"] if self.many_p99_ms else []),
        ]
        return "; ".join(part for part in (" ".join(of_one), " ".join(of_many)) if part)

    def verdict(self, one: Answers, many: Answers | None) -> str:
        """Whether it is reached, and what is missed."""
        missed = []
        if self.p50_ms and one.p50_ms > self.p50_ms:
            missed.append("p50")
        if self.p99_ms and one.p99_ms > self.p99_ms:
            missed.append("p99")
        if self.per_second and (many is None or many.per_second < self.per_second):
            missed.append("/s of many")
        if self.many_p99_ms and (many is None or many.p99_ms > self.many_p99_ms):
            missed.append("p99 of many")
        if not self.sentence:
            return ""
        return f"no: {', '.join(missed)}" if missed else "yes"


LIST = Target(5, 30, 300, 300)
DEPTH, COUNT, WORDS, SUMS, NONE = Target(p50_ms=150), Target(p50_ms=10), Target(p50_ms=150), Target(p50_ms=50), Target()


@dataclass(frozen=True)
class Question:
    """What is asked, at which address of the backend, and its target."""

    name: str
    path: str
    target: Target = NONE


def run_read(
    databases: Databases, contratos: int, itens: int, seconds: float, repeats: int, *, exported: int, keep: bool
) -> None:
    """Fill a database, or take one that was kept, ask everything, and drop it unless it is to be kept again."""
    sizes = Sizes(contratos, itens, date.today() - timedelta(days=1))  # noqa: DTZ011  # any day near this one
    url, is_filled = databases.kept(f"pncp_bench_read_{contratos}_{itens}")
    try:
        if not is_filled:
            _announce(url, sizes)
            fill(url, sizes)
            is_filled = True
        measure(url, seconds, repeats, exported)
    finally:
        if not (keep and is_filled):
            databases.drop(url)


def _announce(url: str, sizes: Sizes) -> None:
    print(
        f"\n{sizes.contratos:,} contratos, and {sizes.contratacoes:,} contratações with {sizes.itens:,} items, take"
        f" about {sizes.gigabytes:.1f} GB{_free_of(url)}; while indexes are made, a tenth more"
    )


def _free_of(url: str) -> str:
    """How much room there is, where the server's folder is on this machine and its name may be known."""
    found = query(url, "SELECT setting FROM pg_settings WHERE name = 'data_directory'")
    folder = Path(found[0][0]) if found else None
    try:
        return f" of {shutil.disk_usage(folder).free / 1e9:.0f} GB that are free" if folder else ""
    except OSError:
        return ""


def measure(url: str, seconds: float, repeats: int, exported: int) -> None:
    """Ask a backend on a filled database, and print the tables."""
    rows = {name: _count(url, name) for name in (CONTRATOS.name, ITENS.name, CONTRATACOES.name)}
    size = query(url, "SELECT pg_database_size(current_database())")[0][0]
    with serving("standalone.serve", {"DATABASE_URL": url, "RABBITMQ_URL": ""}) as backend:
        lines = []
        first_page: Answers | None = None
        for question in questions(url):
            one, many = _ask(backend, question, seconds, repeats)
            print(f"  {question.name}: {one.p50_ms:.1f} ms", flush=True)
            first_page = first_page or one
            lines.append(_line(question, one, many, first_page))
        of_rows = ", ".join(f"{count:,} {name}" for name, count in rows.items())
        head = ["", "p50 ms", "p99 ms", "/s", f"{MANY}: p50 ms", "p99 ms", "/s", "not 200", "target", "reached"]
        title = f"Reading: {of_rows}, {size / 1e9:.1f} GB; one uvicorn process, one client and {MANY} connections"
        note = "Targets: ms of one client; then of many. They are meant for ten million rows, of words for five."
        table(title, head, lines, note)
        _files(backend, url, exported)


# --- questions --------------------------------------------------------------------------------------------------


def questions(url: str) -> Iterable[Question]:
    """What is asked, by values that the database holds."""
    contratos, itens = of_resource(CONTRATOS), of_child(CONTRATACOES, ITENS)
    day, key = _middle(url, contratos, "data_publicacao_pncp")
    cursor = to_cursor(Place(day, (key,)), contratos, contratos.default_order)
    record, party = record_path(CONTRATOS, key), query(url, _SUPPLIER_ID, LARGEST_SUPPLIER)[0][0]
    compra = record_path(CONTRATACOES, query(url, _NEWEST_COMPRA)[0][0])
    month = query(url, _LAST_DAY)[0][0] - timedelta(days=30)
    one = {"limite": "1", "campos": CONTRATOS.key}
    yield _list("contratos: newest 100", contratos, LIST)
    yield _list("the same, not counted", contratos, LIST, contagem="nao")
    yield _list("uf", contratos, LIST, uf="SP")
    yield _list("rare uf", contratos, LIST, uf="RR")
    yield _list("uf and tipo", contratos, LIST, uf="SP", tipo_contrato="7")
    yield _list("largest supplier", contratos, LIST, ni_fornecedor=LARGEST_SUPPLIER)
    yield _list("small supplier", contratos, LIST, ni_fornecedor=query(url, _SMALL_SUPPLIER)[0][0])
    yield _list("cursor in the middle", contratos, Target(), cursor=cursor)
    yield _list("pular=10000", contratos, DEPTH, pular="10000")
    yield _list("pular=100000", contratos, DEPTH, pular="100000")
    yield _list("one row, not counted", contratos, NONE, contagem="nao", **one)
    yield _list("one row, default count", contratos, COUNT, **one)
    yield _list("default count of uf", contratos, COUNT, uf="SP", **one)
    yield _list("default count of uf and tipo", contratos, COUNT, uf="SP", tipo_contrato="7", **one)
    yield _list("exact count", contratos, NONE, contagem="exata", **one)
    yield _list("exact count of uf", contratos, NONE, contagem="exata", uf="SP", **one)
    yield _list("one frequent word", contratos, WORDS, q="aquisição")
    yield _list("one word", contratos, WORDS, q="pneu")
    yield _list("two words", contratos, WORDS, q="material limpeza")
    yield _list("phrase", contratos, WORDS, q='"merenda escolar"')
    yield _list("two words and uf", contratos, WORDS, q="material limpeza", uf="SP")
    yield Question("facets", "/contratos/facetas")
    yield Question("facets of a supplier", f"/contratos/facetas?ni_fornecedor={LARGEST_SUPPLIER}")
    yield Question("resumo", "/contratos/resumo", SUMS)
    yield Question("resumo of a uf, 30 days", f"/contratos/resumo?uf=SP&data_publicacao_de={month}", SUMS)
    yield Question("resumo of the largest supplier", f"/contratos/resumo?ni_fornecedor={LARGEST_SUPPLIER}")
    yield Question("dashboard", "/sync/dashboard", SUMS)
    yield Question("detail of a contrato", str(record))
    yield Question("detail of the largest supplier", f"/fornecedores/{party}")
    yield _list("itens: newest 100", itens, LIST)
    yield _list("uf", itens, LIST, uf="SP")
    yield _list("uf and unidade_medida", itens, LIST, uf="SP", unidade_medida="UN")
    yield _list("one word", itens, WORDS, q="pneu")
    yield _list("two words", itens, WORDS, q="material limpeza")
    yield _list("phrase", itens, WORDS, q='"merenda escolar"')
    yield Question("detail of a contratação", str(compra))


_SUPPLIER_ID = "SELECT id FROM fornecedores WHERE tipo_pessoa = 'PJ' AND ni = $1"
_SMALL_SUPPLIER = "SELECT ni_fornecedor FROM contratos WHERE tipo_pessoa = 'PJ' ORDER BY ni_fornecedor DESC LIMIT 1"
_NEWEST_COMPRA = f"SELECT {CONTRATACOES.key} FROM contratacoes ORDER BY data_publicacao_pncp DESC LIMIT 1"
_LAST_DAY = "SELECT CAST(max(data_publicacao_pncp) AS date) FROM contratos"


def _list(name: str, entity: Entity, target: Target, **parameters: str) -> Question:
    asked = f"?{urlencode(parameters)}" if parameters else ""
    return Question(name, f"/{entity.address}{asked}", target)


def _middle(url: str, entity: Entity, day: str) -> asyncpg.Record:
    statement = f"SELECT {day}, {entity.key[0].name} FROM {entity.name} ORDER BY 1 DESC, 2 DESC"
    return query(url, f"{statement} LIMIT 1 OFFSET (SELECT count(*) / 2 FROM {entity.name})")[0]


def _count(url: str, name: str) -> int:
    return int(query(url, f"SELECT count(*) FROM {name}")[0][0])


# --- asking -----------------------------------------------------------------------------------------------------


def _ask(backend: str, question: Question, seconds: float, repeats: int) -> tuple[Answers, Answers | None]:
    """By one client, and by many where it is fast enough; of several runs the middle one."""
    address = backend + question.path
    start = time.perf_counter()
    status = _status(address)
    took = time.perf_counter() - start
    if took > SLOWEST_FOR_MANY:
        start = time.perf_counter()
        status = _status(address)
        took = time.perf_counter() - start
    if took > SLOWEST_FOR_MANY:
        return Answers(1 / took, 1000 * took, 1000 * took, {status: 1}), None
    one = [ask(address, seconds=max(seconds, 5 * took), connections=1) for _ in range(repeats)]
    many = [ask(address, seconds=max(seconds, MANY * took), connections=MANY) for _ in range(repeats)]
    return _median(one), _median(many)


def _status(address: str) -> str:
    try:
        with urllib.request.urlopen(address, timeout=60) as answer:  # noqa: S310  # our own process
            answer.read()
            return str(answer.status)
    except urllib.error.HTTPError as error:
        return str(error.code)


def _median(answers: list[Answers]) -> Answers:
    return sorted(answers, key=lambda answer: answer.p50_ms)[len(answers) // 2]


def _line(question: Question, one: Answers, many: Answers | None, first_page: Answers) -> list[str]:
    target, verdict = question.target.sentence, question.target.verdict(one, many)
    if "cursor=" in question.path:
        target = "p50 1.2x of the first page"
        verdict = "yes" if one.p50_ms <= 1.2 * first_page.p50_ms else f"no: {ratio(one.p50_ms, first_page.p50_ms)}"
    statuses = [answer.statuses for answer in (one, many) if answer]
    asked = sum(sum(each.values()) for each in statuses)
    other = sum(count for each in statuses for status, count in each.items() if status != "200")
    of_many = [f"{many.p50_ms:.0f}", f"{many.p99_ms:.0f}", f"{many.per_second:,.0f}"] if many else ["", "", ""]
    return [
        question.name,
        *(f"{one.p50_ms:.1f}", f"{one.p99_ms:.1f}", f"{one.per_second:,.1f}"),
        *of_many,
        f"{other / asked:.0%}" if other else "",
        target,
        verdict,
    ]


# --- files ------------------------------------------------------------------------------------------------------


def _files(backend: str, url: str, exported: int) -> None:
    """The newest contratos as files, beside COPY of the same columns to nowhere."""
    known = [form for form in FORMATS if exists(f"{backend}/contratos.{form}?data_publicacao_de=9999-12-31")]
    if not known:
        print("\nThere are no files of lists: they are left out.")
        return
    # whole days, and no more rows than a file may have
    day = query(url, _DAY_OF_ROW, min(exported, _count(url, CONTRATOS.name) - 1))[0][0] + timedelta(days=1)
    rows = query(url, "SELECT count(*) FROM contratos WHERE data_publicacao_pncp >= $1::date", day)[0][0]
    columns = len([each for each in of_resource(CONTRATOS).fields.values() if each.is_default])
    floor = rows / asyncio.run(_copy(url, day))
    lines = [["COPY of the columns as CSV", f"{floor:,.0f}", "", "", "", "", ""]]
    for form in known:
        first_ms, seconds, size = _download(f"{backend}/contratos.{form}?data_publicacao_de={day}")
        rate, target = rows / seconds, FORMATS[form]
        missed = [
            *(["/s"] if rate < target else []),
            *(["of COPY"] if form == "csv" and rate < CSV_OF_FLOOR * floor else []),
            *(["first byte"] if first_ms > FIRST_BYTE_MS else []),
        ]
        of_copy = f" and {CSV_OF_FLOOR:g}x of COPY" if form == "csv" else ""
        wanted = (f"{target:,}/s{of_copy}, " if target else "") + f"first byte {FIRST_BYTE_MS} ms"
        verdict = f"no: {', '.join(missed)}" if missed else "yes"
        figures = [f"{rate:,.0f}", ratio(rate, floor), f"{first_ms:.0f}", f"{size / 1e6:.1f}"]
        lines.append([f".{form}", *figures, wanted, verdict])
    head = ["", "rows/s", "of COPY", "first byte ms", "MB", "target", "reached"]
    table(f"Files: {rows:,} contratos of about {columns} columns, one client", head, lines)


_DAY_OF_ROW = """
    SELECT CAST(data_publicacao_pncp AS date) FROM contratos ORDER BY data_publicacao_pncp DESC LIMIT 1 OFFSET $1
"""


async def _copy(url: str, day: date) -> float:
    """Seconds of `COPY ... TO STDOUT` of the columns that rows have where none are named, thrown away."""
    entity = of_resource(CONTRATOS)
    columns = ", ".join(each.sql for each in entity.fields.values() if each.is_default)
    db = await asyncpg.connect(url)
    try:
        start = time.perf_counter()
        where = f"WHERE data_publicacao_pncp >= DATE '{day}' ORDER BY data_publicacao_pncp DESC"
        await db.copy_from_query(
            f"SELECT {columns} FROM {entity.source} {where}", output=Path(os.devnull), format="csv"
        )
        return time.perf_counter() - start
    finally:
        await db.close()


def _download(address: str) -> tuple[float, float, int]:
    """Milliseconds to the first byte, seconds to the last, and how many there are."""
    start = time.perf_counter()
    with urllib.request.urlopen(address, timeout=600) as answer:  # noqa: S310  # our own process
        size = len(answer.read(1))
        first_ms = 1000 * (time.perf_counter() - start)
        while part := answer.read(CHUNK):
            size += len(part)
    return first_ms, time.perf_counter() - start, size
