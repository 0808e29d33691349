"""What proves that a listing has been read completely, and which pages may be missing without harm.

Plain functions and values: no network, no database. The rules and their reasons stand in docs/adr/0022.

A *row* is one line of a page. It is named by its record's key; where one page holds a record several times, the second
line is another row (`row_names`), since the portal counts it in `totalRegistros`. It counts when two readings have
shown it: a single time it may stand in the place of another record. The same record on two pages is one row: that is
how an unstable order shows.
"""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

READINGS_AT_ONCE = 4
"""Readings after which a claim that takes a slice up is no longer its first to find the listing incomplete."""
MOST_READINGS = 20
"""Readings of one claim, whatever they show."""


_SHOWN, _KNOWN, _STANDING = 1, 2, 4
"""Marks of a row: shown in the present reading; in an earlier one; since `totalRegistros` last fell, in whichever.

A row that stands is not known to have left the listing.
"""


@dataclass
class Evidence:
    """What the pages of a slice's listing have shown so far, over all its readings.

    `rows` has the marks of every row: one dictionary takes a fifth of the memory of a set for each mark.
    `promised` is the last `totalRegistros`, `highest` the highest of the present reading. `has_vanished` says that the
    last page was without rows though the reading had been promised some. Of the readings since this was made or loaded,
    `idle` counts the last ones that have shown nothing new; `is_unordered`: one of them has left out rows that stand.
    """

    rows: dict[str, int] = field(default_factory=dict)
    promised: int = 0
    highest: int = 0
    has_vanished: bool = False
    idle: int = field(default=0, compare=False)
    is_unordered: bool = field(default=False, compare=False)

    @property
    def shown(self) -> set[str]:
        """The rows of the present reading."""
        return self._marked(_SHOWN)

    @property
    def known(self) -> set[str]:
        """The rows of earlier readings."""
        return self._marked(_KNOWN)

    @property
    def standing(self) -> set[str]:
        """The rows that stand."""
        return self._marked(_STANDING)

    def copy(self) -> "Evidence":
        """The same evidence, which may grow apart from this one."""
        return Evidence(self.rows.copy(), self.promised, self.highest, self.has_vanished)

    def add(self, rows: AbstractSet[str], promised: int) -> None:
        """Take in a page, in the order of reading."""
        self.has_vanished = not rows and self.highest > 0
        if self.has_vanished:  # it is doubted: what it promises counts if the next reading says the same
            return
        if promised < self.promised:
            for row, marks in self.rows.items():
                self.rows[row] = marks & ~_STANDING
        self._mark(rows, _SHOWN | _STANDING)
        self.promised = promised
        self.highest = max(self.highest, promised)

    def add_earlier(self, rows: AbstractSet[str]) -> None:
        """Take in what earlier readings have shown, and what may have left the listing since."""
        self._mark(rows, _KNOWN)

    def add_standing(self, rows: AbstractSet[str], promised: int) -> None:
        """Take in what earlier readings have shown and what stands, with the last `totalRegistros` of them."""
        self._mark(rows, _KNOWN | _STANDING)
        self.promised = promised

    def count_shown(self) -> int:
        """How many rows of the present reading count."""
        return self._count(_SHOWN)

    def count_standing(self) -> int:
        """How many rows that stand count."""
        return self._count(_STANDING)

    def count_vanished(self) -> int:
        """How many rows of earlier readings the present one has not shown."""
        return sum(marks & (_KNOWN | _SHOWN) == _KNOWN for marks in self.rows.values())

    def is_shown(self, row: str) -> bool:
        """Whether a page of the present reading has shown this row."""
        return bool(self.rows.get(row, 0) & _SHOWN)

    def is_new_to_reading(self, rows: AbstractSet[str]) -> bool:
        """Whether a page shows a row that no page of the present reading has shown."""
        return not all(self.is_shown(row) for row in rows)

    def is_new(self, rows: AbstractSet[str]) -> bool:
        """Whether a page shows a row that no page of any reading has shown."""
        return any(row not in self.rows for row in rows)

    def begin_anew(self) -> None:
        """Start the next reading."""
        shows_new = any(marks & (_SHOWN | _KNOWN) == _SHOWN for marks in self.rows.values())
        self.idle = 0 if shows_new else self.idle + 1
        self.is_unordered |= any(marks & (_STANDING | _SHOWN) == _STANDING for marks in self.rows.values())
        for row, marks in self.rows.items():
            self.rows[row] = _KNOWN | marks & _STANDING
        self.highest = 0
        self.has_vanished = False

    def _mark(self, rows: AbstractSet[str], marks: int) -> None:
        known = self.rows
        for row in rows:
            known[row] = known.get(row, 0) | marks

    def _marked(self, mark: int) -> set[str]:
        return {row for row, marks in self.rows.items() if marks & mark}

    def _count(self, mark: int) -> int:
        """How many rows with this mark count; a repeat does once this reading and an earlier one have shown it."""
        twice = _SHOWN | _KNOWN
        return sum(
            marks & mark != 0 and (marks & twice == twice or _REPEAT not in row) for row, marks in self.rows.items()
        )


