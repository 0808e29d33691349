"""What must hold after any storm, and how it is proved.

The portal's journal tells which records stood in which window at which moment (`portal.History`), so that every count
of every slice can be judged without trusting what the product says of itself.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal, cast

import asyncpg

from common.lists import Scope, parse_scope
from common.resources import LATER, RESOURCES
from common.resources.description import Child, Resource
from simulator.records import Record, decode_json
from simulator.resources import INSTRUMENTOS_COBRANCA
from tests.chaos.fleet import LEASE_SECONDS, LISTINGS, PARTS, SCOPES, Fleet
from tests.chaos.portal import DOMINIOS, History, Version, Window
from tests.chaos.triggers import CHECKED

SETTLING_SECONDS = 2.0
"""A record that has stood in its window for less when a slice begins may miss it: its stamp is of that very second."""
SLACK_SECONDS = 2.0
"""Between the end of a process and our noticing it, and between two clocks that are read."""
PASSED_OVER_SECONDS = 30.0
"""How long others that come later may be claimed while an expired lease is left lying (I2).

It may happen at all because the claim skips rows that are locked, and a session that was frozen in a transaction holds
its locks until the server ends it after ten seconds.
"""


@dataclass(frozen=True)
class Post:
    """One POST /sync/force, as the client saw it: `outcome` is the answer's kind, `id` what it named."""

    body: Mapping[str, str]
    outcome: Literal["accepted", "refused", "busy", "undecided", "unknown", "never sent"]
    id: int | None = None
    key: str | None = None


@dataclass(frozen=True)
class Sent:
    """A message of another party: `marker` is its message_id, or stands in its body."""

    marker: str
    body: bytes
    confirmed: bool
    is_poison: bool = False
    has_id: bool = True
    at: float = 0.0
    """When it was first sent, seconds since 1970."""


@dataclass
class Findings:
    """What is wrong, by the invariant's name; and how often each was looked at: a check that saw nothing is none."""

    wrong: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    looked: Counter[str] = field(default_factory=Counter)

    def check(self, name: str, holds: object, told: str) -> None:
        self.looked[name] += 1
        if not holds:
            self.wrong[name].append(told)

    @property
    def broken(self) -> set[str]:
        return set(self.wrong)

    def __str__(self) -> str:
        lines = []
        for name in sorted(self.wrong):
            told = self.wrong[name]
            lines += [f"{name}: {each}" for each in told[:8]]
            if len(told) > 8:
                lines.append(f"{name}: and {len(told) - 8} more")
        return "\n".join(lines)


@dataclass
class Witness:
    """What was seen from outside while the storm went on."""

    posts: list[Post] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    asked: dict[tuple[str, str], float] = field(default_factory=dict)
    """When a list was asked for by hand last (seconds since 1970), by its kind and its record."""
    cancelled: set[int] = field(default_factory=set)
    retried: set[int] = field(default_factory=set)
    unknown_retries: int = 0
    server_errors: list[str] = field(default_factory=list)
    finished: dict[str, tuple[str, str]] = field(default_factory=dict)
    findings: Findings = field(default_factory=Findings)
    exits: list[str] = field(default_factory=list)
    longest_lapse: float = 0.0
    slices: dict[int, "Seen"] = field(default_factory=dict)
    passed_over: dict[int, tuple[float, float]] = field(default_factory=dict)
    longest_passed_over: float = 0.0
    throttled: int = 0

    def count(self, outcome: str) -> int:
        return sum(post.outcome == outcome for post in self.posts)


