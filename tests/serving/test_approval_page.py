"""A signed link opens a page; only its form decides, once."""

from dataclasses import replace
from datetime import timedelta

import pytest

from homeostat.core.rollout import Phase
from homeostat.rollouts.approval_link import ApprovalClaims, ApprovalLinks
from serving.gateway_harness import TOKEN, make_gateway_fixture, model_config, serving, until

LINKS = ApprovalLinks("s" * 32)


@pytest.fixture
def waiting(tmp_path):
    """A gateway with a first version that waits for approval by anna or ben."""
    config = model_config(approval="required", approvers=["anna", "ben", "operator"])
    made = make_gateway_fixture(tmp_path, config)
    made.settings = replace(made.settings, approval_secret=LINKS.secret)
    made.begin(made.version(), approval=True, first_waits=True)
    with serving(made) as client:
        until(lambda: made.traffic().active.phase is Phase.WAITING, "the version waits for a person")
        yield made, client


def link(made, approver="anna", rollout="rollout-1", **more):
    expires = made.ports.clock.now() + more.pop("lasts", timedelta(days=1))
    return f"/approvals/{LINKS.token(ApprovalClaims('pump', rollout, '1', approver, expires))}"


def test_opening_a_link_changes_nothing_and_its_form_approves_once(waiting):
    made, client = waiting
    path = link(made)
    for _ in range(3):
        shown = client.http.get(path)
        assert shown.status_code == 200
        assert "Promote pump version 1 to champion?" in shown.text
        assert "anna; this is recorded" in shown.text
    assert client.http.head(path).status_code == 405
    assert made.traffic().active.phase is Phase.WAITING
    assert shown.headers["referrer-policy"] == "no-referrer"
    assert "default-src 'none'" in shown.headers["content-security-policy"]
    done = client.http.post(path, data={"decision": "approve"})
    assert (done.status_code, "Version 1 of pump is approved." in done.text) == (200, True)
    assert made.traffic().champion.version == "1"
    assert made.ports.ledger.events("pump")[-1].by == "anna, signed link"
    again = client.http.post(path, data={"decision": "decline"})
    assert again.status_code == 409
    assert "no longer waits for approval: it is champion" in again.text
    assert made.traffic().champion.version == "1"
    assert client.http.get(path).status_code == 409
    audit = (made.settings.state / "audit.jsonl").read_text()
    assert "anna, signed link" in audit
    assert path.rpartition("/")[2] not in audit, "the log must not hold what opens the page"


def test_a_link_declines(waiting):
    made, client = waiting
    done = client.http.post(link(made, "ben"), data={"decision": "decline"})
    assert "Version 1 of pump is declined." in done.text
    assert made.traffic().rollout.phase is Phase.ROLLED_BACK
    assert made.traffic().rollout.reason == "declined by ben, signed link"


def test_what_is_no_valid_link_changes_nothing(waiting):
    made, client = waiting
    valid = link(made)
    tries = {
        valid[:-4] + "AAAA": 403,
        link(made, lasts=-timedelta(seconds=1)): 403,
        link(made, "eve"): 409,
        link(made, rollout="rollout-0"): 409,
        "/approvals/x": 403,
    }
    for path, status in tries.items():
        found = client.http.post(path, data={"decision": "approve"})
        assert (found.status_code, "Nothing was changed" in found.text) == (status, True), path
    assert client.http.post(valid, data={"decision": "perhaps"}).status_code == 422
    assert client.http.post(valid).status_code == 422
    assert made.traffic().active.phase is Phase.WAITING


def test_without_the_secret_links_are_off(tmp_path):
    made = make_gateway_fixture(tmp_path)
    with serving(made) as client:
        found = client.http.get(link(made))
    assert found.status_code == 403
    assert "set HOMEOSTAT_APPROVAL_SECRET" in found.text


def test_a_token_approves_only_if_it_has_the_name_of_an_approver(tmp_path):
    config = model_config(approval="required", approvers=["anna"])
    made = make_gateway_fixture(tmp_path, config)
    made.begin(made.version(), approval=True, first_waits=True)
    with serving(made) as client:
        until(lambda: made.traffic().active.phase is Phase.WAITING, "the version waits for a person")
        refused = client.order("models/pump/approve", token=TOKEN)
        assert refused.status_code == 409
        assert "only anna may approve or promote" in refused.json()["message"]
        assert client.order("models/pump/promote", {"version": "1"}).status_code == 409
    assert made.traffic().active.phase is Phase.WAITING
