"""The SQL that reads and writes the records of a resource, made of its description once.

Payloads are sent, and merged by the database, which reads the columns out of them. The guard on the version stands in
the database, where two workers meet.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from sqlalchemy import TextClause, text

from common.resources.derive import (
    AUSENTE,
    BUSCA,
    entry_sql,
    json_object,
    party_columns,
    party_key,
    search_vector,
    to_sql,
)
from common.resources.description import Child, Mention, Resource

# ruff: noqa: S608  # all names in these statements stand in descriptions


@dataclass(frozen=True)
class ListStatements:
    """For the lists that belong to a resource's records.

    `insert`, `merge` ($1: the key of each entry's record, $2 to $4: the payloads in one value) and `merge_drifted` ($5
    to $7: the payloads as they came; the columns are read from the others) write entries; `insert` writes those of
    records that were not there before. `delete_gone` and `would_go` ($1: a record's key, $2: the entries that stay) are
    about the entries that a list lacks; both are null where such entries stay. `want` has a list read again, `has`
    notes that it was; `version_without` locks a record of this version whose list is not read.

    `owe` and `owe_anew` make debts of lists; of a version that has just been written a debt begins anew. `settle` and
    `settle_all` delete debts, `settle_paid` only where the list has been read. `resolve` settles what was rejected
    of a list.
    """

    table: str
    insert: str
    merge: str
    merge_drifted: str
    delete_gone: str | None
    would_go: str | None
    want: str
    has: str
    version_without: str
    owe: str
    owe_anew: str
    settle: str
    settle_all: str
    settle_paid: str
    resolve: str


@dataclass(frozen=True)
class Statements:
    """For a resource's records.

    `versions` answers the key, the version, and whether the list is stored or set aside, of each known key in $1.
    `merge` writes records: $1 their keys, $2 and $3 their versions, $4 whether their lists have come, $5 to $7 their
    payloads in one value; `merge_drifted` has in $8 to $10 the payloads as they came, while the columns are read from
    the others. Both answer the key of each record that was written, and whether it is new. `mark_absent` ($1: the keys
    that a listing of one day by `publicacao` has shown; $2: the slice that has read it) notes which stored records of
    the day it lacks, and which it has again; null where a listing cannot show that. `holds` tells, by the name
    of a listing, whether the mirror has records that it ought to show. `payload`: that of `key`, as text. `entries`
    answers each stored key of `keys`, and how many entries of its list are stored.
    """

    table: str
    versions: str
    merge: str
    merge_drifted: str
    mark_absent: str | None
    holds: Mapping[str, TextClause]
    payload: TextClause
    entries: TextClause
    list: ListStatements | None
    """Of the list that is read with each record."""


@cache
def statements_of(resource: Resource, *, searches_itens: bool = True) -> Statements:
    """The statements of a resource; `searches_itens`: entries of its list are written with their words."""
    judged = ", ".join((resource.key, *resource.version))
    page = "unnest($1::text[], $2::timestamp[], $3::timestamp[], $4::bool[], $5::int[], $6::int[]"
    names = f"{judged}, has_list, begins, bytes"
    return Statements(
        table=resource.name,
        versions=_versions(resource),
        merge=_merge(
            resource,
            f"""
        SELECT {judged}, has_list, {_payload_in("$7")} AS payload
          FROM {page}) AS page ({names})""",
        ),
        merge_drifted=_merge(
            resource,
            f"""
        SELECT {judged}, has_list, {_payload_in("$7")} AS payload, {_payload_in("$10", "came_")} AS came
          FROM {page}, $8::int[], $9::int[]) AS page ({names}, came_begins, came_bytes)""",
            payload="came",
        ),
        mark_absent=_mark_absent(resource) if resource.shows_absence else None,
        holds={criterio: text(_holds(resource, listing.stamp)) for criterio, listing in resource.listings.items()},
        payload=text(_payload(resource)),
        entries=text(_entries(resource)),
        list=list_statements(resource, resource.child, searches_itens=searches_itens) if resource.child else None,
    )


# A payload, out of all of them in one value. The driver's buffer grows by a kilobyte at a time: to encode an array of
# 400 payloads it was moved 400 times. A subquery with this ends with OFFSET 0, else it is done again for every column.
_CUT_OUT = "CAST(convert_from(substring({all}::bytea FROM {begins} FOR {bytes}), 'UTF8') AS jsonb)"


def _payload_in(parameter: str, part: str = "") -> str:
    """SQL of one payload out of all of them in `parameter`; `begins` and `bytes` say where it stands, as `part`."""
    return _CUT_OUT.format(all=parameter, begins=f"{part}begins", bytes=f"{part}bytes")


def _set(columns: Iterable[str]) -> str:
    return ", ".join(f"{name} = excluded.{name}" for name in columns)


# --- records ----------------------------------------------------------------------------------------------------


def _versions(resource: Resource) -> str:
    key, child = resource.key, resource.child
    has_list = (
        f"""c.{child.read_at} IS NOT NULL
                                OR EXISTS (SELECT FROM {child.debts} o
                                            WHERE o.{key} = c.{key}
                                              AND o.set_aside_at IS NOT NULL)"""
        if child
        else "true"
    )
    return f"""
    SELECT stored.*
      FROM unnest($1::text[]) AS wanted (key)
     CROSS JOIN LATERAL (SELECT c.{key}, c.{", c.".join(resource.version)}, {has_list}
                           FROM {resource.name} c WHERE c.{key} = wanted.key LIMIT 1) stored
