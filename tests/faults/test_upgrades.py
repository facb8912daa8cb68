"""An upgrade in the middle of a rollout: records of an earlier form are read and recomputed.

``recorded/`` holds a whole story per form, as that form wrote it: never rewritten, only added to.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
import sqlalchemy as sa

from homeostat.adapters import open_ledger
from homeostat.core.rollout import EventKind, Phase, Tally, Traffic, decide_rollout, recompute_all
from homeostat.core.rollout.evidence import evidence_from_json
from homeostat.core.rollout.transitions import is_manual

FORMS = sorted((Path(__file__).parent / "recorded").glob("ledger-form-*.json"))


@pytest.fixture(params=FORMS, ids=lambda path: path.stem)
def recorded(request):
    return json.loads(request.param.read_text())


def within(old, new):
    """Whether everything that the old form says is said by the new one, which may say more."""
    if isinstance(old, dict):
        return isinstance(new, dict) and all(k in new and within(v, new[k]) for k, v in old.items())
    if isinstance(old, list):
        return len(old) == len(new) and all(within(a, b) for a, b in zip(old, new, strict=True))
    return old == new


def test_every_recorded_state_is_read_completely(recorded):
    assert {"promoted", "begun", "shadow", "extended", "canary", "rolled_back"} <= {
        event["kind"] for event in recorded["events"]
    }
    for event in recorded["events"]:
        assert within(event["traffic"], Traffic.from_json(event["traffic"]).to_json())


def test_every_recorded_decision_is_made_again(recorded):
    events = [
        SimpleNamespace(**event | {"at": datetime.fromisoformat(event["at"])}) for event in recorded["events"]
    ]
    found = recompute_all("pump", events)
    assert [each.difference for each in found] == [""] * len(found)
    assert sum(each.decided for each in found) >= 5


def test_a_rollout_under_way_continues_where_it_was(recorded):
    traffic = Traffic.from_json(recorded["events"][-1]["traffic"])
    assert traffic.active is not None
    now = datetime.fromisoformat(recorded["now"])
    step = decide_rollout(traffic, evidence_from_json(recorded["evidence"]), now).transition
    assert step.kind == recorded["next"]["kind"]
    expected, found = recorded["next"]["traffic"], step.traffic.to_json()
    # The reason is this release's own wording, of the same facts.
    assert expected["rollout"].pop("reason").startswith("errors failed: 3 of 3 ")
    assert found["rollout"]["reason"].startswith("errors failed: 3 of 3 ")
    assert within(expected, found)


def test_a_ledger_of_an_earlier_form_is_opened_and_written(recorded, tmp_path):
    """As it lies on disk: the tables that the first form had, and no others."""
    url = f"sqlite:///{tmp_path}/ledger.db"
    engine = sa.create_engine(url)
    with engine.begin() as db:
        db.execute(
            sa.text(
                "CREATE TABLE homeostat_traffic (model VARCHAR(64) PRIMARY KEY, revision BIGINT NOT NULL,"
                " state TEXT NOT NULL)"
            )
        )
        db.execute(
            sa.text(
                "CREATE TABLE homeostat_events (model VARCHAR(64), revision BIGINT, at VARCHAR(40) NOT NULL,"
                " kind VARCHAR(64) NOT NULL, reason TEXT NOT NULL, by TEXT NOT NULL, traffic TEXT NOT NULL,"
                " evidence TEXT NOT NULL, PRIMARY KEY (model, revision))"
            )
        )
        for event in recorded["events"]:
            row = {name: event[name] for name in ("revision", "at", "kind", "reason", "by")}
            row |= {name: json.dumps(event[name]) for name in ("traffic", "evidence")}
            db.execute(
                sa.text(
                    "INSERT INTO homeostat_events VALUES ('pump', :revision, :at, :kind, :reason, :by,"
                    " :traffic, :evidence)"
                ),
                row,
            )
        last = recorded["events"][-1]
        db.execute(
            sa.text("INSERT INTO homeostat_traffic VALUES ('pump', :revision, :state)"),
            {"revision": last["revision"], "state": json.dumps(last["traffic"])},
        )
    engine.dispose()
    ledger = open_ledger(url)
    traffic = ledger.read("pump")
    assert traffic == Traffic.from_json(last["traffic"])
    now = datetime.fromisoformat(recorded["now"])
    ledger.add_evidence(
        "pump", traffic.rollout.id, "g", now, evidence_from_json(recorded["evidence"]), batch=1
    )
    step = decide_rollout(traffic, ledger.evidence("pump", traffic.rollout.id), now).transition
    written = ledger.write(step.traffic, kind=step.kind, reason=step.reason, by="g", at=now)
    assert written.revision == last["revision"] + 1
    assert len(ledger.events("pump")) == len(recorded["events"]) + 1
    ledger.close()


def test_a_state_written_before_some_keys_existed_is_read_with_their_defaults(recorded):
    raw = json.loads(json.dumps(recorded["events"][-1]["traffic"]))
    for name in ("extended", "approved", "forced", "reason", "share"):
        raw["rollout"].pop(name)
    raw["rollout"]["plan"].pop("approval")
    raw.pop("promoted_at")
    traffic = Traffic.from_json(raw)
    assert (traffic.rollout.extended, traffic.rollout.plan.approval) == (False, False)
    assert traffic.rollout.phase is Phase.CANARY


def test_unknown_keys_of_a_later_form_are_ignored(recorded):
    raw = json.loads(json.dumps(recorded["events"][-1]["traffic"]))
    known = Traffic.from_json(raw)
    raw["region"] = raw["rollout"]["mood"] = raw["rollout"]["plan"]["patience"] = 7
    raw["champion"]["colour"] = "red"
    assert Traffic.from_json(raw) == known
    later = {key: value | {"smiles": 3} for key, value in recorded["evidence"].items()}
    assert evidence_from_json(later) == evidence_from_json(recorded["evidence"])


def test_counts_of_gateways_of_two_releases_add_up():
    """An upgrade gateway by gateway: the ledger folds counts of both key names into one row."""
    assert Tally.from_json({"answers": 5, "nan": 1, "rows": 3}) == Tally(rows=8, nan=1)


def test_old_event_kinds_and_manual_ids_are_read():
    assert EventKind("clock") is EventKind.CLOCK_RESET
    assert is_manual("by-hand-3-2026-03-01T00:00:00+00:00")
    with pytest.raises(ValueError, match="is not a valid EventKind"):
        EventKind("unheard of")
