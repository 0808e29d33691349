"""What can go wrong while a slice is ingested.

IngestionError
  PncpError
    PncpUnavailable    # may pass: no answer, 5xx, cut or foreign body
      PncpUnreachable  # no connection
      PncpThrottled    # 429
      PncpBlocked      # an HTML page in place of data
      PncpRefused      # the service refuses us: redirects, 401, 403 and their like
      PncpPaused       # the service is paused, and the caller does not wait
    PncpRejected       # will not pass by itself
      PncpDisputed     # 422
    PageUnfit          # too many records of a page cannot be stored
    PageAbsent         # a page that an earlier one had promised is not there
    ListingShrank      # page 1 promises fewer pages than before
    ListingIncomplete  # it does not add up, however often it is read
  NoRoomError          # a body is larger than what the process may hold just now
  LeaseLost            # another worker has taken the slice over
  StoppedWaiting       # the worker stops, and nothing was asked
"""

from common.lifecycle.causes import Cause


class IngestionError(Exception):
    """Something that ends the work on a slice for now."""


class PncpError(IngestionError):
    """The portal's answer is not a page of what was asked.

    `tries`: how often one request is sent at most before this error stands. `cause`: what it leaves on a slice.
    """

    tries = 1
    cause: Cause = "incomplete"

    def __init__(self, message: str, cause: Cause | None = None) -> None:
        super().__init__(message)
        if cause is not None:
            self.cause = cause


class PncpUnavailable(PncpError):
    """The portal does not answer properly just now."""

    tries = 6
    cause: Cause = "no_answer"


class PncpUnreachable(PncpUnavailable):
    """There is no connection: it says something of the whole service, whatever was asked."""


class PncpTooLarge(PncpUnavailable):
    """An answer that is larger than what a process may hold, or that does not end."""

    cause: Cause = "bad_answer"


class PncpThrottled(PncpUnavailable):
    """The portal wants a pause (429).

    `seconds`: for how long; `None` where it does not say.
    """

    def __init__(self, message: str, seconds: float | None = None) -> None:
        super().__init__(message)
        self.seconds = seconds


class PncpBlocked(PncpUnavailable):
    """The portal answers 200 with a page in HTML: its throttle's, its firewall's, or that of its maintenance."""

    cause: Cause = "portal_refused"


class PncpRefused(PncpUnavailable):
    """The portal refuses whatever we ask: a redirect, 401, 403 or their like on a listing."""

    tries = 2
    cause: Cause = "portal_refused"


class PncpPaused(PncpUnavailable):
    """The service refuses or is down, so that it is paused; the caller does not want to wait for it."""


class PncpRejected(PncpError):
    """The portal refuses a request that is well formed, because of what it asks for."""

    cause: Cause = "portal_refused"


class PncpDisputed(PncpRejected):
    """As before with a status that also comes spuriously under load."""

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

    cause: Cause = "bad_answer"


class NoRoomError(IngestionError):
    """A body is larger than the room that is left for it; it is asked for again when it can be read alone."""


class LeaseLost(IngestionError):
    """Another worker has taken this slice over, or it has been ended."""


class StoppedWaiting(IngestionError):
    """The worker stops while a request waits for the end of a pause; it was not sent."""
