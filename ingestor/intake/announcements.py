"""Announcements of imports: a message wakes the worker, which finds in the database what there is to do."""

from common.messages import decode_import
from ingestor.listener import Listener, Message


class ImportListener(Listener):
    """Announces the import of every valid message, however often it comes."""

    async def take(self, message: Message) -> int:
        """The import that a message names.

        Raises:
            PoisonError: it names none.

        """
        return decode_import(message.body).import_id
