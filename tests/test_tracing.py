"""The W3C trace context, by the examples of its specification."""

import logging
import threading
from contextvars import copy_context

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.serving.server.logging_setup import OneLineFormatter
from homeostat.tracing import is_sampled, logged_trace, trace_id, valid_traceparent

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GIVEN = f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GIVEN, GIVEN),
        (f"  {GIVEN} ", GIVEN),
        (f"cc-{TRACE}-{SPAN}-01", GIVEN),  # a version to come is read as far as it is known
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like", GIVEN),
        (f"cc-{TRACE}-{SPAN}-01.what", ""),
        (f"00-{TRACE}-{SPAN}-01-more", ""),
        (f"ff-{TRACE}-{SPAN}-01", ""),
        (f"00-{'0' * 32}-{SPAN}-01", ""),
        (f"00-{TRACE}-{'0' * 16}-01", ""),
        (f"00-{TRACE.upper()}-{SPAN}-01", ""),
        (f"00-{TRACE[1:]}-{SPAN}-01", ""),
        (f"{GIVEN}\n00", ""),
        ("", ""),
    ],
)
def test_a_traceparent_is_read_as_its_specification_says(text, expected):
    assert valid_traceparent(text) == expected


@given(st.text())
def test_any_text_is_either_read_or_refused(text):
    found = valid_traceparent(text)
    assert found == "" or valid_traceparent(found) == found


@pytest.mark.parametrize(("flags", "sampled"), [("00", False), ("01", True), ("02", False), ("ff", True)])
def test_the_last_bit_of_the_flags_says_whether_it_is_sampled(flags, sampled):
    assert is_sampled(f"00-{TRACE}-{SPAN}-{flags}") is sampled
    assert trace_id(f"00-{TRACE}-{SPAN}-{flags}") == TRACE


def line(message="hello"):
    record = logging.LogRecord("homeostat", logging.INFO, "", 0, message, (), None)
    return OneLineFormatter(lambda text: text).format(record)


def test_a_log_line_ends_with_the_trace_that_it_belongs_to():
    assert "trace_id" not in line()
    with logged_trace(GIVEN):
        assert line().endswith(f" INFO homeostat: hello trace_id={TRACE}")
        with logged_trace(""):
            assert line().endswith(TRACE)
        found = []
        thread = threading.Thread(target=copy_context().run, args=(lambda: found.append(line()),))
        thread.start()
        thread.join()
        assert found[0].endswith(TRACE)
    assert "trace_id" not in line()
