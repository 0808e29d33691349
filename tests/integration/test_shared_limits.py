"""Limits that several backends hold together, and what is left of them without the database."""

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from backend.config import BackendSettings
from backend.limiter import Limiter, Limits
from backend.passwords import hash_password
from backend.services import shared_limits
from backend.services.shared_limits import SharedCounts
from common.database import create_engine
from tests.integration.conftest import Database, OpenApi, Proxy

ADMIN = ("admin", "correct horse battery")
HASH = hash_password(ADMIN[1].encode())
KEY = "0123456789abcdef0123456789abcdef-one"
SALT = b"the same in all of them"


async def backends(open_api: OpenApi, how_many: int = 3, **limits: int) -> list[httpx.AsyncClient]:
    return [await open_api(admin_password_hash=HASH, jwt_secret=KEY, **limits) for _ in range(how_many)]


def in_turn(apis: list[httpx.AsyncClient], times: int) -> list[httpx.AsyncClient]:
    return [apis[number % len(apis)] for number in range(times)]


async def test_wrong_passwords_count_whichever_backend_gets_them(open_api: OpenApi) -> None:
    apis = await backends(open_api, limit_failed_logins_per_minute=5, limit_failed_logins_per_hour=50)

    codes = [(await api.get("/sync/status", auth=("admin", "wrong"))).status_code for api in in_turn(apis, 9)]

    assert codes == [401] * 5 + [429] * 4
    refused = [await api.get("/sync/status", auth=ADMIN) for api in apis]
    assert [answer.status_code for answer in refused] == [429] * 3
    assert all(0 < int(answer.headers["Retry-After"]) <= 60 for answer in refused)


async def test_tokens_and_writes_count_whichever_backend_gets_them(open_api: OpenApi) -> None:
    apis = await backends(open_api, limit_tokens_per_minute=4, limit_writes_per_minute=2)
    asked = {"username": ADMIN[0], "password": ADMIN[1]}

    tokens = [(await api.post("/auth/token", data=asked)).status_code for api in in_turn(apis, 6)]
    writes = [
        (await api.post("/sync/force", json={"mode": "update"}, auth=ADMIN)).status_code for api in in_turn(apis, 4)
    ]

    assert tokens == [200] * 4 + [429] * 2
    assert writes == [200] * 2 + [429] * 2


async def test_reads_count_in_each_backend_alone(open_api: OpenApi) -> None:
    apis = await backends(open_api, 2, limit_reads_per_minute=2)

    codes = [(await api.get("/sync/status", auth=ADMIN)).status_code for api in in_turn(apis, 6)]

    assert codes == [200] * 4 + [429] * 2


async def test_a_restart_forgets_no_failed_login(open_api: OpenApi) -> None:
    await (await backends(open_api, 1, limit_failed_logins_per_hour=1))[0].get("/sync/status", auth=("admin", "wrong"))
    (restarted,) = await backends(open_api, 1, limit_failed_logins_per_hour=1)

    assert (await restarted.get("/sync/status", auth=ADMIN)).status_code == 429


async def test_what_is_stored_shows_neither_users_nor_addresses(open_api: OpenApi, database: Database) -> None:
    (api,) = await backends(open_api, 1, limit_failed_logins_per_minute=5, limit_writes_per_minute=5)

    await api.get("/sync/status", auth=("admin", "wrong"))
    await api.post("/sync/force", json={"mode": "update"}, auth=ADMIN)

    rows = await database.rows("SELECT kind, key, CAST(c AS text) AS whole FROM limit_counts c ORDER BY 1")
    assert [row.kind for row in rows] == ["failed login", "failed login", "write"]
    assert all(len(row.key) == 32 for row in rows)
    assert not any("admin" in row.whole or "127.0.0.1" in row.whole for row in rows)


async def test_a_window_that_is_over_begins_anew_and_is_forgotten(
    engine: AsyncEngine, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    limiter = Limiter(Limits(writes_per_minute=1), SALT)
    limiter.shared = SharedCounts(engine)
    assert await limiter.hit("write", "someone") == 0
    assert 0 < await limiter.hit("write", "someone") <= 60

    await database.rows("UPDATE limit_counts SET ends_at = now()")
    other = Limiter(Limits(writes_per_minute=1), SALT)
    other.shared = SharedCounts(engine)
    assert await other.hit("write", "someone") == 0
    assert await database.value("SELECT events FROM limit_counts") == 1

    await database.rows("UPDATE limit_counts SET ends_at = now()")
    monkeypatch.setattr(shared_limits, "FORGET_SECONDS", 0)
    assert await other.shared.look("write", "another", [60]) == {}
    assert await database.value("SELECT count(*) FROM limit_counts") == 0


async def test_a_window_is_no_longer_than_it_is_where_the_clock_was_turned_back(
    engine: AsyncEngine, database: Database
) -> None:
    counts = SharedCounts(engine)
    await counts.hit("write", "key", [60])
    await database.rows("UPDATE limit_counts SET ends_at = now() + interval '1 day'")

    assert (await counts.hit("write", "key", [60]))[60].seconds_left <= 60


@pytest.mark.parametrize("trouble", ["cut", "frozen"])
async def test_without_the_database_each_backend_still_has_its_limits(
    database_proxy: tuple[Proxy, str], trouble: str
) -> None:
    proxy, url = database_proxy
    through = create_engine(url, application_name="pncp-tests", pool_size=2)
    limiter = Limiter(Limits(failed_logins_per_minute=2), SALT)
    limiter.shared = SharedCounts(through)
    assert await limiter.hit("failed login", "peer") == 0
    if trouble == "cut":
        await proxy.cut()
    else:
        proxy.freeze()

    assert await limiter.hit("failed login", "peer") == 0
    assert await limiter.full("failed login", "peer") > 0
    assert not await limiter.is_clean("failed login", "peer")
    assert await limiter.is_clean("failed login", "another")

    await proxy.cut()
    await through.dispose()


def test_backends_with_the_same_secret_count_under_the_same_key() -> None:
    def key(**settings: str) -> bytes:
        given = {"database_url": "postgresql://u:p@h/d", "rabbitmq_url": None, **settings}
        return BackendSettings(**given).counting_key  # type: ignore[arg-type]

    assert key() == key() != key(database_url="postgresql://u:other@h/d")
    assert key(jwt_secret=KEY) == key(jwt_secret=KEY, database_url="postgresql://u:p@other/d") != key()
