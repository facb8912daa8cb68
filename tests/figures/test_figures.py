import io
import sys
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from homeostat import figures
from homeostat.bundle.evaluate import Evaluation
from homeostat.bundle.predictor import Predictions
from homeostat.config.model import Monitor
from homeostat.core.drift import compare_profiles
from homeostat.core.profile import Profile, Reference, count_dataframe
from homeostat.figures.reference_vs_window import _binned, _bins

END = datetime(2024, 3, 1, tzinfo=UTC)
KINDS = {"temp": "number", "gear": "number", "site": "category", "prediction": "category"}


def size(data):
    picture = Image.open(io.BytesIO(data))
    assert picture.format == "PNG"
    assert len(data) < 100_000
    assert len(picture.convert("RGB").getcolors(10**6)) > 3  # something is drawn
    return picture.size


def classified(rows=300, classes=(0, 1), missing=0, *, proba=True, seed=0):
    rng = np.random.default_rng(seed)
    at = rng.integers(0, len(classes), rows)
    shares = rng.uniform(size=(rows, len(classes)))
    shares[np.arange(rows), at] += 1
    shares /= shares.sum(axis=1, keepdims=True)
    labels = np.array(classes, dtype=object)
    predicted = labels[shares.argmax(axis=1)]
    predicted[:missing] = None
    return Evaluation(
        metrics={"accuracy": float((predicted == labels[at]).mean())},
        nan_rate=missing / rows,
        slices={},
        distinct_predictions=9,
        rows=rows,
        truth=labels[at],
        predictions=Predictions(predicted, shares.max(axis=1), shares) if proba else Predictions(predicted),
        classes=tuple(classes),
    )


def regressed(rows=300, spoilt=0, *, constant=False):
    rng = np.random.default_rng(0)
    truth = np.full(rows, 3.0) if constant else rng.gamma(2, 10, rows)
    predicted = truth if constant else truth + rng.normal(size=rows)
    predicted = np.where(np.arange(rows) < spoilt, np.nan, predicted)
    return Evaluation({"mae": 1.0, "rmse": 1.2}, 0.0, {}, 9, rows, truth, Predictions(predicted), None)


def rows_of(size_=500, shift=0.0, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "temp": rng.normal(60 + 20 * shift, 5, size_),
            "gear": rng.integers(1, 6, size_),
            "site": pd.Series(rng.choice(["a", "b$", "new" if shift else "c"], size_), dtype="str"),
            "prediction": rng.choice([0, 1], size_),
        }
    )


@pytest.fixture(scope="module")
def reference():
    return Reference.fit(rows_of(2000), KINDS)


@pytest.fixture(scope="module")
def reports(reference):
    found = []
    for hour in range(6):
        window = count_dataframe(reference.edges, rows_of(300, hour / 6, hour))
        end = (END + timedelta(hours=hour)).isoformat()
        report = compare_profiles(reference.profile, window, Monitor(min_rows=50))
        found.append({"window_end": end, **report.to_json()})
    return found


@pytest.mark.parametrize("classes", [(0, 1), ("no", "yes", "maybe"), tuple("abcdefghijklmno")], ids=len)
@pytest.mark.parametrize("champion", [None, "there"])
def test_a_classification_gets_confusion_and_calibration(model, classes, champion):
    found = figures.evaluation(model(), classified(classes=classes), champion and classified(classes=classes))
    assert set(found) == {"confusion.png", "calibration.png"}
    for data in found.values():
        size(data)


def test_two_versions_are_drawn_side_by_side():
    assert size(figures.confusion(classified(), classified()))[0] > size(figures.confusion(classified()))[0]


def test_missing_predictions_get_their_own_column():
    size(figures.confusion(classified(missing=40), classified()))


def test_without_probabilities_there_is_no_calibration(model):
    assert set(figures.evaluation(model(), classified(proba=False), None)) == {"confusion.png"}


def test_a_champion_without_probabilities_still_gives_a_figure(model):
    found = figures.evaluation(model(), classified(), classified(proba=False))
    size(found["calibration.png"])


def test_a_regression_gets_residuals(model):
    config = model(task="regression")
    assert set(figures.evaluation(config, regressed(), regressed(spoilt=20))) == {"residuals.png"}


@pytest.mark.parametrize(
    "case", [regressed(5), regressed(spoilt=300), regressed(constant=True)], ids=["few", "none", "constant"]
)
def test_residuals_of_degenerate_predictions_are_still_a_figure(case):
    size(figures.residuals(case))


def test_drift_over_time_is_drawn_from_plain_reports(reports):
    wide, narrow = size(figures.drift_over_time(reports * 8)), size(figures.drift_over_time(reports[:1]))
    assert wide[0] > narrow[0]


def test_no_report_and_an_empty_report_give_a_text(reports):
    size(figures.drift_over_time([]))
    bare = {"verdict": "not_computable", "reason": "no rows", "rows": 0, "drifted_share": None}
    size(figures.drift_over_time([{"window_end": END.isoformat(), **bare}]))
    size(figures.drift_over_time([*reports, {"window_end": END.isoformat(), **bare}]))


def test_of_very_many_features_the_ones_that_moved_are_drawn(reports):
    one = reports[-1]
    many = [feature | {"name": f"{feature['name']}_{i}"} for i in range(40) for feature in one["features"]]
    assert size(figures.drift_over_time([one | {"features": many}]))[1] < 1200


def test_reference_and_window_are_drawn_feature_by_feature(reference):
    window = count_dataframe(reference.edges, rows_of(300, 1.0, 5))
    report = compare_profiles(reference.profile, window, Monitor(min_rows=50))
    size(figures.reference_vs_window(reference.profile, window, report))


def test_an_empty_window_gives_a_text(reference):
    size(figures.reference_vs_window(reference.profile, Profile.empty(reference.edges)))


@pytest.mark.parametrize(
    "values",
    [[np.nan] * 60, [1.0] * 60, [0.0] * 59 + [1e12], list(range(60)), [-1.0, 1.0] * 30],
    ids=["missing", "constant", "outlier", "whole", "two"],
)
def test_degenerate_columns_are_still_a_figure(values):
    frame = pd.DataFrame({"x": values, "c": pd.Series([None] * 60, dtype="str")})
    whole = Reference.fit(frame, {"x": "number", "c": "category"})
    size(figures.reference_vs_window(whole.profile, whole.profile))


def test_no_row_falls_out_of_a_histogram(reference):
    frame = reference.edges.features["temp"]
    for shift in (-1.0, 0.0, 1.0):
        counts = count_dataframe(reference.edges, rows_of(400, shift)).features["temp"]
        shares = _binned(frame, counts, _bins(frame, reference.profile.features["temp"]))
        assert shares.sum() == pytest.approx(1.0)
        assert (shares >= 0).all()


def test_the_same_figure_has_the_same_bytes(reports):
    assert figures.drift_over_time(reports) == figures.drift_over_time(reports)


def test_figures_do_not_touch_pyplot(reports):
    figures.drift_over_time(reports)
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
