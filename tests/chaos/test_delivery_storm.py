"""A storm of deliveries; and that its invariants have teeth: mistakes, made on purpose, are each noticed."""

import dataclasses
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from simulator.receiver.faults import Faults
from tests.chaos.deliveries import FAULTS, DeliveryStorm, Result, Weather
from tests.chaos.fleet import make_folder, remove_folder
from tests.chaos.variants import (
    CURSOR_AT_THE_END,
    FAILURE_COUNTS_AS_SENT,
    NEW_KEY_AT_EACH_TRY,
    SABOTAGE_OF_DELIVERIES,
    SETTLED_WITHOUT_THE_SLICE,
    SHORT_OVERLAP,
    UNBROKEN,
    UNKNOWN_RECORDS_FORGOTTEN,
    Patches,
    make_copy,
)

pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("storms of deliveries")]

STORM_SECONDS = 25
LONG_STORM_SECONDS = 40
Run = Callable[..., Awaitable[Result]]


@pytest.fixture
def folder() -> Iterator[Path]:
    made = make_folder()
    yield made
    remove_folder(made)


@pytest.fixture
def storm(folder: Path, engine: AsyncEngine, database_url: str, capsys: pytest.CaptureFixture[str]) -> Run:
    async def run(seed: int, weather: Weather, seconds: float, patches: Patches = UNBROKEN) -> Result:
        result = await DeliveryStorm(engine, database_url, folder, seed, weather).run(seconds, patches)
        with capsys.disabled():
            print(f"\n{result}")  # noqa: T201  # what was injected and compared is the point
        return result

    return run


async def test_after_a_storm_of_deliveries_the_receiver_has_every_record_once_and_in_order(storm: Run) -> None:
    weather = Weather()
    result = await storm(1, weather, STORM_SECONDS)
    assert not result.findings.broken, f"{result.findings}"
    assert result.findings.looked["I10"] > weather.records
    assert set(result.findings.looked) >= {"I10", "I11", "I12", "ends", "quiet"}
    assert sum(result.faults.values()) >= 4


RESULTS = "a result for each record"
LONG = {
    RESULTS: Weather(),
    "whole requests refused": Weather(form="whole"),
    "requests over a size refused": Weather(form="whole", faults=dataclasses.replace(FAULTS, largest=4500)),
    "a plain receiver, frozen before the lease is looked at": Weather(honours_key=False, freezes=("pace", 0.03)),
}


OTHERS = [name for name in LONG if name != RESULTS]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "seed"), [*((RESULTS, seed) for seed in (1, 2, 3)), *zip(OTHERS, (1, 2, 3), strict=True)]
)
async def test_after_a_long_storm_the_receiver_has_every_record_in_order(storm: Run, name: str, seed: int) -> None:
    result = await storm(seed, LONG[name], LONG_STORM_SECONDS)
    assert not result.findings.broken, f"{result.findings}"


# --- teeth ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mistake:
    """A broken copy, the weather that brings the mistake to light, and the invariants of which one must notice it.

    `sound`: the same without the mistake.
    """

    patches: Patches
    weather: Weather
    noticed: frozenset[str]
    sound: Patches = field(default_factory=dict)
    seconds: float = STORM_SECONDS


_FEW = Weather(records=1000, freezes=None, kills=False)
TARGETED = {
    "a new key at each try": Mistake(
        NEW_KEY_AT_EACH_TRY, dataclasses.replace(_FEW, faults=Faults(error_after=0.2, bad=0.01)), frozenset({"I11"})
    ),
    "a failure that counts as sent": Mistake(
        FAILURE_COUNTS_AS_SENT, dataclasses.replace(_FEW, faults=Faults(error_before=0.2, bad=0.01)), frozenset({"I10"})
    ),
    "a verdict that is written without the slice": Mistake(
        SETTLED_WITHOUT_THE_SLICE,
        Weather(records=25, faults=Faults(), freezes=("send", 1), is_placed=True),
        frozenset({"I11"}),
    ),
    "records without a verdict that are forgotten": Mistake(
        UNKNOWN_RECORDS_FORGOTTEN, dataclasses.replace(_FEW, faults=Faults(missing=0.1)), frozenset({"I10"})
    ),
    "a cursor that is moved to the end of a run": Mistake(
        CURSOR_AT_THE_END,
        dataclasses.replace(_FEW, faults=Faults(), full_share=0, calm="update", latency_ms=150, concurrency=1),
        frozenset({"I10"}),
        sound=SHORT_OVERLAP,
    ),
}


@pytest.mark.parametrize("name", SABOTAGE_OF_DELIVERIES)
def test_each_mistake_of_deliveries_still_finds_the_lines_that_it_breaks(tmp_path: Path, name: str) -> None:
    root = make_copy(tmp_path, SABOTAGE_OF_DELIVERIES[name])
    for file in SABOTAGE_OF_DELIVERIES[name]:
        compile((root / file).read_text(), file, "exec")


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETED)
async def test_a_mistake_of_deliveries_is_noticed(storm: Run, name: str) -> None:
    mistake = TARGETED[name]
    result = await storm(1, mistake.weather, mistake.seconds, mistake.patches)
    assert mistake.noticed & result.findings.broken, f"{result}"


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETED)
async def test_the_same_weather_without_the_mistake_breaks_nothing(storm: Run, name: str) -> None:
    mistake = TARGETED[name]
    result = await storm(1, mistake.weather, mistake.seconds, mistake.sound)
    assert not result.findings.broken, f"{result.findings}\n{result}"
