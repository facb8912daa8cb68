"""`homeostat backtest`: JSON, table, input files and errors."""

import os

import pandas as pd
import pytest

from homeostat.cli.commands.backtest_history import read_history
from homeostat.config import load_model

SHARE = ("--reference-share", "0.4445")
POLICIES = ["frozen", "always", "every_4", "baseline", "homeostat"]
ENTRY = {
    *("start", "end", "rows", "score", "version", "event", "reason", "promoted", "sentence"),
    *("refused", "rolled_back", "outcome"),
}


def scores_and_events(one, other):
    """Return scores and events of every policy, without times."""
    return [
        [
            [(window["score"], window["event"]) for window in policy["per_window"]]
            for policy in raw["policies"].values()
        ]
        for raw in (one, other)
    ]


@pytest.fixture
def run(cli, folder):
    def call(*arguments, data=None):
        return cli("backtest", folder, "--data", data or folder / "rows.csv", *SHARE, *arguments)

    return call


def test_the_json_has_the_documented_shape(run):
    done = run("--windows", "60rows", "--json")
    assert done.status == 0
    raw = done.json
    assert raw["windows"] == 5
    assert list(raw["policies"]) == POLICIES
    for policy in raw["policies"].values():
        assert {"score", "score_name", "retrains", "promoted", "per_window"} <= set(policy)
        assert policy["score_name"] == "accuracy"
        assert [set(window) for window in policy["per_window"]] == [ENTRY] * 5
        rows = sum(window["rows"] for window in policy["per_window"])
        right = sum(window["rows"] * window["score"] for window in policy["per_window"])
        assert policy["score"] == pytest.approx(right / rows)
        assert policy["promoted"] == sum(window["promoted"] for window in policy["per_window"])
        assert all(
            window["event"] in (None, "retrain", "reinstate", "probe") for window in policy["per_window"]
        )
    starts = [window["start"] for window in raw["policies"]["frozen"]["per_window"]]
    assert starts[0] == "2026-01-15T00:00:00+00:00"
    assert [raw["policies"][name]["retrains"] for name in ("frozen", "always", "every_4")] == [0, 5, 1]


def test_the_default_window_is_the_models_own(run):
    own, asked, rows = run("--json"), run("--windows", "60h", "--json"), run("--windows", "60rows", "--json")
    assert own.json == asked.json
    assert own.json["policies"] == rows.json["policies"]


def test_the_table_fits_80_columns_and_has_a_summary(run):
    done = run("--windows", "60rows")
    assert done.status == 0
    assert max(map(len, done.out.splitlines())) <= 80
    for word in ("never retrain", "every window", "baseline", "Homeostat", "accuracy", "refused"):
        assert word in done.out
    assert "Homeostat, in 5 windows:" in done.out or "not have retrained" in done.out
    assert "would have been" in done.out


def test_parquet_gives_the_same_result_as_csv(run, folder, tmp_path, history):
    history.to_parquet(tmp_path / "rows.parquet")
    assert run("--json", data=tmp_path / "rows.parquet").json == run("--json").json


def test_a_file_without_times_is_read_in_its_order_with_a_note(run, tmp_path, history):
    history.drop(columns="at").to_csv(tmp_path / "plain.csv", index=False)
    done = run("--windows", "60rows", "--json", data=tmp_path / "plain.csv")
    assert "has no column 'at'" in done.err
    assert "1h apart" in done.err
    assert done.json["notes"][0].startswith("plain.csv has no column 'at'")
    one, other = scores_and_events(done.json, run("--windows", "60rows", "--json").json)
    assert one == other
    half = run("--windows", "60rows", "--spacing", "30m", "--json", data=tmp_path / "plain.csv")
    assert "30m apart" in half.err
    assert half.json["windows"] == 5


def test_unsorted_rows_and_rows_without_a_readable_time(run, tmp_path, history):
    shuffled = history.sample(frac=1, random_state=0).astype({"at": "str"})
    lost = shuffled.iloc[:2].assign(at=["whenever", ""])
    pd.concat([lost, shuffled]).to_csv(tmp_path / "rows.csv", index=False)
    done = run("--json", data=tmp_path / "rows.csv")
    assert "2 rows without a readable 'at' are left out" in done.err
    assert done.json["policies"] == run("--json").json["policies"]


