"""The lists that belong to records, asked for with their records: read, or owed with the reason."""

import asyncio
import time
from dataclasses import dataclass

from common.resources.description import Child, Resource
from ingestor.errors import NoRoomError, PncpError, PncpPaused, PncpTooLarge
from ingestor.room import Charge, Share, counting
from ingestor.sources.pncp.client import PncpClient
from ingestor.sources.values import Itens, Owed, Record

QUICK_TRIES = 3
PARTS_SECONDS = 300.0
"""Well below the time for which a debt is claimed."""


async def fetch_or_owe(
    client: PncpClient, resource: Resource, child: Child, key: str, *, owe_unasked: bool = True
) -> Itens:
    """The list of a record; where it does not come, or is empty and nothing confirms it, why it is owed.

    Raises:
        PncpPaused: nothing was asked, and `owe_unasked` is false.

    """
    try:
        itens = await client.fetch_list(resource, child, key, tries=QUICK_TRIES, wait=False)
        return itens if itens.told else Itens(owed=await doubt(client, resource, child, key))
    except PncpError as error:
        if isinstance(error, PncpPaused) and not owe_unasked:
            raise
        return Itens(owed=Owed("unread", str(error), is_final=isinstance(error, PncpTooLarge)))


@dataclass(frozen=True)
class PartsRead:
    """What has come of the parts of a list: `failed` are to be asked for again, `unasked` have not been asked for yet.

    `owed`: why the last of those that failed did. `is_paused`: the service has been paused meanwhile.
    """

    itens: Itens
    failed: list[int]
    unasked: list[int]
    owed: Owed | None = None
    is_paused: bool = False


async def fetch_parts(client: PncpClient, resource: Resource, child: Child, key: str, parts: list[int]) -> PartsRead:
    """These parts of a record's list, one after the other, as many as can be asked for in `PARTS_SECONDS`.

    Raises:
        PncpPaused: nothing was asked.

    """
    itens, failed, owed = Itens(), list[int](), None
    ends_at = time.monotonic() + PARTS_SECONDS
    for place, part in enumerate(parts):
        try:
            itens.add(await client.fetch_part(resource, child, key, part, tries=QUICK_TRIES, wait=False))
        except PncpPaused:
            if place == 0:
                raise
            return PartsRead(itens, failed, parts[place:], owed, is_paused=True)
        except PncpError as error:
            failed.append(part)
            owed = Owed("unread", str(error), is_final=isinstance(error, PncpTooLarge))
        if time.monotonic() > ends_at:
            return PartsRead(itens, failed, parts[place + 1 :], owed)
    return PartsRead(itens, failed, [], owed)


async def doubt(client: PncpClient, resource: Resource, child: Child, key: str) -> Owed | None:
    """Whether an empty list is one: `None` where the portal says that it has no entries.

    Raises:
        PncpPaused: nothing was asked.

    """
    try:
        count = await client.fetch_count(resource, child, key, wait=False)
    except PncpPaused:
        raise
    except PncpError as error:
        return Owed("empty", f"the list is empty; {error}")
    return None if count == 0 else Owed("unread", f"the list is empty, and the portal says {count}")


async def fetch_lists(
    client: PncpClient, resource: Resource, records: list[Record], share: Share | None = None
) -> list[Itens | None]:
    """The lists of all these records at once, or why they are owed; `None` where the share has no room for one.

    The client bounds the requests under way. Without a share nothing is counted. Nothing is asked for records that have
    no list.
    """
    child = resource.child
    if child is None:
        return [Itens() for _ in records]
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(_fetch_counted(client, resource, child, record.key, share)) for record in records
            ]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None  # the first to fail has cancelled the others
    return [task.result() for task in tasks]


async def _fetch_counted(
    client: PncpClient, resource: Resource, child: Child, key: str, share: Share | None
) -> Itens | None:
    try:
        with counting(Charge(share)):
            return await fetch_or_owe(client, resource, child, key)
    except NoRoomError:
        return None
