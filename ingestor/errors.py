"""What can go wrong while a slice is ingested.

IngestionError
  PncpError
    PncpUnavailable    # may pass: no answer, 429, 5xx, cut or foreign body
    PncpRejected       # will not pass by itself: 401, 403, 400, 422, redirects
    PageUnfit          # too many records of a page cannot be stored
    PageAbsent         # a page that an earlier one had promised is not there
    ListingShrank      # page 1 promises fewer pages than before
    ListingIncomplete  # it does not add up, however often it is read
  NoRoomError          # a body is larger than what the process may hold just now
  LeaseLost            # another worker has taken the slice over
"""


class IngestionError(Exception):
    """Something that ends the work on a slice for now."""


class PncpError(IngestionError):
    """The portal's answer is not a page of what was asked.

    `tries`: how often one request is sent at most before this error stands.
    """

    tries = 1


class PncpUnavailable(PncpError):
    """The portal does not answer properly just now.

    `retry_after`: seconds that it asked for, where it asked for more than a request waits.
    """

    tries = 6

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class PncpTooLarge(PncpUnavailable):
    """An answer that is larger than what a process may hold, or that does not end."""


class PncpThrottled(PncpUnavailable):
    """The portal wants a pause (429); every ingestor keeps it before the next try."""


class PncpRejected(PncpError):
    """The portal refuses a request that is well formed."""


class PncpDisputed(PncpRejected):
    """As before with 400 or 422, which also come spuriously under load."""

    tries = 3


class PageAbsent(PncpError):
    """A page after the first does not come: 204, 400, 404, 422, no records, or another page in its place.

    Whether the listing has become shorter or the portal fails, page 1 tells.
    """

    tries = 4


class ListingShrank(PncpError):
    """The listing has fewer pages than its first page had said, and has to be read anew."""


class ListingIncomplete(PncpError):
    """A closed day's listing shows fewer records than it promises, however often it is read."""


class PageUnfit(PncpError):
    """So many records of a page cannot be stored that the fault is the page's, or ours, and not single records'."""


class NoRoomError(IngestionError):
    """A body is larger than the room that is left for it; it is asked for again when it can be read alone."""


class LeaseLost(IngestionError):
    """Another worker has taken this slice over, or it has been ended."""
