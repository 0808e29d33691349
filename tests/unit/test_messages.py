"""What a message says is read the same way it is written; whatever cannot be understood is poison, never a crash."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.clock import EARLIEST, LONGEST_WINDOW
from common.lifecycle import Criterio
from common.messages import LONGEST_BODY, PoisonError, SyncCommand, decode, encode, execution_id_of

NOW = datetime.fromisoformat("2026-03-10T12:00:00")
START, END = "2026-03-01T00:00:00", "2026-03-02T23:59:59"


def body(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


# Both directions


def test_an_update_is_written_and_read() -> None:
    assert json.loads(encode(SyncCommand("update"))) == {"mode": "update"}
    assert decode(encode(SyncCommand("update")), now=NOW) == SyncCommand("update")


def test_a_backfill_is_written_as_the_queue_s_contract_says() -> None:
    command = SyncCommand("backfill", datetime.fromisoformat(START), datetime.fromisoformat(END), "atualizacao")
    assert json.loads(encode(command)) == {
        "mode": "backfill",
        "data_ini": START,
        "data_fim": END,
        "criterio": "atualizacao",
    }


@settings(deadline=None)
@given(
    start=st.datetimes(EARLIEST, NOW).map(lambda moment: moment.replace(microsecond=0)),
    seconds=st.integers(0, int(LONGEST_WINDOW.total_seconds())),
    criterio=st.sampled_from(["publicacao", "atualizacao"]),
)
def test_every_backfill_that_may_be_asked_for_comes_back_as_it_was_sent(
    start: datetime, seconds: int, criterio: Criterio
) -> None:
    end = min(start + timedelta(seconds=seconds), NOW + timedelta(days=1))
    command = SyncCommand("backfill", start, end, criterio)
    assert decode(encode(command), now=NOW) == command


# What others may send


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" \r\n\t ",
        b"{}",
        b'{"mode": "update"}',
        b'{"mode": "update", "data_ini": "nonsense", "data_fim": 7}',  # dates mean nothing to an update
        b'{"criterio": "nonsense"}',
        b'{"tenant": "x", "nested": [[1]], "ratio": NaN}',  # nor do unknown keys
        b'\xef\xbb\xbf{"mode": "update"}',
    ],
)
def test_a_body_that_asks_for_nothing_else_means_an_update(raw: bytes) -> None:
    assert decode(raw, now=NOW) == SyncCommand("update")


def test_a_backfill_without_criterio_goes_by_publication() -> None:
    command = decode(body(mode="backfill", data_ini=START, data_fim=END, unknown=1), now=NOW)
    assert command == SyncCommand(
        "backfill", datetime.fromisoformat(START), datetime.fromisoformat(END), criterio="publicacao"
    )


# Poison


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"[]", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b"true", "not a JSON object"),
        (b"7", "not a JSON object"),
        (b"NaN", "not a JSON object"),
        (b'"update"', "not a JSON object"),
        (b"update", "not JSON"),
        (b"{", "not JSON"),
        (b'{"mode": "update"} {}', "not JSON"),
        (b"{'mode': 'update'}", "not JSON"),
        (b"\xff\xfe\xff", "not JSON"),
        (b'{"mode": "upd\xe3te"}', "not JSON"),
        (b"\x00", "not JSON"),
        pytest.param(b"[" * (LONGEST_BODY - 1), "not JSON", id="nested arrays"),
        pytest.param(b'{"a":' * 3000, "not JSON", id="nested objects"),
        pytest.param(b'{"a": ' + b"9" * 5000 + b"}", "not JSON", id="5000 digits"),
        pytest.param(b" " * (LONGEST_BODY + 1), "longer than", id="a byte too long"),
        pytest.param(b'{"a": "' + b"x" * 10_000_000 + b'"}', "longer than", id="10 MB"),
    ],
)
def test_a_body_that_is_no_json_object_is_poison(raw: bytes, reason: str) -> None:
    with pytest.raises(PoisonError, match=reason):
        decode(raw, now=NOW)


@pytest.mark.parametrize("mode", ["Update", "UPDATE", "update ", "full", "", None, 1, True, ["update"], {"a": 1}])
def test_an_unknown_mode_is_poison(mode: object) -> None:
    with pytest.raises(PoisonError, match="mode"):
        decode(body(mode=mode), now=NOW)


@pytest.mark.parametrize("criterio", ["Publicacao", "proposta", "", None, 1, ["publicacao"], {}])
def test_an_unknown_criterio_is_poison(criterio: object) -> None:
    with pytest.raises(PoisonError, match="criterio"):
        decode(body(mode="backfill", data_ini=START, data_fim=END, criterio=criterio), now=NOW)


@pytest.mark.parametrize(
    ("dates", "reason"),
    [
        ({}, "data inválida"),
        ({"data_ini": START}, "data inválida"),
        ({"data_fim": END}, "data inválida"),
        ({"data_ini": None, "data_fim": None}, "data inválida"),
        ({"data_ini": 20260301, "data_fim": END}, "data inválida"),
        ({"data_ini": START, "data_fim": [END]}, "data inválida"),
        ({"data_ini": START, "data_fim": END + "Z"}, "data inválida"),
        ({"data_ini": "2026-02-30T00:00:00", "data_fim": END}, "inexistente"),
        ({"data_ini": END, "data_fim": START}, "anterior ou igual"),
        ({"data_ini": "2025-03-01T00:00:00", "data_fim": "2026-03-01T00:00:01"}, "365"),
        ({"data_ini": "2026-03-10T12:00:01", "data_fim": "2026-03-10T13:00:00"}, "futuro"),
        ({"data_ini": START, "data_fim": "2026-03-12T00:00:00"}, "futuro"),
        ({"data_ini": "0001-01-01T00:00:00", "data_fim": "0001-01-01T00:00:00"}, "anterior ao PNCP"),
    ],
)
def test_a_backfill_over_bad_dates_is_poison(dates: dict[str, object], reason: str) -> None:
    with pytest.raises(PoisonError, match=reason):
        decode(body(mode="backfill", **dates), now=NOW)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([START, END, "backfill"]),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@settings(deadline=None)
@given(
    st.binary(max_size=200)
    | JSON_VALUES.map(json.dumps).map(str.encode)
    | st.dictionaries(st.sampled_from(["mode", "data_ini", "data_fim", "criterio", "x"]), JSON_VALUES).map(
        lambda fields: body(**fields)
    )
)
def test_no_body_does_worse_than_poison(raw: bytes) -> None:
    try:
        command = decode(raw, now=NOW)
    except PoisonError:
        return
    assert command.mode == "update" or command.window_start is not None


# The execution that a message names


@pytest.mark.parametrize("value", [42, "42", b"42", "0042"])
def test_the_execution_is_read_as_number_or_text(value: object) -> None:
    assert execution_id_of({"execution_id": value, "other": "x"}) == 42


def test_the_largest_id_that_a_row_can_have_is_read() -> None:
    assert execution_id_of({"execution_id": 2**63 - 1}) == 2**63 - 1
    assert execution_id_of({"execution_id": str(2**63 - 1)}) == 2**63 - 1


@pytest.mark.parametrize("headers", [{}, {"execution_id": None}, {"Execution_ID": 1, "x-death": []}])
def test_a_message_without_the_header_is_another_party_s(headers: dict[str, Any]) -> None:
    assert execution_id_of(headers) is None


@pytest.mark.parametrize(
    "value",
    [
        0,
        -1,
        2**63,
        10**30,
        True,
        False,
        1.0,
        "",
        " 42",
        "-1",
        "+1",
        "1.0",
        "1_0",
        "0",
        "9" * 19,
        "9" * 20,
        pytest.param("9" * 1_000_000, id="a million digits"),
        pytest.param(b"9" * 1_000_000, id="a million digits as bytes"),
        pytest.param("x" * 1_000_000, id="a million letters"),
        "²",
        "٤٢",
        "4²",
        b"\xb2",
        [42],
        {"id": 42},
        {"a": {"b": {"c": 1}}},
        bytearray(b"42"),
        NOW,
        "3fa85f64-5717-4562-b3fc-2c963f66afa6",
    ],
)
def test_a_header_that_is_no_id_of_ours_is_poison(value: object) -> None:
    with pytest.raises(PoisonError, match="execution_id"):
        execution_id_of({"execution_id": value})
