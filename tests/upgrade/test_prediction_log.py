"""Release 0.1's prediction log, and the journal that its killed gateway left: every row, every label."""

import io
import json
from dataclasses import asdict

import pandas as pd
import pytest

from homeostat.serving.recorder.counters import Counters
from homeostat.serving.recorder.journal import quarantine_header, read_segment
from homeostat.serving.recorder.recovery import known_losses
from upgrade.installation import MODELS, expected_next, expected_read, recover_journal
from upgrade.log_lines import log_of
from upgrade.renamed import LOG, assert_same, renamed


@pytest.mark.parametrize("model", MODELS)
def test_every_row_and_every_label_is_read(recorded, model):
    found = log_of(recorded.configs[model], recorded.ports.store)
    assert_same(found, renamed(expected_read(model, "log"), LOG))


@pytest.mark.parametrize("model", MODELS)
def test_reported_losses_are_there(recorded, model):
    store = recorded.ports.store
    found = {key: json.loads(store.get(key)) for key in store.list(f"log/{model}/losses")}
    assert_same(found, expected_read(model, "kept", "losses"))


@pytest.mark.parametrize("model", MODELS)
def test_quarantined_rows_and_labels_are_there(recorded, model):
    store, found = recorded.ports.store, {}
    for key in store.list(f"quarantine/{model}"):
        if key.endswith(".parquet"):
            rows = pd.read_parquet(io.BytesIO(store.get(key)))
            found[key] = {"rows": len(rows), "reasons": sorted(rows["reason"].unique())}
        else:
            body = json.loads(store.get(key))
            found[key] = {"reason": body["reason"], "ids": [label["id"] for label in body["labels"]]}
    assert_same(found, expected_read(model, "kept", "quarantined"))


def test_the_journal_of_the_killed_gateway_is_read(recorded):
    journal, found = recorded.state / "journal", {}
    for folder in (path.parent for path in journal.glob("*/counts")):
        counters = Counters.open(folder / "counts")
        segments = {}
        for path in sorted(folder.glob("*/*.seg")):
            segment = read_segment(path)
            segments[path.relative_to(folder).as_posix()] = {
                "before": dict(segment.before),
                "torn": segment.torn,
                "records": [[each.model, each.rows, sorted(each.columns)] for each in segment.records],
            }
        counts = {name: counters.get(name) for name in counters.names}
        found[folder.name] = {"counts": counts, "segments": segments}
    assert_same(found, expected_read("gateway", "journals"))


def test_known_losses_and_rows_that_the_store_refused_are_read(recorded):
    journal = recorded.state / "journal"
    assert_same([asdict(loss) for loss in known_losses(journal)], expected_read("gateway", "losses"))
    refused = {path.name: quarantine_header(path) for path in sorted((journal / "unwritable").glob("*.seg"))}
    assert_same(refused, expected_read("gateway", "aside"))


def test_the_next_gateway_writes_the_rows_of_the_journal(copy):
    store, expected = copy.ports.store, expected_next("journal_is_recovered")

    def keys():
        return set(store.list("log")) | set(store.list("quarantine"))

    before = keys()
    losses, error = recover_journal(copy)
    assert_same([asdict(loss) for loss in losses], expected["losses"])
    assert error == expected["error"] == ""
    assert sorted(keys() - before) == expected["new_keys"]
    left = sorted(path.relative_to(copy.state).as_posix() for path in (copy.state / "journal").rglob("*"))
    assert left == expected["left"]
    for model, log in expected["log"].items():
        assert_same(log_of(copy.configs[model], store), renamed(log, LOG), model)
    assert recover_journal(copy) == ([], "")
