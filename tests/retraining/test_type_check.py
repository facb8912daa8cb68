"""Types that no gateway would load are found before the fit, with the line that allows them."""

import re

import pytest
import yaml

from homeostat.bundle.boosters.known import BOOSTERS
from homeostat.config.errors import PipelineError, SingleClass, UntrustedType
from homeostat.config.load import load_model
from homeostat.retraining.fit import fit
from homeostat.retraining.type_check import check_types

#: KDTree is left out of the trusted types: nearest neighbours build one when they are fitted.
NEIGHBOURS = """
def build():
    from sklearn.impute import SimpleImputer
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    return make_pipeline(SimpleImputer(), KNeighborsClassifier(n_neighbors=3, algorithm="kd_tree"))
"""
TREE = "sklearn.neighbors._kd_tree.KDTree"
UNFITTED = """
def build():
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer
    from textwrap import dedent
    return make_pipeline(FunctionTransformer(dedent), LogisticRegression())
"""


def test_a_type_that_only_a_fit_shows_is_found_with_twenty_rows(model, rows):
    with pytest.raises(UntrustedType, match=TREE) as raised:
        check_types(model(NEIGHBOURS), rows(), ())
    assert "pipeline.py:build: no gateway would load this model" in str(raised.value)
    assert "Nothing was fitted" in str(raised.value)


def test_the_line_of_the_error_is_one_that_allows_it(model, rows, tmp_path):
    config = model(NEIGHBOURS)
    with pytest.raises(UntrustedType) as raised:
        check_types(config, rows(), ())
    [line] = re.findall(r"the line (.*) to the file", str(raised.value))
    allowed = load_model(config.folder, yaml.safe_load(line))
    check_types(allowed, rows(), ())
    check_types(config, rows(), allowed.trusted_types)


def test_a_type_of_the_unfitted_pipeline_is_found_where_twenty_rows_cannot_be_fitted(model, rows):
    """dedent raises on numbers."""
    with pytest.raises(UntrustedType, match=r"textwrap\.dedent"):
        check_types(model(UNFITTED), rows(), ())


def test_a_lambda_is_refused_before_the_fit(model, rows):
    code = NEIGHBOURS.replace(
        "SimpleImputer()", "__import__('sklearn').preprocessing.FunctionTransformer(lambda x: x)"
    )
    with pytest.raises(PipelineError, match="named functions"):
        check_types(model(code), rows(missing=False), ())


@pytest.mark.parametrize("labels", [(0, 1), ("fine", "worn"), None], ids=str)
@pytest.mark.parametrize("library", BOOSTERS)
def test_boosters_need_no_setting(model, rows, library, labels):
    task, ending = ("classification", "Classifier") if labels else ("regression", "Regressor")
    name = next(each for each in BOOSTERS[library] if each.endswith(ending))
    code = f"def build():\n    from {library} import {name}\n    return {name}()\n"
    check_types(model(code, task=task, category=True), rows(labels=labels), ())


def test_rows_of_one_class_are_refused_before_the_pipeline_is_imported(model, rows):
    with pytest.raises(SingleClass):
        check_types(model("raise SystemExit('never asked')\n"), rows().assign(y=1), ())


def test_few_rows_are_left_to_the_fit(model, rows):
    few = rows(20).groupby("y").head(1)
    assert len(few) == 2
    check_types(model(), few, ())


def test_the_check_fits_twenty_rows_and_not_all(model, rows):
    config = model(
        "SIZES = []\n\n"
        "def build():\n"
        "    return Counting()\n\n"
        "from sklearn.ensemble import HistGradientBoostingClassifier\n"
        "class Counting(HistGradientBoostingClassifier):\n"
        "    def fit(self, X, y):\n"
        "        SIZES.append(len(X))\n"
        "        return super().fit(X, y)\n"
    )
    check_types(config, rows(5000), ())
    from homeostat.bundle.pipeline import load_pipeline

    sizes = load_pipeline(config).__globals__["SIZES"]
    assert sizes == [20]
    fit(config, rows(300), None)
    assert sizes == [20, 300]


def test_a_backtest_checks_a_pipeline_once(model, rows, tmp_path, monkeypatch):
    from homeostat.retraining import type_check
    from homeostat.retraining.fit_cache import cached_fits

    config, fits = model(), []
    monkeypatch.setattr(type_check, "fit", lambda *_: fits.append(1))
    with cached_fits(tmp_path):
        check_types(config, rows(), ())
        check_types(config, rows(), ())
        assert len(fits) == 1
        check_types(config, rows(), ("another.Type",))
        assert len(fits) == 2
    check_types(config, rows(), ())
    assert len(fits) == 3, "elsewhere, the pipeline may have changed"
