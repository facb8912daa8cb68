"""A backtest as JSON for programs, and as sentences for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from homeostat.backtest.grid import Grid
from homeostat.backtest.promotion_effects import Judged
from homeostat.backtest.run import Backtest, Outcome
from homeostat.core.performance import higher_is_better


def to_json(found: Backtest) -> dict[str, Any]:
    """Plain JSON; the same data gives the same, whenever and wherever it is run."""
    stream = found.stream
    whole: dict[str, Any] = {
        "model": found.config.name,
        "windows": len(stream.windows),
        "window": f"{stream.by_rows}rows" if stream.by_rows else f"{stream.length.total_seconds():.0f}s",
        "reference_rows": stream.reference_rows,
        "score_name": found.score_name,
        "higher_is_better": higher_is_better(found.score_name),
        "policies": {name: _policy(found, outcome) for name, outcome in found.outcomes.items()},
        "harm": {
            name: [judged.to_json() for judged in outcome.promotions if judged.verdict == "worse"]
            for name, outcome in found.outcomes.items()
        },
        "sentences": sentences(found),
        "notes": found.notes,
    }
    if found.grid is not None:
        whole["grid"] = found.grid.to_json()
    return whole


def _policy(found: Backtest, outcome: Outcome) -> dict[str, Any]:
    played = outcome.played
    return {
        "score": outcome.score,
        "score_name": found.score_name,
        "retrains": played.retrains,
        "promoted": played.promoted,
        "refused": played.refused,
        "recalled": sum(turn.event == "recall" and turn.promoted for turn in played.turns),
        "promotions": [judged.to_json() for judged in outcome.promotions],
        "per_window": [turn.to_json() for turn in played.turns],
    }


def sentences(found: Backtest) -> list[str]:
    """What Homeostat would have done, what it would have been worth, and where retraining did harm."""
    lines = [_done(found), _worth(found)]
    harm = _harm(found)
    lines += [harm] if harm else []
    too_much = _too_much(found)
    lines += [too_much] if too_much else []
    if found.grid is not None:
        lines.append(_grid(found, found.grid))
    return lines


def gain(found: Backtest, outcome: Outcome, other: str = "frozen") -> float | None:
    """How much better a policy scored than another, positive is better whatever the metric."""
    mine, theirs = outcome.score, found.outcomes[other].score
    if mine is None or theirs is None:
        return None
    return mine - theirs if higher_is_better(found.score_name) else theirs - mine


def _done(found: Backtest) -> str:
    played = found.outcomes["homeostat"].played
    fired = [turn for turn in played.turns if turn.event is not None]
    windows = f"{len(played.turns)} windows"
    if not fired:
        return f"Homeostat would not have retrained once in {windows}."
    fitted = [turn for turn in fired if turn.event == "retrain"]
    parts = [_outcomes(fitted, "retrain")]
    recalls = [turn for turn in fired if turn.event == "recall"]
    if recalls:
        parts.append(_outcomes(recalls, "former champion", "tried again"))
    reasons = Counter(turn.reason.replace("_", " ") for turn in fired)
    why = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
    return f"Homeostat, in {windows}: {'; '.join(parts)}. Reasons: {why}."


def _outcomes(turns: list[Any], what: str, done: str = "") -> str:
    promoted = sum(turn.promoted for turn in turns)
    failed = sum(turn.event == "retrain" and not turn.fitted for turn in turns)
    refused = len(turns) - promoted - failed
    parts = [f"{len(turns)} {what}{'' if len(turns) == 1 else 's'}{f' {done}' if done else ''}"]
    parts.append(f"{promoted} promoted")
    parts += [f"{refused} refused at the gate"] if refused else []
    parts += [f"{failed} without a candidate"] if failed else []
    return ", ".join(parts)


def _worth(found: Backtest) -> str:
    outcome = found.outcomes["homeostat"]
    frozen, always = found.outcomes["frozen"], found.outcomes["always"]
    name = found.score_name.replace("_", " ")
    if outcome.score is None or frozen.score is None:
        return f"The {name} cannot be computed: the rows after the reference have no usable labels."
    return (
        f"Its {name} would have been {shown(found, outcome.score)}; {shown(found, frozen.score)} without any "
        f"retrain, {shown(found, always.score)} with {always.played.retrains}."
    )


def _harm(found: Backtest) -> str:
    promotions = found.outcomes["homeostat"].promotions
    if not promotions:
        return ""
    worse = [judged for judged in promotions if judged.verdict == "worse"]
    better = sum(judged.verdict == "better" for judged in promotions)
    if not worse:
        none = f"{better} of {len(promotions)} did good, the others made no difference that does"
        return f"No promotion did harm that shows: {none}."
    worst = max(worse, key=lambda judged: _lost(found, judged))
    return (
        f"{len(worse)} of {len(promotions)} promotions did harm, {better} did good: at worst version "
        f"{worst.version} of {worst.span.last:%Y-%m-%d} scored {shown(found, worst.score)} on the "
        f"{worst.rows} rows after it, and version {worst.before} would have scored "
        f"{shown(found, worst.score_before)}."
    )


def _lost(found: Backtest, judged: Judged) -> float:
    if judged.score is None or judged.score_before is None:
        return 0.0
    lost = judged.score_before - judged.score
    return lost if higher_is_better(found.score_name) else -lost


def _too_much(found: Backtest) -> str:
    """Said where retraining without asking is no better than leaving the model alone."""
    outcome = found.outcomes["always"]
    more = gain(found, outcome)
    if more is None or more > 0:
        return ""
    always, frozen = shown(found, outcome.score), shown(found, found.outcomes["frozen"].score)
    return (
        f"Retraining does harm here when nobody looks: after every window it gives {always}, never {frozen}."
    )


def _grid(found: Backtest, grid: Grid) -> str:
    if grid.chosen.own:
        return (
            f"Of {len(grid.first_part)} settings of the trigger the model's own did best on the first "
            f"{grid.first_windows} windows."
        )
    settings = ", ".join(f"{name}: {value}" for name, value in grid.chosen.settings.items())
    return (
        f"Of {len(grid.first_part)} settings of the trigger {{{settings}}} did best on the first "
        f"{grid.first_windows} windows; on the other {grid.rest_windows}, which had no say, it scores "
        f"{shown(found, grid.rest_chosen)}, the model's own {shown(found, grid.rest_own)}."
    )


def shown(found: Backtest, value: float | None) -> str:
    """A score as people read it."""
    if value is None:
        return "-"
    return f"{value:.3f}" if higher_is_better(found.score_name) else f"{value:.4g}"


def events(found: Backtest) -> Iterable[tuple[str, Any]]:
    """Every event of the policies that decide anything: name and turn, Homeostat's first."""
    for name in ("homeostat", "article"):
        for turn in found.outcomes[name].played.turns:
            if turn.event is not None:
                yield name, turn
