"""Behind the scenes of the demonstration: what its stages ask of Airflow, the gateway and the world."""

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
from homeostat.demo.display import Screen
from homeostat.demo.scenario import Story
from homeostat.demo.traffic import World
from homeostat.dev_stack import AirflowApi, Platform
from homeostat.ports import Ports
from homeostat.replay import Answer
from homeostat.storage import prediction_log as log
from homeostat.storage.retrain_request import run_key

#: How long one DAG run of the story may take.
RUN_SECONDS = 300.0


class StoryError(HomeostatError):
    """A stage did not do what it should; the message says which and how."""


@dataclass(slots=True)
class Told:
    """What has happened so far."""

    stages: list[dict[str, Any]] = field(default_factory=list)
    triggers: list[dict[str, str]] = field(default_factory=list)
    rollback_seconds: float | None = None
    drift_began: datetime | None = None
    promoted_wall: float | None = None


class Backstage:
    """What the stages share: the platform, the world, and how to ask them."""

    def __init__(
        self,
        settings: Settings,
        config: ModelConfig,
        story: Story,
        told: Told,
        screen: Screen,
        stack: ExitStack,
    ) -> None:
        self.settings = settings
        self.config = config
        self.story = story
        self.told = told
        self.screen = screen
        self.stack = stack
        self.platform: Platform | None = None
        self.world: World | None = None
        self.served = config.serve == "gateway"
        self.window_end = datetime.now(UTC)

    def _end_world(self) -> None:
        if self.world is not None:
            self.world.end()

    @property
    def airflow(self) -> AirflowApi:
        """Airflow's client."""
        return self._up.airflow

    @property
    def _up(self) -> Platform:
        if self.platform is None:
            msg = "the platform is not up"
            raise StoryError(msg)
        return self.platform

    @cached_property
    def ports(self) -> Ports:
        """The platform's own store, ledger and registry; not before it is up."""
        from homeostat.adapters import build_ports

        return build_ports(self._up.settings)

    @property
    def check_dag(self) -> str:
        """The drift check's DAG id."""
        return f"drift_check__{self.config.name}"

    @property
    def retrain_dag(self) -> str:
        """The retrain's DAG id."""
        return f"retrain__{self.config.name}"

    @property
    def sent(self) -> int:
        """Requests so far."""
        return self.world.traffic.sent if self.world else 0

    @property
    def failed(self) -> int:
        """Requests so far that were not answered well."""
        return self.world.traffic.failed if self.world else 0

    def every_request_answered(self) -> None:
        """Raise StoryError when a client's request failed."""
        if self.world and self.failed:
            msg = f"{self.failed} client requests failed: {self.world.traffic.problem}"
            raise StoryError(msg)

    def _first_until(self) -> datetime:
        if self.story.first_until is not None:
            return self.story.first_until.astimezone(UTC)
        stamp = self.config.columns.timestamp
        rows = self.ports.source.read(self.config, None, None)
        at: datetime = rows[stamp].iloc[int(len(rows) * self.story.first_share)].to_pydatetime()
        return at.replace(hour=0, minute=0, second=0, microsecond=0)

    def _begin_world(self) -> None:
        if not self.served:
            return  # scored in batch elsewhere: the checks read the source
        source = self.ports.source
        self.world = World(
            self.config,
            self.settings.gateway,
            lambda start, end: source.read(self.config, start, end),
            self.window_end,
            self.story.seconds_per_window,
        )
        self.world.start()

    def _check_next(self) -> dict[str, Any]:
        """Wait for the next window's traffic, then check it in Airflow."""
        end = self.window_end + self.config.monitor.every
        if self.world is not None:
            self.world.wait_for(end)
            self._flush()
        stamp = end.isoformat()
        run_id = self.airflow.trigger(self.check_dag, {"window_end": stamp}, run_id=f"replayed__{stamp}")
        run = self.airflow.wait_for_run(self.check_dag, run_id, RUN_SECONDS)
        if run["state"] != "success":
            msg = f"{self.check_dag} {run_id} ended as {run['state']}; see its log in Airflow"
            raise StoryError(msg)
        answer: dict[str, Any] = self.airflow.xcom(self.check_dag, run_id, "check")
        self.window_end = end
        if self.world is not None:
            self.world.checked(end)
        if answer["fired"]:
            self.told.triggers.append({"window_end": answer["window_end"], "reason": answer["reason"]})
        self._show(answer)
        return answer

    @contextmanager
    def _slowly(self, seconds: float) -> Iterator[None]:
        """Let a window take longer: a rollout takes seconds here and must not outlast whole seasons."""
        if self.world is None:
            yield
            return
        pace = self.world.pace
        self.world.pace = max(pace, seconds)
        try:
            yield
        finally:
            self.world.pace = pace

    def _check_when_due(self) -> None:
        """Check the next window if its traffic has been sent already."""
        if self.world is not None and self.world.window_end > self.window_end:
            self._check_next()

    def _check_before_canary(self, run_id: str) -> None:
        """Check what is due while a candidate is being made; its canary is over in a moment."""
        model, mine = self.config.name, run_key(self.config.name, run_id)
        rollout = self.ports.ledger.read(model).rollout
        begun = rollout is not None and rollout.id == mine
        if not begun and self.ports.ledger.holder(model, datetime.now(UTC)) == mine:
            self._check_when_due()

    def _show(self, answer: dict[str, Any]) -> None:
        start = self.window_end - self.config.monitor.every
        right = [a.right for a in self._answers() if start <= a.at < self.window_end and a.right is not None]
        share = answer["drifted_share"]
        self.screen.window(
            f"{self.window_end:%Y-%m-%d %H:%M}",
            "-" if share is None else f"{share:.0%}",
            answer["performance"],
            f"{sum(right) / len(right):.3f}" if right else "-",
            f"RETRAIN: {answer['reason']}" if answer["fired"] else answer["reason"].replace("_", " "),
        )
        self.screen.traffic = f"{self.sent} requests sent, {self.failed} failed"

    def _answers(self) -> list[Answer]:
        return list(self.world.traffic.answers) if self.world else []

    def _flush(self) -> None:
        headers = {"Authorization": f"Bearer {self._up.control_token}"}
        answer = httpx.post(
            f"{self.settings.gateway}/control/flush", headers=headers, timeout=30, trust_env=False
        )
        answer.raise_for_status()

    def _triggered_run(self) -> str:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for run in self.airflow.runs(self.retrain_dag):
                if run["run_type"] == "asset_triggered":
                    return str(run["dag_run_id"])
            time.sleep(0.3)
        msg = "the trigger fired, but no retrain run started within a minute"
        raise StoryError(msg)

    def _follow(
        self,
        stage: str,
        run_id: str,
        *,
        meanwhile: Callable[[], None] = lambda: None,
        expect: str = "success",
    ) -> None:
        """Watch a retrain run to its end, telling which task it is at."""
        deadline = time.monotonic() + RUN_SECONDS
        while True:
            state = self.airflow.run(self.retrain_dag, run_id)["state"]
            if state in ("success", "failed"):
                break
            if time.monotonic() > deadline:
                msg = f"{self.retrain_dag} {run_id} was not done after {RUN_SECONDS:.0f} s"
                raise StoryError(msg)
            self.screen.note(stage, self._where(run_id))
            meanwhile()
            time.sleep(0.5)
        if state != expect:
            msg = f"{self.retrain_dag} {run_id} ended as {state}{self._first_failure(run_id)}"
            raise StoryError(msg)

    def _where(self, run_id: str) -> str:
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
        """Which task failed, and the sentence that its error said."""
        for task in self.airflow.task_instances(self.retrain_dag, run_id):
            if task["state"] == "failed":
                log = self.airflow.task_log(self.retrain_dag, run_id, task["task_id"], task["try_number"])
                said = re.findall(r"'exc_value': (['\"])(.*?)\1, '", log)
                return f" at {task['task_id']}: {said[-1][1] if said else log[-600:]}"
        return ""

    def _gate(self, run_id: str) -> dict[str, Any]:
        try:
            gate = self.airflow.xcom(self.retrain_dag, run_id, "gate")
        except HomeostatError:
            return {}
        return {"gate": gate["sentence"]}

    def _bad_answers(self, version: str, since: datetime) -> tuple[datetime, datetime, int]:
        """When the bad version first met a request, when its last one was answered, and how many they were.

        Out of the gateway's own log: clients never see a bad answer, the champion steps in.
        """
        self._flush()
        until = since + self.config.monitor.every * 100
        rows = log.read_predictions(self.ports.store, self.config, since, until).rows
        stepped_in = rows["_error"].fillna("").str.startswith(f"candidate {version}:")
        bad = rows[(rows["_version"] == version) | stepped_in]
        if bad.empty:
            msg = f"no request ever met version {version}"
            raise StoryError(msg)
        spent = (bad["_latency_ms"].fillna(0.0) * 1000).round().astype("int64")
        answered = bad["_received_at"] + pd.to_timedelta(spent, unit="us")
        return bad["_received_at"].min().to_pydatetime(), answered.max().to_pydatetime(), len(bad)

    def _who_rolled_back(self, rollout_id: str) -> str:
        for event in reversed(self.ports.ledger.events(self.config.name)):
            inner = event.traffic.get("rollout") or {}
            if event.kind == "rolled_back" and inner.get("id") == rollout_id:
                return event.by
        return "unknown"

    def accuracy(self) -> dict[str, float | None]:
        """Share of right answers: before the drift, between drift and promotion, and after it."""
        began = self.told.drift_began
        promoted = self.told.promoted_wall
        parts: dict[str, list[bool]] = {"before_drift": [], "drifted": [], "after": []}
        for answer in self._answers():
            if answer.right is None:
                continue
            if began is None or answer.at < began:
                parts["before_drift"].append(answer.right)
            elif promoted is None or answer.wall < promoted:
                parts["drifted"].append(answer.right)
            else:
                parts["after"].append(answer.right)
        return {name: round(sum(right) / len(right), 4) if right else None for name, right in parts.items()}

    def summary(self, *, ok: bool) -> dict[str, Any]:
        """The report, as JSON."""
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
            "stages": self.told.stages,
            "versions": versions,
            "triggers": self.told.triggers,
            "requests": {"sent": self.sent, "failed": self.failed},
            "rollback_seconds": self.told.rollback_seconds,
            "accuracy": self.accuracy(),
        }
