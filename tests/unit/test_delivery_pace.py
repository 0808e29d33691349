"""The pace of requests to a destination."""

from ingestor.delivery.pace import Pace


class Clock:
    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 6))
        self.now += seconds


async def test_requests_begin_evenly_spaced() -> None:
    clock = Clock()
    pace = Pace(4, clock=clock, sleep=clock.sleep)
    for _ in range(3):
        await pace.wait()
    assert clock.slept == [0.25, 0.25]


async def test_time_that_passed_without_requests_is_not_saved_up() -> None:
    clock = Clock()
    pace = Pace(1, clock=clock, sleep=clock.sleep)
    await pace.wait()
    clock.now += 60
    await pace.wait()
    await pace.wait()
    assert clock.slept == [1]


async def test_without_a_limit_no_request_waits() -> None:
    clock = Clock()
    pace = Pace(None, clock=clock, sleep=clock.sleep)
    for _ in range(100):
        await pace.wait()
    assert clock.slept == []
