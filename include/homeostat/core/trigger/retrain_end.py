"""What became of the retrain that a fired window started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Self


class RetrainResult(StrEnum):
    """How a retrain ended. The values are the words of the back-off's sentence."""

    # Its candidate did not become champion, or not for long.
    GATE = "refused by the gate"
    SHADOW = "refused in shadow"
    CANARY = "refused in canary"
    DECLINED = "declined by a person"
    ROLLED_BACK = "rolled back after the promotion"
    NOT_PROMOTED = "not promoted"
    # It says nothing about what a retrain is worth.
    FAILED = "failed with an error"
    ENVIRONMENT = "refused before its training"
    NOT_LOADED = "refused before its shadow"
    INCONCLUSIVE = "ended for lack of evidence"
    SUPERSEDED = "superseded"
    # It ended after its probe.
    NOT_WORTHWHILE = "not worth its cost"
    # Its candidate became champion.
    REPLACED = "replaced by a former champion"
    PROMOTED = "promoted"


#: Retrains that were judged, and brought no new champion that stayed.
NO_NEW_CHAMPION = frozenset(
    {
        RetrainResult.GATE,
        RetrainResult.SHADOW,
        RetrainResult.CANARY,
        RetrainResult.DECLINED,
        RetrainResult.ROLLED_BACK,
        RetrainResult.NOT_PROMOTED,
    }
)
#: Retrains that nothing judged.
NOT_JUDGED = frozenset(
    {
        RetrainResult.FAILED,
        RetrainResult.ENVIRONMENT,
        RetrainResult.NOT_LOADED,
        RetrainResult.INCONCLUSIVE,
    }
)

_REFUSED_AT: Mapping[str, RetrainResult] = {
    "environment": RetrainResult.ENVIRONMENT,
    "gate": RetrainResult.GATE,
    "load": RetrainResult.NOT_LOADED,
    "shadow": RetrainResult.SHADOW,
    "canary": RetrainResult.CANARY,
    "approval": RetrainResult.DECLINED,
}
_OTHERS: Mapping[str, RetrainResult] = {
    "promoted": RetrainResult.PROMOTED,
    "superseded": RetrainResult.SUPERSEDED,
    "failed": RetrainResult.FAILED,
    "not_worthwhile": RetrainResult.NOT_WORTHWHILE,
}


@dataclass(frozen=True, slots=True)
class RetrainEnd:
    """The recorded end of a retrain.

    ``at`` is when it ended (None: not recorded), ``version`` the candidate's number ("" without one), and
    ``rolled_back_at`` when the promoted version was rolled back (None: it was not).
    """

    result: RetrainResult
    at: datetime | None = None
    version: str = ""
    rolled_back_at: datetime | None = None

    @classmethod
    def from_json(cls, raw: Mapping[str, Any], *, rolled_back_at: datetime | None = None) -> Self | None:
        """Read a stored outcome; None where its words are not known.

        Reads ``outcome``, ``stage`` and, where they are there, ``inconclusive``, ``at`` and ``version``.
        """
        outcome, stage = raw.get("outcome", ""), raw.get("stage", "")
        if outcome == "refused":
            result = _REFUSED_AT.get(stage, RetrainResult.NOT_PROMOTED)
            if raw.get("inconclusive"):
                result = RetrainResult.INCONCLUSIVE
        elif outcome in _OTHERS:
            result = _OTHERS[outcome]
        else:
            return None
        at = raw.get("at")
        return cls(
            result,
            datetime.fromisoformat(at) if at else None,
            str(raw.get("version") or ""),
            rolled_back_at if result is RetrainResult.PROMOTED else None,
        )

    def known_by(self, end: datetime) -> RetrainResult | None:
        """Return what was known by the end of a window; None when the retrain had not ended."""
        if self.rolled_back_at is not None and self.rolled_back_at <= end:
            return RetrainResult.ROLLED_BACK
        return self.result if self.at is None or self.at <= end else None