"""


def _payload(resource: Resource) -> str:
    return f"SELECT CAST(payload AS text) FROM {resource.name} WHERE {resource.key} = :key"


def _entries(resource: Resource) -> str:
    key, child = resource.key, resource.child
    counted = f"(SELECT count(*) FROM {child.name} e WHERE e.{key} = c.{key})" if child else "0"
    return f"""
    SELECT c.{key}, {counted}
      FROM unnest(CAST(:keys AS text[])) AS listed (key)
      JOIN {resource.name} c ON c.{key} = listed.key
"""


def _holds(resource: Resource, stamp: str) -> str:
    of_part = f"{resource.axis.column} = :part" if resource.axis else "CAST(:part AS integer) = 0"
    return f"""
    SELECT EXISTS (SELECT FROM {resource.name}
                    WHERE {stamp} >= CAST(:first_day AS date) AND {stamp} < CAST(:last_day AS date) + 1 AND {of_part})
"""


# Key and version come as they were judged, everything else is read out of the payload. An older version is never
# written; an equal one only where its list is wanted again and has come, or where stamps are days and it differs.
#
# What is known is looked up key by key, here and in the other statements: a plan that was made while a table was empty
# would go on reading all of it.
#
# A record that is written settles what was rejected of it before, and with its list what was rejected of that; what is
# still rejected is kept after this.
def _merge(resource: Resource, page: str, payload: str = "payload") -> str:
    """The statement that writes records: `page` makes its rows, whose columns are read from `payload`.

    `payload` names what is stored as such.
    """
    key, child = resource.key, resource.child
    header, whole = resource.version
    values = to_sql(resource.columns) | {name: name for name in (key, header, whole)} | {"payload": payload}
    also = ""
    if resource.has_day_stamps:
        also = f"""
            OR (excluded.{header} = known.{header} AND excluded.{whole} = known.{whole}
                AND known.payload IS DISTINCT FROM excluded.payload)"""
    if resource.searched:
        values[BUSCA] = search_vector(values[name] for name in resource.searched)
    rejected = f"r.resource = '{resource.name}'"
    if child:
        values[child.read_at] = "CASE WHEN has_list THEN now() END"
        also += f"""
            OR (known.{child.read_at} IS NULL AND excluded.{child.read_at} IS NOT NULL
                AND excluded.{header} = known.{header}
                AND excluded.{whole} = known.{whole})"""
        rejected = f"({rejected} OR (r.resource = '{child.name}' AND w.{child.read_at} IS NOT NULL))"
    changes = _set(name for name in values if name != key)
    if resource.shows_absence:  # the portal has it again
        changes += f", {AUSENTE} = NULL"
    for later in resource.later:  # a newer version has its own
        changes += f""",
               {later.read_at} = CASE WHEN excluded.{header} <= known.{header} AND excluded.{whole} <= known.{whole}
                                      THEN known.{later.read_at} END"""
    return f"""
    WITH page AS (
        {page}
        OFFSET 0
    ), written AS (
        INSERT INTO {resource.name} AS known ({", ".join(values)})
        SELECT {", ".join(values.values())} FROM page
        ON CONFLICT ({key}) DO UPDATE
           SET {changes}, updated_at = now()
         WHERE excluded.{header} > known.{header}
            OR excluded.{whole} > known.{whole}{also}
        RETURNING known.*, xmax = 0 AS is_new
    ), {"".join(f"{part}, " for part in _parties(resource.mentions, whole))}resolved AS (
        UPDATE rejected_records r SET resolved_at = now()
          FROM written w
         WHERE r.natural_key = w.{key} AND r.resolved_at IS NULL
           AND {rejected}
    )
    SELECT {key}, is_new FROM written
