"""The simulated portal over HTTP: sends answers and faults, counts them, and takes orders under `/simulator`."""

import asyncio
import contextlib
import itertools
import json
import socket
import struct
import time
import zlib
from collections import Counter, deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from aiohttp import web

from simulator import children
from simulator.answers import HEADERS, JSON, Answer, fault_answer, throttled
from simulator.portal import Asked, answer, read_facts
from simulator.quirks import ANSWERS, Quirks, Rule, Service
from simulator.resources import CONTRATACOES, CRITERIOS, PCAS, RESOURCES
from simulator.world import World

_MIB: Final = 1 << 20
_LOG_LENGTH: Final = 20_000
_SLOW_SECONDS: Final = 40.0  # a page on a bad day


@dataclass(slots=True)
class Served:
    """One request under /api: `status` is the status as text, or how it ended without one ('hang', 'reset', 'cut'); ''
    while it runs. `at` is when it came, in seconds since 1970.
    """

    service: Service
    target: str
    status: str = ""
    at: float = field(default_factory=time.time)


@dataclass(slots=True)
class Stats:
    """What was asked for since the last reset. `log` holds the latest requests in the order in which they came, with
    their query.
    """

    services: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    paths: Counter[str] = field(default_factory=Counter)
    concurrent: Counter[str] = field(default_factory=Counter)
    largest_concurrency: Counter[str] = field(default_factory=Counter)
    log: deque[Served] = field(default_factory=lambda: deque(maxlen=_LOG_LENGTH))

    def reset(self) -> None:
        """Count from zero; requests under way stay in `concurrent`."""
        for counts in (self.services, self.statuses, self.paths, self.largest_concurrency):
            counts.clear()
        self.log.clear()

    def begin(self, service: Service, path: str, target: str) -> Served:
        """Note that a request came."""
        self.services[service] += 1
        self.paths[path] += 1
        self.concurrent[service] += 1
        self.largest_concurrency[service] = max(self.largest_concurrency[service], self.concurrent[service])
        served = Served(service, target)
        self.log.append(served)
        return served

    def end(self, served: Served) -> None:
        """Note how it ended."""
        self.statuses[served.status] += 1
        self.concurrent[served.service] -= 1


@dataclass(slots=True)
class RateLimiter:
    """Lets `Quirks.rate_limit` requests per second pass, a second's worth at once."""

    tokens: float = 0.0
    at: float = 0.0

    def admits(self, per_second: float) -> bool:
        """Whether one more request may pass now; 0 per second means no limit."""
        if per_second <= 0:
            return True
        now = time.monotonic()
        self.tokens = min(max(per_second, 1.0), self.tokens + (now - self.at) * per_second)
        self.at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


@dataclass(slots=True)
class Simulator:
    """A running simulated portal: `base_url` is what a client is given (`http://HOST:PORT/api`), `control_url` ends in
    `/simulator`.
    """

    world: World
    quirks: Quirks
    stats: Stats = field(default_factory=Stats)
    base_url: str = ""
    control_url: str = ""
    limiter: RateLimiter = field(default_factory=RateLimiter)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)


SIMULATOR: Final = web.AppKey("simulator", Simulator)


def create_app(world: World, quirks: Quirks | None = None) -> web.Application:
    """The aiohttp application: the portal under `/api`, control and truth under `/simulator`. State is in
    `app[SIMULATOR]`.
    """
    app = web.Application(client_max_size=64 * _MIB)
    app[SIMULATOR] = Simulator(world, quirks or Quirks())
    app.router.add_get("/api/{path:.*}", serve_portal)
    app.add_routes(
        [
            web.get("/simulator/state", get_state),
            web.delete("/simulator/state", delete_state),
            web.get("/simulator/days", get_days),
            web.get("/simulator/requests", get_requests),
            web.get("/simulator/records", get_records),
            web.post("/simulator/records", post_record),
            web.post("/simulator/children", post_children),
            web.post("/simulator/tables", post_tables),
            web.post("/simulator/changes", post_changes),
            web.get("/simulator/quirks", get_quirks),
            web.put("/simulator/quirks", put_quirks),
            web.delete("/simulator/quirks", delete_quirks),
        ]
    )
    app.on_response_prepare.append(_hide_server)
    app.on_shutdown.append(_stop)
    return app


