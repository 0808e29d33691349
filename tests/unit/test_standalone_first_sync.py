"""Which syncs a demonstration asks for, and what it shows of them."""

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest

from standalone.first_sync import (
    Backend,
    backfills_of,
    choose_days,
    connect,
    progress_line,
    resources_of,
    run_first_sync,
    spans_around,
    spans_of,
    today,
)
from standalone.processes import Supervisor
from standalone.system import LaunchError

SPAN = (date(2026, 3, 1), date(2026, 3, 10))


def _success(first: str, last: str) -> dict[str, Any]:
    return {"window_start": f"{first}T00:00:00", "window_end": f"{last}T23:59:59"}


def test_a_short_span_is_one_backfill() -> None:
    assert list(backfills_of(SPAN, date(2026, 4, 1))) == [
        {"mode": "backfill", "data_ini": "2026-03-01T00:00:00", "data_fim": "2026-03-10T23:59:59"}
    ]


def test_a_long_span_is_cut_into_years_without_gap_or_overlap() -> None:
    parts = list(backfills_of((date(2024, 1, 1), date(2026, 1, 15)), date(2026, 4, 1)))
    assert [(part["data_ini"][:10], part["data_fim"][:10]) for part in parts] == [
        ("2024-01-01", "2024-12-30"),
        ("2024-12-31", "2025-12-30"),
        ("2025-12-31", "2026-01-15"),
    ]


def test_single_days_are_spans_the_newest_first_and_a_weekend_parts_none() -> None:
    days = [date(2026, 3, 5), date(2024, 1, 2), date(2026, 3, 6), date(2026, 3, 9), date(2026, 3, 13)]
    assert spans_of(days) == [
        (date(2026, 3, 13), date(2026, 3, 13)),
        (date(2026, 3, 5), date(2026, 3, 9)),
        (date(2024, 1, 2), date(2024, 1, 2)),
    ]
    assert spans_of([]) == []


def test_a_day_is_left_out() -> None:
    assert spans_around(SPAN, None) == [SPAN]
    assert spans_around(SPAN, date(2026, 3, 8)) == [
        (date(2026, 3, 1), date(2026, 3, 7)),
        (date(2026, 3, 9), date(2026, 3, 10)),
    ]
    assert spans_around(SPAN, date(2026, 3, 10)) == [(date(2026, 3, 1), date(2026, 3, 9))]


def test_days_to_come_are_not_asked_for() -> None:
    (part,) = backfills_of(SPAN, date(2026, 3, 5))
    assert part["data_fim"] == "2026-03-05T23:59:59"
    assert list(backfills_of(SPAN, date(2026, 2, 1))) == []


def test_all_days_are_asked_for_when_none_was_read() -> None:
    assert choose_days([], SPAN) == SPAN


def test_no_day_is_asked_for_when_all_were_read() -> None:
    assert choose_days([_success("2026-03-01", "2026-03-10")], SPAN) is None


def test_a_next_day_begins_where_the_last_sync_ended() -> None:
    assert choose_days([_success("2026-02-20", "2026-03-04")], SPAN) == (date(2026, 3, 4), SPAN[1])


def test_days_before_those_read_are_asked_for() -> None:
    assert choose_days([_success("2026-03-05", "2026-03-10")], SPAN) == SPAN


def test_the_progress_line_takes_what_is_there() -> None:
    assert progress_line({}) == "execution ?, 0 contratacoes"
    whole = {"percent": 12.6, "slices_total": 190, "slices_done": 24}
    line = progress_line({"id": 7, "resource": "contratos", "records_processed": 41, "progress": whole})
    assert line == "execution 7, 13 %, 24 of 190 slices, 41 contratos"


