"""What a destination may not hold: secrets as they are, addresses without TLS, headers of the protocol."""

import re
from collections.abc import Iterator, Mapping
from urllib.parse import parse_qsl, urlsplit

from common.connections.secrets import SecretText
from common.mapping.problem import At, Problem

FORBIDDEN_HEADERS = frozenset(
    {
        *("accept-encoding", "connection", "content-encoding", "content-length", "content-type", "cookie", "expect"),
        *("host", "idempotency-key", "keep-alive", "proxy-authorization", "proxy-connection", "te", "trailer"),
        *("transfer-encoding", "upgrade", "webhook-id", "webhook-signature", "webhook-timestamp"),
    }
)
"""Headers, in lower case, that no file may set: they frame the request, or the sender makes them itself."""
_SECRET_NAME = re.compile(r"auth|token|key|secret|cookie|passw|senha|signature|credential|session", re.IGNORECASE)
_SECRET_VALUE = re.compile(r"\s*(bearer|basic|token|apikey)\s+\S", re.IGNORECASE)
_SECRET_PARAMETER = re.compile(r"token|key|secret|passw|senha|sig|auth|code", re.IGNORECASE)
_USERINFO = re.compile(r"://[^/@]*[^/@:][^/@]*@")
_PASSWORD = re.compile(r"://[^/@]*:[^/@]+@")
_WEBHOOK = re.compile(
    r"hooks\.slack\.com/|discord(app)?\.com/api/webhooks|api\.telegram\.org/bot|webhook\.office\.com/"
    r"|logic\.azure\.com|powerplatform\.com|chat\.googleapis\.com/",
    re.IGNORECASE,
)
AS_REFERENCE = "é um segredo: escreva ${env:NOME} ou ${file:/caminho}"


def secret_text(written: str, at: At) -> SecretText:
    """A text with its references.

    Raises:
        Problem: it cannot stand in a request, or a reference is not written as one is.

    """
    if any(not char.isprintable() for char in written):
        raise Problem(at, "há quebras de linha ou sinais de controle no texto")
    try:
        return SecretText(written)
    except ValueError as error:
        raise Problem(at, str(error)) from None


def secret(written: str, at: At) -> SecretText:
    """A secret, which must be a reference."""
    text = secret_text(written, at)
    if not text.references:
        raise Problem(at, AS_REFERENCE)
    return text


def url(written: str, at: At, *, schemes: tuple[str, ...], is_secret: bool, allow_http: bool) -> SecretText:
    """An address, which is a reference where it holds what a stranger could use.

    Raises:
        Problem: it holds a secret as it is, or is no address of these schemes.

    """
    text = secret_text(written, at)
    if is_secret and not text.references:
        raise Problem(at, f"o endereço {AS_REFERENCE}")
    check_no_password(text, at)
    outside = text.outside
    if text.literal is not None and _USERINFO.search(outside):
        raise Problem(at, f"a senha no endereço {AS_REFERENCE}")
    if not is_secret and text.literal is not None and _WEBHOOK.search(outside):
        raise Problem(at, f"o endereço de um webhook {AS_REFERENCE}")
    if text.literal is not None:
        _check_literal(text.literal, at, schemes=schemes, allow_http=allow_http)
    return text


def check_no_password(text: SecretText, at: At) -> None:
    """Raise a problem where an address has a password that is no reference."""
    if _PASSWORD.search(text.outside):
        raise Problem(at, f"a senha no endereço {AS_REFERENCE}")
    if _has_secret(text.outside.partition("?")[2]):
        raise Problem(at, f"o parâmetro do endereço {AS_REFERENCE}")


def _check_literal(written: str, at: At, *, schemes: tuple[str, ...], allow_http: bool) -> None:
    try:
        parts = urlsplit(written)
        usable = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.fragment or " " in written:
        raise Problem(at, f"esperava um endereço que começa com {' ou '.join(f'{each}://' for each in schemes)}")
    if parts.scheme in ("http", "amqp") and not allow_http:
        raise Problem(at, f"use {parts.scheme}s://, ou allow_http: true em uma rede sua")


def _has_secret(query: str) -> bool:
    return any(_SECRET_PARAMETER.search(name) and value for name, value in parse_qsl(query))


def check_path(written: str, at: At) -> None:
    """Raise a problem where a stream's path, which is shown, holds a secret."""
    if _has_secret(written.partition("?")[2]):
        raise Problem(at, "o parâmetro é um segredo: escreva-o em `url`, como ${env:NOME} ou ${file:/caminho}")


def headers(written: Mapping[str, str], at: At) -> Iterator[tuple[str, SecretText]]:
    """Headers of a destination.

    Raises:
        Problem: one is made by the sender itself, or holds a secret as it is.

    """
    for name, value in written.items():
        place = (*at, name)
        check_header(name, place)
        text = secret_text(value, place)
        if not text.references and (_SECRET_NAME.search(name) or _SECRET_VALUE.match(value)):
            raise Problem(place, AS_REFERENCE)
        yield name, text


def check_header(name: str, at: At) -> None:
    """Raise a problem where the sender makes a header itself."""
    if name.lower() in FORBIDDEN_HEADERS:
        raise Problem(at, f"o cabeçalho `{name}` é do próprio envio")
