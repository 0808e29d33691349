"""Every error as `application/problem+json` (RFC 9457), without internals, with a `detail` that a person can act on.

The sentences are those of `backend/language/problems.py`; those of lists and files of the data, whose
addresses and names are Portuguese, stand where they are raised.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import asyncpg
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from sqlalchemy.exc import SQLAlchemyError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import Scope

from backend.language.catalogue import SENTENCES
from backend.language.translator import DEFAULT_LANGUAGE, Text, Translator, language_of_request, say
from backend.language.values import InvalidValueError
from backend.metrics import Metrics
from common.clock import WindowError
from common.connections.scopes import ADMIN, ALL, ANY
from common.database import cause_of, is_database_trouble

log = structlog.get_logger(__name__)

RETRY_AFTER_SECONDS = 10
READ_VIEW = "view"
"""What the state of a request names the view of the operator's that it reads, if it reads one."""
MOST_FAULTS = 20


def _documented(code: int, description: str) -> dict[int | str, dict[str, Any]]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {code: {"description": description, "content": {"application/problem+json": {"schema": schema}}}}


PROBLEM_RESPONSES = {
    **_documented(400, "O corpo não pôde ser lido, ou o endereço pedido não é deste serviço"),
    **_documented(408, "O corpo chega devagar demais"),
    **_documented(413, "O corpo passa do limite"),
    **_documented(422, "Algum valor não serve; `detail` diz qual e o que se espera"),
    **_documented(503, "Banco de dados ou RabbitMQ indisponível; tente depois de `Retry-After` segundos"),
}
NOT_FOUND_RESPONSE = _documented(404, "Não existe")
TOO_LONG_RESPONSE = _documented(431, "O endereço é longo demais; peça menos valores de cada vez")
CONFLICT_RESPONSE = _documented(409, "Não cabe no estado em que a execução está")
BUSY_RESPONSE = _documented(429, "Já há execuções ou pedidos demais; tente depois de `Retry-After` segundos")
MEDIA_TYPE_RESPONSE = _documented(415, "O corpo deve ser application/json")
UNAUTHORIZED_RESPONSE = _documented(401, "Usuário e senha (Basic) ou token (Bearer) faltam ou não servem")
FORBIDDEN_RESPONSE = _documented(403, "Falta o escopo que `detail` diz")
NO_PARQUET_RESPONSE = _documented(501, "Este servidor não grava Parquet")
NO_ROOM_RESPONSE = _documented(507, "Não há espaço em disco para o arquivo")
LIMIT_RESPONSE = _documented(429, "Pedidos demais; tente depois de `Retry-After` segundos")

_CODES = {
    400: "unreadable_body",
    404: "unknown_address",
    405: "unknown_method",
    408: "body_too_slow",
    413: "body_too_large",
    415: "unknown_media_type",
}
"""Of the statuses that the framework answers by itself."""


class ProblemError(Exception):
    """An error with an answer: the code of its sentence and the values in it, or a sentence in Portuguese.

    `code` of the class stands for all sentences that have no code of their own.
    """

    code = "internal"
    headers: Mapping[str, str] = {}
    """Of the answer, beside those of its status."""

    def __init__(self, said: str, **values: Any) -> None:
        self.text = Text(f"problem.{said}", values) if f"problem.{said}" in SENTENCES else None
        if self.text is not None:
            self.code = said
        super().__init__(said if self.text is None else Translator().say(self.text))


class NotFoundError(ProblemError):
    """Not found."""

    code = "not_found"


class UnknownExecutionError(NotFoundError):
    """No execution has this id."""

    def __init__(self, execution_id: int) -> None:
        super().__init__("unknown_execution", id=execution_id)


class PublishFailedError(ProblemError):
    """The broker did not confirm the message, so the execution was ended."""

    code = "publish_failed"


class ConflictError(ProblemError):
    """The present state does not allow it."""

    code = "conflict"


class IdempotencyKeyReusedError(ProblemError):
    """The idempotency key belongs to another request."""

    code = "idempotency_key_reused"


class TooManyUnfinishedError(ProblemError):
    """The limit of what may be unfinished is reached."""

    code = "too_many_unfinished"


class TooBroadError(ProblemError):
    """What is asked takes too long, and would take less with a filter; the text names some."""

    code = "too_broad"


class TooSlowError(ProblemError):
    """What is asked takes too long just now; the text says what to do."""

    code = "too_slow"


class FileTooLargeError(ProblemError):
    """A file has more rows than are given at once; the text says how many, and what to do."""

    code = "file_too_large"


class NoParquetError(ProblemError):
    """The extra that writes Parquet is not installed."""

    def __init__(self) -> None:
        super().__init__("no_parquet")


class TooManyFilesError(ProblemError):
    """Other files are being made or sent."""

    def __init__(self) -> None:
        super().__init__("too_many_files")


class StorageFullError(ProblemError):
    """There is no room for a file."""

    def __init__(self) -> None:
        super().__init__("storage_full")


