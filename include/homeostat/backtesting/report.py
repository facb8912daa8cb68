"""A backtest's result as JSON, and its summary in sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from homeostat.backtesting.grid import GridSearch
from homeostat.backtesting.policy_run import RolledBack, WindowResult
from homeostat.backtesting.promotion_effects import PromotionEffect
from homeostat.backtesting.rollout_replay import REVERSE_SHADOW
from homeostat.backtesting.run import BacktestResult, PolicyOutcome
from homeostat.core.performance import higher_is_better


def to_json(result: BacktestResult) -> dict[str, Any]:
    """Return plain JSON; the same data always gives the same JSON."""
    history = result.history
    seconds = f"{history.length.total_seconds():.0f}s"
    raw: dict[str, Any] = {
        "model": result.config.name,
        "windows": len(history.windows),
        "window": f"{history.rows_per_window}rows" if history.rows_per_window else seconds,
        "reference_rows": history.reference_rows,
        "score_name": result.score_name,
        "score_title": result.score_title,
        "higher_is_better": higher_is_better(result.score_name),
        "policies": {name: _policy(result, outcome) for name, outcome in result.outcomes.items()},
        "worse_promotions": {
            name: [effect.to_json() for effect in outcome.promotions if effect.verdict == "worse"]
            for name, outcome in result.outcomes.items()
        },
        "slices": [each.to_json() for each in result.slices],
        "recommendation": result.assessment.recommendation.to_json(),
        "limit": result.assessment.to_json(),
        "shifts": None if result.shifts is None else result.shifts.to_json(),
        "summary": summarize(result),
        "pace": None if result.pace is None else result.pace.to_json(),
        "notes": result.notes,
    }
    if result.grid is not None:
        raw["grid"] = result.grid.to_json()
    return raw


def _policy(result: BacktestResult, outcome: PolicyOutcome) -> dict[str, Any]:
    run = outcome.run
    return {
        "score": outcome.score,
        "score_name": result.score_name,
        "retrains": run.retrains,
        "probes": run.probes,
        "promoted": run.promoted,
        "refused": run.refused,
        "rolled_back": [each.to_json() for each in run.rolled_back],
        "reinstated": sum(
            each.event == "reinstate" and event_outcome(outcome, each).promoted for each in run.results
        ),
        "promotions": [effect.to_json() for effect in outcome.promotions],
        "per_window": [each.to_json() | {"outcome": _outcome_word(outcome, each)} for each in run.results],
    }


def summarize(result: BacktestResult) -> list[str]:
    """Return sentences: a recommendation, Homeostat's decisions, score, promotions and skill, the grid."""
    lines = [
        result.assessment.recommendation.sentence,
        _decisions(result),
        _rolled_back(result),
        _scores(result),
        _effects(result),
        _always_worse(result),
        result.assessment.sentence,
        "" if result.shifts is None else result.shifts.sentence(partial(format_score, result)),
    ]
    if result.grid is not None:
        lines.append(_grid(result, result.grid))
    return [line for line in lines if line]


def gain(result: BacktestResult, outcome: PolicyOutcome, other: str = "frozen") -> float | None:
    """Return how much better a policy scored than another (positive: better, for every metric)."""
    return score_gain(result, outcome.score, other)


def score_gain(result: BacktestResult, score: float | None, other: str = "frozen") -> float | None:
    """Return how much better a score is than another policy's (positive: better, for every metric)."""
    reference = result.outcomes[other].score
    if score is None or reference is None:
        return None
    return score - reference if higher_is_better(result.score_name) else reference - score


def format_score(result: BacktestResult, value: float | None) -> str:
    """Format a score for people; "-" for None."""
    if value is None:
        return "-"
    if higher_is_better(result.score_name):
        return f"{value:.3f}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def events(result: BacktestResult) -> Iterable[tuple[str, WindowResult]]:
    """Yield (policy, window result) of every retrain and reinstatement, Homeostat's first.

    Probes that no retrain followed are counted only.
    """
    for name in ("homeostat", "baseline"):
        for each in result.outcomes[name].run.results:
            if each.event not in (None, "probe"):
                yield name, each


@dataclass(frozen=True, slots=True)
class EventOutcome:
    """What became of a retrain: a word, the reason of a refusal, the promotion's effect if there was one."""

    word: str
    reason: str = ""
    effect: PromotionEffect | None = None

    @property
    def promoted(self) -> bool:
        """Whether its version became champion, for however long."""
        return self.word.startswith("promoted")


def event_outcome(outcome: PolicyOutcome, event: WindowResult) -> EventOutcome:
    """Return what became of a retrain or reinstatement, in this window or a later one."""
    if event.refused:
        word = "no candidate" if event.event == "retrain" and not event.fitted else "refused"
        return EventOutcome(word, event.refused)
    later = outcome.run.results[event.window.index :]
    # In the event's own window, the candidate of an earlier retrain may have been promoted. A policy without
    # rollouts names no candidate: it promotes at once.
    effect = next(
        (
            each
            for each in outcome.promotions
            if event.candidate in ("", each.version) and each.window.index >= event.window.index
        ),
        None,
    )
    for each in later:
        for rolled_back in each.rolled_back:
            if rolled_back.version != event.candidate:
                continue
            if effect is None or rolled_back.stage != REVERSE_SHADOW:
                return EventOutcome(f"rolled back in {rolled_back.stage}", rolled_back.reason)
            return EventOutcome("promoted, then rolled back", rolled_back.reason, effect)
        if effect is not None and each.promoted and each.window.index > effect.window.index:
            break
    return EventOutcome("under way") if effect is None else EventOutcome("promoted", effect=effect)


