"""`python -m tests.chaos.courier`: a courier that stops itself (SIGSTOP) where a request is about to leave.

`CHAOS_FREEZE` is `PLACE,SHARE,SEED`: `send` is behind the last look at the lease, where no sender can help it; `pace`
is before. The storm lets it go on. What is run is the product's own `python -m ingestor`.
"""

import os
import random
import signal
from typing import Any

from ingestor import __main__ as ingestor
from ingestor.delivery.http import HttpSender
from ingestor.delivery.pace import Pace

PLACES: dict[str, tuple[type, str]] = {"send": (HttpSender, "send"), "pace": (Pace, "wait")}


def freeze_at(place: str, share: float, seed: int) -> None:
    """From now on stop before so large a share of the calls."""
    owner, name = PLACES[place]
    goes_on = getattr(owner, name)
    draws = random.Random(f"{seed}/{os.getpid()}")

    async def stops(*arguments: Any, **options: Any) -> Any:
        if draws.random() < share:
            os.kill(os.getpid(), signal.SIGSTOP)
        return await goes_on(*arguments, **options)

    setattr(owner, name, stops)


if __name__ == "__main__":
    place, share, seed = os.environ["CHAOS_FREEZE"].split(",")
    freeze_at(place, float(share), int(seed))
    ingestor.main()
