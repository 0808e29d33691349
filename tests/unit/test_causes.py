"""The words for why something failed: each error of the ingestor leaves one."""

import pytest

from common.lifecycle.causes import Cause
from ingestor import errors
from ingestor.worker import _explain


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (errors.PncpUnavailable("status 503"), "no_answer"),
        (errors.PncpUnavailable("not JSON", "bad_answer"), "bad_answer"),
        (errors.PncpUnreachable("no connection"), "no_answer"),
        (errors.PncpThrottled("status 429", 3.0), "no_answer"),
        (errors.PncpPaused("paused"), "no_answer"),
        (errors.PncpTooLarge("endless"), "bad_answer"),
        (errors.PncpBlocked("HTML"), "portal_refused"),
        (errors.PncpRefused("status 302"), "portal_refused"),
        (errors.PncpRejected("status 403"), "portal_refused"),
        (errors.PncpDisputed("status 422"), "portal_refused"),
        (errors.PageUnfit("6 records"), "bad_answer"),
        (errors.PageAbsent("page 4"), "incomplete"),
        (errors.ListingShrank("page 4"), "incomplete"),
        (errors.ListingIncomplete("3 of 18"), "incomplete"),
    ],
)
def test_an_error_of_the_portal_leaves_its_cause_and_its_words(error: errors.PncpError, cause: Cause) -> None:
    assert _explain(error) == {"cause": cause, "error_message": str(error)}


def test_a_fault_of_ours_is_named_by_its_kind_alone() -> None:
    assert _explain(KeyError("secret")) == {"cause": "internal", "error_message": "unexpected KeyError"}
