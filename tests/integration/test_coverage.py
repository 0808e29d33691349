"""The coverage of days: what makes a day complete, partial, failed, running or never asked for."""

from datetime import date, datetime, time, timedelta
from typing import Any

import httpx
import pytest

from backend.services import dashboard
from common.clock import BRASILIA
from common.lifecycle import executions, slices
from common.lifecycle.slices import PageCounts, PlannedSlice
from ingestor.sources.values import Rejected
from ingestor.store.rejected import keep_rejected
from tests.integration.conftest import Database, piece

DAY = date(2025, 3, 10)
NEXT = DAY + timedelta(days=1)


@pytest.fixture(autouse=True)
def read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """The dashboard shares no reading between the questions of these tests."""
    monkeypatch.setattr(dashboard, "FRESH_SECONDS", 0.0)


async def coverage(api: httpx.AsyncClient, first: date = DAY, last: date = DAY, **options: Any) -> dict[str, Any]:
    answer = await api.get("/sync/coverage", params={"from": str(first), "to": str(last), **options})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def state_of(api: httpx.AsyncClient, day: date = DAY) -> str:
    (one,) = (await coverage(api, day, day))["days"]
    return str(one["state"])


async def read(
    database: Database,
    *pieces: PlannedSlice,
    error: str | None = None,
    records: int = 3,
    told: int = 3,
    began: str | None = None,
    criterio: Any = "publicacao",
    resource: str = "contratacoes",
) -> int:
    """A backfill of these slices that has ended, and was begun at `began` (Brasília) where that matters."""
    execution_id = await database.planned(pieces or [piece(DAY)], criterio=criterio, resource=resource)
    for _ in pieces or [None]:
        claim = await database.claim()
        if began is not None:
            await database.rows(
                "UPDATE sync_slices SET started_at = :at WHERE id = :id",
                at=datetime.fromisoformat(began).replace(tzinfo=BRASILIA),
                id=claim.slice_id,
            )
        counts = PageCounts(processed=records)
        await database.run(
            slices.advance, claim, counts, pages_done=1, pages_total=1, total_registros=told, lease_seconds=60
        )
        if error is None:
            await database.run(slices.finish, claim)
        else:
            await database.run(slices.fail, claim, "no_answer", error)
    await database.run(executions.close, execution_id)
    return execution_id


def part(day: date = DAY, *, start: str = "00:00:00", end: str = "23:59:59") -> PlannedSlice:
    at = [datetime.fromisoformat(f"{day}T{clock}") for clock in (start, end)]
    return PlannedSlice(6, day, day, at[0], at[1])


async def test_nothing_was_ever_asked_for(api: httpx.AsyncClient) -> None:
    found = await coverage(api, DAY, NEXT)

    assert found["modalidades"] == []
    assert [one["day"] for one in found["days"]] == [str(DAY), str(NEXT)]
    assert found["days"][0] == {
        "day": str(DAY),
        "state": "never",
        "complete": 0,
        "partial": 0,
        "failed": 0,
        "running": 0,
        "rejected": 0,
        "missing": 0,
        "records": 0,
        "total_registros": None,
        "records_rejected": 0,
        "modalidades": None,
    }


async def test_a_whole_closed_day_that_was_read_is_complete_and_its_neighbour_is_not(
    api: httpx.AsyncClient, database: Database
) -> None:
    await read(database, piece(DAY, 6), piece(DAY, 8), records=5, told=6)

    found = await coverage(api, DAY, NEXT)

    assert found["modalidades"] == [6, 8]
    first, second = found["days"]
    assert (first["state"], first["complete"], first["missing"]) == ("complete", 2, 0)
    assert (first["records"], first["total_registros"]) == (10, 12)
    assert (second["state"], second["missing"]) == ("never", 2)


@pytest.mark.parametrize(
    ("began", "state"),
    [("2025-03-10T23:59:59", "partial"), ("2025-03-11T00:00:00", "complete"), ("2025-03-11T02:30:00", "complete")],
)
async def test_a_day_is_complete_only_if_it_was_over_in_brasilia_when_its_reading_began(
    api: httpx.AsyncClient, database: Database, began: str, state: str
) -> None:
    await read(database, began=began)
    assert await state_of(api) == state


