"""XGBoost's binary format is read as the values that its JSON has; anything else is an error."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.bundle.mlflow_model.ubjson import read_ubjson
from mlflow_models import fitted


@pytest.fixture
def booster(rows):
    frame = rows()
    return fitted("xgboost", frame[["a", "b", "kind"]], frame["y"])[0].get_booster()


def test_the_values_are_those_of_the_json(booster):
    binary = read_ubjson(bytes(booster.save_raw("ubj")))
    assert flat(binary) == flat(json.loads(bytes(booster.save_raw("json"))))


def test_json_keeps_every_number_of_single_precision(booster):
    data = bytes(booster.save_raw("ubj"))
    again = type(booster)(model_file=bytearray(json.dumps(read_ubjson(data)).encode()))
    assert bytes(again.save_raw("ubj")) == data


def flat(value, where=""):
    """Return all leaves with their places; numbers in single precision, as XGBoost has them."""
    if isinstance(value, dict):
        return [leaf for name in sorted(value) for leaf in flat(value[name], f"{where}.{name}")]
    if isinstance(value, list):
        return [leaf for i, each in enumerate(value) for leaf in flat(each, f"{where}.{i}")]
    return [(where, str(np.float32(value)) if isinstance(value, (int, float)) else value)]


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"Z", None),
        (b"T", True),
        (b"U\xff", 255),
        (b"i\xff", -1),
        (b"I\x01\x00", 256),
        (b"SU\x02hi", "hi"),
        (b"[U\x01SU\x01a]", [1, "a"]),
        (b"[#U\x02ZF", [None, False]),
        (b"[$U#U\x03\x01\x02\x03", [1, 2, 3]),
        (b"[$d#U\x01\x3d\xcc\xcc\xcd", [0.1]),
        (b"{U\x01a[]}", {"a": []}),
    ],
)
def test_each_kind_of_value(data, value):
    assert read_ubjson(data) == value


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"?", b"U", b"Z extra", b"SU\x05hi", b"[$S#U\x01", b"[", b"{U\x01a", b"Sd\x00\x00\x00\x00"),
        *(b"[$D#l\x7f\xff\xff\xff", b"[#L\xff\xff\xff\xff\xff\xff\xff\xff", b"[" * 100_000),
    ],
    ids=range(12),
)
def test_what_is_not_complete_is_an_error(data):
    with pytest.raises(ValueError, match=r"."):
        read_ubjson(data)


@given(st.binary(max_size=200))
def test_any_bytes_give_a_value_or_a_value_error(data):
    try:
        read_ubjson(b"{U\x01a[" + data)
    except ValueError:  # UnicodeDecodeError is one
        return
