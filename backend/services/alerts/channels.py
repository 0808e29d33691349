"""How a message leaves the house: by e-mail (SMTP) and by a webhook. Both by the standard library, in a thread.

No error told here carries what a server said or where it was asked: an address may hold a token, an answer anything.
"""

import asyncio
import http.client
import json
import smtplib
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any, Protocol
from urllib.parse import urlsplit

import structlog

from backend.config import BackendSettings

log = structlog.get_logger(__name__)

STEP_SECONDS = 10.0
"""How long any one answer of a server is waited for."""
SEND_SECONDS = 30.0
"""How long a message may take in all."""


class DeliveryError(Exception):
    """A message was not taken; the text says why, for administrators, and holds no secret."""


@dataclass(frozen=True)
class Message:
    """What is told: `subject` and `text` for people, `payload` for programs.

    `thread`: what the messages of one episode share; `number`: which of them it is.
    """

    subject: str
    text: str
    payload: dict[str, Any]
    thread: str
    number: str


class Channel(Protocol):
    """A way to administrators."""

    @property
    def name(self) -> str:
        """What it is called in answers and in the database."""

    async def send(self, message: Message) -> None:
        """Deliver a message.

        Raises:
            DeliveryError: it was not, or may not have been, taken.

        """


class _Connected(Protocol):
    sock: Any


class _Line:
    """A connection that a thread speaks on, and that may be cut while it does."""

    def __init__(self) -> None:
        self._held: _Connected | None = None
        self._is_cut = False

    def hold(self, connection: _Connected) -> None:
        self._held = connection
        if self._is_cut:
            raise ConnectionAbortedError

    def cut(self) -> None:
        """Whoever waits for this connection in another thread waits no longer."""
        self._is_cut = True
        connected = getattr(self._held, "sock", None)
        if connected is not None:
            with suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)


async def _in_thread(send: Callable[[_Line], None]) -> None:
    """Run it in a thread, whose line is cut when it takes too long or nobody waits for it any more."""
    line = _Line()
    sending = asyncio.create_task(asyncio.to_thread(send, line))
    sending.add_done_callback(lambda done: done.cancelled() or done.exception())  # it may be of interest to nobody
    try:
        async with asyncio.timeout(SEND_SECONDS):
            await asyncio.shield(sending)
    except TimeoutError:
        raise DeliveryError("o servidor não respondeu a tempo") from None
    finally:
        if not sending.done():
            line.cut()


class _Smtp(smtplib.SMTP):
    """One whose line can be cut from its first byte on."""

    def __init__(self, line: _Line, host: str, port: int, **options: Any) -> None:
        line.hold(self)
        super().__init__(host, port, **options)


class _SmtpOverTls(smtplib.SMTP_SSL):
    """The same, behind TLS."""

    def __init__(self, line: _Line, host: str, port: int, **options: Any) -> None:
        line.hold(self)
        super().__init__(host, port, **options)


# the first that fits; what a server has said stays where it is
_SENTENCES: list[tuple[type[Exception], str]] = [
    (smtplib.SMTPAuthenticationError, "o servidor recusou o usuário ou a senha"),
    (smtplib.SMTPNotSupportedError, "o servidor não oferece STARTTLS, ou não aceita usuário e senha"),
    (smtplib.SMTPRecipientsRefused, "o servidor recusou todos os destinatários"),
    (smtplib.SMTPServerDisconnected, "o servidor encerrou a conexão"),
    (smtplib.SMTPException, "o servidor recusou a mensagem"),
    (http.client.RemoteDisconnected, "o servidor encerrou a conexão"),
    (http.client.HTTPException, "a resposta do servidor não é HTTP"),
    (ssl.SSLCertVerificationError, "o certificado do servidor não é válido"),
    (ssl.SSLError, "a conexão TLS falhou"),
    (TimeoutError, "o servidor não respondeu a tempo"),
    (socket.gaierror, "o nome do servidor não foi encontrado"),
    (ConnectionRefusedError, "o servidor recusou a conexão"),
    (OSError, "a conexão falhou"),
    (ValueError, "o endereço, o usuário ou a senha não podem ser usados com este servidor"),
]


