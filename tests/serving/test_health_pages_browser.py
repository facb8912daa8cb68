"""The pages of model health in a real browser: by mouse and keyboard, light and dark, wide and narrow."""

import json
import os
import re
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from health_story import END, HOUR, NOW, failing_model, promoted, record, report, save_window, summary
from homeostat.core.model_health import FeatureEffect
from homeostat.serving.auth.tokens import Token
from serving.gateway_harness import make_gateway_fixture, serving

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
AXE = (Path(__file__).parents[1] / "vendor" / "axe.min.js").read_text(encoding="utf-8")
AXE_RUN = """async () => {
    const rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"];
    const found = (await axe.run(document, {runOnly: rules})).violations;
    return found.map(rule => `${rule.id}: ${rule.nodes.map(node => node.target.join(" ")).slice(0, 5)}`);
}"""
#: Keeps the texts that are drawn on canvases.
DRAWN = """window.drawn = []; const fillText = CanvasRenderingContext2D.prototype.fillText;
CanvasRenderingContext2D.prototype.fillText = function (text, ...more) {
    window.drawn.push(String(text)); return fillText.call(this, text, ...more);
};"""
STEP = timedelta(seconds=20)
EVIL = "<img src=x onerror=document.title='run'>"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: install Debian's package chromium"),
]


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium has none as root
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=sandbox)
        yield found
        found.close()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    """A gateway whose ledger has a failing model, a quiet one, a hostile one, and one without checks."""
    setup = make_gateway_fixture(tmp_path_factory.mktemp("gateway"))
    setup.ports.clock.ahead = NOW - datetime.now(UTC)
    setup.settings = replace(setup.settings, airflow="http://airflow.test")
    setup.begin(setup.version())
    ledger = setup.ports.ledger
    failing_model(ledger, "failing")
    promoted(ledger, "quiet", "2", END - HOUR)
    save_window(ledger, "quiet", summary())
    promoted(ledger, "quick", "2", END - HOUR)
    for number in range(6):  # checks every 20 s, the last one a minute late
        made = record(NOW - (9 - number) * STEP, score=1.0)
        found = summary(made, report("pass", 0.99), every=STEP, score_error=0.1, checked_at=made.window_end)
        save_window(ledger, "quick", found)
    promoted(ledger, "hostile", "2", END - HOUR)
    save_window(ledger, "hostile", summary(features={EVIL: FeatureEffect(0.1, "pass")}, findings=(EVIL,)))
    with serving(setup) as found:
        found.ready()
        yield found


@pytest.fixture
def errors():
    return []


@pytest.fixture
def open_page(browser, gateway, errors):
    """Open a page in a context of its own; what its console reports is collected."""
    contexts = []

    def opened(path="", *, width=1400, scheme="light", page_name="fleet", url=None, shows="main h1"):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda found: errors.append(found.text) if found.type == "error" else None)
        page.on("pageerror", lambda found: errors.append(str(found)))
        page.add_init_script(DRAWN)
        page.goto(f"{url or gateway.url}/{page_name}{path}")
        page.wait_for_selector(shows)
        return page

    yield opened
    for context in contexts:
        context.close()


