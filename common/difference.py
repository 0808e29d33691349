"""The difference between an entity's table and the ledger of a stream: which records a destination is owed, as SQL.

A record is owed where its last change or the number of the mapping differs from what was last settled. One of a view
that has no such moment is too, so that it is rejected and not passed over.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from common.connections.samples import conditions_sql
from common.connections.settings import Stream
from common.delivery_tables import OWED, REJECTED, SENDING

OVERLAP = timedelta(minutes=10)
"""A change may become visible this long after the moment that it is stamped with; later ones a full run finds."""
YOUNG = timedelta(days=7)
"""A rejected record is asked again by every full run while it is younger, then once in this time."""

_MOMENT = "CAST({} AS timestamptz)"

Wanted = Literal["diferencas", "tudo", "rejeitados"]


@dataclass(frozen=True)
class Scope:
    """Which records a delivery asks about: what differs, all that match, or what was rejected; of some `keys`.

    `is_full`: also what was rejected, and what was changed before the last run. `begun_at`: the moment of the request.
    What has had a verdict since is not asked again.
    """

    wanted: Wanted
    is_full: bool
    begun_at: datetime
    keys: tuple[str, ...] | None = None

    @property
    def forgets(self) -> bool:
        """Whether records are sent although the destination has all that is mapped of them."""
        return self.wanted == "tudo" or self.keys is not None

    @property
    def asks_rejected(self) -> bool:
        """Whether a rejected record is sent again as it is."""
        return self.is_full or self.forgets or self.wanted == "rejeitados"

    @property
    def covers(self) -> bool:
        """Whether a run of it that ends has looked at all changes; a test of the destination looks at none."""
        return self.keys is None and self.wanted in ("diferencas", "tudo")

    def looks_at_all(self, cursor_at: datetime | None) -> bool:
        """Whether records count whenever they were changed; a cursor after the request is of a clock that went back."""
        has_cursor = cursor_at is not None and cursor_at <= self.begun_at
        return self.keys is None and (self.is_full or not has_cursor)


@dataclass(frozen=True)
class Ledger:
    """What a stream's ledger is compared by: its id, the number of the mapping, and how far it has been delivered.

    Records that were last changed up to `baseline_at` are not owed unless the ledger has them. All changes up to
    `cursor_at` were looked at.
    """

    stream_id: int
    plan: int
    baseline_at: datetime | None
    cursor_at: datetime | None = None


@dataclass
class _Question:
    conditions: list[str]
    values: list[Any]

    def add(self, sql: str, *values: Any) -> None:
        """Add a condition, whose `{}` stand for these values."""
        places = []
        for value in values:
            self.values.append(value)
            places.append(f"${len(self.values)}")
        self.conditions.append(sql.format(*places))


def difference(stream: Stream, ledger: Ledger, scope: Scope) -> tuple[str, list[Any]]:
    """What stands from FROM on in a question about the records that are owed, and the values of its parameters."""
    entity = stream.entity
    question = _Question([conditions_sql(stream, first=2)], [ledger.stream_id, *stream.where.values])
    question.conditions.append(f"d.state IS DISTINCT FROM {SENDING}")
    if scope.keys is not None:
        question.values.append(list(scope.keys))
        question.conditions.append(f"({entity.rows_of().format(keys=f'${len(question.values)}')})")
    _add_owed(question, stream, ledger, scope)
    source = f"{entity.source} LEFT JOIN deliveries d ON d.stream_id = CAST($1 AS int) AND d.key = {entity.key_sql}"
    return f"FROM {source} WHERE {' AND '.join(question.conditions)}", question.values


def _add_owed(question: _Question, stream: Stream, ledger: Ledger, scope: Scope) -> None:
    version = stream.entity.version.replace("{", "{{").replace("}", "}}")
    known = f"(d.key IS NOT NULL OR {version} IS NULL OR {version} > coalesce({_MOMENT}, '-infinity'))"
    other = f"(d.source_at, d.plan) IS DISTINCT FROM ({version}, CAST({{}} AS int))"
    # a verdict since the request may be that of an older version, whose request was open
    asked = f"(d.sent_at IS NULL OR d.sent_at < {_MOMENT} OR {other})"
    if scope.wanted == "rejeitados":
        question.add(f"d.state = {REJECTED} AND d.sent_at < {_MOMENT}", scope.begun_at)
    elif scope.keys is not None:
        question.add(asked, scope.begun_at, ledger.plan)
    elif scope.wanted == "tudo":
        question.add(f"{asked} AND {known}", scope.begun_at, ledger.plan, ledger.baseline_at)
    else:
        differs = f"((d.state = {OWED} OR {other}) AND {known})"
        if scope.is_full:
            young = f"(d.rejected_since > {_MOMENT} OR d.sent_at < {_MOMENT})"
            again = f"(d.state = {REJECTED} AND d.sent_at < {_MOMENT} AND {young})"
            moments = (scope.begun_at, scope.begun_at - YOUNG, scope.begun_at - YOUNG)
            question.add(f"({differs} OR {again})", ledger.plan, ledger.baseline_at, *moments)
        else:
            question.add(differs, ledger.plan, ledger.baseline_at)
            if ledger.cursor_at is not None and not scope.looks_at_all(ledger.cursor_at):
                question.add(f"{version} >= {_MOMENT}", ledger.cursor_at - OVERLAP)
