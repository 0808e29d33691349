"""The files of connections as this process knows them: loaded again when they change, and the last good ones stay."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path, PurePath

import structlog

from backend.errors import NotFoundError
from common.connections.loading import Stamp, check_connections, stamp_of
from common.connections.reading import Fault
from common.connections.settings import Client, Destination
from common.entities.delivered import DELIVERED, Delivered

log = structlog.get_logger(__name__)

LOOK_SECONDS = 2.0
FOLDER = "destinations"


@dataclass(frozen=True)
class Known:
    """What the files say.

    A destination whose file has faults is in `faults`, and as it was before in `destinations`, if it ever held. A
    client whose file has faults is not there: what it may do is what its file says now.
    """

    destinations: Mapping[str, Destination] = field(default_factory=dict)
    clients: Mapping[str, Client] = field(default_factory=dict)
    entities: Mapping[str, Delivered] = field(default_factory=lambda: DELIVERED)
    faults: Mapping[str, Sequence[Fault]] = field(default_factory=dict)
    other_faults: Sequence[Fault] = ()

    @property
    def names(self) -> list[str]:
        """All destinations that have a file, sorted."""
        return sorted({*self.destinations, *self.faults})


class ConnectionFiles:
    """The folder of connections, looked at on request; secrets are never resolved here."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._known = Known()
        self._stamp: Stamp | None = None
        self._looked_at = float("-inf")
        self._loading = asyncio.Lock()

    async def load(self) -> Known:
        """What the files say now, give or take two seconds."""
        if self.folder is None:
            return self._known
        async with self._loading:
            if time.monotonic() - self._looked_at >= LOOK_SECONDS:
                await self._look(self.folder)
                self._looked_at = time.monotonic()
        return self._known

    async def _look(self, folder: Path) -> None:
        stamp = await asyncio.to_thread(stamp_of, folder)
        if stamp == self._stamp:
            return
        found, faults = await asyncio.to_thread(check_connections, folder)
        of_destinations: dict[str, list[Fault]] = {}
        others = []
        for fault in faults:
            path = PurePath(fault.file)
            if path.parent.name == FOLDER:
                of_destinations.setdefault(path.stem, []).append(fault)
            else:
                others.append(fault)
        kept = {name: one for name, one in self._known.destinations.items() if name in of_destinations}
        self._known = Known({**kept, **found.destinations}, found.clients, found.entities, of_destinations, others)
        self._stamp = stamp
        log.info("connections loaded", destinations=len(found.destinations), faults=len(faults))


def unknown_destination(name: str, names: Sequence[str]) -> NotFoundError:
    """The error for a name that no destination has, with the nearest one."""
    near = get_close_matches(name, names, n=1)
    return NotFoundError("unknown_destination", name=name, near=near or list(names))


def unknown_entity(name: str, known: Known) -> NotFoundError:
    """The error for a name that no entity has, with the nearest one."""
    near = get_close_matches(name.replace("-", "_"), known.entities, n=1)
    return NotFoundError("unknown_entity", name=name, near=near or sorted(known.entities))
