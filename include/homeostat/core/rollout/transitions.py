"""Transitions of a model's traffic, as pure functions from one state to the next.

None of them checks health, see :func:`~homeostat.core.rollout.decide.decide_rollout`. They keep the revision;
the ledger increments it when it accepts the write.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from homeostat.config.errors import NoPrevious, Refused, Untrusted
from homeostat.config.model import Canary, Rollback, Shadow
from homeostat.core.rollout.event_kinds import EventKind
from homeostat.core.rollout.phase_text import phase_place
from homeostat.core.rollout.phases import Phase, Plan, Rollout, Traffic, VersionRef

#: How the id of a manual promotion or rollback begins.
MANUAL_PREFIX = "manual-"
#: What release 0.1 wrote.
_OLD_MANUAL_PREFIX = "by-hand-"
#: How the note on a superseded rollout begins, at the end of a reason.
_SUPERSEDES = "; supersedes version "


def is_manual(rollout_id: str) -> bool:
    """Whether the id is that of a manual promotion or rollback, not that of a retrain."""
    return rollout_id.startswith((MANUAL_PREFIX, _OLD_MANUAL_PREFIX))


@dataclass(frozen=True, slots=True)
class Transition:
    """The next state, the kind of event that leads to it, and the reason.

    With the kind ``unchanged`` the requested state is already in force, and nothing is written.
    """

    traffic: Traffic
    kind: EventKind
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
    """Begin a candidate's rollout; it supersedes a rollout under way, whose share drops to 0.

    A first version waits too, until a gateway has loaded it. When no gateway serves the model, the candidate
    becomes champion at once, or waits with a share of 0 when approval is required. Beginning with the run key
    of the recorded rollout is ``unchanged``, since Airflow may run a task twice.

    Parameters
    ----------
    run_key
        The retrain's key: names the rollout and salts its routing.
    skip_shadow
        Go straight to the canary. The health checks then have no shadow predictions of the candidate.
    forced
        The candidate did not pass its gate: it becomes champion only after approval.
    serve
        False for a model that no gateway serves (``serve: none``).

    Raises
    ------
    Untrusted
        The champion's version number comes with other bytes.
    """
    if traffic.rollout is not None and traffic.rollout.id == run_key:
        return Transition(
            traffic, EventKind.UNCHANGED, f"rollout {run_key} is already {traffic.rollout.phase}"
        )
    if _same(traffic.champion, candidate):
        return Transition(
            traffic, EventKind.UNCHANGED, f"version {candidate.version} already serves everything"
        )
    plan = replace(
        plan, approval=plan.approval or forced, shadow=timedelta(0) if skip_shadow else plan.shadow
    )
    rollout = Rollout(run_key, candidate, Phase.REGISTERED, 0, now, plan, forced=forced)
    superseded = supersedes_note(traffic)
    traffic = _forget_rolled_back(traffic)
    if serve:
        first = "" if traffic.champion else ", the first version: waits until a gateway has loaded it"
        entered = f"version {candidate.version} registered for rollout{first}{superseded}"
        return Transition(
            replace(traffic, rollout=replace(rollout, reason=entered)), EventKind.BEGUN, entered
        )
    why = "no gateway serves this model" if traffic.champion else "first version: nothing to compare with"
    if not plan.approval:
        return _make_champion(traffic, rollout, now, why + superseded)
    # No other version serves beside it, so a waiting candidate must have no share.
    rollout = replace(rollout, plan=replace(plan, steps=(0.0,)))
    return enter(traffic, rollout, Phase.WAITING, now, f"{why}; waits for a person to approve{superseded}")


def approve(traffic: Traffic, now: datetime) -> Transition:
    """Approve the candidate: promote a waiting one; promote an earlier one once its canary has passed.

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
        return _make_champion(
            traffic, replace(rollout, approved=True), now, f"version {rollout.candidate.version} approved"
        )
    if rollout.approved:
        return Transition(
            traffic, EventKind.UNCHANGED, f"version {rollout.candidate.version} is already approved"
        )
    reason = f"version {rollout.candidate.version} approved ahead; it is promoted once its canary has passed"
    return Transition(
        replace(traffic, rollout=replace(rollout, approved=True, reason=reason)), EventKind.APPROVED, reason
    )


def roll_back(traffic: Traffic, reason: str, now: datetime) -> Transition:
    """Roll back the active rollout, or else the champion: champion and previous are swapped.

    A version that was itself rolled back is not restored: rolling back twice does not restore the bad
    version. A rollback that loses the race against a promotion still takes effect: the promoted candidate is
    then the champion that is rolled back.

    Raises
    ------
    NoPrevious
        No rollout is under way and there is no version to go back to.
    """
    rollout = traffic.active
    if rollout is not None:
        ended = replace(rollout, phase=Phase.ROLLED_BACK, entered_at=now, reason=reason)
        return Transition(replace(traffic, rollout=ended), EventKind.ROLLED_BACK, reason)
    if traffic.previous is None:
        msg = (
            f"{traffic.model}: no previous version to roll back to."
            f" Promote a registered version instead: homeostat promote {traffic.model} VERSION"
        )
        raise NoPrevious(msg)
    last = traffic.rollout
    if last is not None and previous_was_rolled_back(traffic):
        msg = (
            f"{traffic.model}: the previous version {traffic.previous.version} was itself rolled back"
            f" ({last.reason}). To serve it again:"
            f" homeostat promote {traffic.model} {traffic.previous.version}"
        )
        raise NoPrevious(msg)
    if last is not None and _same(traffic.champion, last.candidate):
        last = replace(last, phase=Phase.ROLLED_BACK, entered_at=now, reason=reason)
    else:
        # The champion's own rollout is not on record any more: record that this version was rolled back.
        last = _manual_rollout(traffic, traffic.champion, Phase.ROLLED_BACK, now, reason)
    swapped = replace(
        traffic, champion=traffic.previous, previous=traffic.champion, rollout=last, promoted_at=now
    )
    return Transition(swapped, EventKind.ROLLED_BACK, reason)


