"""Requests logged since the candidate's training rows show what its shadow should see."""

from datetime import timedelta

import pytest

from homeostat.config import load_model
from homeostat.core.rollout import RECENT
from homeostat.retraining.expected_divergence import RECENT_ROWS
from homeostat.storage.step_results import load_result
from sample_model import T0, retrain, rows_between, serve

pytestmark = pytest.mark.usefixtures("quick", "champion")

DAY = timedelta(days=1)


@pytest.fixture
def compared(config, ports, ask):
    """Log traffic of these days since the training rows, retrain, and return the rows that were compared."""

    def call(days, per_hour):
        rows = rows_between(T0, T0 + days * DAY, per_hour=per_hour)
        serve(config, ports, rows, labels=False)
        ports.clock.set(T0 + days * DAY)
        path = config.folder / "model.yaml"
        path.write_text(path.read_text().replace("delay: 1h", f"delay: {days}d"))
        request = ask("run 2")
        retrain(load_model(config.folder), ports, request, to_the_end=False)
        return load_result(ports.store, "sample", request.run_key, "validate")["divergence"].get(
            RECENT[0], {}
        )

    return call


@pytest.mark.parametrize(
    ("days", "per_hour", "rows"),
    [(1, 1, 24), (6, 1, 144), (2, 60, RECENT_ROWS)],
    ids=["a day of one row an hour", "six days of one row an hour", "much traffic"],
)
def test_rows_are_compared_however_slowly_they_came(compared, days, per_hour, rows):
    assert compared(days, per_hour)["compared"] == rows
