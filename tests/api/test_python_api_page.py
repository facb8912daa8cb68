"""The examples of docs/python-api.md run, in order, with a real gateway; and the rest of the interface."""

import asyncio
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import homeostat
from homeostat.config.errors import ConfigError, DataError, NotFound, Refused, Unavailable
from homeostat.scaffold import new_model
from serving.gateway_harness import TOKEN, make_gateway_fixture, serving

PAGE = (Path(__file__).parents[2] / "docs" / "python-api.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
ADDRESS = "http://127.0.0.1:8000"
ROWS = [{"a": 1.0, "b": 0.0, "colour": "red"}, {"a": 0.0, "b": 1.0, "colour": "blue"}]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    setup = make_gateway_fixture(tmp_path_factory.mktemp("gateway"))
    setup.begin(setup.version())
    with serving(setup) as client:
        client.ready()
        yield client


@pytest.fixture
def tables():
    rng = np.random.default_rng(3)
    reference = pd.DataFrame({"amount": rng.normal(size=1000), "segment": rng.choice(["s", "m"], 1000)})
    return reference, reference.assign(amount=reference["amount"] + 1)


def test_the_examples_of_the_page_run_in_order(gateway, tables, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tables[0].to_parquet("january.parquet")
    tables[1].to_parquet("february.parquet")
    write_churn(tmp_path)
    names: dict[str, object] = {}
    for block in BLOCKS:
        code = compile(block.replace(ADDRESS, gateway.url), "docs/python-api.md", "exec")
        exec(code, names)  # noqa: S102  # our own page
    assert len(BLOCKS) == 6
    assert (tmp_path / "drift.html").read_text().startswith("<!")
    assert names["report"]["model"] == "churn"


def write_churn(folder):
    """The model that `homeostat new` writes, and a history of its loader."""
    model = new_model("churn", folder / "models")
    names: dict[str, object] = {}
    exec((model / "pipeline.py").read_text(), names)  # noqa: S102  # the template
    names["load"]().to_csv(folder / "history.csv", index=False)


def test_every_public_name_is_documented():
    for name in set(homeostat.__all__) - {"Predictions", "Drift", "Backtest", "__version__"}:
        assert name in PAGE
    assert set(dir(homeostat)) == set(homeostat.__all__)
    with pytest.raises(AttributeError, match="nothing"):
        homeostat.nothing  # noqa: B018


def forms(frame, folder):
    """The same table in every form."""
    frame.to_csv(folder / "x.csv", index=False)
    frame.to_parquet(folder / "x.parquet")
    table = pa.Table.from_pandas(frame, preserve_index=False)
    return {
        "frame": frame,
        "arrow": table,
        "batch": table.to_batches()[0],
        "stream": pa.RecordBatchReader.from_batches(table.schema, table.to_batches()),
        "parquet": folder / "x.parquet",
        "csv": str(folder / "x.csv"),
    }


@pytest.mark.parametrize("form", ["frame", "arrow", "batch", "stream", "parquet", "csv"])
def test_drift_is_the_same_in_every_form(form, tables, tmp_path):
    reference, current = tables
    expected = homeostat.drift(reference, current).to_dict()
    found = homeostat.drift(reference, forms(current, tmp_path)[form]).to_dict()
    assert found["verdict"] == "alert"
    for name, column in expected["columns"].items():
        assert found["columns"][name]["ks"] == column["ks"]
        assert found["columns"][name]["psi"] == column["psi"]


def test_the_index_of_a_frame_is_no_column(tables):
    reference, current = tables
    found = homeostat.drift(reference.set_index("segment"), current)
    assert (
        "segment"
        not in homeostat.drift(current.set_index("segment"), reference.drop(columns="segment")).columns
    )
    assert found.columns["amount"] == "alert"


def test_a_notebook_shows_names_from_data_as_text(tables):
    reference, current = (each.rename(columns={"amount": "<script>"}) for each in tables)
    page = homeostat.drift(reference, current)._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert page.count("<tr>") == 3


@pytest.mark.parametrize("data", [3, None, [1, 2]])
def test_what_is_no_table_is_named(data, tables):
    with pytest.raises(DataError, match=f"current is a {type(data).__name__}"):
        homeostat.drift(tables[0], data)


def test_a_column_of_several_types_is_named(tables):
    mixed = pd.DataFrame({"amount": pd.Series([1, "a", {"b": 1}], dtype=object)})
    with pytest.raises(DataError, match="amount"):
        homeostat.drift(tables[0], mixed)


def test_profiles_add_up_and_are_read_again(tables, tmp_path):
    reference, current = tables
    profile = homeostat.Profile.make(reference)
    assert profile.columns == {"amount": "number", "segment": "category"}
    parts = [profile.count(current.iloc[start : start + 100]) for start in range(0, 1000, 100)]
    merged = parts[0]
    for part in parts[1:]:
        merged = merged.merge(part)
    assert merged == profile.count(current)
    assert merged.rows == 1000
    merged.save(tmp_path / "x.profile")
    assert homeostat.Profile.load(tmp_path / "x.profile") == merged
    drifted = profile.compare(merged)
    assert drifted["verdict"] == "alert"
    assert profile.compare(profile)["verdict"] == "pass"


def test_a_profile_of_a_csv_is_that_of_the_frame(tables, tmp_path):
    reference = tables[0].round(3)
    reference.to_csv(tmp_path / "x.csv", index=False)
    assert homeostat.Profile.make(tmp_path / "x.csv") == homeostat.Profile.make(reference)


def test_profiles_on_other_bins_are_refused(tables):
    one, other = (homeostat.Profile.make(each) for each in tables)
    with pytest.raises(ValueError, match="different edges"):
        one.merge(other)
    with pytest.raises(ValueError, match=r"reference\.count"):
        one.compare(other)
    with pytest.raises(DataError, match="no column nothing"):
        homeostat.Profile.make(tables[0], {"nothing": "number"})


@pytest.fixture
def client(gateway):
    with homeostat.Client(gateway.url, token=TOKEN) as found:
        yield found


@pytest.mark.parametrize("form", ["records", "frame", "arrow", "one"])
def test_rows_are_predicted_in_every_form(client, form):
    frame = pd.DataFrame(ROWS)
    rows = {"records": ROWS, "frame": frame, "arrow": pa.Table.from_pandas(frame), "one": ROWS[0]}[form]
    found = client.predict("pump", rows)
    assert found.predictions == ([1] if form == "one" else [1, 0])
    assert found.version == "1"


def test_labels_join_by_the_ids_of_the_predictions(client):
    found = client.predict("pump", ROWS, request_id="my-request")
    assert found.ids == ["my-request-0", "my-request-1"]
    assert client.predict("pump", ROWS[:1], request_id="single").ids == ["single"]
    done = client.label("pump", dict(zip(found.ids, [1, np.int64(0)], strict=True)))
    assert done == {"accepted": 2, "duplicates": 0, "conflicts": 0, "predicted_here": 2}


def test_a_nan_is_missing_and_an_infinity_is_refused(client):
    assert client.predict("pump", {**ROWS[0], "old": float("nan")}).predictions == [1]
    with pytest.raises(DataError, match="infinite"):
        client.predict("pump", {**ROWS[0], "old": float("inf")})


def test_errors_are_homeostats(client, gateway, free_port):
    with pytest.raises(DataError, match="feature 'a'"):
        client.predict("pump", {**ROWS[0], "a": "warm"})
    with pytest.raises(NotFound, match="no model of that name"):
        client.predict("other", ROWS)
    with pytest.raises(Refused, match="no previous version"):
        client.rollback("pump", reason="a test")
    with homeostat.Client(gateway.url, token="wrong") as other, pytest.raises(Refused, match="scope"):
        other.rollback("pump")
    with homeostat.Client(f"http://127.0.0.1:{free_port()}") as away:
        with pytest.raises(Unavailable, match=r"read the status first"):
            away.promote("pump")
        with pytest.raises(Unavailable, match="no response"):
            away.status()


def test_another_server_is_named(client, monkeypatch):
    monkeypatch.setattr(client._calls, "predict", lambda *_: client._calls.status(None))
    call = client._calls.status(None)
    object.__setattr__(call, "read", lambda _response: json.loads("no json"))
    with pytest.raises(ConfigError, match="is not a gateway"):
        client._send(call)


def test_both_clients_have_the_same_methods():
    def methods(kind):
        return {name for name in vars(kind) if not name.startswith("_")}

    assert methods(homeostat.Client) == methods(homeostat.AsyncClient)


def test_a_version_is_promoted_and_rolled_back(tmp_path):
    setup = make_gateway_fixture(tmp_path)
    setup.begin(setup.version())
    with serving(setup) as gateway, homeostat.Client(gateway.url, token=TOKEN) as client:
        gateway.ready()
        second = setup.version()
        client.promote("pump", second.version, reason="tried by hand")
        assert setup.traffic().champion == second

        async def back():
            async with homeostat.AsyncClient(gateway.url, token=TOKEN) as other:
                with pytest.raises(Refused):
                    await other.rollback("pump", "1")
                await other.rollback("pump", second.version, reason="worse")
                return await other.status("pump")

        assert asyncio.run(back())["champion"]["version"] == "1"
        assert setup.traffic().champion.version == "1"