def promote(traffic: Traffic, ref: VersionRef, now: datetime, reason: str) -> Transition:
    """Make a known version champion at a person's request, which counts as approval.

    A rollout under way of another version is superseded. Promoting the champion is ``unchanged``.

    Raises
    ------
    Untrusted
        The champion's or the candidate's version number comes with other bytes.
    """
    if _same(traffic.champion, ref):
        active = traffic.active
        if active is None:
            return Transition(
                traffic, EventKind.UNCHANGED, f"version {ref.version} already serves everything"
            )
        # Promoting the champion while a candidate is under way ends the candidate's rollout.
        ended = replace(active, phase=Phase.SUPERSEDED, entered_at=now, reason=reason)
        return Transition(replace(traffic, rollout=ended), EventKind.ROLLED_BACK, reason)
    active = traffic.active
    if active is not None and _same(active.candidate, ref):
        return _make_champion(traffic, replace(active, approved=True), now, reason)
    rollout = _manual_rollout(traffic, ref, Phase.REGISTERED, now, reason)
    return _make_champion(traffic, rollout, now, reason + supersedes_note(traffic))


def enter(
    traffic: Traffic, rollout: Rollout, phase: Phase, now: datetime, reason: str, *, step: int | None = None
) -> Transition:
    """Move the rollout into a phase (and step) that starts now; entering ``champion`` promotes."""
    if phase is Phase.CHAMPION:
        return _make_champion(traffic, rollout, now, reason)
    step = rollout.step if step is None else step
    moved = replace(rollout, phase=phase, step=step, entered_at=now, extended=False, reason=reason)
    return Transition(replace(traffic, rollout=moved), EventKind(phase), reason)


def _make_champion(traffic: Traffic, rollout: Rollout, now: datetime, reason: str) -> Transition:
    done = replace(rollout, phase=Phase.CHAMPION, entered_at=now, extended=False, reason=reason)
    promoted = replace(
        traffic, champion=rollout.candidate, previous=traffic.champion, rollout=done, promoted_at=now
    )
    return Transition(promoted, EventKind.PROMOTED, reason)


def supersedes_note(traffic: Traffic) -> str:
    """Return the end of a reason that names the superseded rollout; '' when there is none."""
    active = traffic.active
    if active is None:
        return ""
    return f"{_SUPERSEDES}{active.candidate.version} ({active.id}), which was {phase_place(active)}"


def without_supersedes_note(reason: str) -> str:
    """Return the reason without the note; release 0.1 named the stage in it differently."""
    return reason.partition(_SUPERSEDES)[0]


def previous_was_rolled_back(traffic: Traffic) -> bool:
    """Whether ``previous`` is the version that the last rollback removed from traffic."""
    last = traffic.rollout
    return last is not None and last.phase is Phase.ROLLED_BACK and last.candidate == traffic.previous


def _forget_rolled_back(traffic: Traffic) -> Traffic:
    # Its record is about to be replaced, and only that record says that this version must not be restored.
    return replace(traffic, previous=None) if previous_was_rolled_back(traffic) else traffic


def _same(known: VersionRef | None, ref: VersionRef) -> bool:
    if known is None or known.version != ref.version:
        return False
    if known.digest != ref.digest:
        msg = (
            f"version {ref.version} has digest {ref.digest}, but is served with digest {known.digest}:"
            " the bytes of a registered version must never change"
        )
        raise Untrusted(msg)
    return True


def _manual_rollout(
    traffic: Traffic, ref: VersionRef | None, phase: Phase, now: datetime, reason: str
) -> Rollout:
    """Return a record for a version that was promoted or rolled back manually, so that it is watched."""
    if ref is None:
        msg = f"{traffic.model}: there is no champion"
        raise Refused(msg)
    plan = traffic.rollout.plan if traffic.rollout is not None else default_plan()
    name = f"{MANUAL_PREFIX}{ref.version}-{now.isoformat()}"
    return Rollout(name, ref, phase, 0, now, plan, approved=True, reason=reason)


def default_plan() -> Plan:
    """Return the plan of a model.yaml that sets nothing; without a metric, labels do not decide."""
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
        max_shadow=shadow.max_duration,
        max_step=canary.max_step_duration,
        skip_step=canary.skip_longer_than,
        shadow_wait=shadow.wait_for_samples,
    )
