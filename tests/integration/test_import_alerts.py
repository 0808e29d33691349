"""Alerts of imports: refused files of the folder, and rows that wait for long."""

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from backend.services.alerts.episodes import Notifier, run_once
from backend.services.alerts.findings import Rules
from backend.services.alerts.texts import Episode, compose
from tests.intake_rows import Intake, good
from tests.integration.conftest import Database

NOW = datetime.now(UTC)


@pytest.fixture
def intake(engine: AsyncEngine) -> Intake:
    return Intake(engine)


async def look(database: Database) -> Any:
    """Evaluate once; the open episode of imports, or null."""
    rules = Rules(no_success=None, reminder=None, schedule_enabled=False, update_crons={})
    await run_once(database.engine, rules, Notifier([]), now=datetime.now(UTC), watching_since=NOW)
    found = await database.rows("SELECT * FROM alerts WHERE resolved_at IS NULL AND kind = 'import'")
    return found[0] if found else None


async def test_refused_files_of_the_folder_are_an_alert_for_a_day_and_others_are_none(
    database: Database, intake: Intake
) -> None:
    await intake.ended(await intake.file(door="page"), "refused")
    await intake.ended(await intake.file(door="folder"))
    assert await look(database) is None, "a person has seen the one, the other was taken in"
    refused = await intake.file("compras", door="folder")
    await intake.ended(refused, "refused")
    await database.rows("UPDATE imports SET fault = 'a planilha está vazia' WHERE id = :id", id=refused)
    episode = await look(database)
    assert episode.summary == "1 arquivo da pasta foi recusado, por último compras/a.csv"
    shown = Episode(episode.id, episode.kind, episode.summary, episode.details, episode.opened_at)
    message = compose("opened", shown, number=1, public_url="https://pncp.example", reminder=None)
    assert "recusados/" in message.text
    assert f"importação {refused}: a planilha está vazia" in message.text
    assert "https://pncp.example/#/entradas" in message.text
    await database.rows("UPDATE imports SET ended_at = now() - interval '25 hours'")
    assert await look(database) is None
    assert "as recusas têm mais de um dia" in str(await database.value("SELECT details FROM alerts"))


async def test_rows_that_wait_for_over_a_day_are_an_alert_until_what_is_missing_has_come(
    database: Database, intake: Intake
) -> None:
    import_id = await intake.file()
    await intake.staged(import_id, [good(row, str(row)) for row in (2, 3)], held=False)
    for row in (2, 3):
        await intake.waits(import_id, row, "fornecedores_proprios", "x")
    await intake.ended(import_id, age="23 hours")
    assert await look(database) is None
    await database.rows("UPDATE imports SET ended_at = now() - interval '25 hours'")
    said = "2 linhas esperam há mais de um dia por registros de fornecedores_proprios"
    assert (await look(database)).summary == said
    await database.rows("UPDATE import_rows SET state = 'processed', waits_key = NULL")
    assert await look(database) is None
