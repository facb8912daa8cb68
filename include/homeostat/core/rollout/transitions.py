"""What may happen to a model's traffic, as pure functions from one state to the next.

None of them checks health: that is :func:`homeostat.core.rollout.decide`'s part. The revision is left as it
is; the ledger raises it when it accepts the write.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from homeostat.config.errors import NoPrevious, Refused, Untrusted
from homeostat.config.model import Canary, Rollback, Shadow
from homeostat.core.rollout.phases import Phase, Plan, Rollout, Traffic, VersionRef


@dataclass(frozen=True, slots=True)
class Transition:
    """The next state, the kind of event that leads to it, and why.

    ``kind`` is one of begun, shadow, canary, waiting, extended, clock, approved, promoted, rolled_back and
    unchanged. ``unchanged`` means that what was asked for is already so: it need not be written.
    """

    traffic: Traffic
    kind: str
    reason: str


def begin(
    traffic: Traffic,
    candidate: VersionRef,
    run_key: str,
    plan: Plan,
    now: datetime,
    *,
    skip_shadow: bool = False,
    forced: bool = False,
    serve: bool = True,
) -> Transition:
    """Enter a candidate; any rollout under way gives way to it and its share falls to 0.

    Without a champion, or when no gateway serves the model, there is nothing to compare with: the
    candidate becomes champion at once, or waits with a share of 0 when a person has to approve.
    Beginning with the run key of the rollout on record is ``unchanged``: tasks run at least once.

    Parameters
    ----------
    run_key
        The retrain's key: names the rollout and salts its routing.
    skip_shadow
        Go straight to the canary. The health checks then lack the candidate's own shadow answers.
    forced
        The candidate did not pass its gate: it never becomes champion without approval.
    serve
        False for a model that is scored in batch elsewhere.

    Raises
    ------
    Untrusted
        The champion's version number comes with other bytes.
    """
    if traffic.rollout is not None and traffic.rollout.id == run_key:
        return Transition(traffic, "unchanged", f"rollout {run_key} is already {traffic.rollout.phase}")
    if _same(traffic.champion, candidate):
        return Transition(traffic, "unchanged", f"version {candidate.version} already serves everything")
    plan = replace(
        plan, approval=plan.approval or forced, shadow=timedelta(0) if skip_shadow else plan.shadow
    )
    rollout = Rollout(run_key, candidate, Phase.REGISTERED, 0, now, plan, forced=forced)
    yields = gave_way(traffic)
    traffic = _forget_taken_back(traffic)
    if serve and traffic.champion is not None:
        entered = f"version {candidate.version} registered for rollout{yields}"
        return Transition(replace(traffic, rollout=replace(rollout, reason=entered)), "begun", entered)
    why = "no gateway serves this model" if traffic.champion else "first version: nothing to compare with"
    if not plan.approval:
        return _crown(traffic, rollout, now, why + yields)
    # Nothing answers beside it, so waiting must not mean taking a share.
    rollout = replace(rollout, plan=replace(plan, steps=(0.0,)))
    return enter(traffic, rollout, Phase.WAITING, now, f"{why}; waits for a person to approve{yields}")


def approve(traffic: Traffic, now: datetime) -> Transition:
    """Say yes to the candidate: promotes one that waits, lets an earlier one pass when its canary is done.

    Raises
    ------
    Refused
        No rollout is under way.
    """
    rollout = traffic.active
    if rollout is None:
        msg = f"{traffic.model}: nothing to approve, no rollout is under way"
        raise Refused(msg)
    if rollout.phase is Phase.WAITING:
        return _crown(
            traffic, replace(rollout, approved=True), now, f"version {rollout.candidate.version} approved"
        )
    if rollout.approved:
        return Transition(traffic, "unchanged", f"version {rollout.candidate.version} is already approved")
    reason = f"version {rollout.candidate.version} approved ahead; it is promoted once its canary has passed"
    return Transition(
        replace(traffic, rollout=replace(rollout, approved=True, reason=reason)), "approved", reason
    )


def roll_back(traffic: Traffic, reason: str, now: datetime) -> Transition:
    """Take back the active rollout, or else the champion: champion and previous change places.

    A version that was itself taken back is no target: pressing the button twice does not put the bad
    version back. An abort that loses the race against a promotion still wins: the promoted candidate is
    the champion that is taken back.

    Raises
    ------
    NoPrevious
        No rollout is under way and there is no version to go back to.
    """
    rollout = traffic.active
    if rollout is not None:
        ended = replace(rollout, phase=Phase.ROLLED_BACK, entered_at=now, reason=reason)
        return Transition(replace(traffic, rollout=ended), "rolled_back", reason)
    if traffic.previous is None:
        msg = (
            f"{traffic.model}: no previous version to roll back to;"
            " promote a registered version by hand instead (homeostat promote)"
        )
        raise NoPrevious(msg)
    last = traffic.rollout
    if last is not None and _taken_back(traffic):
        msg = (
            f"{traffic.model}: version {traffic.previous.version} was itself taken back ({last.reason});"
            " promote it by hand if it should serve again (homeostat promote)"
        )
        raise NoPrevious(msg)
    if last is not None and _same(traffic.champion, last.candidate):
        last = replace(last, phase=Phase.ROLLED_BACK, entered_at=now, reason=reason)
    else:
        # The champion's own rollout is no longer on record: write down that it was the one taken back.
        last = _by_hand(traffic, traffic.champion, Phase.ROLLED_BACK, now, reason)
    swapped = replace(
        traffic, champion=traffic.previous, previous=traffic.champion, rollout=last, promoted_at=now
    )
    return Transition(swapped, "rolled_back", reason)


def promote(traffic: Traffic, ref: VersionRef, now: datetime, reason: str) -> Transition:
    """Make a known version champion by a person's word, which counts as approval.

    A rollout under way of another version is superseded. Promoting the champion is ``unchanged``.

    Raises
    ------
    Untrusted
        The champion's or the candidate's version number comes with other bytes.
    """
    if _same(traffic.champion, ref):
        active = traffic.active
        if active is None:
            return Transition(traffic, "unchanged", f"version {ref.version} already serves everything")
        # Whoever asks for the champion while a candidate is under way wants the candidate gone.
        ended = replace(active, phase=Phase.SUPERSEDED, entered_at=now, reason=reason)
        return Transition(replace(traffic, rollout=ended), "rolled_back", reason)
    active = traffic.active
    if active is not None and _same(active.candidate, ref):
        return _crown(traffic, replace(active, approved=True), now, reason)
    rollout = _by_hand(traffic, ref, Phase.REGISTERED, now, reason)
    return _crown(traffic, rollout, now, reason + gave_way(traffic))


def enter(
    traffic: Traffic, rollout: Rollout, phase: Phase, now: datetime, reason: str, *, step: int | None = None
) -> Transition:
    """Move the rollout into a phase (and step) whose time starts now; into champion by promotion."""
    if phase is Phase.CHAMPION:
        return _crown(traffic, rollout, now, reason)
    step = rollout.step if step is None else step
    moved = replace(rollout, phase=phase, step=step, entered_at=now, extended=False, reason=reason)
    return Transition(replace(traffic, rollout=moved), str(phase), reason)


def _crown(traffic: Traffic, rollout: Rollout, now: datetime, reason: str) -> Transition:
    done = replace(rollout, phase=Phase.CHAMPION, entered_at=now, extended=False, reason=reason)
    crowned = replace(
        traffic, champion=rollout.candidate, previous=traffic.champion, rollout=done, promoted_at=now
    )
    return Transition(crowned, "promoted", reason)


def gave_way(traffic: Traffic) -> str:
    """What a reason ends with when a rollout under way gives way; '' when none does."""
    active = traffic.active
    if active is None:
        return ""
    return f"; supersedes version {active.candidate.version} ({active.id}), which was in {active.stage}"


def _taken_back(traffic: Traffic) -> bool:
    """Whether ``previous`` is the version that the last rollback took from traffic."""
    last = traffic.rollout
    return last is not None and last.phase is Phase.ROLLED_BACK and last.candidate == traffic.previous


def _forget_taken_back(traffic: Traffic) -> Traffic:
    # Its record is about to be replaced, and nothing else says that it must not be gone back to.
    return replace(traffic, previous=None) if _taken_back(traffic) else traffic


def _same(known: VersionRef | None, ref: VersionRef) -> bool:
    if known is None or known.version != ref.version:
        return False
    if known.digest != ref.digest:
        msg = (
            f"version {ref.version} has digest {ref.digest}, but serves as {known.digest}: bytes never change"
        )
        raise Untrusted(msg)
    return True


def _by_hand(traffic: Traffic, ref: VersionRef | None, phase: Phase, now: datetime, reason: str) -> Rollout:
    """A record for a version that came or went without a rollout, so that it is watched like any other."""
    if ref is None:
        msg = f"{traffic.model}: there is no champion"
        raise Refused(msg)
    plan = traffic.rollout.plan if traffic.rollout is not None else _default_plan()
    name = f"by-hand-{ref.version}-{now.isoformat()}"
    return Rollout(name, ref, phase, 0, now, plan, approved=True, reason=reason)


def _default_plan() -> Plan:
    shadow, canary, limits = Shadow(), Canary(), Rollback()
    return Plan(
        shadow=shadow.duration,
        max_divergence=shadow.max_divergence,
        shadow_min_samples=shadow.min_samples,
        steps=canary.steps,
        step_duration=canary.step_duration,
        min_samples=canary.min_samples,
        error_rate=limits.error_rate,
        p99_latency_ms=limits.p99_latency_ms,
        window=limits.window,
    )