def test_a_raw_file_is_read_by_the_models_loader(cli, folder, tmp_path, monkeypatch, history):
    home = tmp_path / "small"
    home.mkdir()
    text = (
        (folder / "model.yaml")
        .read_text()
        .replace("{kind: csv, uri: rows.csv}", "{kind: loader, loader: pipeline.py:load}")
    )
    (home / "model.yaml").write_text(text)
    (home / "pipeline.py").write_text((folder / "pipeline.py").read_text())
    raw = tmp_path / "raw.csv"
    history.rename(columns={"a": "raw_a"}).to_csv(raw, index=False)
    monkeypatch.setenv("SMALL_DATA", "what was there before")

    cli("backtest", home, "--data", raw, *SHARE).refused("no column 'a', which", "data_env")
    (home / "demo.yaml").write_text("data_env: SMALL_DATA\n")
    done = cli("backtest", home, "--data", raw, *SHARE, "--json")
    plain = cli("backtest", folder, "--data", folder / "rows.csv", *SHARE, "--json")
    one, other = scores_and_events(done.json, plain.json)
    assert one == other
    assert os.environ["SMALL_DATA"] == "what was there before"
    own = cli("backtest", home, "--data", folder / "rows.csv", *SHARE, "--json")  # the model's own columns
    assert scores_and_events(own.json, plain.json)[0] == other
    loader = "{kind: loader, loader: pipeline.py:load}"
    (home / "model.yaml").write_text(text.replace(loader, f"{{kind: predictions, history: {loader}}}"))
    served = cli("backtest", home, "--data", raw, *SHARE, "--json")
    assert scores_and_events(served.json, plain.json)[0] == other


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: rows.rename(columns={"y": "Y"}), ("no column the label 'y'", "at, a, b, kind, Y")),
        (lambda rows: rows.rename(columns={"kind": "kinds"}), ("'kind' (is it 'kinds' here?)", "model.yaml")),
        (lambda rows: rows.assign(y=None), ("'y' is empty in every row",)),
        (lambda rows: rows.assign(y=1), ("have one class", "--reference-share")),
        (lambda rows: rows[:0], ("no rows",)),
        (lambda rows: rows[:100], ("--reference-share",)),
        (lambda rows: rows[: 240 + 100].assign(y=rows["y"]), ("1 whole window", "shorter --windows")),
        (lambda rows: rows.assign(at=range(len(rows))), ("'at' holds numbers", "--spacing")),
        (lambda rows: rows.assign(at="soon"), ("'at' holds no time", "'soon'")),
    ],
    ids=["label", "feature", "no labels", "one class", "empty", "short", "one window", "numbers", "no times"],
)
def test_an_unusable_history_is_refused_with_a_fix(run, tmp_path, change, words, history):
    change(history).to_csv(tmp_path / "rows.csv", index=False)
    share = ("--reference-share", "0.7") if "1 whole window" in words else ()
    run("--windows", "60rows", *share, data=tmp_path / "rows.csv").refused(*words)


def test_wrong_files_and_options_are_refused_with_a_fix(run, cli, folder, tmp_path):
    run(data=tmp_path / "nowhere.csv").refused("nowhere.csv does not exist", "--data")
    (tmp_path / "rows.parquet").write_text("no parquet at all")
    run(data=tmp_path / "rows.parquet").refused("rows.parquet is not a Parquet file", "is it CSV")
    run("--windows", "weekly").refused("168rows")
    run("--reference-share", "1.5").refused("between 0 and 1")
    run("--spacing", "1h").refused("only for files without times")
    run("--html", "/dev/null/report.html").refused("cannot be written", "--html")
    cli("backtest", tmp_path / "nobody", "--data", folder / "rows.csv").refused(
        "no such file", "homeostat new"
    )


def test_a_column_that_begins_later_is_missing_before_and_told(folder, tmp_path, history):
    history[:50].drop(columns="b").to_csv(tmp_path / "1.csv", index=False, sep=";")
    history[50:].to_parquet(tmp_path / "ignored.txt")
    history[50:].to_csv(tmp_path / "2.tsv", index=False, sep="\t")
    rows, notes = read_history(load_model(folder), tmp_path)
    assert notes == [
        f"{tmp_path}: 1 of 2 files have no column 'b': missing in their rows",
        f"{tmp_path}: 1 file is left out, not read as a part of the table: ignored.txt (Parquet)",
    ]
    assert rows["b"].isna().sum() == 50
    assert rows["b"][50:].tolist() == history["b"][50:].tolist()


def test_a_row_far_away_is_told_and_left_out(run, tmp_path, history):
    far = history[-1:].assign(at="9999-12-31")
    (tmp_path / "rows").mkdir()
    history[:50].to_csv(tmp_path / "rows" / "1.csv", index=False, sep=";")
    pd.concat([history[50:], far]).to_csv(tmp_path / "rows" / "2.csv", index=False)
    done = run("--windows", "60h", "--json", data=tmp_path / "rows")
    assert "1 row is left out because its 'at' is far from all others" in done.err
    assert f"9999-12-31 (row {len(history) + 1})" in done.err
    assert done.json["windows"] == run("--windows", "60h", "--json").json["windows"]


def test_the_grid_search_is_reported(run, monkeypatch):
    from homeostat.backtesting import grid

    monkeypatch.setattr(
        grid, "trigger_combinations", lambda own, _: [own, own.model_copy(update={"consecutive": 2})]
    )
    done = run("--windows", "60rows", "--grid", "--json")
    raw = done.json["grid"]
    assert set(raw) >= {"chosen", "trials", "test_score"}
    assert set(raw["test_score"]) == {"chosen", "current"}
    assert [trial["current"] for trial in raw["trials"]] == [True, False]
    shown = run("--windows", "60rows", "--grid")
    assert "trigger settings, on the first 3 windows" in shown.out
    assert "current" in shown.out.partition("trigger settings")[2]
    assert "chosen" in shown.out.partition("trigger settings")[2]
    assert max(map(len, shown.out.splitlines())) <= 80
