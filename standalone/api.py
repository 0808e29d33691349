"""The backend's API as the commands of the terminal ask it: where it is, as which user, and what it refuses."""

import getpass
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from standalone.cli import ROOT
from standalone.language import language, tr
from standalone.notes import running_folders
from standalone.settings import DEFAULT_PORT, Settings
from standalone.system import LOOPBACK, LaunchError

Answer = dict[str, Any]

ASK_SECONDS = 30.0
UPLOAD_SECONDS = 300.0
TOKEN = "/auth/token"  # noqa: S105  # an address


class Away(LaunchError):
    """The backend cannot be reached, or cannot answer just now."""


class Invalid(LaunchError):
    """The backend does not take what the command line asks for."""


class Missing(LaunchError):
    """The backend has nothing at this address."""


class Api:
    """The backend as its users see it."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    @property
    def address(self) -> str:
        """Where it is, without a slash at the end."""
        return str(self._client.base_url).rstrip("/")

    def get(self, path: str, **parameters: str | int | None) -> Answer:
        """The answer to a GET; what is None is not asked."""
        return self._send("GET", path, params={name: value for name, value in parameters.items() if value is not None})

    def get_list(self, path: str, parameters: list[tuple[str, str]]) -> Answer:
        """The answer to a GET whose parameters may be repeated."""
        return self._send("GET", path, params=parameters)

    def post(self, path: str, body: Answer | None = None, *, key: str | None = None) -> Answer:
        """The answer to a POST; with a key it may be repeated without another effect."""
        return self._send("POST", path, json=body, headers={"Idempotency-Key": key} if key else None)

    def put(self, path: str, body: Answer) -> Answer:
        """The answer to a PUT."""
        return self._send("PUT", path, json=body)

    def upload(self, path: str, file: Path, **parameters: str) -> Answer:
        """The answer to a PUT whose body is a file, sent as it is read."""
        try:
            with file.open("rb") as content:
                return self._send("PUT", path, content=content, params=parameters, timeout=UPLOAD_SECONDS)
        except OSError as error:
            raise LaunchError(tr("{file} cannot be read: {error}", file=file, error=error.strerror)) from None

    def delete(self, path: str) -> None:
        """Send a DELETE; what it answers is of no interest."""
        self._answer("DELETE", path)

    @contextmanager
    def stream(
        self,
        path: str,
        *,
        parameters: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[httpx.Response]:
        """The answer to a GET, its body to be read in parts.

        Raises:
            Away: the connection broke, perhaps amid the body.

        """
        try:
            with self._client.stream("GET", path, headers=headers, params=list(parameters)) as answer:
                if not answer.is_success:
                    answer.read()
                    raise _refusal(answer)
                yield answer
        except httpx.TransportError as error:
            raise Away(self._no_answer(error)) from error

    def post_form(self, path: str, **fields: str) -> Answer:
        """The answer to a POST of a form."""
        return self._send("POST", path, data=fields)

    def _send(self, method: str, path: str, **words: Any) -> Answer:
        return _object_of(self._answer(method, path, **words))

    def _answer(self, method: str, path: str, **words: Any) -> httpx.Response:
        try:
            answer = self._client.request(method, path, **words)
            if answer.status_code == httpx.codes.UNAUTHORIZED and self._client.auth is None and sys.stdin.isatty():
                self._client.auth = _ask_for_password()
                if "content" in words:  # a file that has been read
                    words["content"].seek(0)
                answer = self._client.request(method, path, **words)
        except httpx.ConnectError as error:
            raise Away(
                tr(
                    "nothing answers at {url}: start ./pncp up or demo, or name another backend by --url",
                    url=self.address,
                )
            ) from error
        except httpx.TransportError as error:
            caution = "" if method == "GET" else "; " + tr("look at ./pncp history before you repeat it")
            raise Away(self._no_answer(error) + caution) from error
        if answer.is_success:
            return answer
        raise _refusal(answer)

    def _no_answer(self, error: httpx.TransportError) -> str:
        return tr("{url} did not answer ({error})", url=self.address, error=type(error).__name__)


def _object_of(answer: httpx.Response) -> Answer:
    if answer.status_code == httpx.codes.NO_CONTENT:
        return {}
    try:
        body = answer.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise LaunchError(tr("{url} is not PNCP Sync's API: its answer is no JSON object", url=answer.url))
    return body


def _refusal(answer: httpx.Response) -> LaunchError:
    """The backend's error message, in its own words if it has any."""
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        return _unauthorized(answer)
    try:
        detail = str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        detail = answer.reason_phrase
    busy = answer.status_code in (429, 502, 503, 504) and answer.request.method == "GET"
    kinds: dict[int, type[LaunchError]] = {422: Invalid, 404: Missing}
    kind = Away if busy else kinds.get(answer.status_code, LaunchError)
    return kind(f"{answer.status_code}: {detail}")


def _unauthorized(answer: httpx.Response) -> LaunchError:
    """Whether a name and a password are missing or wrong, and where they are taken from."""
    where = tr("set PNCP_SYNC_USERNAME and PNCP_SYNC_PASSWORD")
    if "Authorization" in answer.request.headers or (answer.request.method == "POST" and answer.url.path == TOKEN):
        return LaunchError(f"401: {tr('wrong user or password')}; {where}")
    return LaunchError(f"401: {tr('this backend asks for a user and a password')}; {where}")


def _ask_for_password() -> httpx.BasicAuth:
    sys.stderr.write(tr("This backend asks for a user and a password.") + "\n")
    name = os.environ.get("PNCP_SYNC_USERNAME") or input(tr("user: "))
    return httpx.BasicAuth(name, getpass.getpass(tr("password: ")))


@contextmanager
def connect(url: str | None, settings: Settings) -> Iterator[Api]:
    """The backend and the user that the settings name."""
    base_url = url or settings.get("PNCP_SYNC_URL") or local_url(settings)
    host = _host_of(base_url)
    # a proxy of the environment is not meant for this machine
    is_here = host in (LOOPBACK, "localhost", "::1")
    with httpx.Client(
        base_url=base_url,
        auth=credentials(settings, is_here=is_here),
        timeout=ASK_SECONDS,
        trust_env=not is_here,
        headers={"User-Agent": "pncp-sync-terminal", "Accept-Language": language()},
    ) as client:
        yield Api(client)


def _host_of(url: str) -> str:
    try:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return parts.hostname
    except ValueError:
        pass
    raise LaunchError(tr("{url} is no URL: expected one such as https://pncp.example.org", url=repr(url)))


def credentials(settings: Settings, *, is_here: bool) -> tuple[str, str] | None:
    """The user to authenticate as. The administrator's password of .env is only sent to the backend of this machine."""
    if settings.get("PNCP_SYNC_PASSWORD"):
        return settings.get("PNCP_SYNC_USERNAME") or "admin", settings["PNCP_SYNC_PASSWORD"]
    if is_here and settings.get("ADMIN_PASSWORD"):
        return settings.get("ADMIN_USERNAME") or "admin", settings["ADMIN_PASSWORD"]
    return None


def local_url(settings: Settings, root: Path = ROOT) -> str:
    """Where ./pncp up or demo serves now, the one that was started last; else where the settings say."""
    for _, port in running_folders(settings, root):
        return f"http://{LOOPBACK}:{port}"
    return f"http://{LOOPBACK}:{settings.get('BACKEND_PORT') or DEFAULT_PORT}"
