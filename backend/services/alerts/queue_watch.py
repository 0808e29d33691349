"""Detects messages that wait without a consumer: an ingestor keeps losing its connection, or none runs."""

from datetime import datetime, timedelta

from backend.services.alerts.findings import Finding
from backend.services.alerts.sentences import Details
from backend.services.publisher import RabbitMQPublisher

QUEUE = "queue"
"""The kind of its finding."""
PATIENCE = timedelta(minutes=5)


class QueueWatch:
    """Remembers since when messages have waited without a consumer."""

    def __init__(self, publisher: RabbitMQPublisher) -> None:
        self._publisher = publisher
        self._unconsumed_since: datetime | None = None

    async def look(self, now: datetime, known: Details | None) -> Finding | None:
        """The finding at `now` (aware); an unreachable broker changes nothing.

        `known`: the details of the open episode, which another backend may have opened.
        """
        broker = await self._publisher.check()
        if self._unconsumed_since is None and known is not None:
            self._unconsumed_since = datetime.fromisoformat(str(known["since"]))
        if broker.state == "connected":
            self._unconsumed_since = (self._unconsumed_since or now) if broker.is_unconsumed else None
        if self._unconsumed_since is None or now - self._unconsumed_since < PATIENCE:
            return None
        return Finding.of(QUEUE, {"since": self._unconsumed_since.isoformat()})
