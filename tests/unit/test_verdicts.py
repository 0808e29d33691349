"""What answers mean for the records of a request, row by row of the table in ADR 0060."""

import json
import random
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.connections.results import LONGEST_REASON, NO_REASON, Rejection, ResultsRule
from ingestor.delivery.verdicts import (
    FAULTS,
    UNKNOWN,
    Answer,
    Failure,
    Kind,
    Sent,
    Verdict,
    judge,
    parse_retry_after,
)

KEYS = ("a/1", "a/2", "a/3")
ECHOES = ("1", "2", "3")
THREE = Sent(KEYS, ECHOES)
ONE = Sent(KEYS[:1], ECHOES[:1])


IS_REJECTED = (Rejection(("erro",), "present"),)
BY_KEY = ResultsRule("resultados", "id", IS_REJECTED, "erro")
BY_INDEX = ResultsRule("resultados", None, IS_REJECTED, "erro")


def said(*entries: Any, status: int = 207) -> Answer:
    return Answer(status, body=json.dumps({"resultados": entries}).encode())


def every_key(verdict: Verdict) -> list[str]:
    return sorted([*verdict.accepted, *verdict.rejected, *verdict.unknown])


# Statuses without results


@pytest.mark.parametrize("status", [200, 201, 202, 204, 207])
def test_a_success_without_results_accepts_all(status: int) -> None:
    assert judge(Answer(status, body=b"whatever"), THREE, None) == Verdict(Kind.SETTLED, accepted=KEYS)


def test_a_success_accepts_all_although_its_body_was_cut_where_no_results_are_expected() -> None:
    assert judge(Answer(200, is_cut=True), THREE, None).accepted == KEYS


@pytest.mark.parametrize("status", [400, 413, 422, 409])
def test_a_request_of_several_that_is_refused_as_a_whole_is_split(status: int) -> None:
    verdict = judge(Answer(status), THREE, None)
    assert (verdict.kind, verdict.unknown, verdict.too_large) == (Kind.SPLIT, KEYS, status == 413)
    assert str(status) in verdict.reason


@pytest.mark.parametrize("status", [400, 413, 422, 409])
def test_a_single_record_that_is_refused_is_rejected(status: int) -> None:
    verdict = judge(Answer(status), ONE, None)
    assert (verdict.kind, list(verdict.rejected), verdict.too_large) == (Kind.SETTLED, ["a/1"], status == 413)
    assert verdict.rejected["a/1"] == verdict.reason


@pytest.mark.parametrize("status", [408, 425, 429, 500, 501, 502, 503, 504, 599])
def test_what_asks_for_patience_is_unknown_and_repeated(status: int) -> None:
    verdict = judge(Answer(status, {"retry-after": "7"}), THREE, None)
    assert (verdict.kind, verdict.unknown, verdict.retry_after) == (Kind.REPEAT, KEYS, 7)


def test_a_conflict_of_a_repeated_request_is_unknown() -> None:
    assert judge(Answer(409), Sent(KEYS, ECHOES, tries=2), None).kind is Kind.REPEAT
    assert judge(Answer(409), Sent(KEYS[:1], ECHOES[:1], tries=2), None).kind is Kind.REPEAT
    assert judge(said({"id": 1}, status=409), Sent(KEYS, ECHOES, tries=2), BY_KEY).accepted == ("a/1",)


@pytest.mark.parametrize("status", [401, 403, 404, 405, 407, 415, 300, 301, 302, 304, 307, 308, 402, 406, 418, 451])
def test_a_fault_of_the_destination_rejects_no_record(status: int) -> None:
    for sent in (THREE, ONE):
        verdict = judge(Answer(status), sent, None)
        assert (verdict.kind, verdict.unknown) == (Kind.FAULT, sent.keys)


def test_gone_stops_the_destination() -> None:
    verdict = judge(Answer(410), THREE, BY_KEY)
    assert (verdict.kind, verdict.unknown) == (Kind.STOP, KEYS)


# Failures


