"""The storm: random faults and random requests, all from one seed; then calm, and the judgement."""

import asyncio
import contextlib
import json
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import aio_pika
import asyncpg
import httpx

from common.resources import LATER
from tests.chaos.amqp import publish_plainly
from tests.chaos.fleet import (
    FROZEN_DAYS,
    LEASE_SECONDS,
    LISTINGS,
    LISTS,
    MODALIDADES,
    PARTS,
    QUEUE,
    Fleet,
    now_there,
    tell_at_once,
)
from tests.chaos.invariants import (
    Findings,
    Judged,
    Post,
    Sent,
    Witness,
    check_asked,
    check_counts,
    check_dominios,
    check_ends,
    check_lists,
    check_messages,
    check_mirror,
    check_requests,
    check_resources,
    check_seen,
    is_in_scope,
    load_stamps,
    watch_rows,
)
from tests.chaos.portal import DOMINIOS, Version
from tests.chaos.services import Program

DATABASE_AWAY = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
QUIET_WITHIN = 240.0
"""Seconds after the storm in which everything must have ended. A lost message is found after half a minute."""
CONCURRENT_REQUESTS = 12
ASKED_AT_ONCE = 20
"""Lists that are asked for by hand, one after the other."""
FAILURES: dict[str, Any] = {
    "fail": 0.15,
    "hang_seconds": 4,  # more than a request waits
    "latency_ms": 5,
    "429": {"probability": 0.0005, "value": "1"},
}
QUIRKS = FAILURES | {
    # listings shrink and are shuffled by updates between two pages of one reading
    "change": [
        {"probability": 0.10, "value": {"touch": 1}},
        {"probability": 0.04, "value": {"remove": 1}},
    ],
    "short_page": {"probability": 0.01},
    "second_look_empty": {"probability": 0.02},
    "bad_400": {"probability": 0.01, "match": {"service": "consulta"}},
    "slow_page": {"probability": 0.003, "value": 4},  # more than a request waits at first
}
KINDS = ("itens", "itens_pca", "resultados", "arquivos", "termos", "historico", "dominios")
"""What the portal is asked for beside listings."""
COUNTED = ("arquivos", "termos", "historico")
"""Lists whose entries the portal counts, so that a 404 and an empty answer are doubted."""
TABLE, ENTRIES = "tipos-documentos", range(1, 24)
"""A domain table that changes, and the codes of the entries that come and go there."""
THROTTLED_SECONDS = 4
SETTLED_SECONDS = 1.6
"""An ingestor looks once a second whether another one was throttled."""
BUSY_SECONDS = 4.0
RISE_SECONDS = 8.0
"""How long after its fall a service may still be rising."""


def storm_quirks(fleet: Fleet) -> dict[str, Any]:
    """How the portal misbehaves all the while. On the days that stand still its listings lie as well: there nothing but
    the proof of completeness can notice that a record is missing. In that of instrumentos, by inclusion, which repeats
    rows, nothing could notice that a row stands in the place of another."""
    lies = {
        name: [
            {"probability": probability, "value": value, "match": {"criterio": criterio, "day": f"{day}"}}
            for day in fleet.days[:FROZEN_DAYS]
            for criterio in criterios
        ]
        for name, probability, value, criterios in (
            ("left_out", 0.03, None, ("publicacao", "atualizacao", "inclusao")),
            ("copied_page", 0.01, None, ("publicacao", "atualizacao")),
            ("unordered", 0.02, "each", ("publicacao", "atualizacao")),
        )
    }
    return QUIRKS | lies


_GOOD_ENDS = {
    "ingestor": (0, -signal.SIGKILL),  # it may have been killed while it was ending
    "backend": (0, -signal.SIGKILL, -signal.SIGTERM),  # uvicorn raises the signal again when it has closed everything
}
_POISON: tuple[Callable[[str], tuple[bytes, dict[str, Any]]], ...] = (
    lambda marker: (b"\xff\xfe" + marker.encode(), {}),
    lambda marker: (b'{"mode": "' + marker.encode(), {}),
    lambda marker: (json.dumps([marker]).encode(), {}),
    lambda marker: (json.dumps({"mode": marker}).encode(), {}),
    lambda marker: (json.dumps({"mode": "backfill", "data_ini": marker, "data_fim": None}).encode(), {}),
    lambda _: (json.dumps({"mode": "backfill", "data_ini": "2025-02-01T00:00:00"}).encode(), {}),
    lambda marker: (json.dumps({"mode": "update"}).encode(), {"execution_id": marker}),
    lambda marker: (json.dumps({"mode": "update", "more": marker * 10_000}).encode(), {}),
)