@pytest.mark.parametrize(
    "path", ["", "?model=failing", "?model=quick"], ids=["fleet", "model", "model without versions"]
)
@pytest.mark.parametrize("width", [1400, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_is_accessible_fits_and_breaks_no_policy(open_page, errors, tmp_path, path, width, scheme):
    page = open_page(path, width=width, scheme=scheme)
    page.screenshot(path=tmp_path / "page.png", full_page=True)  # to look at
    session = page.context.new_cdp_session(page)
    session.send("Runtime.evaluate", {"expression": AXE})  # not by a script element, which the policy forbids
    assert page.evaluate(AXE_RUN) == []
    assert "null" not in page.locator("body").inner_text()
    wide, room = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert wide <= room
    assert errors == []


def test_the_first_screen_answers_what_since_when_why_done_and_left(open_page):
    page = open_page("?model=failing")
    hero = page.locator(".hero").inner_text()
    assert "failing" in hero
    assert "accuracy 0.46 over the last 10 checks, newest 0.46, expected 0.76" in hero
    assert re.search(r"Since 2026-03-10 04:00 UTC \(8 h \d\d min ago\)", hero)
    boxes = {box.locator("h2").inner_text(): box.inner_text() for box in page.locator(".box").all()}
    assert list(boxes) == ["Why", "What was done", "Left for a person", "Next"]
    assert "trigger.critical_decay: 0.15" in boxes["Why"]
    assert "Candidate refused" in boxes["What was done"]
    assert "Version 2 promoted" in boxes["What was done"]
    assert "Retrains have not helped" in boxes["Left for a person"]
    assert re.search(r"2026-03-10 13:00 UTC \(in \d+ min\)", boxes["Next"])
    bottom = max(box.bounding_box()["y"] + box.bounding_box()["height"] for box in page.locator(".box").all())
    assert bottom <= 900, "without scrolling"


def test_charts_are_drawn_and_read_by_the_arrow_keys(open_page):
    page = open_page("?model=failing")
    assert page.locator("figure canvas").count() == 4
    drawn = "c => new Set(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).size > 20"
    assert all(canvas.evaluate(drawn) for canvas in page.locator("figure canvas").all())
    score = page.locator("figure").first
    assert "2026-03-10 12:00 UTC" in score.locator("figcaption").inner_text()
    score.locator(".plot").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    text = score.locator("figcaption").inner_text()
    assert "2026-03-08 14:00 UTC" in text
    assert "accuracy 0.75" in text
    assert "expected 0.76" in text


def test_windows_of_seconds_have_seconds_and_no_axis_leaves_the_metrics_range(open_page):
    page = open_page("?model=quick")
    drawn = page.evaluate("window.drawn")
    times = [text for text in drawn if re.fullmatch(r"\d\d:\d\d(:\d\d)?", text)]
    assert times
    assert all(re.fullmatch(r"12:(27|28):\d0", text) for text in times), times
    scores = [float(text) for text in drawn if re.fullmatch(r"[01](\.\d+)?", text)]
    assert max(scores) == 1.0
    assert page.locator(".ends").inner_text().split("\n") == [
        "2026-03-10 12:27:00",
        "2026-03-10 12:28:40 UTC",
    ]
    assert "2026-03-10 12:28:40 UTC" in page.locator("figcaption").first.inner_text()
    upcoming = page.locator(".box", has=page.get_by_role("heading", name="Next")).inner_text()
    assert re.search(r"Due since 2026-03-10 12:29 UTC \(\d+ (s|min) ago\)", upcoming)


@pytest.mark.parametrize("width", [1400, 400])
def test_the_gateways_own_page_has_the_badge_of_the_page_of_health(open_page, errors, tmp_path, width):
    badge = open_page("?model=pump").locator(".hero .badge").first
    words, colours = badge.inner_text(), badge.evaluate("n => getComputedStyle(n).backgroundColor")
    page = open_page(page_name="", width=width, shows="#overview article")
    page.screenshot(path=tmp_path / "page.png", full_page=True)  # to look at
    own = page.locator("#overview .badge")
    assert own.inner_text() == words
    assert own.evaluate("n => getComputedStyle(n).backgroundColor") == colours
    wide, room = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert wide <= room
    own.click()
    page.wait_for_selector(".hero")
    assert page.url.endswith("/fleet?model=pump")
    assert errors == []


def test_a_cell_of_the_heat_map_opens_reference_against_window(open_page):
    page = open_page("?model=failing")
    strip = page.get_by_role("slider", name="a, effect by window")
    assert "effect 0.6, alert" in strip.get_attribute("aria-valuetext")
    strip.focus()
    page.keyboard.press("ArrowLeft")
    assert "2026-03-10 11:00 UTC, effect 0.6, alert" in page.locator(".detail").inner_text()
    assert page.locator(".detail a").first.inner_text() == "The run of its day in MLflow"
    page.keyboard.press("ArrowRight")  # MLflow has one figure a day, the last that was drawn
    with page.expect_popup() as opened:
        page.keyboard.press("Enter")
    assert opened.value.url.endswith("/runs/abc/artifacts/reference_against_window.png?q=1") or (
        "chrome-error" in opened.value.url  # the address does not resolve
    )
    assert page.locator(".detail a").first.get_attribute("href") == (
        "http://mlflow.test/#/experiments/1/runs/abc/artifacts/reference_against_window.png?q=1"
    )


def test_watched_slices_are_a_table_the_worst_first(open_page):
    page = open_page("?model=failing")
    shown = page.get_by_role("region", name="The watched slices in the newest window")
    rows = [row.locator("td").all_inner_texts() for row in shown.locator("tbody tr").all()]
    assert rows == [
        [
            "colour=red",
            "200",
            "90",
            "0.31",
            "0.7",
            "0.39",
            "alert",
            "alert (a)",
            "accuracy 0.31 over 90 rows",
        ],
        ["colour (rest)", "200", "0", "–", "–", "–", "pending", "alert (a)", "no labelled rows yet"],
    ]
    assert shown.locator("thead th").all_inner_texts()[:5] == [
        "Slice",
        "Rows",
        "Labelled",
        "accuracy",
        "Expected",
    ]


def test_the_charts_are_there_as_a_table(open_page, gateway):
    page = open_page("?model=failing&range=7d")
    page.get_by_text("The charts as a table").click()
    rows = page.locator("details table tbody tr")
    rows.first.wait_for()  # details say that they were opened a moment later
    series = gateway.http.get("/health/models/failing?range=7d").json()["series"]
    assert rows.count() == len(series["time"]) == 48
    cells = rows.first.locator("td").all_inner_texts()
    assert cells[:5] == ["2026-03-10 12:00", "2", "0.46", "0.44 to 0.48", "0.76"]


def test_the_fleet_is_filtered_and_sorted_by_keyboard(open_page):
    page = open_page()

    def names():
        return page.locator("tbody th a").all_inner_texts()

    assert names() == ["failing", "hostile", "pump", "quick", "quiet"]
    assert "failing: Predictions have become worse" in page.locator(".lead").inner_text()
    page.get_by_label("Filter").fill("QUIET")
    assert names() == ["quiet"]
    page.get_by_label("Filter").fill("")
    page.get_by_role("button", name="Warning 1").press("Enter")
    assert names() == ["hostile"]
    page.get_by_role("button", name="Warning 1").press("Enter")
    page.get_by_role("button", name="Model", exact=True).press("Enter")
    page.get_by_role("button", name="Model", exact=True).press("Enter")
    assert names() == ["quiet", "quick", "pump", "hostile", "failing"]
    assert page.locator("thead th").first.get_attribute("aria-sort") == "descending"
    page.get_by_role("link", name="failing").click()
    page.wait_for_selector(".hero")
    assert page.title() == "failing: failing"


def test_names_of_features_never_become_markup(open_page, errors):
    page = open_page("?model=hostile")
    assert EVIL in page.locator(".strips").inner_text()
    assert EVIL in page.locator(".hero").inner_text()
    assert page.locator("main img").count() == 0
    assert page.title() == "hostile: broken input"
    assert errors == []


def test_links_lead_to_airflow_and_mlflow(open_page):
    page = open_page("?model=failing")
    hrefs = [link.get_attribute("href") for link in page.locator("main a").all()]
    assert "http://airflow.test/dags/retrain__failing/runs/asset__1" in hrefs
    assert "http://airflow.test/dags/drift_check__failing" in hrefs
    assert "http://mlflow.test/#/runs/r1" in hrefs


def test_where_reading_needs_a_token_the_page_asks_for_it(open_page, tmp_path):
    setup = make_gateway_fixture(tmp_path)
    entries = json.dumps([Token.of("viewer", "the-secret", ["read"]).entry()])
    setup.settings = replace(setup.settings, tokens=entries, require_token=("read",))
    setup.begin(setup.version())
    with serving(setup) as guarded:
        page = open_page(url=guarded.url, shows="#login:not([hidden])")
        assert page.locator("tbody").count() == 0
        page.locator("#token").fill("the-secret")
        page.keyboard.press("Enter")
        page.wait_for_selector("tbody")
        assert page.locator("tbody th a").all_inner_texts() == ["pump"]
        assert page.locator("#login").is_hidden()
