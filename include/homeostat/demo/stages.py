"""The stages of the demonstration, each a method that says what came of it, or raises."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from homeostat.config.errors import HomeostatError
from homeostat.demo.compare import new_against_old
from homeostat.demo.context import RUN_SECONDS, Backstage, StoryError
from homeostat.dev_stack import Platform, Step

STAGES = [
    ("platform", "Start MLflow, Airflow and the gateway"),
    ("first_version", "Train the first version; it becomes champion"),
    ("quiet", "The world stands still; nothing fires"),
    ("drift", "The world drifts; the trigger fires"),
    ("retrain", "Retrain, gate, shadow, canary, promote"),
    ("after", "The new champion at work"),
    ("rollback", "A broken candidate is taken back"),
    ("rest", "The rest of the file, as traffic"),
]


class Stages(Backstage):
    """The story, in order."""

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

    def _platform(self, detail: dict[str, Any]) -> str:
        def progress(step: Step) -> None:
            self.screen.note("platform", f"{step.name} {step.state} {step.detail}".strip())

        self.platform = self.stack.enter_context(Platform(self.settings, progress=progress))
        self.settings = self.platform.settings
        airflow = self.airflow
        for dag in (self.check_dag, self.retrain_dag):
            self.screen.note("platform", f"waiting for Airflow to read {dag}")
            airflow.wait_for_dag(dag, RUN_SECONDS)
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
        with self._slowly(self.story.seconds_per_window_in_rollouts):
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
        began = self.window_end
        for _ in range(self.story.after):
            self._check_next()
        if len(self.told.triggers) != 1:
            msg = f"expected one retrain, the trigger fired {len(self.told.triggers)} times"
            raise StoryError(msg)
        compared = new_against_old(self.ports, self.config, began, self.window_end)
        detail |= {"accuracy": self.accuracy(), "on_the_same_rows": compared.to_json()}
        if compared.surely_worse:
            msg = f"the old version would have done better: {compared.sentence()}"
            raise StoryError(msg)
        return compared.sentence()

    def _rest(self, detail: dict[str, Any]) -> str:
        world, before, began = self.world, self.sent, self.window_end
        if world is None:
            msg = "there is no traffic"
            raise StoryError(msg)
        world.hurry()
        while world.is_alive():
            self.screen.note("rest", f"{self.sent - before} rows, up to {world.window_end:%Y-%m-%d}")
            world.join(timeout=1)
        if world.problem is not None:
            raise StoryError(str(world.problem)) from world.problem
        self.every_request_answered()
        compared = new_against_old(self.ports, self.config, began, world.window_end)
        detail |= {
            "requests": self.sent - before,
            "until": world.window_end,
            "on_the_same_rows": compared.to_json(),
        }
        rows, until = self.sent - before, f"{world.window_end:%Y-%m-%d}"
        return f"{rows} more rows served, to {until}, without checks: {compared.sentence()}"

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
        with self._slowly(12.0):
            before_canary = partial(self._check_before_canary, run_id)
            self._follow("rollback", run_id, meanwhile=before_canary, expect="failed")
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
        self.every_request_answered()
        version, seconds = rollout.candidate.version, self.told.rollback_seconds
        return f"version {version} met traffic for {seconds:.2f} s, no request failed: {rollout.reason}"