def _outcome_word(outcome: PolicyOutcome, event: WindowResult) -> str:
    """Return what became of a window's retrain or reinstatement; "" without one."""
    return "" if event.event in (None, "probe") else event_outcome(outcome, event).word


def _decisions(result: BacktestResult) -> str:
    results = result.outcomes["homeostat"].run.results
    fired = [each for each in results if each.event not in (None, "probe")]
    probes = result.outcomes["homeostat"].run.probes
    probed = f" {probes} probe{'s' * (probes != 1)} showed that a retrain does not pay." if probes else ""
    if not fired:
        return f"Homeostat would not have retrained in {len(results)} windows.{probed}"
    parts = [_counts([each for each in fired if each.event == "retrain"], "retrain")]
    reinstatements = [each for each in fired if each.event == "reinstate"]
    if reinstatements:
        parts.append(_counts(reinstatements, "reinstatement") + " of a former champion")
    reasons = Counter(each.reason.replace("_", " ") for each in fired)
    why = ", ".join(f"{reason} ({count})" for reason, count in reasons.most_common())
    return f"Homeostat, in {len(results)} windows: {'; '.join(parts)}. Reasons: {why}.{probed}"


def _rolled_back(result: BacktestResult) -> str:
    """Return how many versions the rollouts promoted and rolled back, and the reason of the last rollback."""
    run = result.outcomes["homeostat"].run
    found = run.rolled_back
    if not found:
        return ""
    stages = Counter(_stage(each) for each in found)
    where = ", ".join(f"{count} in {stage}" for stage, count in stages.most_common())
    last = found[-1]
    return (
        f"{len(found)} version{'s' if len(found) > 1 else ''} would have been rolled back ({where})."
        f" The last, version {last.version} in {last.stage}: {last.reason}."
    )


def _stage(rolled_back: RolledBack) -> str:
    """Return the stage without the number of its step."""
    return rolled_back.stage.split(" step ")[0]


def _counts(results: Sequence[WindowResult], what: str) -> str:
    failed = sum(each.event == "retrain" and not each.fitted for each in results)
    refused = sum(bool(each.refused) for each in results) - failed
    parts = [f"{len(results) - refused - failed} through the gate"]
    parts += [f"{refused} refused at the gate"] if refused else []
    parts += [f"{failed} without a candidate"] if failed else []
    return f"{len(results)} {what}{'' if len(results) == 1 else 's'} ({', '.join(parts)})"


def _scores(result: BacktestResult) -> str:
    outcome = result.outcomes["homeostat"]
    frozen, always = result.outcomes["frozen"], result.outcomes["always"]
    name = result.score_title
    if outcome.score is None or frozen.score is None:
        return f"The {name} cannot be computed: the rows after the reference have no usable labels."
    return (
        f"Its {name} would have been {format_score(result, outcome.score)}, compared with "
        f"{format_score(result, frozen.score)} without any retrain and {format_score(result, always.score)} "
        f"with {always.run.retrains} retrains."
    )


def _effects(result: BacktestResult) -> str:
    promotions = result.outcomes["homeostat"].promotions
    if not promotions:
        return ""
    worse = [effect for effect in promotions if effect.verdict == "worse"]
    better = sum(effect.verdict == "better" for effect in promotions)
    counts = f"{better} of {len(promotions)} promotions improved predictions significantly, {len(worse)}"
    if not worse:
        return f"{counts} made them worse."
    worst = max(worse, key=lambda effect: _loss(result, effect))
    return (
        f"{counts} made them worse. The worst was version {worst.version} of "
        f"{worst.window.actual_end:%Y-%m-%d}: {format_score(result, worst.score)} on the {worst.rows:,} rows "
        f"that it served; version {worst.previous_version} would have scored "
        f"{format_score(result, worst.previous_score)} on them."
    )


def _loss(result: BacktestResult, effect: PromotionEffect) -> float:
    if effect.score is None or effect.previous_score is None:
        return 0.0
    loss = effect.previous_score - effect.score
    return loss if higher_is_better(result.score_name) else -loss


def _always_worse(result: BacktestResult) -> str:
    """Return a warning when retraining after every window scores no better than never retraining."""
    always = result.outcomes["always"]
    difference = gain(result, always)
    if difference is None or difference > 0:
        return ""
    return (
        f"Retraining after every window does not help on this history: {format_score(result, always.score)}, "
        f"compared with {format_score(result, result.outcomes['frozen'].score)} without any retrain."
    )


def _grid(result: BacktestResult, grid: GridSearch) -> str:
    if grid.chosen.current:
        return (
            f"Of {len(grid.trials)} combinations of trigger settings, the model's own scored best on the "
            f"first {grid.selection_windows} windows."
        )
    settings = ", ".join(f"{name}: {value}" for name, value in grid.chosen.settings.items())
    return (
        f"Of {len(grid.trials)} combinations of trigger settings, {{{settings}}} scored best on the first "
        f"{grid.selection_windows} windows. On the other {grid.test_windows} windows, which were not used to "
        f"choose it, it scores {format_score(result, grid.chosen_test.score)}; the model's own settings "
        f"score {format_score(result, grid.current_test.score)}."
    )
