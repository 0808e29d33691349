"""Reads a folder of connections: every file is checked, and what is wrong is said with its line."""

import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from common.connections.clients import make_client
from common.connections.destinations import make_destination
from common.connections.entities import make_entity, shipped
from common.connections.faults import problems_of
from common.connections.files import (
    ENTITY_NAME,
    NAME,
    ClientFile,
    DestinationFile,
    EntityFile,
    LayoutFile,
    SourceFile,
)
from common.connections.layouts import make_layout, plain_layout
from common.connections.names import destination_name_fault
from common.connections.reading import MAX_BYTES, Document, Fault, read
from common.connections.scopes import DELIVER, INTAKE, READ
from common.connections.settings import Client, Connections, ConnectionsInvalid, Destination, Layout, Source
from common.connections.sources import make_source
from common.entities.declared import Declaration
from common.entities.delivered import DELIVERED, Delivered, of_declared
from common.entities.entity import ENTITIES_BY_ADDRESS
from common.entities.reconciliation import DEADLINE_DAYS, with_reconciliation
from common.mapping.problem import Problem, unknown

ENTITIES, LAYOUTS, SOURCES, DESTINATIONS, CLIENTS = "entities", "layouts", "sources", "destinations", "clients"
FOLDERS = (ENTITIES, LAYOUTS, SOURCES, DESTINATIONS, CLIENTS)
"""In the order in which they are read: files name what stands in those before."""
LISTS = frozenset(address.replace("-", "_") for address in ENTITIES_BY_ADDRESS)
"""The lists of the mirror, by the names that scopes have for them."""
SUFFIX = ".yaml"
MOST_FILES = 1000
M = TypeVar("M", bound=BaseModel)


class _Named(Protocol):
    @property
    def name(self) -> str: ...


N = TypeVar("N", bound=_Named)
T = TypeVar("T")


def load_connections(folder: Path) -> Connections:
    """All that a folder says.

    Raises:
        ConnectionsInvalid: something in it is wrong.

    """
    connections, faults = check_connections(folder)
    if faults:
        raise ConnectionsInvalid(faults)
    return connections


def no_connections(deadline_days: int = DEADLINE_DAYS) -> Connections:
    """What there is without a folder: the entities that come with the product."""
    entities = with_reconciliation(shipped(), deadline_days)
    layouts = {each.name: plain_layout(each) for each in entities.values() if each.view is None}
    return Connections(entities=_deliverable(entities), declarations=entities, layouts=layouts)


def check_connections(folder: Path, deadline_days: int = DEADLINE_DAYS) -> tuple[Connections, tuple[Fault, ...]]:
    """What holds of a folder, and what does not, by file and line.

    `deadline_days`: how many days after its signature a purchase is to be published.
    """
    checker = _Checker(folder, deadline_days)
    connections = checker.check()
    return connections, tuple(sorted(set(checker.faults)))


