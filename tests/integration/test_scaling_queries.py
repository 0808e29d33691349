"""What KEDA would ask the database, asked of it: work that is there counts, whoever has it, and nothing else."""

import yaml

from tests.integration.conftest import CLOSED_DAY, MODALIDADE, Database, piece
from tests.support import ROOT

QUERIES = {
    document["metadata"]["name"]: document["spec"]["triggers"][0]["metadata"]["query"]
    for document in yaml.safe_load_all((ROOT / "k8s" / "keda.yaml").read_text())
    if document["kind"] == "ScaledObject"
}
DELIVERY = """
    INSERT INTO sync_executions (kind, resource, mode, criterio, trigger, status, held)
    VALUES ('delivery', 'crm', 'update', 'atualizacao', 'api', 'running', CAST(:held AS jsonb)) RETURNING id
"""
STREAM = """
    INSERT INTO sync_slices (execution_id, ordinal, kind, resource, mode, criterio, part)
    VALUES (:execution_id, :ordinal, 'delivery', 'crm', 'update', 'atualizacao', 1)
"""


async def counted(database: Database) -> dict[str, int]:
    return {name: await database.value(query) for name, query in QUERIES.items()}


async def test_slices_that_are_read_or_may_be_read_now_want_ingestors(database: Database) -> None:
    assert await counted(database) == {"ingestor": 0, "courier": 0}

    execution_id = await database.planned([piece(CLOSED_DAY, number) for number in (MODALIDADE, 7, 8)])
    assert await counted(database) == {"ingestor": 3, "courier": 0}
    claim = await database.claim()
    assert await counted(database) == {"ingestor": 3, "courier": 0}

    later = "UPDATE sync_slices SET run_after = now() + interval '1 hour' WHERE status = 'pending'"
    await database.rows(later)
    assert await counted(database) == {"ingestor": 1, "courier": 0}
    await database.rows("UPDATE sync_slices SET status = 'success' WHERE id = :id", id=claim.slice_id)
    assert await counted(database) == {"ingestor": 0, "courier": 0}
    assert await database.value("SELECT count(*) FROM sync_slices WHERE execution_id = :id", id=execution_id) == 3


async def test_deliveries_want_couriers_each_once_and_not_while_an_administrator_has_to_confirm(
    database: Database,
) -> None:
    delivery = await database.value(DELIVERY, held=None)
    for ordinal in (1, 2):
        await database.rows(STREAM, execution_id=delivery, ordinal=ordinal)
    assert await counted(database) == {"ingestor": 0, "courier": 1}

    held = await database.value(DELIVERY.replace("'crm'", "'erp'"), held='{"reason": "many"}')
    await database.rows(STREAM.replace("'crm'", "'erp'"), execution_id=held, ordinal=1)
    assert await counted(database) == {"ingestor": 0, "courier": 1}
