"""What the portal really answered, served again: every recorded record ends in the mirror as it was recorded."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime, time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from common.clock import days
from common.lifecycle import admission
from common.resources import RESOURCES_BY_NAME
from common.resources.description import Resource
from tests.acceptance.conftest import Stack
from tests.mirror import as_kept, columns_that_differ, key_of, lists_mirrored, loads, mirrored, versions_of_rows
from tests.support import eventually

FOLDERS = {"contratacoes": ["contratacoes-publicacao"], "contratos": ["contratos", "contratos-atualizacao"]}
FORMS = {
    "contratacoes": re.compile(r"[0-9A-Z]{14}-1-[0-9]+/[0-9]{4}"),
    "contratos": re.compile(r"[0-9A-Z]{14}-2-[0-9]+/[0-9]{4}"),
}


def recorded_versions(folder: Path, resource: str) -> dict[str, list[dict[str, Any]]]:
    """Every recorded version of every record of a resource, by its key."""
    versions: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for path in sorted(path for name in FOLDERS[resource] for path in (folder / name).glob("*.json")):
        for record in records_in(loads(path.read_text()), FORMS[resource]):
            versions[record["numeroControlePNCP"]].append(record)
    assert versions
    return versions


def records_in(value: Any, form: re.Pattern[str]) -> Iterator[dict[str, Any]]:
    """The records somewhere within a recorded answer."""
    if isinstance(value, list):
        for inner in value:
            yield from records_in(inner, form)
    elif isinstance(value, dict):
        if form.fullmatch(str(value.get("numeroControlePNCP"))) and "dataPublicacaoPncp" in value:
            yield value
        else:
            yield from records_in(list(value.values()), form)


def version_of(record: dict[str, Any]) -> str:
    return max(record["dataAtualizacao"], record["dataAtualizacaoGlobal"])


async def backfill_every_day(stack: Stack, resource: str, versions: dict[str, list[dict[str, Any]]]) -> None:
    """Read each day of publication by itself, to its end; between them are years without any."""
    published = sorted({datetime.fromisoformat(v["dataPublicacaoPncp"]).date() for vs in versions.values() for v in vs})
    async with stack.engine.begin() as db:
        for day in published:
            start = datetime.combine(day, time())
            _, _, end = next(days(start, datetime.combine(day, time(23, 59, 59))))
            await admission.create(
                db, mode="backfill", resource=resource, window_start=start, window_end=end, trigger="api"
            )

    await all_have_succeeded(stack)


async def all_have_succeeded(stack: Stack) -> None:
    async def all_ended() -> bool:
        async with stack.engine.connect() as db:
            running = await db.execute(text("SELECT count(*) FROM sync_executions WHERE status = 'running'"))
            return running.scalar_one() == 0

    await eventually(all_ended, seconds=150, every=0.25)
    async with stack.engine.connect() as db:
        failed = await db.execute(text("SELECT error_message FROM sync_executions WHERE status <> 'success'"))
        assert failed.scalars().all() == []
        rejected = await db.execute(text("SELECT reason FROM rejected_records"))
        assert rejected.scalars().all() == []


async def assert_stored_as_recorded(stack: Stack, resource: str, versions: dict[str, list[dict[str, Any]]]) -> None:
    """Every record is stored once, in its newest version, equal to what was recorded."""
    stored = await mirrored(stack.engine, RESOURCES_BY_NAME[resource])
    assert set(stored) >= set(versions)
    for key, recordings in versions.items():
        newest = max(map(version_of, recordings))
        assert stored[key] in [record for record in recordings if version_of(record) == newest], key


async def test_every_recorded_contratacao_is_stored_in_its_newest_version_as_it_was_recorded(
    stack: Stack, recorded: Path
) -> None:
    versions = recorded_versions(recorded, "contratacoes")
    modalidades = {record["modalidadeId"] for records in versions.values() for record in records}
    stack.settings["PNCP_MODALIDADES"] = ",".join(map(str, sorted(modalidades)))
    await stack.start_simulator("--recorded", str(recorded))
    await stack.start_ingestor(LOG_LEVEL="INFO")

    await backfill_every_day(stack, "contratacoes", versions)

    await assert_stored_as_recorded(stack, "contratacoes", versions)


async def test_every_recorded_contrato_is_stored_once_as_it_was_recorded_and_a_second_run_writes_nothing(
    stack: Stack, recorded: Path
) -> None:
    versions = recorded_versions(recorded, "contratos")
    await stack.start_simulator("--recorded", str(recorded))
    await stack.start_ingestor(LOG_LEVEL="INFO")

    await backfill_every_day(stack, "contratos", versions)
    await assert_stored_as_recorded(stack, "contratos", versions)

    async with stack.engine.connect() as db:
        stored = (await db.execute(text("SELECT count(*), max(updated_at) FROM contratos"))).one()
    await backfill_every_day(stack, "contratos", versions)
    async with stack.engine.connect() as db:
        assert (await db.execute(text("SELECT count(*), max(updated_at) FROM contratos"))).one() == stored
        written = await db.execute(text("SELECT sum(records_inserted), sum(records_updated) FROM sync_slices"))
        assert written.one() == (len(versions), 0)
        assert (await db.execute(text("SELECT count(*) FROM contratacoes"))).scalar_one() == 0


# --- resources that are read by their last change ----------------------------------------------------------------

LISTED_BY_CHANGE = {
    "atas": ["atas", "atas-atualizacao"],
    "pcas": ["pca", "pca-atualizacao"],
    "instrumentos_cobranca": ["instrumentoscobranca"],
}


def recorded_by_key(folder: Path, resource: Resource) -> dict[str, list[dict[str, Any]]]:
    """Every recorded version of every record of a resource, as its payload is kept, by its key.

    One ata of 2023 has none of the stamps that all later ones have: it cannot have come by a listing of changes.
    """
    needed = {column.path for column in resource.columns if column.required}
    versions: dict[str, list[dict[str, Any]]] = defaultdict(list)

    def look(value: Any) -> None:
        if isinstance(value, dict) and needed <= value.keys():
            versions[key_of(resource, value)].append(as_kept(resource, value))
        elif isinstance(value, dict | list):
            for inner in value.values() if isinstance(value, dict) else value:
                look(inner)

    for name in LISTED_BY_CHANGE[resource.name]:
        for path in sorted((folder / name).glob("*.json")):
            look(loads(path.read_text()))
    assert versions
    return versions


async def backfill_the_days_of(stack: Stack, resource: Resource, stamps: Iterable[str]) -> None:
    async with stack.engine.begin() as db:
        for day in sorted({datetime.fromisoformat(stamp).date() for stamp in stamps}):
            start, end = datetime.combine(day, time()), datetime.combine(day, time(23, 59, 59))
            await admission.create(
                db, mode="backfill", resource=resource.name, window_start=start, window_end=end, trigger="api"
            )
    await all_have_succeeded(stack)


@pytest.mark.parametrize("name", list(LISTED_BY_CHANGE))
async def test_every_recorded_record_is_stored_once_in_its_newest_version_and_a_second_run_writes_nothing(
    stack: Stack, recorded: Path, name: str
) -> None:
    resource = RESOURCES_BY_NAME[name]
    versions = recorded_by_key(recorded, resource)
    stamp = next(column.path for column in resource.columns if column.name == resource.listings["atualizacao"].stamp)
    stamps = [version[stamp] for found in versions.values() for version in found]
    await stack.start_simulator("--recorded", str(recorded))
    await stack.start_ingestor(LOG_LEVEL="INFO")

    await backfill_the_days_of(stack, resource, stamps)

    stored = await mirrored(stack.engine, resource)
    assert set(stored) >= set(versions)
    for key, recordings in versions.items():
        newest = max(version[stamp] for version in recordings)
        assert stored[key] in [version for version in recordings if version[stamp] == newest], key
    assert await columns_that_differ(stack.engine, resource) == []
    before = await versions_of_rows(stack.engine, resource)

    await backfill_the_days_of(stack, resource, stamps)

    assert await versions_of_rows(stack.engine, resource) == before


async def test_every_recorded_item_of_a_plan_is_stored_as_it_was_recorded(stack: Stack, recorded: Path) -> None:
    pcas = RESOURCES_BY_NAME["pcas"]
    items: dict[tuple[str, int], Any] = {}
    stamps: dict[str, str] = {}
    for path in sorted((recorded / "pca-itens-pncpapi").glob("*.json")):
        for item in loads(path.read_text()):
            key = f"{item['cnpj']}-0-{item['sequencialPca']:06d}/{item['anoPca']}"
            items[key, item["numeroItem"]] = item
            stamps[key] = max(stamps.get(key, ""), item["dataAtualizacao"], item["dataPublicacaoPncp"])
    assert items
    await stack.start_simulator("--recorded", str(recorded))
    await stack.start_ingestor(LOG_LEVEL="INFO")

    await backfill_the_days_of(stack, pcas, stamps.values())

    stored = await lists_mirrored(stack.engine, pcas)
    assert {key: stored.get(key) for key in items} == items