@contextlib.asynccontextmanager
async def serve(
    world: World, quirks: Quirks | None = None, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[Simulator]:
    """Serve in the running event loop; port 0 takes any free one. OSError if the address cannot be had."""
    app = create_app(world, quirks)
    # A client that goes away ends its hanging request; nothing may hold up the end for long.
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.5)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        running = app[SIMULATOR]
        actual = runner.addresses[0][1]
        running.base_url = f"http://{host}:{actual}/api"
        running.control_url = f"http://{host}:{actual}/simulator"
        yield running
    finally:
        await runner.cleanup()


async def live(world: World, per_minute: float) -> None:
    """Publish and change records of each resource in turn, `per_minute` in all, until cancelled."""
    for resource, publishes in itertools.cycle(itertools.product(RESOURCES, (True, False))):
        await asyncio.sleep(60 / per_minute)
        if publishes:
            world.publish(1, resource=resource)
        else:
            world.touch(1, resource=resource)


# The portal


async def serve_portal(request: web.Request) -> web.StreamResponse:
    """Answer one request under /api, well or badly as the quirks say."""
    sim = request.app[SIMULATOR]
    facts = read_facts(request.path, request.query)
    served = sim.stats.begin(facts.service, request.path, request.path_qs)
    try:
        if facts.service == "consulta" and not sim.limiter.admits(sim.quirks.rate_limit):
            served.status = "429"
            return _response(throttled())
        rules = sim.quirks.choose(facts, request.path_qs)
        wait_ms = sim.quirks.latency_ms + sum(_wait_ms(rule) for rule in rules)
        if wait_ms:
            await _wait(sim, wait_ms / 1000)
        last = rules[-1] if rules and rules[-1].name in ANSWERS else None
        said = fault_answer(last, request.path, sim.world.now()) if last else None
        if last and said is None:
            return await _misbehave(request, sim, rules, served)
        said = said or answer(Asked(sim.world, sim.quirks, request.path, request.query, rules))
        served.status = str(said.status)
        return _response(said)
    finally:
        served.status = served.status or "gone"
        sim.stats.end(served)


def _wait_ms(rule: Rule) -> float:
    if rule.name == "slow_page":
        return 1000 * (_SLOW_SECONDS if rule.value is None else rule.value)
    return rule.value or 0 if rule.name == "latency" else 0


async def _misbehave(request: web.Request, sim: Simulator, rules: list[Rule], served: Served) -> web.StreamResponse:
    """Faults that live on the wire: silence, resets, broken and endless streams. The last of `rules` is the fault."""
    rule = rules[-1]
    served.status = rule.name
    if rule.name in {"hang", "reset"}:
        if rule.name == "hang":
            await _wait(sim, rule.value)
        return _abort(request)
    if rule.name in {"gzip_bomb", "huge_body"}:
        packed = rule.name == "gzip_bomb"
        mib = (256 if packed else 1024) if rule.value is None else rule.value
        return await _stream(request, sim, mib, packed=packed)
    said = answer(Asked(sim.world, sim.quirks, request.path, request.query, rules))
    served.status = str(said.status)
    if rule.name == "empty_page":
        return _response(said)
    if said.body is None:
        served.status = "reset"  # a 204 has no body to cut; it fails all the same, so that `fail` keeps its share
        return _abort(request)
    part = said.body[: int(len(said.body) * (0.5 if rule.value is None else rule.value))]
    if rule.name == "cut_json":
        return _response(Answer(said.status, part, said.content_type))
    served.status = "cut"
    return await _break_off(request, part, said.content_type)


async def _break_off(request: web.Request, part: bytes, content_type: str) -> web.StreamResponse:
    """Send `part` of a body, then end the connection without the last chunk."""
    response = _streaming(content_type)
    await response.prepare(request)
    await response.write(part)
    _transport(request).close()  # sends what is buffered first
    return response


def _response(said: Answer) -> web.Response:
    headers = {**HEADERS, "Content-Type": said.content_type, **said.headers}
    response = web.Response(status=said.status, body=said.body, headers=headers)
    if said.body is not None:
        response.enable_chunked_encoding()
    return response


def _streaming(content_type: str) -> web.StreamResponse:
    response = web.StreamResponse(headers={**HEADERS, "Content-Type": content_type})
    response.enable_chunked_encoding()
    return response


