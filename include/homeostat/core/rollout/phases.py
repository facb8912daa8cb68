"""The state that the ledger holds: which version serves which share, and a candidate's progress."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from homeostat.config.model import ModelConfig


class Phase(StrEnum):
    """Where a candidate is in its rollout. The values are stored in the ledger and in MLflow tags."""

    REGISTERED = "registered"
    SHADOW = "shadow"
    CANARY = "canary"
    WAITING = "waiting"
    CHAMPION = "champion"
    ROLLED_BACK = "rolled_back"
    SUPERSEDED = "superseded"

    @property
    def active(self) -> bool:
        """Whether a rollout in this phase is under way."""
        return self in (Phase.REGISTERED, Phase.SHADOW, Phase.CANARY, Phase.WAITING)


#: The sentence of each phase; :func:`~homeostat.core.rollout.phase_text.describe_phase` adds its figures.
PHASE_SENTENCES: Mapping[Phase, str] = {
    Phase.REGISTERED: "Registered; waits until a gateway has loaded it and gets no traffic.",
    Phase.SHADOW: "Predicts on copies of the champion's requests; clients never see its predictions.",
    Phase.CANARY: "Serves a sticky share of the traffic.",
    Phase.WAITING: "Passed its canary; keeps its share until a person approves it.",
    Phase.CHAMPION: "Serves all traffic; a previous version stays loaded.",
    Phase.ROLLED_BACK: "Rolled back; serves no traffic.",
    Phase.SUPERSEDED: "Superseded by a newer candidate before its rollout ended.",
}


@dataclass(frozen=True, slots=True)
class VersionRef:
    """A registered version and the digest of its bundle."""

    version: str
    digest: str


#: Version of the health checks and of the rules of :mod:`~homeostat.core.rollout.decide`; a rollout keeps the
#: one that it began with. Release 0.1 recorded none, which reads as 1.
RULES = 2


@dataclass(frozen=True, slots=True)
class LabelFacts:
    """What the holdout's labels say, for comparing two versions by the labels of a rollout.

    ``spread`` is their standard deviation (regression; None: unknown), ``class_shares`` the share of each
    class by its text (classification).
    """

    spread: float | None = None
    class_shares: tuple[tuple[str, float], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON; :meth:`from_json` reads it back."""
        return {"spread": self.spread, "class_shares": dict(self.class_shares)}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> LabelFacts:
        """Read what :meth:`to_json` wrote; {} is unknown."""
        shares = {str(name): float(share) for name, share in (raw.get("class_shares") or {}).items()}
        return cls(raw.get("spread"), tuple(shares.items()))


@dataclass(frozen=True, slots=True)
class Plan:
    """The settings of one rollout, copied from model.yaml when it began: a replay decides the same.

    ``max_shadow`` and ``max_step`` are how long a phase that lacks rows may last; None: twice its duration,
    as in release 0.1. After ``shadow_wait`` few rows of shadow are enough; None: never. A canary step that
    would take longer than ``skip_step`` is skipped; None: longer than ``max_step``, and never the last, as in
    release 0.1. ``steps`` is empty once a version was promoted without a canary. ``slowdown`` is how many
    times as long as the champion the candidate takes by design, since it has more members.
    """

    shadow: timedelta
    max_divergence: float
    shadow_min_samples: int
    steps: tuple[float, ...]
    step_duration: timedelta
    min_samples: int
    error_rate: float
    p99_latency_ms: float
    window: int
    approval: bool = False
    max_shadow: timedelta | None = None
    max_step: timedelta | None = None
    reverse_shadow: timedelta = timedelta(0)
    metric: str = ""
    max_regression: float = 0.0
    labels: LabelFacts = LabelFacts()
    rules: int = RULES
    skip_step: timedelta | None = None
    shadow_wait: timedelta | None = None
    slowdown: float = 1.0

    @classmethod
    def of(
        cls,
        config: ModelConfig,
        *,
        approval: bool = False,
        labels: LabelFacts | None = None,
        slowdown: float = 1.0,
    ) -> Plan:
        """Copy the settings of model.yaml; ``approval=True`` requires approval whatever model.yaml says."""
        return cls(
            shadow=config.shadow.duration,
            max_divergence=config.shadow.max_divergence,
            shadow_min_samples=config.shadow.min_samples,
            steps=config.canary.steps,
            step_duration=config.canary.step_duration,
            min_samples=config.canary.min_samples,
            error_rate=config.rollback.error_rate,
            p99_latency_ms=config.rollback.p99_latency_ms,
            window=config.rollback.window,
            approval=approval or config.approval == "required",
            max_shadow=config.shadow.max_duration,
            max_step=config.canary.max_step_duration,
            reverse_shadow=config.reverse_shadow,
            metric=config.metric,
            max_regression=config.gate.max_regression,
            labels=labels or LabelFacts(),
            skip_step=config.canary.skip_longer_than,
            shadow_wait=config.shadow.wait_for_samples,
            slowdown=slowdown,
        )


