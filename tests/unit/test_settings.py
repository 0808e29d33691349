"""Settings are read from variables in the forms that people write; a fault names its variable and never its value."""

import os
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from pydantic import ValidationError
from sqlalchemy.engine import make_url

from common.config import ConfigurationError, load_settings
from common.cron import check_cron
from common.lists import Scope, parse_scope
from common.resources import RESOURCE_NAMES
from ingestor.config import IngestorSettings

URL = "postgresql://u:p@h:5432/db"
OURS = (
    "PNCP_",
    "DATABASE_",
    "RABBITMQ_",
    "QUEUE_",
    "LOG_",
    "HTTP_",
    "ROLLING_",
    "UPDATE_",
    "WORKER_",
    "LEASE_",
    "SLICE_",
    "SCHEDULE_",
)

Load = Callable[..., IngestorSettings]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Load:
    """Load the ingestor's settings from these variables alone: no `.env`, nothing of the machine's."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.upper().startswith(OURS):
            monkeypatch.delenv(name)

    def load(**variables: str) -> IngestorSettings:
        for name, value in {"DATABASE_URL": URL, **variables}.items():
            monkeypatch.setenv(name, value)
        return load_settings(IngestorSettings)

    return load


def fault(load: Load, **variables: str) -> str:
    """The one line that a fault is told in."""
    with pytest.raises(ConfigurationError) as caught:
        load(**variables)
    assert caught.value.__cause__ is None  # nothing of pydantic's follows in a traceback
    assert caught.value.__suppress_context__
    told = str(caught.value)
    assert "\n" not in told
    return told


# The defaults


def test_only_the_database_must_be_named(load: Load) -> None:
    settings = load()
    assert settings.rabbitmq_url is None
    assert settings.queue_name == "ingest.pncp"
    assert settings.pncp_base_url == "https://pncp.gov.br/api"
    assert settings.pncp_modalidades == list(range(1, 20))
    assert settings.pncp_page_size is None
    assert settings.pncp_requests_per_second == 1
    assert settings.pncp_requests_in_flight == 6
    assert settings.pncp_itens_concurrency == 4
    assert settings.pncp_pause_seconds == 30
    assert settings.rolling_window_minutes == 15
    assert settings.update_overlap_minutes == 10
    assert settings.lease_seconds == 60
    assert (settings.metrics_host, settings.metrics_port) == ("127.0.0.1", 0)


def test_a_missing_database_is_told_by_name(load: Load) -> None:
    assert fault(load, DATABASE_URL="") == "DATABASE_URL: is required"


def test_every_fault_is_named_in_the_same_line(load: Load) -> None:
    told = fault(load, DATABASE_URL="", LOG_LEVEL="loud", PNCP_PAGE_SIZE="nine")
    assert {part.split(":")[0] for part in told.split("; ")} == {"DATABASE_URL", "LOG_LEVEL", "PNCP_PAGE_SIZE"}
    assert "loud" not in told
    assert "nine" not in told


def test_a_dot_env_beside_the_program_is_read_and_the_environment_wins(load: Load, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PNCP_PAGE_SIZE=20\nQUEUE_NAME=from.file\nUNKNOWN=1\n", encoding="utf-8")
    settings = load(QUEUE_NAME="from.environment")
    assert (settings.pncp_page_size, settings.queue_name) == (20, "from.environment")


# DATABASE_URL


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("postgresql://u:p@h:5433/db", "postgresql+asyncpg://u:p@h:5433/db"),
        ("postgres://u:p@h/db", "postgresql+asyncpg://u:p@h/db"),
        ("postgresql+psycopg2://u:p@h/db", "postgresql+asyncpg://u:p@h/db"),
        ("postgresql+asyncpg://u:p@h/db", "postgresql+asyncpg://u:p@h/db"),
        ("postgresql://u@h/db", "postgresql+asyncpg://u@h/db"),
        ("postgresql://u:p@[::1]:5432/db", "postgresql+asyncpg://u:p@[::1]:5432/db"),
        ("postgresql:///db?host=/var/run", "postgresql+asyncpg:///db?host=%2Fvar%2Frun"),
        ("postgresql://u:p@h/db?sslmode=require", "postgresql+asyncpg://u:p@h/db?ssl=require"),
        (
            "postgresql://u:p@h/db?application_name=x&sslmode=verify-full",
            "postgresql+asyncpg://u:p@h/db?application_name=x&ssl=verify-full",
        ),
    ],
)
def test_any_form_of_a_postgresql_url_gets_our_driver(load: Load, given: str, used: str) -> None:
    assert load(DATABASE_URL=given).database_url.get_secret_value() == used


@pytest.mark.parametrize(
    ("written", "password"),
    [
        ("p%40ss", "p@ss"),
        ("p%3Ass", "p:ss"),
        ("p%2Fss", "p/ss"),
        ("p%25ss", "p%ss"),
        ("p%23ss", "p#ss"),
        ("p%40%3A%2F%25%23%3F%20", "p@:/%#? "),
        ("p%C3%A7", "pç"),
        ("p:ss", "p:ss"),  # what can be told apart need not be encoded
        ("p/ss", "p/ss"),
        ("p#ss", "p#ss"),
    ],
)
def test_a_password_with_signs_of_a_url_reaches_the_database_as_it_is(load: Load, written: str, password: str) -> None:
    url = make_url(load(DATABASE_URL=f"postgresql://u:{written}@h:5432/db").database_url.get_secret_value())
    assert (url.username, url.password, url.host, url.port, url.database) == ("u", password, "h", 5432, "db")


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "h/db",
        "mysql://u:hush@h/db",
        "http://u:hush@h/db",
        "amqp://u:hush@h/db",
        "postgresql://u:hush@h:abc/db",
        "postgresql://u:hush@h:0/db",
        "postgresql://u:hush@h:99999/db",
        "postgresql://u:hu@sh@h/db",  # read as the host sh@h otherwise
        "postgresql//u:hush@h/db",
        " ",
    ],
)
def test_what_is_no_postgresql_url_is_refused_without_showing_it(load: Load, url: str) -> None:
    told = fault(load, DATABASE_URL=url)
    assert told.startswith("DATABASE_URL: ")
    assert "hu" not in told.replace("should", "")
    assert url.strip() == "" or url not in told


def test_the_password_is_not_shown_with_the_settings(load: Load) -> None:
    settings = load(DATABASE_URL="postgresql://u:hush@h/db", RABBITMQ_URL="amqp://u:hush@h/")
    assert "hush" not in f"{settings!r} {settings} {settings.model_dump()}"


@pytest.mark.parametrize("name", ["DATABASE_URL", "RABBITMQ_URL"])
def test_not_even_the_library_s_own_error_shows_a_value(load: Load, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    load()
    monkeypatch.setenv(name, "nonsense-hush")
    with pytest.raises(ValidationError) as caught:
        IngestorSettings()
    assert "hush" not in str(caught.value)


# RABBITMQ_URL and QUEUE_NAME


@pytest.mark.parametrize(
    "url",
    [
        "amqp://h",
        "amqp://guest:guest@127.0.0.1:5672/",
        "amqps://u:p@h/vhost",
        "amqp://u:p%40%3A%2F%25@h:5672/%2F",
        "amqp://u:p@[::1]:5672/",
        "amqp://u:p@ss@h/",
    ],
)
def test_a_broker_s_url_is_taken_as_it_stands(load: Load, url: str) -> None:
    broker = load(RABBITMQ_URL=url).rabbitmq_url
    assert broker is not None
    assert broker.get_secret_value() == url


def test_an_empty_rabbitmq_url_means_no_broker(load: Load) -> None:
    assert load(RABBITMQ_URL="").rabbitmq_url is None


@pytest.mark.parametrize(
    "url",
    [
        " ",
        "nonsense",
        "h:5672",
        "amqp://",
        "amqp:///vhost",
        "http://u:hush@h/",
        "amqp://u:hush@h:0/",
        "amqp://u:hush@h:abc/",
        "amqp://u:hush@h:99999/",
        "amqp://u:hush@[h/",
        "amqp://u:hush/x@h/",
        "amqp://u:hush\u2100@h/",  # a sign that becomes a/c, which urllib complains of by showing all of it
    ],
)
def test_what_is_no_broker_s_url_is_refused_without_showing_it(load: Load, url: str) -> None:
    told = fault(load, RABBITMQ_URL=url)
    assert told.startswith("RABBITMQ_URL: is not a broker's URL")
    assert "hush" not in told


def test_a_queue_s_name_loses_its_blanks(load: Load) -> None:
    assert load(QUEUE_NAME="  ingest.test ").queue_name == "ingest.test"


@pytest.mark.parametrize("name", ["   ", "q" * 251])
def test_a_queue_needs_a_name_that_a_broker_can_hold(load: Load, name: str) -> None:
    assert fault(load, QUEUE_NAME=name).startswith("QUEUE_NAME: ")


# PNCP_MODALIDADES


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("6", [6]),
        ("1-19", list(range(1, 20))),
        ("1-4,6", [1, 2, 3, 4, 6]),
        (" 8 , 6 ", [6, 8]),
        ("6,6,5-6", [5, 6]),
        ("7-7", [7]),
        ("06", [6]),
        ("1 - 3", [1, 2, 3]),
        ("99", [99]),
        ("1-99", list(range(1, 100))),
    ],
)
def test_modalidades_are_numbers_and_ranges(load: Load, text: str, chosen: list[int]) -> None:
    assert load(PNCP_MODALIDADES=text).pncp_modalidades == chosen


def test_no_modalidades_named_means_all(load: Load) -> None:
    assert load(PNCP_MODALIDADES="").pncp_modalidades == list(range(1, 20))


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "6a",
        "1-",
        "-3",
        "1-2-3",
        "1,,2",
        "6,",
        ",",
        " ",
        "1.5",
        "[6]",
        "0",
        "0-3",
        "100",
        "1-100",
        "1-99999999999",
        "5-3",
        "5-3,7",  # seven alone would be a surprise
        "\u00b2",
        "\u0666",
        pytest.param("9" * 5000, id="5000 digits"),
        pytest.param("1-" + "9" * 5000, id="a range to 5000 digits"),
    ],
)
def test_what_is_no_list_of_modalidades_is_refused_without_showing_it(load: Load, text: str) -> None:
    told = fault(load, PNCP_MODALIDADES=text)
    assert told in {
        "PNCP_MODALIDADES: expected numbers and ranges such as 1-13,15",
        "PNCP_MODALIDADES: expected at least one number, each from 1 to 99",
    }


# PNCP_BASE_URL


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("https://pncp.gov.br/api", "https://pncp.gov.br/api"),
        ("https://pncp.gov.br/api/", "https://pncp.gov.br/api"),
        ("http://127.0.0.1:8099/api", "http://127.0.0.1:8099/api"),
        ("http://[::1]:8099", "http://[::1]:8099"),
        (" https://pncp.gov.br/api ", "https://pncp.gov.br/api"),
    ],
)
def test_the_portal_s_address_is_taken_without_its_last_slash(load: Load, given: str, used: str) -> None:
    assert load(PNCP_BASE_URL=given).pncp_base_url == used


@pytest.mark.parametrize(
    "url",
    [
        "pncp.gov.br/api",
        "ftp://pncp.gov.br",
        "file:///etc/passwd",
        "http://",
        "http:///api",
        "http://h:abc/api",
        "http://h:99999/api",
        "http://[h/api",
        "http://h\u2100/api",
        "https://h/api?x=1",
        "https://h/api#x",
        " ",
    ],
)
def test_what_is_no_address_of_a_portal_is_refused(load: Load, url: str) -> None:
    assert fault(load, PNCP_BASE_URL=url) == "PNCP_BASE_URL: is not a URL; expected https://pncp.gov.br/api"


# Numbers


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PNCP_PAGE_SIZE", "9"),  # the portal answers 400 to less than 10
        ("PNCP_PAGE_SIZE", "501"),  # and to more than 500
        ("PNCP_PAGE_SIZE", "20.5"),
        ("PNCP_REQUESTS_PER_SECOND", "-1"),
        ("PNCP_REQUESTS_PER_SECOND", "nan"),
        ("PNCP_REQUESTS_PER_SECOND", "inf"),
        ("PNCP_REQUESTS_IN_FLIGHT", "-1"),
        ("PNCP_ITENS_CONCURRENCY", "0"),
        ("PNCP_PAUSE_SECONDS", "0"),
        ("PNCP_PAUSE_SECONDS", "901"),
        ("HTTP_TIMEOUT", "0"),
        ("HTTP_TIMEOUT", "nan"),
        ("HTTP_TIMEOUT", "30s"),
        ("ROLLING_WINDOW_MINUTES", "0"),
        ("UPDATE_OVERLAP_MINUTES", "-1"),
        ("WORKER_CONCURRENCY", "0"),
        ("LEASE_SECONDS", "1"),
        ("PNCP_RETRY_WAIT_MAX", "-1"),
        ("SLICE_RETRY_SECONDS", "0"),
        ("METRICS_PORT", "-1"),
        ("METRICS_PORT", "65536"),
        ("METRICS_PORT", "http"),
        ("LOG_LEVEL", "LOUD"),
        ("LOG_FORMAT", "xml"),
    ],
)
def test_a_number_out_of_bounds_is_refused_by_name(load: Load, name: str, value: str) -> None:
    assert fault(load, **{name: value}).startswith(f"{name}: Input should be ")


def test_no_limit_of_requests_is_a_choice(load: Load) -> None:
    settings = load(PNCP_REQUESTS_PER_SECOND="0", PNCP_REQUESTS_IN_FLIGHT="0")
    assert (settings.pncp_requests_per_second, settings.pncp_requests_in_flight) == (0, 0)


@pytest.mark.parametrize("days", ["0", "60", "3650"])
def test_the_history_is_kept_for_two_months_at_least_or_for_ever(load: Load, days: str) -> None:
    assert load().history_days == 180
    assert load(HISTORY_DAYS=days).history_days == int(days)


@pytest.mark.parametrize("days", ["1", "59"])
def test_a_history_that_alerts_need_cannot_be_deleted(load: Load, days: str) -> None:
    assert fault(load, HISTORY_DAYS=days).startswith("HISTORY_DAYS: expected 0, to keep all, or at least 60")


# The schedule


def test_the_schedule_runs_every_quarter_of_an_hour_and_at_one_at_night(load: Load) -> None:
    settings = load()
    assert settings.schedule_enabled
    assert settings.crons == {"update": "*/15 * * * *", "sweep": "0 1 * * *", "dominios.update": "30 2 * * *"}


def test_crons_are_read_and_the_schedule_can_be_switched_off(load: Load) -> None:
    crons = {
        "SCHEDULE_UPDATE": " */30 6-22 * * MON-FRI",
        "SCHEDULE_SWEEP": "30 2 * * *",
        "SCHEDULE_DOMINIOS": "0 5 * * *",
    }
    settings = load(**crons, SCHEDULE_ENABLED="false")
    assert not settings.schedule_enabled
    assert settings.crons == {
        "update": "*/30 6-22 * * MON-FRI",
        "sweep": "30 2 * * *",
        "dominios.update": "0 5 * * *",
    }


def test_the_domain_tables_alone_can_be_left_out(load: Load) -> None:
    assert list(load(SCHEDULE_DOMINIOS="off").crons) == ["update", "sweep"]


@pytest.mark.parametrize("variable", ["SCHEDULE_UPDATE", "SCHEDULE_SWEEP", "SCHEDULE_DOMINIOS"])
@pytest.mark.parametrize("value", ["nightly", "* * * *", "0 0 30 2 *", "*/15 * * * * *"])
def test_a_cron_that_is_none_is_refused_with_what_is_expected(load: Load, variable: str, value: str) -> None:
    told = fault(load, **{variable: value})
    assert told.startswith(f"{variable}: expected a cron expression of five fields")
    assert value not in told.replace("*/15 * * * *", "", 1)


def test_only_contratacoes_are_kept_up_to_date_unless_more_is_asked_for(load: Load) -> None:
    assert load().pncp_resources == ["contratacoes"]


def test_no_two_schedules_start_at_the_same_minute_of_a_night_and_all_are_cron(load: Load) -> None:
    settings = load(PNCP_RESOURCES=",".join(RESOURCE_NAMES))
    assert len(settings.crons) == 2 * len(RESOURCE_NAMES) + 1  # and the domain tables
    assert len(set(settings.crons.values())) == len(settings.crons)
    assert all(check_cron(cron) == cron for cron in settings.crons.values())
    assert settings.crons["atas.update"] == "50 * * * *"
    assert settings.crons["pcas.update"] == "0 22 * * *"


def test_each_cron_of_another_resource_can_be_set(load: Load) -> None:
    settings = load(
        PNCP_RESOURCES="contratacoes,contratos,atas",
        SCHEDULE_CRONS=" contratos.update = 5,35 * * * * ;atas.sweep=30 2 * * MON-FRI; pcas.update=0 0 * * *",
    )
    assert settings.crons == {
        "update": "*/15 * * * *",
        "sweep": "0 1 * * *",
        "contratos.update": "5,35 * * * *",
        "contratos.sweep": "0 3 * * *",
        "atas.update": "50 * * * *",
        "atas.sweep": "30 2 * * MON-FRI",
        "dominios.update": "30 2 * * *",
    }
    assert settings.update_crons["contratos"] == "5,35 * * * *"


@pytest.mark.parametrize("value", ["atas=0 1 * * *", "update=0 1 * * *", "0 1 * * *", "atas.updates=0 1 * * *"])
def test_crons_of_schedules_that_do_not_exist_are_refused(load: Load, value: str) -> None:
    assert "SCHEDULE_CRONS: expected name=cron, separated by semicolons, of contratos.update, " in fault(
        load, SCHEDULE_CRONS=value
    )


def test_a_cron_of_another_resource_that_is_none_is_refused(load: Load) -> None:
    assert "SCHEDULE_CRONS: expected a cron expression" in fault(load, SCHEDULE_CRONS="atas.update=nightly")


def test_resources_have_schedules_of_their_own(load: Load) -> None:
    settings = load(PNCP_RESOURCES="contratos, contratacoes")
    assert settings.pncp_resources == ["contratacoes", "contratos"]
    assert list(settings.crons) == ["update", "sweep", "contratos.update", "contratos.sweep", "dominios.update"]
    assert load(PNCP_RESOURCES="contratos").update_crons == {"contratos": settings.crons["contratos.update"]}
    assert "PNCP_RESOURCES: expected names among contratacoes, contratos" in fault(load, PNCP_RESOURCES="contratos,pca")


def test_a_worker_may_be_kept_to_some_kinds_of_work(load: Load) -> None:
    assert load().worker_kinds == ["sync", "delivery", "intake"]
    assert load(WORKER_KINDS="delivery").worker_kinds == ["delivery"]
    assert "WORKER_KINDS" in fault(load, WORKER_KINDS="reading")


@pytest.mark.parametrize(
    ("written", "scope"),
    [
        ("nenhum", None),
        ("tudo", Scope()),
        ("uf=sp, MG; dias=30", Scope(uf=("SP", "MG"), dias=30)),
        ("cnpj=00394460000141;modalidade=6,8", Scope(cnpj=("00394460000141",), modalidade=(6, 8))),
    ],
)
def test_a_scope_of_lists_is_words_or_filters(written: str, scope: Scope | None) -> None:
    assert parse_scope(written) == scope
    assert parse_scope(str(scope) if scope else "nenhum") == scope


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("uf=XX", "no UF"),
        ("estado=SP", "expected nenhum, tudo, or filters"),
        ("uf=", "expected nenhum, tudo, or filters"),
        ("uf=SP;uf=MG", "stands there twice"),
        ("cnpj=123", "no CNPJ"),
        ("modalidade=0", "no number from 1"),
        ("dias=1,2", "one number"),
    ],
)
def test_a_scope_that_cannot_be_meant_is_refused(written: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        parse_scope(written)


def test_a_scope_of_termos_by_modalidade_is_refused_at_the_start(load: Load) -> None:
    with pytest.raises(ConfigurationError, match="PNCP_TERMOS: contratos have no modalidade"):
        load(PNCP_RESULTADOS="modalidade=6", PNCP_TERMOS="modalidade=6")
    scopes = load(PNCP_RESULTADOS="modalidade=6", PNCP_TERMOS="tudo").list_scopes
    assert scopes == {"resultados": Scope(modalidade=(6,)), "arquivos": None, "historico": None, "termos": Scope()}


def test_a_day_of_the_mirror_is_that_of_all_resources_that_are_kept_up_to_date(load: Load) -> None:
    assert load().goals == {}
    assert load(MIRROR_FROM="2021-01-01").goals == {"contratacoes": date(2021, 1, 1)}
    assert load(MIRROR_FROM="2023-02-28", PNCP_RESOURCES="contratacoes,atas").goals == {
        "contratacoes": date(2023, 2, 28),
        "atas": date(2023, 2, 28),
    }


def test_a_resource_can_have_a_day_of_its_own(load: Load) -> None:
    assert load(MIRROR_FROM=" 2021-01-01 , atas = 2024-06-01").goals == {
        "contratacoes": date(2021, 1, 1),
        "atas": date(2024, 6, 1),
    }
    assert load(MIRROR_FROM="pcas=2022-01-01").goals == {"pcas": date(2022, 1, 1)}


@pytest.mark.parametrize(
    "value",
    ["2020-12-31", "01/01/2021", "2021", "1609459200", "2023-02-30", "ata=2021-01-01", "atas=", "2021-01-01;atas"],
)
def test_a_day_of_the_mirror_that_is_none_is_refused_with_what_is_expected(load: Load, value: str) -> None:
    assert (
        "MIRROR_FROM: expected a day from 2021-01-01 on, or resource=day, between commas, of contratacoes, "
        in fault(load, MIRROR_FROM=value)
    )