def _wall(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


# --- while it goes on -----------------------------------------------------------------------------------------------

_FINISHED = """
    SELECT 'execution ' || id AS name, md5(to_jsonb(e)::text) AS hash, to_jsonb(e)::text AS row
      FROM sync_executions e WHERE finished_at IS NOT NULL
     UNION ALL
    SELECT 'slice ' || id, md5(to_jsonb(s)::text), to_jsonb(s)::text FROM sync_slices s WHERE finished_at IS NOT NULL
"""
_SLICES_NOW = """
    SELECT id, resource, attempt, worker_id, extract(epoch FROM lease_until)::float AS lease_until,
           mode = 'backfill' AS is_backfill, execution_id, ordinal,
           extract(epoch FROM now())::float AS now,
           CASE WHEN status = 'running' THEN extract(epoch FROM now() - lease_until)::float END AS lapsed
      FROM sync_slices
"""


@dataclass(frozen=True)
class Seen:
    """A slice at one look: its place in the order of claims, and for how long its lease has been expired.

    That order is one of the slices of its resource: those of another are passed over while its listing is paused.
    """

    resource: str
    attempt: int
    place: tuple[bool, int, int]
    lapsed: float


async def watch_rows(fleet: Fleet, witness: Witness) -> None:
    """One look: finished rows stay what they were (I8), and no expired lease is passed over (I2)."""
    for name, digest, row in await fleet.query(_FINISHED):
        first = witness.finished.setdefault(name, (digest, row))
        witness.findings.check("I8", first[0] == digest, f"{name} was {first[1]} and is {row}")
    rows = await fleet.query(_SLICES_NOW)
    if rows:
        seen = {
            row["id"]: Seen(
                row["resource"],
                row["attempt"],
                (row["is_backfill"], row["execution_id"], row["ordinal"]),
                row["lapsed"] or 0.0,
            )
            for row in rows
        }
        watch_leases(seen, rows[0]["now"], witness)
        watch_the_dead({row["worker_id"]: row["lease_until"] for row in rows if row["worker_id"]}, fleet, witness)


def watch_the_dead(leases: Mapping[str, float], fleet: Fleet, witness: Witness) -> None:
    """I2: the lease of a worker that has died ends: no other worker lengthens it."""
    dead = fleet.dead_workers()
    for worker, until in leases.items():
        ended = dead.get(process_of(worker))
        if ended is not None:
            late = until - ended - LEASE_SECONDS
            told = f"{worker} ended, and {late:.1f} s later than its lease lasts a slice is still leased to it"
            witness.findings.check("I2", late <= SLACK_SECONDS, told)


def process_of(worker: str) -> int:
    """The process id in the name of a worker: host, process, and what tells two of them apart."""
    return int(worker.rsplit("-", 2)[1])


async def check_seen(fleet: Fleet, findings: Findings) -> None:
    """What the triggers have written down."""
    rows = await fleet.query("SELECT what, told FROM chaos_seen ORDER BY at")
    for what, name in CHECKED.items():
        told = [row["told"] for row in rows if row["what"] == what]
        findings.check(name, not told, f"{what}, {len(told)} times: {'; '.join(told[:3])}")


def watch_leases(seen: dict[int, Seen], now: float, witness: Witness) -> None:
    """A lease that has expired is the next to be claimed, but for those that come before it in the order of claims."""
    earlier, witness.slices = witness.slices, seen
    furthest: dict[str, tuple[bool, int, int]] = {}
    for number, one in seen.items():
        if one.attempt > (earlier[number].attempt if number in earlier else 0):
            furthest[one.resource] = max(one.place, furthest.get(one.resource, one.place))
    for number, one in seen.items():
        witness.longest_lapse = max(witness.longest_lapse, one.lapsed)
        known = earlier.get(number)
        if one.lapsed <= 0 or known is None or known.attempt != one.attempt or known.lapsed <= 0:
            witness.passed_over.pop(number, None)
            continue
        if one.resource in furthest and furthest[one.resource] > one.place:
            witness.passed_over[number] = witness.passed_over.get(number, (now, now))[0], now
        first, last = witness.passed_over.get(number, (now, now))
        since = last - first
        witness.longest_passed_over = max(witness.longest_passed_over, since)
        told = (
            f"slice {number}: its lease expired {one.lapsed:.0f} s ago, and for {since:.0f} s later ones were claimed"
        )
        witness.findings.check("I2", since <= PASSED_OVER_SECONDS, told)


# --- afterwards -----------------------------------------------------------------------------------------------------


async def check_ends(fleet: Fleet, findings: Findings) -> None:
    """I1 and I2, when everything is up again and time enough has passed: nothing is under way any more."""
    executions = await fleet.query("SELECT id, status, planned_at IS NOT NULL AS planned FROM sync_executions")
    for row in executions:
        findings.check("I1", row["status"] in ("success", "error"), f"execution {row['id']} is still {row['status']}")
    rows = await fleet.query("""
        SELECT s.id, s.execution_id, s.status, s.lease_until, s.worker_id,
               extract(epoch FROM now() - s.lease_until)::float AS lapsed
          FROM sync_slices s JOIN sync_executions e ON e.id = s.execution_id
    """)
    for row in rows:
        findings.check(
            "I2",
            row["status"] in ("success", "error"),
            f"slice {row['id']} of execution {row['execution_id']} is {row['status']}, held by {row['worker_id']},"
            f" its lease expired {row['lapsed'] or 0:.0f} s ago",
        )


async def check_requests(fleet: Fleet, witness: Witness, findings: Findings) -> None:
    """I1: what was accepted is there, as asked for, and ended for a reason. I3: what was refused never ran.

    Every row must belong to a request: one without would be a refused request that came back.
    """
    rows = {
        row["id"]: row
        for row in await fleet.query("""
            SELECT e.*, (SELECT count(*) FROM sync_slices s WHERE s.execution_id = e.id) AS slices
              FROM sync_executions e
        """)
    }
    accepted: set[int] = set()
    for post in witness.posts:
        if post.outcome == "accepted":
            row = rows.get(cast("int", post.id))
            findings.check("I1", row is not None, f"execution {post.id} was accepted and has no row")
            if row is not None:
                findings.check(
                    "I1", _asked_for(row, post.body), f"execution {post.id} is not what {post.body} asks for"
                )
                accepted.add(row["id"])
        if post.outcome == "refused":
            row = rows.get(cast("int", post.id))
            ran = row is None or row["planned_at"] or row["slices"] or row["records_processed"] or row["started_at"]
            findings.check("I3", not ran, f"execution {post.id} was refused and ran: {row}")
            refused = row is not None and row["cause"] == "publish_failed"
            findings.check("I3", refused, f"execution {post.id} was refused and is {row}")
    for row in rows.values():
        _check_cause(row, witness, findings)
    _check_strangers(rows, accepted, witness, findings)
    _check_keys(rows, witness, findings)


def _asked_for(row: Mapping[str, Any], body: Mapping[str, str]) -> bool:
    resource = body.get("resource", "contratacoes")
    if row["mode"] != body.get("mode", "update") or row["resource"] != resource:
        return False
    if row["mode"] == "update":
        return True
    window = _wall(row["window_start"]), _wall(row["window_end"])
    criterio = body.get("criterio", LISTINGS[resource][0])
    return window == (body["data_ini"], body["data_fim"]) and row["criterio"] == criterio


def _check_cause(row: Mapping[str, Any], witness: Witness, findings: Findings) -> None:
    """A storm is no excuse: an execution may end in error only if it was cancelled or kills its workers."""
    if row["id"] in witness.cancelled:
        findings.check("I1", row["cause"] == "cancelled", f"execution {row['id']} was cancelled and is {row}")
    if row["status"] == "error":
        known = row["cause"] in ("cancelled", "publish_failed", "stalled")
        findings.check("I1", known, f"execution {row['id']} ended in error ({row['cause']}): {row['error_message']}")
        if row["cause"] == "publish_failed":
            findings.check(
                "I3", not row["planned_at"] and not row["slices"], f"execution {row['id']} is refused and ran"
            )


def _check_strangers(
    rows: Mapping[int, Mapping[str, Any]], accepted: set[int], witness: Witness, findings: Findings
) -> None:
    refused = {post.id for post in witness.posts if post.outcome == "refused"}
    open_questions = [post for post in witness.posts if post.outcome == "unknown"]
    for row in rows.values():
        if row["trigger"] != "api" or row["id"] in accepted or row["id"] in refused:
            continue
        asked = next((post for post in open_questions if _asked_for(row, post.body)), None)
        findings.check("I3", asked is not None, f"execution {row['id']} answers to no request: {row}")
        if asked is not None:
            open_questions.remove(asked)
    retries = [row for row in rows.values() if row["trigger"] == "retry"]
    strangers = [row for row in retries if row["id"] not in witness.retried]
    findings.check("I3", len(strangers) <= witness.unknown_retries, f"retries without a request: {strangers}")


def _check_keys(rows: Mapping[int, Mapping[str, Any]], witness: Witness, findings: Findings) -> None:
    """One key, one execution: however often it was sent, at most one row that was not refused answers to it."""
    answered: dict[str, set[int]] = defaultdict(set)
    for post in witness.posts:
        if post.key and post.outcome == "accepted":
            answered[post.key].add(cast("int", post.id))
    for key, ids in answered.items():
        findings.check("I3", len(ids) == 1, f"the key {key} was answered with {sorted(ids)}")
        bodies = [post.body for post in witness.posts if post.key == key]
        of_it = [
            row["id"]
            for row in rows.values()
            if row["trigger"] == "api" and row["cause"] != "publish_failed" and _asked_for(row, bodies[0])
        ]
        if bodies[0]["mode"] == "backfill":  # their windows are unique, so that a second row could not hide
            findings.check("I3", of_it == sorted(ids), f"the key {key} stands for {sorted(ids)} and made {of_it}")


async def check_messages(fleet: Fleet, witness: Witness, dead: list[Any], findings: Findings) -> None:
    """I1 for others: a confirmed message made its row, one with an id only one. I6: poison alone is dead-lettered."""
    everything = await fleet.query("SELECT * FROM sync_executions")
    rows = [row for row in everything if row["trigger"] == "message"]
    by_id = Counter(row["message_id"] for row in rows if row["message_id"])
    for message in witness.sent:
        if message.is_poison:
            continue
        asked = json.loads(message.body)
        of_it = [row for row in rows if not message.has_id or row["message_id"] == message.marker]
        made = [row for row in of_it if _asked_for(row, asked)]
        if message.has_id:
            findings.check("I1", len(of_it) <= 1, f"message {message.marker} made {len(of_it)} rows")
            findings.check("I1", of_it == made, f"message {message.marker} asked for {asked} and made {of_it}")
        if asked["mode"] == "update":  # it may have been one that waited already, asked for by another request
            made = [row for row in everything if _asked_for(row, asked) and _was_planned_since(row, message.at)]
        findings.check("I1", made or not message.confirmed, f"message {message.marker} was confirmed and made no row")
    known = {message.marker for message in witness.sent if not message.is_poison and message.has_id}
    findings.check("I3", set(by_id) <= known, f"rows of messages that were never sent: {set(by_id) - known}")
    buried = {letter.message_id: letter.headers.get("reason") for letter in dead}
    for message in witness.sent:
        if message.is_poison and message.confirmed:
            findings.check("I6", message.marker in buried, f"poison {message.marker} is not among the dead letters")
    poison = {message.marker for message in witness.sent if message.is_poison}
    for marker, reason in buried.items():
        findings.check("I6", marker in poison, f"{marker} is among the dead letters and is no poison")
        findings.check("I6", reason, f"dead letter {marker} has no reason")


def _was_planned_since(row: Mapping[str, Any], at: float) -> bool:
    """Whether an execution was accepted and still waiting to be planned at a moment, or came later."""
    planned = row["planned_at"] or row["finished_at"]
    return row["cause"] != "publish_failed" and (planned is None or planned.timestamp() >= at - SLACK_SECONDS)


_SLICES = """
    SELECT s.*, e.status AS execution_status
      FROM sync_slices s JOIN sync_executions e ON e.id = s.execution_id WHERE s.status = 'success' ORDER BY s.id
"""

_LOST_CONTRATOS = """
    SELECT i.chave
      FROM instrumentos_cobranca i
     CROSS JOIN LATERAL jsonb_to_record(i.payload -> 'recuperarContratoDTO')
           AS held ("numeroControlePNCP" text, "dataAtualizacao" timestamp, "dataAtualizacaoGlobal" timestamp)
      LEFT JOIN contratos c ON c.numero_controle_pncp = held."numeroControlePNCP"
     WHERE c.numero_controle_pncp IS NULL OR c.data_atualizacao < held."dataAtualizacao"
        OR c.data_atualizacao_global < held."dataAtualizacaoGlobal"
"""


@dataclass
class Judged:
    """How many counts were judged: `exact` where nothing moved meanwhile, so that only one number is right.

    `slices`: by resource.
    """

    slices: Counter[str] = field(default_factory=Counter)
    exact: int = 0
    records: int = 0


async def check_counts(fleet: Fleet, history: History, findings: Findings) -> Judged:
    """I4 and I5, slice by slice, before anything could be made up for.

    I4: a slice counts at least the records that were in its window all the time and at most those that ever were; over
    frozen days these are the same. An execution counts what its slices count.
    I5: the former are stored, in the version of the slice's beginning or a newer one; so are the contratos that stand
    in instrumentos, of which no slice needs to have read their own listing.
    """
    judged = Judged()
    stored = await load_mirror(fleet)
    must_have: dict[str, tuple[Version, int]] = {}
    for row in await fleet.query(_SLICES):
        window = _window_of(row, row["part"])
        since, until = row["started_at"].timestamp(), row["finished_at"].timestamp()
        least = history.always(window, (since - SETTLING_SECONDS, until))
        most = history.ever(window, (since - SETTLING_SECONDS, until))
        counted = row["records_processed"]
        judged.slices[row["resource"]] += 1
        judged.exact += least == most
        judged.records += counted
        told = f"slice {row['id']} ({window}, attempt {row['attempt']}) counts {counted}"
        findings.check("I4", len(least) <= counted <= len(most), f"{told} and has {len(least)} to {len(most)} records")
        findings.check("I4", row["records_rejected"] == 0, f"{told} and rejected {row['records_rejected']}")
        for key in least:
            version = history.at(key, since - SETTLING_SECONDS)
            if version and (key not in must_have or version.since > must_have[key][0].since):
                must_have[key] = version, row["id"]
    for key, (version, slice_id) in must_have.items():
        found = stored.get(key)
        findings.check("I5", found is not None, f"{key} was in slice {slice_id} and is not stored")
        if found is not None:
            newer = found.stamps[0] >= version.stamps[0] and found.stamps[1] >= version.stamps[1]
            told = f"{key} was {version.stamps} in slice {slice_id} and is stored as {found.stamps}"
            findings.check("I5", newer, told)
    lost = await fleet.query(_LOST_CONTRATOS)
    findings.check("I5", not lost, f"instrumentos are stored, and their contratos are not or are older: {lost[:5]}")
    await _check_executions(fleet, history, findings)
    _check_versions(stored, history, findings)
    return judged


def _window_of(row: Mapping[str, Any], part: int) -> Window:
    """The window of an execution or a slice, of one part."""
    return Window(row["resource"], part, row["criterio"], _wall(row["window_start"]), _wall(row["window_end"]))


async def _check_executions(fleet: Fleet, history: History, findings: Findings) -> None:
    """I4: an execution counts what its slices count, and no record twice, though it may move from one to another."""
    rows = await fleet.query("""
        SELECT e.*, (SELECT coalesce(sum(s.records_processed), 0) FROM sync_slices s
                      WHERE s.execution_id = e.id) AS slices
          FROM sync_executions e WHERE status <> 'running'
    """)
    for row in rows:
        told = f"execution {row['id']} ({row['criterio']}) counts {row['records_processed']}"
        findings.check("I4", row["records_processed"] == row["slices"], f"{told} and its slices {row['slices']}")
        if row["started_at"] is None:
            continue
        during = row["started_at"].timestamp() - SETTLING_SECONDS, row["finished_at"].timestamp()
        most = set().union(*(history.ever(_window_of(row, part), during) for part in PARTS.get(row["resource"], (0,))))
        findings.check("I4", row["records_processed"] <= len(most), f"{told} and there were only {len(most)}")


Entries = Mapping[Any, str]
"""The entries of a list as the mirror has them, by their key within the list."""


@dataclass(frozen=True)
class Stored:
    """A record as the mirror has it; `itens` by their keys. One that can have none counts as having them."""

    stamps: tuple[str, str]
    payload: str
    itens: "Entries"
    has_itens: bool


async def load_mirror(fleet: Fleet, resources: Iterable[str] = PARTS) -> dict[str, Stored]:
    """Everything that is stored of these resources at one moment, by control number."""
    stored: dict[str, Stored] = {}
    async with fleet.snapshot() as connection:
        for resource in RESOURCES:
            if resource.name in resources:
                stored |= await _load_records(connection, resource)
    return stored


async def _load_records(connection: "asyncpg.Connection[Any]", resource: Resource) -> dict[str, Stored]:
    itens = await _load_entries(connection, resource, resource.child) if resource.child else {}
    header, whole = resource.version
    has_itens = f"{resource.child.read_at} IS NOT NULL" if resource.child else "true"
    rows = await connection.fetch(f"""
        SELECT {resource.key}, {header}, {whole}, payload::text, {has_itens} FROM {resource.name}
    """)
    return {
        control_number(resource.name, key): Stored((_wall(of_header), _wall(of_all)), payload, itens.get(key, {}), read)
        for key, of_header, of_all, payload, read in rows
    }


async def _load_entries(
    connection: "asyncpg.Connection[Any]", resource: Resource, child: Child
) -> dict[str, dict[tuple[int, ...], str]]:
    entries: dict[str, dict[tuple[int, ...], str]] = defaultdict(dict)
    names = _paths_of_key(child)
    rows = await connection.fetch(f"SELECT {resource.key}, payload::text, {', '.join(child.key)} FROM {child.name}")
    for key, payload, *numbers in rows:
        told = tuple(json.loads(payload)[name] for name in names) if child.key_columns else tuple(numbers)
        entries[key][told] = payload
    return entries


def _paths_of_key(child: Child) -> list[str]:
    return [column.path for name in child.told_apart_by for column in child.columns if column.name == name]


async def load_stamps(fleet: Fleet) -> dict[str, tuple[str, str]]:
    """The version of everything that is stored, by control number."""
    found: dict[str, tuple[str, str]] = {}
    for resource in RESOURCES:
        rows = await fleet.query(f"SELECT {resource.key}, {', '.join(resource.version)} FROM {resource.name}")
        found |= {control_number(resource.name, key): (_wall(header), _wall(whole)) for key, header, whole in rows}
    return found


def control_number(resource: str, key: str) -> str:
    """The number by which the portal's history knows a record; of instrumentos the mirror makes a key of its own."""
    if resource != INSTRUMENTOS_COBRANCA.name:
        return key
    cnpj, ano, contrato, numero = key.split("-")
    return INSTRUMENTOS_COBRANCA.key(cnpj, int(contrato), int(ano), int(numero))


def _check_versions(stored: Mapping[str, Stored], history: History, findings: Findings) -> None:
    """I5: what is stored is, to the letter, a version that the portal showed; with its items if it is the newest."""
    for key, found in stored.items():
        versions = [each for each in history.versions.get(key, []) if each.stamps == found.stamps]
        findings.check("I5", versions, f"{key} is stored as {found.stamps}, which the portal never showed")
        if not versions:
            continue
        same = any(_same(found.payload, history.payload(each)) for each in versions)
        findings.check("I5", same, f"{key} {found.stamps} is stored with another payload")
        current = history.versions[key][-1]
        if current.until == float("inf") and current.stamps == found.stamps and found.has_itens:  # else they are owed
            _check_entries(f"itens of {key}", found.itens, _by_number(history.items(current), "numeroItem"), findings)


def _by_number(entries: Iterable[bytes], *names: str) -> dict[Any, bytes]:
    """Entries of a list by their key, the numbers under these names."""
    return {tuple(decoded[name] for name in names): entry for entry in entries for decoded in [decode_json(entry)]}


def _check_entries(what: str, found: Entries, there: Mapping[Any, bytes], findings: Findings) -> None:
    too_many, missing = (sorted(keys, key=str) for keys in (found.keys() - there.keys(), there.keys() - found.keys()))
    findings.check("I5", not too_many and not missing, f"{what}: {too_many} too many, {missing} missing")
    for number in found.keys() & there.keys():
        findings.check("I5", _same(found[number], there[number]), f"{what}: {number} is another")


def _same(stored: str, shown: bytes) -> bool:
    return bool(json.loads(stored, parse_float=Decimal) == decode_json(shown))


# --- lists that are only read later, and domain tables ----------------------------------------------------------------

_SCOPES = {kind: cast("Scope", parse_scope(scope)) for kind, scope in SCOPES.items()}


def is_in_scope(child: Child, record: Record) -> bool:
    """Whether the list of a record is wanted."""
    scope = _SCOPES[child.service]
    is_of_uf = not scope.uf or record.uf in scope.uf
    return is_of_uf and (not scope.modalidade or record.modalidade in scope.modalidade)


async def check_asked(fleet: Fleet, witness: Witness, findings: Findings) -> None:
    """I1 for lists that were asked for by hand, when nothing is owed any more: each was read since."""
    for resource, child in LATER:
        rows = await fleet.query(f"""
            SELECT {resource.key} AS key, extract(epoch FROM {child.read_at})::float AS read_at FROM {resource.name}
             WHERE {child.read_at} IS NOT NULL
        """)
        for row in rows:
            asked = witness.asked.get((child.service, row["key"]), 0.0)
            told = f"{child.name} of {row['key']} were asked for {asked - row['read_at']:.1f} s after they were read"
            findings.check("I1", asked <= row["read_at"], told)


async def check_lists(
    fleet: Fleet, history: History, findings: Findings, *, are_all_read: bool = False
) -> Counter[str]:
    """I5 for the lists that are only read later: of a record in scope each is read or owed; one that is read is what
    the portal shows of the record's version. Of other records there is nothing.

    `are_all_read`: in calm, when all that was owed has been read. Answers how many entries of each list were compared.
    """
    compared: Counter[str] = Counter()
    async with fleet.snapshot() as connection:
        for resource, child in LATER:
            entries = await _load_entries(connection, resource, child)
            for row in await connection.fetch(_list_states(resource, child)):
                found = entries.get(row["key"], {})
                if _check_list(child, row, found, history, findings, are_all_read=are_all_read):
                    compared[child.name] += len(found)
    return compared


def _list_states(resource: Resource, child: Child) -> str:
    key, parts = resource.key, child.parts
    some = "true"
    if parts:
        some = f"""(r.{parts.child.read_at} IS NOT NULL
                    AND EXISTS (SELECT FROM {parts.child.name} e WHERE e.{key} = r.{key} AND e.{parts.has}))"""
    return f"""
        SELECT r.{key} AS key, {", ".join(f"r.{stamp}" for stamp in resource.version)},
               r.{child.read_at} IS NOT NULL AS is_read, o.as_of IS NOT NULL AS is_owed, {some} AS can_be_read
          FROM {resource.name} r LEFT JOIN {child.debts} o USING ({key})
    """


def _check_list(
    child: Child,
    row: "asyncpg.Record",
    found: Entries,
    history: History,
    findings: Findings,
    *,
    are_all_read: bool,
) -> bool:
    """Check the list of one record; whether its entries could be compared."""
    key, header, whole, is_read, is_owed, can_be_read = row
    versions, what = history.versions[key], f"{child.name} of {key}"
    current = versions[-1]
    if not is_in_scope(child, current.record):
        findings.check("I5", not (found or is_read or is_owed), f"{what} are out of scope, and read or owed")
        return False
    findings.check("I5", not (is_read and is_owed), f"{what} are read and owed")
    findings.check("I5", is_read or is_owed or not can_be_read, f"{what} are neither read nor owed")
    if current.until != float("inf") or (_wall(header), _wall(whole)) != current.stamps:
        return False  # the portal shows it no more
    findings.check("I5", is_read or not (are_all_read and can_be_read), f"{what} are not read, in calm")
    if is_read:
        shown = [_by_number(history.children(each, child.service), *_paths_of_key(child)) for each in versions]
        gone = found.keys() - shown[-1].keys() if child.keeps_gone else set()
        for number in gone:
            was_shown = any(number in each and _same(found[number], each[number]) for each in shown)
            findings.check("I5", was_shown, f"{what}: {number} was never shown")
        still_there = {number: payload for number, payload in found.items() if number not in gone}
        _check_entries(what, still_there, shown[-1], findings)
    return bool(is_read)


async def check_dominios(fleet: Fleet, history: History, findings: Findings) -> int:
    """I5 for the domain tables at the very end: they are the portal's, and what else is stored was there once and is
    marked. Answers how many entries were compared.
    """
    rows = await fleet.query("SELECT dominio, codigo, payload::text, ausente_desde IS NULL FROM dominios")
    listed = {f"{table} {code}": payload for table, code, payload, is_listed in rows if is_listed}
    _check_entries(DOMINIOS, listed, history.entries(), findings)
    for table, code, *_ in rows:
        findings.check("I5", history.has_listed(f"{table} {code}"), f"{table} has {code}, which was never listed")
    return len(listed)


_WHOLE_DAYS = """
    SELECT DISTINCT resource, criterio, part, first_day AS day FROM sync_slices
     WHERE status = 'success' AND first_day = last_day AND window_start <= first_day
       AND window_end >= first_day + interval '1 day' - interval '1 second'
"""
_MIXED = """
    SELECT e.id, e.resource, s.resource AS other FROM sync_executions e JOIN sync_slices s ON s.execution_id = e.id
     WHERE (s.resource, s.kind) <> (e.resource, e.kind)
"""


async def check_resources(fleet: Fleet, findings: Findings) -> int:
    """I9: an execution's slices are all of its resource; a day is complete for a resource where its slices read it
    whole, whatever those of another have read.

    Looks at the days that had ended when the storm began, each asked for by itself: what was read of other days has no
    say. Answers how many of them one resource has read whole, and none of the others.
    """
    mixed = await fleet.query(_MIXED)
    findings.check("I9", not mixed, f"executions with slices of another resource: {mixed[:5]}")
    read = {tuple(row) for row in await fleet.query(_WHOLE_DAYS)}
    whole: Counter[date] = Counter()
    for resource, parts in PARTS.items():
        for day in fleet.days[:-1]:
            asked = {"resource": resource, "from": f"{day}", "to": f"{day}"}
            answer = await fleet.http.get(f"{fleet.api_url}/sync/coverage", params=asked)
            state = answer.raise_for_status().json()["days"][0]["state"]
            is_whole = all((resource, LISTINGS[resource][0], part, day) in read for part in parts)
            whole[day] += is_whole
            told = f"{day} of {resource} is {state}, and its slices have read it {'' if is_whole else 'not '}whole"
            findings.check("I9", (state == "complete") == is_whole, told)
    return sum(number == 1 for number in whole.values())


async def check_mirror(
    fleet: Fleet, history: History, findings: Findings, resources: Iterable[str] = PARTS
) -> Counter[str]:
    """I5 at the very end, after an update and a backfill of everything in calm: the mirror is the portal.

    What else is stored was there once and has been removed since. Answers how many records of each resource were
    compared.
    """
    of_each = {resource: history.current(resource, PARTS[resource]) for resource in resources}
    current = {key: version for versions in of_each.values() for key, version in versions.items()}
    stored = await load_mirror(fleet, of_each)
    for key, version in current.items():
        found = stored.get(key)
        findings.check("I5", found is not None, f"{key} is on the portal and not in the mirror")
        if found is None:
            continue
        findings.check(
            "I5", found.stamps == version.stamps, f"{key} is {version.stamps}, and {found.stamps} in the mirror"
        )
        findings.check("I5", _same(found.payload, history.payload(version)), f"{key} has another payload in the mirror")
        findings.check("I5", found.has_itens, f"{key} is not known to have its items")
        _check_entries(f"itens of {key}", found.itens, _by_number(history.items(version), "numeroItem"), findings)
    for resource in RESOURCES:
        if resource.child:
            apart = await fleet.query(f"""
                SELECT {resource.key} FROM {resource.name} c LEFT JOIN {resource.child.debts} o USING ({resource.key})
                 WHERE (c.{resource.child.read_at} IS NULL) <> (o.as_of IS NOT NULL)
            """)
            findings.check("I5", not apart, f"owed and not without items, or without items and not owed: {apart[:5]}")
    removed = {key for key, versions in history.versions.items() if versions[-1].until != float("inf")}
    for key in stored.keys() - current.keys():
        findings.check("I5", key in removed, f"{key} is in the mirror and never was removed from the portal")
    left_over = await fleet.query("""
        SELECT (SELECT count(*) FROM sync_pages) AS pages, (SELECT count(*) FROM rejected_records) AS rejected,
               (SELECT count(*) FROM (SELECT orgao_entidade_cnpj FROM contratacoes
                                       UNION ALL SELECT orgao_entidade_cnpj FROM contratos
                                       UNION ALL SELECT orgao_entidade_cnpj FROM pcas
                                       UNION ALL SELECT cnpj_orgao FROM atas) AS r
                 WHERE NOT EXISTS (SELECT FROM orgaos o WHERE o.cnpj = r.orgao_entidade_cnpj)) AS orphans,
               (SELECT count(*) FROM contratos c
                 WHERE c.tipo_pessoa ~ '\\S' AND c.ni_fornecedor ~ '\\S'
                   AND NOT EXISTS (SELECT FROM fornecedores f
                                    WHERE f.tipo_pessoa = c.tipo_pessoa AND f.ni = c.ni_fornecedor)) AS unsupplied
    """)
    findings.check(
        "I5",
        tuple(left_over[0]) == (0, 0, 0, 0),
        f"left over (pages, rejected, without órgão, without supplier): {left_over[0]}",
    )
    return Counter({resource: len(versions) for resource, versions in of_each.items()})
