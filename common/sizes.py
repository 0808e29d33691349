"""How many bytes each table takes, as PostgreSQL counts them."""

BYTES = """
    SELECT c.relname AS table_name, pg_relation_size(c.oid) AS heap_bytes, pg_indexes_size(c.oid) AS index_bytes,
           greatest(pg_table_size(c.oid) - pg_relation_size(c.oid), 0) AS toast_bytes,
           CAST(c.reltuples AS bigint) AS estimated_rows
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind = 'r' AND n.nspname = current_schema()
"""
"""SQL of the tables; `toast_bytes` are those of long values, with the maps of free and visible pages.

`estimated_rows` is -1 where PostgreSQL has never counted.
"""
