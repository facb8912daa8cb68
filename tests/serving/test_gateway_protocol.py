"""The parser of MLflow's JSON forms: typed columns, and errors without what was sent."""

import json
import math

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.config.label_text import label_text
from homeostat.serving.inference.scoring import to_frame, to_matrix
from homeostat.serving.scoring_request import BadRequest, InputSpec, parse
from serving.gateway_harness import model_config

SPEC = InputSpec.of(model_config())
POLICY_NAMES = list(SPEC.names)
numbers = st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**60), 2**60))
texts = st.one_of(st.none(), st.text(max_size=5), st.integers(0, 9))
rows = st.lists(st.tuples(numbers, numbers, texts, numbers).map(list), min_size=1, max_size=8)
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


def same(left, right):
    return all(
        a == b or (isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b))
        for one, two in zip(left.columns, right.columns, strict=True)
        for a, b in zip(one, two, strict=True)
    )


@given(rows)
@settings(max_examples=60, deadline=None)
def test_all_forms_of_the_same_rows_are_parsed_into_the_same_columns(table):
    records = [dict(zip(POLICY_NAMES, row, strict=True)) for row in table]
    forms = [
        {"dataframe_split": {"columns": POLICY_NAMES, "data": table}},
        {"dataframe_records": records},
        {"instances": records},
        {"instances": table},
        {"inputs": {name: [row[i] for row in table] for i, name in enumerate(POLICY_NAMES)}},
        {"dataframe_records": [record | {"surplus": 1} for record in records], "params": {}},
    ]
    parsed = [parse(orjson.dumps(form), SPEC) for form in forms]
    assert {p.count for p in parsed} == {len(table)}
    assert all(same(parsed[0], other) for other in parsed[1:])
    assert parsed[-1].extra == ("surplus",)
    assert parsed[0].columns[2] == [label_text(row[2]) for row in table]
    for column, index in ((0, 0), (1, 1), (3, 3)):
        expected = [math.nan if row[index] is None else float(row[index]) for row in table]
        assert np.array_equal(parsed[0].columns[column], expected, equal_nan=True)
    frame = to_frame([parsed[0], parsed[1]], SPEC)
    assert [str(t) for t in frame.dtypes] == ["float64", "float64", "str", "float64"]
    assert list(frame.columns) == POLICY_NAMES
    assert len(frame) == 2 * len(table)


@given(json_values)
@settings(max_examples=100, deadline=None)
def test_arbitrary_json_is_parsed_or_a_bad_request(value):
    for body in (value, {"inputs": value}, {"instances": value}, {"dataframe_split": value}):
        try:
            parse(json.dumps(body).encode(), SPEC)
        except BadRequest as error:
            refused = error
        else:
            continue
        assert refused.status == 400
        assert refused.sentence.endswith((".", "}"))


@given(st.binary(max_size=40))
@settings(max_examples=60, deadline=None)
def test_arbitrary_bytes_are_a_bad_request(body):
    with pytest.raises(BadRequest):
        parse(body, SPEC)


@given(st.text(min_size=9, max_size=30, alphabet=st.characters(min_codepoint=0x4E00, max_codepoint=0x4FFF)))
@settings(max_examples=30, deadline=None)
def test_an_error_never_contains_what_was_sent(secret):
    row = {"a": 1, "b": 1, "colour": "red"}
    bodies = [
        {"dataframe_records": [row | {"a": secret}]},
        {"dataframe_records": [row | {"timestamp": secret}]},
        {"dataframe_records": [row | {"unit": [secret]}]},
        {"dataframe_records": [row | {"colour": {secret: 1}}]},
        {"dataframe_records": [{secret: 1}]},
        {"dataframe_split": {"columns": [secret, secret], "data": []}},
        {secret: 1},
    ]
    for body in bodies:
        with pytest.raises(BadRequest) as caught:
            parse(orjson.dumps(body), SPEC)
        assert secret not in caught.value.sentence


def test_a_retired_feature_may_be_absent_and_a_required_one_may_not():
    parsed = parse(b'{"inputs": {"a": 1, "b": 2, "colour": "red"}}', SPEC)
    assert math.isnan(parsed.columns[3][0])
    with pytest.raises(BadRequest, match="'a' is missing"):
        parse(b'{"inputs": {"b": 2, "colour": "red", "old": 1}}', SPEC)


def test_missing_values_reach_the_pipeline_as_missing():
    frame = to_frame([parse(b'{"inputs": {"a": [null], "b": [2], "colour": [null]}}', SPEC)], SPEC)
    assert frame.isna().to_numpy().tolist() == [[True, False, True, True]]


def test_unknown_categories_are_counted_and_known_columns_are_not_extra():
    row = {"a": 1, "b": 1, "colour": "green", "timestamp": "2026-01-05T07:50:00Z", "unit": 3, "y": 1}
    parsed = parse(orjson.dumps({"instances": [row]}), SPEC)
    assert parsed.unknown == {"colour": 1}
    assert parsed.extra == ()
    assert parsed.keys == ["3"]
    assert parsed.times[0].isoformat() == "2026-01-05T07:50:00+00:00"


def test_a_matrix_holds_the_rows_of_all_requests_in_order():
    features = {"a": {"type": "number"}, "b": {"type": "number"}}
    numeric = InputSpec.of(model_config(schema={"label": {"name": "y"}, "features": features}))
    batch = [
        parse(b'{"instances": [[1, 2], [3, null]]}', numeric),
        parse(b'{"instances": [[5, 6]]}', numeric),
    ]
    expected = np.array([[1, 2], [3, np.nan], [5, 6]])
    assert np.array_equal(to_matrix(batch), expected, equal_nan=True)
    assert np.array_equal(to_matrix(batch[:1]), expected[:2], equal_nan=True)


@pytest.mark.parametrize("number", ["1e999", "-1e999", "Infinity", "1" * 400])
def test_an_infinity_is_refused(number):
    with pytest.raises(BadRequest):
        parse(b'{"instances": [[%s, 1, "red", 1]]}' % number.encode(), SPEC)
