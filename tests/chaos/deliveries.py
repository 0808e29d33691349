"""The storm of deliveries: couriers that fall and freeze, a receiver that fails, and records that change all the time.

The receiver runs in the test's own process, so that what it has applied is known without asking it.
"""

import asyncio
import contextlib
import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from common.delivery_tables import REJECTED
from common.lifecycle import Mode, jobs
from simulator.receiver.app import Manners, Receiver, serve
from simulator.receiver.faults import Faults
from tests.chaos.invariants import Findings
from tests.chaos.services import Program, clean_environment, python
from tests.chaos.variants import UNBROKEN, Patches, make_copy

DESTINATION = "crm"
BOX = "produtos"
LEASE_SECONDS = 4
TIMEOUT_SECONDS = 1
LOADED = "destination loaded"
LONGEST_CRASH = 6000  # characters of what it says
CRASHES = ("job ended unexpectedly", "Traceback (most recent call last)")
QUIET_WITHIN = 120.0
"""Seconds after the storm in which nothing more may be owed."""
FAULTS = Faults(error_before=0.08, error_after=0.05, hang=0.05, throttle=0.03, bad=0.01)
"""What the receiver does to requests, and to which records; `throttle` asks for a second of patience."""

ENTITY = """
key: [codigo]
columns: {codigo: integer, nome: text, preco: number}
"""
FILE = """
kind: http
url: {url}/records/produtos
allow_http: true
start: all
hold_above: 1000000
concurrency: {concurrency}
timeout: {timeout}
streams:
  - entity: produtos
    batch: {{records: {records}, wrap: registros}}
    {results}
    fields:
      id: codigo
      NOME: nome
      PRECO: {{from: preco, decimal: 2}}
      VERSAO: {{meta: version}}
"""
RESULTS = "results: {at: resultados, key: id, rejected_when: {erro: present}, reason: erro}"
FILL = text("""
    INSERT INTO entity_records (entity, key, data, updated_at)
    SELECT 'produtos', n::text, jsonb_build_object('codigo', n, 'nome', 'produto ' || n, 'preco', n * 0.5),
           clock_timestamp()
      FROM generate_series(1, :records) AS n
""")
CHANGE = text("""
    UPDATE entity_records
       SET data = data || jsonb_build_object('nome', CAST(:name AS text)), updated_at = clock_timestamp()
     WHERE entity = 'produtos' AND key = ANY(CAST(:keys AS text[]))
""")


@dataclass(frozen=True)
class Weather:
    """What a storm is made of.

    `form`: how the receiver answers. `freezes`: where couriers stop themselves, before which share of requests.
    `is_placed`: instead of all that is random, one courier stops before its first request until the other has delivered
    newer versions. `kills`: whether couriers are killed, asked to end and frozen at random. `full_share`: of the
    deliveries meanwhile; at the end those of mode `calm` are run until one finds nothing.
    """

    form: Literal["207", "whole"] = "207"
    honours_key: bool = True
    faults: Faults = FAULTS
    freezes: tuple[Literal["send", "pace"], float] | None = ("send", 0.02)
    is_placed: bool = False
    kills: bool = True
    full_share: float = 0.2
    calm: Mode = "backfill"
    records: int = 4000
    batch: int = 60
    concurrency: int = 2
    latency_ms: float = 0
    couriers: int = 2


@dataclass
class Result:
    """What a storm has come to."""

    seed: int
    weather: Weather
    findings: Findings = field(default_factory=Findings)
    faults: Counter[str] = field(default_factory=Counter)
    figures: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        rows = [("seed", self.seed), ("answers", self.weather.form), *sorted(self.faults.items())]
        rows += self.figures.items()
        rows += [(f"checks of {name}", number) for name, number in sorted(self.findings.looked.items())]
        rows.append(("broken", ", ".join(sorted(self.findings.broken)) or "nothing"))
        return "\n".join(f"{name:<32} {value}" for name, value in rows)


