"""Detects messages that wait without a consumer: an ingestor keeps losing its connection, or none runs."""

from datetime import datetime, timedelta

from backend.services.alerts.findings import Finding
from backend.services.publisher import RabbitMQPublisher

PATIENCE = timedelta(minutes=5)


class QueueWatch:
    """Remembers since when messages have waited without a consumer."""

    def __init__(self, publisher: RabbitMQPublisher) -> None:
        self._publisher = publisher
        self._unconsumed_since: datetime | None = None

    async def look(self, now: datetime) -> Finding | None:
        """The finding at `now` (aware); an unreachable broker changes nothing."""
        broker = await self._publisher.check()
        if broker.state == "connected":
            self._unconsumed_since = (self._unconsumed_since or now) if broker.is_unconsumed else None
        if self._unconsumed_since is None or now - self._unconsumed_since < PATIENCE:
            return None
        return Finding.of("queue", {"since": self._unconsumed_since.isoformat()})
