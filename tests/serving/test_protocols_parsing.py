"""CSV and tensors are parsed to the same rows as MLflow's JSON forms; errors never contain what was sent."""

import csv
import io
import math
import string
import time

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.serving.http.protocols import encode_infer, parse_csv, parse_infer, rows_parser
from homeostat.serving.http.protocols.tensors import DATATYPES
from homeostat.serving.scoring_request import BadRequest, InputSpec, parse
from serving.gateway_harness import model_config

SPEC = InputSpec.of(model_config())
POLICY_NAMES = list(SPEC.names)
NUMERIC = InputSpec.of(
    model_config(schema={"label": {"name": "y"}, "features": {n: {"type": "number"} for n in "abc"}})
)
numbers = st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**53), 2**53))
texts = st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"]), max_size=6))
times = st.one_of(st.none(), st.datetimes().map(lambda at: at.isoformat()))
tables = st.lists(st.tuples(numbers, numbers, texts, numbers, texts, times).map(list), min_size=1, max_size=6)
COLUMNS = [*POLICY_NAMES, "unit", "timestamp"]


def same(left, right):
    assert left.count == right.count
    assert (left.keys, left.times, left.unknown) == (right.keys, right.times, right.unknown)
    for one, two in zip(left.columns, right.columns, strict=True):
        assert [None if _gone(v) else v for v in one] == [None if _gone(v) else v for v in two]


def _gone(value):
    return value is None or (isinstance(value, float) and math.isnan(value))


def as_json(table):
    empty_is_missing = [[None if cell == "" else cell for cell in row] for row in table]
    body = {"dataframe_split": {"columns": COLUMNS, "data": empty_is_missing}}
    return parse(orjson.dumps(body), SPEC)


# Python's writer leaves a lone carriage return unquoted where lines end in "\n" alone.
WAYS = [("\n", csv.QUOTE_ALL), ("\r\n", csv.QUOTE_ALL), ("\r\n", csv.QUOTE_MINIMAL)]


@given(tables, st.sampled_from(WAYS))
@settings(max_examples=100, deadline=None)
def test_csv_gives_the_same_columns_as_json(table, way):
    end, quoting = way
    file = io.StringIO()
    writer = csv.writer(file, lineterminator=end, quoting=quoting)
    writer.writerows([COLUMNS, *[["" if cell is None else cell for cell in row] for row in table]])
    same(parse_csv(file.getvalue().encode(), SPEC), as_json(table))


@given(tables, st.booleans(), st.booleans())
@settings(max_examples=100, deadline=None)
def test_one_tensor_per_column_gives_the_same_columns_as_json(table, wide, nested):
    inputs = []
    for i, name in enumerate(COLUMNS):
        values = [row[i] for row in table]
        kind = "BYTES" if name in ("colour", "unit", "timestamp") else "FP64"
        shape = [len(table), 1] if wide else [len(table)]
        data = [[value] for value in values] if wide and nested else values
        inputs.append({"name": name, "shape": shape, "datatype": kind, "data": data})
    found = parse_infer(orjson.dumps({"id": "mine", "inputs": inputs}), SPEC)
    plain = [[None if i == 4 and cell is None else cell for i, cell in enumerate(row)] for row in table]
    body = {"dataframe_split": {"columns": COLUMNS, "data": plain}}
    same(found.rows, parse(orjson.dumps(body), SPEC))
    assert found.id == "mine"
    assert found.outputs is None


@given(st.lists(st.tuples(numbers, numbers, numbers).map(list), min_size=1, max_size=6), st.booleans())
@settings(max_examples=60, deadline=None)
def test_one_tensor_of_all_features_gives_the_same_columns_as_json(table, nested):
    data = table if nested else [cell for row in table for cell in row]
    tensor = {"name": "rows", "shape": [len(table), 3], "datatype": "FP64", "data": data}
    found = parse_infer(orjson.dumps({"inputs": [tensor]}), NUMERIC).rows
    same(found, parse(orjson.dumps({"instances": table}), NUMERIC))


WHOLE = {"BOOL": True, "BYTES": "7"} | {f"{kind}{n}": 7 for n in (8, 16, 32, 64) for kind in ("INT", "UINT")}