"""


# A party is touched where something new is said of it, and otherwise once for each day of which a record says the same:
# most pages name the same few, and a row that is locked for nothing holds up every other worker. So the day of `as_of`
# is that of the newest record that said this, and a late record of an earlier day brings no old name back.
def _parties(mentions: tuple[Mention, ...], stamp: str) -> Iterator[str]:
    """The parts of a merge that write the parties which the written records or entries name, as of their `stamp`."""
    for party in dict.fromkeys(mention.party for mention in mentions):
        named = " UNION ALL ".join(_named(mention, stamp) for mention in mentions if mention.party is party)
        key = party_key(party)
        keys, columns = ", ".join(key), [column.name for column in party_columns(party)]
        same_party = " AND ".join(f"p.{name} = newest.{name}" for name in key)
        changing = (*(name for name in columns if name not in key), "payload", "as_of", "is_partial", BUSCA)
        yield f"""named_{party.name} AS (
        {named}
    ), written_{party.name} AS (
        INSERT INTO {party.name} AS known ({", ".join(columns)}, payload, as_of, is_partial, {BUSCA})
        SELECT newest.*, {search_vector(party.searched)}
          FROM (SELECT DISTINCT ON ({keys}) * FROM named_{party.name} ORDER BY {keys}, is_partial, as_of DESC) newest
          LEFT JOIN LATERAL (SELECT as_of, payload, is_partial FROM {party.name} p WHERE {same_party} LIMIT 1) stored
                 ON true
         WHERE stored.as_of IS NULL OR {_says_more("newest", "stored")}
         ORDER BY {keys}
        ON CONFLICT ({keys}) DO UPDATE
           SET {_set(changing)},
               updated_at = CASE WHEN excluded.payload = known.payload THEN known.updated_at ELSE now() END
         WHERE {_says_more("excluded", "known")}
    )"""


def _says_more(new: str, known: str) -> str:
    return f"""CASE WHEN {new}.is_partial <> {known}.is_partial THEN {known}.is_partial
                 WHEN {new}.payload = {known}.payload THEN CAST({new}.as_of AS date) > CAST({known}.as_of AS date)
                 ELSE {new}.as_of >= {known}.as_of END"""


def _named(mention: Mention, stamp: str) -> str:
    party, theirs = mention.party, mention.columns
    has_name = f"{theirs[party.called]} ~ '\\S'"
    said = {**theirs, party.called: f"CASE WHEN {has_name} THEN {theirs[party.called]} END"}
    picked = ", ".join(f"{said.get(column.name, 'NULL')} AS {column.name}" for column in party_columns(party))
    has_key = " AND ".join(f"{theirs[name]} ~ '\\S'" for name in party_key(party))
    is_partial = "true" if mention.partial else f"{has_name} IS NOT TRUE"
    return f"""SELECT {picked}, {_payload_of(mention, said)} AS payload, {stamp} AS as_of, {is_partial} AS is_partial
          FROM written WHERE {has_key} AND {stamp} IS NOT NULL"""


def _payload_of(mention: Mention, said: Mapping[str, str]) -> str:
    if mention.path is not None:
        return json_object(mention.path)
    values = ", ".join(f"'{each.path}', {said[each.name]}" for each in mention.party.columns if each.name in said)
    return f"jsonb_strip_nulls(jsonb_build_object({values}))"


# What the ledger says of the slice is what it has proven: a whole day, read after its end. Rows that were written since
# the reading began may have come after their page was read.
def _mark_absent(resource: Resource) -> str:
    key, table = resource.key, resource.name
    of_part = f"c.{resource.axis.column} = d.part" if resource.axis else "true"
    stamp = resource.listings["publicacao"].stamp
    return f"""
    WITH read_day AS (
        SELECT d.day, d.part, d.began_at
          FROM sync_slices s
          JOIN read_days d ON d.resource = s.resource AND d.criterio = s.criterio AND d.day = s.first_day
                          AND d.part = s.part AND d.slice_id = s.id
         WHERE s.id = $2 AND s.criterio = 'publicacao'
    ), listed AS MATERIALIZED (
        SELECT DISTINCT key FROM unnest($1::text[]) AS shown (key)
    ), stored AS MATERIALIZED (
        SELECT c.{key}, c.{AUSENTE}
          FROM read_day d
         CROSS JOIN LATERAL (SELECT c.{key}, c.{AUSENTE} FROM {table} c
                              WHERE c.{stamp} >= d.day AND c.{stamp} < d.day + 1 AND {of_part}
                                AND c.updated_at < d.began_at OFFSET 0) c
    ), marked AS (
        UPDATE {table} c SET {AUSENTE} = CASE WHEN l.key IS NULL THEN now() END, updated_at = now()
          FROM stored s LEFT JOIN listed l ON l.key = s.{key}
         WHERE c.{key} = s.{key} AND (s.{AUSENTE} IS NULL) = (l.key IS NULL)
        RETURNING c.{key}, c.{AUSENTE}
    ), noted AS (
        INSERT INTO mudancas (entidade, chave, tipo)
        SELECT '{table}', {key}, CASE WHEN {AUSENTE} IS NULL THEN 'presente' ELSE 'ausente' END FROM marked
    )
    SELECT count({AUSENTE}) AS absent, count(*) - count({AUSENTE}) AS back FROM marked
