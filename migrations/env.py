"""How Alembic reaches the database: our settings, short lock waits, one deployer at a time.

Each revision is a transaction, so that one can make indexes outside of it while others write.
"""

import asyncio
import sys
import time

from alembic import context
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from common.config import ConfigurationError, DatabaseSettings, load_settings
from common.database import UnusableDatabaseError, create_engine, raise_if_unusable
from common.tables import metadata

ONE_DEPLOYER = 7_020_114_133  # an advisory lock of our own: the laws behind the PNCP, 14.133 of 2021
WAIT_SECONDS = 0.5


def migrate(connection: Connection) -> None:
    """Run the revisions; a second deployer waits here for the first."""
    # Asked again and again: an index that is made concurrently waits for every transaction, also for one that waits.
    while not connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": ONE_DEPLOYER}).scalar_one():
        connection.rollback()
        time.sleep(WAIT_SECONDS)
    connection.execute(text("SET lock_timeout = '5s'"))  # fail rather than block all other transactions
    connection.commit()
    context.configure(
        connection=connection, target_metadata=metadata, compare_server_default=False, transaction_per_migration=True
    )
    with context.begin_transaction():
        context.run_migrations()


async def main() -> None:
    """Connect and migrate."""
    settings = load_settings(DatabaseSettings)
    engine = create_engine(
        settings.database_url.get_secret_value(),
        application_name="pncp-migrations",
        pool_size=1,
        statement_seconds=3600,
    )
    try:
        async with engine.connect() as connection:
            await connection.run_sync(migrate)
    except SQLAlchemyError as error:
        raise_if_unusable(error)
        raise
    finally:
        await engine.dispose()


try:
    asyncio.run(main())
except (ConfigurationError, UnusableDatabaseError) as error:
    sys.exit(str(error))
