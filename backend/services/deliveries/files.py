"""The files of connections as this process knows them: loaded again when they change, and the last good ones stay."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from hashlib import blake2b
from pathlib import Path, PurePath

import structlog

from backend.errors import NotFoundError
from common.connections.loading import ENTITIES, LAYOUTS, Stamp, check_connections, no_connections, stamp_of
from common.connections.reading import Fault
from common.connections.settings import Client, Connections, Destination, Layout, Source
from common.entities.declared import Declaration
from common.entities.delivered import DELIVERED, Delivered
from common.entities.entity import ENTITIES_BY_ADDRESS, Entity, of_declared
from common.entities.reconciliation import DEADLINE_DAYS, to_list
from common.entities.reconciliation import NAME as RECONCILIATION

log = structlog.get_logger(__name__)

LOOK_SECONDS = 2.0
FOLDER = "destinations"
_DECLARING = (ENTITIES, LAYOUTS)


@dataclass(frozen=True)
class Known:
    """What the files say.

    A destination whose file has faults is in `faults`, and as it was before in `destinations`, if it ever held. So are
    entities and layouts. A client whose file has faults is not there: what it may do is what its file says now.
    """

    destinations: Mapping[str, Destination] = field(default_factory=dict)
    clients: Mapping[str, Client] = field(default_factory=dict)
    entities: Mapping[str, Delivered] = field(default_factory=lambda: DELIVERED)
    faults: Mapping[str, Sequence[Fault]] = field(default_factory=dict)
    other_faults: Sequence[Fault] = ()
    declarations: Mapping[str, Declaration] = field(default_factory=dict)
    layouts: Mapping[str, Layout] = field(default_factory=dict)
    sources: Mapping[str, Source] = field(default_factory=dict)
    secret: str = field(default="", repr=False)

    @cached_property
    def lists(self) -> Mapping[str, Entity]:
        """Those of declared entities, by their addresses."""
        made = [_list_of(each, self.secret) for each in self.declarations.values()]
        return {each.address: each for each in made}

    def list_of(self, address: str) -> Entity | None:
        """The list at an address, of the mirror or of a declared entity; that of the latter may have underscores."""
        return ENTITIES_BY_ADDRESS.get(address) or self.lists.get(address.replace("_", "-"))

    @property
    def addresses(self) -> list[str]:
        """Those of all lists."""
        return [*ENTITIES_BY_ADDRESS, *self.lists]

    @property
    def names(self) -> list[str]:
        """All destinations that have a file, sorted."""
        return sorted({*self.destinations, *self.faults})


class ConnectionFiles:
    """The folder of connections, looked at on request; secrets are never resolved here.

    `key`: the same in all backends; of it follows what cursors hide numbers of natural persons behind.
    """

    def __init__(self, folder: Path | None, deadline_days: int = DEADLINE_DAYS, key: bytes | None = None) -> None:
        self._secret = "" if key is None else blake2b(b"cursors", key=key, digest_size=16).hexdigest()
        self.folder = folder
        self.deadline_days = deadline_days
        without = no_connections(deadline_days)
        self._known = Known(
            entities=without.entities,
            declarations=without.declarations,
            layouts=without.layouts,
            secret=self._secret,
        )
        self._stamp: Stamp | None = None
        self._looked_at = float("-inf")
        self._loading = asyncio.Lock()

    @property
    def known(self) -> Known:
        """What the files said when they were last loaded."""
        return self._known

    async def watch(self) -> None:
        """Look at the folder again and again, so that `known` is of the moment."""
        while True:
            try:
                await self.load()
            except OSError as error:  # a disk that is away may come back
                log.warning("connections could not be read", error=type(error).__name__)
            await asyncio.sleep(LOOK_SECONDS)

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
        found, faults = await asyncio.to_thread(check_connections, folder, self.deadline_days)
        of_destinations: dict[str, list[Fault]] = {}
        others = []
        for fault in faults:
            path = PurePath(fault.file)
            if path.parent.name == FOLDER:
                of_destinations.setdefault(path.stem, []).append(fault)
            else:
                others.append(fault)
        self._known = self._merge(found, of_destinations, others)
        self._stamp = stamp
        log.info("connections loaded", destinations=len(found.destinations), faults=len(faults))

    def _merge(self, found: Connections, of_destinations: Mapping[str, Sequence[Fault]], others: list[Fault]) -> Known:
        """What was found, and what was known before of files that have faults now."""
        before = self._known
        faulty = {PurePath(fault.file).stem for fault in others if PurePath(fault.file).parent.name in _DECLARING}
        destinations = {name: one for name, one in before.destinations.items() if name in of_destinations}
        declarations = {name: one for name, one in before.declarations.items() if name in faulty}
        layouts = {name: one for name, one in before.layouts.items() if name in faulty}
        return Known(
            {**destinations, **found.destinations},
            found.clients,
            found.entities,
            of_destinations,
            others,
            {**declarations, **found.declarations},
            {**layouts, **found.layouts},
            found.sources,
            self._secret,
        )


def _list_of(declared: Declaration, secret: str) -> Entity:
    return to_list(declared) if declared.name == RECONCILIATION else of_declared(declared, secret)


def unknown_list(address: str, known: Known) -> NotFoundError:
    """The error for an address that no list has."""
    return NotFoundError("unknown_list", name=address, near=list(known.addresses))


def unknown_destination(name: str, names: Sequence[str]) -> NotFoundError:
    """The error for a name that no destination has, with the nearest one."""
    near = get_close_matches(name, names, n=1)
    return NotFoundError("unknown_destination", name=name, near=near or list(names))


def unknown_entity(name: str, known: Known) -> NotFoundError:
    """The error for a name that no entity has, with the nearest one."""
    near = get_close_matches(name.replace("-", "_"), known.entities, n=1)
    return NotFoundError("unknown_entity", name=name, near=near or sorted(known.entities))


def find_layout(name: str, known: Known) -> Layout:
    """The layout of this name, with hyphens or underscores.

    Raises:
        NotFoundError: there is none; the error says the nearest.

    """
    found = known.layouts.get(name.replace("-", "_"))
    if found is None:
        near = get_close_matches(name.replace("-", "_"), known.layouts, n=1)
        raise NotFoundError("unknown_layout", name=name, near=near or sorted(known.layouts))
    return found


def find_declaration(name: str, known: Known) -> Declaration:
    """The declared entity of this name whose records are taken in, with hyphens or underscores.

    Raises:
        NotFoundError: there is none; the error says the nearest.

    """
    taken_in = {each.name: each for each in known.declarations.values() if each.view is None}
    found = taken_in.get(name.replace("-", "_"))
    if found is None:
        near = get_close_matches(name.replace("-", "_"), taken_in, n=1)
        raise NotFoundError("unknown_entity", name=name, near=near or sorted(taken_in))
    return found
