"""homeostat drift: a verdict or a reason for every column, as JSON, a table and a page."""

from __future__ import annotations

import html.parser
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sample_model import MODEL

KEYS = [
    *("kind", "verdict", "reason", "ks", "ks_error", "p_value", "p_adjusted", "psi", "chi2", "cramers_v"),
    *("js", "wasserstein", "missing_reference", "missing_current", "unseen_share"),
    "unseen_values",
    *("read_as", "unread_reference", "unread_current"),
]
N = 2000


@dataclass(frozen=True)
class Result:
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out, parse_constant=pytest.fail)

    @property
    def text(self) -> str:
        """Standard output without line breaks, which depend on the terminal."""
        return " ".join(self.out.split())


@pytest.fixture
def cli(monkeypatch, capsys):
    from homeostat.cli import app as program
    from homeostat.cli import console

    def call(*arguments: object, columns: int = 160) -> Result:
        monkeypatch.setattr(sys, "argv", ["homeostat", *map(str, arguments)])
        monkeypatch.setattr(console.out, "_width", columns)
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            program.main()
        return Result(int(ended.value.code or 0), *capsys.readouterr())

    return call


@pytest.fixture
def drift(cli, tmp_path):
    """Compare two frames, kept as Parquet or CSV."""

    def call(reference, current, *more: object, kinds=("parquet", "parquet"), **options: Any) -> Result:
        paths = [tmp_path / f"{side}.{kind}" for side, kind in zip(("ref", "cur"), kinds, strict=True)]
        for path, frame in zip(paths, (reference, current), strict=True):
            if path.suffix == ".csv":
                frame.to_csv(path, index=False)
            else:
                frame.to_parquet(path, index=False)
        return cli("drift", "--reference", paths[0], "--current", paths[1], *more, **options)

    return call


def rows(n: int = N, seed: int = 0, *, shift: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "steady": rng.normal(size=n),
            "moved": rng.normal(shift, 1, n),
            "colour": rng.choice(
                ["red", "green", "blue"], n, p=[0.6, 0.3, 0.1] if not shift else [0.1, 0.3, 0.6]
            ),
            "flag": rng.random(n) < 0.3,
            "level": rng.integers(1, 6, n),
        }
    )


def test_standard_output_is_the_documented_json(drift):
    result = drift(rows(), rows(seed=1, shift=1.0), "--json")
    assert (result.status, result.err) == (0, "")
    found = result.json
    assert {"columns", "schema", "drifted_share", "verdict"} <= set(found)
    assert list(found["columns"]) == list(rows().columns)
    for entry in found["columns"].values():
        assert list(entry) == KEYS
        assert entry["verdict"] in ("pass", "alert", "not_computable")
        assert entry["reason"]
        assert (entry["read_as"], entry["unread_reference"], entry["unread_current"]) == (None, 0, 0)
    verdicts = {name: entry["verdict"] for name, entry in found["columns"].items()}
    assert verdicts == {
        "steady": "pass",
        "moved": "alert",
        "colour": "alert",
        "flag": "pass",
        "level": "pass",
    }
    assert (found["verdict"], found["drifted_share"]) == ("alert", 2 / 5)
    moved, colour = found["columns"]["moved"], found["columns"]["colour"]
    assert (moved["kind"], moved["chi2"], moved["cramers_v"]) == ("number", None, None)
    assert (colour["kind"], colour["ks"], colour["ks_error"], colour["wasserstein"]) == (
        "category",
        None,
        None,
        None,
    )
    assert found["rows"] == {"reference": N, "current": N}