def test_every_failure_has_a_meaning() -> None:
    assert {*UNKNOWN, *FAULTS} == set(get_args(Failure))
    assert not UNKNOWN.keys() & FAULTS.keys()


@pytest.mark.parametrize("failure", ["timeout", "reset", "refused_connection", "closed", "too_large", "amqp"])
def test_what_may_have_been_applied_is_repeated(failure: Failure) -> None:
    verdict = judge(Answer(failure=failure), THREE, BY_KEY)
    assert (verdict.kind, verdict.unknown, verdict.reason) == (Kind.REPEAT, KEYS, UNKNOWN[failure])


@pytest.mark.parametrize(
    "failure",
    ["dns", "tls", "forbidden_address", "invalid_url", "redirect", "oauth", "secret_missing", "amqp_refused"],
)
def test_what_cannot_have_been_applied_is_the_destination_s_fault(failure: Failure) -> None:
    verdict = judge(Answer(failure=failure), THREE, BY_KEY)
    assert (verdict.kind, verdict.unknown, verdict.reason) == (Kind.FAULT, KEYS, FAULTS[failure])


def test_an_answer_that_broke_off_is_unknown_whatever_its_status() -> None:
    verdict = judge(Answer(200, failure="closed"), THREE, None)
    assert (verdict.kind, verdict.accepted) == (Kind.REPEAT, ())
    assert "200" in verdict.reason


def test_nothing_at_all_is_unknown() -> None:
    assert judge(Answer(), THREE, None).kind is Kind.REPEAT


# Results by key


@pytest.mark.parametrize("status", [200, 207, 400, 409, 422])
def test_results_name_their_records_in_any_order(status: int) -> None:
    verdict = judge(said({"id": 3}, {"id": 1}, {"id": 2, "erro": "CNPJ inválido"}, status=status), THREE, BY_KEY)
    assert (verdict.kind, set(verdict.accepted), verdict.unknown) == (Kind.SETTLED, {"a/1", "a/3"}, ())
    assert verdict.rejected == {"a/2": "CNPJ inválido"}


def test_a_record_that_the_answer_does_not_mention_is_unknown() -> None:
    verdict = judge(said({"id": 2}), THREE, BY_KEY)
    assert (verdict.accepted, verdict.unknown) == (("a/2",), ("a/1", "a/3"))


def test_a_refusal_that_names_its_culprits_settles_them_alone() -> None:
    verdict = judge(said({"id": 2, "erro": "x"}, status=422), THREE, BY_KEY)
    assert (verdict.kind, verdict.rejected, verdict.unknown) == (Kind.SETTLED, {"a/2": "x"}, ("a/1", "a/3"))


def test_names_that_were_not_sent_and_entries_without_a_name_say_nothing() -> None:
    verdict = judge(said({"id": 99}, {}, None, 7, "x", [], {"id": 1}), THREE, BY_KEY)
    assert (verdict.accepted, verdict.rejected, verdict.unknown) == (("a/1",), {}, ("a/2", "a/3"))


def test_a_record_named_twice_is_accepted_once() -> None:
    assert judge(said({"id": 1}, {"id": 1}), THREE, BY_KEY).accepted == ("a/1",)


def test_a_record_named_twice_with_one_error_is_rejected_and_each_reason_said_once() -> None:
    entries = [{"id": 1, "erro": "sem CNPJ"}, {"id": 1}, {"id": 1, "erro": "sem UF"}, {"id": 1, "erro": "sem UF"}]
    assert judge(said(*entries), THREE, BY_KEY).rejected == {"a/1": "sem CNPJ; sem UF"}


def test_records_of_one_name_share_what_is_said_of_it() -> None:
    twins = Sent(KEYS, ("1", "1", "2"))
    assert judge(said({"id": 1}), twins, BY_KEY).accepted == ("a/1", "a/2")
    assert set(judge(said({"id": 1, "erro": "x"}), twins, BY_KEY).rejected) == {"a/1", "a/2"}