class Couriers:
    """Processes that deliver, by their names; what dies is started again, and what is frozen goes on after a while."""

    def __init__(self, folder: Path, root: Path, settings: dict[str, str], weather: Weather, seed: int) -> None:
        self.programs = {
            name: Program(name, self._command(weather), folder, self._environment(settings, weather, seed, n), cwd=root)
            for n, name in enumerate(f"courier-{number}" for number in range(1, weather.couriers + 1))
        }
        self.faults: Counter[str] = Counter()
        self.bad_ends: list[str] = []
        self._asked_to_end: set[int] = set()
        self._killed: set[int] = set()
        self._frozen_until: dict[int, float] = {}
        self.is_calm = False
        # a freeze at random may hit where no sender can help it, which a plain receiver would show
        freezes = (signal.SIGSTOP,) if weather.honours_key else ()
        self._kinds = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, *freezes)
        self._rng = random.Random(f"{seed}/couriers")

    @staticmethod
    def _command(weather: Weather) -> list[str]:
        return python("-m", "ingestor" if weather.freezes is None else "tests.chaos.courier")

    @staticmethod
    def _environment(settings: dict[str, str], weather: Weather, seed: int, number: int) -> dict[str, str]:
        place, share = weather.freezes or ("send", 0)
        share = 0 if weather.is_placed and number else share
        return clean_environment(**settings, CHAOS_FREEZE=f"{place},{share},{seed + number}")

    def look(self) -> None:
        """Start again what has ended, and let go on what was frozen for long enough."""
        for name, program in self.programs.items():
            pid = program.pid
            if pid is None:
                self._note_end(name, program)
                program.launch()
            elif _is_stopped(pid):
                self._thaw(pid)

    def _note_end(self, name: str, program: Program) -> None:
        if not program.ended:
            return
        pid = max(program.ended, key=program.ended.__getitem__)
        expected = {-signal.SIGKILL} if pid in self._killed else {0} if pid in self._asked_to_end else set()
        if pid in self._killed & self._asked_to_end:
            expected |= {0}
        if program.last_exit not in expected:
            self.bad_ends.append(f"{name} ended with {program.last_exit}: {program.said[-1500:]}")

    def _thaw(self, pid: int) -> None:
        until = self._frozen_until.get(pid)
        if until is None:  # at the send, or at random: long enough for a takeover mostly
            self.faults["freezes"] += 1
            seconds = 0.0 if self.is_calm else LEASE_SECONDS + self._rng.uniform(-2.0, 3.0)
            self._frozen_until[pid] = time.monotonic() + seconds
        elif time.monotonic() > until:
            del self._frozen_until[pid]
            os.kill(pid, signal.SIGCONT)

    def strike(self) -> None:
        """A fault at random."""
        program = self._rng.choice(list(self.programs.values()))
        pid = program.pid
        if pid is None or LOADED not in program.said:  # let it get as far as its work
            return
        kind = self._rng.choice(self._kinds)
        if kind == signal.SIGSTOP and _is_stopped(pid):
            return
        if kind == signal.SIGKILL:
            self._killed.add(pid)
        elif kind == signal.SIGTERM:
            self._asked_to_end.add(pid)
        if kind != signal.SIGSTOP:
            self.faults[kind.name] += 1
        program.signal(kind)

    async def keep(self) -> None:
        """Look all the time."""
        while True:
            self.look()
            await asyncio.sleep(0.05)

    @property
    def text(self) -> str:
        return "\n".join(program.text for program in self.programs.values())

    def close(self) -> None:
        """End them."""
        for program in self.programs.values():
            program.kill()


def _is_stopped(pid: int) -> bool:
    try:
        words = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return words.rpartition(")")[2].split()[0] == "T"


