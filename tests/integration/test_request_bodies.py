"""Bodies of requests: of strangers nothing is read, and what is too long, too slow or too much at once is refused."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import Request

from backend import bodies
from backend.access import access, takes_in
from backend.bodies import LONGEST_BODY, LONGEST_RECORDS, MOST_UPLOADS, BodyLimit, body, takes_file, to_text
from tests.integration.conftest import ADMIN, VIEWER, Open
from tests.support import eventually

UPLOAD_MAX_BYTES = 40 * 1024
AUTHORIZATION = b"Authorization: Basic " + base64.b64encode(":".join(ADMIN).encode()) + b"\r\n"


class Uploads:
    """Routes that take bodies, and what has become of them."""

    def __init__(self, app: Any) -> None:
        self.begun = 0
        self.done = 0
        self.may_end = asyncio.Event()

        @app.put("/taken/{entidade}/arquivo")  # type: ignore[untyped-decorator]
        @takes_in
        @takes_file
        async def take_file(entidade: str, request: Request) -> dict[str, int]:
            self.begun += 1
            size = 0
            async for part in request.stream():
                size += len(part)
            await self.may_end.wait()
            self.done += 1
            return {"size": size}

        @app.put("/any")  # type: ignore[untyped-decorator]
        @access("read:*", "write")
        @takes_file
        async def take_any(request: Request) -> dict[str, int]:
            return await take_file("compras", request)  # type: ignore[no-any-return]

        @app.post("/taken/{entidade}")  # type: ignore[untyped-decorator]
        @takes_in
        @body(most=LONGEST_RECORDS)
        async def take_in(entidade: str, request: Request) -> dict[str, int]:
            return {"size": len(await request.body())}

        @app.post("/plain")  # type: ignore[untyped-decorator]
        async def plain(request: Request) -> dict[str, int]:
            return {"size": len(await request.body())}


async def start_with_uploads(start: Open, **settings: Any) -> tuple[Any, Uploads]:
    clients = await start(upload_max_bytes=UPLOAD_MAX_BYTES, **settings)
    return clients, Uploads(clients.app)


async def in_parts(size: int) -> AsyncIterator[bytes]:
    """A body without an announced length."""
    for begin in range(0, size, 1000):
        yield b"x" * min(1000, size - begin)


@pytest.mark.parametrize(
    ("method", "path", "most", "said"),
    [
        ("POST", "/plain", LONGEST_BODY, "16 KiB"),
        ("POST", "/taken/compras", LONGEST_RECORDS, "1 MiB"),
        ("PUT", "/taken/compras/arquivo", UPLOAD_MAX_BYTES, "40 KiB"),
    ],
)
async def test_a_body_may_be_as_long_as_its_route_declares(
    start: Open, method: str, path: str, most: int, said: str
) -> None:
    clients, uploads = await start_with_uploads(start)
    uploads.may_end.set()
    async with clients(auth=ADMIN) as api:
        assert (await api.request(method, path, content=b"x" * most)).json() == {"size": most}
        assert (await api.request(method, path, content=in_parts(most))).json() == {"size": most}
        for content in (b"x" * (most + 1), in_parts(most + 1)):
            answer = await api.request(method, path, content=content)
            assert answer.status_code == 413
            assert answer.json()["detail"] == f"O corpo do pedido passa do limite de {said}."
        assert uploads.done == (2 if "arquivo" in path else 0)


async def test_of_a_stranger_s_body_nothing_is_read_whatever_its_length(start: Open) -> None:
    clients, uploads = await start_with_uploads(start)

    async def receive() -> dict[str, Any]:
        raise AssertionError("the body is read")

    for length in (b"10", b"2000000", b"9" * 30):
        sent: list[Any] = []

        async def send(message: Any, sent: list[Any] = sent) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": "PUT",
            "path": "/taken/compras/arquivo",
            "raw_path": b"/taken/compras/arquivo",
            "query_string": b"",
            "root_path": "",
            "scheme": "http",
            "http_version": "1.1",
            "server": ("api", 80),
            "client": ("192.0.2.1", 1),
            "headers": [(b"host", b"api"), (b"content-length", length)],
            "state": dict(clients.state),
        }
        await clients.app(scope, receive, send)
        assert sent[0]["status"] == 401
        closes = (b"connection", b"close") in sent[0]["headers"]
        assert closes is (length != b"10"), "a long body is not read to its end"
    assert uploads.begun == 0
    async with clients() as api:
        assert (await api.put("/taken/compras/arquivo", content=b"x", auth=VIEWER)).status_code == 403


async def test_of_ten_files_of_one_user_at_once_one_is_taken(start: Open) -> None:
    clients, uploads = await start_with_uploads(start)
    async with clients("192.0.2.1", auth=ADMIN) as api, clients("192.0.2.2", auth=VIEWER) as other:
        files = [asyncio.create_task(api.put("/any", content=b"x" * 100)) for _ in range(10)]
        refused = []
        for file in asyncio.as_completed(files):
            refused.append(await file)
            if len(refused) == 9:
                break
        assert {answer.status_code for answer in refused} == {429}
        assert {answer.json()["code"] for answer in refused} == {"too_many_uploads"}
        assert {int(answer.headers["Retry-After"]) > 0 for answer in refused} == {True}
        assert uploads.begun == 1
        uploads.may_end.set()
        assert (await other.put("/any", content=b"x")).status_code == 200, "another user's file is taken meanwhile"
        codes = [(await file).status_code for file in files]
        assert sorted(codes) == [200, *[429] * 9]
        assert (await api.put("/any", content=b"x")).status_code == 200, "the place is free again"


async def test_all_together_send_a_few_files_at_once(start: Open) -> None:
    clients, uploads = await start_with_uploads(start, admin_password_hash=None, viewer_password_hash=None)

    async def send(number: int) -> int:
        async with clients(f"192.0.2.{number}") as api:
            return int((await api.put("/any", content=b"x")).status_code)

    files = [asyncio.create_task(send(number)) for number in range(MOST_UPLOADS + 3)]
    for file in asyncio.as_completed(files):
        assert await file == 429
        if sum(each.done() for each in files) == 3:
            break
    uploads.may_end.set()
    assert sorted(await asyncio.gather(*files)) == [*[200] * MOST_UPLOADS, *[429] * 3]


@asynccontextmanager
async def listening(clients: Any) -> AsyncIterator[int]:
    """Serve the application on a port, as in production."""

    async def with_state(scope: Any, receive: Any, send: Any) -> None:
        await clients.app({**scope, "state": dict(clients.state)}, receive, send)

    server = uvicorn.Server(uvicorn.Config(with_state, port=0, lifespan="off", log_config=None, ws="none"))
    serving = asyncio.create_task(server.serve())

    async def has_started() -> bool:
        return server.started

    await eventually(has_started)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await serving


async def speak(port: int, request: bytes) -> bytes:
    """What is answered to these bytes until the connection is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    async with asyncio.timeout(30):
        answered = await reader.read()
    writer.close()
    return answered