def test_the_statistics_are_those_of_scipy(drift):
    before, now = rows(), rows(seed=1, shift=0.2)
    before["few"], now["few"] = before["moved"].round(1), now["moved"].round(1)
    found = drift(before, now, "--json").json["columns"]
    for name in ("steady", "moved", "few"):
        right = stats.ks_2samp(before[name], now[name], method="asymp")
        assert found[name]["ks"] <= right.statistic + 1e-12
        assert right.statistic <= found[name]["ks"] + found[name]["ks_error"] + 1e-12
    exact = stats.ks_2samp(before["few"], now["few"], method="asymp")
    assert found["few"]["ks"] == pytest.approx(exact.statistic, abs=1e-12)
    assert found["few"]["p_value"] == pytest.approx(exact.pvalue, rel=1e-6)
    table = np.stack([frame["colour"].value_counts()[["red", "green", "blue"]] for frame in (before, now)])
    assert found["colour"]["chi2"] == pytest.approx(stats.chi2_contingency(table, correction=False).statistic)


@pytest.mark.parametrize("kinds", [("csv", "csv"), ("csv", "parquet"), ("parquet", "csv")])
def test_the_file_format_changes_no_statistic(drift, kinds):
    before, now = rows(), rows(seed=1, shift=1.0)
    now.loc[::7, "steady"] = np.nan
    assert drift(before, now, "--json", kinds=kinds).json == drift(before, now, "--json").json


@pytest.mark.parametrize("kinds", [("parquet", "parquet"), ("parquet", "csv")])
def test_a_column_may_have_another_type_in_the_other_table(drift, kinds):
    before, now = rows(), rows(seed=1)
    now["level"] = now["level"].astype(float)
    now["steady"] = now["steady"].map(repr)
    now["flag"] = now["flag"].astype(int)
    now["colour"] = now["colour"].astype("category")
    found = drift(before, now, "--json", kinds=kinds).json
    assert found["verdict"] == "pass"
    assert {entry["verdict"] for entry in found["columns"].values()} == {"pass"}
    assert all(entry["unseen_share"] == 0 for entry in found["columns"].values())
    retyped = [finding for finding in found["schema"] if finding["kind"] == "retyped"]
    assert [(f["column"], f["severity"]) for f in retyped] == (
        [("steady", "info")] if kinds[1] != "csv" else []
    )


def test_numbers_that_became_text_are_retyped_and_alert(drift):
    now = rows(seed=1)
    now["steady"], now["colour"] = "warm", np.random.default_rng(0).normal(size=N)
    found = drift(rows(), now, "--json").json
    for name in ("steady", "colour"):
        assert found["columns"][name]["verdict"] == "alert"
        assert found["columns"][name]["unseen_share"] == 1
    retyped = [f for f in found["schema"] if f["kind"] == "retyped"]
    assert {f["column"]: f["severity"] for f in retyped} == {"steady": "critical", "colour": "critical"}


def odd(n: int, seed: int, start: str) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "at": pd.date_range(start, periods=n, freq="min", tz="UTC"),
            "id": np.arange(n) + 10_000 * seed,
            "uuid": [f"{x:032x}" for x in rng.integers(0, 2**62, n)],
            "born": pd.Timestamp("1980-01-01") + pd.to_timedelta(rng.integers(0, 9000, n), unit="D"),
            "constant": 7,
            "nothing": np.full(n, np.nan),
            "infinite": np.where(rng.random(n) < 0.02, np.inf, rng.normal(size=n)),
            "absurd": np.r_[1e300, rng.normal(size=n - 1)],
            "town": [f"{x} street" for x in rng.zipf(1.3, n).clip(max=10**6)],
            "huge": rng.integers(2**60, 2**62, n),
            "mixed": np.where(rng.random(n) < 0.1, "?", rng.normal(size=n).astype(str)),
        }
    )


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_difficult_columns_get_a_verdict_or_a_reason_and_no_false_alert(drift, kind):
    found = drift(odd(N, 1, "2026-01-01"), odd(N, 2, "2026-02-01"), "--json", kinds=(kind, kind)).json
    reasons = {
        name: entry["reason"]
        for name, entry in found["columns"].items()
        if entry["verdict"] == "not_computable"
    }
    assert set(reasons) == {"at", "id", "uuid", "nothing"}
    assert "like a timestamp" in reasons["at"]
    assert "like an id" in reasons["id"]
    assert "no distribution" in reasons["uuid"]
    assert "all 2000 rows are missing" in reasons["nothing"]
    others = {name: entry for name, entry in found["columns"].items() if name not in reasons}
    assert {entry["verdict"] for entry in others.values()} == {"pass"}
    assert (found["verdict"], found["drifted_share"]) == ("pass", 0)
    assert "'?' is read as missing" in found["columns"]["mixed"]["reason"]
    assert found["columns"]["mixed"]["missing_reference"] == pytest.approx(0.1, abs=0.03)
    assert found["columns"]["born"]["kind"] == "datetime"


