"""Why an execution or a slice failed, in a word for programs; `error_message` says it in a sentence for people."""

from typing import Literal, get_args

Cause = Literal[
    "portal_down",
    "no_answer",
    "portal_refused",
    "bad_answer",
    "incomplete",
    "database",
    "internal",
    "stalled",
    "no_worker",
    "publish_failed",
    "cancelled",
    "cut_off",
    "destination_down",
    "destination_stopped",
    "misconfigured",
    "bad_file",
    "source_down",
    "source_changed",
]
"""
Of an execution only:
portal_down     the portal as a whole failed for longer than the execution may wait
no_worker       no ingestor was there for an hour
publish_failed  the broker did not confirm the message, and the request was refused
cancelled       an administrator ended it; `cancelled_by` names them

Of a delivery only:
destination_down     the destination failed for longer than a delivery may wait
destination_stopped  the destination wants no more (410), until an administrator resumes it
misconfigured        its file is gone or does not hold, or its records cannot be read; of an intake too

Of an intake only:
bad_file        a file that is taken in cannot be read, or its rows are refused
source_down     a foreign database failed for longer than a reading may wait
source_changed  a foreign database has not the columns or the keys that its file names

Of a slice, and of the execution in which it was the most frequent cause:
no_answer       no connection, a time-out, a cut connection, status 400, 404, 408, 425, 429 or 5xx
portal_refused  a redirect, any other 4xx, or a page in HTML in place of data
bad_answer      not JSON, not of the known form, too large, or too many records that cannot be stored
incomplete      the listing does not show what it promises, or is empty against expectation
internal        a fault of ours; planning that fails leaves it on an execution too
stalled         workers ended on it again and again without a page

Of a slice only:
database        given back because the database did not store what was read; it is pending or running again
cut_off         its execution was ended before it was read; the execution's cause says why
"""

CAUSES: tuple[Cause, ...] = get_args(Cause)
