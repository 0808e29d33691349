"""Values that do not fit their columns, counted by table, path and kind."""

from collections.abc import Iterable
from typing import Any

import asyncpg
import structlog

from common.masking import mask_numbers
from ingestor.sources.values import Bundle, Drift, Itens
from ingestor.store.statements import ListStatements, Statements

log = structlog.get_logger(__name__)

Drifted = dict[tuple[str, str, str], tuple[int, str]]
"""How many records came with a drift, and the value of the first, by table, path and kind."""
_COUNT_DRIFT = """
    INSERT INTO schema_drift AS known (resource, path, kind, records, example)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[])
    ON CONFLICT (resource, path, kind) DO UPDATE
       SET records = known.records + excluded.records, last_seen = now()
    RETURNING resource, path, kind, example, xmax = 0 AS is_new
"""


def drift_of(statements: Statements, bundles: list[Bundle]) -> Drifted:
    """What of these records and of their lists does not fit."""
    found = drift_of_lists(statements.list, (bundle.itens for bundle in bundles)) if statements.list else {}
    for bundle in bundles:
        _add_drift(found, statements.table, bundle.record.drift)
    return found


def drift_of_lists(statements: ListStatements, lists: Iterable[Itens]) -> Drifted:
    """What of these lists does not fit."""
    found: Drifted = {}
    for itens in lists:
        for _, drift in itens.drifted.values():
            _add_drift(found, statements.table, drift)
    return found


def _add_drift(found: Drifted, resource: str, drifts: Iterable[Drift]) -> None:
    for drift in drifts:
        records, example = found.get((resource, drift.path, drift.kind), (0, drift.example))
        found[resource, drift.path, drift.kind] = records + 1, example


async def count_drift(driver: "asyncpg.Connection[Any]", drift: Drifted) -> None:
    """Count what did not fit its column, in the transaction that stores it; log what is new."""
    kinds = sorted(drift)
    counts = [drift[kind] for kind in kinds]
    told = await driver.fetch(
        _COUNT_DRIFT,
        *([kind[place] for kind in kinds] for place in range(3)),
        *([count[place] for count in counts] for place in range(2)),
    )
    for resource, path, kind, example, is_new in told:
        if is_new:
            log.warning(
                "a field does not fit its column",
                resource=resource,
                field=path,
                kind_of_value=kind,
                example=mask_numbers(example),
            )
