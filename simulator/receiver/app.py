"""A receiver of deliveries over HTTP: records under `/records/NAME`, chats, what came under `/_state`, and a page."""

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

import orjson
from aiohttp import web

from simulator.receiver.faults import Chance, Faults, Kind
from simulator.receiver.page import render_page
from simulator.receiver.signatures import is_signed, parse_secret
from simulator.receiver.state import Box, Event, NotRecords, Reply, State, key_of, parse_records, texts_of
from simulator.world import brasilia_now

_MIB: Final = 1 << 20
KEY_FIELDS: Final = ("numero_controle_pncp", "chave", "id")
VERSION_FIELD: Final = "VERSAO"
REFUSED: Final = "registro recusado pelo receptor"
_REFUSED_FROM: Final = 300
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"

_AT_ONCE: Final[dict[Kind, tuple[int, dict[str, str]]]] = {
    "error_before": (500, {}),
    "throttle": (429, {"Retry-After": "1"}),
    "unauthorized": (401, {}),
    "not_found": (404, {}),
    "gone": (410, {}),
    "redirect": (307, {"Location": "/records/redirected"}),
}
"""What is answered under faults that apply nothing."""
_PRETENDED: Final[dict[Kind, str]] = {
    "error_after": "respondeu 500",
    "hang": "não respondeu",
    "reset": "cortou a conexão",
    "garbage": "respondeu o que não se lê",
}
"""What is said on the page of faults that follow when a request was applied."""
_EXAMPLE_LENGTH: Final = 400


@dataclass(frozen=True)
class Manners:
    """How a receiver answers.

    `keys`: the fields that may hold a record's key, the first that is there. `honours_key`: a repeated idempotency key
    is answered as before and nothing is applied again. `results`: `207` has a result for each record, in no order;
    `whole` refuses a request with any bad record. `secret`: requests must be signed with it. `latency_ms`: waited
    before every answer.
    """

    keys: Sequence[str] = KEY_FIELDS
    version: str = VERSION_FIELD
    honours_key: bool = True
    results: Literal["207", "whole"] = "207"
    secret: str = ""
    latency_ms: float = 0
    most_records: int = 100_000
    seed: int = 1


@dataclass
class Receiver:
    """A running receiver; `url` is its root. Its faults may be replaced at any time."""

    manners: Manners
    faults: Faults
    state: State
    chance: Chance
    url: str = ""
    key: bytes = b""
    stopping: asyncio.Event = field(default_factory=asyncio.Event)


RECEIVER: Final = web.AppKey("receiver", Receiver)


def create_app(manners: Manners | None = None, faults: Faults | None = None) -> web.Application:
    """The aiohttp application; its state is in `app[RECEIVER]`.

    Raises:
        ValueError: the secret is none.

    """
    manners = manners or Manners()
    app = web.Application(client_max_size=64 * _MIB)
    app[RECEIVER] = Receiver(
        manners,
        faults or Faults(),
        State(manners.most_records),
        Chance(manners.seed),
        key=parse_secret(manners.secret) if manners.secret else b"",
    )
    app.add_routes(
        [
            web.route("*", "/records/{name}", receive_records),
            web.post("/slack", receive_message),
            web.post("/teams", receive_message),
            web.post("/telegram", receive_message),
            web.post("/telegram/{rest:.*}", receive_message),
            web.get("/_state", get_counts),
            web.get("/_state/{name}", get_state),
            web.delete("/_state", delete_state),
            web.post("/_faults", post_faults),
            web.get("/", get_page),
        ]
    )
    app.on_shutdown.append(_stop)
    return app


