"""Channels to administrators: e-mail by SMTP, and a webhook by HTTP.

Errors raised here hold neither the server's answer nor the address: either may contain a secret.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Any, Protocol

import aiosmtplib
import httpx
import structlog

from backend.config import BackendSettings

log = structlog.get_logger(__name__)

STEP_SECONDS = 10.0
"""The time limit of each answer of a server."""
SEND_SECONDS = 30.0
"""The time limit of a whole delivery."""
_UNFOLDED = SMTP.clone(max_line_length=998)
"""By default Python encodes an address that is longer than a line, and then it is none in `List-Unsubscribe`."""


class DeliveryError(Exception):
    """A message was not delivered; the text gives administrators the reason and holds no secret."""


@dataclass(frozen=True)
class Message:
    """`subject` and `text` for people, `payload` for programs.

    `thread` is common to the messages of one episode; `number` counts them. `headers`: more ones, of an e-mail alone.
    """

    subject: str
    text: str
    payload: dict[str, Any]
    thread: str
    number: str
    headers: Mapping[str, str] = field(default_factory=dict)


class Channel(Protocol):
    """A channel to administrators."""

    @property
    def name(self) -> str:
        """The channel's name in answers and in the database."""

    async def send(self, message: Message) -> None:
        """Deliver a message.

        Raises:
            DeliveryError: it was not accepted, or may not have been.

        """


# The first entry that matches the error or one of its causes.
_SENTENCES: list[tuple[type[Exception], str]] = [
    (ssl.SSLCertVerificationError, "o certificado do servidor não é válido"),
    (TimeoutError, "o servidor não respondeu a tempo"),
    (ssl.SSLError, "a conexão TLS falhou"),
    (socket.gaierror, "o nome do servidor não foi encontrado"),
    (ConnectionRefusedError, "o servidor recusou a conexão"),
    (aiosmtplib.SMTPAuthenticationError, "o servidor recusou o usuário ou a senha"),
    (aiosmtplib.SMTPRecipientsRefused, "o servidor recusou todos os destinatários"),
    (aiosmtplib.SMTPServerDisconnected, "o servidor encerrou a conexão"),
    (aiosmtplib.SMTPResponseException, "o servidor recusou a mensagem"),
    (httpx.RemoteProtocolError, "o servidor encerrou a conexão ou não fala HTTP"),
    (httpx.InvalidURL, "o endereço não pode ser usado"),
    (ValueError, "o endereço, o usuário ou a senha não podem ser usados com este servidor"),
    (OSError, "a conexão falhou"),
    (httpx.HTTPError, "a conexão falhou"),
    # other errors have no class of their own
    (aiosmtplib.SMTPException, "o servidor não oferece STARTTLS, ou não aceita usuário e senha"),
]


def _sentence(error: Exception) -> str:
    causes = list(_causes(error))
    sentence = next(sentence for kind, sentence in _SENTENCES if any(isinstance(cause, kind) for cause in causes))
    return f"{sentence} ({error.code})" if isinstance(error, aiosmtplib.SMTPResponseException) else sentence


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it was raised from, which is a group where a name has several addresses.

    httpcore raises its errors `from None`: they have a context and no cause.
    """
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            yield from error.exceptions
        error = error.__cause__ or error.__context__


@asynccontextmanager
async def _sending() -> AsyncIterator[None]:
    """Limit the time of a delivery, and raise every failure of it as a `DeliveryError`."""
    try:
        async with asyncio.timeout(SEND_SECONDS):
            yield
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            # before Python 3.12 `wait_for`, used by aiosmtplib, drops a cancellation that comes with an answer
            raise asyncio.CancelledError
    except (aiosmtplib.SMTPException, httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        raise DeliveryError(_sentence(error)) from None


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
        async with _sending():
            server = aiosmtplib.SMTP(
                hostname=self.host,
                port=self.port,
                username=self.username,
                password=self.password,
                local_hostname=socket.gethostname(),
                timeout=STEP_SECONDS,
                use_tls=self.security == "tls",
                start_tls=self.security == "starttls",
            )
            try:
                await server.connect()
                letter = self.compose(message).as_bytes(policy=_UNFOLDED)
                refused, _ = await server.sendmail(self.sender, self.recipients, letter)
                with suppress(aiosmtplib.SMTPException):  # the message is accepted nevertheless
                    await server.quit()
            finally:
                server.close()  # at once: `async with server` would wait for the answer to another QUIT
        if refused:
            log.warning("alert not taken for some recipients", recipients=sorted(refused))

    def compose(self, message: Message) -> EmailMessage:
        """The e-mail: plain text, in the thread of its episode. Line ends are removed from headers."""
        letter = EmailMessage()
        domain = self.sender.rpartition("@")[2]
        letter["Subject"] = " ".join(message.subject.split())
        letter["From"] = self.sender
        letter["To"] = ", ".join(self.recipients)
        letter["Date"] = format_datetime(datetime.now(UTC))
        letter["Message-ID"] = f"<{message.thread}.{message.number}@{domain}>"
        letter["References"] = f"<{message.thread}@{domain}>"
        letter["Auto-Submitted"] = "auto-generated"
        for name, value in message.headers.items():
            letter[name] = value
        letter.set_content(message.text, cte="quoted-printable")
        return letter


@dataclass(frozen=True)
class Webhook:
    """Messages as a JSON POST. The address is a secret. No redirects, no proxies."""

    url: str = field(repr=False)
    name: str = "webhook"

    async def send(self, message: Message) -> None:
        """Deliver a message."""
        body = {"text": f"{message.subject}\n\n{message.text}", **message.payload}
        async with _sending():
            trusted = await asyncio.to_thread(ssl.create_default_context)  # the system's, as for e-mail
            async with (
                httpx.AsyncClient(verify=trusted, trust_env=False, timeout=STEP_SECONDS) as client,
                # the answer's body is not read
                client.stream("POST", self.url, json=body, headers={"User-Agent": "pncp-sync"}) as answer,
            ):
                if not answer.is_success:
                    raise DeliveryError(f"o servidor respondeu {answer.status_code}")


def channels_of(settings: BackendSettings) -> list[Channel]:
    """The configured channels."""
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
