"""A portal that is never the bottleneck: the simulator's answers, made beforehand and served with little work.

`python -m bench.portal` is the process; `Portal` is how a benchmark starts, queries and stops it.
"""

import argparse
import asyncio
import json
import re
import subprocess
import sys
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import parse_qsl, urlencode, urlsplit

import uvloop

from bench.contender import parts_of
from common.resources import RESOURCES_BY_NAME
from common.resources.description import Resource
from ingestor.sources.pncp.records import list_path
from simulator.answers import HEADERS, Answer
from simulator.generated import generate
from simulator.invention import Inventor
from simulator.portal import Asked, answer
from simulator.quirks import Quirks
from simulator.world import World

CONTROL = "/bench"
PARENTS = 300
"""Contratações or contratos that atas and instrumentos belong to."""
START_SECONDS = 300
FRIDAY = 5


class Portal:
    """The process, from the beginning of a `with` to its end; `url` is what a client is given.

    It has `records` of a resource with `itens` entries of their lists.
    """

    def __init__(
        self, first_day: date, last_day: date, per_day: int, seed: int = 1, resource: str = "contratacoes"
    ) -> None:
        self._words = [f"--from={first_day}", f"--until={last_day}", f"--per-day={per_day}", f"--seed={seed}"]
        self._words.append(f"--resource={resource}")
        self.resource = RESOURCES_BY_NAME[resource]
        self.url = ""
        self.records = 0
        self.itens = 0

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "bench.portal", *self._words]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None  # noqa: S101  # it is a pipe
        told = json.loads(self._process.stdout.readline() or "null")
        if told is None:
            raise RuntimeError("the portal of the benchmark did not start")
        self.url, self.records, self.itens = told["url"], told["records"], told["itens"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.communicate()

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def reset(self, latency_ms: float = 0) -> None:
        """Count from zero, and wait so long before each answer."""
        self._control(latency_ms=latency_ms)

    def requests(self) -> dict[str, int]:
        """How many requests have come since the last reset, by `consulta` and `itens`."""
        return self._control()

    def _control(self, **words: float) -> dict[str, int]:
        address = f"{self.url.removesuffix('/api')}{CONTROL}?{urlencode(words)}"
        with urllib.request.urlopen(address, timeout=10) as told:  # noqa: S310  # our own process
            counts: dict[str, int] = json.load(told)
            return counts


class Answers:
    """Every answer that a mirror will ask for, as the bytes that go over the wire; others are made when asked for."""

    def __init__(self, world: World, resource: Resource) -> None:
        self._world = world
        self._resource = resource
        self._quirks = Quirks()
        self._by_question: dict[tuple[str, frozenset[tuple[str, str]]], bytes] = {}
        self._by_target: dict[bytes, bytes] = {}

    def prepare(self, days: list[date]) -> None:
        """Make the listings of which a backfill of these days is made, and all lists of items."""
        for day in days:
            for part in parts_of(self._resource):
                self._prepare_listing(day, part)
        child = self._resource.child
        for key in self._world.store(self._resource.name).records if child else ():
            assert child is not None  # noqa: S101  # for the type checker
            path = list_path(self._resource, child, key)
            self._keep(f"/api{path}", {"pagina": "1", "tamanhoPagina": str(child.page_size)})

    def _prepare_listing(self, day: date, part: int) -> None:
        listing = self._resource.listings[self._resource.day_criterio]
        last_day = day + timedelta(days=1) if listing.excludes_last_day else day
        path = f"/api{listing.path}"
        parameters = {
            listing.first_day: f"{day:%Y%m%d}",
            listing.last_day: f"{last_day:%Y%m%d}",
            "tamanhoPagina": str(self._resource.page_size),
        }
        if self._resource.axis:
            parameters[self._resource.axis.parameter] = str(part)
        page, status = 1, b" 200 "
        while status == b" 200 ":
            made = self._keep(path, {**parameters, "pagina": str(page)})
            is_empty = made.endswith(b"\r\n\r\n0\r\n\r\n")  # as of plans, whose empty listing is 200
            status = b"" if is_empty else made[8:13]
            page += 1

    def _keep(self, path: str, parameters: dict[str, str]) -> bytes:
        made = on_the_wire(answer(Asked(self._world, self._quirks, path, parameters, [])))
        self._by_question[path, frozenset(parameters.items())] = made
        return made

    def find(self, target: bytes) -> bytes:
        """The answer to a request's target."""
        found = self._by_target.get(target)
        if found is None:
            parts = urlsplit(target.decode())
            parameters = dict(parse_qsl(parts.query))
            found = self._by_question.get((parts.path, frozenset(parameters.items())))
            found = self._by_target[target] = found or self._keep(parts.path, parameters)
        return found


def on_the_wire(said: Answer) -> bytes:
    """An answer with the portal's headers, chunked as the portal sends it."""
    head = [f"HTTP/1.1 {said.status} {HTTPStatus(said.status).phrase}"]
    head += [
        f"{name}: {value}" for name, value in {**HEADERS, "Content-Type": said.content_type, **said.headers}.items()
    ]
    body = b""
    if said.body is not None:
        head.append("Transfer-Encoding: chunked")
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(said.body), said.body) if said.body else b"0\r\n\r\n"
    return "\r\n".join([*head, "\r\n"]).encode() + body


