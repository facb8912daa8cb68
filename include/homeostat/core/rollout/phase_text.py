"""What a phase means for one rollout: its share of the traffic, and what stays loaded."""

from __future__ import annotations

from homeostat.core.rollout.phases import PHASE_SENTENCES, Phase, Rollout, VersionRef


def describe_phase(rollout: Rollout, previous: VersionRef | None = None) -> str:
    """Return the sentence of a rollout's phase with its figures.

    Parameters
    ----------
    rollout
        The rollout.
    previous
        The version before the champion, see :class:`~homeostat.core.rollout.phases.Traffic`; None for none.
    """
    share = share_text(rollout.share)
    if rollout.phase is Phase.CANARY:
        return f"Serves a sticky share of {share} of the traffic."
    if rollout.phase is Phase.WAITING:
        return (
            f"Passed its canary; keeps its share of {share} until a person approves it."
            if rollout.share
            else "Waits until a person approves it."
        )
    if rollout.phase is Phase.CHAMPION:
        stays = f"; version {previous.version} stays loaded" if previous else ""
        return f"Serves all traffic{stays}."
    return PHASE_SENTENCES[rollout.phase]


def share_text(share: float) -> str:
    """Return a share of the traffic in percent, a small one too: ``50%``, ``0.5%``."""
    return f"{100 * share:.3g}%"


def phase_place(rollout: Rollout) -> str:
    """Return where a rollout is, as words that follow *is* or *was*: ``in shadow``, ``registered``."""
    return "registered" if rollout.phase is Phase.REGISTERED else f"in {rollout.stage_name}"


def phase_time(rollout: Rollout) -> str:
    """Return when something happened to a rollout: ``in shadow``, ``before a gateway had loaded it``."""
    if rollout.phase is Phase.REGISTERED:
        return "before a gateway had loaded it"
    return f"in {rollout.stage_name}"