async def _stream(request: web.Request, sim: Simulator, mib: float, *, packed: bool) -> web.StreamResponse:
    """A body of `mib` MiB (0 = endless) that begins like an envelope; `packed` sends it with gzip."""
    response = _streaming(JSON)
    packer = zlib.compressobj(wbits=31)
    if packed:
        response.headers["Content-Encoding"] = "gzip"
    await response.prepare(request)
    block = b'{"data":["' + b"a" * (_MIB - 10)
    sent = 0
    while (not mib or sent < mib) and not sim.stopping.is_set():
        await response.write(packer.compress(block) if packed else block)
        block = b"a" * _MIB
        sent += 1
        await asyncio.sleep(0)  # packed blocks are small enough never to wait for the client
    if packed:
        await response.write(packer.flush())
    return response


def _transport(request: web.Request) -> asyncio.Transport:
    if request.transport is None:
        raise ConnectionResetError("the client has gone")
    return request.transport


def _abort(request: web.Request) -> web.StreamResponse:
    """Reset the connection: lingering for no time makes closing send RST instead of FIN."""
    transport = _transport(request)
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    return web.Response()  # aiohttp wants one; it goes nowhere


async def _wait(sim: Simulator, seconds: float | None) -> None:
    """Wait `seconds` (None = for ever), but no longer than the simulator runs."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(sim.stopping.wait(), seconds)


async def _hide_server(_request: web.Request, response: web.StreamResponse) -> None:
    # The portal's recorded headers name no server.
    response.headers.popall("Server", None)


async def _stop(app: web.Application) -> None:
    app[SIMULATOR].stopping.set()


# Control and truth


async def get_days(request: web.Request) -> web.Response:
    """The days of which each resource has records, by publication, or by change where it is not listed by that."""
    world = request.app[SIMULATOR].world
    return _json(
        {
            name: sorted(
                {
                    (record.publicacao if "publicacao" in resource.listings else record.atualizacao_global)[:10]
                    for record in world.store(name).records.values()
                }
            )
            for name, resource in RESOURCES.items()
        }
    )


async def get_state(request: web.Request) -> web.Response:
    """The contratações (`records`) and items there are, the records of each other resource, the days they cover, and
    what was served: by service, by status and by path.
    """
    sim = request.app[SIMULATOR]
    return _json(
        {
            "records": len(sim.world),
            "items": sim.world.item_count,
            **{name: len(sim.world.store(name).records) for name in RESOURCES if name != CONTRATACOES.name},
            "days": [sim.world.first_day, sim.world.last_day],
            "now": sim.world.now(),
            "requests": dict(sim.stats.services),
            "statuses": dict(sim.stats.statuses),
            "paths": dict(sim.stats.paths),
            "largest_concurrency": dict(sim.stats.largest_concurrency),
        }
    )


async def delete_state(request: web.Request) -> web.Response:
    """Count requests from zero."""
    request.app[SIMULATOR].stats.reset()
    return web.Response(status=204)


async def get_requests(request: web.Request) -> web.Response:
    """The latest requests in the order in which they came: when (seconds since 1970), service, status and target.

    `since`: only those that came later.
    """
    try:
        since = float(request.query.get("since", "0"))
    except ValueError:
        return _refuse("since is a number of seconds since 1970")
    log = request.app[SIMULATOR].stats.log
    return _json([[each.at, each.service, each.status, each.target] for each in log if each.at > since])


async def get_records(request: web.Request) -> web.Response:
    """The truth for a window: `resource` (contratacoes if left out), `criterio`, `data_ini`, `data_fim` (ends included,
    `YYYY-MM-DDTHH:MM:SS`), and for contratações `modalidades` (commas between).
    """
    resource = request.query.get("resource", CONTRATACOES.name)
    criterio = request.query.get("criterio", "publicacao")
    start, end = request.query.get("data_ini", ""), request.query.get("data_fim", "9999")
    modalidades = request.query.get("modalidades")
    try:
        store = request.app[SIMULATOR].world.store(resource)
    except ValueError as error:
        return _refuse(str(error))
    if modalidades and store.resource.division is None:
        return _refuse(f"{resource} are not divided by modalidade")
    try:
        wanted = [int(each) for each in modalidades.split(",")] if modalidades else None
    except ValueError:
        return _refuse("modalidades are numbers with commas between them")
    for name in CRITERIOS:
        if name == criterio:
            return _json([record.truth() for record in store.select(name, start, end, wanted)])
    return _refuse(f"criterio is one of {', '.join(CRITERIOS)}")


async def post_record(request: web.Request) -> web.Response:
    """Put a hand-made record: a JSON object with the arguments of `World.put`; the answer tells its control number."""
    try:
        given = await _read_object(request)
        key = request.app[SIMULATOR].world.put(**given)
    except (TypeError, ValueError) as error:
        return _refuse(str(error))
    return _json({"numeroControlePNCP": key}, status=201)


async def post_children(request: web.Request) -> web.Response:
    """Give a record children: a JSON object with the arguments of `children.put_children`: kind, key, rows, and item
    and at where they are wanted.
    """
    try:
        given = await _read_object(request)
        children.put_children(request.app[SIMULATOR].world, **given)
    except (TypeError, ValueError) as error:
        return _refuse(str(error))
    return web.Response(status=204)


async def post_tables(request: web.Request) -> web.Response:
    """Change a domain table: {"table": "modalidades", "entry": {"id": 20, ...}} changes or adds an entry.

    With "remove" in place of "entry" the one with that code, or those codes in a list, is taken out.
    """
    tables = request.app[SIMULATOR].world.tables
    try:
        given = await _read_object(request)
        if "remove" in given:
            tables.remove(given["table"], given["remove"])
        else:
            tables.put(given["table"], given["entry"])
    except KeyError as error:
        return _refuse(f"{error} is missing")
    except (AttributeError, TypeError, ValueError) as error:
        return _refuse(str(error))
    return web.Response(status=204)


async def post_changes(request: web.Request) -> web.Response:
    """Change the world: {"publish": n, "touch": n or [keys], "lose_item": n or [keys], "lose_document": n or [keys],
    "remove": n or [keys], "at": ..., "modalidade": ..., "resource": ...}.

    `at` and `modalidade` are for what is published, `resource` (contratacoes if left out) for numbers in place of keys.
    The answer has the control numbers under published, touched, lost_item, lost_document and removed.
    """
    try:
        return _json(_change(request.app[SIMULATOR].world, await _read_object(request)))
    except (KeyError, TypeError, ValueError) as error:
        return _refuse(str(error))


def _change(world: World, given: dict[str, Any]) -> dict[str, list[str]]:
    unknown = set(given) - {
        *("publish", "touch", "lose_item", "lose_document", "remove"),
        *("at", "modalidade", "resource"),
    }
    if unknown:
        raise ValueError(f"no change is called {', '.join(sorted(unknown))}")
    resource = given.get("resource", CONTRATACOES.name)
    return {
        "removed": world.remove(given.get("remove", 0), resource=resource),
        "touched": world.touch(given.get("touch", 0), resource=resource),
        "lost_item": world.lose_item(
            given.get("lose_item", 0), resource=resource if resource == PCAS.name else CONTRATACOES.name
        ),
        "lost_document": children.lose_document(world, given.get("lose_document", 0), resource=resource),
        "published": world.publish(
            given.get("publish", 0), at=given.get("at"), modalidade=given.get("modalidade"), resource=resource
        ),
    }


async def get_quirks(request: web.Request) -> web.Response:
    """The quirks in force, with how often each has acted."""
    return _json(request.app[SIMULATOR].quirks.as_json())


async def put_quirks(request: web.Request) -> web.Response:
    """Change the quirks as `Quirks.update` says."""
    quirks = request.app[SIMULATOR].quirks
    try:
        quirks.update(await _read_object(request))
    except (TypeError, ValueError) as error:
        return _refuse(str(error))
    return _json(quirks.as_json())


async def delete_quirks(request: web.Request) -> web.Response:
    """Behave well from now on."""
    request.app[SIMULATOR].quirks.reset()
    return web.Response(status=204)


async def _read_object(request: web.Request) -> dict[str, Any]:
    # The standard library's parser: hand-made records may hold NaN, lone surrogates and integers of any size.
    given = json.loads(await request.text() or "{}")
    if not isinstance(given, dict):
        raise TypeError("a JSON object is expected")
    return given


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(value), content_type=JSON)


def _refuse(message: str) -> web.Response:
    return _json({"detail": message}, status=400)