@pytest.mark.parametrize("window", [{"end": "23:59:58"}, {"start": "00:00:01"}, {"start": "08:00:00"}])
async def test_part_of_a_day_is_partial(api: httpx.AsyncClient, database: Database, window: dict[str, str]) -> None:
    await read(database, part(**window))
    assert await state_of(api) == "partial"


async def test_a_failure_is_failed_until_a_later_reading_succeeds(api: httpx.AsyncClient, database: Database) -> None:
    await read(database, error="status 503")
    assert await state_of(api) == "failed"
    await read(database)
    assert await state_of(api) == "complete"


async def test_a_failure_after_a_complete_reading_takes_nothing_away(
    api: httpx.AsyncClient, database: Database
) -> None:
    whole = await read(database, records=5)
    await read(database, error="status 503", records=1)

    (day,) = (await coverage(api, detail=True))["days"]

    assert (day["state"], day["records"]) == ("complete", 5)
    assert (day["modalidades"][0]["execution_id"], day["modalidades"][0]["error_message"]) == (whole, None)


async def test_a_complete_day_stays_so_when_its_execution_is_deleted(
    api: httpx.AsyncClient, database: Database
) -> None:
    execution_id = await read(database, records=5, told=6)
    (before,) = (await coverage(api, detail=True))["days"]
    assert before["modalidades"][0]["execution_id"] == execution_id

    await database.rows("DELETE FROM sync_executions")

    (day,) = (await coverage(api, detail=True))["days"]
    assert day["modalidades"][0].pop("execution_id") is None
    assert before["modalidades"][0].pop("execution_id") == execution_id
    assert day == before


async def test_a_failure_after_part_of_a_day_is_a_failure(api: httpx.AsyncClient, database: Database) -> None:
    await read(database, part(end="12:00:00"))
    await read(database, error="status 503")
    assert await state_of(api) == "failed"
    await read(database, part(end="12:00:00"))
    assert await state_of(api) == "partial"


async def test_what_waits_or_runs_is_running_but_a_complete_day_stays_complete(
    api: httpx.AsyncClient, database: Database
) -> None:
    await read(database, piece(DAY), error="status 503")
    await read(database, piece(NEXT))
    await database.planned([piece(DAY), piece(NEXT)])
    assert [one["state"] for one in (await coverage(api, DAY, NEXT))["days"]] == ["running", "complete"]
    await database.claim()
    assert await state_of(api) == "running"


async def test_a_day_lacks_the_modalidades_that_were_asked_for_on_other_days(
    api: httpx.AsyncClient, database: Database
) -> None:
    await read(database, piece(DAY, 6))
    await read(database, piece(NEXT, 6), piece(NEXT, 8))

    first, second = (await coverage(api, DAY, NEXT))["days"]

    assert (first["state"], first["complete"], first["missing"]) == ("partial", 1, 1)
    assert (second["state"], second["missing"]) == ("complete", 0)
    assert await state_of(api) == "complete", "in a span of its own nothing tells of 8"


async def test_one_failed_modalidade_fails_the_day(api: httpx.AsyncClient, database: Database) -> None:
    await read(database, piece(DAY, 6))
    await read(database, piece(DAY, 8), error="status 503")

    (day,) = (await coverage(api, detail=True))["days"]

    assert (day["state"], day["complete"], day["failed"]) == ("failed", 1, 1)
    told = ("modalidade", "state", "cause", "error_message")
    assert [tuple(one[name] for name in told) for one in day["modalidades"]] == [
        (6, "complete", None, None),
        (8, "failed", "no_answer", "status 503"),
    ]


async def test_one_modalidade_may_be_asked_for_alone(api: httpx.AsyncClient, database: Database) -> None:
    await read(database, piece(DAY, 6))
    await read(database, piece(DAY, 8), error="status 503")

    found = await coverage(api, modalidade=6)

    assert (found["modalidades"], found["days"][0]["state"]) == ([6], "complete")
    assert (await coverage(api, modalidade=7))["days"][0]["state"] == "never"


async def test_what_changed_on_a_day_says_nothing_of_what_was_published(
    api: httpx.AsyncClient, database: Database
) -> None:
    await read(database, criterio="atualizacao")
    assert await state_of(api) == "never"


