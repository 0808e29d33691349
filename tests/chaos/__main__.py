"""`./pncp chaos`: real processes, random faults, and the invariants that must hold afterwards."""

import argparse
import asyncio
import os
import signal
import sys
from pathlib import Path

from tests.chaos.fleet import Fleet, make_folder, remove_folder
from tests.chaos.services import find_rabbitmq
from tests.chaos.storm import Result, Storm, storm_quirks
from tests.chaos.variants import SABOTAGE, UNBROKEN, Patches

NO_BROKER = "rabbitmq-server is not installed"


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def run_storm(folder: Path, seed: int, seconds: float, ingestors: int = 2, patches: Patches = UNBROKEN) -> Result:
    """One storm in this folder; its faults go to `faults.log`, line by line. `patches` break the product on purpose."""
    with (folder / "faults.log").open("w", buffering=1) as log:
        fleet = Fleet(folder, seed=seed, ingestors=ingestors, patches=patches)
        fleet.quirks = storm_quirks(fleet)
        async with fleet:
            return await Storm(fleet, seed, seconds, lambda line: log.write(line + "\n")).run()


async def _main(options: argparse.Namespace, folder: Path) -> int:
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    patches = SABOTAGE[options.sabotage] if options.sabotage else UNBROKEN
    result = await run_storm(folder, options.seed, options.seconds, options.ingestors, patches)
    say(str(result))
    say(str(result.findings))
    return 1 if result.findings.broken else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="./pncp chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="what all faults and requests are drawn from (1)")
    parser.add_argument("--seconds", type=float, default=600, help="how long the storm lasts (600)")
    parser.add_argument("--ingestors", type=int, default=2, help="how many there are (2)")
    parser.add_argument("--sabotage", choices=sorted(SABOTAGE), help="break the product in this way: is it noticed?")
    parser.add_argument("--keep", action="store_true", help="keep the folder with all logs, also after a green run")
    options = parser.parse_args()
    if find_rabbitmq() is None:
        if os.environ.get("CI"):
            say(f"chaos: {NO_BROKER}, and under CI it must be")
            return 1
        say(f"- {NO_BROKER}: a storm without a broker")
    folder = make_folder()
    say(f"- seed {options.seed}, {options.seconds:.0f} s of storm; logs in {folder}")
    code = 130
    try:
        code = asyncio.run(_main(options, folder))
    except (KeyboardInterrupt, asyncio.CancelledError):
        say("interrupted")
    finally:
        if code == 1 or options.keep:
            say(f"logs are kept in {folder}")
        else:
            remove_folder(folder)
    return code


if __name__ == "__main__":
    sys.exit(main())
