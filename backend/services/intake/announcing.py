"""Announces imports that are committed, so that a worker takes them up at once."""

from collections.abc import Iterator

import structlog

from backend.services.publisher import RabbitMQPublisher
from common.messages import ImportAnnounced

log = structlog.get_logger(__name__)

ROWS_PER_MESSAGE = 500


async def announce(publisher: RabbitMQPublisher | None, import_id: int, layout: str, *, rows: int = 0) -> None:
    """Publish that an import waits: for each 500 of its rows, or once where they are still in a file.

    A message that is not confirmed costs nothing but time: workers find the import in the database.
    """
    if publisher is None:
        return
    for announced in messages_of(import_id, layout, rows):
        if not await publisher.publish_import(announced):
            log.warning("import was not announced, it will be found", import_id=import_id, layout=layout)
            return


def messages_of(import_id: int, layout: str, rows: int) -> Iterator[ImportAnnounced]:
    """The messages of an import."""
    if not rows:
        yield ImportAnnounced(import_id, layout)
    for first in range(1, rows + 1, ROWS_PER_MESSAGE):
        yield ImportAnnounced(import_id, layout, (first, min(first + ROWS_PER_MESSAGE - 1, rows)))
