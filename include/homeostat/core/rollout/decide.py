"""What time and evidence make of a rollout: one pure function, asked as often as one likes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from homeostat.core.rollout.evidence import CANDIDATE, SHADOW, Evidence, Tally
from homeostat.core.rollout.health import DIVERGENCE, HealthResult, Verdict, examine
from homeostat.core.rollout.phases import Phase, Rollout, Traffic
from homeostat.core.rollout.transitions import Transition, enter, roll_back

#: Gateways' clocks may differ by this much before a phase is taken to have begun in the future.
CLOCK_SKEW = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Decision:
    """The step to take, None to stay, and what the checks found on the way."""

    transition: Transition | None
    checks: tuple[HealthResult, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain JSON: the checks, and what is done with them."""
        step = self.transition
        return {
            "kind": step.kind if step else None,
            "reason": step.reason if step else None,
            "checks": [check.to_json() for check in self.checks],
        }


def decide(traffic: Traffic, evidence: Evidence, now: datetime) -> Decision:
    """The next step of the active rollout.

    A failing check takes the candidate back at once, whatever the time. At the end of its phase the
    candidate goes on when there is enough evidence and no check is in doubt. Otherwise the phase is extended
    once, by its own length, and left as soon as that holds. At its end enough evidence suffices, and too
    little takes the candidate back as inconclusive, which is not called a regression; so does a divergence
    that is still above its limit.

    Parameters
    ----------
    evidence
        All counts of this rollout so far; those of shadow stay in it under the stage ``shadow``.
    now
        May lie before the phase's beginning when a clock was set back: then no time has passed, and
        beyond a minute the phase is taken to begin now, so that it does not wait for the old time.
    """
    rollout = traffic.active
    if rollout is None:
        return Decision(None)
    checks = examine(rollout, evidence)
    failed = next((check for check in checks if check.verdict is Verdict.FAIL), None)
    if failed is not None:
        return Decision(roll_back(traffic, f"{failed.name} failed: {failed.reason}", now), checks)
    if rollout.entered_at - now > CLOCK_SKEW:
        reason = f"the clock was set back by {rollout.entered_at - now}: {rollout.stage} is timed from now on"
        restarted = replace(traffic, rollout=replace(rollout, entered_at=now))
        return Decision(Transition(restarted, "clock", reason), checks)
    if rollout.phase is Phase.REGISTERED:
        return Decision(_after_registered(traffic, rollout, now))
    if rollout.phase is Phase.WAITING:
        return Decision(None, checks)
    return Decision(_by_time(traffic, rollout, evidence, checks, now), checks)


def _by_time(
    traffic: Traffic,
    rollout: Rollout,
    evidence: Evidence,
    checks: tuple[HealthResult, ...],
    now: datetime,
) -> Transition | None:
    duration = rollout.plan.shadow if rollout.phase is Phase.SHADOW else rollout.plan.step_duration
    elapsed = max(timedelta(0), now - rollout.entered_at)
    if elapsed < duration:
        return None
    rows, needed, what = _rows(rollout, evidence)
    doubts = [check for check in checks if check.verdict is Verdict.CONTINUE]
    lacking = f"{rows} {what}, {needed} needed"
    if rows >= needed and not doubts:
        return _onward(traffic, rollout, now)
    if rows >= needed:
        lacking = f"{doubts[0].name}: {doubts[0].reason}"
    # What is in doubt to the very end is not surely bad; only divergence has to be shown to fit.
    tolerable = rows >= needed and all(check.name != DIVERGENCE for check in doubts)
    if rollout.extended and elapsed >= 2 * duration and tolerable:
        return _onward(traffic, rollout, now)
    return _too_little(traffic, rollout, elapsed, duration, now, lacking)


def _too_little(
    traffic: Traffic, rollout: Rollout, elapsed: timedelta, duration: timedelta, now: datetime, lacking: str
) -> Transition | None:
    """Extend once; when that time is over too, take the candidate back as inconclusive."""
    if not rollout.extended:
        reason = f"{rollout.stage} extended once by {duration}: {lacking}"
        extended = replace(rollout, extended=True, reason=reason)
        return Transition(replace(traffic, rollout=extended), "extended", reason)
    if elapsed < 2 * duration:
        return None
    spent = f"after {2 * duration} of {rollout.stage}"
    return roll_back(traffic, f"inconclusive {spent}, not a regression: {lacking}", now)


def _rows(rollout: Rollout, evidence: Evidence) -> tuple[int, int, str]:
    """The rows that the phase has, those that it needs, and what they are."""
    plan = rollout.plan
    if rollout.phase is Phase.SHADOW:
        rows = evidence.get((rollout.stage, SHADOW), Tally()).compared
        return rows, max(1, plan.shadow_min_samples), "rows compared with the champion's"
    rows = evidence.get((rollout.stage, CANDIDATE), Tally()).answers
    return rows, max(1, plan.min_samples), "answers of the candidate"


def _after_registered(traffic: Traffic, rollout: Rollout, now: datetime) -> Transition:
    if rollout.plan.shadow > timedelta(0):
        return enter(traffic, rollout, Phase.SHADOW, now, "answers the same inputs unseen")
    return _into_step(traffic, rollout, 0, now, "shadow skipped; ")


def _onward(traffic: Traffic, rollout: Rollout, now: datetime) -> Transition:
    """The step after a phase that was passed."""
    if rollout.phase is Phase.SHADOW:
        return _into_step(traffic, rollout, 0, now, "shadow passed; ")
    if rollout.step + 1 < len(rollout.plan.steps):
        return _into_step(traffic, rollout, rollout.step + 1, now, f"step {rollout.step} passed; ")
    if rollout.plan.approval and not rollout.approved:
        return enter(traffic, rollout, Phase.WAITING, now, "canary passed; waits for a person to approve")
    return enter(traffic, rollout, Phase.CHAMPION, now, "canary passed")


def _into_step(traffic: Traffic, rollout: Rollout, step: int, now: datetime, before: str) -> Transition:
    reason = f"{before}takes {rollout.plan.steps[step]:.0%} of the traffic"
    return enter(traffic, rollout, Phase.CANARY, now, reason, step=step)


def evidence_json(evidence: Evidence) -> dict[str, Any]:
    """Evidence as plain JSON for the ledger: ``{"canary:0/candidate": {"answers": 12, ...}}``."""
    return {f"{stage}/{variant}": tally.to_json() for (stage, variant), tally in evidence.items()}


def evidence_from_json(raw: Mapping[str, Any]) -> Evidence:
    """Read what :func:`evidence_json` wrote, to decide again from the record."""
    keys = ((key.rpartition("/"), value) for key, value in raw.items())
    return {(stage, variant): Tally.from_json(value) for (stage, _, variant), value in keys}
