"""The schema, step by step: Alembic revisions named by date."""