@contextlib.asynccontextmanager
async def serve(
    manners: Manners | None = None, faults: Faults | None = None, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[Receiver]:
    """Serve in the running event loop; port 0 takes any free one. OSError if the address cannot be had."""
    app = create_app(manners, faults)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        receiver = app[RECEIVER]
        receiver.url = f"http://{host}:{runner.addresses[0][1]}"
        yield receiver
    finally:
        await runner.cleanup()


async def _stop(app: web.Application) -> None:
    app[RECEIVER].stopping.set()


# Records


async def receive_records(request: web.Request) -> web.StreamResponse:
    """Take records, well or badly as the faults say."""
    if request.method not in {"POST", "PUT", "PATCH"}:
        raise web.HTTPMethodNotAllowed(request.method, ["POST", "PUT", "PATCH"])
    receiver = request.app[RECEIVER]
    name = request.match_info["name"]
    body = await request.read()
    try:
        box = receiver.state.box(name)
    except KeyError:
        return web.Response(status=404, text="há nomes demais")
    refusal = await _enter(request, receiver, box, body, needs_signature=bool(receiver.key))
    if isinstance(refusal, web.Response):
        _note(receiver, name, f"respondeu {refusal.status}, sem aplicar nada")
        return refusal
    fault = refusal
    reply, said = _take(receiver, name, body, request.headers.get("Idempotency-Key"))
    _note(receiver, name, said + (f"; depois, de propósito, {_PRETENDED[fault]}" if fault else ""), _first(body))
    return await _answer(request, receiver, box, reply, fault)


async def _enter(
    request: web.Request, receiver: Receiver, box: Box, body: bytes, *, needs_signature: bool
) -> web.Response | Kind | None:
    """What stands before a request is taken: a refusal; else the fault that follows when it has been taken."""
    box.requests += 1
    if receiver.manners.latency_ms:
        await asyncio.sleep(receiver.manners.latency_ms / 1000)
    if needs_signature and not is_signed(
        {name.lower(): value for name, value in request.headers.items()}, body, receiver.key, now=time.time()
    ):
        receiver.state.bad_signatures += 1
        return _counted(box, web.Response(status=401, text="assinatura inválida"))
    fault = receiver.chance.draw(receiver.faults)
    if fault in _AT_ONCE:
        status, headers = _AT_ONCE[fault]
        return _counted(box, web.Response(status=status, headers=headers))
    if 0 < receiver.faults.largest < len(body):
        return _counted(box, web.Response(status=413))
    return fault


def _counted(box: Box, response: web.Response) -> web.Response:
    box.statuses[str(response.status)] += 1
    return response


def _take(receiver: Receiver, name: str, body: bytes, idempotency_key: str | None) -> tuple[Reply, str]:
    """Apply a request, or find that it was applied before; the reply, and what is said of it on the page."""
    digest = hashlib.sha256(body).digest()
    before = receiver.state.replies.get((name, idempotency_key)) if idempotency_key else None
    box = receiver.state.box(name)
    if before is not None and before.body_digest != digest:
        box.reused_keys += 1
        if receiver.manners.honours_key:
            said = "a chave foi usada com outro conteúdo"
            return _reply(digest, 422, {"erro": said}), f"recusou: {said}"
    elif before is not None and receiver.manners.honours_key:
        box.repeats += 1
        return before, "reconheceu um envio repetido"
    try:
        records = parse_records(body)
    except NotRecords:
        return _reply(digest, 400, {"erro": "não são registros"}), "recusou o que não são registros"
    reply, said = _apply(receiver, box, records, digest)
    if idempotency_key and reply.status < _REFUSED_FROM:  # what was refused whole was not applied
        receiver.state.remember(name, idempotency_key, reply)
    return reply, said


def _apply(receiver: Receiver, box: Box, records: Sequence[dict[str, Any]], digest: bytes) -> tuple[Reply, str]:
    manners, chance, faults = receiver.manners, receiver.chance, receiver.faults
    keyed = [(key_of(record, manners.keys), record) for record in records]
    bad = {key for key, _ in keyed if chance.is_bad(faults, key)}
    if bad and manners.results == "whole":
        if len(keyed) == 1:
            box.count_refusal(*bad)
        return _reply(digest, 400, {"erro": REFUSED}), f"recusou um conjunto de {_number(len(keyed))} inteiro"
    results = []
    for key, record in keyed:
        field_name = next((name for name in manners.keys if record.get(name) is not None), manners.keys[0])
        result: dict[str, Any] = {field_name: record.get(field_name)}
        if key in bad:
            box.count_refusal(key)
            result["erro"] = REFUSED
        else:
            box.apply(key, record, record.get(manners.version))
            if chance.is_missing(faults):
                continue
        results.append(result)
    said = f"aceitou {_number(len(keyed) - len(bad))}" + (f" e recusou {len(bad)}" if bad else "")
    if manners.results == "whole":
        return _reply(digest, 200, {"recebidos": len(keyed)}), said
    chance.random.shuffle(results)
    return _reply(digest, 207, {"resultados": results}), said


def _reply(digest: bytes, status: int, document: Any) -> Reply:
    return Reply(digest, status, orjson.dumps(document))


def _first(body: bytes) -> str:
    """The first record of a body, as an example for the page."""
    try:
        text = orjson.dumps(parse_records(body)[0]).decode()
    except (NotRecords, IndexError):
        return ""
    return text if len(text) <= _EXAMPLE_LENGTH else f"{text[: _EXAMPLE_LENGTH - 1]}…"


def _number(count: int) -> str:
    return f"{count} registro{'s' if count != 1 else ''}"


# Messages of chats


async def receive_message(request: web.Request) -> web.StreamResponse:
    """Take a message as Slack, Teams or Telegram would."""
    receiver = request.app[RECEIVER]
    name = request.path.split("/")[1]
    body = await request.read()
    box = receiver.state.box(name)
    refusal = await _enter(request, receiver, box, body, needs_signature=False)  # chats verify none
    if isinstance(refusal, web.Response):
        _note(receiver, name, f"respondeu {refusal.status}, sem mostrar a mensagem")
        return refusal
    try:
        text = texts_of(orjson.loads(body))
    except orjson.JSONDecodeError:
        text = ""
    if not text:
        return _counted(box, web.Response(status=400, text="no_text"))
    box.apply(f"{box.requests}", {"text": text}, None)
    _note(receiver, name, "recebeu uma mensagem", text)
    reply = {
        "slack": Reply(b"", 200, b"ok", "text/plain"),
        "teams": Reply(b"", 202, b"", "text/plain"),
        "telegram": _reply(b"", 200, {"ok": True, "result": {"message_id": box.requests}}),
    }[name]
    return await _answer(request, receiver, box, reply, refusal)


# Answers


async def _answer(
    request: web.Request, receiver: Receiver, box: Box, reply: Reply, fault: Kind | None
) -> web.StreamResponse:
    """Answer a request that was taken, or fail on the way."""
    if fault in {"hang", "reset"}:
        box.statuses[fault] += 1
        if fault == "hang":
            await receiver.stopping.wait()  # the client's patience ends it
        if request.transport is not None:
            request.transport.abort()
        return web.Response()
    if fault == "error_after":
        return _counted(box, web.Response(status=500))
    if fault == "garbage" and reply.status < _REFUSED_FROM:
        return _counted(box, web.Response(text="<html>tudo certo</html>", content_type="text/html"))
    return _counted(box, web.Response(status=reply.status, body=reply.content, content_type=reply.content_type))


def _note(receiver: Receiver, box: str, said: str, text: str = "") -> None:
    receiver.state.events.append(Event(brasilia_now(), box, said, text))


# Control


async def get_counts(request: web.Request) -> web.Response:
    """What came to every address, in figures."""
    state = request.app[RECEIVER].state
    boxes = {name: box.counts() for name, box in state.boxes.items()}
    return _json({"boxes": boxes, "bad_signatures": state.bad_signatures})


async def get_state(request: web.Request) -> web.Response:
    """What came to one address, with its records."""
    state = request.app[RECEIVER].state
    box = state.boxes.get(request.match_info["name"])
    return _json((box or Box(0)).details())


async def delete_state(request: web.Request) -> web.Response:
    """Forget everything."""
    request.app[RECEIVER].state.clear()
    return web.Response(status=204)


async def post_faults(request: web.Request) -> web.Response:
    """Replace the faults: `{"faults": "error_before=0.1"}`, and `honours_key` and `results` if given."""
    receiver = request.app[RECEIVER]
    try:
        given = orjson.loads(await request.read())
        faults = Faults.parse(given.pop("faults", ""))
        manners = _changed(receiver.manners, given)
    except (ValueError, TypeError, AttributeError) as error:
        return web.Response(status=400, text=str(error))
    receiver.faults, receiver.manners = faults, manners
    return web.Response(status=204)


def _changed(manners: Manners, given: dict[str, Any]) -> Manners:
    expected = {"honours_key": (True, False), "results": ("207", "whole")}
    for name, value in given.items():
        if name not in expected or value not in expected[name]:
            raise ValueError(f"{name}: expected faults, honours_key (true, false), results (207, whole)")
    return replace(manners, **given)


async def get_page(request: web.Request) -> web.Response:
    """What came last, for people."""
    page = render_page(request.app[RECEIVER].state)
    return web.Response(text=page, content_type="text/html", headers={"Content-Security-Policy": _POLICY})


def _json(document: Any) -> web.Response:
    return web.Response(body=orjson.dumps(document), content_type="application/json")