_REQUEST = re.compile(rb"GET (\S+) HTTP/1\.1\r\n")


@dataclass
class State:
    """What is common to all connections: seconds before each answer, and how many requests came by service."""

    latency: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)


class Connection(asyncio.Protocol):
    """One connection: GET requests, answered in their order."""

    def __init__(self, answers: Answers, state: State) -> None:
        self._answers = answers
        self._state = state
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what to write to."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class

    def data_received(self, data: bytes) -> None:
        """Answer each request whose head is complete."""
        *heads, self._rest = (self._rest + data).split(b"\r\n\r\n")
        for head in heads:
            request = _REQUEST.match(head + b"\r\n")
            if request is None:
                self._transport.close()
                return
            self._answer(request[1])

    def _answer(self, target: bytes) -> None:
        if target.startswith(CONTROL.encode()):
            self._transport.write(on_the_wire(Answer(200, json.dumps(control(self._state, target.decode())).encode())))
            return
        self._state.counts["consulta" if target.startswith(b"/api/consulta/") else "itens"] += 1
        said = self._answers.find(target)
        if self._state.latency:
            asyncio.get_running_loop().call_later(self._state.latency, self._transport.write, said)
        else:
            self._transport.write(said)


def control(state: State, target: str) -> dict[str, int]:
    """Answer with the counts; where a latency is given, set it and count from zero."""
    counts = dict(state.counts)
    given = dict(parse_qsl(urlsplit(target).query))
    if "latency_ms" in given:
        state.latency = float(given["latency_ms"]) / 1000
        state.counts.clear()
    return counts


def make_world(resource: str, seed: int, first_day: date, last_day: date, per_day: float) -> World:
    """A world with so many records of a resource on each weekday, and what they belong to on the days before."""
    if resource == "contratacoes":
        return generate(seed, first_day, last_day, per_day)
    ended = datetime.combine(last_day, time(23, 59, 59))
    world = World(Inventor(seed), now=lambda: ended)
    before = datetime.combine(first_day, time()) - timedelta(days=7)
    for number in range(PARENTS if resource == "atas" else 0):
        world.put(data_publicacao=before.isoformat(), record={"srp": True, "numeroCompra": str(number)})
    if resource == "instrumentos_cobranca":
        world.publish(PARENTS, at=before, resource="contratos")
    for day in days_between(first_day, last_day):
        if day.isoweekday() <= FRIDAY:
            world.publish(round(per_day), at=day, resource=resource)
    return world


def days_between(first_day: date, last_day: date) -> list[date]:
    """Every day from one to the other."""
    return [date.fromordinal(day) for day in range(first_day.toordinal(), last_day.toordinal() + 1)]


async def _serve(answers: Answers, told: dict[str, Any]) -> None:
    state = State()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(answers, state), "127.0.0.1", 0, backlog=1024)
    port = server.sockets[0].getsockname()[1]
    sys.stdout.write(json.dumps({**told, "url": f"http://127.0.0.1:{port}/api"}) + "\n")
    sys.stdout.flush()
    await server.serve_forever()


def main() -> None:
    """Make the answers, say where they are, serve them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--from", dest="first_day", type=date.fromisoformat, required=True)
    parser.add_argument("--until", dest="last_day", type=date.fromisoformat, required=True)
    parser.add_argument("--per-day", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--resource", required=True)
    options = parser.parse_args()
    world = make_world(options.resource, options.seed, options.first_day, options.last_day, options.per_day)
    resource = RESOURCES_BY_NAME[options.resource]
    answers = Answers(world, resource)
    answers.prepare(days_between(options.first_day, options.last_day))
    records = world.store(resource.name).records
    itens = sum(len(world.items(key)) for key in records) if resource.name == "pcas" else world.item_count
    uvloop.run(_serve(answers, {"records": len(records), "itens": itens if resource.child else 0}))


if __name__ == "__main__":
    main()
