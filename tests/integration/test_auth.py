"""Who may ask what, how often, and what strangers are told; one row of the fault matrix after the other."""

import asyncio
import base64
import io
import json
import re
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import httpx
import jwt
import pytest
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.routing import BaseRoute

from backend import limiter, security
from backend.middleware import PUBLIC
from backend.passwords import hash_password
from common.logs import configure_logging
from tests.integration.conftest import (
    ADMIN,
    ADMIN_BYTES,
    ADMIN_HASH,
    ADMIN_PASSWORD,
    KEY,
    VIEWER,
    VIEWER_PASSWORD,
    Open,
)

BACKFILL = {"mode": "backfill", "data_ini": "2025-01-10T00:00:00", "data_fim": "2025-01-10T23:59:59"}


@pytest.fixture
async def api(start: Open) -> httpx.AsyncClient:
    return (await start())()


def basic(username: bytes, password: bytes) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(username + b":" + password).decode()}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def token_of(api: httpx.AsyncClient, user: tuple[str, str] = ADMIN) -> str:
    answer = await api.post("/auth/token", data={"username": user[0], "password": user[1]})
    assert answer.status_code == 200, answer.text
    assert answer.json()["token_type"] == "bearer"
    return str(answer.json()["access_token"])


def assert_stranger(answer: httpx.Response) -> None:
    assert answer.status_code == 401
    assert [one.split()[0] for one in answer.headers.get_list("www-authenticate")] == ["Basic", "Bearer"]
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": "/problems/unauthorized",
        "code": "unauthorized",
        "title": "Sem autorização",
        "status": 401,
        "detail": "Informe usuário e senha (Basic) ou um token válido (Bearer).",
        "request_id": answer.headers["x-request-id"],
    }


# Every route


def routes_of(routes: list[BaseRoute]) -> Iterator[tuple[str, str]]:
    """Method and path of each, whatever they are nested in."""
    for route in routes:
        inner = getattr(route, "original_router", None) or getattr(route, "app", None)
        if hasattr(inner, "routes"):
            yield from routes_of(inner.routes)
        else:
            assert hasattr(route, "path"), f"a kind of route that this walk does not know: {route!r}"
            for method in getattr(route, "methods", None) or ["GET"]:
                yield method, route.path.replace(":path}", "}")


async def test_every_route_but_the_public_ones_wants_a_user(start: Open) -> None:
    clients = await start()
    app: FastAPI = clients.app
    found = list(routes_of(app.router.routes))
    assert {path for _, path in found} >= set(app.openapi()["paths"]) | {"/docs", "/openapi.json", "/"}
    assert {"/", "/health", "/health/live", "/health/ready", "/auth/token", "/buscas/cancelar/{token}"} == PUBLIC
    assets = {"/assets", "/assets/preact"}
    assert {path for _, path in found} >= PUBLIC | assets
    names = {"name": "docs.js", "execution_id": "1", "entidade": "compras", "formato": "csv"}
    async with clients() as api:
        for method, path in found:
            asked = re.sub(r"\{(\w+)\}", lambda found: names.get(found[1], found[0]), path)
            answer = await api.request(method, asked + "/page.css" if path in assets else asked)
            if path in PUBLIC | assets:
                assert answer.status_code != 401, path
            else:
                assert_stranger(answer)


async def test_a_route_that_is_added_without_a_thought_is_closed(start: Open) -> None:
    clients = await start()

    @clients.app.get("/new")
    @clients.app.post("/new")
    async def new() -> dict[str, bool]:
        return {"open": True}

    async with clients() as api:
        for method in ("GET", "POST"):
            assert_stranger(await api.request(method, "/new"))
            assert (await api.request(method, "/new", auth=VIEWER)).status_code == 403
            assert (await api.request(method, "/new", auth=ADMIN)).json() == {"open": True}


async def test_a_viewer_reads_and_an_administrator_does_the_rest(start: Open, engine: AsyncEngine) -> None:
    clients = await start()
    async with clients(auth=VIEWER) as api:
        assert (await api.get("/sync/status")).json()["status"] == "idle"
        for path in ("/sync/force", "/sync/executions/1/cancel", "/sync/executions/1/retry"):
            answer = await api.post(path, json={})
            assert answer.status_code == 403
            assert answer.headers["content-type"] == "application/problem+json"
    async with engine.connect() as db:
        assert (await db.execute(text("SELECT count(*) FROM sync_executions"))).scalar_one() == 0
    async with clients(auth=ADMIN) as api:
        assert (await api.post("/sync/force", json=BACKFILL)).status_code == 200


async def test_a_viewer_sees_cpfs_masked_and_an_administrator_the_whole(start: Open, engine: AsyncEngine) -> None:
    cpf, masked = "52998224725", "***.982.247-**"
    clients = await start()
    async with engine.begin() as db:
        execution_id = (
            await db.execute(
                text(
                    "INSERT INTO sync_executions (mode, criterio, trigger) VALUES ('update', 'atualizacao', 'api')"
                    " RETURNING id"
                )
            )
        ).scalar_one()
        await db.execute(
            text(
                "INSERT INTO rejected_records (execution_id, resource, natural_key, reason, payload_hash, payload)"
                " VALUES (:id, 'contratos', 'a', :reason, 'x', '{}')"
            ),
            {"id": execution_id, "reason": f"'{cpf}' stands where an id belongs"},
        )
        await db.execute(
            text(
                "INSERT INTO schema_drift (resource, path, kind, records, example)"
                " VALUES ('contratos', 'niFornecedor', 'number', 1, '52998224726')"
            )
        )
    shown = {}
    for who in (VIEWER, ADMIN, VIEWER):
        async with clients(auth=who) as api:
            drift = (await api.get("/sync/dashboard")).json()["drift"]
            rejected = (await api.get(f"/sync/executions/{execution_id}")).json()["rejected_records"]
            (listed,) = (await api.get("/sync/rejected")).json()["records"]
            assert listed["reason"] == rejected[0]["reason"]
            shown[who] = drift[0]["example"], listed["reason"], listed["explanation"], listed["payload"]
    sentences = ("stands where an id belongs", "está onde se espera um identificador")
    assert shown[ADMIN] == ("52998224726", *(f"'{cpf}' {sentence}" for sentence in sentences), "{}")
    assert shown[VIEWER] == (masked, *(f"'{masked}' {sentence}" for sentence in sentences), None)


