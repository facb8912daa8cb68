"""A backtest as one self-contained HTML file, without scripts or external resources."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime

from homeostat.backtesting import (
    BacktestResult,
    EventOutcome,
    WindowResult,
    event_outcome,
    events,
    format_score,
    gain,
    score_gain,
    summarize,
    to_json,
)
from homeostat.backtesting.grid import GridSearch
from homeostat.cli.commands.backtest_table import (
    format_gain,
    gain_sign,
    limit_rows,
    trial_marks,
    trial_settings,
    window_length,
)
from homeostat.figures import POLICY_NAMES, policies_over_time
from homeostat.figures.html import render

_EFFECTS = {
    "better": ("better", "pass"),
    "worse": ("worse", "alert"),
    "no_difference": ("no significant difference", "none"),
    "not_computable": ("too few rows to compare", "none"),
}


def render_page(result: BacktestResult) -> str:
    """Return the report: summary, chart, all policies, the grid search, and every event with its reason."""
    history = result.history
    chart = policies_over_time(to_json(result)["policies"], result.score_title)
    start, end = history.windows[0].actual_start, history.windows[-1].actual_end
    return render(
        "homeostat.cli.commands",
        "backtest_page.html",
        model=result.config.name,
        summary=summarize(result),
        notes=result.notes,
        windows=len(history.windows),
        length=window_length(result),
        period=f"{start:%Y-%m-%d} to {end:%Y-%m-%d}",
        reference_rows=f"{history.reference_rows:,}",
        score=result.score_title,
        chart=base64.b64encode(chart).decode(),
        policies=_policies(result),
        grid=None if result.grid is None else _grid(result, result.grid),
        homeostat_events=_events(result, "homeostat"),
        baseline_events=_events(result, "baseline"),
        created=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    )


@dataclass(frozen=True, slots=True)
class _PolicyRow:
    name: str
    highlighted: bool
    score: str
    gain: str
    gain_style: str
    counts: list[int | str]


def _policies(result: BacktestResult) -> list[_PolicyRow]:
    rows = []
    for name, outcome in result.outcomes.items():
        run, verdicts = outcome.run, [effect.verdict for effect in outcome.promotions]
        difference = None if name == "frozen" else gain(result, outcome)
        rows.append(
            _PolicyRow(
                name=POLICY_NAMES[name],
                highlighted=name == "homeostat",
                score=format_score(result, outcome.score),
                gain=format_gain(result, difference),
                gain_style={1: "good", -1: "bad"}.get(gain_sign(difference), ""),
                counts=[
                    *(run.retrains, run.probes if name == "homeostat" else "-"),
                    *(run.promoted, run.refused, len(run.rolled_back)),
                    *(verdicts.count(verdict) for verdict in ("better", "worse")),
                ],
            )
        )
    for title, score, retrains in limit_rows(result):
        difference = score_gain(result, score)
        style = {1: "good", -1: "bad"}.get(gain_sign(difference), "")
        counts: list[int | str] = [retrains, *("-" for _ in range(6))]
        rows.append(
            _PolicyRow(
                title,
                highlighted=False,
                score=format_score(result, score),
                gain=format_gain(result, difference),
                gain_style=style,
                counts=counts,
            )
        )
    return rows


@dataclass(frozen=True, slots=True)
class _EventRow:
    end: str
    event: str
    result: str
    result_style: str
    reason: str
    effect: str
    effect_style: str
    scores: str
    sentence: str


def _events(result: BacktestResult, policy: str) -> list[_EventRow]:
    outcome = result.outcomes[policy]
    found = [each for name, each in events(result) if name == policy]
    return [_event(result, each, event_outcome(outcome, each)) for each in found]


#: The style of an outcome's word; the others are alerts.
_STYLES = {"promoted": "pass", "no candidate": "not_computable", "under way": "not_computable"}


def _event(result: BacktestResult, event: WindowResult, outcome: EventOutcome) -> _EventRow:
    effect = outcome.effect
    verdict, verdict_style, scores = "", "", ""
    if effect is not None:
        verdict, verdict_style = _EFFECTS[effect.verdict]
        if effect.rows:
            scores = (
                f"{format_score(result, effect.score)} on {effect.rows:,} rows; "
                f"version {effect.previous_version}: {format_score(result, effect.previous_score)}"
            )
    return _EventRow(
        end=f"{event.window.actual_end:%Y-%m-%d %H:%M}",
        event="reinstate" if event.event == "reinstate" else "retrain",
        result=outcome.word,
        result_style=_STYLES.get(outcome.word, "alert"),
        reason=event.reason.replace("_", " "),
        effect=verdict,
        effect_style=verdict_style,
        scores=scores,
        sentence=event.sentence if event.refused else f"{event.sentence} {outcome.reason}".strip(),
    )


@dataclass(frozen=True, slots=True)
class _Grid:
    search: GridSearch
    heads: list[str]
    rows: list[tuple[bool, list[str], str]]  # chosen, cells, marks
    chosen_score: str
    current_score: str


def _grid(result: BacktestResult, grid: GridSearch) -> _Grid:
    score = result.score_title
    return _Grid(
        search=grid,
        heads=["consecutive", "cooldown", "decay", "critical decay", score, "retrains"],
        rows=[
            (
                trial is grid.chosen,
                [*trial_settings(trial), format_score(result, trial.score), str(trial.retrains)],
                trial_marks(trial, grid),
            )
            for trial in grid.trials
        ],
        chosen_score=format_score(result, grid.chosen_test.score),
        current_score=format_score(result, grid.current_test.score),
    )
