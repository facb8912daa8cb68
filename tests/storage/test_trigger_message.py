"""Trigger messages: a round trip, and a clear error for every invalid body."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.config.errors import DataError
from homeostat.ports import TriggerMessage
from homeostat.storage.trigger_message import MAX_BODY, decode_trigger, encode_trigger

END = "2026-03-02T05:00:00+00:00"
GOOD = {
    "model": "sample",
    "trigger_id": f"sample/{END}",
    "window_end": END,
    "reason": "harmful_drift",
    "reinstate": "",
}
WORDS = st.text(st.characters(codec="utf-8", categories=["L", "N", "P"]), min_size=1, max_size=100)


@given(reason=WORDS, reinstate=st.just("") | WORDS, cause=WORDS)
@settings(max_examples=60)
def test_a_message_is_decoded_as_encoded(reason, reinstate, cause):
    message = TriggerMessage("sample", f"sample/{cause}", END, reason, reinstate)
    assert decode_trigger(encode_trigger(message), {"sample", "other"}) == message


def test_unknown_keys_are_ignored_and_reinstate_is_optional():
    minimal = {name: value for name, value in GOOD.items() if name != "reinstate"}
    for raw in (minimal, GOOD | {"reinstate": None}, GOOD | {"unknown": ["x", "y"]}):
        assert decode_trigger(json.dumps(raw), ["sample"]) == TriggerMessage(**GOOD)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("", "not JSON"),
        ("hello", "not JSON"),
        ("\ud800", "not JSON"),
        ("[" * 5000, "not JSON"),
        ("[1]", "not a JSON object"),
        ("null", "not a JSON object"),
        ('"sample"', "not a JSON object"),
        ("{}", "no 'model'"),
        (json.dumps(GOOD | {"model": 3}), "a int as 'model'"),
        (json.dumps(GOOD | {"model": None}), "a NoneType as 'model'"),
        (json.dumps(GOOD | {"model": ""}), "whose 'model' is ''"),
        (json.dumps(GOOD | {"model": "unknown"}), "'unknown', which does not exist here.*sample"),
        (json.dumps(GOOD | {"trigger_id": f"other/{END}"}), "expected 'sample/"),
        (json.dumps(GOOD | {"trigger_id": "sample/"}), "expected 'sample/"),
        (json.dumps(GOOD | {"trigger_id": "samplex/1"}), "expected 'sample/"),
        (json.dumps(GOOD | {"window_end": "yesterday"}), "'yesterday' is not a time"),
        (json.dumps(GOOD | {"window_end": "0001-01-01T00:00:00+14:00"}), "is not a time"),
        (json.dumps(GOOD | {"reason": "a\nb"}), "printable"),
        (json.dumps(GOOD | {"reason": "\x00"}), "printable"),
        (json.dumps(GOOD | {"reason": "\ud800"}), "printable"),
        (json.dumps(GOOD | {"reason": "x" * 600}), "printable"),
        (json.dumps(GOOD | {"reinstate": ["1"]}), "a list as 'reinstate'"),
        (json.dumps(GOOD | {"reason": float("nan")}), "a float as 'reason'"),
        (json.dumps(GOOD | {"more": "x" * MAX_BODY}), "more than 8192"),
    ],
)
def test_an_invalid_body_is_refused_with_a_short_message(body, expected):
    with pytest.raises(DataError, match=expected) as refused:
        decode_trigger(body, ["sample"])
    text = str(refused.value)
    assert len(text) < 600
    assert text.isprintable()


@given(st.text(max_size=200) | st.recursive(st.none() | st.text(max_size=5), st.lists).map(json.dumps))
@settings(max_examples=60)
def test_any_invalid_text_raises_data_error(body):
    with pytest.raises(DataError):
        decode_trigger(body, ["sample"])


def test_a_message_of_release_0_1_is_read():
    old = {name: value for name, value in GOOD.items() if name != "reinstate"} | {"recall": "3"}
    assert decode_trigger(json.dumps(old), ["sample"]).reinstate == "3"