@pytest.mark.parametrize("datatype", DATATYPES)
def test_every_datatype_is_parsed_and_values_out_of_its_range_are_refused(datatype):
    good = WHOLE.get(datatype, 1.5)
    numeric = datatype != "BYTES"
    column = "a" if numeric else "colour"
    rest = {name: 1 for name in ("a", "b") if name != column} | ({"colour": "red"} if numeric else {})
    others = [
        {"name": n, "shape": [2], "datatype": "BYTES" if n == "colour" else "INT8", "data": [v, v]}
        for n, v in rest.items()
    ]

    def ask(value):
        tensor = {"name": column, "shape": [2], "datatype": datatype, "data": [value, None]}
        return parse_infer(orjson.dumps({"inputs": [tensor, *others]}), SPEC).rows

    got = ask(good).columns[POLICY_NAMES.index(column)]
    assert got[0] == (1.0 if good is True else good)
    assert _gone(got[1])
    bad = {
        "BOOL": [1, "x", 0.5],
        "BYTES": [1, True, 0.5],
        "FP16": ["x", True, 65505.0],
        "FP32": ["x", True, 3.5e38],
    }
    low, high = (0, 2 ** int(datatype[4:]) - 1) if datatype.startswith("UINT") else (0, 0)
    if datatype.startswith("INT"):
        low, high = -(2 ** (int(datatype[3:]) - 1)), 2 ** (int(datatype[3:]) - 1) - 1
    wrong = bad.get(datatype, ["x", True])
    if "INT" in datatype:
        wrong = [*wrong, 0.5, low - 1, high + 1]
        assert ask(high).columns[0][0] == float(high)
    for value in wrong:
        body = b'{"inputs": [{"name": "%s", "shape": [1], "datatype": "%s", "data": [%s]}]}' % (
            column.encode(),
            datatype.encode(),
            value.__repr__().encode() if type(value) in (int, float) else orjson.dumps(value),
        )
        with pytest.raises(BadRequest):
            parse_infer(body, SPEC)


SECRETS = st.text(st.sampled_from("日本語中文字符"), min_size=7, max_size=12)


@given(SECRETS)
@settings(max_examples=40, deadline=None)
def test_errors_of_csv_and_tensors_never_contain_what_was_sent(secret):
    tables = [
        f"a,b,colour\n{secret},1,red",
        f"a,b,colour,timestamp\n1,1,red,{secret}",
        f"a,b,colour\n1,1,red,{secret}",
        f"{secret},{secret}\n1,2",
        f"{secret}\n1",
        f'a,b,colour\n1,1,"{secret}"x',
        secret,
    ]
    tensor = {"name": "a", "shape": [1], "datatype": "FP64", "data": [1]}
    tensors = [
        {"inputs": [tensor | {"data": [secret]}]},
        {"inputs": [tensor | {"datatype": "BYTES", "data": [secret]}]},
        {"inputs": [tensor | {"datatype": secret}]},
        {"inputs": [tensor | {"shape": [secret]}]},
        {"inputs": [tensor | {"name": secret}]},
        {"inputs": [tensor | {"name": secret}] * 2},
        {"inputs": [tensor], "outputs": [{"name": secret}]},
        {"inputs": [tensor], "id": [secret]},
        {"inputs": [tensor], "parameters": secret},
        {"inputs": [secret]},
        {secret: secret},
    ]
    for ask, body in [(parse_csv, t.encode()) for t in tables] + [
        (parse_infer, orjson.dumps(t)) for t in tensors
    ]:
        with pytest.raises(BadRequest) as caught:
            ask(body, SPEC)
        assert not set(secret) & set(caught.value.sentence)


@given(st.one_of(st.binary(max_size=60), st.text(string.printable, max_size=60).map(str.encode)))
@settings(max_examples=100, deadline=None)
def test_arbitrary_bytes_as_csv_are_a_bad_request(body):
    for encoding in ("utf-8", "latin-1", "utf-16"):
        with pytest.raises(BadRequest):
            parse_csv(body, SPEC, encoding=encoding)


@given(st.lists(st.lists(st.text(',"\n\r;x1é', max_size=4), max_size=5), max_size=4))
@settings(max_examples=100, deadline=None)
def test_csv_with_a_valid_header_and_arbitrary_rows_is_parsed_or_a_bad_request(rows):
    body = "a,b,colour\n" + "\n".join(",".join(row) for row in rows)
    try:
        parsed = parse_csv(body.encode(), SPEC)
    except BadRequest as error:
        assert error.status == 400  # noqa: PT017  # an error is one of two valid results
    else:
        assert parsed.count >= 1


json_values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-3, 2**70), st.floats(allow_nan=False), st.text(max_size=4)
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)
odd = st.fixed_dictionaries(
    {},
    optional={
        "name": st.one_of(st.sampled_from([*COLUMNS, "x"]), json_values),
        "shape": st.one_of(st.lists(st.integers(-1, 4), max_size=3), json_values),
        "datatype": st.one_of(st.sampled_from(DATATYPES), json_values),
        "data": json_values,
    },
)


@given(
    st.one_of(
        json_values,
        st.fixed_dictionaries(
            {"inputs": st.lists(odd, max_size=4)},
            optional={"id": json_values, "outputs": json_values, "parameters": json_values},
        ),
    )
)
@settings(max_examples=100, deadline=None)
def test_arbitrary_json_as_an_infer_request_is_parsed_or_a_bad_request(value):
    import json

    try:
        parsed = parse_infer(json.dumps(value).encode(), SPEC, max_rows=100)
    except BadRequest as error:
        assert (error.status in (400, 413), error.sentence[-1]) == (True, ".")  # noqa: PT017  # one of two valid results
    else:
        assert parsed.rows.count >= 1