class UploadCutError(ProblemError):
    """The connection ended before a file did."""

    def __init__(self) -> None:
        super().__init__("upload_cut")


class RefusedError(Exception):
    """The request is refused; answered alike by the gate and by endpoints."""

    status = 403
    code = "forbidden"

    def __init__(self, retry_after: int = 0, **values: str) -> None:
        super().__init__(self.code)
        self.retry_after = retry_after
        self.values = values


class UnauthorizedError(RefusedError):
    """Unknown user or wrong password. The text is the same for both."""

    status = 401
    code = "unauthorized"


class ForbiddenError(RefusedError):
    """The user lacks a scope."""

    def __init__(self, scope: str) -> None:
        """Take the scope; any scope of a kind is said as that of all names."""
        scope = scope.replace(ANY, ALL)
        super().__init__(scope=scope)
        self.scope = scope
        self.code = "forbidden" if scope == ADMIN else "insufficient_scope"


class TokenError(RefusedError):
    """The token endpoint refuses a client or its request; the codes are those of RFC 6749, 5.2."""

    def __init__(self, code: str) -> None:
        super().__init__()
        self.code = code
        self.status = 401 if code == "invalid_client" else 400


class TooManyRequestsError(RefusedError):
    """A rate limit is reached."""

    status = 429
    code = "too_many_requests"


class TooManyUploadsError(RefusedError):
    """The user is sending another file, or all are together too many."""

    status = 429
    code = "too_many_uploads"


class TooManyLoginsError(RefusedError):
    """Too many logins wait for a password check."""

    status = 503
    code = "too_many_logins"


def problem(
    status: int,
    code: str,
    detail: str | None = None,
    *,
    values: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    errors: Sequence[Mapping[str, str]] | None = None,
    members: Mapping[str, Any] | None = None,
) -> Response:
    """An answer that describes an error, in the language of the request.

    `code`: of its sentence, with the `values` in it; a `detail` is in Portuguese already. `members`: what this kind of
    problem says beside.
    """
    language = language_of_request.get() if detail is None else DEFAULT_LANGUAGE
    title = SENTENCES.get(f"title.{status}")
    body: dict[str, Any] = {
        "type": f"/problems/{code}",
        "code": code,
        "title": HTTPStatus(status).phrase if title is None else say(f"title.{status}", language),
        "status": status,
        "detail": say(f"problem.{code}", language, **values or {}) if detail is None else detail,
    }
    if errors:
        body["errors"] = list(errors)
    body |= members or {}
    if request_id := structlog.contextvars.get_contextvars().get("request_id"):
        body["request_id"] = request_id
    content = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")  # the caller chooses a field's name
    told = {"Content-Language": language, "Vary": "Accept-Language", **(headers or {})}
    return Response(content, status_code=status, media_type="application/problem+json", headers=told)


def refusal(error: RefusedError, headers: Headers) -> Response:
    """The answer to a refused request; for 401 with the ways to authenticate, for 403 with the scope that is missing.

    `headers`: the request's. Our page is recognised by them and is not offered Basic: a browser would show its own
    dialog before the page's login and hold the page's request until then.
    """
    wait = {"Retry-After": str(error.retry_after)} if error.retry_after else {}
    oauth_error = error.code if isinstance(error, TokenError) else None
    members = {} if oauth_error is None else {"error": oauth_error}  # by which clients of OAuth 2.0 know it
    answer = problem(error.status, error.code, values=error.values, headers=wait, members=members)
    if isinstance(error, ForbiddenError) and headers.get("Authorization", "").lower().startswith("bearer "):
        missing = f'error="insufficient_scope", scope="{error.scope}"'
        answer.headers.append("WWW-Authenticate", f'Bearer realm="PNCP Sync", {missing}')
    if oauth_error == "invalid_client":
        answer.headers.append("WWW-Authenticate", 'Basic realm="PNCP Sync", charset="UTF-8"')
    if isinstance(error, UnauthorizedError):
        if headers.get("X-Requested-With") != "fetch":
            answer.headers.append("WWW-Authenticate", 'Basic realm="PNCP Sync", charset="UTF-8"')
        answer.headers.append("WWW-Authenticate", 'Bearer realm="PNCP Sync"')
    return answer


_PLAIN: dict[type[ProblemError], int] = {
    UploadCutError: 400,
    NotFoundError: 404,
    ConflictError: 409,
    IdempotencyKeyReusedError: 422,
    TooManyUnfinishedError: 429,
    TooBroadError: 422,
    TooSlowError: 503,
    FileTooLargeError: 422,
    NoParquetError: 501,
    PublishFailedError: 503,
    TooManyFilesError: 503,
    StorageFullError: 507,
}
_WORTH_REPEATING = (409, 429, 503)


