"""What the demo's stages share: access to Airflow and the gateway, the traffic, and the report."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import httpx
import pandas as pd

from homeostat.config import ModelConfig, Settings
from homeostat.config.errors import HomeostatError
from homeostat.core.rollout import Rollout
from homeostat.core.rollout.health import compare_by_labels
from homeostat.demo.display import Display
from homeostat.demo.rows import DemoRows
from homeostat.demo.scenario import Scenario
from homeostat.demo.traffic import TrafficSender
from homeostat.dev_stack import AirflowApi, Platform
from homeostat.ports import Ports
from homeostat.replay import RowResult
from homeostat.storage import prediction_log as log
from homeostat.storage.retrain_request import run_key

#: Seconds that one DAG run may take.
RUN_SECONDS = 600.0


class DemoError(HomeostatError):
    """A stage failed; the message says what was expected and what happened."""


@dataclass(slots=True)
class DemoRecord:
    """What has happened so far, for the report."""

    stages: list[dict[str, Any]] = field(default_factory=list)
    triggers: list[dict[str, str]] = field(default_factory=list)
    windows: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    rollback_seconds: float | None = None
    drift_began: datetime | None = None
    promoted_wall: float | None = None
    concept_at: datetime | None = None
    healed_wall: float | None = None
    followed: set[str] = field(default_factory=set)


class DemoContext:
    """The platform, the traffic, and the calls that the stages make."""

    def __init__(
        self,
        settings: Settings,
        config: ModelConfig,
        scenario: Scenario,
        rows: DemoRows,
        *,
        record: DemoRecord,
        display: Display,
        stack: ExitStack,
    ) -> None:
        self.settings = settings
        self.config = config
        self.scenario = scenario
        self.rows = rows
        self.record = record
        self.display = display
        self.stack = stack
        self.platform: Platform | None = None
        self.sender: TrafficSender | None = None
        self.served = config.serve == "gateway"
        self.window_end = datetime.now(UTC)

    def _stop_traffic(self) -> None:
        if self.sender is not None:
            self.sender.end()

    @property
    def airflow(self) -> AirflowApi:
        """The client of Airflow's API."""
        return self._up.airflow

    @property
    def _up(self) -> Platform:
        if self.platform is None:
            msg = "the platform is not running"
            raise DemoError(msg)
        return self.platform

    @cached_property
    def ports(self) -> Ports:
        """The platform's store, ledger and registry; available once it is running."""
        from homeostat.adapters import build_ports

        return build_ports(self._up.settings)

    @property
    def check_dag(self) -> str:
        """DAG id of the drift check."""
        return f"drift_check__{self.config.name}"

    @property
    def retrain_dag(self) -> str:
        """DAG id of the retrain."""
        return f"retrain__{self.config.name}"

    @property
    def sent(self) -> int:
        """Requests sent so far."""
        return self.sender.traffic.sent if self.sender else 0

    @property
    def failed(self) -> int:
        """Requests that failed so far."""
        return self.sender.traffic.failed if self.sender else 0

    def check_no_failed_requests(self) -> None:
        """Raise StoryError when a client's request failed."""
        if self.sender and self.failed:
            msg = f"{self.failed} client requests failed; the last error: {self.sender.traffic.problem}"
            raise DemoError(msg)

    def _start_traffic(self) -> None:
        if not self.served:
            return  # scored in batch: the checks read the source
        self.sender = TrafficSender(
            self.config,
            self.settings.gateway,
            self.rows.between,
            self.window_end,
            self.scenario.seconds_per_window,
        )
        self.sender.start()

    def _check_next(self) -> dict[str, Any]:
        """Wait for the next window's traffic, then run its drift check in Airflow."""
        end = self.window_end + self.config.monitor.every
        if self.sender is not None:
            self.sender.wait_for(end)
            self._flush()
        stamp = end.isoformat()
        run_id = self.airflow.trigger(self.check_dag, {"window_end": stamp}, run_id=f"replayed__{stamp}")
        run = self.airflow.wait_for_run(self.check_dag, run_id, RUN_SECONDS)
        if run["state"] != "success":
            msg = f"{self.check_dag} {run_id} ended as {run['state']}; see the task's log in Airflow"
            raise DemoError(msg)
        check: dict[str, Any] = self.airflow.xcom(self.check_dag, run_id, "check")
        self.window_end = end
        if self.sender is not None:
            self.sender.checked(end)
        if check["fired"]:
            self.record.triggers.append({"window_end": check["window_end"], "reason": check["reason"]})
            self._mark(end, "trigger")
        self._show(check)
        return check

    @contextmanager
    def _slowed_to(self, seconds: float) -> Iterator[None]:
        """Stretch each window's traffic to ``seconds``, so that a rollout spans only a few windows."""
        if self.sender is None:
            yield
            return
        usual = self.sender.seconds_per_window
        self.sender.seconds_per_window = max(usual, seconds)
        try:
            yield
        finally:
            self.sender.seconds_per_window = usual

    def _check_when_due(self) -> None:
        """Check the next window when its traffic has been sent."""
        if self.sender is not None and self.sender.window_end > self.window_end:
            self._check_next()

    def _check_before_canary(self, run_id: str) -> None:
        """Check due windows only until the canary starts, which lasts too short for a check."""
        model, mine = self.config.name, run_key(self.config.name, run_id)
        rollout = self.ports.ledger.read(model).rollout
        begun = rollout is not None and rollout.id == mine
        if not begun and self.ports.ledger.lease_holder(model, datetime.now(UTC)) == mine:
            self._check_when_due()

    def _show(self, check: dict[str, Any]) -> None:
        start = self.window_end - self.config.monitor.every
        right = [
            a.right for a in self._row_results() if start <= a.at < self.window_end and a.right is not None
        ]
        accuracy = sum(right) / len(right) if right else None
        self.record.windows.append({"end": self.window_end.isoformat(), "accuracy": accuracy})
        share = check["drifted_share"]
        self.display.window(
            f"{self.window_end:%Y-%m-%d %H:%M}",
            "-" if share is None else f"{share:.0%}",
            check["performance"],
            "-" if accuracy is None else f"{accuracy:.3f}",
            f"RETRAIN: {check['reason']}" if check["fired"] else check["reason"].replace("_", " "),
        )
        self.display.traffic = f"{self.sent} requests sent, {self.failed} failed"

    @property
    def _sent_until(self) -> datetime:
        """The end of the last window whose traffic was sent."""
        return self.window_end if self.sender is None else self.sender.window_end

    def _mark(self, at: datetime, what: str, *, harms: bool = False) -> None:
        """Mark a time of the traffic in the report's picture."""
        self.record.events.append({"at": at.isoformat(), "what": what, "harms": harms})

    def _row_results(self) -> list[RowResult]:
        return list(self.sender.traffic.results) if self.sender else []

    def _flush(self) -> None:
        headers = {"Authorization": f"Bearer {self._up.control_token}"}
        response = httpx.post(
            f"{self.settings.gateway}/control/flush", headers=headers, timeout=30, trust_env=False
        )
        response.raise_for_status()

    def _triggered_run(self) -> str:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for run in self.airflow.runs(self.retrain_dag):
                run_id = str(run["dag_run_id"])
                if run["run_type"] == "asset_triggered" and run_id not in self.record.followed:
                    self.record.followed.add(run_id)
                    return run_id
            time.sleep(0.3)
        msg = f"the trigger fired, but no run of {self.retrain_dag} started within a minute"
        raise DemoError(msg)

    def _follow(
        self,
        stage: str,
        run_id: str,
        *,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> None:
        """Wait for a retrain run to end, and show its current task; a refusal is a success of the run."""
        deadline = time.monotonic() + RUN_SECONDS
        while True:
            state = self.airflow.run(self.retrain_dag, run_id)["state"]
            if state in ("success", "failed"):
                break
            if time.monotonic() > deadline:
                msg = f"{self.retrain_dag} {run_id} did not end within {RUN_SECONDS:.0f} s"
                raise DemoError(msg)
            self.display.note(stage, self._current_tasks(run_id))
            meanwhile()
            time.sleep(0.5)
        if state != "success":
            msg = f"{self.retrain_dag} {run_id} ended as {state}{self._first_failure(run_id)}"
            raise DemoError(msg)

    def _current_tasks(self, run_id: str) -> str:
        tasks = self.airflow.task_instances(self.retrain_dag, run_id)
        busy = [
            task["task_id"]
            for task in tasks
            if task["state"] in ("queued", "running", "deferred", "scheduled")
        ]
        rollout = self.ports.ledger.read(self.config.name).active
        share = f", {rollout.share:.0%} of the traffic" if rollout and rollout.share else ""
        return f"{' '.join(busy) or 'next task'}{share}"

    def _first_failure(self, run_id: str) -> str:
        """Return which task failed, and its error message."""
        for task in self.airflow.task_instances(self.retrain_dag, run_id):
            if task["state"] == "failed":
                log = self.airflow.task_log(self.retrain_dag, run_id, task["task_id"], task["try_number"])
                messages = re.findall(r"'exc_value': (['\"])(.*?)\1, '", log)
                return f" at {task['task_id']}: {messages[-1][1] if messages else log[-600:]}"
        return ""

    def _gate(self, run_id: str) -> dict[str, Any]:
        try:
            gate = self.airflow.xcom(self.retrain_dag, run_id, "gate")
        except HomeostatError:
            return {}
        return {"gate": gate["sentence"]}

    def _bad_predictions(self, version: str, since: datetime) -> tuple[datetime, datetime, int]:
        """Return when the bad version got its first request, when its last one ended, and their number.

        Read from the prediction log: clients get the champion's predictions instead of invalid ones.
        """
        self._flush()
        until = since + self.config.monitor.every * 100
        rows = log.read_predictions(self.ports.store, self.config, since, until).rows
        fell_back = rows["_error"].fillna("").str.startswith(f"candidate {version}:")
        bad = rows[(rows["_version"] == version) | fell_back]
        if bad.empty:
            msg = f"version {version} got no request"
            raise DemoError(msg)
        spent = (bad["_latency_ms"].fillna(0.0) * 1000).round().astype("int64")
        ended = bad["_received_at"] + pd.to_timedelta(spent, unit="us")
        return bad["_received_at"].min().to_pydatetime(), ended.max().to_pydatetime(), len(bad)

    def _rolled_back_by(self, rollout_id: str) -> str:
        for event in reversed(self.ports.ledger.events(self.config.name)):
            inner = event.traffic.get("rollout") or {}
            if event.kind == "rolled_back" and inner.get("id") == rollout_id:
                return event.by
        return "unknown"

    def _rollout_figures(self, rollout: Rollout) -> dict[str, Any]:
        """Return what the newest rollout saw: the disagreement, expected and seen, and the labelled pairs.

        The pairs are those that are known by now, also of the reverse shadow.
        """
        found: dict[str, Any] = {}
        for event in self.ports.ledger.events(self.config.name):
            checks = {check["name"]: check["figures"] for check in event.evidence.get("checks", ())}
            if event.traffic["rollout"]["id"] == rollout.id and "divergence" in checks:
                seen = checks["divergence"]
                share = seen["diverged"] / max(1, seen["compared"])
                found["disagreement"] = {"expected": seen.get("expected"), "seen": share}
        evidence = self.ports.ledger.evidence(self.config.name, rollout.id)
        pairs = compare_by_labels(rollout, evidence).figures
        if "score" in pairs:
            found["labelled_pairs"] = {
                "pairs": pairs["pairs"],
                "new": pairs["score"],
                "old": pairs["other_score"],
            }
        return found

    def accuracy(self) -> dict[str, float | None]:
        """Return the accuracy of each part of the story.

        ``before_drift``; ``drifted``, until the promotion; ``after``, until the concept changes; ``changed``,
        until the next promotion; ``healed``.
        """
        record = self.record
        parts: dict[str, list[bool]] = {
            name: [] for name in ("before_drift", "drifted", "after", "changed", "healed")
        }
        for row in self._row_results():
            if row.right is None:
                continue
            if record.drift_began is None or row.at < record.drift_began:
                name = "before_drift"
            elif record.promoted_wall is None or row.wall < record.promoted_wall:
                name = "drifted"
            elif record.concept_at is None or row.at < record.concept_at:
                name = "after"
            else:
                healed = record.healed_wall is not None and row.wall >= record.healed_wall
                name = "healed" if healed else "changed"
            parts[name].append(row.right)
        return {name: round(sum(right) / len(right), 4) if right else None for name, right in parts.items()}

    def summary(self, *, ok: bool) -> dict[str, Any]:
        """Return the report as JSON."""
        try:
            versions = [
                {"version": version.version, "digest": version.digest, "tags": dict(version.tags)}
                for version in (self.ports.registry.versions(self.config.name) if self.platform else [])
            ]
        except HomeostatError:
            versions = []
        return {
            "model": self.config.name,
            "ok": ok,
            "stages": self.record.stages,
            "versions": versions,
            "triggers": self.record.triggers,
            "windows": self.record.windows,
            "events": self.record.events,
            "requests": {"sent": self.sent, "failed": self.failed},
            "rollback_seconds": self.record.rollback_seconds,
            "accuracy": self.accuracy(),
        }