def test_a_date_that_is_not_index_like_can_drift(drift):
    before, now = odd(N, 1, "2026-01-01")[["born"]], odd(N, 2, "2026-01-01")[["born"]]
    now["born"] -= pd.Timedelta(days=2000)
    entry = drift(before, now, "--json").json["columns"]["born"]
    assert (entry["verdict"], entry["kind"]) == ("alert", "datetime")


def test_missing_values_alert_even_in_a_column_that_is_not_compared(drift):
    now = odd(N, 2, "2026-02-01")
    now.loc[::2, "uuid"] = None
    found = drift(odd(N, 1, "2026-01-01"), now, "--json").json
    assert found["columns"]["uuid"]["verdict"] == "alert"
    assert "missing rate rose from 0.0% to 50.0%" in found["columns"]["uuid"]["reason"]
    assert ("uuid", "missing_rate") in {(f["column"], f["kind"]) for f in found["schema"]}
    assert found["verdict"] == "pass", "a fault upstream is no drift"


def test_columns_of_one_table_are_findings_with_a_hint_at_a_similar_name(drift):
    found = drift(rows(), rows(seed=1).rename(columns={"steady": "steadyy"}), "--json").json
    findings = {(f["column"], f["kind"]): f["detail"] for f in found["schema"]}
    assert "renamed to 'steadyy'?" in findings["steady", "missing"]
    assert ("steadyy", "new") in findings
    for name, side in (("steady", "the current table"), ("steadyy", "the reference")):
        entry = found["columns"][name]
        assert (entry["verdict"], entry["ks"]) == ("not_computable", None)
        assert side in entry["reason"]
    assert found["columns"]["steady"]["missing_reference"] == 0
    assert found["verdict"] == "pass"


def test_missing_columns_are_not_a_pass(drift):
    found = drift(rows(), rows(seed=1)[["steady", "flag", "level"]], "--json").json
    assert found["verdict"] == "not_computable"
    assert "2 could not be computed (moved, colour)" in found["reason"]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize(("before", "now"), [(N, 0), (0, N), (0, 0), (1, 1), (N, 1), (1, N), (5, 5)])
def test_a_table_of_too_few_rows_has_no_verdict(drift, kind, before, now):
    found = drift(rows(before), rows(now, seed=1), "--json", kinds=(kind, kind)).json
    assert found["verdict"] == "not_computable"
    assert found["reason"]
    for entry in found["columns"].values():
        assert entry["verdict"] == "not_computable"
        assert entry["reason"]


def test_thirty_rows_get_statistics(drift):
    found = drift(rows(30), rows(30, seed=1, shift=3.0), "--json").json
    assert found["columns"]["moved"]["verdict"] == "alert"
    assert found["columns"]["steady"]["verdict"] == "pass"


def test_a_column_called_prediction_counts_like_any_other(drift):
    before, now = (
        rows(seed=seed, shift=seed)[["moved"]].rename(columns={"moved": "prediction"}) for seed in (0, 1)
    )
    found = drift(before, now, "--json").json
    assert (found["verdict"], found["drifted_share"]) == ("alert", 1.0)
    assert found["columns"]["prediction"]["verdict"] == "alert"
    assert "1 of 1 columns drifted (prediction)" in found["reason"]


