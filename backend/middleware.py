"""Pure ASGI around the application: the limit of a body, and a refused start told in one line."""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.errors import TOO_LARGE, problem

LONGEST_BODY = 16 * 1024
LONGEST_DISCARDED = 1024 * 1024
_HANG_UP = {"Connection": "close"}
"""Else the server reads on to the end of the body, to keep the connection; whoever is cut off while sending may miss
the answer, so that is for bodies that are absurdly long or do not say how long they are."""


class BodyLimit:
    """Refuses a body over the limit: by its announced length, or as soon as what has come is too much."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a call."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        told = dict(scope["headers"]).get(b"content-length", b"0")
        announced = int(told[:20]) if told.isdigit() else 0
        if announced > LONGEST_BODY:
            headers = _HANG_UP if announced > LONGEST_DISCARDED else None
            await problem(413, TOO_LARGE, headers=headers)(scope, receive, send)
            return
        size = 0

        async def receive_within_limit() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > LONGEST_BODY:
                raise HTTPException(413, headers=_HANG_UP)
            return message

        await self.app(scope, receive_within_limit, send)


class OneLineStart:
    """Tells a start that was refused in one line instead of a traceback; every other call passes through."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a call."""
        if scope["type"] != "lifespan":
            await self.app(scope, receive, send)
            return

        async def shorten(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                message = {**message, "message": message["message"].strip().rsplit("\n", 1)[-1]}
            await send(message)

        await self.app(scope, receive, shorten)
