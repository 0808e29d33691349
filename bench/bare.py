"""The bounds of an API: FastAPI and nothing else, one row read, or one row and one message.

`python -m bench.bare DESCRIPTOR` serves on a socket that is open already; the database and the broker are those of the
environment, used through the same libraries and settings as in PNCP Sync.
"""

import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aio_pika
import uvicorn
from fastapi import FastAPI, Request
from sqlalchemy import text

from common import rabbit
from common.database import create_engine

_NEWEST = text("SELECT * FROM sync_executions ORDER BY id DESC LIMIT 1")
_INSERT = text(
    "INSERT INTO sync_executions (mode, criterio, trigger) VALUES ('update', 'atualizacao', 'api') RETURNING id"
)


@asynccontextmanager
async def _lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
    url = os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+asyncpg://")
    engine = create_engine(url, application_name="pncp-bench", pool_size=10)
    state: dict[str, Any] = {"engine": engine}
    connection = None
    if os.environ.get("RABBITMQ_URL"):
        connection = await aio_pika.connect(os.environ["RABBITMQ_URL"])
        state["channel"] = await connection.channel(on_return_raises=True)
        await rabbit.declare_queues(state["channel"], os.environ["QUEUE_NAME"])
    yield state
    if connection is not None:
        await connection.close()
    await engine.dispose()


app = FastAPI(lifespan=_lifespan)


@app.get("/row")
async def read(request: Request) -> dict[str, Any]:
    """The newest execution."""
    async with request.state.engine.connect() as db:
        return dict((await db.execute(_NEWEST)).mappings().one())


@app.post("/row")
async def write(request: Request, body: dict[str, str]) -> dict[str, Any]:
    """A new execution, and a message that the broker has confirmed."""
    async with request.state.engine.begin() as db:
        execution_id = (await db.execute(_INSERT)).scalar_one()
    await rabbit.send(
        request.state.channel, os.environ["QUEUE_NAME"], str(body).encode(), headers={}, message_id=None, seconds=5
    )
    return {"id": execution_id}


def main() -> None:
    """Serve until a signal, as the backend is served."""
    config = uvicorn.Config(app, log_config=None, access_log=False, server_header=False, proxy_headers=False)
    with socket.socket(fileno=int(sys.argv[1])) as listening:
        uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