class DeliveryStorm:
    """One run on a database of its own: storm, calm, judgement."""

    def __init__(self, engine: AsyncEngine, url: str, folder: Path, seed: int, weather: Weather) -> None:
        self.result = Result(seed, weather)
        self._engine = engine
        self._url = url
        self._folder = folder
        self._weather = weather
        self._rng = random.Random(f"{seed}/storm")
        self._changes = 0

    async def run(self, seconds: float, patches: Patches = UNBROKEN) -> Result:
        """The whole course; `patches` break the couriers on purpose."""
        weather = self._weather
        root = make_copy(self._folder, patches)
        async with self._engine.begin() as db:
            await db.execute(FILL, {"records": weather.records})
        manners = Manners(
            honours_key=weather.honours_key,
            results=weather.form,
            latency_ms=weather.latency_ms,
            seed=self.result.seed,
        )
        well = Faults(bad=weather.faults.bad)
        async with serve(manners, well) as receiver:
            self._write_files(receiver.url)
            couriers = Couriers(self._folder, root, self._settings(root), weather, self.result.seed)
            try:
                if weather.is_placed:
                    await self._freeze_one(couriers, receiver)
                else:
                    await self._storm(couriers, receiver, seconds)
                receiver.faults = well
                await self._calm(couriers)
            finally:
                couriers.close()
            await self._judge(receiver, couriers)
        return self.result

    def _settings(self, root: Path) -> dict[str, str]:
        return {
            "DATABASE_URL": self._url,
            "WORKER_KINDS": "delivery",
            "CONNECTIONS_DIR": str(self._folder / "connections"),
            "DELIVERY_ALLOW_LOOPBACK": "true",
            "DELIVERY_RETRY_SECONDS": "0.1",
            "LEASE_SECONDS": str(LEASE_SECONDS),
            "SCHEDULE_ENABLED": "false",
            "PYTHONPATH": str(root),
        }

    def _write_files(self, url: str) -> None:
        weather = self._weather
        written = FILE.format(
            url=url,
            timeout=TIMEOUT_SECONDS,
            records=weather.batch,
            concurrency=weather.concurrency,
            results=RESULTS if weather.form == "207" else "",
        )
        for name, content in (("entities/produtos.yaml", ENTITY), ("destinations/crm.yaml", written)):
            path = self._folder / "connections" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")

    # --- the storm --------------------------------------------------------------------------------------------------

    async def _storm(self, couriers: Couriers, receiver: Receiver, seconds: float) -> None:
        """A first delivery of everything in fair weather, so that many shorter ones have their turn afterwards."""
        couriers.look()
        async with _meanwhile(couriers.keep):
            await _until(lambda: _true(all(LOADED in each.text for each in couriers.programs.values())), 60)
            await self._create("backfill")
            assert await _until(self._is_idle, 150), await self._describe()
            receiver.faults = self._weather.faults
            ends = time.monotonic() + seconds
            async with _meanwhile(self._change), _meanwhile(self._ask):
                while time.monotonic() < ends:
                    await asyncio.sleep(self._rng.uniform(1.5, 4.0))
                    if self._weather.kills:
                        couriers.strike()

    async def _freeze_one(self, couriers: Couriers, receiver: Receiver) -> None:
        """One courier stops before its request; meanwhile the other delivers that, and then newer versions."""
        frozen, other = couriers.programs.values()
        frozen.launch()
        await self._create("backfill")
        assert await _until(lambda: _true(frozen.pid is not None and _is_stopped(frozen.pid)), 60)
        couriers.faults["freezes"] += 1
        other.launch()
        assert await _until(self._is_idle, 60)
        await self._change_some()
        await self._create("update")
        assert await _until(self._is_idle, 60)
        frozen.signal(signal.SIGCONT)
        assert await _until(lambda: _true(receiver.state.box(BOX).repeats), 30)

    async def _describe(self) -> str:
        """What deliveries are doing."""
        async with self._engine.connect() as db:
            rows = await db.execute(
                text("""
                    SELECT e.id, e.status, e.held, s.status AS slice, s.failures, s.error_message, s.pages_done,
                           s.records_processed, s.records_rejected
                      FROM sync_executions e LEFT JOIN sync_slices s ON s.execution_id = e.id
                     WHERE e.kind = 'delivery' ORDER BY e.id DESC LIMIT 3
                """)
            )
            return "\n".join(map(str, rows))

    async def _is_idle(self) -> bool:
        return not await self._value("SELECT count(*) FROM sync_executions WHERE status = 'running'")

    async def _change(self) -> None:
        """Change records all the time."""
        while True:
            await self._change_some()
            await asyncio.sleep(0.05)

    async def _change_some(self) -> None:
        keys = [str(number) for number in self._rng.sample(range(1, self._weather.records + 1), 20)]
        async with self._engine.begin() as db:
            await db.execute(CHANGE, {"keys": keys, "name": f"mudou {self._changes}"})
        self._changes += len(keys)

    async def _ask(self) -> None:
        """Ask for a delivery whenever none is running."""
        while True:
            await self._create("backfill" if self._rng.random() < self._weather.full_share else "update")
            await asyncio.sleep(0.2)

    async def _create(self, mode: Mode) -> int | None:
        async with self._engine.begin() as db:
            return await jobs.create(db, kind="delivery", subject=DESTINATION, mode=mode, trigger="api")

    # --- calm and judgement -----------------------------------------------------------------------------------------

    async def _calm(self, couriers: Couriers) -> None:
        """Deliver until a delivery finds nothing to do. Nothing falls, and what stops itself goes on at once."""
        began = time.monotonic()
        couriers.is_calm = True
        async with _meanwhile(couriers.keep):
            is_quiet = await _until(self._is_settled, QUIET_WITHIN)
        self.result.figures["quiet after, seconds"] = f"{time.monotonic() - began:.1f}"
        self.result.findings.check("quiet", is_quiet, "records are owed for ever")

    async def _is_settled(self) -> bool:
        """Whether the last delivery was asked for in calm, and found nothing that it could deliver."""
        if not await self._is_idle():
            return False
        asked = self.result.figures.setdefault("deliveries in calm", 0)
        if asked:
            row = await self._value("""
                SELECT (status = 'success' AND coalesce(records_processed, 0) = 0)
                  FROM sync_executions WHERE kind = 'delivery' ORDER BY id DESC LIMIT 1
            """)
            if row:
                return True
        if await self._create(self._weather.calm) is not None:
            self.result.figures["deliveries in calm"] = asked + 1
        return False

    async def _value(self, statement: str) -> Any:
        async with self._engine.connect() as db:
            return (await db.execute(text(statement))).scalar_one_or_none()

    async def _judge(self, receiver: Receiver, couriers: Couriers) -> None:
        findings, box = self.result.findings, receiver.state.box(BOX)
        quarantine = await self._load_quarantine()
        bad = {key for key in map(str, range(1, self._weather.records + 1)) if self._is_bad(receiver, key)}
        async with self._engine.connect() as db:
            rows = (await db.execute(text("SELECT key, data, updated_at FROM entity_records"))).all()
        for key, data, updated_at in rows:
            expected, kept = _expected(data, updated_at), box.records.get(key)
            if key in quarantine:
                findings.check("I10", key in box.refused, f"{key} is in quarantine, and was never refused")
            else:
                there = None if kept is None else kept.record
                findings.check("I10", there == expected, f"{key} is {there} at the receiver instead of {expected}")
        findings.check("I10", quarantine == bad, f"in quarantine are not the bad ones: {quarantine ^ bad}")
        if self._weather.honours_key and not self._weather.faults.missing:
            findings.check("I11", not box.duplicates, f"{box.duplicates} times a record was applied again")
            findings.check("I11", not box.reused_keys, f"{box.reused_keys} keys had another content before")
        findings.check("I12", not box.backwards, f"{box.backwards} times an older version followed a newer one")
        open_batches = await self._value("SELECT count(*) FROM delivery_batches WHERE state = 'open'")
        findings.check("ends", not open_batches, f"{open_batches} requests are open for ever")
        for told in couriers.bad_ends:
            findings.check("ends", False, told)
        for crash in CRASHES:
            _, found, said = couriers.text.partition(crash)
            findings.check("ends", not found, f"a courier says: {found}{said[:LONGEST_CRASH]}")
        self.result.faults = couriers.faults
        self.result.figures |= {
            "changes": self._changes,
            "requests": box.requests,
            "  by status": dict(box.statuses),
            "  answered from the key": box.repeats,
            "records in quarantine": f"{len(quarantine)} of {len(bad)} that are refused",
            "applied again": box.duplicates,
            "versions backwards": box.backwards,
            "deliveries": await self._value("SELECT count(*) FROM sync_executions WHERE kind = 'delivery'"),
            "  that ended in error": await self._value("SELECT count(*) FROM sync_executions WHERE status = 'error'"),
            "claims": await self._value("SELECT sum(attempt) FROM sync_slices"),
        }

    async def _load_quarantine(self) -> set[str]:
        async with self._engine.connect() as db:
            rows = await db.execute(text("SELECT key FROM deliveries WHERE state = :state"), {"state": REJECTED})
            return set(rows.scalars())

    def _is_bad(self, receiver: Receiver, key: str) -> bool:
        return receiver.chance.is_bad(self._weather.faults, key)


def _expected(data: Any, updated_at: datetime) -> dict[str, Any]:
    """A record as the receiver must have it, made without the product."""
    record = data if isinstance(data, dict) else json.loads(data)
    version = updated_at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    price = record["preco"]
    return {"id": record["codigo"], "NOME": record["nome"], "PRECO": f"{price:.2f}", "VERSAO": version}


@contextlib.asynccontextmanager
async def _meanwhile(work: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Do this until the block ends; its own failure is the block's."""

    async def do() -> None:
        await work()

    task = asyncio.create_task(do())
    try:
        yield
    finally:
        if task.done():
            await task
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _true(value: bool) -> bool:
    return value


async def _until(condition: Callable[[], Awaitable[object]], seconds: float) -> bool:
    """Wait until something is so; whether it became so in time."""
    deadline = time.monotonic() + seconds
    while not await condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.1)
    return True