"""


# --- lists ------------------------------------------------------------------------------------------------------


@cache
def list_statements(resource: Resource, child: Child, *, searches_itens: bool = True) -> ListStatements:
    """The statements of the lists that belong to a resource's records; `searches_itens` as of `statements_of`."""
    table, key = child.name, resource.key
    header, whole = resource.version
    entries = f"""
    SELECT {key}, {_payload_in("$4")} AS payload
      FROM unnest($1::text[], $2::int[], $3::int[]) AS page ({key}, begins, bytes)"""
    drifted = f"""
    SELECT {key}, {_payload_in("$4")} AS payload, {_payload_in("$7", "came_")} AS came
      FROM unnest($1::text[], $2::int[], $3::int[], $5::int[], $6::int[])
           AS page ({key}, begins, bytes, came_begins, came_bytes)"""
    names = ", ".join(child.key)
    values = entry_sql(child)
    if child.searched:  # an entry whose words change without being made again has none
        values[BUSCA] = search_vector(values[name] for name in child.searched) if searches_itens else "NULL"
    on_change = f"""
    ON CONFLICT ({key}, {names}) DO UPDATE
       SET {_set(name for name in values if name not in child.key)}, updated_at = now()
     WHERE known.payload IS DISTINCT FROM excluded.payload
"""
    gone = None if child.keeps_gone else f"FROM {table} WHERE {key} = $1 AND {names} <> ALL($2::int[])"
    owe = _owe(resource, child)
    return ListStatements(
        table=table,
        # A record that was not there has no entries (they refer to it), so that there is no conflict to look for; that
        # spares a seventh of the database's work.
        insert=_insert(resource, child, values, entries),
        merge=_insert(resource, child, values, entries, on_change),
        merge_drifted=_insert(resource, child, values | {"payload": "came"}, drifted, on_change),
        delete_gone=gone and f"DELETE {gone}",
        would_go=gone and f"SELECT {gone} LIMIT 1",
        want=f"UPDATE {resource.name} SET {child.read_at} = NULL WHERE {key} = $1",
        has=f"UPDATE {resource.name} SET {child.read_at} = now(), updated_at = now() WHERE {key} = $1",
        version_without=f"""
    SELECT FROM {resource.name}
     WHERE {key} = $1 AND {header} = $2 AND {whole} = $3 AND {child.read_at} IS NULL
       FOR UPDATE
""",
        owe=owe,
        owe_anew=f"""
    {owe}, as_of = excluded.as_of, owed_since = now(), tries = 0, empty_sights = excluded.empty_sights,
           due_at = excluded.due_at, set_aside_at = excluded.set_aside_at
""",
        settle=f"DELETE FROM {child.debts} WHERE {key} = $1",
        # A statement after the merge and not a part of it: a debt that another transaction has made, which the merge
        # has waited for, is not seen by the merge itself.
        settle_all=f"DELETE FROM {child.debts} WHERE {key} = ANY($1::text[])",
        settle_paid=f"""
    DELETE FROM {child.debts} o USING {resource.name} c
     WHERE o.{key} = $1 AND c.{key} = $1 AND c.{child.read_at} IS NOT NULL
""",
        resolve=f"""
    UPDATE rejected_records SET resolved_at = now()
     WHERE natural_key = $1 AND resource = '{table}' AND resolved_at IS NULL
""",
    )