PUT = b"PUT /any HTTP/1.1\r\nHost: api\r\n"


async def test_a_body_that_trickles_is_cut(start: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "GRACE_SECONDS", 0.2)
    clients, uploads = await start_with_uploads(start)
    uploads.may_end.set()
    async with listening(clients) as port:
        for head in (b"Content-Length: 1000\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"):
            answered = await speak(port, PUT + AUTHORIZATION + head)
            assert answered.startswith(b"HTTP/1.1 408 "), answered
            assert b"body_too_slow" in answered
            assert b"connection: close" in answered.lower()
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", auth=ADMIN) as api:
            assert (await api.put("/any", content=b"x" * UPLOAD_MAX_BYTES)).json() == {"size": UPLOAD_MAX_BYTES}
    assert (uploads.begun, uploads.done) == (3, 1)


async def test_a_stranger_is_refused_before_sending_the_body(start: Open) -> None:
    clients, uploads = await start_with_uploads(start)
    uploads.may_end.set()
    waiting = b"Content-Length: 2000000\r\nExpect: 100-continue\r\n\r\n"
    async with listening(clients) as port:
        assert (await speak(port, PUT + waiting)).startswith(b"HTTP/1.1 401 ")
        assert (await speak(port, PUT + AUTHORIZATION + waiting)).startswith(b"HTTP/1.1 413 ")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(PUT + AUTHORIZATION + b"Content-Length: 3\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n")
        assert await reader.readline() == b"HTTP/1.1 100 Continue\r\n"
        writer.write(b"abc")
        assert b"HTTP/1.1 200 " in await reader.read()
        writer.close()
    assert uploads.begun == 1


async def test_a_sender_that_goes_away_leaves_its_place(start: Open) -> None:
    clients, uploads = await start_with_uploads(start)
    uploads.may_end.set()
    async with listening(clients) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(PUT + AUTHORIZATION + b"Content-Length: 1000\r\n\r\nabc")

        async def has_begun() -> bool:
            return uploads.begun > 0

        await eventually(has_begun)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", auth=ADMIN) as api:
            assert (await api.put("/any", content=b"x")).status_code == 429
            writer.transport.abort()

            async def is_taken() -> bool:
                return (await api.put("/any", content=b"x")).status_code == 200

            await eventually(is_taken)
    assert uploads.done == 1


async def test_who_listens_for_the_end_of_a_slow_sender_is_not_disturbed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "GRACE_SECONDS", 0.0)
    monkeypatch.setattr(bodies, "SLOWEST_BYTES_PER_SECOND", 10**9)
    given: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        given.append(await receive())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        given.append(await receive())

    messages = [{"type": "http.request", "body": b"a", "more_body": True}]

    async def receive() -> Any:
        if messages:
            return messages.pop()  # what has come already costs no time
        return await asyncio.Event().wait()

    async def send(message: Any) -> None:
        pass

    limit = BodyLimit(app, most_of_file=1)
    await limit({"type": "http", "headers": [], "state": {}}, receive, send)
    assert [message["type"] for message in given] == ["http.request", "http.disconnect"]


def test_sizes_are_said_for_people() -> None:
    assert [to_text(size) for size in (16 * 1024, 1024**2, 10 * 1024**2, 1536 * 1024)] == [
        "16 KiB",
        "1 MiB",
        "10 MiB",
        "1536 KiB",
    ]