@dataclass
class Result:
    """What a run came to."""

    seed: int
    seconds: float
    has_broker: bool
    faults: Counter[str]
    witness: Witness
    judged: Judged = field(default_factory=Judged)
    compared: Counter[str] = field(default_factory=Counter)
    executions: Counter[str] = field(default_factory=Counter)
    resumed: int = 0
    restarts: int = 0
    quiet_after: float = 0.0
    changes: int = 0
    days_of_one: int = 0
    read_in_trouble: int = 0

    @property
    def findings(self) -> Findings:
        return self.witness.findings

    def __str__(self) -> str:
        witness = self.witness
        rows = [
            ("seed", self.seed),
            ("storm, seconds", f"{self.seconds:.0f}"),
            ("quiet after, seconds", f"{self.quiet_after:.0f}"),
            ("broker", "yes" if self.has_broker else "NO: rabbitmq-server is not installed"),
            ("faults injected", sum(self.faults.values())),
            *((f"  {name}", number) for name, number in sorted(self.faults.items())),
            ("services restarted", self.restarts),
            ("requests accepted", witness.count("accepted")),
            ("  refused, 503 with id", witness.count("refused")),
            ("  refused, 429", witness.count("busy")),
            ("  409, decided later", witness.count("undecided")),
            ("  unknown outcome", witness.count("unknown")),
            ("  backend not reached", witness.count("never sent")),
            ("lists asked for by hand", len(witness.asked)),
            ("messages of others", sum(not each.is_poison for each in witness.sent)),
            ("poison", sum(each.is_poison for each in witness.sent)),
            ("executions", sum(self.executions.values())),
            *((f"  {name}", number) for name, number in sorted(self.executions.items())),
            ("slices resumed (attempt > 1)", self.resumed),
            ("longest lapse of a lease, s", f"{witness.longest_lapse:.1f}"),
            ("  passed over for, s", f"{witness.longest_passed_over:.1f}"),
            *((f"counts of {name} judged", number) for name, number in self.judged.slices.items()),
            ("  of them to the record", self.judged.exact),
            ("  records in them", self.judged.records),
            ("days that one resource had read", self.days_of_one),
            ("changes on the portal", self.changes),
            ("lists read while all falls", self.read_in_trouble),
            ("finished rows watched", len(witness.finished)),
            *((f"{name} compared at the end", number) for name, number in self.compared.items()),
            *((f"checks of {name}", number) for name, number in sorted(self.findings.looked.items())),
            ("broken", ", ".join(sorted(self.findings.broken)) or "nothing"),
        ]
        return "\n".join(f"{name:<32} {value}" for name, value in rows)


