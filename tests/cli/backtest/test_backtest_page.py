"""The report that `--html` writes, and its chart."""

import base64
import io
import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from homeostat import figures

END = datetime(2026, 1, 5, tzinfo=UTC)


class Reader(HTMLParser):
    """Collects text, images and external references of a page; asserts matching tags."""

    VOID = ("meta", "img", "br", "link", "input")

    def __init__(self):
        super().__init__()
        self.open, self.text, self.fetched, self.images, self.rows = [], [], [], [], 0

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.rows += tag == "tr"
        source = found.get("src") or (found.get("href") if tag == "link" else None)
        if tag == "img":
            self.images.append(found)
        if source and not source.startswith("data:"):
            self.fetched.append(source)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def window_results(count, *, score=lambda k: 0.9, event=lambda k: None, outcome=lambda k: ""):
    return [
        {
            "end": (END + timedelta(days=7 * k)).isoformat(),
            "rows": 60,
            "score": score(k),
            "event": event(k),
            "outcome": outcome(k),
            "reason": "",
        }
        for k in range(count)
    ]


def policy(per_window, score=0.9):
    return {"score": score, "retrains": 2, "per_window": per_window}


def test_the_page_is_self_contained_and_complete(cli, folder, tmp_path):
    page = tmp_path / "deep" / "report.html"
    data = ("--data", folder / "rows.csv", "--windows", "60rows", "--reference-share", "0.4445")
    done = cli("backtest", folder, *data, "--html", page)
    assert done.status == 0
    assert str(page) in done.out
    text = page.read_text(encoding="utf-8")
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    assert reader.fetched == []
    assert "http" not in re.sub(r"base64,[A-Za-z0-9+/=]+", "", text)  # where any four letters may stand
    assert "{{" not in text
    assert "{%" not in text
    (image,) = reader.images
    assert image["alt"]
    with Image.open(io.BytesIO(base64.b64decode(image["src"].partition("base64,")[2]))) as picture:
        assert picture.format == "PNG"
    shown = " ".join(" ".join(reader.text).split())
    for word in ("Backtest of small", "never retrain", "Homeostat", "baseline", "5 windows of 60 rows"):
        assert word in shown
    raw = cli("backtest", folder, *data, "--json").json
    for window in raw["policies"]["homeostat"]["per_window"]:
        if window["event"] in ("retrain", "reinstate"):
            assert " ".join(window["sentence"].split()) in shown


def test_names_are_escaped(cli, folder, tmp_path):
    home = tmp_path / "small"
    home.mkdir()
    strange = "a<b>&"
    text = (folder / "model.yaml").read_text().replace("    a:", f'    "{strange}":')
    (home / "model.yaml").write_text(text)
    (home / "pipeline.py").write_text((folder / "pipeline.py").read_text().replace('"a"', f'"{strange}"'))
    rows = (folder / "rows.csv").read_text().replace("at,a,b", f"at,{strange},b", 1)
    (home / "rows.csv").write_text(rows)
    page = tmp_path / "report.html"
    data = ("--data", home / "rows.csv", "--windows", "60rows", "--reference-share", "0.4445")
    assert cli("backtest", home, *data, "--html", page).status == 0
    assert strange not in page.read_text()


def test_the_chart_draws_every_policy_and_every_kind_of_event():
    several = {
        "frozen": policy(window_results(30)),
        "homeostat": policy(
            window_results(
                30,
                score=lambda k: None if k == 3 else 0.8 + k / 300,
                event=lambda k: ("retrain", "reinstate", None, "probe")[k % 4],
                outcome=lambda k: ("promoted", "refused", "under way", "promoted, then rolled back")[
                    k % 5 % 4
                ],
            )
        ),
        "an unknown policy": policy(
            window_results(30, event=lambda k: "retrain" if k == 9 else None, outcome=lambda k: "promoted")
        ),
    }
    data = figures.policies_over_time(several, "accuracy")
    assert data == figures.policies_over_time(several, "accuracy")  # deterministic
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.width > picture.height
        colours = {colour for _, colour in picture.convert("RGB").getcolors(10**6)}
    assert (31, 111, 235) in colours  # Homeostat's blue
    assert len(data) < 100_000


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_chart_of_few_windows_is_still_a_png(count):
    data = figures.policies_over_time({"frozen": policy(window_results(count), None)}, "mae")
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.format == "PNG"


def test_a_line_is_the_mean_weighted_by_rows():
    found = window_results(4, score=lambda k: [1.0, 0.0, None, 0.5][k])
    found[1]["rows"] = 180
    assert figures.smooth(found, 2).tolist() == pytest.approx([1.0, 0.25, 0.0, 0.5])
    assert np.isnan(figures.smooth(window_results(2, score=lambda k: None), 2)).all()
