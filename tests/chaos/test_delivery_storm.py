"""A storm of deliveries; and that its invariants have teeth: mistakes, made on purpose, are each noticed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.chaos.deliveries import DeliveryStorm, Weather
from tests.chaos.fleet import make_folder, remove_folder

pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("chaos")]

STORM_SECONDS = 25


@pytest.fixture
def folder() -> Iterator[Path]:
    made = make_folder()
    yield made
    remove_folder(made)


async def test_after_a_storm_of_deliveries_the_receiver_has_every_record_once_and_in_order(
    folder: Path, engine: AsyncEngine, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    result = await DeliveryStorm(engine, database_url, folder, 1, Weather()).run(STORM_SECONDS)
    with capsys.disabled():
        print(f"\n{result}")  # noqa: T201  # what was injected and compared is the point
    assert not result.findings.broken, f"{result.findings}\n{result}"