async def test_it_is_kept_who_asked_and_who_cancelled(start: Open) -> None:
    async with (await start(admin_username="maria"))(auth=("maria", ADMIN_PASSWORD)) as api:
        execution_id = (await api.post("/sync/force", json=BACKFILL)).json()["request_id"]
        assert (await api.get(f"/sync/executions/{execution_id}")).json()["requested_by"] == "maria"
        cancelled = (await api.post(f"/sync/executions/{execution_id}/cancel")).json()
        assert cancelled["error_message"] == "cancelled by maria"
        assert (await api.get("/sync/history")).json()["executions"][0]["requested_by"] == "maria"


async def test_without_a_password_in_the_settings_all_is_open_as_before(start: Open) -> None:
    clients = await start(admin_password_hash=None, viewer_password_hash=None)
    async with clients() as api:
        answer = await api.post("/sync/force", json=BACKFILL)
        assert answer.status_code == 200
        described = (await api.get(answer.headers["Location"])).json()
        assert described["requested_by"] is None
        assert (await api.post("/auth/token", data={"username": "a", "password": "b"})).status_code == 404
        assert "securitySchemes" not in (await api.get("/openapi.json")).json()["components"]


async def test_there_is_no_viewer_where_none_is_set(start: Open) -> None:
    async with (await start(viewer_password_hash=None))() as api:
        assert_stranger(await api.get("/sync/status", headers=basic(b"viewer", b"")))
        assert_stranger(await api.get("/sync/status", headers=basic(b"viewer", VIEWER_PASSWORD.encode())))


# A1 to A3


NO_USER = [
    None,
    b"",
    b" ",
    b"Basic",
    b"Basic ",
    b"Bearer",
    b"Digest username=admin",
    b"basic:x",
    b"Basic not base64!",
    b"Basic YWRtaW4",
    b"Basic YWRtaW4=",  # admin, without a colon
    b"Basic " + base64.b64encode(b":"),
    b"Basic " + base64.b64encode(b"admin:"),
    b"Basic " + base64.b64encode(b"admin:wrong"),
    b"Basic " + base64.b64encode(b"stranger:wrong"),
    b"Basic " + base64.b64encode("ção:ção".encode("latin-1")),
    b"Basic " + base64.b64encode("ção:ção".encode()),
    b"Basic " + base64.b64encode(b"admin:\xff\xfe\x80"),
    b"Basic " + base64.b64encode(b"a" * 10_000 + b":x"),
    b"Basic " + base64.b64encode(b"a" * 2_000 + b":x"),
    b"Basic " + base64.b64encode(b"admin:a\0b"),
    b"Basic " + base64.b64encode(b"admin:" + b"x" * 73),
    b"Basic " + base64.b64encode(b"admin:" + b"x" * 129),
    b"Basic " + base64.b64encode(b"admin:" + ADMIN_PASSWORD.encode() + b"\0"),
    b"Basic " + base64.b64encode(b"admin\0:" + ADMIN_PASSWORD.encode()),
    b"Basic " + base64.b64encode(b"ADMIN:" + ADMIN_PASSWORD.encode()),
    b"Basic \xe7\xe3o",
]


async def test_whatever_is_wrong_a_stranger_is_told_the_same(api: httpx.AsyncClient) -> None:
    for value in NO_USER:
        headers = [] if value is None else [(b"Authorization", value)]
        assert_stranger(await api.get("/sync/status", headers=headers))
        assert_stranger(await api.post("/sync/force", headers=headers, content=b"[" * 100))


async def test_two_answers_to_who_asks_are_none(api: httpx.AsyncClient) -> None:
    right = basic(b"admin", ADMIN_PASSWORD.encode())["Authorization"].encode()
    assert (await api.get("/sync/status", headers=[(b"Authorization", right)])).status_code == 200
    assert_stranger(await api.get("/sync/status", headers=[(b"Authorization", right)] * 2))


async def test_a_password_in_any_script_logs_in(start: Open) -> None:
    password = "senha çãé 日本語 ok"
    async with (await start(admin_password_hash=hash_password(password.encode())))() as api:
        assert (await api.get("/sync/status", headers=basic(b"admin", password.encode()))).status_code == 200
        assert (await api.get("/sync/status", headers=bearer(await token_of(api, ("admin", password))))).is_success


