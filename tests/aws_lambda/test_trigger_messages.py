"""A trigger as text: what was sent is read back, and garbage is said to be garbage in one sentence."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.config.errors import DataError
from homeostat.ports import TriggerMessage
from homeostat.storage.trigger_message import MAX_BODY, body_of, message_of

END = "2026-03-02T05:00:00+00:00"
GOOD = {
    "model": "toy",
    "trigger_id": f"toy/{END}",
    "window_end": END,
    "reason": "harmful_drift",
    "recall": "",
}
WORDS = st.text(st.characters(codec="utf-8", categories=["L", "N", "P"]), min_size=1, max_size=100)


@given(reason=WORDS, recall=st.just("") | WORDS, cause=WORDS)
@settings(max_examples=60)
def test_what_was_written_is_read_back(reason, recall, cause):
    message = TriggerMessage("toy", f"toy/{cause}", END, reason, recall)
    assert message_of(body_of(message), {"toy", "other"}) == message


def test_a_newer_sender_may_say_more_and_a_person_less():
    less = {name: value for name, value in GOOD.items() if name != "recall"}
    for raw in (less, GOOD | {"recall": None}, GOOD | {"because": ["of", "you"]}):
        assert message_of(json.dumps(raw), ["toy"]) == TriggerMessage(**GOOD)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("", "not JSON"),
        ("hello", "not JSON"),
        ("\ud800", "not JSON"),
        ("[" * 5000, "not JSON"),
        ("[1]", "no JSON object"),
        ("null", "no JSON object"),
        ('"toy"', "no JSON object"),
        ("{}", "no 'model'"),
        (json.dumps(GOOD | {"model": 3}), "a int as 'model'"),
        (json.dumps(GOOD | {"model": None}), "a NoneType as 'model'"),
        (json.dumps(GOOD | {"model": ""}), "whose 'model' is ''"),
        (json.dumps(GOOD | {"model": "stranger"}), "'stranger', which this installation has not.*toy"),
        (json.dumps(GOOD | {"trigger_id": f"other/{END}"}), "expected 'toy/"),
        (json.dumps(GOOD | {"trigger_id": "toy/"}), "expected 'toy/"),
        (json.dumps(GOOD | {"trigger_id": "toyx/1"}), "expected 'toy/"),
        (json.dumps(GOOD | {"window_end": "yesterday"}), "'yesterday' is not a time"),
        (json.dumps(GOOD | {"window_end": "0001-01-01T00:00:00+14:00"}), "is not a time"),
        (json.dumps(GOOD | {"reason": "a\nb"}), "printable"),
        (json.dumps(GOOD | {"reason": "\x00"}), "printable"),
        (json.dumps(GOOD | {"reason": "\ud800"}), "printable"),
        (json.dumps(GOOD | {"reason": "x" * 600}), "printable"),
        (json.dumps(GOOD | {"recall": ["1"]}), "a list as 'recall'"),
        (json.dumps(GOOD | {"reason": float("nan")}), "a float as 'reason'"),
        (json.dumps(GOOD | {"more": "x" * MAX_BODY}), "which is no trigger"),
    ],
)
def test_garbage_is_told_in_one_short_sentence(body, said):
    with pytest.raises(DataError, match=said) as refused:
        message_of(body, ["toy"])
    text = str(refused.value)
    assert len(text) < 600
    assert text.isprintable()


@given(st.text(max_size=200) | st.recursive(st.none() | st.text(max_size=5), st.lists).map(json.dumps))
@settings(max_examples=60)
def test_no_text_at_all_raises_anything_else(body):
    with pytest.raises(DataError):
        message_of(body, ["toy"])