@given(texts, st.sampled_from(["NaN", "null"]), st.sampled_from([parse, parse_infer]))
@settings(max_examples=60, deadline=None)
def test_a_bare_nan_is_a_missing_value_and_nan_within_a_text_stays(text, missing, ask):
    word = orjson.dumps(f'{text}NaN"').decode()
    rows = f'{{"instances": [[{missing}, 1, {word}, {missing}]]}}'
    cells = ((missing, "FP64"), ("1", "INT8"), (word, "BYTES"), (missing, "FP64"))
    tensors = ",".join(
        f'{{"name": "{name}", "shape": [1], "datatype": "{kind}", "data": [{cell}]}}'
        for name, (cell, kind) in zip(POLICY_NAMES, cells, strict=True)
    )
    body = rows if ask is parse else f'{{"inputs": [{tensors}]}}'
    found = ask(body.encode(), SPEC)
    found = found if ask is parse else found.rows
    assert [_gone(column[0]) for column in found.columns] == [True, False, False, True]
    assert found.columns[2] == [f'{text}NaN"']


@pytest.mark.parametrize(
    "body", [b'{"instances": [[-NaN]]}', b"NaN", b'{"a": "NaN', b"[NaNNaN]", b'\\"NaN' * 50_000]
)
def test_invalid_json_with_nan_is_refused_quickly(body):
    begun = time.thread_time()  # what others make this thread wait does not count
    with pytest.raises(BadRequest):
        parse(body, SPEC)
    assert time.thread_time() - begun < 2.0


def test_too_many_rows_are_refused_before_they_are_parsed():
    with pytest.raises(BadRequest) as caught:
        parse_csv(b"a,b,colour\n" + b"1,1,red\n" * 6, SPEC, max_rows=5)
    assert caught.value.status == 413
    tensor = {"name": "a", "shape": [2**62], "datatype": "FP64", "data": []}
    with pytest.raises(BadRequest) as caught:
        parse_infer(orjson.dumps({"inputs": [tensor]}), SPEC, max_rows=5)
    assert caught.value.status == 413


def test_csv_is_decoded_with_its_declared_charset():
    text = "a,b,colour\r\n1,2,größe\r\n"
    read = rows_parser(b'text/csv; charset="ISO-8859-1"')(text.encode("latin-1"), SPEC)
    assert read.columns[2] == ["größe"]
    assert rows_parser(b"Text/CSV;charset=utf-16")(text.encode("utf-16"), SPEC).columns[2] == ["größe"]
    assert rows_parser(b"text/csv")(text.encode("utf-8-sig"), SPEC).columns[2] == ["größe"]
    with pytest.raises(BadRequest, match="charset"):
        rows_parser(b"text/csv")(text.encode("latin-1"), SPEC)


@pytest.mark.parametrize(
    "kind",
    [
        b"text/plain",
        b"application/x-parquet",
        b"text/csv; charset=ebcdic",
        b"application/json; charset=utf-16",
        b"\xff",
    ],
)
def test_unsupported_content_types_are_415(kind):
    with pytest.raises(BadRequest) as caught:
        rows_parser(kind)
    assert caught.value.status == 415
    assert caught.value.sentence.endswith(".")


def test_the_index_column_of_pandas_and_blank_lines_are_ignored():
    parsed = parse_csv(b",a,b,colour\n0,1,2,red\n\n1,3,4,\n", SPEC)
    assert parsed.columns[:2] == ([1.0, 3.0], [2.0, 4.0])
    assert parsed.columns[2] == ["red", None]
    assert parsed.extra == ()


@pytest.mark.parametrize("cell", ["nan", "inf", "1e999", "1_000", "0x10", "true", "1,5", "١"])
def test_a_number_cell_must_be_a_plain_finite_decimal(cell):
    with pytest.raises(BadRequest, match="Row 1, feature 'b'"):
        parse_csv(f'a,b,colour\n1,2,red\n1,"{cell}",red\n'.encode(), SPEC)


def test_requested_outputs_are_returned_and_the_id_is_echoed():
    tensors = [
        {
            "name": n,
            "shape": [1],
            "datatype": "BYTES" if n == "colour" else "FP32",
            "data": ["red" if n == "colour" else 1],
        }
        for n in ("a", "b", "colour")
    ]
    asked = parse_infer(
        orjson.dumps(
            {"id": "x y", "inputs": tensors, "outputs": [{"name": "confidence"}], "parameters": {"k": 1}}
        ),
        SPEC,
    )
    response = orjson.loads(encode_infer(asked, "pump", "3", [1.0], [0.9]))
    assert response == {
        "model_name": "pump",
        "model_version": "3",
        "id": "x y",
        "outputs": [{"name": "confidence", "datatype": "FP64", "shape": [1], "data": [0.9]}],
    }
    for values, datatype in (
        ([1, 2], "INT64"),
        ([1.0, math.nan], "FP64"),
        (["a", None], "BYTES"),
        ([True], "BOOL"),
        ([1, "a"], "BYTES"),
        ([None], "FP64"),
    ):
        everything = parse_infer(orjson.dumps({"inputs": tensors}), SPEC)
        (found,) = orjson.loads(encode_infer(everything, "pump", "3", values, None))["outputs"]
        assert (found["datatype"], found["shape"], len(found["data"])) == (
            datatype,
            [len(values)],
            len(values),
        )