_REPEAT = "#"
"""What parts a key from the number of the row that repeats it."""


def row_names(keys: Iterable[str]) -> frozenset[str]:
    """Names for the rows of one page, whose records have these keys: the second row of a key is `key#2`."""
    listed = list(keys)
    names = frozenset(listed)
    if len(names) == len(listed):
        return names
    times: dict[str, int] = {}
    for key in listed:
        times[key] = times.get(key, 0) + 1
    return names | {f"{key}{_REPEAT}{number}" for key, count in times.items() for number in range(2, count + 1)}


def missing_rows(evidence: Evidence) -> int:
    """How many rows are still to be shown before the listing counts as complete; 0 means that it does.

    Two proofs are accepted, and the nearer one counts:

    - the present reading alone shows as many rows as were promised. Where `totalRegistros` fell during the reading, the
      lower number is believed only as far as rows of earlier readings are really gone;
    - all readings together show as many, provided that `totalRegistros` has not fallen during the present one.
    """
    by_reading = max(evidence.promised, evidence.highest - evidence.count_vanished()) - evidence.count_shown()
    if evidence.promised < evidence.highest:
        return max(by_reading, 0)
    return max(min(by_reading, evidence.promised - evidence.count_standing()), 0)


def may_stop_early(evidence: Evidence, reading: int) -> bool:
    """Whether a reading after the first may end before its last page, because all readings together show every row."""
    stands = evidence.promised == evidence.highest > 0
    return reading > 1 and stands and evidence.count_standing() >= evidence.promised


def shortfall(evidence: Evidence, *, moves: bool, rows: int | None = None) -> str | None:
    """Why a reading that has reached its end proves nothing; `None` where the listing is complete.

    `moves`: the listing is today's, which grows while it is read, so that its totals prove nothing. `rows`, of a
    listing that repeats rows: how many the pages of the present reading hold together. No repeat on another page is
    known as one, so that it is enough that as many were shown as were promised.
    """
    if evidence.has_vanished:
        return f"the second look at page 1 shows no records, and {evidence.highest} were promised"
    missing = 0 if moves else missing_rows(evidence)
    if rows is not None:
        missing = min(missing, max(evidence.highest - rows, 0))
    if not missing:
        return None
    return f"{missing} of {max(evidence.highest, evidence.promised)} records are missing from the listing"


def is_worth_another_reading(evidence: Evidence, *, readings: int, is_first_claim: bool) -> bool:
    """Whether a listing that is not complete is read again at once, after so many `readings` of the present claim.

    While readings show new rows it is. After three in a row that show none a listing in a fixed order will show no more
    for now; without order, chance may leave out the same few rows again and again (a reading finds each with a
    probability of about 0.65), and six are allowed. Later claims, for which that was not enough, read a third as often.
    """
    most_idle = 6 if evidence.is_unordered else 3
    return readings < MOST_READINGS and evidence.idle < (most_idle if is_first_claim else most_idle // 3)


def fewest_rows(number: int, total_registros: int, total_paginas: int, at_least: int) -> int:
    """How many rows page `number` must hold at the least; `total_*` are what that page itself tells.

    `at_least`: what a full page of this listing holds: for page 1 the size that was asked for, for later pages no more
    than page 1 held. The last page may be short; another may where the totals leave no more for it.
    """
    if number >= total_paginas:
        return 0
    if number == 1:
        return min(at_least, -(-total_registros // total_paginas))
    return min(at_least, max(total_registros - (number - 1) * at_least, 0))


def last_page_with_rows(absent: int, total_registros: int, total_paginas: int, full_page: int) -> int | None:
    """Where a listing goes on whose page `absent` does not come, by what page 1 tells just now.

    A number below `absent`: the records promised fit on the pages up to that one. 0: the listing has fewer pages than
    before and is to be read anew. `None`: page 1 still promises the page, so that the portal fails.
    """
    if total_paginas < absent:
        return 0
    if full_page and total_registros <= (absent - 1) * full_page:
        return -(-total_registros // full_page)
    return None
