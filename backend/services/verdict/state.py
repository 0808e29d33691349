"""The values that the verdict is made of, and what it is: all plain, without a language. Moments are aware."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal

from backend.language.translator import Text

State = Literal["ok", "empty", "attention", "problem"]
Fact = Literal["fresh", "complete", "healthy"]
STATES: tuple[State, ...] = ("ok", "empty", "attention", "problem")
"""From the best to the worst."""
METRIC: Mapping[State, int] = {"ok": 0, "empty": 1, "attention": 1, "problem": 2}

# --- what is known of the mirror ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pause:
    """Who has paused something, when and why."""

    at: datetime
    by: str
    reason: str


@dataclass(frozen=True)
class Updates:
    """The updates of a resource: how far they have come, and when the next is due.

    `parts_missing`: parts of the newest update whose changes have never been read; `counts_from`: before it no update
    was due.
    """

    cron: str
    is_scheduled: bool = True
    pause: Pause | None = None
    counts_from: datetime | None = None
    updated_until: datetime | None = None
    parts: int = 0
    parts_missing: int = 0
    last_success_at: datetime | None = None
    has_complete_day: bool = False


@dataclass(frozen=True)
class Days:
    """The closed days of a resource that count: those of its goal, or all that were ever asked for.

    `failed`: of the missing ones, those whose reading has failed; `complete`, `rejected` and `missing` are all of them.
    """

    days: int = 0
    complete: int = 0
    missing: int = 0
    failed: int = 0
    rejected: int = 0
    first: date | None = None


@dataclass(frozen=True)
class GoalState:
    """What of a resource is to be kept complete, and how much of that there is."""

    from_day: date
    days: int
    days_complete: int
    days_missing: int
    days_failed: int
    days_rejected: int
    pause: Pause | None = None
    hours_left: float | None = None


@dataclass(frozen=True)
class MirrorOf:
    """A resource that is kept up to date, or that has a goal; `updates` is absent where it is not kept up to date."""

    resource: str
    label: str
    updates: Updates | None
    asked: Days
    goal: GoalState | None = None


@dataclass(frozen=True)
class Outage:
    """A service of the portal that fails or asks for a pause; `is_long`: for long enough to alert."""

    service: str
    reason: str | None
    cause: str | None
    error_message: str | None
    since: datetime | None
    next_try_at: datetime
    is_long: bool


@dataclass(frozen=True)
class Failed:
    """An execution that failed and was not made good."""

    id: int
    resource: str
    mode: str
    cause: str
    error_message: str | None
    finished_at: datetime
    can_retry: bool


@dataclass(frozen=True)
class Rejected:
    """Records that could not be stored; `newest` is the number of the last one."""

    records: int = 0
    days: int = 0
    newest: int = 0


@dataclass(frozen=True)
class Owed:
    """Lists of a resource's records that are missing: `reasons` are sentences."""

    resource: str
    list: str
    label: str
    count: int
    set_aside: int
    since: datetime | None
    reasons: Sequence[Text] = ()
    original: str | None = None


@dataclass(frozen=True)
class Drifted:
    """A field whose values do not fit its column."""

    path: str
    kind: str
    records: int


@dataclass(frozen=True)
class OpenAlert:
    """An episode that has not ended."""

    id: int
    kind: str
    summary: str | Text
    opened_at: datetime


@dataclass(frozen=True)
class PausedSchedule:
    """A schedule that an administrator has paused."""

    name: str
    action: str
    pause: Pause


@dataclass(frozen=True)
class Broker:
    """The broker and its queue."""

    state: Literal["connected", "blocked", "disconnected"]
    messages: int = 0
    is_unconsumed: bool = False


@dataclass(frozen=True)
class Acknowledged:
    """What an administrator has taken note of: a trouble up to `fingerprint`."""

    fingerprint: str
    by: str
    at: datetime


@dataclass(frozen=True)
class Mirror:
    """Everything that the verdict follows from."""

    now: datetime
    has_executions: bool = True
    workers: int = 1
    no_worker_since: datetime | None = None
    database: Literal["ok", "failing", "read-only", "away"] = "ok"
    database_error: str | None = None
    broker: Broker | None = None
    resources: Sequence[MirrorOf] = ()
    outages: Sequence[Outage] = ()
    failed: Sequence[Failed] = ()
    rejected: Rejected = Rejected()
    owed: Sequence[Owed] = ()
    drift: Sequence[Drifted] = ()
    alerts: Sequence[OpenAlert] = ()
    paused: Sequence[PausedSchedule] = ()
    acknowledged: Mapping[str, Acknowledged] = field(default_factory=dict)


# --- the verdict ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Action:
    """What to press: a request to the API, or with GET a place of the page."""

    code: str
    method: Literal["POST", "PUT", "GET"]
    path: str
    body: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Judgement:
    """A state with the code and the values of its sentences, since when, and what to do.

    `resource`: whose it is, where there are several; `others`: so many more resources are like it.
    """

    state: State
    code: str
    values: Mapping[str, Any] = field(default_factory=dict)
    since: datetime | None = None
    action: Action | None = None
    resource: str | None = None
    others: int = 0

    @property
    def title(self) -> Text:
        """What is said first."""
        said = Text(f"{self.code}.title", self.values)
        return said if self.resource is None else Text("of_resource", {"resource": self.resource, "said": said})

    @property
    def text(self) -> Text:
        """What is said below it."""
        said = Text(f"{self.code}.text", self.values)
        return Text("and_others", {"said": said, "others": self.others}) if self.others else said


@dataclass(frozen=True)
class Trouble:
    """Something that is wrong, once however often it occurs; `original`: the words of the program or of the portal.

    `fingerprint`: what an acknowledgement covers; absent where it cannot be acknowledged.
    """

    id: str
    kind: str
    fact: Fact
    said: Judgement
    count: int = 1
    execution_ids: Sequence[int] = ()
    original: str | None = None
    fingerprint: str | None = None
    acknowledged: Acknowledged | None = None


@dataclass(frozen=True)
class ResourceVerdict:
    """A resource: how fresh and how complete it is."""

    of: MirrorOf
    days: Days
    fresh: Judgement
    complete: Judgement


@dataclass(frozen=True)
class Verdict:
    """The facts, the worst of which decides."""

    whole: Judgement
    facts: Mapping[Fact, Judgement]
    resources: Sequence[ResourceVerdict]
    troubles: Sequence[Trouble]
    generated_at: datetime


def worst(states: Sequence[State]) -> State:
    """The worst of these; `ok` of none."""
    return max(states, key=STATES.index, default="ok")
