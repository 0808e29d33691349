"""Triggers that write down, in the moment it happens, what no look once a second could see.

They are the storm's own, in the storm's own database. Each row of `chaos_seen` is a broken rule: `what` names it.
"""

from common.resources import RESOURCES

CHECKED = {
    "stolen": "I2",
    "older": "I5",
    "refused after planning": "I3",
    "changed after its end": "I8",
    "moved by another": "I9",
}
"""The invariant that each kind of row breaks."""

_RECORDS = """
CREATE FUNCTION chaos_watch_{table}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.{header} <= OLD.{header} AND NEW.{whole} <= OLD.{whole}
       AND (NEW.{header}, NEW.{whole}) <> (OLD.{header}, OLD.{whole}) THEN
        INSERT INTO chaos_seen (what, told)
        VALUES ('older', format('%s was %s %s and became %s %s', OLD.{key}, OLD.{header}, OLD.{whole},
                                NEW.{header}, NEW.{whole}));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER chaos_watch_{table} AFTER UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION chaos_watch_{table}();
"""
INSTALL = """
CREATE TABLE chaos_seen (
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    what text NOT NULL,
    told text NOT NULL
);

-- A claim takes what is free or expired. Half a second is for clocks that are read at different moments.
CREATE FUNCTION chaos_watch_slice() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.attempt > OLD.attempt AND OLD.status = 'running'
       AND OLD.lease_until > clock_timestamp() + interval '0.5 s' THEN
        INSERT INTO chaos_seen (what, told)
        VALUES ('stolen', format('slice %s was claimed by %s while %s held it until %s',
                                 OLD.id, NEW.worker_id, OLD.worker_id, OLD.lease_until));
    END IF;
    IF OLD.status IN ('success', 'error') AND NEW IS DISTINCT FROM OLD THEN
        INSERT INTO chaos_seen (what, told)
        VALUES ('changed after its end', format('slice %s was %s and became %s', OLD.id, to_jsonb(OLD), to_jsonb(NEW)));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER chaos_watch_slice AFTER UPDATE ON sync_slices FOR EACH ROW EXECUTE FUNCTION chaos_watch_slice();

CREATE FUNCTION chaos_watch_execution() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.cause = 'publish_failed' AND OLD.planned_at IS NOT NULL THEN
        INSERT INTO chaos_seen (what, told)
        VALUES ('refused after planning', format('execution %s was planned at %s', OLD.id, OLD.planned_at));
    END IF;
    IF OLD.finished_at IS NOT NULL AND NEW IS DISTINCT FROM OLD THEN
        INSERT INTO chaos_seen (what, told)
        VALUES ('changed after its end',
                format('execution %s was %s and became %s', OLD.id, to_jsonb(OLD), to_jsonb(NEW)));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER chaos_watch_execution AFTER UPDATE ON sync_executions
   FOR EACH ROW EXECUTE FUNCTION chaos_watch_execution();

-- Where a watermark has got to, a reading of its own listing has ended, in the same transaction or before. A second is
-- for the rounding of wall clocks.
CREATE FUNCTION chaos_watch_watermark() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM sync_slices
         WHERE status = 'success' AND criterio = 'atualizacao' AND resource = NEW.resource AND part = NEW.part
           AND LEAST(window_end, timezone('America/Sao_Paulo', started_at))
               BETWEEN NEW.reached - interval '1 s' AND NEW.reached + interval '1 s') THEN
        INSERT INTO chaos_seen (what, told)
        VALUES ('moved by another', format('the watermark of %s %s reached %s, where none of its readings has ended',
                                           NEW.resource, NEW.part, NEW.reached));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER chaos_watch_watermark AFTER INSERT OR UPDATE ON watermarks
   FOR EACH ROW EXECUTE FUNCTION chaos_watch_watermark();
""" + "".join(
    _RECORDS.format(table=resource.name, key=resource.key, header=resource.version[0], whole=resource.version[1])
    for resource in RESOURCES
)
