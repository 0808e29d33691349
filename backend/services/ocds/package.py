"""Packages of OCDS releases: which contratações a reader asks for, and what is said of publisher, licence and pages."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from backend.errors import NotFoundError
from backend.services.entities.mirror import Mirror, Mirrors
from backend.services.entities.question import PERSONAL, Question, parse_question, refuse
from backend.services.entities.rows import load_page
from backend.services.ocds.loading import load_mirror, load_processes
from backend.services.ocds.release import VERSION, parse_ocid, to_moment, to_release
from common.clock import EARLIEST
from common.database import raw_driver_of
from common.entities.entity import of_resource
from common.resources.contratacoes import CONTRATACOES

MOST_RELEASES = 100
WITHOUT = ("campos", "contagem", PERSONAL)
"""The parameters of lists that packages do not have."""
LOTS = "https://raw.githubusercontent.com/open-contracting-extensions/ocds_lots_extension/v1.1.5/extension.json"
PAGINATION = (
    "https://raw.githubusercontent.com/open-contracting-extensions/ocds_pagination_extension/master/extension.json"
)


@dataclass(frozen=True)
class Publisher:
    """Who publishes releases: the registered prefix, the name, and the addresses of licence and policy, if any."""

    prefix: str
    name: str
    license: str | None
    publication_policy: str | None


@dataclass(frozen=True)
class Releases:
    """The releases of a page, the cursor of the next one, and the completeness of the mirror."""

    releases: Sequence[dict[str, Any]]
    next_cursor: str | None
    mirror: Mirror


def parse_releases_question(parameters: Iterable[tuple[str, str]]) -> Question:
    """Read the query string of a page of releases: the filters and the orders of the list of contratações.

    Raises:
        RequestValidationError: a parameter is unknown, repeated or has a value that does not serve.

    """
    entity, given = of_resource(CONTRATACOES), list(parameters)
    for name, _ in given:
        if name in WITHOUT:
            refuse(name, "não é um parâmetro de /ocds/releases")
    question = parse_question(entity, given)
    if question.limit > MOST_RELEASES:
        refuse("limite", f"deve estar entre 1 e {MOST_RELEASES}")
    return replace(question, fields=(entity.fields[CONTRATACOES.key],), counting="nao")


def check_publisher(publisher: Publisher | None) -> Publisher:
    """The publisher.

    Raises:
        NotFoundError: there is none.

    """
    if publisher is None:
        raise NotFoundError(
            "Este servidor não publica OCDS: defina OCDS_PREFIX, o prefixo que a Open Contracting Partnership registra."
        )
    return publisher


async def load_releases(db: AsyncConnection, mirrors: Mirrors, question: Question, prefix: str) -> Releases:
    """A page of releases, all as of one moment.

    Raises:
        TooBroadError, TooSlowError, TimeoutError: as for lists.

    """
    driver = await raw_driver_of(db)
    async with driver.transaction(isolation="repeatable_read", readonly=True):
        page = await load_page(driver, question)
        processes = await load_processes(driver, [row[CONTRATACOES.key] for row in page.rows])
    mirror = await load_mirror(mirrors, db, question)
    return Releases([to_release(each, prefix) for each in processes], page.next_cursor, mirror)


async def load_release(db: AsyncConnection, mirrors: Mirrors, ocid: str, prefix: str) -> Releases:
    """The release of one process.

    Raises:
        NotFoundError: the mirror does not have it, or the ocid is of another publisher.

    """
    key = parse_ocid(prefix, ocid)
    if key is None:
        raise NotFoundError(f"Não é um ocid deste servidor: {prefix}-CNPJ-1-SSSSSS-AAAA.")
    driver = await raw_driver_of(db)
    async with driver.transaction(isolation="repeatable_read", readonly=True):
        processes = await load_processes(driver, [key])
    mirror = await load_mirror(mirrors, db, parse_releases_question([]))
    if not processes:
        raise NotFoundError(f"O espelho não tem {key}. {mirror.to_sentence()}")
    return Releases([to_release(processes[0], prefix)], None, mirror)


def to_package(found: Releases, publisher: Publisher, *, uri: str, next_uri: str | None) -> dict[str, Any]:
    """A release package; `publishedDate` is the last change of what it holds, as the standard wants it."""
    extensions = [LOTS] if any("lots" in each.get("tender", {}) for each in found.releases) else []
    package = {
        "uri": uri,
        "version": VERSION,
        "publishedDate": max((each["date"] for each in found.releases), default=_empty_date(found.mirror)),
        "publisher": {"name": publisher.name},
        "license": publisher.license,
        "publicationPolicy": publisher.publication_policy,
        "extensions": [*extensions, *([PAGINATION] if next_uri else [])] or None,
        "links": {"next": next_uri} if next_uri else None,
    }
    return {**{name: value for name, value in package.items() if value is not None}, "releases": found.releases}


def _empty_date(mirror: Mirror) -> str | None:
    moment: datetime = mirror.fresh_until or EARLIEST
    return to_moment(moment)