def _insert(resource: Resource, child: Child, values: Mapping[str, str], entries: str, on_change: str = "") -> str:
    # of entries that agree in a key of ours one is written
    once = f"DISTINCT ON ({resource.key}, {child.key[0]}) " if child.key_columns else ""
    picked = ", ".join(f"{value} AS {name}" for name, value in values.items())
    insert = f"""
    INSERT INTO {child.name} AS known ({resource.key}, {", ".join(values)})
    SELECT {once}{resource.key}, {picked} FROM ({entries} OFFSET 0) entry
    {on_change}"""
    if not child.mentions:
        return insert
    assert child.stamp is not None  # noqa: S101  # entries that name parties have one
    parties = ", ".join(_parties(child.mentions, child.stamp))
    return f"WITH written AS ({insert} RETURNING known.*), {parties} SELECT FROM written"


# Only while the list is not read: the merge has locked the records of its page, also those that it did not write.
def _owe(resource: Resource, child: Child) -> str:
    key = resource.key
    return f"""
    INSERT INTO {child.debts} AS known
           ({key}, as_of, reason, cause, execution_id, empty_sights, due_at, set_aside_at)
    SELECT owed.key, stored.as_of, owed.reason, owed.cause,
           (SELECT id FROM sync_executions WHERE id = $6 FOR KEY SHARE), owed.sights,
           now() + CASE owed.sights WHEN 0 THEN interval '0' ELSE interval '1 hour' END,
           CASE WHEN owed.is_final THEN now() END
      FROM unnest($1::text[], $2::text[], $3::text[], $4::int[], $5::bool[])
           AS owed (key, reason, cause, sights, is_final)
     CROSS JOIN LATERAL (SELECT {resource.version[1]} AS as_of FROM {resource.name}
                          WHERE {key} = owed.key AND {child.read_at} IS NULL LIMIT 1) stored
     ORDER BY owed.key
    ON CONFLICT ({key}) DO UPDATE
       SET reason = excluded.reason, cause = excluded.cause,
           execution_id = coalesce(excluded.execution_id, known.execution_id)
"""
