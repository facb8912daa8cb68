"""The retrains of the windows that fired, each as what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from homeostat.core.trigger.reasons import TriggerReason
from homeostat.core.trigger.records import WindowRecord
from homeostat.core.trigger.retrain_end import RetrainEnd, RetrainResult


@dataclass(frozen=True, slots=True)
class Attempt:
    """One fired window's retrain, as known at the window that is decided.

    ``reinstates`` marks the reinstatement of a former champion. ``new_champion``: another version became
    champion since, and was not rolled back.
    """

    result: RetrainResult
    reinstates: bool
    new_champion: bool


def attempts(windows: Sequence[WindowRecord], retrains: Mapping[datetime, RetrainEnd]) -> tuple[Attempt, ...]:
    """Return the attempt of each window that fired, oldest first; without those that ended after their probe.

    Parameters
    ----------
    windows
        The windows up to the one that is decided, oldest first; that one is last, and its ``fired`` is not
        read.
    retrains
        How each ended, by the end of the window that fired. Where one is missing or was not known yet, the
        versions of later windows decide: without another champion since, the retrain was *not promoted*.
    """
    fired, now = [at for at, record in enumerate(windows[:-1]) if record.fired], windows[-1].window_end
    found = []
    for at, following in zip(fired, [*fired, None][1:], strict=True):
        after = windows[at + 1 :] if following is None else windows[at + 1 : following + 1]
        retrain = retrains.get(windows[at].window_end)
        known = None if retrain is None else retrain.known_by(now)
        if retrain is None or known is None:
            new_champion = any(record.version != windows[at].version for record in after)
            result = RetrainResult.PROMOTED if new_champion else RetrainResult.NOT_PROMOTED
        else:
            old = {record.version for record in windows[: at + 1]}
            if known is RetrainResult.ROLLED_BACK:
                old.add(retrain.version)
            new_champion = known is RetrainResult.PROMOTED or after[-1].version not in old
            result = known
        if result is RetrainResult.NOT_WORTHWHILE:
            continue
        reinstates = windows[at].reason == TriggerReason.FORMER_VERSION_FITS
        if result is RetrainResult.PROMOTED and reinstates:
            result = RetrainResult.REPLACED  # the version that was trained last
        found.append(Attempt(result, reinstates, new_champion))
    return tuple(found)
