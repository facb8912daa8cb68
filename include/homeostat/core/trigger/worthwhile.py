"""Whether a retrain is worth its cost, and when to look.

A version's loss grows like the square root of its age. Retraining every k windows then costs
``cost / k + 2/3 * rate * sqrt(k)`` a window, which is least where ``rate * sqrt(k) * k / 3 = cost``. What is
known of the rate is an estimate that is looked at every window, so a retrain must be worth a multiple of its
cost.
"""

from __future__ import annotations

from dataclasses import dataclass

from homeostat.config.model import Trigger
from homeostat.core.trigger.records import WindowRecord

#: Half of the gain times the gap must be so many times ``trigger.retrain_cost``.
PAYS_TIMES = 3
#: No gain is expected to last for more windows than this.
MOST_WINDOWS = 26
#: From so many standard errors on the record shows that versions of this model age (one-sided 95 %).
PROVEN_Z = 1.64
#: Before that, the probes of this champion must show it: their CUSUM, in standard deviations.
CUSUM_LIMIT = 2.0
#: A probe waits for so many windows since the last one, or since the promotion; less once ageing is proven.
PROBE_WAIT = 2
PROVEN_PROBE_WAIT = 1
#: The champion must lack so many windows of labels: a probe leaves the newest of them out.
MIN_UNLEARNED = 2
# Durations are divided by the window: rounding must not cost a window.
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Worthwhile:
    """Whether to retrain after a probe.

    ``pays``: the expected gain outweighs the cost. ``proven``: versions of this model age, by the pooled
    record. ``expected_gain`` is per window, of a version trained now. ``sentence`` gives the figures.
    """

    pays: bool
    proven: bool
    expected_gain: float
    retrain: bool
    sentence: str


def worthwhile(
    *, rate: float, z: float, cusum: float, gap: float, settings: Trigger, other_members: bool = False
) -> Worthwhile:
    """Decide whether a retrain pays.

    Parameters
    ----------
    rate
        The local rate of ageing: gain per square root of a window.
    z
        The evidence of the pooled record, in standard errors.
    cusum
        The paired CUSUM of this champion's probes, in standard deviations.
    gap
        How many windows of labels the champion has not learned.
    settings
        ``retrain_cost``.
    other_members
        The record chose to learn from other rows than the champion did: this is worth a retrain by itself.
    """
    expected = rate * max(gap, 0.0) ** 0.5
    worth = expected * min(max(gap, 0.0), MOST_WINDOWS) / 2
    needed = PAYS_TIMES * settings.retrain_cost
    pays, proven = worth > 0 and worth >= needed, z >= PROVEN_Z
    shown = proven or cusum >= CUSUM_LIMIT
    figures = (
        f"expected gain {expected:.4f} per window for {gap:.3g} windows not learned: worth {worth:.4f}, "
        f"{PAYS_TIMES} x trigger.retrain_cost is {needed:g}"
    )
    evidence = (
        f"the record of ageing is at {z:.1f} standard errors ({PROVEN_Z} are needed), this champion's probes "
        f"at {cusum:.1f} ({CUSUM_LIMIT:g})"
    )
    if other_members:
        sentence = f"Learning from other rows is better according to the record; {figures}; {evidence}."
    elif not pays:
        sentence = f"A retrain does not pay yet: {figures}."
    elif not shown:
        sentence = f"A retrain may pay, but there is too little evidence: {figures}; {evidence}."
    else:
        sentence = f"A retrain pays: {figures}; {evidence}."
    return Worthwhile(pays, proven, expected, other_members or (pays and shown), sentence)


def probe_due(record: WindowRecord) -> bool:
    """Whether it is time to try how much better a fresh version would be."""
    return can_probe(record) and waited(record)


def can_probe(record: WindowRecord) -> bool:
    """Whether there are labels to compare a probe with the champion on.

    The probe learns all of them but the newest window.
    """
    return record.unlearned is not None and record.unlearned >= MIN_UNLEARNED - _ROUNDING


def waited(record: WindowRecord) -> bool:
    """Whether the last probe, or the promotion, is long enough ago for another probe."""
    return record.probe_after is None or record.window_end >= record.probe_after


def probe_wait(z: float) -> int:
    """Return how many windows the next probe waits after the last one, or after a promotion.

    Parameters
    ----------
    z
        The evidence of the record of ageing, in standard errors.
    """
    return PROVEN_PROBE_WAIT if z >= PROVEN_Z else PROBE_WAIT