def install_error_handlers(app: FastAPI, metrics: Metrics, methods_at: Callable[[Scope], Sequence[str]]) -> None:
    """Register the handler of each kind of error. `methods_at`: the methods that the address of a request takes."""
    app.add_exception_handler(RequestValidationError, _counting_invalid(metrics))
    app.add_exception_handler(HTTPException, _naming_methods(methods_at))
    app.add_exception_handler(RefusedError, _on_refused)
    for plain, status in _PLAIN.items():
        app.add_exception_handler(plain, _plainly(status))
    for kind in (SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError):
        app.add_exception_handler(kind, _on_database)
    app.add_exception_handler(Exception, on_unexpected)


def _counting_invalid(metrics: Metrics) -> Callable[[Request, Exception], Response]:
    def handler(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101  # registered for nothing else
        metrics.invalid(fault["type"] for fault in error.errors()[:MOST_FAULTS])
        return _on_invalid(request, error)

    return handler


def _on_invalid(_: Request, error: Exception) -> Response:
    """Leave the input out: it may be a secret, and NaN or a lone surrogate would make the answer itself fail."""
    assert isinstance(error, RequestValidationError)  # noqa: S101  # registered for nothing else
    faults = error.errors()[:MOST_FAULTS]
    errors = [one for fault in faults for one in _faults_of(fault)]
    told = "; ".join(dict.fromkeys(_sentence(fault) for fault in faults))
    is_ours = any(fault["type"] in _IN_WORDS and _value_of(fault) is None for fault in faults)
    return problem(422, "invalid", told if is_ours else None, values={"faults": told}, errors=errors)


_IN_WORDS = ("value_error", "parameter")
"""Faults that come as a sentence: one that names its field, or one of a parameter of a list, in Portuguese."""


def _value_of(fault: Mapping[str, Any]) -> InvalidValueError | WindowError | None:
    """The error of one of our own checks, if it has a code."""
    raised = fault.get("ctx", {}).get("error")
    return raised if isinstance(raised, InvalidValueError | WindowError) else None


def _faults_of(fault: Mapping[str, Any]) -> list[dict[str, str]]:
    """One for each field that is to be changed."""
    value = _value_of(fault)
    code = fault["type"] if value is None else value.code
    fields = value.fields if value is not None and value.fields else [_field_of(fault["loc"])]
    return [{"field": field, "code": code, "message": _message_of(fault)} for field in fields]


def _sentence(fault: Mapping[str, Any]) -> str:
    """The message, with the field in front; messages of our own validators name it themselves."""
    message = _message_of(fault)
    return message if fault["type"] == "value_error" else f"{_field_of(fault['loc']) or say('fault.of_body')} {message}"


def _field_of(location: Sequence[Any]) -> str:
    """`body.data_ini` as `data_ini`; empty where the whole body is at fault."""
    # a number is the position of the error in malformed JSON
    names = [str(part) for part in location if not isinstance(part, int)]
    return ".".join(names[1:])[:100]


def _message_of(fault: Mapping[str, Any]) -> str:
    value = _value_of(fault)
    if value is not None:
        return say(f"fault.{value.code}", **value.values)
    if fault["type"] == "value_error":
        return str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] == "parameter":  # ours, in words
        return str(fault["msg"])
    if f"fault.{fault['type']}" not in SENTENCES:
        return say("fault.not_accepted")
    values = {name: str(value).replace(" or ", say("fault.or")) for name, value in fault.get("ctx", {}).items()}
    return say(f"fault.{fault['type']}", **defaultdict(str, values))


def _naming_methods(methods_at: Callable[[Scope], Sequence[str]]) -> Callable[[Request, Exception], Response]:
    def handler(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101  # registered for nothing else
        code = _CODES.get(error.status_code, "internal")
        headers = dict(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:  # a router names the methods of its first route only
            headers["Allow"] = ", ".join(methods_at(request.scope))
        return problem(error.status_code, code, values={"limit": error.detail}, headers=headers)

    return handler


def _plainly(status: int) -> Callable[[Request, Exception], Response]:
    """A handler for errors whose text is meant for the caller."""
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if status in _WORTH_REPEATING else {}

    def handler(_: Request, error: Exception) -> Response:
        assert isinstance(error, ProblemError)  # noqa: S101  # registered for nothing else
        told = {**headers, **error.headers}
        if error.text is None:
            return problem(status, error.code, str(error), headers=told)
        return problem(status, error.code, values=error.text.values, headers=told)

    return handler


def _on_database(request: Request, error: Exception) -> Response:
    if not is_database_trouble(error):
        view = getattr(request.state, READ_VIEW, None)
        if view is None:
            return on_unexpected(request, error)
        log.warning("a view could not be read", view=view, cause=cause_of(error))
        return problem(503, "view_unreadable", values={"view": view, "cause": type(error).__name__})
    log.warning("database is not available", path=request.url.path, cause=cause_of(error))
    return problem(503, "database_away", headers={"Retry-After": str(RETRY_AFTER_SECONDS)})


def _on_refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)  # noqa: S101  # registered for nothing else
    return refusal(error, request.headers)


def on_unexpected(request: Request, error: Exception) -> Response:
    """Answer 500; the traceback goes to the log only."""
    log.error("request failed unexpectedly", path=request.url.path, exc_info=error)
    return problem(500, "internal")
