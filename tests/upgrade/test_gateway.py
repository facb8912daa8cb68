"""Today's gateway, started on the disk of a killed gateway of release 0.1."""

import math
from datetime import timedelta

import pytest

from homeostat.core.rollout import choose_variant
from homeostat.serving.runtime import LOAD_BUNDLE
from homeostat.storage.prediction_log import read_predictions
from serving.gateway_harness import GatewayFixture, serving, until
from upgrade.installation import HOUR, MIDNIGHT, MODELS, TOKEN, expected_next, expected_read
from upgrade.renamed import assert_same

FIRST, LAST = MIDNIGHT - 2 * HOUR, MIDNIGHT + timedelta(hours=30)


ROW = {"a": 1.0, "b": 1.0, "kind": "red"}


def rollout_rows(installation, model):
    """Return the log's rows that were served during a rollout, without those that fell back."""
    rows = read_predictions(installation.ports.store, installation.configs[model], FIRST, LAST).rows
    return rows[rows["_rollout"].notna() & rows["_error"].isna()]


def share_at(events, rollout, at):
    """Return the candidate's share of a rollout at a time."""
    own = [event for event in events if event.traffic["rollout"]["id"] == rollout and event.at <= at]
    return own[-1].traffic["rollout"]["share"]


@pytest.mark.parametrize("model", MODELS)
def test_every_client_keeps_its_variant(recorded, model):
    rows, events = rollout_rows(recorded, model), recorded.ports.ledger.events(model)
    assert len(rows) >= 36
    for row in rows.to_dict("records"):
        key = row["_key"] if isinstance(row["_key"], str) else row["_request_id"]
        share = share_at(events, row["_rollout"], row["_at"])
        assert choose_variant(key, row["_rollout"], share) == row["_variant"], row["_prediction_id"]


@pytest.fixture
def gateway(copy):
    """A gateway of today on the copy's disk; it cannot reach MLflow."""
    setup = GatewayFixture(copy.ports, copy.settings, copy.configs["pump"], copy.folder)
    with serving(setup, models=copy.configs, load=LOAD_BUNDLE) as client:
        client.ready()
        until(lambda: client.runtime.states["pump"].table.candidate is not None, "the candidate is loaded")
        yield client


def test_a_gateway_starts_in_the_middle_of_the_canary(copy, gateway):
    shown = gateway.http.get("/models/pump").json()
    traffic = expected_read("pump", "ledger", "traffic")
    assert (shown["revision"], shown["phase"], shown["share"]) == (traffic["revision"], "canary", 0.5)
    assert_same(shown["rollout"], traffic["rollout"])
    newest = expected_read("pump", "ledger", "events")[::-1][: len(shown["events"])]
    assert [event["kind"] for event in shown["events"]] == [event["kind"] for event in newest]

    served_by_the_candidate = rollout_rows(copy, "pump").query("_variant == 'candidate' and _version == '3'")
    assert len(served_by_the_candidate) >= 9  # more once the journal is written
    for row in served_by_the_candidate.to_dict("records"):
        features = {name: row[name] for name in ("a", "b", "kind", "spare") if not missing(row[name])}
        response = gateway.score({"unit": row["_key"], **features})
        assert response.headers["X-Homeostat-Version"] == "3"
        assert [str(value) for value in response.json()["predictions"]] == [row["_prediction"]]
    assert copy.ports.ledger.read("pump").revision == traffic["revision"]


def missing(value):
    return isinstance(value, float) and math.isnan(value)


def test_a_gateway_writes_the_rows_of_the_journal_and_counts_the_losses(copy, gateway):
    store, new_keys = copy.ports.store, expected_next("journal_is_recovered", "new_keys")
    until(lambda: set(new_keys) <= {*store.list("log"), *store.list("quarantine")}, "the journal is written")
    lost = {model: gateway.http.get(f"/models/{model}").json()["log"] for model in ("pump", "tide")}
    assert lost["pump"]["lost_rows_previous_runs"] == 1
    assert lost["tide"]["lost_rows_previous_runs"] == expected_read("gateway", "losses")[0]["lost"] == 34


def test_a_rollback_ends_the_canary_and_continues_the_audit_log(copy, gateway):
    audit = copy.state / "audit.jsonl"
    before = audit.read_bytes()
    response = gateway.order("models/pump/rollback", {"version": "3", "reason": "not today"}, token=TOKEN)
    assert response.status_code == 200
    found, expected = copy.ports.ledger.read("pump"), expected_next("pump_is_rolled_back", "traffic")
    assert_same(found.to_json(), expected)
    until(lambda: gateway.score(ROW).headers["X-Homeostat-Version"] == "1", "it has no share")
    assert audit.read_bytes().startswith(before)
    assert len(audit.read_bytes().splitlines()) == len(before.splitlines()) + 1