def test_the_number_of_labels_is_bounded_and_the_counts_are_exact(drift, monkeypatch):
    from homeostat.core.profile import scan

    monkeypatch.setattr(scan, "MAX_LABELS", 300)
    rng = np.random.default_rng(3)
    before, now = (
        pd.DataFrame({"town": [f"t{x}" for x in rng.zipf(1.4, 20_000).clip(max=9999)]}) for _ in "ab"
    )
    found = drift(before, now, "--json").json["columns"]["town"]
    assert (found["verdict"], found["kind"]) == ("pass", "category")
    assert found["p_value"] > 1e-4


def model_file(folder: Path, text: str = MODEL) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "model.yaml").write_text(text)
    return folder / "model.yaml"


def sample_rows(seed: int, *, shift: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "at": pd.date_range("2026-01-01", periods=N, freq="min", tz="UTC") + pd.Timedelta(days=seed),
            "unit": rng.integers(1, 9, N),
            "a": rng.normal(shift, 1, N),
            "b": rng.integers(0, 3, N),
            "kind": rng.choice(["red", "blue"], N),
            "y": rng.random(N) < (0.2 if not shift else 0.8),
            "extra": rng.normal(shift, 1, N),
        }
    )


@pytest.mark.parametrize("folder", [True, False])
def test_model_yaml_decides_the_features_and_their_kinds(drift, tmp_path, folder):
    path = model_file(tmp_path / "elsewhere")
    found = drift(
        sample_rows(0), sample_rows(1, shift=2.0), "--config", path.parent if folder else path, "--json"
    ).json
    columns = found["columns"]
    assert columns["b"]["kind"] == "number", "as model.yaml has it"
    assert (found["verdict"], found["drifted_share"]) == ("alert", pytest.approx(1 / 3))
    assert "1 of 3 features drifted (a)" in found["reason"]
    assert columns["y"]["verdict"] == columns["extra"]["verdict"] == "alert"
    assert "the label of model.yaml" in columns["y"]["reason"]
    assert "not in model.yaml" in columns["extra"]["reason"]
    assert columns["at"]["verdict"] == "not_computable"
    assert [(f["column"], f["kind"]) for f in found["schema"]] == [("extra", "new")]


def test_the_thresholds_of_model_yaml_apply(drift, tmp_path):
    strict = MODEL.replace("min_rows: 60}", "min_rows: 60, drifted_share: 0.5, min_effect: 0.9}")
    found = drift(
        sample_rows(0), sample_rows(1, shift=2.0), "--config", model_file(tmp_path / "m", strict), "--json"
    ).json
    assert (found["verdict"], found["columns"]["a"]["verdict"]) == ("pass", "pass")
    few = drift(sample_rows(0), sample_rows(1).head(50), "--config", tmp_path / "m", "--json").json
    assert "60" in few["reason"]
    assert few["verdict"] == "not_computable"
    assert few["columns"]["a"]["verdict"] == "pass"


def test_a_missing_feature_is_critical(drift, tmp_path):
    found = drift(
        sample_rows(0),
        sample_rows(1).rename(columns={"kind": "kinds"}),
        "--config",
        model_file(tmp_path / "m"),
        "--json",
    )
    (gone,) = [f for f in found.json["schema"] if f["column"] == "kind"]
    assert (gone["kind"], gone["severity"]) == ("missing", "critical")
    assert "renamed to 'kinds'?" in gone["detail"]


def test_the_error_names_an_invalid_model_yaml(drift, tmp_path):
    result = drift(rows(30), rows(30), "--config", tmp_path / "none.yaml")
    assert (result.status, result.out) == (1, "")
    assert "none.yaml: no such file" in result.err
    result = drift(rows(30), rows(30), "--config", model_file(tmp_path / "m", MODEL + "monitr: {}\n"))
    assert result.status == 1
    assert "did you mean 'monitor'?" in result.err


