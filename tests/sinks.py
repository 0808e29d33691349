"""A mail server and a webhook's receiver on 127.0.0.1, as real as their clients can tell, that keep what they take."""

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any, TypeVar


@dataclass
class MailSink:
    """An SMTP server. What `refuse_at` names (a command) is answered with 554 and some words of the server's own.

    A command in `stalls_at` is answered with nothing, one in `hangs_up_at` with the end of the connection.
    """

    credentials: tuple[str, str] | None = None
    tls: ssl.SSLContext | None = None
    refuse_at: str | None = None
    refused: tuple[str, ...] = ()
    stalls_at: str | None = None
    hangs_up_at: str | None = None
    is_silent: bool = False
    is_waited_for: bool = False
    letters: list[EmailMessage] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    secured: list[bool] = field(default_factory=list)
    port: int = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._converse(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_silent:
            self.is_waited_for = True
            await reader.read()
            return
        await _say(writer, "220 sink")
        is_secure, recipients = False, []
        while line := (await reader.readline()).decode().strip():
            command = line.upper().split(" ")[0].split(":")[0]
            if command == self.hangs_up_at:
                return
            if command == self.stalls_at:
                self.is_waited_for = True
                await reader.read()
                return
            answer = self._answer(command, line, is_secure=is_secure)
            await _say(writer, answer)
            if command == "QUIT":
                return
            if command == "STARTTLS" and self.tls:
                await writer.start_tls(self.tls)
                is_secure = True
            elif command == "RCPT" and answer.startswith("250"):
                recipients.append(line[line.index("<") + 1 : line.index(">")])
            elif answer.startswith("354"):
                self._keep(await reader.readuntil(b"\r\n.\r\n"), recipients, is_secure=is_secure)
                recipients = []
                await _say(writer, "250 taken")

    def _answer(self, command: str, line: str, *, is_secure: bool) -> str:
        if command == self.refuse_at:
            return "554 no, and here is a secret-of-the-server"
        if command == "RCPT" and line[line.index("<") + 1 : line.index(">")] in self.refused:
            return "550 no mailbox of that name"
        if command == "EHLO":
            offers = ["STARTTLS"] if self.tls and not is_secure else []
            offers += ["AUTH PLAIN"] if self.credentials else []
            return "\r\n".join(["250-sink", *(f"250-{offer}" for offer in offers), "250 8BITMIME"])
        if command == "AUTH":
            _, name, password = base64.b64decode(line.split(" ")[2]).decode().split("\0")
            return "235 welcome" if (name, password) == self.credentials else f"535 who is {name} with {password}?"
        return {"DATA": "354 go on", "QUIT": "221 bye", "STARTTLS": "220 go on"}.get(command, "250 fine")

    def _keep(self, data: bytes, recipients: list[str], *, is_secure: bool) -> None:
        letter = message_from_bytes(data[:-5].replace(b"\r\n..", b"\r\n."), policy=default)
        assert isinstance(letter, EmailMessage)
        self.letters.append(letter)
        self.recipients.append(recipients)
        self.secured.append(is_secure)


async def _say(writer: asyncio.StreamWriter, words: str) -> None:
    writer.write(f"{words}\r\n".encode())
    await writer.drain()


@dataclass
class WebhookSink:
    """An HTTP server that takes JSON by POST, and answers with `status`, or with nothing at all where that is 0."""

    status: int = 200
    bodies: list[dict[str, Any]] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)
    port: int = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = next(
                int(line.split(":")[1]) for line in head.splitlines() if line.lower().startswith("content-length")
            )
            self.targets.append(head.split(" ")[1])
            body = json.loads(await reader.readexactly(length))
            if 200 <= self.status < 300:
                self.bodies.append(body)
            if self.status:
                answer = f"HTTP/1.1 {self.status} So\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
                writer.write(answer.encode())
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


Sink = TypeVar("Sink", MailSink, WebhookSink)


@asynccontextmanager
async def listening(sink: Sink, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Sink]:
    """Serve on the sink's port, or on any where it has none yet; `tls` from the first byte; what was said stays."""
    server = await asyncio.start_server(sink._serve, "127.0.0.1", sink.port, ssl=tls)
    sink.port = server.sockets[0].getsockname()[1]
    try:
        yield sink
    finally:
        server.close()
