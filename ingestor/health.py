"""`python -m ingestor.health`: whether an ingestor of this host is alive, by its heartbeat in the database.

Exit code 0 if there was one within LEASE_SECONDS by the database's clock; else 1, with one line that gives the reason.
"""

import asyncio
import socket
import sys

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from common.config import ConfigurationError, load_settings
from common.database import create_engine
from ingestor.config import IngestorSettings

# a worker's id is its host, its process and something random
_SEEN = text("""
    SELECT EXISTS (SELECT FROM workers
                    WHERE substring(id FROM '^(.*)-[0-9]+-[0-9a-f]+$') = :host
                      AND stopped_at IS NULL
                      AND last_seen_at > now() - make_interval(secs => :seconds))
""")


async def works_here(settings: IngestorSettings) -> bool:
    """Whether a worker of this host has sent a heartbeat in time."""
    url = settings.database_url.get_secret_value()
    engine = create_engine(url, application_name="pncp-health", pool_size=1, statement_seconds=5)
    try:
        async with engine.connect() as db:
            seen = await db.execute(_SEEN, {"host": socket.gethostname(), "seconds": settings.lease_seconds})
            return bool(seen.scalar_one())
    finally:
        await engine.dispose()


def main() -> None:
    """Check, and answer the exit code."""
    try:
        settings = load_settings(IngestorSettings)
        works = asyncio.run(works_here(settings))
    except ConfigurationError as error:
        sys.exit(f"ingestor.health: {error}")
    except (SQLAlchemyError, OSError) as error:
        sys.exit(f"ingestor.health: the database cannot be asked ({type(error).__name__})")
    if not works:
        host, seconds = socket.gethostname(), settings.lease_seconds
        sys.exit(f"ingestor.health: no ingestor of {host} was seen in the last {seconds:g} seconds")


if __name__ == "__main__":
    main()