def _sentence(error: Exception) -> str:
    said = next(sentence for kind, sentence in _SENTENCES if isinstance(error, kind))
    code = getattr(error, "smtp_code", None)
    return said if code is None else f"{said} ({code})"


@dataclass(frozen=True)
class Email:
    """Messages by SMTP, one for all recipients. `security`: `starttls`, `tls` (from the first byte) or `none`."""

    host: str
    port: int
    security: str
    sender: str
    recipients: tuple[str, ...]
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    name: str = "email"

    async def send(self, message: Message) -> None:
        """Deliver a message."""
        letter = self.compose(message)
        await _in_thread(lambda line: self._send(letter, line))

    def compose(self, message: Message) -> EmailMessage:
        """The e-mail: plain text, in the thread of its episode; no header can be made to hold a line's end."""
        letter = EmailMessage()
        domain = self.sender.rpartition("@")[2]
        letter["Subject"] = " ".join(message.subject.split())
        letter["From"] = self.sender
        letter["To"] = ", ".join(self.recipients)
        letter["Date"] = format_datetime(datetime.now(UTC))
        letter["Message-ID"] = f"<{message.thread}.{message.number}@{domain}>"
        letter["References"] = f"<{message.thread}@{domain}>"
        letter["Auto-Submitted"] = "auto-generated"
        letter.set_content(message.text, cte="quoted-printable")
        return letter

    def _send(self, letter: EmailMessage, line: _Line) -> None:
        try:
            with self._connect(line) as server:
                if self.username is not None and self.password is not None:
                    server.login(self.username, self.password)
                refused = server.send_message(letter, self.sender, list(self.recipients))
        except (smtplib.SMTPException, OSError, ValueError) as error:
            raise DeliveryError(_sentence(error)) from None
        if refused:
            log.warning("alert not taken for some recipients", recipients=sorted(refused))

    def _connect(self, line: _Line) -> smtplib.SMTP:
        """The server, after its greeting and behind TLS where that is wanted."""
        options = {"local_hostname": socket.gethostname(), "timeout": STEP_SECONDS}
        if self.security == "tls":
            return _SmtpOverTls(line, self.host, self.port, context=ssl.create_default_context(), **options)
        server = _Smtp(line, self.host, self.port, **options)
        if self.security == "starttls":
            try:
                server.starttls(context=ssl.create_default_context())
            except BaseException:
                server.close()
                raise
        return server


@dataclass(frozen=True)
class Webhook:
    """Messages as a JSON POST. The address is a secret. No redirect is followed, no proxy asked."""

    url: str = field(repr=False)
    name: str = "webhook"

    async def send(self, message: Message) -> None:
        """Deliver a message."""
        body = json.dumps({"text": f"{message.subject}\n\n{message.text}", **message.payload}).encode()
        await _in_thread(lambda line: self._send(body, line))

    def _send(self, body: bytes, line: _Line) -> None:
        parts = urlsplit(self.url)
        target = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
        connection = _connection_to(parts.scheme, parts.hostname or "", parts.port)
        line.hold(connection)
        try:
            headers = {"Content-Type": "application/json", "User-Agent": "pncp-sync", "Connection": "close"}
            connection.request("POST", target, body, headers)
            status = connection.getresponse().status
        except (http.client.HTTPException, OSError, ValueError) as error:
            raise DeliveryError(_sentence(error)) from None
        finally:
            connection.close()
        if not 200 <= status < 300:  # noqa: PLR2004
            raise DeliveryError(f"o servidor respondeu {status}")


def _connection_to(scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
    if scheme == "https":
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(host, port, timeout=STEP_SECONDS, context=context)
    return http.client.HTTPConnection(host, port, timeout=STEP_SECONDS)


def channels_of(settings: BackendSettings) -> list[Channel]:
    """The channels that are configured."""
    channels: list[Channel] = []
    if settings.smtp_host is not None and settings.alert_email_from is not None:
        password = settings.smtp_password
        channels.append(
            Email(
                settings.smtp_host,
                settings.mail_port,
                settings.mail_security,
                settings.alert_email_from,
                tuple(settings.alert_email_to),
                settings.smtp_username,
                None if password is None else password.get_secret_value(),
            )
        )
    if settings.alert_webhook_url is not None:
        channels.append(Webhook(settings.alert_webhook_url.get_secret_value()))
    return channels