@dataclass(frozen=True, slots=True)
class Rollout:
    """The rollout of one candidate. ``id`` is the retrain's run key and salts the routing hash.

    ``traceparent`` is the W3C trace context of the retrain, "" where it is not traced.
    """

    id: str
    candidate: VersionRef
    phase: Phase
    step: int
    entered_at: datetime
    plan: Plan
    extended: bool = False
    approved: bool = False
    forced: bool = False
    reason: str = ""
    traceparent: str = ""

    @property
    def stage(self) -> str:
        """The stage under which evidence of this phase and step is counted."""
        return f"canary:{self.step}" if self.phase in (Phase.CANARY, Phase.WAITING) else str(self.phase)

    @property
    def stage_name(self) -> str:
        """The stage as people read it: ``canary step 1 of 2``."""
        if self.phase in (Phase.CANARY, Phase.WAITING):
            return f"canary step {self.step + 1} of {len(self.plan.steps)}"
        return str(self.phase).replace("_", " ")

    @property
    def reverse_shadow_until(self) -> datetime | None:
        """When the former champion's shadow ends; None when this version was not promoted, or without one."""
        if self.phase is not Phase.CHAMPION or self.plan.reverse_shadow <= timedelta(0):
            return None
        return self.entered_at + self.plan.reverse_shadow

    @property
    def share(self) -> float:
        """The candidate's share of the traffic, 0 outside the canary."""
        return self.plan.steps[self.step] if self.phase in (Phase.CANARY, Phase.WAITING) else 0.0


@dataclass(frozen=True, slots=True)
class Traffic:
    """Which versions serve one model. ``revision`` 0: nothing was ever written."""

    model: str
    revision: int = 0
    champion: VersionRef | None = None
    previous: VersionRef | None = None
    rollout: Rollout | None = None
    promoted_at: datetime | None = None

    @property
    def active(self) -> Rollout | None:
        """The rollout under way, or None."""
        return self.rollout if self.rollout is not None and self.rollout.phase.active else None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON; :meth:`from_json` reads it back, that of older releases included."""
        rollout = self.rollout
        return {
            "model": self.model,
            "revision": self.revision,
            "champion": _ref_json(self.champion),
            "previous": _ref_json(self.previous),
            "promoted_at": self.promoted_at.isoformat() if self.promoted_at else None,
            "rollout": None
            if rollout is None
            else {
                "id": rollout.id,
                "candidate": _ref_json(rollout.candidate),
                "phase": str(rollout.phase),
                "step": rollout.step,
                "share": rollout.share,
                "entered_at": rollout.entered_at.isoformat(),
                "extended": rollout.extended,
                "approved": rollout.approved,
                "forced": rollout.forced,
                "reason": rollout.reason,
                "plan": _plan_json(rollout.plan),
                **({"traceparent": rollout.traceparent} if rollout.traceparent else {}),
            },
        }

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Traffic:
        """Read what :meth:`to_json` wrote."""
        inner = raw.get("rollout")
        promoted = raw.get("promoted_at")
        return cls(
            model=raw["model"],
            revision=int(raw["revision"]),
            champion=_ref(raw.get("champion")),
            previous=_ref(raw.get("previous")),
            promoted_at=datetime.fromisoformat(promoted) if promoted else None,
            rollout=None
            if inner is None
            else Rollout(
                id=inner["id"],
                candidate=VersionRef(inner["candidate"]["version"], inner["candidate"]["digest"]),
                phase=Phase(inner["phase"]),
                step=int(inner["step"]),
                entered_at=datetime.fromisoformat(inner["entered_at"]),
                extended=bool(inner.get("extended")),
                approved=bool(inner.get("approved")),
                forced=bool(inner.get("forced")),
                reason=inner.get("reason", ""),
                plan=_plan(inner["plan"]),
                traceparent=inner.get("traceparent", ""),
            ),
        )

    def at(self, revision: int) -> Traffic:
        """Return the same state under another revision."""
        return replace(self, revision=revision)


def _ref(raw: dict[str, str] | None) -> VersionRef | None:
    return None if raw is None else VersionRef(raw["version"], raw["digest"])


def _ref_json(ref: VersionRef | None) -> dict[str, str] | None:
    return None if ref is None else {"version": ref.version, "digest": ref.digest}


def _plan_json(plan: Plan) -> dict[str, Any]:
    raw = {name: getattr(plan, name) for name in Plan.__dataclass_fields__}
    return {name: _setting_json(value) for name, value in raw.items()}


def _setting_json(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, LabelFacts):
        return value.to_json()
    return list(value) if isinstance(value, tuple) else value


#: How to read the settings that are not plain JSON.
_READ: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys(
        ("shadow", "step_duration", "max_shadow", "max_step", "reverse_shadow", "skip_step", "shadow_wait"),
        lambda seconds: timedelta(seconds=seconds),
    ),
    "steps": tuple,
    "labels": LabelFacts.from_json,
}


def _plan(raw: dict[str, Any]) -> Plan:
    known = {name: value for name, value in raw.items() if name in Plan.__dataclass_fields__}
    values = {
        name: _READ[name](value) if name in _READ and value is not None else value
        for name, value in known.items()
    }
    return Plan(**{"rules": 1, **values})
