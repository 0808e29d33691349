"""`./pncp export`: filters from the command line, a download that breaks, what is said of the mirror."""

import io
from collections.abc import Callable, Iterator

import httpx
import pytest

from standalone import cli
from standalone.api import Api, Away
from standalone.system import LaunchError
from standalone.terminal import export

CONTENT = b"a,b\n1,2\n3,4\n"
MIRROR = {
    "ate": "2026-11-28T12:15:00",
    "completo": True,
    "busca_completa": True,
    "dias_faltando": 0,
    "registros_recusados": 0,
}
MIRROR |= {"listas_faltando": 0, "escopo": None}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "POLL_SECONDS", 0)


def api_of(handler: Callable[[httpx.Request], httpx.Response]) -> Api:
    return Api(httpx.Client(base_url="http://backend", transport=httpx.MockTransport(handler)))


class Breaking(httpx.SyncByteStream):
    """Gives some bytes, then the connection breaks."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __iter__(self) -> Iterator[bytes]:
        yield self._content
        raise httpx.ReadError("broken")


def test_what_is_no_option_of_the_command_is_a_filter() -> None:
    words = ("--uf", "SC", "--uf=PR", "--srp", "--valor-min=-5", "--formato", "csv", "--orgao-nome", "A B", "-o", "x")
    options = cli.parse(["export", "contratos", *words])[1]
    assert options.filters == [
        ("uf", "SC"),
        ("uf", "PR"),
        ("srp", "true"),
        ("valor_min", "-5"),
        ("orgao_nome", "A B"),
    ]
    assert (options.entity, options.formato, options.output) == ("contratos", "csv", "x")


def test_a_download_that_breaks_goes_on_where_it_broke() -> None:
    asked: list[str | None] = []

    def serve(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers.get("Range"))
        if len(asked) == 1:
            return httpx.Response(200, headers={"ETag": '"1"'}, stream=Breaking(CONTENT[:5]))
        if len(asked) == 2:
            raise httpx.ConnectError("away")
        assert request.headers["If-Range"] == '"1"'
        return httpx.Response(206, headers={"ETag": '"1"'}, content=CONTENT[5:])

    file = io.BytesIO()
    export._fetch(api_of(serve), "/exportacoes/1/arquivo", file)
    assert file.getvalue() == CONTENT
    assert asked == [None, "bytes=5-", "bytes=5-"]


def test_a_file_that_is_another_one_after_a_break_is_not_joined() -> None:
    def serve(request: httpx.Request) -> httpx.Response:
        if "Range" not in request.headers:
            return httpx.Response(200, headers={"ETag": '"1"'}, stream=Breaking(CONTENT[:5]))
        return httpx.Response(200, headers={"ETag": '"2"'}, content=b"other")

    with pytest.raises(LaunchError, match="changed while it was copied"):
        export._fetch(api_of(serve), "/exportacoes/1/arquivo", io.BytesIO())


def test_a_backend_that_stays_away_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "PATIENCE_SECONDS", 0)

    def serve(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("away")

    with pytest.raises(Away):
        export._fetch(api_of(serve), "/exportacoes/1/arquivo", io.BytesIO())


def test_a_job_of_a_request_without_an_answer_is_cancelled() -> None:
    sent: list[tuple[str, str | None]] = []

    def serve(request: httpx.Request) -> httpx.Response:
        sent.append((request.method, request.headers.get("Idempotency-Key")))
        if request.method == "GET":
            return httpx.Response(200, json={"total_tipo": "minimo"})
        if len(sent) == 2:
            raise httpx.ReadTimeout("no answer")
        return httpx.Response(202, json={"id": 7}) if request.method == "POST" else httpx.Response(204)

    with pytest.raises(Away):
        export.export(api_of(serve), cli.parse(["export", "contratos"])[1])
    assert [method for method, _ in sent] == ["GET", "POST", "POST", "DELETE"]
    assert sent[1] == sent[2]


@pytest.mark.parametrize(
    ("over", "said"),
    [
        ({}, "the mirror is complete for this; its changes are read up to 2026-11-28 12:15 (Brasília)"),
        ({"ate": None}, "the mirror is complete for this; not kept up to date"),
        (
            {"completo": False, "dias_faltando": 3, "registros_recusados": 2, "listas_faltando": 1_000},
            (
                "the mirror is NOT complete for this: 3 days are not proved complete, 2 records are rejected, "
                "1,000 lists are still to be read; its changes are read up to 2026-11-28 12:15 (Brasília)"
            ),
        ),
        (
            {"completo": False, "dias_faltando": None, "escopo": "uf=SC"},
            (
                "the mirror is NOT complete for this: no day has been read whole, only what is in scope: uf=SC; "
                "its changes are read up to 2026-11-28 12:15 (Brasília)"
            ),
        ),
        (
            {"completo": False, "busca_completa": False},
            (
                "the mirror is NOT complete for this: a search does not find all texts yet; "
                "its changes are read up to 2026-11-28 12:15 (Brasília)"
            ),
        ),
    ],
)
def test_the_mirror_s_completeness_is_said_in_words(over: dict[str, object], said: str) -> None:
    assert export._sentence_of(MIRROR | over) == said