async def test_an_unknown_user_costs_a_hash_as_a_known_one_does(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    monkeypatch.setattr(security, "verify_password", lambda stored, _: bool(seen.append(stored)))
    for username in (b"admin", b"stranger"):
        assert_stranger(await api.get("/sync/status", headers=basic(username, b"wrong words here")))
    assert len(seen) == 2
    assert seen[0] != seen[1]
    assert {stored.rsplit("$", 2)[0] for stored in seen} == {"$argon2id$v=19$m=19456,t=2,p=1"}


async def test_what_was_right_is_remembered_and_what_was_wrong_is_not(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bytes] = []

    def count(_: str, password: bytes) -> bool:
        seen.append(password)
        return password == ADMIN_PASSWORD.encode()

    monkeypatch.setattr(security, "verify_password", count)
    for _ in range(3):
        assert (await api.get("/sync/status", auth=ADMIN)).is_success
        assert_stranger(await api.get("/sync/status", auth=("admin", "wrong")))
    assert seen == [ADMIN_PASSWORD.encode(), b"wrong", b"wrong", b"wrong"]
    monkeypatch.setattr(security, "REMEMBERED_SECONDS", -1.0)
    assert_stranger(await api.get("/sync/status", auth=("viewer", "wrong")))


# A4 and A5


def forged(key: str = KEY, headers: dict[str, Any] | None = None, algorithm: str = "HS256", **changes: Any) -> str:
    """A token as ours, signed with the real key unless said otherwise, with these claims changed."""
    app_key = create_tokens(KEY)
    real = app_key.make("admin", ADMIN_HASH, {"admin"}, seconds=1800)
    claims = jwt.decode(real, options={"verify_signature": False}) | changes
    claims = {name: value for name, value in claims.items() if value is not None}
    all_headers = {"kid": jwt.get_unverified_header(real)["kid"], **(headers or {})}
    return jwt.encode(claims, key, algorithm=algorithm, headers=all_headers)


def create_tokens(key: str) -> Any:
    from backend.tokens import Tokens  # noqa: PLC0415  # only for forging

    return Tokens([key.encode()])


def unsigned(header: dict[str, Any] | bytes) -> str:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in (raw, b'{"sub":"admin"}', b"x")).decode()


NOW = int(time.time())
OTHER_KEY = "f" * 16 + "0123456789abcdef0123456789"
FORGED = {
    "expired": lambda: forged(iat=NOW - 7200, exp=NOW - 3600),
    "no exp": lambda: forged(exp=None),
    "no iat": lambda: forged(iat=None),
    "no jti": lambda: forged(jti=None),
    "no scope": lambda: forged(scope=None),
    "scope a list": lambda: forged(scope=["admin"]),
    "a client's": lambda: forged(client="admin"),
    "client a number": lambda: forged(client=1),
    "no fingerprint": lambda: forged(pwd=None),
    "another fingerprint": lambda: forged(pwd="0" * 32),
    "fingerprint not ASCII": lambda: forged(pwd="ção"),
    "fingerprint a number": lambda: forged(pwd=1),
    "another audience": lambda: forged(aud="other"),
    "another issuer": lambda: forged(iss="other"),
    "issuer in part": lambda: forged(iss="pncp"),
    "sub a number": lambda: forged(sub=1),
    "sub a list": lambda: forged(sub=["admin"]),
    "a user who is gone": lambda: forged(sub="deleted"),
    "for another use": lambda: forged(token_use="refresh"),
    "exp far away": lambda: forged(exp=10**18),
    "exp a day ahead": lambda: forged(exp=NOW + 86_401),
    "exp beyond the longest": lambda: forged(exp=NOW + 4 * 3600),
    "exp a text": lambda: forged(exp=str(NOW + 600)),
    "exp infinite": lambda: forged(exp=float("inf")),
    "exp not a number": lambda: forged(exp=float("nan")),
    "iat in the future": lambda: forged(iat=int(time.time()) + 600, exp=int(time.time()) + 900),
    "another key": lambda: forged(key=OTHER_KEY),
    "another kid": lambda: forged(headers={"kid": "../../dev/null"}),
    "kid a number": lambda: unsigned({"alg": "HS256", "kid": 1}),
    "no kid": lambda: unsigned({"alg": "HS256"}),
    "another algorithm": lambda: forged(key=KEY * 2, algorithm="HS512"),
    "alg none": lambda: forged(algorithm="none", key=""),
    "alg none by hand": lambda: unsigned({"alg": "none"}),
    "alg None": lambda: unsigned({"alg": "None", "typ": "JWT"}),
    "truncated": lambda: forged()[:-3],
    "no signature": lambda: forged().rpartition(".")[0] + ".",
    "header of brackets": lambda: unsigned(b"[" * 2900),
    "header of digits": lambda: unsigned(b"1" * 2900),
    "header of objects": lambda: unsigned(b'{"a":' * 550),
    "header not UTF-8": lambda: unsigned(b"\xff\xfe"),
    "only dots": lambda: "." * 50,
    "sixty kilobytes": lambda: "a" * 60_000,
    "not ASCII": lambda: "ção",
}


async def test_a_token_that_is_not_ours_proves_nothing(api: httpx.AsyncClient) -> None:
    for name, make in FORGED.items():
        value = f"Bearer {make()}".encode("latin-1")
        answer = await api.get("/sync/status", headers=[(b"Authorization", value)])
        assert answer.status_code == 401, name
        assert_stranger(answer)


async def test_the_forger_of_these_tests_can_make_a_valid_one(api: httpx.AsyncClient) -> None:
    assert (await api.get("/sync/status", headers=bearer(forged()))).is_success