class _Checker:
    """Collects faults while files are read."""

    def __init__(self, folder: Path, deadline_days: int) -> None:
        self.faults: list[Fault] = []
        self._folder = folder
        self._deadline_days = deadline_days
        self._hash = sha256()

    def digest(self) -> bytes:
        """Of the files that were read, by their names."""
        return self._hash.digest()

    def check(self) -> Connections:
        """Read all files: first the entities, which all others name."""
        files = list(self.files())
        written = {path.stem for kind, path, _ in files if kind == ENTITIES}
        declarations: dict[str, Declaration] = dict(shipped())
        layouts: dict[str, Layout] = {}
        sources: dict[str, Source] = {}
        destinations: dict[str, Destination] = {}
        clients: dict[str, Client] = {}
        for kind, path, content in files:
            if kind == ENTITIES:
                self._keep(declarations, self._entity(path, content, written | set(shipped())))
        declarations = dict(with_reconciliation(declarations, self._deadline_days))
        entities = _deliverable(declarations)
        for kind, path, content in files:
            match kind:
                case "layouts":
                    self._keep(layouts, self._layout(path, content, declarations))
                case "sources":
                    self._keep(sources, self._source(path, content, declarations))
                case "destinations":
                    self._keep(destinations, self._destination(path, content, entities))
                case "clients":
                    self._keep(clients, self._client(path, content, entities))
        layouts |= {each.name: plain_layout(each) for each in declarations.values() if each.view is None}
        return Connections(destinations, entities, clients, self.digest(), declarations, layouts, sources)

    @staticmethod
    def _keep(known: dict[str, N], made: N | None) -> None:
        if made is not None:
            known[made.name] = made

    def files(self) -> Iterator[tuple[str, Path, bytes]]:
        """Every file with its kind and its content, in the order of their names."""
        if not self._folder.is_dir():
            self._fault(self._folder, 0, "a pasta não existe ou não pode ser lida")
            return
        self._check_folders()
        for kind in FOLDERS:
            paths = sorted(self._entries(self._folder / kind))
            if len(paths) > MOST_FILES:
                self._fault(self._folder / kind, 0, f"há mais de {MOST_FILES} arquivos")
            for path in paths[:MOST_FILES]:
                content = self._content(path)
                if content is not None:
                    self._hash.update(f"{kind}/{path.name}\0{len(content)}\0".encode())
                    self._hash.update(content)
                    yield kind, path, content

    def _entries(self, folder: Path) -> Iterable[Path]:
        """What lies in a folder and is not hidden, as are the folders behind the links of a Kubernetes volume."""
        try:
            return [path for path in folder.iterdir() if not path.name.startswith(".")]
        except FileNotFoundError:
            return []
        except OSError:
            self._fault(folder, 0, "a pasta não pode ser lida")
            return []

    def _check_folders(self) -> None:
        for path in sorted(self._entries(self._folder)):
            if path.name in FOLDERS:
                continue
            if path.suffix in (SUFFIX, ".yml"):
                self._fault(path, 0, f"o arquivo deve estar em {' ou '.join(f'{each}/' for each in FOLDERS)}")
            elif path.is_dir() and any(path.glob(f"*{SUFFIX}")):
                self._fault(path, 0, unknown("pasta desconhecida", path.name, FOLDERS))

    def _content(self, path: Path) -> bytes | None:
        if path.suffix != SUFFIX:
            if path.suffix == ".yml":
                self._fault(path, 0, f"o nome deve terminar em {SUFFIX}")
            return None
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                self._fault(path, 0, "não é um arquivo")
                return None
            with path.open("rb") as file:
                return file.read(MAX_BYTES + 1)
        except (OSError, RuntimeError):  # a loop of links is the latter in older versions
            self._fault(path, 0, "o arquivo não pode ser lido")
            return None

    def _entity(self, path: Path, content: bytes, names: set[str]) -> Declaration | None:
        if not self._has_name(path, ENTITY_NAME):
            return None
        return self._made(path, content, EntityFile, lambda written: make_entity(path.stem, written, names))

    def _layout(self, path: Path, content: bytes, entities: Mapping[str, Declaration]) -> Layout | None:
        if not self._has_name(path, ENTITY_NAME):
            return None
        return self._made(path, content, LayoutFile, lambda written: make_layout(path.stem, written, entities))

    def _source(self, path: Path, content: bytes, entities: Mapping[str, Declaration]) -> Source | None:
        if not self._has_name(path, NAME):
            return None
        digest = sha256(content).digest()
        return self._made(path, content, SourceFile, lambda written: make_source(path.stem, digest, written, entities))

    def _destination(self, path: Path, content: bytes, entities: Mapping[str, Delivered]) -> Destination | None:
        if not self._has_name(path, NAME):
            return None
        fault = destination_name_fault(path.stem)
        if fault:
            self._fault(path, 0, fault)
            return None
        digest = sha256(content).digest()
        return self._made(
            path, content, DestinationFile, lambda written: make_destination(path.stem, digest, written, entities)
        )

    def _client(self, path: Path, content: bytes, entities: dict[str, Delivered]) -> Client | None:
        if not self._has_name(path, NAME):
            return None
        # a fault in another file is said of that file, and does not shut a client out
        named = {kind: {each.stem for each in self._entries(self._folder / kind)} for kind in FOLDERS}
        all_entities = {*entities, *LISTS, *named[ENTITIES]}
        known = {READ: all_entities, INTAKE: all_entities | named[LAYOUTS], DELIVER: named[DESTINATIONS]}
        return self._made(path, content, ClientFile, lambda written: make_client(path.stem, written, known))

    def _has_name(self, path: Path, pattern: str) -> bool:
        if re.fullmatch(pattern, path.stem):
            return True
        self._fault(path, 0, f"o nome do arquivo deve ser como {pattern}")
        return False

    def _made(
        self, path: Path, content: bytes, model: type[M], make: Callable[[M], tuple[T | None, list[Problem]]]
    ) -> T | None:
        """What a file says; null where anything in it is wrong."""
        document, faults = read(content)
        for line, message in faults:
            self._fault(path, line, message)
        if not document.lines:
            if not faults:
                self._fault(path, 1, "o arquivo está vazio")
            return None
        try:
            made, problems = make(model.model_validate(document.value))
        except ValidationError as error:
            made, problems = None, list(problems_of(error, model))
        faulty = {line for line, _ in faults}
        self._tell(path, document, problems, faulty)
        return None if faults or problems else made

    def _tell(self, path: Path, document: Document, problems: Iterable[Problem], faulty: set[int]) -> None:
        """Add problems by their lines, but for those that follow from what was not readable."""
        for problem in problems:
            line = document.line_of(problem.at)
            if line not in faulty:
                self._fault(path, line, problem.message)

    def _fault(self, path: Path, line: int, message: str) -> None:
        name = str(path.relative_to(self._folder)) if path != self._folder else str(path)
        self.faults.append(Fault(name, line, message))


def _deliverable(declarations: Mapping[str, Declaration]) -> dict[str, Delivered]:
    return {**DELIVERED, **{each.name: of_declared(each) for each in declarations.values()}}


Stamp = frozenset[tuple[str, int, int]]


def stamp_of(folder: Path) -> Stamp:
    """Which files there are, when they were written last, and their sizes: another one where any has changed."""
    stamps = []
    for path in folder.glob("*/*.y*ml"):
        try:
            known = path.stat()
        except FileNotFoundError:  # it has just been removed
            continue
        stamps.append((str(path.relative_to(folder)), known.st_mtime_ns, known.st_size))
    return frozenset(stamps)