def test_records_of_one_name_with_different_results_are_unknown_and_go_apart_when_they_are_alone() -> None:
    entries = [{"id": 1}, {"id": 1, "erro": "x"}]
    first = judge(said({"id": 2}, *entries), Sent(KEYS, ("1", "1", "2")), BY_KEY)
    assert (first.kind, first.accepted, first.unknown) == (Kind.SETTLED, ("a/3",), ("a/1", "a/2"))
    assert judge(said(*entries), Sent(KEYS[:2], ("1", "1")), BY_KEY).kind is Kind.SPLIT


def test_a_record_without_a_name_stays_unknown() -> None:
    verdict = judge(said({"id": 1}, {"id": "None"}), Sent(KEYS, ("1", None, None)), BY_KEY)
    assert (verdict.accepted, verdict.unknown) == (("a/1",), ("a/2", "a/3"))


def test_without_echoes_the_keys_themselves_are_the_names() -> None:
    assert judge(said({"id": "a/2"}), Sent(KEYS), BY_KEY).accepted == ("a/2",)


@pytest.mark.parametrize("entries", [[], [{"id": 99}], [None]])
def test_results_that_name_no_record_leave_all_unknown_for_a_new_request(entries: list[Any]) -> None:
    """A destination that honours the key would give the same results again under the same key."""
    verdict = judge(said(*entries), THREE, BY_KEY)
    assert (verdict.kind, verdict.unknown) == (Kind.SETTLED, KEYS)
    assert judge(said(*entries, status=422), THREE, BY_KEY).kind is Kind.SPLIT
    assert list(judge(said(*entries, status=422), ONE, BY_KEY).rejected) == ["a/1"]


# Results by index


def test_results_without_names_stand_in_the_order_of_the_records() -> None:
    verdict = judge(said({}, {"erro": "não"}, {}), THREE, BY_INDEX)
    assert (verdict.accepted, verdict.rejected) == (("a/1", "a/3"), {"a/2": "não"})


@pytest.mark.parametrize("length", [0, 1, 2, 4])
def test_a_list_of_another_length_is_no_result(length: int) -> None:
    assert judge(said(*[{}] * length), THREE, BY_INDEX).kind is Kind.REPEAT
    assert judge(said(*[{}] * length, status=400), THREE, BY_INDEX).kind is Kind.SPLIT


# Bodies that cannot be read


UNREADABLE = {
    "nothing": b"",
    "no JSON": b"<html>OK</html>",
    "another shape": b'{"ok": true}',
    "a list": b"[1, 2, 3]",
    "null": b"null",
    "NaN": b'{"resultados": [{"id": 1, "peso": NaN}]}',
    "Infinity": b'{"resultados": [{"id": 1, "peso": -Infinity}]}',
    "too deep": b'{"resultados": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "cut": b'{"resultados": [{"id": 1}, {"id"',
    "no UTF-8": b'{"resultados": [{"id": "\xe9"}]}',
    "a lone surrogate": b'{"resultados": [{"id": "\\ud800"}]}',
}


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_body_that_cannot_be_read_is_no_result(body: bytes) -> None:
    assert judge(Answer(207, body=body), THREE, BY_KEY).kind is Kind.REPEAT
    assert judge(Answer(207, body=body), THREE, BY_KEY).unknown == KEYS
    assert judge(Answer(400, body=body), THREE, BY_KEY).kind is Kind.SPLIT
    assert list(judge(Answer(422, body=body), ONE, BY_KEY).rejected) == ["a/1"]


def test_results_in_a_body_that_was_cut_are_none() -> None:
    whole = said({"id": 1})
    assert judge(Answer(207, body=whole.body, is_cut=True), THREE, BY_KEY).kind is Kind.REPEAT


def test_a_byte_order_mark_is_no_obstacle() -> None:
    assert judge(Answer(207, body=b"\xef\xbb\xbf" + said({"id": 1}).body), THREE, BY_KEY).accepted == ("a/1",)


@given(st.binary(max_size=200), st.integers(100, 599), st.integers(1, 3))
def test_every_record_gets_exactly_one_verdict(body: bytes, status: int, tries: int) -> None:
    for results in (None, BY_KEY, BY_INDEX):
        assert every_key(judge(Answer(status, body=body), Sent(KEYS, ECHOES, tries), results)) == sorted(KEYS)


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans())), st.sampled_from([200, 207, 400]))
def test_only_what_the_answer_mentions_settles(entries: list[tuple[int, bool]], status: int) -> None:
    answer = said(*({"id": name} | ({"erro": "x"} if bad else {}) for name, bad in entries), status=status)
    verdict = judge(answer, THREE, BY_KEY)
    assert every_key(verdict) == sorted(KEYS)
    if verdict.kind is Kind.SETTLED:
        refused = {f"a/{name}" for name, bad in entries if bad} & set(KEYS)
        assert set(verdict.rejected) == refused
        assert set(verdict.accepted) == {f"a/{name}" for name, _ in entries} & set(KEYS) - refused


