"""What is on record about one model: what the view of its health is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from homeostat.core.model_health.window_summary import WindowSummary
from homeostat.core.rollout import Phase, Traffic
from homeostat.core.rollout.served import Served

#: How a rollout ended, after the version's name.
_ENDED = {
    Phase.CHAMPION: "became champion",
    Phase.ROLLED_BACK: "was rolled back",
    Phase.SUPERSEDED: "was superseded",
}


class LedgerEvent(Protocol):
    """An event of the ledger, see :class:`homeostat.ports.Event`."""

    @property
    def at(self) -> datetime: ...  # noqa: D102
    @property
    def kind(self) -> str: ...  # noqa: D102
    @property
    def reason(self) -> str: ...  # noqa: D102
    @property
    def by(self) -> str: ...  # noqa: D102
    @property
    def traffic(self) -> Mapping[str, Any]: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class EndedRetrain:
    """How a retrain ended.

    ``dag_run`` is the id of its run in Airflow, ``airflow_page`` the path of that run's page there ("" where
    it is not recorded), ``url`` its training run in MLflow.
    """

    at: datetime
    outcome: str
    stage: str
    sentence: str
    version: str = ""
    trigger_id: str = ""
    run_key: str = ""
    dag_run: str = ""
    airflow_page: str = ""
    url: str = ""

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> EndedRetrain:
        """Read what :mod:`homeostat.storage.retrain_outcome` stores; unknown keys are ignored."""
        texts = ("version", "trigger_id", "run_key", "dag_run", "airflow_page", "url")
        return cls(
            at=datetime.fromisoformat(raw["at"]),
            outcome=str(raw["outcome"]),
            stage=str(raw["stage"]),
            sentence=str(raw["sentence"]),
            **{name: str(raw.get(name) or "") for name in texts},
        )


@dataclass(frozen=True, slots=True)
class RegisteredVersion:
    """A version as it was registered.

    ``metrics`` are its scores on the holdout of ``rows`` rows, ``slices`` those of ``gate.slices`` there.
    """

    version: str
    at: datetime
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    rows: int = 0
    slices: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    trained_until: str = ""
    reason: str = ""
    dag_run: str = ""
    airflow_page: str = ""
    url: str = ""
    run_url: str = ""

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> RegisteredVersion:
        """Read what :func:`homeostat.retraining.register.register` stores; unknown keys are ignored."""
        texts = ("trained_until", "reason", "dag_run", "airflow_page", "url", "run_url")
        return cls(
            version=str(raw["version"]),
            at=datetime.fromisoformat(raw["at"]),
            metrics=dict(raw.get("metrics") or {}),
            rows=int(raw.get("rows") or 0),
            slices=dict(raw.get("slices") or {}),
            **{name: str(raw.get(name) or "") for name in texts},
        )


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """The present of one model.

    Parameters
    ----------
    newest
        The window that was checked last; None before the first check.
    retrain
        The retrain that ended last; None for none.
    holder
        The key of the retrain that is running; None for none.
    served
        What a gateway serves; None where that was not asked.
    """

    name: str
    now: datetime
    traffic: Traffic
    newest: WindowSummary | None = None
    retrain: EndedRetrain | None = None
    holder: str | None = None
    served: Served | None = None

    @property
    def replaced(self) -> bool:
        """Whether the newest window is of a version that is champion no more."""
        champion, newest = self.traffic.champion, self.newest
        return champion is not None and newest is not None and champion.version != newest.record.version

    @property
    def retraining(self) -> bool:
        """Whether a retrain is at work: its last task may still hold the lease when it has ended."""
        return bool(self.holder) and not self.ended_run

    @property
    def ended_run(self) -> str:
        """How the retrain ended whose run still holds the lease, in a few words; "" where it has not."""
        rollout, last = self.traffic.rollout, self.retrain
        if not self.holder:
            return ""
        if rollout is not None and rollout.id == self.holder and not rollout.phase.active:
            return f"version {rollout.candidate.version} {_ENDED[rollout.phase]}"
        if last is None or last.run_key != self.holder:
            return ""
        return "it failed" if last.outcome == "failed" else f"it was {last.outcome.replace('_', ' ')}"


@dataclass(frozen=True, slots=True)
class ModelPast:
    """The past of one model in the range that is shown, each list oldest first.

    ``windows`` may be thinned: of each part of the range the worst is kept. ``checked`` counts all.
    """

    windows: Sequence[WindowSummary] = ()
    checked: int = 0
    retrains: Sequence[EndedRetrain] = ()
    versions: Sequence[RegisteredVersion] = ()
    events: Sequence[LedgerEvent] = ()
