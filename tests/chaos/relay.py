"""A relay between the backend and the broker that can lose what the broker answers: the confirms of a publish.

What the backend sends goes through all the while, so that its message arrives though it never hears so.
"""

import asyncio
import contextlib


class Relay:
    """Listens on a port of 127.0.0.1 and passes bytes to another; `losing` drops those that come back."""

    def __init__(self, target: int) -> None:
        self.port = 0
        self.losing = False
        self._target = target
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        self.hang_up()

    def hang_up(self) -> None:
        """Break all connections: after something was lost they are of no use to anybody."""
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        there: asyncio.StreamWriter | None = None
        try:
            answers, there = await asyncio.open_connection("127.0.0.1", self._target)
            self._writers.add(there)
            await asyncio.gather(self._pass(reader, there, loses=False), self._pass(answers, writer, loses=True))
        except OSError:
            pass  # the broker is down, or one end has gone
        finally:
            for end in (writer, there):
                if end is not None:
                    end.close()
                    self._writers.discard(end)

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, loses: bool) -> None:
        while part := await source.read(65536):
            if loses and self.losing:
                continue
            sink.write(part)
            await sink.drain()
        with contextlib.suppress(OSError):
            sink.close()