class Storm:
    """One run. Each of its parts draws from a generator of its own, so that one seed means one sequence for each."""

    def __init__(self, fleet: Fleet, seed: int, seconds: float, say: Callable[[str], None]) -> None:
        self.fleet = fleet
        self.witness = Witness()
        self.faults: Counter[str] = Counter()
        self._seed = seed
        self._seconds = seconds
        self._say = say
        self._began = time.monotonic()
        self._ends = 0.0
        self._cycled = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._requests = asyncio.Semaphore(CONCURRENT_REQUESTS)
        self._serial = 0
        self._keys: list[tuple[str, dict[str, str]]] = []
        self._shaken: dict[str, float] = {}
        portal = fleet.setting.generate()
        self._askable = [
            (child.service, key)
            for resource, child in LATER
            for key, record in portal.store(resource.name).records.items()
            if record.modalidade in (None, *MODALIDADES) and is_in_scope(child, record)
        ]
        self._busy_until = 0.0

    # --- the course of it -----------------------------------------------------------------------------------------

    async def run(self) -> Result:
        """Storm, calm, judgement."""
        self._began = time.monotonic()
        self._ends = self._began + self._seconds
        self.fleet.supervise()
        await asyncio.gather(
            self._until_end(self._fault, "faults", 0.8, 4),
            self._until_end(self._request, "requests", 0.05, 0.6),
            self._until_end(self._change, "changes", 0.1, 0.4),
            self._watch(),
        )
        while self._tasks:
            await asyncio.gather(*self._tasks)
        lull = time.monotonic()
        self.log("calm")
        await self._calm()
        result = Result(
            self._seed,
            self._seconds,
            self.fleet.broker is not None,
            self.faults,
            self.witness,
            quiet_after=time.monotonic() - lull,
        )
        await self._judge(result)
        return result

    def log(self, what: str) -> None:
        self._say(f"{time.monotonic() - self._began:8.2f} {what}")

    async def _until_end(
        self, step: Callable[[random.Random], Awaitable[None]], name: str, shortest: float, longest: float
    ) -> None:
        rng = random.Random(f"{self._seed}/{name}")
        while time.monotonic() < self._ends:
            await step(rng)
            await asyncio.sleep(rng.uniform(shortest, longest))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(tell_at_once)

    async def _watch(self) -> None:
        while time.monotonic() < self._ends:
            with contextlib.suppress(*DATABASE_AWAY):
                await watch_rows(self.fleet, self.witness)
            await asyncio.sleep(1)

    # --- faults ---------------------------------------------------------------------------------------------------

    async def _fault(self, rng: random.Random) -> None:
        draw = rng.random()
        if not self._cycled and time.monotonic() > (self._began + self._ends) / 2:  # once in every storm
            self._cycled, draw = True, 0.0
        if draw < 0.02:
            self.log("power cycle: everything at once")
            for name in self.fleet.services:
                self._fall(name, "kill", rng.uniform(0.2, 4))
        elif draw < 0.12:
            names = sorted(set(rng.choices(self._victims(), k=rng.randint(3, 6))))
            self.log(f"burst: {', '.join(names)}")
            for name in names:
                self._fall(name, rng.choice(("kill", "kill", "stop", "freeze")), rng.uniform(0.2, 6))
        elif draw < 0.20:
            kind = rng.choice(("reset", "429", "503", "items_down", "forbidden", "redirect", "404", "no_content"))
            if kind == "items_down":
                match = rng.choice(({}, *({"kind": each} for each in KINDS)))
            elif kind in ("404", "no_content"):
                match = {"kind": rng.choice(COUNTED)}
            else:
                match = rng.choice(({}, *({"resource": each} for each in PARTS), *({"kind": each} for each in KINDS)))
            self._spawn(self._misbehave(kind, match, rng.uniform(1, 4)))
        elif draw < 0.40:
            self._spawn(rng.choice(self._aimed())(random.Random(rng.random())))
        else:
            seconds = rng.uniform(0.2, 6) if rng.random() < 0.8 else rng.uniform(6, 12)
            self._fall(rng.choice(self._victims()), rng.choice(("kill", "kill", "stop", "freeze")), seconds)

    # --- faults that are placed where a mistake would hurt -----------------------------------------------------------

    def _aimed(self) -> list[Callable[[random.Random], Coroutine[Any, Any, None]]]:
        chosen = [self.show_as_before, self.leave_out, self.throttle, self.lock_workers, self.lose_item]
        return [*chosen, self.lose_confirms] if self.fleet.relay is not None else chosen

    def _is_calm(self, *names: str) -> bool:
        """Whether none of these services has been disturbed of late."""
        return all(self._shaken.get(name, 0.0) < time.monotonic() for name in names)

    async def show_as_before(self, rng: random.Random) -> None:
        """Show what is stored as it was before: notices that an older version wins."""
        with contextlib.suppress(httpx.HTTPError, *DATABASE_AWAY):
            history = self.fleet.history()
            stored = await load_stamps(self.fleet)
            changed: dict[str, list[str]] = {}
            for key, versions in sorted(history.versions.items()):
                if stored.get(key) == versions[-1].stamps and _stayed_where_it_was(versions):
                    changed.setdefault(versions[-1].record.resource.name, []).append(key)
            if not changed:
                return
            resource = rng.choice(sorted(changed))
            keys = rng.sample(changed[resource], min(len(changed[resource]), 20))
            record = history.versions[keys[0]][-1].record
            day = record.stamp(LISTINGS[resource][0])[:10]
            self._count("shown as before", "portal", f"{len(keys)} {resource}")
            # not by another listing, where the version before would be missing from the window of the change
            match = {"resource": resource, "criterio": [LISTINGS[resource][0], "inclusao"]}
            async with self.rule({"name": "stale_record", "value": keys, "match": match}):
                await self._post({"resource": resource, "mode": "backfill", **self._most_of(day)})
                await asyncio.sleep(rng.uniform(3, 6))

    def _most_of(self, day: object) -> dict[str, str]:
        """Nearly the whole of a day, unlike any other window; never quite the whole of it (I9)."""
        self._serial += 1
        start = f"{day}T00:{self._serial // 60 % 60:02}:{self._serial % 60:02}"
        return {"data_ini": start, "data_fim": f"{day}T23:59:59"}

    async def leave_out(self, rng: random.Random) -> None:
        """Leave a record out now and then on a day that stands still: notices that a listing is not counted."""
        day = self.fleet.busy_day
        self._count("left out", "portal", f"a record of {day}")
        match = {"criterio": ["publicacao", "atualizacao", "inclusao"], "day": f"{day}"}
        with contextlib.suppress(httpx.HTTPError):
            async with self.rule({"name": "left_out", "probability": 0.5, "match": match}):
                for resource in PARTS:
                    await self._post({"resource": resource, "mode": "backfill", **self._most_of(day)})
                    await asyncio.sleep(rng.uniform(0.7, 1.5))

    async def lose_item(self, rng: random.Random) -> None:
        """Take items and documents away: notices that those which are gone stay."""
        self._count("items lost", "portal", "of some records")
        losses = [(resource, "lose_item") for resource in LISTS]
        losses += [(resource.name, "lose_document") for resource, child in LATER if child.service == "arquivos"]
        for resource, loss in losses:
            body = {"resource": resource, loss: rng.randint(20, 40)}
            with contextlib.suppress(httpx.HTTPError, TimeoutError):
                await asyncio.wait_for(self.fleet.portal("POST", "changes", body), 5)

    async def lose_confirms(self, rng: random.Random) -> None:
        """Lose the confirm of a message that arrives: notices that an execution is refused though it is planned."""
        relay = self.fleet.relay
        if relay is None or relay.losing or not self._is_calm("broker", "database"):
            return
        self._count("confirm lost", "broker", "of a request")
        relay.losing = True
        try:
            await self._post(self._random_window(rng))
        finally:
            relay.losing = False
            relay.hang_up()

    async def lock_workers(self, rng: random.Random) -> None:
        """Keep heartbeats waiting for two leases while a worker is frozen: notices leases that others lengthen."""
        name = rng.choice(self.fleet.ingestor_names)
        self._count("heartbeats locked", name, f"for {2 * LEASE_SECONDS} s")
        with contextlib.suppress(*DATABASE_AWAY):
            connection = await asyncpg.connect(self.fleet.database.url, timeout=5, command_timeout=20)
            try:
                async with connection.transaction():
                    await connection.execute("SET LOCAL lock_timeout = '5s'")
                    await connection.execute("LOCK TABLE workers IN EXCLUSIVE MODE")
                    await self.fleet.freeze(name, LEASE_SECONDS + 1)
                    await asyncio.sleep(LEASE_SECONDS - 1)
            finally:
                connection.terminate()

    async def throttle(self, _: random.Random) -> None:
        """One 429 for one worker: notices that the others do not pause."""
        rule = {"name": "429", "times": 1, "value": str(THROTTLED_SECONDS), "match": {"service": "consulta"}}
        began = time.time()
        self._count("429 once", "portal", f"for {THROTTLED_SECONDS} s")
        with contextlib.suppress(httpx.HTTPError):
            async with self.rule(rule):
                await asyncio.sleep(THROTTLED_SECONDS + SETTLED_SECONDS)
                asked = await self.fleet.portal("GET", f"requests?since={began}")
            moments = [at for at, _, status, _ in asked if status == "429"]
            if len(moments) != 1 or not self._is_calm("portal", "database", *self.fleet.ingestor_names):
                return
            first, last = moments[0] + SETTLED_SECONDS, moments[0] + THROTTLED_SECONDS - 0.3
            since = [f"{at - moments[0]:.1f} s" for at, *_ in asked if first < at < last]
            told = f"a 429 asked for {THROTTLED_SECONDS} s, and requests came after {', '.join(since[:5])}"
            self.witness.findings.check("one pause for all", not since, told)

    @contextlib.asynccontextmanager
    async def rule(self, rule: dict[str, Any]) -> AsyncIterator[None]:
        """A rule of the portal's for a while, before all others."""
        rules = (await self.fleet.portal("GET", "quirks"))["rules"]
        await self.fleet.portal("PUT", "quirks", {"rules": [rule, *rules]})
        try:
            yield
        finally:
            with contextlib.suppress(httpx.HTTPError):
                rules = (await self.fleet.portal("GET", "quirks"))["rules"]
                kept = [each for each in rules if not all(each.get(name) == value for name, value in rule.items())]
                await self.fleet.portal("PUT", "quirks", {"rules": kept})

    def _victims(self) -> list[str]:
        """Each service as often as it is to fall. A broker takes ten seconds to rise, and then has to do something."""
        names = [*self.fleet.ingestor_names * 5, "backend", "portal", "database", "database"]
        return [*names, "broker"] if self.fleet.broker is not None else names

    def _fall(self, name: str, how: str, seconds: float) -> None:
        """Let one service fall; it is away (or frozen) for about so long."""
        fleet, service = self.fleet, self.fleet.services[name]
        self._shaken[name] = max(self._shaken.get(name, 0.0), time.monotonic() + seconds + RISE_SECONDS)
        if how == "freeze":
            if service.pid is None:
                self.log(f"{name}: to be frozen, but it is down")
                return
            self._count(how, name, f"for {seconds:.1f} s")
            self._spawn(fleet.freeze(name, seconds))
            return
        seconds = min(seconds, 1 if name in ("backend", "broker") else 3)  # it takes as long again, and more, to rise
        if not fleet.expect_fall(name, seconds):
            self.log(f"{name}: to {how}, but it is down")
            return
        self._count(how, name, f"down for {seconds:.1f} s")
        if how == "kill":
            service.kill()
        else:
            self._spawn(self._stop(name))

    async def _stop(self, name: str) -> None:
        """SIGTERM; what is frozen hears it when it wakes up. It must end by itself."""
        service = self.fleet.services[name]
        pid, was_calm = service.pid, self._is_calm("database")
        if name == "database":
            service.signal(signal.SIGCONT)
            await self.fleet.in_starter(service.terminate, name)
            return
        # before it has said anything it does not listen to signals yet, and holds nothing
        listens = not isinstance(service, Program) or bool(service.said)
        service.terminate()
        ended = await self.fleet.until(lambda: _as_coroutine(service.pid != pid), seconds=60)
        if not ended:
            service.kill()
        good = _GOOD_ENDS.get(name.partition("-")[0])
        if good is None or not isinstance(service, Program):
            return  # it is not ours
        if not ended:
            self.witness.exits.append(f"{name} did not end within a minute of SIGTERM")
        elif listens and service.last_exit not in good:
            self.witness.exits.append(f"{name} was asked to end and did with {service.last_exit}")
        elif listens and service.last_exit == 0 and name in self.fleet.ingestor_names and pid is not None:
            await self.expect_nothing_held(name, pid, was_calm=was_calm)

    async def expect_nothing_held(self, name: str, pid: int, *, was_calm: bool) -> None:
        """F4: who ends in good order gives back what it holds; notices a SIGTERM that only ends the process."""
        with contextlib.suppress(*DATABASE_AWAY):
            held = await self.fleet.query(
                "SELECT id FROM sync_slices WHERE status = 'running' AND worker_id LIKE $1", f"%-{pid}-%"
            )
            if was_calm and self._is_calm("database"):
                told = f"{name} has ended and left its slices {[row['id'] for row in held]} running"
                self.witness.findings.check("F4", not held, told)

    async def _misbehave(self, quirk: str, match: dict[str, str], seconds: float) -> None:
        """The portal, or a part of it, fails for a while: resets, throttles, or is closed for maintenance."""
        rule: dict[str, Any] = {"name": quirk, "match": match}
        if quirk == "429":
            rule |= {"times": 5, "value": "1"}
        self._count(quirk, "portal", f"{', '.join(match.values()) or 'everything'} for {seconds:.1f} s")
        try:
            async with self.rule(rule):
                await asyncio.sleep(seconds)
        except httpx.HTTPError:
            self.log("portal: was down meanwhile")

    def _count(self, how: str, name: str, more: str) -> None:
        kind = "ingestor" if name.startswith("ingestor") else name
        self.faults[f"{how} {kind}"] += 1
        self.log(f"{name}: {how}, {more}")

    # --- the portal's own life ------------------------------------------------------------------------------------

    async def _change(self, rng: random.Random) -> None:
        resource = rng.choice(list(PARTS))
        body: dict[str, Any] = {"resource": resource, "touch": rng.randint(0, 4), "remove": int(rng.random() < 0.2)}
        body["lose_item"] = int(rng.random() < 0.1)  # of plans where they change, else of contratações
        modalidade = rng.choice(MODALIDADES) if resource == "contratacoes" else None
        if rng.random() < 0.4:
            body |= {"publish": rng.randint(1, 3), "modalidade": modalidade}
        if resource in ("contratacoes", "contratos"):
            body["lose_document"] = int(rng.random() < 0.3)
        entry = _some_entry(rng) if rng.random() < 0.2 else None
        by_hand = rng.random() < 0.1
        with contextlib.suppress(httpx.HTTPError, TimeoutError):  # it is down or frozen
            await asyncio.wait_for(self.fleet.portal("POST", "changes", body), 5)
            if entry is not None:
                await asyncio.wait_for(self.fleet.portal("POST", "tables", entry), 5)
            if by_hand:
                put = {"resource": resource, "modalidade": modalidade, "record": {"campoNovo": "valor"}}
                await asyncio.wait_for(self.fleet.portal("POST", "records", put), 5)

    # --- requests -------------------------------------------------------------------------------------------------

    async def _request(self, rng: random.Random) -> None:
        kinds: dict[Callable[[random.Random], Coroutine[Any, Any, None]], int] = {
            self._update: 14,
            self._backfill: 34,
            self._whole_day: 6,
            self._keyed: 10,
            self._repeat_key: 8,
            self._ask: 16,
            self._cancel: 5,
            self._retry: 5,
        }
        if self.fleet.broker is not None:
            kinds |= {self._foreign: 10, self._poison: 6, self._repeated_message: 4}
        (chosen,) = rng.choices(list(kinds), list(kinds.values()))
        posting = (self._update, self._backfill, self._whole_day, self._keyed)
        if time.monotonic() < self._busy_until and rng.random() < 0.9:
            chosen = self._cancel if chosen in posting else chosen
        # Everything is drawn here, in one order, before anything is waited for.
        work = chosen(random.Random(rng.random()))
        if self._requests.locked():
            work.close()
            return
        self._spawn(self._limited(work))

    async def _limited(self, work: Coroutine[Any, Any, None]) -> None:
        async with self._requests:
            await work

    def _random_window(self, rng: random.Random) -> dict[str, str]:
        """A span of days; an odd number of seconds makes it unlike any other. No day in it is whole."""
        days = self.fleet.days
        first = rng.randrange(len(days))
        last = min(first + rng.choice((0, 0, 0, 1)), len(days) - 1)
        self._serial += 1
        hours = rng.choice((0, 0, rng.randint(0, 9))) if first < len(days) - 1 else 0
        start = f"{days[first]}T{hours:02}:{self._serial // 60 % 60:02}:{self._serial % 60:02}"
        end = f"{days[last]}T23:{58 - self._serial // 3600:02}:59"
        named = _some_resource(rng)
        criterio = rng.choice(LISTINGS[named.get("resource", "contratacoes")])
        return {**named, "mode": "backfill", "data_ini": start, "data_fim": end, "criterio": criterio}

    async def _update(self, rng: random.Random) -> None:
        await self._post(_some_update(rng))

    async def _whole_day(self, rng: random.Random) -> None:
        """A day that has ended, of one of the resources and, until the calm, never of another (I9)."""
        await self._post(self._whole_day_of_one(rng.randrange(len(self.fleet.days) - 1)))

    def _whole_day_of_one(self, place: int) -> dict[str, str]:
        day, resource = self.fleet.days[place], list(PARTS)[place % len(PARTS)]
        return {"resource": resource, "mode": "backfill", **self.fleet.window(day, day)}

    async def _backfill(self, rng: random.Random) -> None:
        await self._post(self._random_window(rng))

    async def _keyed(self, rng: random.Random) -> None:
        """As a careful client: the same key again until there is an answer that says something."""
        body = self._random_window(rng)
        key = f"{self._seed}-{self._serial}"
        self._keys.append((key, body))
        for _ in range(6):
            post = await self._post(body, key)
            if post.outcome in ("accepted", "refused", "busy"):
                return
            await asyncio.sleep(rng.uniform(0.2, 2))

    async def _repeat_key(self, rng: random.Random) -> None:
        if self._keys:
            key, body = rng.choice(self._keys)
            await self._post(body, key)

    async def _post(self, body: dict[str, str], key: str | None = None) -> Post:
        headers = {"Idempotency-Key": key} if key else {}
        url = f"{self.fleet.api_url}/sync/force"
        try:
            answer = await self.fleet.http.post(url, json=body, headers=headers)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            post = Post(body, "never sent", key=key)
        except httpx.HTTPError:
            post = Post(body, "unknown", key=key)
        else:
            post = self._read(answer, body, key)
        self.witness.posts.append(post)
        return post

    def _read(self, answer: httpx.Response, body: dict[str, str], key: str | None) -> Post:
        if answer.status_code == 200:
            return Post(body, "accepted", int(answer.json()["request_id"]), key)
        if answer.status_code == 429:
            self._busy_until = time.monotonic() + BUSY_SECONDS  # one more refusal would prove nothing more
            return Post(body, "busy", key=key)
        if answer.status_code == 409:
            return Post(body, "undecided", key=key)
        detail = answer.json()["detail"]
        if answer.status_code == 503 and "a execução" in detail:
            number = int(detail.partition("a execução ")[2].split()[0])
            return Post(body, "refused", number, key)
        if answer.status_code != 503:
            self.witness.server_errors.append(f"{answer.status_code}: {detail}")
        return Post(body, "unknown", key=key)

    async def _ask(self, rng: random.Random) -> None:
        """Ask for lists of records by hand: what waits its turn is hardly read while requests come all the time."""
        with contextlib.suppress(httpx.HTTPError, *DATABASE_AWAY):
            stored = await load_stamps(self.fleet)
            known = [(kind, key) for kind, key in self._askable if key in stored]
            for kind, key in rng.sample(known, min(len(known), ASKED_AT_ONCE)):
                at = time.time()
                body = {"list": kind, "numero_controle_pncp": key}
                answer = await self.fleet.http.post(f"{self.fleet.api_url}/sync/lists", json=body)
                if answer.status_code == 202:
                    self.witness.asked[kind, key] = at
                self._expect(answer, 202, 404, 503)

    async def _cancel(self, rng: random.Random) -> None:
        accepted = [post.id for post in self.witness.posts if post.outcome == "accepted"][-8:]
        if not accepted:
            return
        number = rng.choice(accepted)
        with contextlib.suppress(httpx.HTTPError):
            answer = await self.fleet.http.post(f"{self.fleet.api_url}/sync/executions/{number}/cancel")
            if answer.status_code == 200 and number is not None:
                self.witness.cancelled.add(number)
            self._expect(answer, 200, 409, 503)

    async def _retry(self, rng: random.Random) -> None:
        ended = [*self.witness.cancelled]
        if not ended:
            return
        try:
            answer = await self.fleet.http.post(f"{self.fleet.api_url}/sync/executions/{rng.choice(ended)}/retry")
        except (httpx.ConnectError, httpx.ConnectTimeout):
            return
        except httpx.HTTPError:
            self.witness.unknown_retries += 1
            return
        if answer.status_code == 200:
            self.witness.retried.add(int(answer.json()["request_id"]))
        self.witness.unknown_retries += answer.status_code == 503
        self._expect(answer, 200, 409, 429, 503)

    def _expect(self, answer: httpx.Response, *statuses: int) -> None:
        if answer.status_code not in statuses:
            self.witness.server_errors.append(f"{answer.url.path} {answer.status_code}: {answer.text}")

    # --- messages -------------------------------------------------------------------------------------------------

    async def _foreign(self, rng: random.Random) -> None:
        """Another party's request, with or without an id; with one, often twice."""
        self._serial += 1
        marker = f"foreign-{self._serial}"
        body = self._random_window(rng) if rng.random() < 0.7 else _some_update(rng)
        at = time.time()
        encoded = json.dumps(body).encode()
        has_id = rng.random() < 0.7
        # now and then it names an execution that there is none of
        headers = {"execution_id": 10**12 + self._serial} if rng.random() < 0.2 else {}
        copies = rng.choice((1, 2, 3)) if has_id else 1
        confirmed = False
        for _ in range(copies):
            confirmed |= await self._publish(encoded, marker if has_id else None, headers)
        self.witness.sent.append(Sent(marker, encoded, confirmed, has_id=has_id, at=at))

    async def _poison(self, rng: random.Random) -> None:
        self._serial += 1
        marker = f"poison-{self._serial}"
        body, headers = rng.choice(_POISON)(marker)
        confirmed = await self._publish(body, marker, headers)
        self.witness.sent.append(Sent(marker, body, confirmed, is_poison=True))

    async def _repeated_message(self, rng: random.Random) -> None:
        """Our own message once more, whatever has become of its execution since."""
        accepted = [post for post in self.witness.posts if post.id is not None]
        if accepted:
            post = rng.choice(accepted)
            await self._publish(json.dumps(post.body).encode(), str(post.id), {"execution_id": post.id})

    async def _publish(self, body: bytes, message_id: str | None, headers: dict[str, Any]) -> bool:
        """Whether the broker has confirmed it; if not, it may have arrived all the same."""
        assert self.fleet.broker is not None
        url = self.fleet.broker.url
        try:
            async with asyncio.timeout(8):
                return await publish_plainly(url, QUEUE, body, message_id=message_id, headers=headers)
        except (OSError, EOFError):  # a time-out is an OSError
            return False

    # --- calm and judgement ---------------------------------------------------------------------------------------

    async def _calm(self) -> None:
        """Nothing fails any more; wait until nothing is under way."""
        fleet, findings = self.fleet, self.witness.findings
        await fleet.until(self._portal_behaves, seconds=60)
        await fleet.until(self._pauses_end, seconds=60)
        await fleet.all_up()
        if fleet.broker is not None:
            await self._poison(random.Random(self._seed))  # however short the storm, one that is sure to arrive

        async def quiet() -> bool:
            await watch_rows(fleet, self.witness)
            return await fleet.is_quiet()

        findings.check("I1", await fleet.until(quiet, QUIET_WITHIN, every=0.5), "not everything has ended in time")
        if fleet.broker is not None:
            drained = await fleet.until(self._is_drained, 60, every=0.5)
            findings.check("I7", drained, "the queue does not drain")
        for place in range(len(PARTS)):
            await self._post(self._whole_day_of_one(place))
        await self._post({"resource": DOMINIOS, "mode": "update"})
        # these, and messages that the queue held
        findings.check("I1", await fleet.until(quiet, QUIET_WITHIN), "not everything has ended in time")

    async def _portal_behaves(self) -> bool:
        try:
            await self.fleet.portal("DELETE", "quirks")
        except httpx.HTTPError:
            return False
        return True

    async def _pauses_end(self) -> bool:
        """Have the portal tried now: after ten minutes of faults a pause may last another ten."""
        try:
            await self.fleet.query("UPDATE source_pauses SET paused_until = now(), probing_until = NULL")
        except DATABASE_AWAY:
            return False
        return True

    async def _is_drained(self) -> bool:
        return await self._depth(QUEUE) == 0

    async def _depth(self, queue: str) -> int:
        assert self.fleet.broker is not None
        async with await aio_pika.connect(self.fleet.broker.url) as connection, connection.channel() as channel:
            declared = await channel.declare_queue(queue, passive=True)
            return declared.declaration_result.message_count or 0

    async def _judge(self, result: Result) -> None:
        fleet, witness, findings = self.fleet, self.witness, self.witness.findings
        await check_ends(fleet, findings)
        await check_requests(fleet, witness, findings)
        await check_seen(fleet, findings)
        history = fleet.history()
        result.changes = sum(len(versions) - 1 for versions in history.versions.values())
        result.judged = await check_counts(fleet, history, findings)
        await check_lists(fleet, history, findings)
        result.days_of_one = await check_resources(fleet, findings)
        rows = await fleet.query("SELECT status, count(*) FROM sync_executions GROUP BY 1")
        result.executions = Counter({row["status"]: row["count"] for row in rows})
        (row,) = await fleet.query("SELECT count(*) AS resumed FROM sync_slices WHERE attempt > 1")
        result.resumed = row["resumed"]
        result.read_in_trouble = await self._everything_once_more()
        result.compared = await check_mirror(fleet, history, findings)
        result.compared |= await check_lists(fleet, history, findings, are_all_read=True)
        await check_asked(fleet, witness, findings)
        result.compared[DOMINIOS] = await check_dominios(fleet, history, findings)
        await check_resources(fleet, findings)
        await watch_rows(fleet, witness)
        for error in witness.server_errors:
            findings.check("no 500", False, error)
        findings.check("no 500", "request failed unexpectedly" not in fleet.program("backend").text, "see backend.log")
        for name in fleet.ingestor_names:
            said = fleet.program(name).text
            findings.check("no surprise", "slice ended unexpectedly" not in said, f"see {name}.log")
        findings.looked["F4"] += sum(number for kind, number in self.faults.items() if kind.startswith("stop "))
        for told in witness.exits:
            findings.check("F4", False, told)
        for name in fleet.unasked:
            findings.check("no process ends by itself", False, f"{name} ended by itself")
        findings.looked["no process ends by itself"] += sum(fleet.restarts.values())
        result.restarts = sum(fleet.restarts.values())
        if fleet.broker is not None:
            await self._judge_queues()
        if witness.sent:  # nothing is proved about messages by sending none that arrives
            findings.check("messages", any(each.confirmed for each in witness.sent), "none was ever confirmed")

    async def _everything_once_more(self) -> int:
        """An update, and a backfill of all days by each listing, in calm, all resources at once; each must succeed.

        Then what is owed is read; answers how many lists were before nothing failed any more.
        """
        fleet = self.fleet
        span = fleet.window(fleet.days[0], now_there().date())
        rounds = [[{"resource": resource, "mode": "update"} for resource in (*PARTS, DOMINIOS)]]
        for criterio in ("atualizacao", "publicacao"):
            of_it = [resource for resource in PARTS if criterio in LISTINGS[resource]]
            rounds.append([{"resource": each, "mode": "backfill", **span, "criterio": criterio} for each in of_it])
        for bodies in rounds:
            posts = [Post(body, "accepted", await fleet.force(**body)) for body in bodies]
            self.witness.posts += posts
            await fleet.until(fleet.is_quiet, 120)
            for post in posts:
                (row,) = await fleet.query("SELECT * FROM sync_executions WHERE id = $1", post.id)
                self.witness.findings.check("I1", row["status"] == "success", f"in calm, {post.body} ended as {row}")
        read = await self._read_lists_in_trouble(random.Random(f"{self._seed}/lists"))
        paid = await fleet.pay_debts(60)
        self.witness.findings.check("I5", paid, "lists are owed still, though nothing fails any more")
        return read

    async def _read_lists_in_trouble(self, rng: random.Random) -> int:
        """Have owed lists read while the portal fails and ingestors are killed; answers how many are read after that.

        Those that are only read later hardly have a turn while requests come all the time.
        """
        fleet = self.fleet
        doubtful = [{"probability": 0.1, "match": {"kind": list(COUNTED)}}]
        await fleet.portal("PUT", "quirks", FAILURES | {"404": doubtful, "no_content": doubtful})
        for name in fleet.ingestor_names * 3:
            await fleet.make_due()
            await asyncio.sleep(rng.uniform(0.5, 1.5))
            self._fall(name, "kill", 0.1)
        await self._portal_behaves()
        await self._pauses_end()
        await fleet.all_up()
        counts = [
            await fleet.query(f"SELECT count({child.read_at}) AS read FROM {resource.name}")
            for resource, child in LATER
        ]
        return sum(row["read"] for (row,) in counts)

    async def _judge_queues(self) -> None:
        """I7 without a consumer, so that what was held unacknowledged would be back in the queue; then I6."""
        fleet, findings = self.fleet, self.witness.findings
        assert fleet.broker is not None
        for name in fleet.ingestor_names:
            fleet.expect_fall(name, 3600)
            fleet.program(name).terminate()
        for name in fleet.ingestor_names:
            program = fleet.program(name)
            await fleet.until(lambda program=program: _as_coroutine(program.pid is None), 40)  # type: ignore[misc]
        findings.check("I7", await self._depth(QUEUE) == 0, f"{QUEUE} is not empty")
        dead: list[Any] = []
        async with await aio_pika.connect(fleet.broker.url) as connection, connection.channel() as channel:
            queue = await channel.declare_queue(f"{QUEUE}.dead", passive=True)
            while (letter := await queue.get(fail=False, no_ack=True)) is not None:
                dead.append(letter)
        await check_messages(fleet, self.witness, dead, findings)


def _some_resource(rng: random.Random) -> dict[str, str]:
    """Of a request, the resource: contratações are also what is meant where none is named."""
    return rng.choice(({}, *({"resource": resource} for resource in PARTS)))


def _some_update(rng: random.Random) -> dict[str, str]:
    """A request for what has changed of a resource, or for the domain tables."""
    named = {"resource": DOMINIOS} if rng.random() < 0.2 else _some_resource(rng)
    return {**named, "mode": "update"}


def _some_entry(rng: random.Random) -> dict[str, Any]:
    """An entry of a domain table, to be changed, added or taken out."""
    code = rng.choice(ENTRIES)
    if rng.random() < 0.3:
        return {"table": TABLE, "remove": code}
    return {"table": TABLE, "entry": {"id": code, "nome": f"Nome {rng.randrange(1000)}"}}


def _stayed_where_it_was(versions: list[Version]) -> bool:
    """Whether a record has changed, and its last change has left it where it stood in the listing of its day."""
    if len(versions) == 1:
        return False
    before, last = (each.record for each in versions[-2:])
    criterio = LISTINGS[last.resource.name][0]
    return before.stamp(criterio) == last.stamp(criterio)


async def _as_coroutine(value: object) -> object:
    return value
