"""The demonstration: the platform is started, and the story told on it, stage by stage."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from rich.console import Console
from rich.table import Table

from homeostat.config import ModelConfig, Settings
from homeostat.config.errors import HomeostatError
from homeostat.demo import faults
from homeostat.demo.screen import Screen
from homeostat.demo.story import Story, load_story, overrides, stage_environment, staged_model
from homeostat.demo.world import World
from homeostat.local import AirflowApi, Platform, Step
from homeostat.local.fresh import clear_state
from homeostat.ports import Ports

STAGES = [
    ("platform", "Start MLflow, Airflow and the gateway"),
    ("first_version", "Train the first version; it becomes champion"),
    ("quiet", "The world stands still; nothing fires"),
    ("drift", "The world drifts; the trigger fires"),
    ("retrain", "Retrain, gate, shadow, canary, promote"),
    ("after", "The new champion at work"),
    ("rollback", "A broken candidate is taken back"),
]
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


def run_demo(
    settings: Settings, *, model: str, data: Path | None, leave: bool, report: Path | None, console: Console
) -> bool:
    """Tell the story; True when every stage did what it should.

    Without ``leave`` and on a terminal everything stays up until Ctrl-C. Starting again begins afresh.
    """
    plain = settings.load_model(model)
    story = load_story(plain)
    stage_environment(plain, story, data)
    state = settings.state / "demo" / model
    clear_state(state)
    settings = replace(
        Settings.from_env(),
        state=state,
        store=f"file://{state / 'store'}",
        ledger=f"sqlite:///{state / 'ledger.db'}",
        cache=state / "cache",
        overrides=str(state / "overrides.yaml"),
        trusted_types=(*settings.trusted_types, *faults.TRUSTED),
    )
    Path(settings.overrides).write_text(yaml.safe_dump(overrides(plain, story, data)), encoding="utf-8")
    config = staged_model(settings, model)

    told = Told()
    shown = [stage for stage in STAGES if stage[0] != "rollback" or config.serve == "gateway"]
    with ExitStack() as stack:
        with Screen(console, f"homeostat demo: {model}", shown) as screen:
            demo = _Demo(settings, config, story, told, screen, stack)
            ok = demo.tell(shown)
        summary = demo.summary(ok=ok)
        if report is not None:
            report.parent.mkdir(parents=True, exist_ok=True)
            report.write_text(json.dumps(summary, indent=1, default=str) + "\n", encoding="utf-8")
        _print_summary(console, summary, screen, report)
        if not leave and console.is_terminal and demo.platform is not None:
            console.print("\nEverything stays up; [bold]Ctrl-C[/] stops it.")
            _until_interrupted(demo.platform)
    return ok


class _Demo:
    """The stages, each a method; what they share."""

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

    def tell(self, stages: list[tuple[str, str]]) -> bool:
        """Every stage in order; the first that fails ends the story."""
        for name, _ in stages:
            detail: dict[str, Any] = {}
            began = time.monotonic()
            self.screen.begin(name)
            try:
                note = getattr(self, f"_{name}")(detail)
            except (HomeostatError, RuntimeError) as error:
                self.screen.end(name, ok=False, note=str(error))
                self._record(name, began, {**detail, "problem": str(error)}, ok=False)
                self._end_world()
                return False
            self.screen.end(name, ok=True, note=note)
            self._record(name, began, detail, ok=True)
        self._end_world()
        return True

    def _record(self, name: str, began: float, detail: dict[str, Any], *, ok: bool) -> None:
        seconds = round(time.monotonic() - began, 1)
        self.told.stages.append({"name": name, "ok": ok, "seconds": seconds, "detail": detail})

    def _end_world(self) -> None:
        if self.world is not None:
            self.world.end()

    # the stages ---------------------------------------------------------------------------------

    def _platform(self, detail: dict[str, Any]) -> str:
        def progress(step: Step) -> None:
            self.screen.note("platform", f"{step.name} {step.state} {step.detail}".strip())

        self.platform = self.stack.enter_context(Platform(self.settings, progress=progress))
        self.settings = self.platform.settings
        airflow = self.airflow
        for dag in (self.check_dag, self.retrain_dag):
            self.screen.note("platform", f"waiting for Airflow to read {dag}")
            airflow.wait_for_dag(dag)
            airflow.unpause(dag)
        detail |= {
            "airflow": airflow.url,
            "mlflow": self.platform.mlflow_url,
            "gateway": self.platform.gateway_url,
        }
        self.screen.links = [
            ("Airflow", f"{airflow.url}   user {airflow.user}, password {airflow.password}"),
            ("MLflow", self.platform.mlflow_url),
            ("Gateway", self.platform.gateway_url),
            ("Logs", str(self.platform.logs)),
        ]
        return "all of it is up"

    def _first_version(self, detail: dict[str, Any]) -> str:
        self.window_end = self._first_until()
        conf = {"reason": "first version", "until": self.window_end.isoformat()}
        run_id = self.airflow.trigger(self.retrain_dag, conf)
        self._follow("first_version", run_id)
        traffic = self.ports.ledger.read(self.config.name)
        if traffic.champion is None:
            msg = f"there is no champion: {self._gate(run_id).get('gate', 'the gate was not reached')}"
            raise StoryError(msg)
        detail |= {"version": traffic.champion.version, "until": self.window_end, **self._gate(run_id)}
        return f"version {traffic.champion.version} is champion"

    def _quiet(self, detail: dict[str, Any]) -> str:
        self._begin_world()
        for _ in range(self.story.quiet):
            answer = self._check_next()
            if answer["fired"]:
                msg = f"fired at {answer['window_end']} ({answer['reason']}), but nothing had drifted"
                raise StoryError(msg)
        detail |= {"windows": self.story.quiet, "requests": self.sent}
        return f"{self.story.quiet} windows checked, no trigger"

    def _drift(self, detail: dict[str, Any]) -> str:
        self.told.drift_began = self.story.drift_at or self.window_end
        for number in range(1, self.story.patience + 1):
            answer = self._check_next()
            if answer["fired"]:
                detail |= {"windows": number, "reason": answer["reason"], "window_end": answer["window_end"]}
                return f"fired after {number} windows: {answer['reason']}"
        msg = f"no trigger within {self.story.patience} windows of the drift"
        raise StoryError(msg)

    def _retrain(self, detail: dict[str, Any]) -> str:
        began = time.monotonic()
        before = self.ports.ledger.read(self.config.name).champion
        run_id = self._triggered_run()
        self._follow("retrain", run_id, meanwhile=self._check_when_due)
        traffic = self.ports.ledger.read(self.config.name)
        if traffic.champion is None or traffic.champion == before:
            why = traffic.rollout.reason if traffic.rollout else "no rollout began"
            msg = f"the new version was not promoted: {why or self._gate(run_id)}"
            raise StoryError(msg)
        self.told.promoted_wall = time.time()
        detail |= {"version": traffic.champion.version, "dag_run": run_id, **self._gate(run_id)}
        seconds = time.monotonic() - began
        return f"version {traffic.champion.version} is champion, {seconds:.0f} s after the trigger"

    def _after(self, detail: dict[str, Any]) -> str:
        for _ in range(self.story.after):
            self._check_next()
        accuracy = self.accuracy()
        detail |= {"accuracy": accuracy}
        if len(self.told.triggers) != 1:
            msg = f"expected one retrain, the trigger fired {len(self.told.triggers)} times"
            raise StoryError(msg)
        if not accuracy["after"] or not accuracy["drifted"] or accuracy["after"] <= accuracy["drifted"]:
            msg = f"the new champion is no better than the old one was: {accuracy}"
            raise StoryError(msg)
        before, drifted, now = (f"{accuracy[name]:.3f}" for name in ("before_drift", "drifted", "after"))
        return f"accuracy {before} before the drift, {drifted} in it, {now} with the new version"

    def _rollback(self, detail: dict[str, Any]) -> str:
        began = self.window_end
        champion = self.ports.ledger.read(self.config.name).champion
        kind = "classifier" if self.config.task == "classification" else "regressor"
        conf = {
            "reason": "demonstration: a broken candidate",
            "pipeline": f"homeostat.demo.faults:{kind}",
            "until": began.isoformat(),
            "skip_shadow": True,
            "force": True,
        }
        run_id = self.airflow.trigger(self.retrain_dag, conf)
        self._follow("rollback", run_id, meanwhile=self._check_when_due, expect="failed")
        traffic = self.ports.ledger.read(self.config.name)
        rollout = traffic.rollout
        if rollout is None or str(rollout.phase) != "rolled_back" or traffic.champion != champion:
            msg = (
                f"the broken candidate was not taken back: {rollout.phase if rollout else 'no rollout began'}"
            )
            raise StoryError(msg)
        time.sleep(2)  # answers of the bad version that were still under way would show now
        first, last, count = self._bad_answers(rollout.candidate.version, began)
        self.told.rollback_seconds = round((last - first).total_seconds(), 3)
        detail |= {
            "version": rollout.candidate.version,
            "reason": rollout.reason,
            "by": self._who_rolled_back(rollout.id),
            "answers_of_the_bad_version": count,
            "seconds": self.told.rollback_seconds,
            "failed_requests": self.failed,
        }
        if self.failed:
            msg = f"{self.failed} client requests failed"
            raise StoryError(msg)
        version, seconds = rollout.candidate.version, self.told.rollback_seconds
        return f"version {version} met traffic for {seconds:.2f} s, no request failed: {rollout.reason}"

    # what they use ------------------------------------------------------------------------------

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

    @property
    def ports(self) -> Ports:
        """The platform's own store, ledger and registry."""
        from homeostat.adapters import build_ports

        return build_ports(self.settings)

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

    def _first_until(self) -> datetime:
        if self.story.first_until is not None:
            return self.story.first_until.astimezone(UTC)
        stamp = self.config.columns.timestamp
        rows = self.ports.source.read(self.config, None, None)
        at: datetime = rows[stamp].iloc[int(len(rows) * self.story.first_share)].to_pydatetime()
        return at.replace(hour=0, minute=0, second=0, microsecond=0)

    def _begin_world(self) -> None:
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
        if self.world is None:
            msg = "there is no traffic"
            raise StoryError(msg)
        end = self.window_end + self.config.monitor.every
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
        self.world.checked(end)
        if answer["fired"]:
            self.told.triggers.append({"window_end": answer["window_end"], "reason": answer["reason"]})
        self._show(answer)
        return answer

    def _check_when_due(self) -> None:
        """Check the next window if its traffic has been sent already."""
        if self.world is not None and self.world.window_end > self.window_end:
            self._check_next()

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

    def _answers(self) -> list[Any]:
        return list(self.world.traffic.answers) if self.world else []

    def _flush(self) -> None:
        import httpx

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
        for task in self.airflow.task_instances(self.retrain_dag, run_id):
            if task["state"] == "failed":
                log = self.airflow.task_log(self.retrain_dag, run_id, task["task_id"], task["try_number"])
                return f" at {task['task_id']}: {log[-1500:]}"
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
        from homeostat.flows import log

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


def _print_summary(console: Console, summary: dict[str, Any], screen: Screen, report: Path | None) -> None:
    table = Table(title="What happened", title_justify="left", box=None, padding=(0, 2), header_style="dim")
    for column in ("", "stage", "seconds", "what came of it"):
        table.add_column(column)
    for stage in summary["stages"]:
        line = screen.stages[stage["name"]]
        mark = "[green]✔[/]" if stage["ok"] else "[red]✘[/]"
        table.add_row(mark, line.title, f"{stage['seconds']:.0f}", line.note)
    console.print()
    console.print(table)
    where = Table(title="Where to look", title_justify="left", box=None, padding=(0, 2), show_header=False)
    for name, text in screen.links:
        where.add_row(name, text)
    if report is not None:
        where.add_row("Report", str(report))
    console.print(where)


@contextmanager
def _interrupt_is_the_end() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        return


def _until_interrupted(platform: Platform) -> None:
    with _interrupt_is_the_end():
        while True:
            platform.check()
            time.sleep(1)