async def test_today_is_partial_at_best(api: httpx.AsyncClient, database: Database) -> None:
    today = await database.value("SELECT CAST(timezone('America/Sao_Paulo', now()) AS date)")
    await read(database, piece(today))
    assert await state_of(api, today) == "partial"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("", "from é obrigatório"),
        ("from=2025-03-10", "to é obrigatório"),
        ("from=2025-03-10&to=2025-03-09", "from deve ser anterior ou igual a to"),
        ("from=2025-01-01&to=2026-01-02", "não pode passar de 366 dias"),
        ("from=2025-01-01&to=2025-02-01&detail=true", "não pode passar de 31 dias"),
        ("from=2025-02-30&to=2025-03-09", "from inexistente no calendário"),
        ("from=2025-3-1&to=2025-03-09", "from inválida: use YYYY-MM-DD"),
        ("from=2025-03-01T00:00:00&to=2025-03-09", "from inválida"),
        ("from=20250301&to=2025-03-09", "from inválida"),
        ("from=%00&to=2025-03-09", "from inválida"),
        ("from=2025-03-01&to=٢٠٢٥-٠٣-٠٩", "to inválida"),
        ("from=2025-03-01&to=2025-03-09&modalidade=0", "modalidade deve ser no mínimo 1"),
        ("from=2025-03-01&to=2025-03-09&modalidade=99999999999999999999", "modalidade deve ser no máximo"),
        ("from=2025-03-01&to=2025-03-09&modalidade=x", "modalidade deve ser um número inteiro"),
        ("from=2025-03-01&to=2025-03-09&unknown=1", "unknown não é um campo conhecido"),
        ("from=2025-03-01&from=2025-03-02&to=2025-03-09", "from foi informado mais de uma vez"),
    ],
)
async def test_what_cannot_be_asked_is_refused(api: httpx.AsyncClient, query: str, said: str) -> None:
    answer = await api.get(f"/sync/coverage?{query}")
    assert answer.status_code == 422, answer.text
    assert said in answer.json()["detail"]


async def test_the_ends_of_the_calendar_are_no_fault(api: httpx.AsyncClient) -> None:
    assert (await coverage(api, date(9999, 12, 31), date(9999, 12, 31)))["days"][0]["state"] == "never"
    assert len((await coverage(api, date(1, 1, 1), date(2, 1, 1)))["days"]) == 366


# --- records that could not be stored ---------------------------------------------------------------------------


async def read_with_rejected(database: Database, *hashes: str, day: date = DAY, criterio: Any = "publicacao") -> None:
    """A whole reading of a day that meets these records which cannot be stored."""
    execution_id = await database.planned([piece(day)], criterio=criterio)
    claim = await database.claim()
    for name in hashes:
        record = Rejected(None, "dataPublicacaoPncp: no date", f"{{{name}}}", "contratacoes")
        await database.run(keep_rejected, record, execution_id=execution_id, slice_id=claim.slice_id)
    await database.run(slices.finish, claim)
    await database.run(executions.close, execution_id)


async def test_a_day_with_rejected_records_is_not_complete(api: httpx.AsyncClient, database: Database) -> None:
    """Seen with 20 of 21 records and a tick."""
    await read_with_rejected(database, "a", "b")
    await read(database, piece(DAY, 8))
    await read(database, piece(NEXT))

    first, second = (await coverage(api, DAY, NEXT, detail=True))["days"]

    assert (first["state"], first["complete"], first["rejected"], first["records_rejected"]) == ("rejected", 1, 1, 2)
    states = {one["modalidade"]: (one["state"], one["records_rejected"]) for one in first["modalidades"]}
    assert states == {6: ("rejected", 2), 8: ("complete", 0)}
    assert (second["state"], second["records_rejected"]) == ("partial", 0), "8 is missing there"


async def test_a_rejected_record_counts_until_it_is_stored_or_its_day_shows_it_no_more(
    api: httpx.AsyncClient, database: Database
) -> None:
    await read_with_rejected(database, "a", "b")
    # a sweep of changes meets them too: they stay where their day's listing showed them
    await read_with_rejected(database, "a", "b", day=NEXT, criterio="atualizacao")
    assert [one["records_rejected"] for one in (await coverage(api, DAY, NEXT))["days"]] == [2, 0]

    await database.rows("UPDATE rejected_records SET resolved_at = now() WHERE payload = '{a}'")
    (day,) = (await coverage(api))["days"]
    assert (day["state"], day["records_rejected"]) == ("rejected", 1)

    await read_with_rejected(database, "b")
    assert await state_of(api) == "rejected", "it is still there"
    await read(database)
    assert await state_of(api) == "complete", "the portal has corrected it"


