"""What an answer says of the records of a request: accepted, rejected or unknown, or a fault of the destination. Pure.

The rules are the table of docs/adr/0060-requests-to-destinations.md.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from http import HTTPStatus
from typing import Any, Final, Literal

import msgspec

from common.connections.results import LONGEST_REASON, ResultsRule

Failure = Literal[
    "timeout",
    "reset",
    "refused_connection",
    "closed",
    "too_large",
    "amqp",
    "dns",
    "tls",
    "forbidden_address",
    "invalid_url",
    "redirect",
    "oauth",
    "secret_missing",
    "amqp_refused",
]
"""Why a request has no answer that can be used."""

UNKNOWN: Final[Mapping[str, str]] = {
    "timeout": "o destino não respondeu a tempo",
    "reset": "a conexão com o destino foi interrompida",
    "refused_connection": "o destino não aceitou a conexão",
    "closed": "o destino encerrou a conexão sem uma resposta completa",
    "too_large": "os cabeçalhos da resposta do destino são grandes demais",
    "amqp": "o servidor de mensagens não confirmou o recebimento",
}
"""Failures after which the destination may or may not have applied the request, or may do so later; what is said."""

FAULTS: Final[Mapping[str, str]] = {
    "dns": "o nome do destino não foi encontrado",
    "tls": "o certificado ou a conexão segura do destino falhou",
    "forbidden_address": "o endereço do destino não é permitido",
    "invalid_url": "a URL do destino não pode ser usada (é preciso https, ou permitir conexão sem TLS)",
    "redirect": "o destino respondeu com um redirecionamento, que não é seguido",
    "oauth": "o destino não forneceu o token de acesso",
    "secret_missing": "um segredo do destino não está disponível ou não tem a forma esperada",
    "amqp_refused": "o servidor de mensagens recusou o acesso, ou a fila ou exchange não existe",
}
"""Failures that are the destination's, or those of its configuration; no record is rejected for them."""

REFUSING_STATUS: Final = frozenset({400, 413, 422})
"""Statuses that refuse a request as a whole; 409 is one of them at the first try."""

LATER_STATUS: Final = frozenset({408, 425, 429})
"""Statuses that ask for the same request later, as those from 500 on; 409 is one of them after the first try."""

NO_WAY_STATUS: Final = frozenset({401, 403, 404, 405, 407, 415})
"""Statuses of which the cause is in the destination or its configuration and not in the records."""

SHORTEST_WAIT: Final = 1.0
LONGEST_WAIT: Final = 6 * 3600.0
"""Bounds of `Verdict.retry_after`, in seconds."""

HIDDEN: Final = "***"

_SECONDS = re.compile(r"[0-9]{1,20}(\.[0-9]{1,9})?")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back of one request.

    Names of `headers` are in lower case. `failure` says why there is no answer that can be used; a status that came
    before it is kept. `is_cut`: the body is longer than what was read of it. `secrets`: what of the request a
    destination may repeat in its answer, and must not be kept.
    """

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    failure: Failure | None = None
    is_cut: bool = False
    secrets: tuple[str, ...] = field(default=(), repr=False, compare=False)

    @property
    def told(self) -> bytes:
        """The body without the secrets of the request, to be kept."""
        body = self.body
        for each in self.secrets:
            body = body.replace(each.encode(), HIDDEN.encode())
        return body

    def hide(self, text: str) -> str:
        """A text of the answer without the secrets of the request."""
        for each in self.secrets:
            text = text.replace(each, HIDDEN)
        return text


@dataclass(frozen=True, slots=True)
class Sent:
    """What was sent: the records' keys in their order, their values of `results.key`, and how often, from 1."""

    keys: tuple[str, ...]
    echoes: tuple[str | None, ...] | None = None
    tries: int = 1


class Kind(Enum):
    """What is to be done with the request."""

    SETTLED = "settled"
    """The accepted and rejected records are settled; unknown ones, if any, form a new request."""
    SPLIT = "split"
    """Refused as a whole: two halves, each with a key of its own."""
    REPEAT = "repeat"
    """The same bytes under the same key, later."""
    FAULT = "fault"
    """The destination's fault: the same bytes later, and an alert if it lasts."""
    STOP = "stop"
    """The destination wants no more requests."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an answer says of each record sent; each is in exactly one of accepted, rejected and unknown.

    `reason` is a sentence in Portuguese that quotes nothing of the answer but its status. `retry_after` is in seconds.
    `too_large`: the request was refused for its size.
    """

    kind: Kind
    reason: str = ""
    accepted: tuple[str, ...] = ()
    rejected: Mapping[str, str] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    retry_after: float | None = None
    too_large: bool = False


def judge(answer: Answer, sent: Sent, results: ResultsRule | None) -> Verdict:
    """Decide what an answer means for the records that were sent, by the rules of their stream."""
    status = answer.status
    if answer.failure is not None or status is None:
        return _judge_failure(answer, sent)
    if _is_success(status):
        return _judge_success(answer, sent, results)
    if status == HTTPStatus.GONE:
        return Verdict(Kind.STOP, f"o destino não quer mais receber registros (status {status})", unknown=sent.keys)
    if status < HTTPStatus.BAD_REQUEST or status in NO_WAY_STATUS:
        return _later(Kind.FAULT, f"o destino não atende a requisições como esta (status {status})", answer, sent)
    if status in LATER_STATUS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _later(Kind.REPEAT, f"o destino pediu para tentar mais tarde (status {status})", answer, sent)
    return _judge_refusal(answer, sent, results)


def _is_success(status: int) -> bool:
    return HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES


