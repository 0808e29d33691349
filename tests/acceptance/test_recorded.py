"""What the portal really answered, served again: every recorded contratação ends in the mirror as it was recorded."""

import json
from collections import defaultdict
from datetime import datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import text

from common import executions
from common.clock import days
from tests.acceptance.conftest import Stack
from tests.support import eventually


def read(raw: str) -> Any:
    return json.loads(raw, parse_float=Decimal)


def recorded_versions(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Every recorded version of every contratação in the `contratacoes-publicacao` files."""
    versions: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for path in sorted((folder / "contratacoes-publicacao").glob("*.json")):
        content = read(path.read_text())
        records = content.get("data", [content]) if isinstance(content, dict) else content
        for record in records:
            versions[record["numeroControlePNCP"]].append(record)
    return versions


def version_of(record: dict[str, Any]) -> str:
    return max(record["dataAtualizacao"], record["dataAtualizacaoGlobal"])


async def test_every_recorded_contratacao_is_stored_in_its_newest_version_as_it_was_recorded(
    stack: Stack, recorded: Path
) -> None:
    versions = recorded_versions(recorded)
    published = sorted({datetime.fromisoformat(v["dataPublicacaoPncp"]).date() for vs in versions.values() for v in vs})
    modalidades = {record["modalidadeId"] for records in versions.values() for record in records}
    stack.settings["PNCP_MODALIDADES"] = ",".join(map(str, sorted(modalidades)))
    await stack.start_simulator("--recorded", str(recorded))
    await stack.start_ingestor(LOG_LEVEL="INFO")

    async with stack.engine.begin() as db:
        for day in published:  # the days between them have nothing, and there are years of those
            start = datetime.combine(day, time())
            _, _, end = next(days(start, datetime.combine(day, time(23, 59, 59))))
            await executions.create(db, mode="backfill", window_start=start, window_end=end, trigger="api")

    async def all_ended() -> bool:
        async with stack.engine.connect() as db:
            running = await db.execute(text("SELECT count(*) FROM sync_executions WHERE status = 'running'"))
            return running.scalar_one() == 0

    await eventually(all_ended, seconds=100, every=0.25)
    async with stack.engine.connect() as db:
        failed = await db.execute(text("SELECT error_message FROM sync_executions WHERE status <> 'success'"))
        assert failed.scalars().all() == []
        rows = await db.execute(text("SELECT numero_controle_pncp, CAST(payload AS text) FROM contratacoes"))
        stored = {row[0]: read(row[1]) for row in rows}
        rejected = await db.execute(text("SELECT reason FROM rejected_records"))
        assert rejected.scalars().all() == []
    assert set(stored) >= set(versions)
    for key, recordings in versions.items():
        newest = max(map(version_of, recordings))
        assert stored[key] in [record for record in recordings if version_of(record) == newest], key