@pytest.mark.parametrize(
    ("now", "plain", "strict"),
    [(rows(seed=1), 0, 0), (rows(seed=1, shift=1.0), 0, 1), (rows(0), 0, 1)],
    ids=["pass", "alert", "no verdict"],
)
def test_fail_on_drift_sets_the_exit_status(drift, now, plain, strict):
    assert drift(rows(), now).status == plain
    assert drift(rows(), now, "--fail-on-drift").status == strict


@pytest.mark.parametrize("columns", [40, 60, 80, 140, 200])
def test_the_table_fits_the_terminal_with_alerts_first_and_the_verdict_last(drift, columns):
    before, now = rows(), rows(seed=1, shift=1.0)
    now.loc[::2, "steady"] = np.nan
    result = drift(before, now, columns=columns)
    assert max(map(len, result.out.splitlines())) <= columns
    lines = [line.split() for line in result.out.splitlines() if line.strip()]
    table = [line for line in lines if line[0] in ("ALERT", "pass") and len(line) > 3][:5]
    assert [line[1][:6] for line in table] == ["colour", "moved", "steady", "flag", "level"]
    assert "missing rate rose from 0.0% to 50.0%" in result.text
    assert "ALERT: 2 of 5 columns drifted (moved, colour), the limit is 30%" in result.text
    assert result.text.endswith("Also alerting: steady. 2,000 rows against 2,000.")


def test_names_that_look_like_markup_are_escaped(drift, tmp_path):
    names = {"steady": "[red]a[/red]", "moved": "<script>alert(1)</script>", "colour": "ä ö\n$x {y}"}
    before, now = (frame.rename(columns=names) for frame in (rows(), rows(seed=1, shift=1.0)))
    result = drift(before, now, "--html", tmp_path / "page.html", columns=200)
    assert result.status == 0
    assert "[red]a[/red]" in result.out
    page = (tmp_path / "page.html").read_text()
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page


