"""Rollouts at the default settings: candidates that disagree with the champion, and labels that decide."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from rollout_fixture import CLASSES, Case, Labels, Version

from homeostat.config.model import MAX_REVERSE_SHADOW, Canary, Gate
from homeostat.core.rollout import Plan
from homeostat.core.rollout.transitions import default_plan

#: Labels arrive so late after the requests: at once, within the rollout, or after it.
AT_ONCE, HALF_A_STEP, AFTER = timedelta(0), Canary().step_duration / 2, timedelta(hours=48)
#: Evaluations, further apart than in reality: a sequential test loses nothing by it but time.
SHADOW_TICK, CANARY_TICK = timedelta(hours=1), timedelta(minutes=2)
#: Requests in a tick of the canary: one a second.
RATE = 120


def plan_for(label_delay: timedelta | None) -> Plan:
    """Return the plan of a template's settings."""
    return replace(
        default_plan(),
        reverse_shadow=min(label_delay or timedelta(0), MAX_REVERSE_SHADOW),
        metric="accuracy",
        max_regression=Gate().max_regression,
    )


def release_0_1(case: Case) -> Case:
    """Return the same traffic under the rules of release 0.1, which knew neither expectation nor labels."""
    plan = replace(case.plan, rules=1, max_shadow=None, max_step=None, reverse_shadow=timedelta(0), metric="")
    return replace(case, plan=plan, labels=None)


def _stale(differs: float) -> Version:
    """Return a champion whose predictions are distributed so differently that they differ that often."""
    moved = tuple(own + differs * other for own, other in zip(CLASSES, (-0.5, 0.1, 0.2, 0.2), strict=True))
    total = sum(max(share, 0.01) for share in moved)
    return Version(classes=tuple(max(share, 0.01) / total for share in moved), confidence=(12.0, 8.0))


def _case(champion: Version, differs: float, labels: Labels | None, expected: float | None = None) -> Case:
    delay = labels.delay if labels else None
    return Case(
        champion,
        Version(classes=CLASSES, divergence=differs),
        plan=plan_for(delay),
        rate=RATE,
        expected=expected,
        labels=labels,
        tick=SHADOW_TICK,
        canary_tick=CANARY_TICK,
    )


_SAME = Version(classes=CLASSES)
#: How often both disagree, and then only the candidate or only the champion is right.
_RIGHT = {0.1: (0.065, 0.025), 0.3: (0.23, 0.04), 0.55: (0.414, 0.1)}
_DELAYS = {"labels at once": AT_ONCE, "labels after half a step": HALF_A_STEP}
#: Name, what happens, and whether the candidate ought to be promoted.
DEFAULT_CASES: dict[str, tuple[Case, bool]] = {}
for _differs, _right in _RIGHT.items():
    for _when, _delay in {**_DELAYS, "no labels": None}.items():
        _labels = None if _delay is None else Labels(*_right, _delay)
        DEFAULT_CASES[f"right, differs in {_differs:.0%}, {_when}"] = (
            _case(_stale(_differs), _differs, _labels),
            True,
        )
for _when, _delay in {**_DELAYS, "labels after the rollout": AFTER}.items():
    DEFAULT_CASES[f"3 points worse, looks alike, {_when}"] = (
        _case(_SAME, 0.1, Labels(0.03, 0.06, _delay)),
        False,
    )
DEFAULT_CASES["differs in 15 points more than on its holdout, no labels"] = (
    _case(_SAME, 0.25, None, expected=0.1),
    False,
)
DEFAULT_CASES["identical, no labels"] = (_case(_SAME, 0.0, None), True)
DEFAULT_CASES["identical but for 10 % of chance, labels at once"] = (
    _case(_SAME, 0.1, Labels(0.045, 0.045, AT_ONCE)),
    True,
)
DEFAULT_CASES["identical but for 10 % of chance, labels after the rollout"] = (
    _case(_SAME, 0.1, Labels(0.045, 0.045, AFTER)),
    True,
)


def _slow_traffic() -> Case:
    """Return an identical candidate of a model with 39 rows a day."""
    case = _case(_SAME, 0.0, None)
    return replace(case, rate=39, tick=timedelta(days=1), canary_tick=timedelta(days=1))


DEFAULT_CASES["identical, 39 rows a day"] = (_slow_traffic(), True)