async def test_a_token_is_as_good_as_the_password_and_names_the_role(api: httpx.AsyncClient) -> None:
    admin, viewer = await token_of(api), await token_of(api, VIEWER)
    assert (await api.post("/sync/force", json=BACKFILL, headers=bearer(admin))).is_success
    assert (await api.get("/sync/status", headers=bearer(viewer))).is_success
    assert (await api.post("/sync/force", json=BACKFILL, headers=bearer(viewer))).status_code == 403
    claims = jwt.decode(admin, options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 30 * 60
    assert {"sub", "iat", "exp", "iss", "aud", "jti", "token_use"} <= claims.keys()


async def test_a_token_ends_with_the_password_and_with_the_user(start: Open) -> None:
    async with (await start())() as api:
        admin, viewer = await token_of(api), await token_of(api, VIEWER)
    async with (await start())() as api:  # a restart changes nothing
        assert (await api.get("/sync/status", headers=bearer(admin))).is_success
    async with (await start(admin_password_hash=hash_password(b"another long one")))() as api:
        assert_stranger(await api.get("/sync/status", headers=bearer(admin)))
        assert (await api.get("/sync/status", headers=bearer(viewer))).is_success
    async with (await start(viewer_password_hash=None))() as api:
        assert_stranger(await api.get("/sync/status", headers=bearer(viewer)))


async def test_a_key_is_changed_without_throwing_anyone_out(start: Open) -> None:
    async with (await start())() as api:
        old = await token_of(api)
    async with (await start(jwt_secret=OTHER_KEY, jwt_secret_previous=KEY))() as api:
        assert (await api.get("/sync/status", headers=bearer(old))).is_success
        new = await token_of(api)
    async with (await start(jwt_secret=OTHER_KEY))() as api:
        assert_stranger(await api.get("/sync/status", headers=bearer(old)))
        assert (await api.get("/sync/status", headers=bearer(new))).is_success


@pytest.mark.parametrize(
    ("how", "status"),
    [
        ({"data": {"username": "admin", "password": "wrong"}}, 401),
        ({"data": {"username": "stranger", "password": "wrong"}}, 401),
        ({"data": {"username": "a" * 10_000, "password": "wrong"}}, 401),
        ({"data": {"username": "admin", "password": "x" * 10_000}}, 401),
        ({"data": {"username": "admin", "password": "a\0b"}}, 401),
        ({"data": {"username": "admin"}}, 422),
        ({"data": {"grant_type": "client_credentials", "username": "admin", "password": "marker-of-mine"}}, 401),
        ({"data": {"grant_type": "refresh_token", "username": "admin", "password": "marker-of-mine"}}, 400),
        ({"json": {"username": "admin", "password": "marker-of-mine"}}, 422),
        ({"files": {"username": ("f", b"admin"), "password": ("g", b"marker-of-mine")}}, 422),
        ({"data": {"username": "admin", "password": "x" * 20_000}}, 413),
        ({"content": b"username=%ff%fe&password=%ed%a0%80"}, 422),
        ({"content": b"\xff" * 100, "headers": {"Content-Type": "multipart/form-data; boundary=x"}}, 400),
        ({"content": b"", "headers": {"Content-Type": "multipart/form-data"}}, 400),
    ],
)
async def test_what_is_no_login_gets_no_token(api: httpx.AsyncClient, how: dict[str, Any], status: int) -> None:
    answer = await api.post("/auth/token", **how)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert "marker-of-mine" not in answer.text


# A6, A7 and the other limits


async def wrong(api: httpx.AsyncClient, username: str = "admin") -> httpx.Response:
    return await api.get("/sync/status", auth=(username, "wrong"))


def assert_too_often(answer: httpx.Response) -> None:
    assert answer.status_code == 429, answer.text
    assert 0 < int(answer.headers["Retry-After"]) <= 3600
    assert answer.headers["content-type"] == "application/problem+json"


async def test_many_wrong_logins_from_one_address_have_to_wait(start: Open) -> None:
    clients = await start(limit_failed_logins_per_minute=5, limit_failed_logins_per_hour=50)
    async with clients("192.0.2.1") as bad, clients("192.0.2.2") as good:
        codes = [(await wrong(bad, name)).status_code for name in ["admin", "stranger"] * 10]
        assert codes == [401] * 5 + [429] * 15
        assert_too_often(await bad.get("/sync/status", auth=ADMIN))
        assert_too_often(await bad.post("/auth/token", data={"username": "admin", "password": ADMIN_PASSWORD}))
        assert (await good.get("/sync/status", auth=ADMIN)).is_success


@pytest.mark.parametrize("username", ["admin", "stranger"])
async def test_strangers_everywhere_do_not_lock_the_administrator_out(start: Open, username: str) -> None:
    clients = await start(limit_failed_logins_per_minute=5, limit_failed_logins_per_hour=50)
    codes = []
    for number in range(20):
        async with clients(f"198.51.100.{number}") as stranger:
            codes.append((await wrong(stranger, username)).status_code)
    assert codes == [401] * 5 + [429] * 15
    async with clients("198.51.100.3") as stranger:  # has failed once: no further try
        assert_too_often(await stranger.get("/sync/status", auth=(username, ADMIN_PASSWORD)))
    async with clients("192.0.2.77") as clean:
        if username == "admin":
            assert (await clean.get("/sync/status", auth=ADMIN)).is_success
            assert await token_of(clean)


async def test_fifty_failures_an_hour_are_enough(start: Open) -> None:
    clients = await start(limit_failed_logins_per_hour=3)
    async with clients() as api:
        assert [(await wrong(api)).status_code for _ in range(4)] == [401, 401, 401, 429]
        assert int((await wrong(api)).headers["Retry-After"]) > 60


async def test_who_was_let_in_a_moment_ago_is_not_kept_out_by_a_neighbour(start: Open) -> None:
    async with (await start(limit_failed_logins_per_minute=2))() as api:
        assert (await api.get("/sync/status", auth=ADMIN)).is_success
        for _ in range(4):
            await wrong(api)
        assert (await api.get("/sync/status", auth=ADMIN)).is_success


async def test_tokens_are_asked_for_five_times_a_minute(start: Open) -> None:
    clients = await start(limit_tokens_per_minute=5)
    async with clients() as api:
        for _ in range(5):
            await token_of(api)
        assert_too_often(await api.post("/auth/token", data={"username": "admin", "password": ADMIN_PASSWORD}))
        assert (await api.get("/sync/status", auth=ADMIN)).is_success


async def test_an_expired_token_asked_with_in_a_loop_does_not_stop_a_new_one(start: Open) -> None:
    clients = await start(limit_failed_logins_per_minute=5, limit_unauthenticated_per_minute=60)
    async with clients() as api:
        for _ in range(20):
            assert_stranger(await api.get("/sync/status", headers=bearer(forged(exp=NOW - 100, iat=NOW - 200))))
        assert await token_of(api)


async def test_reads_and_writes_are_counted_by_user_and_peer(start: Open) -> None:
    clients = await start(limit_reads_per_minute=3, limit_writes_per_minute=2)
    async with clients("192.0.2.1") as one, clients("192.0.2.2") as other:
        assert [(await one.get("/sync/status", auth=ADMIN)).status_code for _ in range(4)] == [200] * 3 + [429]
        assert_too_often(await one.get("/sync/status", auth=ADMIN))
        assert (await one.get("/sync/status", auth=VIEWER)).is_success, "another user of the same network"
        assert [(await other.get("/sync/status", auth=ADMIN)).status_code for _ in range(4)] == [200] * 3 + [429]
        for api in (one, other):
            codes = [(await api.post("/sync/force", json=BACKFILL, auth=ADMIN)).status_code for _ in range(3)]
            assert codes == [200, 200, 429]


async def test_three_people_with_two_accounts_look_at_the_page_at_once(start: Open) -> None:
    clients = await start(**production())
    for address, user in (("192.0.2.1", ADMIN), ("192.0.2.2", VIEWER), ("192.0.2.3", VIEWER)):
        async with clients(address, auth=user) as api:
            assert {(await api.get("/sync/status")).status_code for _ in range(110)} == {200}


async def test_a_viewer_may_ask_for_a_plan_which_counts_as_a_read(start: Open) -> None:
    clients = await start(limit_reads_per_minute=3, limit_writes_per_minute=1)
    async with clients() as api:
        answers = [await api.post("/sync/plan", json=BACKFILL, auth=VIEWER) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200] * 3 + [429]
        assert (await api.post("/sync/force", json=BACKFILL, auth=ADMIN)).is_success
        assert_too_often(await api.post("/sync/force", json=BACKFILL, auth=ADMIN))
        operations = (await api.get("/openapi.json", auth=ADMIN)).json()["paths"]
        assert operations["/sync/plan"]["post"]["security"] == [{"basic": []}, {"token": ["read:*"]}]
        assert operations["/sync/force"]["post"]["security"] == [{"basic": []}, {"token": ["admin"]}]


async def test_strangers_are_counted_by_address_and_liveness_is_not(start: Open) -> None:
    clients = await start(limit_unauthenticated_per_minute=4)
    async with clients("192.0.2.1") as api, clients("192.0.2.2") as other:
        codes = [(await api.get(path)).status_code for path in ("/health", "/nowhere", "/sync/status", "/health/ready")]
        assert codes == [200, 404, 401, 200]
        for path in ("/health", "/nowhere", "/sync/status"):
            assert_too_often(await api.get(path))
        assert [(await api.get("/health/live")).status_code for _ in range(50)] == [200] * 50
        assert (await api.get("/sync/status", auth=ADMIN)).is_success
        assert (await other.get("/health")).is_success


async def test_a_whole_network_of_ipv6_is_one_address(start: Open) -> None:
    clients = await start(limit_failed_logins_per_minute=2)
    codes = []
    for number in range(4):
        async with clients(f"2001:db8:1:1::{number}") as api:
            codes.append((await wrong(api)).status_code)
    assert codes == [401, 401, 429, 429]


async def test_no_header_makes_another_address_of_a_peer(start: Open) -> None:
    clients = await start(limit_failed_logins_per_minute=3)
    codes = []
    async with clients() as api:
        for number in range(6):
            names = ("X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Client-IP")
            forged_headers = dict.fromkeys(names, f"203.0.113.{number}")
            answer = await api.get("/sync/status", auth=("admin", "wrong"), headers=forged_headers)
            codes.append(answer.status_code)
    assert codes == [401] * 3 + [429] * 3


async def test_limits_hold_no_more_memory_for_more_addresses(start: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limiter, "COUNTERS", 16)
    clients = await start(limit_unauthenticated_per_minute=1000)
    for number in range(200):
        async with clients(f"10.0.{number}.1") as api:
            await api.get("/nowhere")
    gate = next(one for one in clients.app.user_middleware if one.cls.__name__ == "Gate")
    assert len(gate.kwargs["limiter"]._storage.storage) <= 16


async def test_fifty_logins_at_once_hash_two_at_a_time_while_liveness_answers(
    start: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, most = 0, 0

    def slow(_: str, __: bytes) -> bool:
        nonlocal now, most
        now, most = now + 1, max(most, now + 1)
        time.sleep(0.01)
        now -= 1
        return False

    monkeypatch.setattr(security, "verify_password", slow)
    async with (await start())() as api:
        logins = [asyncio.create_task(wrong(api)) for _ in range(60)]
        alive = await api.get("/health/live")
        assert alive.status_code == 200
        codes = [answer.status_code for answer in await asyncio.gather(*logins)]
    assert set(codes) <= {401, 503}
    assert codes.count(503) == 10
    assert most == 2


# A24 to A27, A30, A34, A35, headers and names


async def test_a_strange_id_is_refused_alike_for_all_roles(api: httpx.AsyncClient) -> None:
    for identity in ("x", "10" * 15, "-1", "0", "1.5", "9" * 30, "%00", "1%2f..", "' OR 1=1"):
        for auth in (ADMIN, VIEWER):
            answer = await api.get(f"/sync/executions/{identity}", auth=auth)
            assert answer.status_code in (404, 422), identity
    absent = await api.get("/sync/executions/4711", auth=VIEWER)
    assert (absent.status_code, absent.json()["detail"]) == (404, "Não existe a execução 4711.")


SPELLINGS = [
    ("TRACE", "/sync/status", 405),
    ("PUT", "/sync/force", 405),
    ("DELETE", "/sync/executions/1", 405),
    ("HEAD", "/sync/status", 405),
    ("OPTIONS", "/sync/status", 405),
    ("BREW", "/sync/status", 405),
    ("get", "/sync/status", 405),
    ("GET", "//sync/status", 404),
    ("GET", "/sync//status", 404),
    ("GET", "/SYNC/STATUS", 404),
    ("GET", "/sync/status/", 404),
    ("GET", "/sync/..", 404),
    ("GET", "/health/../sync/status", 404),
    ("GET", "/health/%2e%2e/sync/status", 404),
    ("GET", "/sync/status%00", 404),
    ("GET", "/auth/token", 405),
    ("GET", "/docs/assets/../docs.html", 404),
    ("GET", "/redoc/", 404),
]


async def test_no_other_spelling_leads_past_the_gate(start: Open) -> None:
    clients = await start()
    for method, path, status in SPELLINGS:
        same = {"X-Request-Id": "the-same"}
        answers = [
            await ask_as_it_stands(clients.app, method, path, {**headers, **same})
            for headers in ({}, basic(*ADMIN_BYTES))
        ]
        assert answers[0] == answers[1], (method, path)
        assert answers[0][0] == status, (method, path)


async def ask_as_it_stands(app: FastAPI, method: str, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
    """Past the client, which cleans an address up before it sends it."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "http_version": "1.1",
        "server": ("api", 80),
        "client": ("192.0.2.1", 1),
        "headers": [(b"host", b"api"), *[(name.lower().encode(), value.encode()) for name, value in headers.items()]],
        "state": {},
    }
    await app(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


async def test_an_idempotency_key_answers_for_its_execution(api: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "k1"}
    answers = [await api.post("/sync/force", json=BACKFILL, headers=headers, auth=ADMIN) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert_stranger(await api.post("/sync/force", json=BACKFILL, headers=headers))
    other = await api.post("/sync/force", json={}, headers=headers, auth=ADMIN)
    assert other.status_code == 422


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
async def test_no_foreign_page_is_let_in_unless_it_is_named(start: Open, origin: str) -> None:
    preflight = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    async with (await start())() as api:
        for answer in (
            await api.options("/sync/force", headers=preflight),
            await api.get("/sync/status", headers={"Origin": origin}, auth=ADMIN),
        ):
            assert not [name for name in answer.headers if name.startswith("access-control")]
    async with (await start(cors_origins="https://good.example"))() as api:
        named = {"Origin": "https://good.example", "Access-Control-Request-Method": "POST"}
        allowed = await api.options("/sync/force", headers=named)
        assert allowed.headers["access-control-allow-origin"] == "https://good.example"
        assert "access-control-allow-credentials" not in allowed.headers
        refused = await api.options("/sync/force", headers=preflight)
        assert "access-control-allow-origin" not in refused.headers


async def test_a_page_that_is_named_may_use_every_method_that_a_route_has(start: Open) -> None:
    async with (await start(cors_origins="https://good.example"))() as api:
        for method, path in (("PUT", "/sync/schedules/update"), ("POST", "/sync/force"), ("GET", "/sync/status")):
            preflight = {"Origin": "https://good.example", "Access-Control-Request-Method": method}
            answer = await api.options(path, headers=preflight)
            assert answer.status_code == 200, answer.text
            assert method in answer.headers["access-control-allow-methods"].split(", ")
        never = {"Origin": "https://good.example", "Access-Control-Request-Method": "TRACE"}
        assert (await api.options("/sync/force", headers=never)).status_code == 400


FORM = {"Content-Type": "application/x-www-form-urlencoded"}
CROSS_SITE = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://api"},
    {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://api:3000"},
    {"Origin": "http://api.evil.example"},
    {"Origin": "http://good.example"},  # the one that is named is https
    {"Origin": "api"},
    {"Origin": ""},
]
OWN_PAGE = [
    {},
    {"Sec-Fetch-Site": "none"},
    {"Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "same-origin", "Origin": "http://api"},
    {"Sec-Fetch-Site": "same-origin", "Origin": "https://API"},
    {"Sec-Fetch-Site": "same-origin", "Origin": "https://api:8443"},  # the port was cut off by a proxy
    {"Origin": "https://api:443"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "https://good.example"},
    {"Origin": "https://good.example"},
]


@pytest.mark.parametrize("authentication", [True, False])
async def test_a_foreign_page_starts_and_ends_nothing(start: Open, engine: AsyncEngine, authentication: bool) -> None:
    without = {} if authentication else {"admin_password_hash": None, "viewer_password_hash": None}
    clients = await start(cors_origins="https://good.example", **without)
    async with clients(auth=ADMIN) as api:
        running = (await api.post("/sync/force", json=BACKFILL)).json()["request_id"]
        for path in (
            f"/sync/executions/{running}/cancel",
            f"/sync/executions/{running}/retry",
            "/sync/schedules/update/resume",
            "/sync/alerts/test",
            "/sync/force",
            "/auth/token",
        ):
            for headers in CROSS_SITE:
                answer = await api.post(path, headers={**FORM, **headers}, content=b"a=b")
                assert answer.status_code == 403, (path, headers)
                assert answer.headers["content-type"] == "application/problem+json"
        assert (await api.get("/sync/status", headers=CROSS_SITE[0])).json()["status"] == "running"
        for headers in OWN_PAGE:
            answer = await api.post("/sync/executions/4711/cancel", headers=headers)
            assert answer.status_code == 404, headers
        for headers in CROSS_SITE[:1]:
            answer = await api.put("/sync/schedules/update", headers=headers, json={"cron": None})
            assert answer.status_code == 403


def production(**settings: Any) -> dict[str, Any]:
    return {"app_env": "production", **settings}


async def test_production_shows_no_documentation_unless_it_is_told_to(start: Open) -> None:
    paths = ("/docs", "/redoc", "/openapi.json", "/docs/assets/docs.js")
    async with (await start(**production()))() as api:
        for path in paths:
            assert (await api.get(path)).status_code == 404
            assert (await api.get(path, auth=ADMIN)).status_code == 404
    async with (await start(**production(docs_enabled=True)))() as api:
        assert_stranger(await api.get("/docs"))
        assert_stranger(await api.get("/openapi.json"))
        assert (await api.get("/docs", auth=VIEWER)).is_success
        assert_stranger(await api.get("/redoc"))
        assert (await api.get("/redoc", auth=VIEWER)).is_success


async def test_what_redoc_needs_more_is_allowed_on_its_page_alone(start: Open) -> None:
    async with (await start())(auth=VIEWER) as api:
        swagger_ui, redoc = [(await api.get(path)).headers["content-security-policy"] for path in ("/docs", "/redoc")]
        assert (
            (await api.get("/sync/status")).headers["content-security-policy"].startswith("default-src 'none'; frame")
        )
    assert "unsafe" not in redoc
    style, worker = sorted(set(redoc.split("; ")) - set(swagger_ui.split("; ")))
    assert re.fullmatch(r"style-src 'self'( 'sha256-[A-Za-z0-9+/]{43}='){2}", style)
    assert worker == "worker-src blob:"


async def test_swagger_ui_needs_nothing_that_its_policy_forbids(start: Open) -> None:
    async with (await start())(auth=VIEWER) as api:
        page = await api.get("/docs")
        policy = page.headers["content-security-policy"]
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
        assert not re.search(r"<script>|<style|style=|onload|https?://", page.text)
        for name in re.findall(r'(?:src|href)="([^"]+)"', page.text):
            assert (await api.get(name)).is_success, name
        document = (await api.get("/openapi.json")).json()
    assert {"401", "403", "429"} <= document["paths"]["/sync/force"]["post"]["responses"].keys()
    assert "security" not in document["paths"]["/health"]["get"]
    assert document["components"]["securitySchemes"].keys() == {"basic", "token"}


async def test_the_page_and_its_assets_are_for_strangers_too_also_in_production_and_are_not_counted(
    start: Open,
) -> None:
    async with (await start(**production(limit_unauthenticated_per_minute=5)))() as api:
        page = await api.get("/")
        assert page.status_code == 200
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert "script-src 'self'" in page.headers["content-security-policy"]
        assert "unsafe" not in page.headers["content-security-policy"]
        assets = re.findall(r'(?:src|href)="(/assets/[^"]+)"', page.text)
        assert len(assets) >= 4
        for name in [*assets, *assets]:
            asset = await api.get(name)
            assert asset.status_code == 200, name
            assert asset.headers["cache-control"] == "no-cache"
            known = await api.get(name, headers={"If-None-Match": asset.headers["etag"]})
            assert known.status_code == 304
            plain = await api.get(name, headers={"Accept-Encoding": "identity, gzip;q=0"})
            assert "content-encoding" not in plain.headers
            assert asset.headers["content-encoding"] == "gzip"
            assert asset.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"
            assert (asset.content, asset.headers["etag"]) == (plain.content, plain.headers["etag"])
            assert int(asset.headers["content-length"]) < int(plain.headers["content-length"])
        assert (await api.head("/")).status_code == 200
        assert (await api.get("/assets/../../config.py")).status_code == 404
        assert (await api.get("/assets/%2e%2e/%2e%2e/config.py")).status_code == 404
        assert (await api.get("/assets/")).status_code == 404
        assert_stranger(await api.post("/assets/page.css"))
        assert_stranger(await api.get("/sync/status"))


async def test_only_the_page_is_not_offered_basic_so_that_no_window_opens_in_front_of_its_login(
    api: httpx.AsyncClient,
) -> None:
    for headers, schemes in (
        ({"X-Requested-With": "fetch"}, ["Bearer"]),
        ({"X-Requested-With": "XMLHttpRequest"}, ["Basic", "Bearer"]),
        ({}, ["Basic", "Bearer"]),
    ):
        wrong = {"username": "admin", "password": "wrong"}
        for answer in (
            await api.get("/sync/status", headers=headers),
            await api.post("/auth/token", data=wrong, headers=headers),
        ):
            assert answer.status_code == 401
            assert [one.split()[0] for one in answer.headers.get_list("www-authenticate")] == schemes
            assert answer.json()["detail"] == "Informe usuário e senha (Basic) ou um token válido (Bearer)."


async def test_one_may_ask_who_one_is(start: Open) -> None:
    async with (await start())() as api:
        assert_stranger(await api.get("/auth/me"))
        admin = {"authentication": True, "username": "admin", "role": "admin", "scopes": ["admin"]}
        assert (await api.get("/auth/me", auth=ADMIN)).json() == admin
        token = await token_of(api, VIEWER)
        answer = await api.get("/auth/me", headers={"Authorization": f"Bearer {token}"})
        viewer = {"authentication": True, "username": "viewer", "role": "viewer", "scopes": ["read:*"]}
        assert answer.json() == viewer


async def test_every_answer_carries_the_headers_even_that_of_a_fault(start: Open) -> None:
    clients = await start()

    @clients.app.get("/fault")
    async def fault() -> None:
        raise RuntimeError("marker-of-mine")

    async with clients() as api:
        answers = [
            await api.get("/health/live"),
            await api.get("/nowhere"),
            await api.put("/sync/force"),
            await api.get("/sync/status"),
            await api.get("/sync/status", auth=ADMIN),
            await api.post("/sync/force", content=b"x" * 20_000),
            await api.post("/sync/force", content=b"x" * 20_000, auth=ADMIN),
            await api.get("/fault", auth=ADMIN),
        ]
    assert [answer.status_code for answer in answers] == [200, 404, 405, 401, 200, 401, 413, 500]
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])
        assert "marker-of-mine" not in answer.text


@pytest.mark.parametrize(
    ("given", "is_kept"),
    [
        ("abc-123", True),
        ("x" * 64, True),
        ("x" * 65, False),
        ("a b", False),
        ("a\tb", False),
        ("", False),
        ("a_b", False),
    ],
)
async def test_a_request_keeps_its_name_if_that_is_harmless(api: httpx.AsyncClient, given: str, is_kept: bool) -> None:
    answer = await api.get("/sync/status", headers={"X-Request-Id": given}, auth=("admin", "wrong"))
    assert (answer.headers["x-request-id"] == given) is is_kept


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("pncp.example.org", 200),
        ("PNCP.example.org:8443", 200),
        ("a.pncp.example.com", 200),
        ("127.0.0.1:8000", 200),
        ("evil.example", 400),
        ("pncp.example.org.evil.example", 400),
        ("pncp.example.com", 400),
        ("evilpncp.example.com", 400),
        ("", 400),
    ],
)
async def test_only_our_own_names_are_answered_to(start: Open, host: str, status: int) -> None:
    async with (await start(allowed_hosts="pncp.example.org, *.pncp.example.com"))() as api:
        assert (await api.get("/sync/status", headers={"Host": host}, auth=ADMIN)).status_code == status
        assert (await api.get("/health/live", headers={"Host": host})).status_code == 200


LOCAL = ["127.0.0.1:8000", "localhost:8000", "LOCALHOST", "[::1]:8000", "pncp-backend:8000"]
FOREIGN = [
    "evil.example",
    "evil.example:8000",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "1.2.3.4",
    "[::2]",
    "",
]


async def test_without_authentication_only_local_names_are_answered_to(start: Open) -> None:
    clients = await start(admin_password_hash=None, viewer_password_hash=None, backend_host="0.0.0.0")
    async with clients() as api:
        for host in LOCAL:
            assert (await api.get("/sync/status", headers={"Host": host})).status_code == 200, host
        for host in FOREIGN:
            answer = await api.post("/sync/force", json=BACKFILL, headers={"Host": host})
            assert answer.status_code == 400, host
            assert answer.headers["content-type"] == "application/problem+json"
            assert (await api.get("/", headers={"Host": host})).status_code == 400
            for path in ("/health", "/health/live", "/health/ready"):
                assert (await api.get(path, headers={"Host": host})).status_code == 200
        assert (await api.get("/sync/history")).json()["total_count"] == 0


@pytest.mark.parametrize(
    ("bound_to", "reached_at", "status"),
    [
        ("127.0.0.1", "127.0.0.1", 400),
        ("localhost", "127.0.0.1", 400),
        ("::1", "::1", 400),
        ("127.0.0.1", "::ffff:127.0.0.1", 400),
        ("0.0.0.0", "127.0.0.1", 200),
        ("127.0.0.1", "192.0.2.7", 200),  # uvicorn's own command line has bound another address
        ("0.0.0.0", "192.0.2.7", 200),
    ],
)
async def test_bound_to_loopback_only_local_names_are_answered_to_also_with_authentication(
    start: Open, bound_to: str, reached_at: str, status: int
) -> None:
    clients = await start(backend_host=bound_to)
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    async def ask(host: str) -> int:
        sent.clear()
        headers = [(b"host", host.encode()), (b"authorization", basic(*ADMIN_BYTES)["Authorization"].encode())]
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/auth/me",
            "raw_path": b"/auth/me",
            "query_string": b"",
            "root_path": "",
            "scheme": "http",
            "http_version": "1.1",
            "server": (reached_at, 8000),
            "client": ("192.0.2.1", 1),
            "headers": headers,
            "state": dict(clients.state),
        }
        await clients.app(scope, receive, send)
        return int(sent[0]["status"])

    assert await ask("evil.example") == status
    assert await ask("localhost:8000") == 200


async def test_a_head_over_the_bound_is_refused(start: Open) -> None:
    async with (await start())() as api:
        for headers in (
            {"X-Long": "x" * 70_000},
            {f"X-{number}": "x" * 4000 for number in range(20)},
            {f"X-{number}": "" for number in range(100)},
        ):
            answer = await api.get("/health/live", headers=headers)
            assert answer.status_code == 431
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.headers["connection"] == "close"
        long = {"X-Long": "x" * 6_000}
        assert (await api.get("/health/live", params={"q": "x" * 60_000}, headers=long)).status_code == 431
        assert (await api.get("/health/live", headers={"X-Long": "x" * 60_000})).status_code == 200


async def test_two_hosts_are_none_of_ours(start: Open) -> None:
    async with (await start(allowed_hosts="pncp.example.org"))(auth=ADMIN) as api:
        for second in ("pncp.example.org", "evil.example"):
            headers = [("Host", "pncp.example.org"), ("Host", second)]
            assert (await api.get("/sync/status", headers=headers)).status_code == 400


async def test_an_address_in_an_answer_is_not_made_of_the_host_that_was_named(api: httpx.AsyncClient) -> None:
    headers = {"Host": "evil.example", "X-Forwarded-Proto": "gopher", "X-Forwarded-Host": "evil.example"}
    answer = await api.post("/sync/force", json=BACKFILL, headers=headers, auth=ADMIN)
    assert answer.headers["Location"].startswith("/sync/executions/")
    assert "evil.example" not in (await api.get("/", headers=headers)).text


async def test_what_happened_at_the_gate_is_logged_without_secrets(
    start: Open,
) -> None:
    clients = await start(limit_failed_logins_per_minute=3)
    written = io.StringIO()
    configure_logging("INFO", "json", written)
    async with clients("192.0.2.9") as api:
        await api.post("/sync/force", json={}, auth=VIEWER, headers={"X-Request-Id": "id-of-mine"})
        await token_of(api)
        for username in ("admin", "marker-of-mine", "stranger\n{}", "admin"):
            await api.get("/sync/status", auth=(username, "marker-of-mine"))
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    seen = [(line["event"], line.get("user")) for line in lines if line.get("peer") == "192.0.2.9"]
    assert seen == [
        ("forbidden", "viewer"),
        ("logged in", "admin"),
        ("login failed", "admin"),
        ("login failed", "(unknown)"),
        ("login failed", "(unknown)"),
        ("limit reached", "admin"),
    ]
    assert next(line for line in lines if line["event"] == "forbidden")["request_id"] == "id-of-mine"
    assert "marker-of-mine" not in json.dumps(lines)
