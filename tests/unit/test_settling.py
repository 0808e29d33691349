"""What an error of the ingestor leaves on its slice, and what becomes of the slice."""

from dataclasses import replace

import pytest

from common.database import UnreachableDatabaseError
from common.lifecycle.causes import Cause
from ingestor import errors
from ingestor.settling import UNFIT_TRIES, Fate, choose_fate, explain
from tests.unit.test_ingestion_decisions import claim


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
    assert explain(error) == {"cause": cause, "error_message": str(error)}


def test_a_fault_of_ours_is_named_by_its_kind_alone() -> None:
    assert explain(KeyError("secret")) == {"cause": "internal", "error_message": "unexpected KeyError"}


@pytest.mark.parametrize(
    ("error", "fate"),
    [
        (errors.LeaseLost("7"), "lost"),
        (errors.StoppedWaiting("the worker stops"), "release"),
        (errors.PncpRejected("status 403"), "fail"),
        (errors.PncpDisputed("status 422"), "fail"),
        (errors.PncpUnavailable("status 503"), "postpone"),
        (errors.ListingIncomplete("3 of 18"), "postpone"),
        (errors.PageUnfit("6 records"), "postpone"),
        (UnreachableDatabaseError("no connection"), "give_back"),
        (KeyError("a fault of ours"), "postpone"),
    ],
)
def test_an_error_decides_what_becomes_of_the_slice(error: Exception, fate: Fate) -> None:
    assert choose_fate(error, claim()) == fate


def test_a_page_that_is_unfit_again_and_again_fails_its_slice() -> None:
    assert choose_fate(errors.PageUnfit("6 records"), replace(claim(), failures=UNFIT_TRIES - 1)) == "fail"
