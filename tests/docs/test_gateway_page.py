"""What the gateway's page says is there, and what is there stands on the page."""

import re
import runpy
from dataclasses import fields
from pathlib import Path

import pytest

from homeostat.config import Settings
from homeostat.serving import create_app
from homeostat.serving.options import Options
from serving.gateway_harness import LOAD, make_gateway_fixture

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "gateway.md").read_text(encoding="utf-8")
ROWS = dict(
    re.findall(r"^\| `(\w+)` \| ([^|]+?) \| [^|]+ \|$", PAGE.partition("\n## Settings\n")[2], re.MULTILINE)
)


def part(heading):
    return PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def variable(field):
    return "HOMEOSTAT_GATEWAY_" + ("NAME" if field.name == "gateway" else field.name.upper())


@pytest.mark.parametrize("field", fields(Options), ids=variable)
def test_every_setting_of_the_gateway_stands_on_its_page_with_its_default(field):
    said = ROWS[variable(field)]
    if field.name != "gateway":
        assert getattr(
            Options.from_env({variable(field): said.strip("`")} if said != "`0`" else {}), field.name
        ) == (field.default)


def test_every_shared_setting_stands_on_the_page_and_none_that_is_not_there():
    listed = set(re.findall(r"^    ((?:HOMEOSTAT|MLFLOW)_\w+) ", Settings.__doc__, re.MULTILINE))
    assert len(listed) > 10
    assert set(ROWS) == listed | {variable(field) for field in fields(Options)}


def test_every_series_of_metrics_stands_on_the_page_and_none_that_is_not_there(tmp_path):
    setup = make_gateway_fixture(tmp_path)
    app = create_app({"pump": setup.config}, setup.ports, setup.settings, load=LOAD)
    families = list(app.runtime.metrics.registry.collect())
    there = {family.name + ("_total" if family.type == "counter" else "") for family in families}
    there |= {family.name for family in app.runtime.verdicts.registry.collect()}
    there |= {"homeostat_worker_up", "homeostat_worker_restarts_total"}
    section = part("Metrics and alerts")
    table = "\n".join(line for line in section.splitlines() if line.startswith("| "))
    assert set(re.findall(r"homeostat_\w+", table)) == there
    for name in re.findall(r"homeostat_\w+", section + part("Workers") + part("What happens when")):
        assert name.removesuffix("_bucket") in there, name


def test_the_picture_is_the_one_that_its_script_draws(monkeypatch):
    script = ROOT / "docs" / "pictures" / "draw_gateway.py"
    monkeypatch.syspath_prepend(script.parent)  # as Python does it for a script
    drawn = runpy.run_path(str(script))["svg"]()
    assert script.with_name("gateway.svg").read_text(encoding="utf-8") == drawn
