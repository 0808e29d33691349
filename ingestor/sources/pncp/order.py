"""In which order the pages of a listing are read, and when the rest of it need not be read."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, pairwise


@dataclass
class OrderProof:
    """Whether the pages read so far, page 1 first and then from the last backwards, are in ascending order.

    The order of `/atualizacao` is undocumented, so that nothing may be concluded from it before it is seen.
    """

    holds: bool = True
    highest_of_first: datetime | None = None
    lowest_so_far: datetime | None = None

    def add(self, number: int, page_stamps: list[datetime]) -> None:
        """Take a page's stamps into account, in the page's order."""
        if not page_stamps or any(a > b for a, b in pairwise(page_stamps)):
            self.holds = False
            return
        if number == 1:
            self.highest_of_first = page_stamps[-1]
            return
        if self.lowest_so_far is not None and page_stamps[-1] > self.lowest_so_far:
            self.holds = False
        self.lowest_so_far = page_stamps[0]
        if self.highest_of_first is None or self.highest_of_first > self.lowest_so_far:
            self.holds = False

    def allows_stop(self, page_stamps: list[datetime], window_start: datetime) -> bool:
        """Whether all pages before this one must be older than the window, as it is itself."""
        return self.holds and page_stamps[-1] < window_start


def pages_to_read(total_paginas: int, done: set[int]) -> Iterator[int]:
    """What is left of a listing whose page 1 has been read: the last page first, and page 1 once more.

    A single page needs no second look. Pages are committed in this very order, so that nothing above the lowest
    one done is missing. One after the other, because a portal may promise any number of them.
    """
    if total_paginas <= 1:
        return iter(())
    lowest_done = min(done - {1}, default=total_paginas + 1)
    return chain(range(lowest_done - 1, 1, -1), [1])
