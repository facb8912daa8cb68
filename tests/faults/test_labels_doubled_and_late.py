"""Labels that arrive late, twice, in any order, and across a restart: the first of each id counts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from homeostat.storage.label_join import read_labelled
from homeostat.storage.prediction_log import read_labels
from serving.gateway_harness import make_gateway_fixture, serving

ROW = {"a": 1.0, "b": 0.0, "colour": "red"}


def test_duplicates_before_and_after_a_restart_join_once_with_the_first_label(tmp_path):
    setup = make_gateway_fixture(tmp_path)
    setup.begin(setup.version())
    begun = datetime.now(UTC)
    names = [f"r{i}" for i in range(20)]
    with serving(setup, gateway="one") as client:
        client.ready()
        # A label may arrive before its row.
        assert client.labels({"id": "r0", "label": 1}).json()["accepted"] == 1
        for name in names:
            client.score(ROW, **{"X-Request-Id": name})
        for name in (*names[7:10], *names[:7]):
            client.labels({"id": name, "label": 1})
        again = client.labels(*({"id": name, "label": 1} for name in names[:10])).json()
        assert again == {"accepted": 0, "duplicates": 10, "conflicts": 0, "predicted_here": 10}
        assert client.labels({"id": "r1", "label": 0}).json()["conflicts"] == 1
    with serving(setup, gateway="two") as client:
        client.ready()
        late = [{"id": name, "label": 1} for name in reversed(names)]
        assert client.labels(*late).json()["accepted"] == 20, "what came before the restart is not remembered"
        assert client.labels({"id": "r2", "label": 0}).json()["conflicts"] == 1
    with serving(setup, gateway="three") as client:
        client.ready()
        client.labels({"id": "r3", "label": 0})  # a conflict that the restarted gateway does not know
    end = datetime.now(UTC) + timedelta(minutes=1)
    store, config = setup.ports.store, setup.config
    assert read_labels(store, config, begun, end)["prediction_id"].is_unique
    joined = read_labelled(store, config, begun, end)
    assert sorted(joined["_prediction_id"]) == sorted(names)
    assert set(joined["y"].astype(str)) == {"1"}
    assert len(store.list("quarantine/pump/labels/")) == 2