async def test_the_dashboard_tells_of_rejected_records(api: httpx.AsyncClient, database: Database) -> None:
    async def told() -> Any:
        return (await api.get("/sync/dashboard")).json()["rejections"]

    assert await told() == {"records": 0, "days": 0, "first_day": None, "last_day": None}
    today = datetime.now(BRASILIA).date()
    days = [today - timedelta(days=n) for n in (36, 9, 2)]
    for number, day in enumerate(days):
        await read_with_rejected(database, f"a{number}", f"b{number}", day=day)
    await read_with_rejected(database, "c", day=today, criterio="atualizacao")
    expected = {"records": 5, "days": 2, "first_day": str(days[1]), "last_day": str(days[2])}
    assert await told() == expected, "those of 36 days ago are history, that of an update has no day yet"
    await read(database, piece(days[2]))
    assert (await told())["days"] == 1


@pytest.mark.parametrize(("resource", "told"), [("atas", 6), ("pcas", None), ("instrumentos_cobranca", None)])
async def test_the_days_of_a_resource_that_is_read_by_its_changes_alone_are_those_of_its_changes(
    api: httpx.AsyncClient, database: Database, resource: str, told: int | None
) -> None:
    """A total that counts items, or rows twice, is none of records."""
    whole, again = (
        piece(DAY, 0),
        PlannedSlice(0, DAY, NEXT, datetime.combine(DAY, time()), datetime.combine(NEXT, time(12))),
    )
    await read(database, whole, records=5, told=6, criterio="atualizacao", resource=resource)
    await read(database, again, records=1, told=1, criterio="atualizacao", resource=resource)

    answer = await api.get(
        "/sync/coverage", params={"from": str(DAY), "to": str(NEXT), "resource": resource, "detail": True}
    )
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["modalidades"] == []
    assert [one["state"] for one in found["days"]] == ["complete", "never"]
    assert [one["records"] for one in found["days"]] == [5, 0]
    assert found["days"][0]["total_registros"] == told
    (part,) = found["days"][0]["modalidades"]
    assert (part["modalidade"], part["state"], part["total_registros"]) == (None, "complete", told)


async def test_spans_say_of_every_day_what_the_coverage_says(api: httpx.AsyncClient, database: Database) -> None:
    await read(database, piece(DAY), piece(DAY, 8))
    await read(database, piece(NEXT), piece(NEXT, 8))
    await read(database, piece(NEXT + timedelta(days=1)))
    await read_with_rejected(database, "a", day=NEXT + timedelta(days=3))

    answer = await api.get("/sync/coverage/spans")

    assert answer.status_code == 200, answer.text
    spans = answer.json()["spans"]
    assert answer.json()["modalidades"] == [6, 8]
    told = {
        str(date.fromisoformat(span["first_day"]) + timedelta(days=n)): span["state"]
        for span in spans
        for n in range((date.fromisoformat(span["last_day"]) - date.fromisoformat(span["first_day"])).days + 1)
    }
    assert spans[0] == {"first_day": "2021-01-01", "last_day": str(DAY - timedelta(days=1)), "state": "never"}
    assert spans[1] == {"first_day": str(DAY), "last_day": str(NEXT), "state": "complete"}
    assert list(told)[-1] == str(datetime.now(BRASILIA).date())
    shown = await coverage(api, DAY, NEXT + timedelta(days=3))
    assert {one["day"]: one["state"] for one in shown["days"]} == {
        day: state for day, state in told.items() if str(DAY) <= day <= str(NEXT + timedelta(days=3))
    }


async def test_spans_of_one_modalidade_and_since_a_day(api: httpx.AsyncClient, database: Database) -> None:
    await read(database, piece(DAY), piece(DAY, 8), error="page 2: status 503")

    answer = await api.get("/sync/coverage/spans", params={"from": str(DAY), "modalidade": 8})

    assert [span["state"] for span in answer.json()["spans"]] == ["failed", "never"]
    for first in ("2020-12-31", "2025-02-30", "yesterday"):
        assert (await api.get("/sync/coverage/spans", params={"from": first})).status_code == 422