def _judge_failure(answer: Answer, sent: Sent) -> Verdict:
    failure = answer.failure or "closed"
    at = f" (status {answer.status})" if answer.status else ""
    if failure in FAULTS:
        return _later(Kind.FAULT, FAULTS[failure] + at, answer, sent)
    return _later(Kind.REPEAT, UNKNOWN[failure] + at, answer, sent)


def _judge_success(answer: Answer, sent: Sent, results: ResultsRule | None) -> Verdict:
    if results is None:
        return Verdict(Kind.SETTLED, accepted=sent.keys)
    verdict = _by_results(answer, sent, results)
    if verdict is None:
        said = f"a resposta não traz um resultado legível dos registros (status {answer.status})"
        return _later(Kind.REPEAT, said, answer, sent)
    return verdict


def _judge_refusal(answer: Answer, sent: Sent, results: ResultsRule | None) -> Verdict:
    verdict = None if results is None else _by_results(answer, sent, results)
    if verdict is not None and (verdict.accepted or verdict.rejected):
        return verdict
    status = answer.status
    if status == HTTPStatus.CONFLICT and sent.tries > 1:  # the try before may have been applied, or may be under way
        return _later(Kind.REPEAT, f"o destino ainda trata do envio anterior (status {status})", answer, sent)
    if status not in REFUSING_STATUS and status != HTTPStatus.CONFLICT:
        return _later(Kind.FAULT, f"o destino recusou a requisição (status {status})", answer, sent)
    too_large = status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    if len(sent.keys) > 1:
        said = f"o destino recusou o conjunto de registros (status {status})"
        return Verdict(Kind.SPLIT, said, unknown=sent.keys, too_large=too_large)
    said = f"o destino recusou o registro{' por ser grande demais' if too_large else ''} (status {status})"
    return Verdict(Kind.SETTLED, said, rejected=dict.fromkeys(sent.keys, said), too_large=too_large)


def _later(kind: Kind, reason: str, answer: Answer, sent: Sent) -> Verdict:
    return Verdict(kind, reason, unknown=sent.keys, retry_after=parse_retry_after(answer.headers))


# Results of each record


def _by_results(answer: Answer, sent: Sent, results: ResultsRule) -> Verdict | None:
    """The verdict by the results in the answer; None where it has none, or another number of them than of records.

    Where they name no record sent, all are unknown, and a new request asks for new results: a destination that honours
    the key would give those again that it gave.
    """
    document = None if answer.is_cut else _read(answer.body)
    entries = None if document is None else results.entries(document)
    if entries is None:
        return None
    if results.key is not None:
        return _by_name(answer, sent, results, entries)
    return _gather(answer, sent, results, [[entry] for entry in entries]) if len(entries) == len(sent.keys) else None


def _by_name(answer: Answer, sent: Sent, results: ResultsRule, entries: list[Any]) -> Verdict:
    """Match entries and records by the name of the record, in whatever order they stand."""
    names: Sequence[str | None] = sent.keys if sent.echoes is None else sent.echoes
    named: dict[str, list[Any]] = {}
    for entry in entries:
        name = results.key_of(entry)
        if name is not None:
            named.setdefault(name, []).append(entry)
    unclear = [name for name, count in Counter(names).items() if count > 1 and _differ(results, named.get(name or ""))]
    for name in unclear:
        named.pop(name or "")  # one of the records is rejected, and nothing says which
    verdict = _gather(answer, sent, results, [named.get(name, []) if name is not None else [] for name in names])
    if unclear and not verdict.accepted and not verdict.rejected:
        said = f"o destino respondeu de modos diferentes sobre registros de mesmo nome (status {answer.status})"
        return Verdict(Kind.SPLIT, said, unknown=sent.keys)
    return verdict


def _differ(results: ResultsRule, entries: list[Any] | None) -> bool:
    return len({results.is_rejected(entry) for entry in entries or ()}) > 1


def _gather(answer: Answer, sent: Sent, results: ResultsRule, of_records: Sequence[list[Any]]) -> Verdict:
    """The verdict by the entries of each record; a record without any is unknown."""
    accepted: list[str] = []
    rejected: dict[str, str] = {}
    unknown: list[str] = []
    for key, entries in zip(sent.keys, of_records, strict=True):
        refusals = [entry for entry in entries if results.is_rejected(entry)]
        if refusals:
            rejected[key] = answer.hide(_reason(results, refusals))
        elif entries:
            accepted.append(key)
        else:
            unknown.append(key)
    said = f"o destino respondeu por registro (status {answer.status})"
    return Verdict(Kind.SETTLED, said, tuple(accepted), rejected, tuple(unknown))


def _reason(results: ResultsRule, refusals: list[Any]) -> str:
    """What the destination says against a record, as one line; the same reason is said once."""
    said = "; ".join(dict.fromkeys(results.reason_of(entry) for entry in refusals))
    return said if len(said) <= LONGEST_REASON else f"{said[: LONGEST_REASON - 1]}…"


def _read(body: bytes) -> Any:
    """The body as JSON; None where it cannot be read, is nested too deeply, or holds what JSON has not (NaN)."""
    try:
        return msgspec.json.decode(body.removeprefix(b"\xef\xbb\xbf"))
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return None


# Retry-After


def parse_retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds until the destination wants to be asked again, within the bounds; None where it says nothing readable.

    A date is compared with the answer's own `date`, for the clocks of two machines differ.
    """
    said = headers.get("retry-after", "").strip()
    if not said:
        return None
    if _SECONDS.fullmatch(said):
        return _clamp(float(said))
    at, now = _date(said), _date(headers.get("date", ""))
    return None if at is None or now is None else _clamp((at - now).total_seconds())


def _date(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _clamp(seconds: float) -> float:
    return min(max(seconds, SHORTEST_WAIT), LONGEST_WAIT)