class _Fake:
    """A backend whose executions succeed at the second look, but for those told to fail."""

    def __init__(self) -> None:
        self.history: dict[str, list[dict[str, Any]]] = {"running": [], "success": []}
        self.posted: list[str] = []
        self.fails: set[str] = set()
        self.looks: dict[str, int] = {}
        self.asked_of: list[str] = []

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            self.posted.append(request.content.decode())
            return httpx.Response(200, json={"request_id": str(100 + len(self.posted))})
        if request.url.path == "/sync/history":
            self.asked_of.append(request.url.params["resource"])
            return httpx.Response(200, json={"executions": self.history[request.url.params["status"]]})
        number = request.url.path.rpartition("/")[2]
        self.looks[number] = self.looks.get(number, 0) + 1
        status = "running" if self.looks[number] == 1 else "error" if number in self.fails else "success"
        return httpx.Response(200, json={"id": int(number), "status": status})


@pytest.fixture
def fake() -> _Fake:
    return _Fake()


@pytest.fixture
def backend(fake: _Fake, tmp_path: Path) -> Iterator[Backend]:
    with httpx.Client(base_url="http://backend", transport=httpx.MockTransport(fake.answer)) as client:
        yield Backend(client, Supervisor(tmp_path), poll_seconds=0)


def test_a_first_start_asks_for_a_backfill(fake: _Fake, backend: Backend) -> None:
    assert run_first_sync(backend, SPAN)
    assert len(fake.posted) == 1
    assert '"backfill"' in fake.posted[0]
    assert '"contratacoes"' in fake.posted[0]


def test_each_resource_has_a_first_sync_of_its_own(fake: _Fake, backend: Backend) -> None:
    fake.history["success"] = [{"id": 5, **_success("2026-03-01", "2026-03-10")}]
    assert run_first_sync(backend, SPAN, "contratos")
    assert fake.asked_of == ["contratos", "contratos"], "its own history decides"
    assert ['"contratos"' in body for body in fake.posted] == [True]


@pytest.mark.parametrize(
    ("setting", "resources"),
    [
        ({}, ["contratacoes"]),
        ({"PNCP_RESOURCES": ""}, ["contratacoes"]),
        ({"PNCP_RESOURCES": "contratos, contratacoes"}, ["contratos", "contratacoes"]),
    ],
)
def test_what_is_kept_up_to_date_is_what_the_first_sync_reads(setting: dict[str, str], resources: list[str]) -> None:
    assert resources_of(setting) == resources


def test_an_unfinished_sync_is_watched_and_not_asked_for_again(fake: _Fake, backend: Backend) -> None:
    fake.history["running"] = [{"id": 5}]
    fake.history["success"] = [{"id": 5, **_success("2026-03-01", "2026-03-10")}]
    assert run_first_sync(backend, SPAN)
    assert fake.looks["5"] == 2
    assert fake.posted == []


def test_a_finished_first_sync_is_followed_by_an_update(
    fake: _Fake, backend: Backend, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.history["success"] = [{"id": 5, **_success("2026-03-01", "2026-03-10")}]
    assert run_first_sync(backend, SPAN)
    assert "finished already" in capsys.readouterr().out
    assert ["update" in body for body in fake.posted] == [True]


def test_a_failed_sync_is_told(fake: _Fake, backend: Backend) -> None:
    fake.fails = {"101"}
    assert not run_first_sync(backend, (today(), today()))


def test_a_refusal_is_told_with_what_the_backend_said(tmp_path: Path) -> None:
    refuse: Callable[[httpx.Request], httpx.Response] = lambda _: httpx.Response(503, text="no broker")  # noqa: E731
    with httpx.Client(base_url="http://backend", transport=httpx.MockTransport(refuse)) as client:
        backend = Backend(client, Supervisor(tmp_path))
        with pytest.raises(LaunchError, match=r"POST /sync/force with 503: no broker"):
            backend.force({"mode": "update"})


def test_the_administrators_password_is_sent(tmp_path: Path) -> None:
    settings = {"ADMIN_PASSWORD": "secret"}
    with connect("http://backend", settings, Supervisor(tmp_path)) as backend:
        assert isinstance(backend.client.auth, httpx.BasicAuth)


def test_a_password_that_is_only_known_by_its_hash_cannot_be_sent(tmp_path: Path) -> None:
    with (
        pytest.raises(LaunchError, match="set ADMIN_PASSWORD too"),
        connect("http://backend", {"ADMIN_PASSWORD_HASH": "x"}, Supervisor(tmp_path)),
    ):
        pass