# Texts


def test_a_reason_of_the_destination_is_one_line_and_bounded() -> None:
    verdict = judge(said({"id": 1, "erro": "linha\r\n\x1b[31mvermelha\u202e" + "x" * 9999}), THREE, BY_KEY)
    reason = verdict.rejected["a/1"]
    assert reason.startswith("linha [31mvermelha xxx")
    assert len(reason) == LONGEST_REASON


def test_a_rejection_without_a_reason_says_so() -> None:
    assert judge(said({"id": 1, "erro": " "}), THREE, BY_KEY).rejected["a/1"] == NO_REASON


def test_the_reason_of_a_verdict_quotes_nothing_of_the_answer() -> None:
    for status in (200, 207, 302, 400, 401, 409, 410, 413, 429, 500):
        answer = Answer(status, {"location": "https://x/sigilo", "retry-after": "sigilo"}, b"sigilo")
        assert "sigilo" not in judge(answer, THREE, BY_KEY).reason
        assert "sigilo" not in repr(answer.body and Answer(status, {}, b"sigilo"))


# Retry-After


DATE = "Sun, 29 Nov 2026 12:00:00 GMT"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 30),
        (" 30 ", 30),
        ("1.5", 1.5),
        ("0", 1),
        ("3600", 3600),
        ("999999", 21600),
        ("99999999999999999999", 21600),
        ("Sun, 29 Nov 2026 12:01:00 GMT", 60),
        ("Sun, 29 Nov 2026 12:01:00 -0000", 60),
        ("Sun, 29 Nov 2026 09:01:00 -0300", 60),
        ("Sun, 29 Nov 2026 11:00:00 GMT", 1),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 21600),
        ("-5", None),
        ("1e9", None),
        ("nan", None),
        ("inf", None),
        ("soon", None),
        ("\u0663", None),
        ("", None),
        ("9" * 400, None),
        ("Sun, 99 Nov 2026 12:00:00 GMT", None),
    ],
)
def test_a_wait_is_read_as_seconds_or_as_a_date_and_clamped(text: str, seconds: float | None) -> None:
    assert parse_retry_after({"retry-after": text, "date": DATE}) == seconds


def test_a_date_without_the_answer_s_own_says_nothing() -> None:
    assert parse_retry_after({"retry-after": DATE}) is None
    assert parse_retry_after({"retry-after": DATE, "date": "rubbish"}) is None


def test_no_header_is_no_wait() -> None:
    assert parse_retry_after({}) is None


def test_shuffled_results_of_a_whole_batch_find_their_records() -> None:
    numbers = list(range(1000))
    entries = [{"id": n} | ({"erro": "x"} if n % 100 == 0 else {}) for n in numbers]
    random.Random(7).shuffle(entries)
    verdict = judge(said(*entries), Sent(tuple(f"k{n}" for n in numbers), tuple(map(str, numbers))), BY_KEY)
    assert set(verdict.rejected) == {f"k{n}" for n in range(0, 1000, 100)}
    assert len(verdict.accepted) == 990
