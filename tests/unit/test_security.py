"""What production refuses, secrets in files, typos, hashes and tokens; and that nothing secret is ever shown."""

import base64
import hashlib
import io
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from backend.clients import client_from_terminal
from backend.config import OWN_PREFIXES, BackendSettings
from backend.limiter import network_of
from backend.passwords import check_hash, dummy_like, hash_from_terminal, hash_password, is_sample, verify_password
from backend.tokens import InvalidTokenError, Tokens
from common.config import ConfigurationError, find_typos, load_settings
from common.connections.loading import load_connections
from common.logs import configure_logging
from tests.support import ROOT

GOOD = "correct horse battery"
HASH = hash_password(GOOD.encode())
KEY = "0123456789abcdef0123456789abcdef"
URL = "postgresql://u:p@h:5432/db"
ENTITY = "key: codigo\ncolumns: {codigo: text}\n"
OURS = {name.upper() for name in BackendSettings.model_fields}

Load = Callable[..., BackendSettings]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Load:
    """Load the backend's settings from these variables alone."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.upper().removesuffix("_FILE") in OURS:
            monkeypatch.delenv(name)

    def load(**variables: str) -> BackendSettings:
        given = {"DATABASE_URL": URL, **variables}
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        try:
            return load_settings(BackendSettings)
        finally:
            for name in given:
                monkeypatch.delenv(name)

    return load


def fault(load: Load, **variables: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(**variables)
    told = str(caught.value)
    assert "\n" not in told
    return told


PRODUCTION = {"APP_ENV": "production", "ADMIN_PASSWORD_HASH": HASH, "JWT_SECRET": KEY}


def test_production_starts_with_a_hash_and_a_key_and_has_limits(load: Load) -> None:
    settings = load(**PRODUCTION)
    assert settings.authenticates
    assert not settings.shows_documentation
    assert (settings.limits.failed_logins_per_minute, settings.limits.reads_per_minute) == (5, 120)
    assert settings.most_concurrent == 100
    assert load(**PRODUCTION, LIMIT_READS_PER_MINUTE="0").limits.reads_per_minute == 0
    assert load(**PRODUCTION, LIMIT_CONCURRENCY="0").most_concurrent is None


EVERYONE = ["*", " * ", "0.0.0.0/0", "::/0", "10.0.0.1, *", "10.0.0.1,::/0", "0.0.0.0/1,128.0.0.0/1", "192.0.2.1/0"]


@pytest.mark.parametrize("proxies", EVERYONE)
def test_production_believes_no_stranger_for_whom_he_asks(load: Load, proxies: str) -> None:
    assert fault(load, **PRODUCTION, FORWARDED_ALLOW_IPS=proxies).count("FORWARDED_ALLOW_IPS") == 1
    assert load(FORWARDED_ALLOW_IPS=proxies).forwarded_allow_ips is not None, "in development that is allowed"


@pytest.mark.parametrize("proxies", ["127.0.0.1", "172.16.0.0/12", "10.0.0.0/8,fc00::/7", "unix:", "proxy"])
def test_production_believes_a_proxy_that_is_named(load: Load, proxies: str) -> None:
    assert load(**PRODUCTION, FORWARDED_ALLOW_IPS=proxies).forwarded_allow_ips == proxies


def test_development_needs_no_authentication_and_has_no_limits(load: Load) -> None:
    settings = load()
    assert not settings.authenticates
    assert settings.shows_documentation
    assert set(vars(settings.limits).values()) == {0}
    assert settings.most_concurrent is None


@pytest.mark.parametrize(
    ("variable", "changes"),
    [
        ("ADMIN_PASSWORD_HASH", {"ADMIN_PASSWORD_HASH": ""}),
        ("ADMIN_PASSWORD_HASH", {"ADMIN_PASSWORD_HASH": "plain words in the hash"}),
        ("ADMIN_PASSWORD_HASH", {"ADMIN_PASSWORD_HASH": HASH[:-4]}),
        ("ADMIN_PASSWORD_HASH", {"ADMIN_PASSWORD_HASH": HASH.replace("argon2id", "argon2i")}),
        ("ADMIN_PASSWORD_HASH", {"ADMIN_PASSWORD_HASH": HASH.replace("m=19456", "m=99999999")}),
        ("ADMIN_PASSWORD_HASH", {"ADMIN_PASSWORD_HASH": "$2b$12$" + "a" * 53}),
        ("ADMIN_PASSWORD_HASH", {"ADMIN_PASSWORD_HASH": hash_password(b"")}),
        ("ADMIN_PASSWORD_HASH", {"ADMIN_PASSWORD_HASH": hash_password(b"admin")}),
        ("ADMIN_PASSWORD_HASH", {"ADMIN_PASSWORD_HASH": hash_password(b"maria"), "ADMIN_USERNAME": "maria"}),
        ("ADMIN_PASSWORD_HASH", {"ADMIN_PASSWORD": "another one than that"}),
        ("ADMIN_PASSWORD", {"ADMIN_PASSWORD_HASH": "", "ADMIN_PASSWORD": "elevensigns"}),
        ("ADMIN_PASSWORD", {"ADMIN_PASSWORD_HASH": "", "ADMIN_PASSWORD": "change-me-please"}),
        ("ADMIN_PASSWORD", {"ADMIN_PASSWORD_HASH": "", "ADMIN_PASSWORD": "aaaaaaaaaaaaaaaa"}),
        ("ADMIN_PASSWORD", {"ADMIN_PASSWORD_HASH": "", "ADMIN_PASSWORD": "x" * 64 + GOOD * 4}),
        (
            "ADMIN_PASSWORD",
            {"ADMIN_PASSWORD_HASH": "", "ADMIN_PASSWORD": "Maria.da.Silva", "ADMIN_USERNAME": "maria.da.silva"},
        ),
        ("VIEWER_PASSWORD", {"VIEWER_PASSWORD": "short"}),
        ("VIEWER_USERNAME", {"VIEWER_PASSWORD_HASH": HASH, "VIEWER_USERNAME": "admin"}),
        ("ADMIN_USERNAME", {"ADMIN_USERNAME": "with:colon"}),
        ("JWT_SECRET", {"JWT_SECRET": ""}),
        ("JWT_SECRET", {"JWT_SECRET": "x9" * 15}),
        ("JWT_SECRET", {"JWT_SECRET": "change-me-change-me-change-me-change-me"}),
        ("JWT_SECRET", {"JWT_SECRET": "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7"}),
        ("JWT_SECRET", {"JWT_SECRET": "0" * 64}),
        ("JWT_SECRET_PREVIOUS", {"JWT_SECRET_PREVIOUS": "short"}),
        ("BACKEND_RELOAD", {"BACKEND_RELOAD": "true"}),
        ("CORS_ORIGINS", {"CORS_ORIGINS": "*"}),
        ("CORS_ORIGINS", {"CORS_ORIGINS": "https://good.example, https://*.example"}),
        ("TOKEN_MINUTES", {"TOKEN_MINUTES": "61"}),
        ("EXECUTION_LOG_DAYS", {"EXECUTION_LOG_DAYS": "-1"}),
        ("LIMIT_READS_PER_MINUTE", {"LIMIT_READS_PER_MINUTE": "-1"}),
        ("APP_ENV", {"APP_ENV": "prod"}),
    ],
)
def test_production_refuses_by_name_and_without_showing_the_value(
    load: Load, variable: str, changes: dict[str, str]
) -> None:
    told = fault(load, **{**PRODUCTION, **changes})
    assert told.partition(":")[0] == variable
    for value in changes.values():
        assert len(value) < 6 or value not in told


def test_the_placeholders_of_the_example_are_refused(load: Load) -> None:
    text = (ROOT / ".env.example").read_text()
    placeholders = {name: text.partition(f"# {name}=")[2].splitlines()[0] for name in ("ADMIN_PASSWORD", "JWT_SECRET")}
    assert all(placeholders.values())
    told = fault(load, APP_ENV="production", **placeholders)
    assert {"ADMIN_PASSWORD", "JWT_SECRET"} <= {part.partition(":")[0] for part in told.split("; ")}


def test_the_backend_itself_says_so_in_one_line_and_ends(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in OURS}
    environment |= {"DATABASE_URL": URL, "APP_ENV": "production", "PYTHONPATH": str(ROOT)}
    for command in (["-m", "backend"], ["-m", "uvicorn", "backend.main:app", "--port", "1"]):
        ended = subprocess.run(
            [sys.executable, *command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode != 0
        assert ended.stderr.strip() == (
            "backend: ADMIN_PASSWORD_HASH: production needs it; make one with: python -m backend hash-password"
        )


# Secrets in files


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n"])
def test_a_secret_may_come_from_a_file_and_loses_the_line_s_end(load: Load, tmp_path: Path, end: str) -> None:
    files = {"DATABASE_URL": URL, "RABBITMQ_URL": "amqp://u:p@h/", "ADMIN_PASSWORD_HASH": HASH, "JWT_SECRET": KEY}
    for name, value in files.items():
        (tmp_path / name).write_bytes(f"{value}{end}".encode())
    settings = load(DATABASE_URL="", **{f"{name}_FILE": str(tmp_path / name) for name in files})
    assert settings.database_url.get_secret_value() == URL.replace("postgresql", "postgresql+asyncpg")
    assert settings.admin_password_hash is not None
    assert settings.admin_password_hash.get_secret_value() == HASH
    assert settings.jwt_secret is not None
    assert settings.jwt_secret.get_secret_value() == KEY


def test_a_file_that_cannot_be_read_or_counts_twice_is_told_by_name(load: Load, tmp_path: Path) -> None:
    assert fault(load, JWT_SECRET_FILE=str(tmp_path / "no")) == "JWT_SECRET_FILE: names a file that cannot be read"
    (tmp_path / "key").write_text(KEY)
    told = fault(load, JWT_SECRET=KEY, JWT_SECRET_FILE=str(tmp_path / "key"))
    assert told == "JWT_SECRET: is set, and so is JWT_SECRET_FILE; only one of them can count"
    (tmp_path / "key").write_bytes(b"\xff\xfe")
    assert fault(load, JWT_SECRET_FILE=str(tmp_path / "key")).startswith("JWT_SECRET_FILE: ")


def test_the_environment_wins_over_a_file_that_dot_env_names(load: Load, tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgresql://u:p@other/db")
    (tmp_path / ".env").write_text(f"DATABASE_URL_FILE={tmp_path / 'url'}\n")
    assert "@h:5432" in load().database_url.get_secret_value()
    assert "@other" in load(DATABASE_URL="").database_url.get_secret_value()


# Typos


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("ADMIN_PASWORD", "ADMIN_PASSWORD"),
        ("ADMIN_PASSWORD_HAHS", "ADMIN_PASSWORD_HASH"),
        ("ADMIM_PASSWORD", "ADMIN_PASSWORD"),
        ("JWT_KEY", None),
        ("DATABASE_URI", "DATABASE_URL"),
        ("LOGLEVEL", "LOG_LEVEL"),
        ("JWT_SECRET_FIL", "JWT_SECRET_FILE"),
    ],
)
def test_a_name_that_looks_like_ours_is_told(
    load: Load, monkeypatch: pytest.MonkeyPatch, name: str, meant: str | None
) -> None:
    load()
    monkeypatch.setenv(name, "x")
    found = find_typos(BackendSettings, OWN_PREFIXES)
    assert name in found
    assert meant is None or found[name] == meant


@pytest.mark.parametrize("name", ["HTTP_PROXY", "PATH", "PNCP_HOME", "POSTGRES_PASSWORD", "PGPASSWORD", "DATABASE_URL"])
def test_a_foreign_name_is_not(load: Load, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    load()
    monkeypatch.setenv(name, "x")
    assert name not in find_typos(BackendSettings, OWN_PREFIXES)


# Hashes


def test_a_hash_is_argon2id_at_owasp_s_floor_and_has_a_salt_of_its_own() -> None:
    assert HASH.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert hash_password(GOOD.encode()) != HASH
    assert verify_password(HASH, GOOD.encode())
    assert not verify_password(HASH, GOOD.encode() + b"\0")
    assert check_hash(HASH) == HASH


def test_an_unreadable_hash_is_no_match_and_no_error() -> None:
    for stored in ("", "plain", "$argon2id$", HASH[:-1], "ção"):
        assert not verify_password(stored, b"x")


def test_the_dummy_costs_what_the_real_one_does() -> None:
    costly = HASH.replace("m=19456,t=2", "m=1024,t=3")
    assert dummy_like(costly).startswith("$argon2id$v=19$m=1024,t=3,p=1$")


def test_the_command_hashes_what_it_reads(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{GOOD}\n"))
    assert hash_from_terminal() == 0
    assert verify_password(capsys.readouterr().out.strip(), GOOD.encode())
    monkeypatch.setattr(sys, "stdin", io.StringIO("too short\n"))
    assert hash_from_terminal() == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert "too short" not in told.err


@pytest.mark.parametrize("secret", ["changeme", "CHANGE-ME", "my-Example-secret-value", "abababababababab", "senha"])
def test_samples_are_known(secret: str) -> None:
    assert is_sample(secret)


# Clients


def test_the_command_makes_a_client_whose_file_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["erp", "-s", "read:*", "--scope", "intake:produtos", "-n", "10.1.0.0/16", "-n", "2001:db8::1"]
    secrets = set()
    for _ in range(2):
        assert client_from_terminal(words) == 0
        told = capsys.readouterr()
        secret = told.err.splitlines()[-1]
        assert len(base64.urlsafe_b64decode(secret + "=")) == 32
        assert secret not in told.out
        secrets.add(secret)
        for kind, name, content in (("clients", "erp", told.out), ("entities", "produtos", ENTITY)):
            (tmp_path / kind).mkdir(exist_ok=True)
            (tmp_path / kind / f"{name}.yaml").write_text(content)
        client = load_connections(tmp_path).clients["erp"]
        assert client.secret_sha256 == hashlib.sha256(secret.encode()).digest()
        assert client.scopes == {"read:*", "intake:produtos"}
        assert [str(network) for network in client.networks] == ["10.1.0.0/16", "2001:db8::1/128"]
    assert len(secrets) == 2


@pytest.mark.parametrize(
    "words",
    [
        ["erp"],
        ["ERP", "--scope", "read:*"],
        ["../erp", "--scope", "read:*"],
        ["erp", "--scope", "admin"],
        ["erp", "--scope", "read"],
        ["erp", "--scope", "read:*", "--network", "10.1.0.1/16"],
        ["erp", *(word for number in range(41) for word in ("--scope", f"read:e{number}"))],
    ],
)
def test_the_command_makes_no_client_that_may_not_be(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        client_from_terminal(words)
    assert ended.value.code == 2
    assert capsys.readouterr().out == ""


# Tokens and addresses


@given(st.binary(max_size=300))
def test_no_bytes_but_a_token_s_are_a_token(token: bytes) -> None:
    with pytest.raises(InvalidTokenError):
        Tokens([KEY.encode()]).read(token)


def test_a_token_is_current_under_the_secret_of_its_subject_alone() -> None:
    tokens = Tokens([KEY.encode()])
    claims = tokens.read(tokens.make("viewer", HASH, {"read:*"}, seconds=60).encode())
    assert (claims.subject, claims.client, claims.scopes) == ("viewer", None, {"read:*"})
    assert tokens.is_current(claims, HASH)
    assert not tokens.is_current(claims, f"{HASH}x")
    assert not tokens.is_current(replace(claims, subject="admin"), HASH)


@pytest.mark.parametrize(
    ("host", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("testclient", "testclient"),
    ],
)
def test_a_peer_is_counted_by_what_one_customer_has(host: str, counted: str) -> None:
    assert network_of(host) == counted


# What is shown


def test_settings_do_not_show_their_secrets(load: Load) -> None:
    settings = load(ADMIN_PASSWORD="marker-of-mine", JWT_SECRET=KEY)
    assert "marker-of-mine" not in f"{settings!r} {settings} {settings.model_dump()}"
    assert KEY not in f"{settings!r} {settings} {settings.model_dump()}"


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_secret_that_is_logged_by_mistake_is_not_written(form: str) -> None:
    stream = io.StringIO()
    configure_logging("INFO", form, stream)
    structlog.get_logger("mine").warning(
        "oh", Authorization="marker-1", admin_password="marker-2", set_cookie="marker-3"
    )
    logging.getLogger("theirs").warning("oh", extra={"jwt_secret": "marker-4", "access_token": "marker-5"})
    assert "marker" not in stream.getvalue()
    assert stream.getvalue().count("***") == 5
