"""What happened to a model, as marks: triggers, retrains, rollouts, promotions and roll-backs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from homeostat.core.model_health.record import EndedRetrain, LedgerEvent, ModelPast
from homeostat.core.model_health.states import as_sentence
from homeostat.core.model_health.window_summary import WindowSummary
from homeostat.core.rollout import EventKind, Traffic
from homeostat.core.rollout.transitions import previous_was_rolled_back

#: Outcomes of a retrain that the ledger's events show already.
_IN_LEDGER = {
    ("promoted", "champion"),
    *(("refused", stage) for stage in ("load", "shadow", "canary", "approval")),
}
_TITLES = {
    EventKind.BEGUN: "Version {version} registered",
    EventKind.SHADOW: "Version {version} in shadow",
    EventKind.CANARY: "Version {version} in canary",
    EventKind.WAITING: "Version {version} waits for approval",
    EventKind.EXTENDED: "Rollout of version {version} extended",
    EventKind.CLOCK_RESET: "Clock of the rollout reset",
    EventKind.APPROVED: "Version {version} approved",
    EventKind.PROMOTED: "Version {version} promoted",
}
_OUTCOMES = {
    "refused": ("refused", "Candidate refused"),
    "failed": ("failed", "Retrain failed"),
    "not_worthwhile": ("probe", "Probe: a retrain does not pay yet"),
    "superseded": ("superseded", "Retrain superseded"),
    "promoted": ("promoted", "Retrain promoted"),
}
#: Titles of refusals without a candidate.
_AT_STAGE = {"environment": "Retrain refused: another environment"}


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened.

    ``kind`` is one of ``triggered``, ``refused``, ``failed``, ``probe``, ``superseded``, ``promoted``,
    ``rolled_back`` and ``rollout``. ``by`` is who did it, "" for
    Homeostat itself; ``dag_run`` is a run in Airflow,
    ``airflow_page`` the path of its page there, ``url`` a page of MLflow.
    """

    at: datetime
    kind: str
    title: str
    reason: str
    version: str = ""
    by: str = ""
    dag_run: str = ""
    airflow_page: str = ""
    url: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return asdict(self) | {"at": self.at.isoformat()}


def timeline(model: str, past: ModelPast) -> list[Mark]:
    """Return what happened to a model, oldest first."""
    marks = [*_triggers(past.windows), *_ends(model, past.retrains), *map(_of_event, past.events)]
    return sorted(marks, key=lambda mark: mark.at)


def _triggers(windows: Iterable[WindowSummary]) -> list[Mark]:
    return [
        Mark(
            at=window.record.window_end,
            kind="triggered",
            title="Retrain requested",
            reason=window.sentence,
            version=window.record.version,
            airflow_page=window.airflow_page,
            url=window.url,
        )
        for window in windows
        if window.record.fired
    ]


def _ends(model: str, retrains: Sequence[EndedRetrain]) -> list[Mark]:
    return [
        Mark(
            at=retrain.at,
            kind=_OUTCOMES[retrain.outcome][0],
            title=_AT_STAGE.get(retrain.stage) or _OUTCOMES[retrain.outcome][1],
            reason=as_sentence(retrain.sentence, model),
            version=retrain.version,
            dag_run=retrain.dag_run,
            airflow_page=retrain.airflow_page,
            url=retrain.url,
        )
        for retrain in retrains
        if retrain.outcome in _OUTCOMES and (retrain.outcome, retrain.stage) not in _IN_LEDGER
    ]


def _of_event(event: LedgerEvent) -> Mark:
    traffic = Traffic.from_json(dict(event.traffic))
    version = traffic.rollout.candidate.version if traffic.rollout else ""
    kind, title = "rollout", event.kind.replace("_", " ").capitalize()
    if event.kind == EventKind.PROMOTED:
        kind = "promoted"
    if event.kind == EventKind.ROLLED_BACK:
        kind, title = _taken_back(traffic, version)
    elif event.kind in _TITLES:
        title = _TITLES[EventKind(event.kind)].format(version=version)
    return Mark(event.at, kind, title, as_sentence(event.reason), version, event.by)


def _taken_back(traffic: Traffic, version: str) -> tuple[str, str]:
    """Tell a champion that was rolled back from a candidate that was refused."""
    if previous_was_rolled_back(traffic) and traffic.champion is not None:
        return "rolled_back", f"Rolled back from version {version} to {traffic.champion.version}"
    return "refused", f"Version {version} taken out of its rollout"