class Reader(html.parser.HTMLParser):
    """Collect what a browser would load, the elements left open, and the text outside scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.seen: list[str] = []
        self.text = ""

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        if tag not in ("meta", "br", "link"):
            self.open.append(tag)
        self.fetched += [value for name, value in attrs if name in ("src", "href") and value]

    def handle_startendtag(self, tag, attrs):
        self.seen.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.text += data


def test_the_page_loads_nothing_else_and_draws_every_alert(drift, tmp_path):
    before, now = rows(), rows(seed=1, shift=1.0)
    now.loc[::2, "steady"] = np.nan
    result = drift(before, now, "--html", tmp_path / "new" / "page.html")
    assert str(tmp_path / "new" / "page.html") in result.text
    page = (tmp_path / "new" / "page.html").read_text()
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    assert reader.fetched == []
    assert "http" not in page
    assert "url(" not in page
    assert reader.seen.count("svg") == 3
    assert reader.text.index("colour") < reader.text.index("flag")
    assert "2 of 5 columns drifted" in reader.text
    assert not re.search(r"\bnan\b|None|\$\w", reader.text)


def test_the_bars_of_the_charts_are_the_shares(drift, tmp_path):
    mixed = np.random.default_rng(0).permutation(1000) * 1.0  # in order, it would be index-like
    before = pd.DataFrame({"c": ["a"] * 500 + ["b"] * 500, "x": mixed})
    now = pd.DataFrame(
        {"c": ["a"] * 900 + ["new <one>"] * 100, "x": np.r_[np.arange(500.0), np.full(500, 5e6)]}
    )
    drift(before, now, "--html", tmp_path / "p.html")
    titles = re.findall(r"<title>(.*?)</title>", (tmp_path / "p.html").read_text())[1:]
    assert "a: 50.0% in the reference, 90.0% now" in titles
    assert "b: 50.0% in the reference, 0% now" in titles
    assert "new: new &lt;one&gt;: 0% in the reference, 10.0% now" in titles
    above = next(title for title in titles if title.startswith("above"))
    assert re.fullmatch(r"above 99\d: (0\.[89]|1\.\d)% in the reference, 50\.0% now", above)
    shares = [
        re.findall(r"([\d.]+)%", title) for title in titles if not title.startswith(("a:", "b:", "new"))
    ]
    for side in (0, 1):
        assert sum(float(share[side]) for share in shares) == pytest.approx(100, abs=1.5)


def test_each_share_stands_at_the_end_of_its_own_bar(drift, tmp_path):
    before = pd.DataFrame({"c": ["a"] * 700 + ["b"] * 300})
    now = pd.DataFrame({"c": ["a"] * 100 + ["b"] * 400 + ["new"] * 500})
    drift(before, now, "--html", tmp_path / "p.html")
    page = (tmp_path / "p.html").read_text()
    bars = re.findall(
        r'<rect class="(ref|cur)" x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"/>\s*'
        r'<text class="of-(ref|cur)" x="([\d.]+)" y="([\d.]+)">([\d.]+)%</text>',
        page,
    )
    shares = [(kind, float(share)) for *_, kind, _, _, share in bars]
    pairs = [("ref", 70.0), ("cur", 10.0), ("ref", 30.0), ("cur", 40.0), ("ref", 0.0), ("cur", 50.0)]
    assert sorted(shares) == sorted(pairs)
    widest = max(float(width) for _, _, _, width, *_ in bars)
    for kind, x, y, width, height, of, text_x, text_y, share in bars:
        assert kind == of
        assert float(width) == pytest.approx(widest * float(share) / 70, abs=0.1)
        assert float(text_x) == pytest.approx(float(x) + float(width) + 5, abs=0.1)
        assert float(y) < float(text_y) <= float(y) + float(height)


def test_values_that_were_never_seen_are_named(drift, tmp_path):
    long = "x" * 500
    before = pd.DataFrame({"c": ["a", "b"] * 500, "code": [1, 2] * 500, "same": ["u", "v"] * 500})
    now = pd.DataFrame(
        {
            "c": ["a"] * 400 + ["NA?"] * 300 + [long] * 200 + ["d"] * 60 + ["e\n"] * 40,
            "code": [1] * 500 + [2] * 300 + [7] * 200,
            "same": ["u", "v"] * 495 + ["w"] * 10,
        }
    )
    columns = drift(before, now, "--json").json["columns"]
    named = columns["c"]["unseen_values"]
    assert list(named.values()) == [300, 200, 60]
    assert [name.split("…")[0] for name in named] == ["NA?", "x" * 25, "d"]
    assert columns["c"]["reason"].endswith(
        f"; never seen: 'NA?' (300 rows), '{list(named)[1]}' (200), 'd' (60), ..."
    )
    assert columns["code"]["unseen_values"] == {"7": 200}
    assert columns["code"]["reason"].endswith("; never seen: '7' (200 rows)")
    assert columns["same"]["unseen_values"] == {"w": 10}
    assert columns["same"]["reason"] == "within tolerance"
    drift(before, now, "--html", tmp_path / "p.html")
    page = (tmp_path / "p.html").read_text()
    titles = re.findall(r"<title>(.*?)</title>", page)[1:]
    assert "new: NA?: 0% in the reference, 30.0% now" in titles
    assert "other new values: 0% in the reference, 4.0% now" in titles
    assert "never seen: &#39;NA?&#39; (300 rows)" in page


@pytest.mark.parametrize("share", [0.02, 0.4, 1.0])
def test_infinities_absurd_values_and_dates_can_be_drawn(drift, tmp_path, share):
    rng = np.random.default_rng(0)

    def make(shift: float) -> pd.DataFrame:
        x = rng.normal(shift, 1, N)
        outside = rng.random(N) < share
        days = pd.Timestamp("1990-01-01") + pd.to_timedelta(
            rng.integers(0, 900, N) + int(900 * shift), unit="D"
        )
        signs = rng.choice([-1.0, 1.0], N, p=[0.1 + 0.4 * (shift == 0), 0.9 - 0.4 * (shift == 0)])
        return pd.DataFrame(
            {
                "infinite": np.where(outside, np.inf * signs, x),
                "absurd": np.where(outside, 1e308 * signs, x),
                "far": np.where(outside, 1e12 * x, x),
                "day": days,
            }
        )

    result = drift(make(0), make(0.4), "--html", tmp_path / "p.html")
    assert (result.status, result.err) == (0, "")
    page = (tmp_path / "p.html").read_text()
    assert page.count("<svg") >= 3
    for bad in ("nan", "inf,", '"inf', "e+"):
        assert bad not in "".join(re.findall(r"<(?:rect|path)[^>]*>", page))
    assert "1990-" in page


@pytest.mark.parametrize(
    ("reference", "current", "pattern"),
    [
        ("none.csv", "ok.csv", "none.csv does not exist"),
        ("ok.csv", "empty.csv", "empty.csv is empty"),
        ("ok.csv", "broken.csv", "line 3: 1 fields where"),
        ("ok.csv", "not.parquet", "is not a Parquet file"),
        ("ok.csv", "folder", "is a folder without a table in CSV or Parquet"),
        ("ok.csv", "other.csv", "no column in common"),
        ("ok.csv", "ftp://x/y", "expected a path, file:///path or s3://bucket/key"),
    ],
)
def test_an_unreadable_table_gives_one_sentence(cli, tmp_path, monkeypatch, reference, current, pattern):
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "ok.csv": "a,b\n1,2\n",
        "empty.csv": "",
        "broken.csv": "a,b\n1,2\n3\n",
        "not.parquet": "a,b\n",
        "other.csv": "c,d\n1,2\n",
    }.items():
        Path(name).write_text(text)
    Path("folder").mkdir()
    result = cli("drift", "--reference", reference, "--current", current)
    assert (result.status, result.out) == (1, "")
    (message,) = result.err.strip().splitlines()
    assert pattern in message


def test_a_page_that_cannot_be_written_is_an_error(drift, tmp_path):
    (tmp_path / "file").touch()
    result = drift(rows(30), rows(30), "--html", tmp_path / "file" / "page.html")
    assert (result.status, result.out) == (1, "")
    assert "page.html cannot be written" in result.err


def test_folders_and_s3_are_compared_like_files(cli, tmp_path, s3_server):
    before, now = rows(), rows(seed=1, shift=1.0)
    for day, part in enumerate(np.array_split(np.arange(N), 3)):
        folder = tmp_path / "ref" / f"day={day}"
        folder.mkdir(parents=True)
        before.iloc[part].to_parquet(folder / "rows.parquet")
    now.to_csv(tmp_path / "cur.csv", index=False)
    key = f"drift/{tmp_path.name}/cur.csv"
    boto3.client("s3").put_object(Bucket=s3_server.bucket, Key=key, Body=(tmp_path / "cur.csv").read_bytes())
    uris = {"--reference": tmp_path / "ref", "--current": f"s3://{s3_server.bucket}/{key}"}
    found = cli("drift", *(item for pair in uris.items() for item in pair), "--json").json
    assert found["rows"] == {"reference": N, "current": N}
    assert found["columns"]["moved"]["verdict"] == "alert"
    assert ("day", "missing") in {(f["column"], f["kind"]) for f in found["schema"]}


def test_help_shows_an_example(cli):
    result = cli("drift", "--help", columns=100)
    assert "homeostat drift --reference january.parquet --current february.parquet" in result.text


def test_standard_output_holds_only_json(tmp_path):
    for name, seed in (("a", 0), ("b", 1)):
        rows(300, seed).to_csv(tmp_path / f"{name}.csv", index=False)
    code = "from homeostat.cli import main; main()"
    include = Path(__file__).parents[3] / "include"
    done = subprocess.run(
        [sys.executable, "-c", code, "drift", "--reference", "a.csv", "--current", "b.csv", "--json"],
        env=os.environ | {"PYTHONPATH": str(include)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["verdict"] == "pass"
    assert done.stderr == ""
