"""The cards of the gateway's own page: the state of each model's health, what serves, and the counters."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from html import unescape

import pytest

from health_story import END, HOUR, NOW, promoted, record, report, save_window, summary, write
from homeostat.config.errors import Unavailable
from homeostat.core.rollout import Phase
from homeostat.core.rollout.transitions import enter
from serving.gateway_harness import make_gateway_fixture, serving


@pytest.fixture
def setup(tmp_path):
    """A gateway at the time of the story that tests/health_story.py tells."""
    found = make_gateway_fixture(tmp_path)
    found.ports.clock.ahead = NOW - datetime.now(UTC)
    return found


def overview(client):
    """The text of the page's fragment, without its tags."""
    html = client.http.get("/overview").text
    return html, " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def test_a_failing_model_is_not_green(setup):
    setup.begin(setup.version())
    newest = summary(record(version="1", performance="alert", score=0.22), report("alert", 0.22, 0.93))
    save_window(setup.ports.ledger, "pump", newest)
    promoted(setup.ports.ledger, "elsewhere", "1", END)  # no model of this gateway
    save_window(setup.ports.ledger, "elsewhere", newest)
    with serving(setup) as client:
        client.ready()
        html, text = overview(client)
        row = client.http.get("/health/models").json()["models"]
        row = next(each for each in row if each["model"] == "pump")
    assert row["state"] == "failing"
    assert f'<a class="badge bad" href="/fleet?model=pump" title="{row["sentence"]}">' in unescape(html)
    assert "✖ failing" in text
    assert row["sentence"] in text
    assert 'data-tone="bad"' in html
    assert 'data-text="gateway ok, 1 model needs attention"' in html


def test_a_healthy_model_is_green(setup):
    setup.begin(setup.version())
    save_window(setup.ports.ledger, "pump", summary(record(version="1")))
    with serving(setup) as client:
        client.ready()
        html, text = overview(client)
    assert '<a class="badge good"' in html
    assert 'data-text="gateway ok" data-tone="good"' in html
    assert "Version 1: Serves all traffic. First version" in text
    assert "stays loaded" not in text, "there is no previous version"


def test_a_model_without_a_version_says_so_once(setup):
    with serving(setup) as client:
        _, text = overview(client)
    assert text.count("No champion yet") + text.count("no champion") == 1
    assert "homeostat retrain pump" in text
    assert "● empty" in text


def test_a_candidate_has_its_share(setup):
    setup.begin(setup.version())
    setup.begin(setup.version())
    ledger, now = setup.ports.ledger, setup.ports.clock.now()
    traffic = ledger.read("pump")
    plan = replace(traffic.rollout.plan, steps=(0.5,), step_duration=HOUR)
    write(ledger, enter(traffic, replace(traffic.rollout, plan=plan), Phase.CANARY, now, "fine"), now)
    with serving(setup) as client:
        client.ready()
        _, text = overview(client)
    assert "Version 2: Serves a sticky share of 50% of the traffic. Fine." in text
    assert "candidate 50 %" in text


def test_counters_of_predictions_are_called_so(setup):
    setup.begin(setup.version())
    with serving(setup) as client:
        client.ready()
        _, text = overview(client)
    assert "0 predictions out of range" in text
    assert "0 predictions NaN" in text


def test_the_page_is_shown_while_the_ledger_is_away(setup, monkeypatch):
    setup.begin(setup.version())
    with serving(setup) as client:
        client.ready()

        def away(*_):
            raise Unavailable("the ledger does not respond")

        monkeypatch.setattr(setup.ports.ledger, "fleet", away)
        html, text = overview(client)
    assert "badge" not in html
    assert "Version 1: Serves all traffic." in text


def test_names_and_sentences_never_become_markup(setup):
    setup.begin(setup.version())
    evil = "<img src=x>"
    save_window(setup.ports.ledger, "pump", summary(record(version="1"), findings=(evil,)))
    with serving(setup) as client:
        client.ready()
        html, _ = overview(client)
    assert evil not in html
    assert "&lt;img src=x&gt;" in html
