"""The pipelines on docs/models.md work as they stand there."""

import re
from pathlib import Path

import pytest

from bundle_fixtures import model, rows
from homeostat.bundle.predictor import Predictor
from homeostat.retraining.fit import fit

__all__ = ["model", "rows"]
PAGE = (Path(__file__).parents[2] / "docs/models.md").read_text(encoding="utf-8")
PIPELINES = re.findall(r"(?ms)^```python pipeline\n(.*?)^```", PAGE)


@pytest.mark.parametrize("number", range(len(PIPELINES)))
def test_a_pipeline_of_the_page_learns_categories_and_missing_values(model, rows, number):
    config = model(PIPELINES[number], category=True)
    frame = rows(400, labels=("fine", "worn"))
    found = Predictor.of(config, fit(config, frame, None)).predict(frame)
    assert (found.prediction == frame["y"]).mean() > 0.9


def test_the_page_has_pipelines():
    assert len(PIPELINES) == 3
