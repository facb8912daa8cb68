"""The stages of the demo. Each is a method that returns its result as a sentence, or raises."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from homeostat.config.errors import HomeostatError
from homeostat.demo.compare import compare_with_previous
from homeostat.demo.context import RUN_SECONDS, DemoContext, DemoError
from homeostat.dev_stack import Platform, ServiceProgress

STAGES = [
    ("platform", "Start MLflow, Airflow and the gateway"),
    ("first_version", "Train the first version; it becomes champion"),
    ("quiet", "Normal traffic; the trigger does not fire"),
    ("drift", "The data drifts; the trigger fires"),
    ("retrain", "Retrain, gate, shadow, canary, promote"),
    ("after", "The new champion serves the drifted data"),
    ("concept", "The meaning of the inputs changes; the trigger fires"),
    ("heal", "Retrain again; labels of the rollout decide; promote"),
    ("rollback", "A broken candidate is rolled back"),
    ("rest", "Send the rest of the file as traffic"),
]


class Stages(DemoContext):
    """The stages, in order."""

    def run_stages(self, stages: list[tuple[str, str]]) -> bool:
        """Run the stages in order; return False at the first that fails."""
        for name, _ in stages:
            detail: dict[str, Any] = {}
            began = time.monotonic()
            self.display.begin(name)
            try:
                note = getattr(self, f"_{name}")(detail)
            except (HomeostatError, RuntimeError) as error:
                self.display.end(name, ok=False, note=str(error))
                self._record(name, began, {**detail, "problem": str(error)}, str(error), ok=False)
                self._stop_traffic()
                return False
            self.display.end(name, ok=True, note=note)
            self._record(name, began, detail, note, ok=True)
        self._stop_traffic()
        return True

    def _record(self, name: str, began: float, detail: dict[str, Any], result: str, *, ok: bool) -> None:
        seconds = round(time.monotonic() - began, 1)
        self.record.stages.append(
            {"name": name, "ok": ok, "seconds": seconds, "result": result, "detail": detail}
        )

    def _platform(self, detail: dict[str, Any]) -> str:
        def progress(step: ServiceProgress) -> None:
            self.display.note("platform", f"{step.name} {step.state} {step.detail}".strip())

        self.platform = self.stack.enter_context(Platform(self.settings, progress=progress))
        self.settings = self.platform.settings
        airflow = self.airflow
        for dag in (self.check_dag, self.retrain_dag):
            self.display.note("platform", f"waiting for Airflow to read {dag}")
            airflow.wait_for_dag(dag, RUN_SECONDS)
            airflow.unpause(dag)
        detail |= {
            "airflow": airflow.url,
            "mlflow": self.platform.mlflow_url,
            "gateway": self.platform.gateway_url,
        }
        self.display.links = [
            ("Airflow", f"{airflow.url}   user {airflow.user}, password {airflow.password}"),
            ("MLflow", self.platform.mlflow_url),
            ("Gateway", self.platform.gateway_url),
            ("Logs", str(self.platform.logs)),
        ]
        return "MLflow, Airflow and the gateway are ready"

    def _first_version(self, detail: dict[str, Any]) -> str:
        self.window_end = self.rows.first_until
        conf = {"reason": "first version", "until": self.window_end.isoformat()}
        run_id = self.airflow.trigger(self.retrain_dag, conf)
        self._follow("first_version", run_id)
        traffic = self.ports.ledger.read(self.config.name)
        if traffic.champion is None:
            gate = self._gate(run_id).get("gate", "the gate was not reached")
            why = traffic.rollout.reason if traffic.rollout else gate
            msg = f"no champion after the first run: {why}"
            raise DemoError(msg)
        detail |= {"version": traffic.champion.version, "until": self.window_end, **self._gate(run_id)}
        return f"version {traffic.champion.version} is champion"

    def _quiet(self, detail: dict[str, Any]) -> str:
        self._start_traffic()
        for _ in range(self.scenario.quiet):
            check = self._check_next()
            if check["fired"]:
                msg = f"the trigger fired at {check['window_end']} ({check['reason']}) before the drift"
                raise DemoError(msg)
        detail |= {"windows": self.scenario.quiet, "requests": self.sent}
        checked = "1 window" if self.scenario.quiet == 1 else f"{self.scenario.quiet} windows"
        return f"{checked} checked; the trigger did not fire"

    def _drift(self, detail: dict[str, Any]) -> str:
        self.record.drift_began = self.scenario.drift_at or self.window_end
        if self.scenario.drift_at is not None:
            self._mark(self.scenario.drift_at, "data drifts", harms=True)
        for number in range(1, self.scenario.patience + 1):
            check = self._check_next()
            if check["fired"]:
                detail |= {"windows": number, "reason": check["reason"], "window_end": check["window_end"]}
                return f"the trigger fired after {number} windows: {check['reason'].replace('_', ' ')}"
        msg = (
            f"the trigger did not fire within {self.scenario.patience} windows after the drift "
            "('patience' in demo.yaml)"
        )
        raise DemoError(msg)

    def _retrain(self, detail: dict[str, Any]) -> str:
        sentence = self._promote("retrain", detail)
        self.record.promoted_wall = time.time()
        self._mark(self._sent_until, "promoted")
        return sentence

    def _promote(self, stage: str, detail: dict[str, Any]) -> str:
        """Follow the retrain that the trigger started until its version is champion."""
        began = time.monotonic()
        before = self.ports.ledger.read(self.config.name).champion
        run_id = self._triggered_run()
        with self._slowed_to(self.scenario.seconds_per_window_in_rollouts):
            self._follow(stage, run_id, meanwhile=self._check_when_due)
        traffic = self.ports.ledger.read(self.config.name)
        if traffic.champion is None or traffic.champion == before:
            why = traffic.rollout.reason if traffic.rollout else "no rollout started"
            msg = f"the new version was not promoted: {why or self._gate(run_id)}"
            raise DemoError(msg)
        detail |= {"version": traffic.champion.version, "dag_run": run_id, **self._gate(run_id)}
        seconds = time.monotonic() - began
        return f"version {traffic.champion.version} is champion, {seconds:.0f} s after the trigger"

    def _after(self, detail: dict[str, Any]) -> str:
        began = self.window_end
        for _ in range(self.scenario.after):
            self._check_next()
        if len(self.record.triggers) != 1:
            msg = f"expected one retrain, the trigger fired {len(self.record.triggers)} times"
            raise DemoError(msg)
        comparison = compare_with_previous(self.ports, self.config, began, self.window_end)
        detail |= {"accuracy": self.accuracy(), "on_the_same_rows": comparison.to_json()}
        if comparison.significantly_worse:
            msg = f"the new version is significantly worse than the previous one: {comparison.sentence()}"
            raise DemoError(msg)
        return comparison.sentence()

    def _concept(self, detail: dict[str, Any]) -> str:
        # Traffic is at most one window ahead of the checks: this is the first window that is not sent yet.
        at = self.window_end + 2 * self.config.monitor.every
        change = self.rows.change_concept(at, self.scenario.concept_feature)
        self.record.concept_at = at
        self._mark(at, "concept changes", harms=True)
        detail |= {"at": at, "change": change.sentence}
        self.display.note("concept", f"from {at:%Y-%m-%d %H:%M} on, {change.sentence}")
        for _ in range(self.scenario.patience):
            check = self._check_next()
            if check["fired"] and self.window_end <= at:
                # For drift: no changed row was checked yet. This retrain ends first.
                with self._slowed_to(self.scenario.seconds_per_window_in_rollouts):
                    self._follow("concept", self._triggered_run(), meanwhile=self._check_when_due)
            elif check["fired"]:
                number = (self.window_end - at) // self.config.monitor.every
                detail |= {
                    "windows": number,
                    "reason": check["reason"],
                    "window_end": check["window_end"],
                }
                reason = check["reason"].replace("_", " ")
                return f"{change.sentence}; the trigger fired after {number} windows: {reason}"
        msg = (
            f"the trigger did not fire within {self.scenario.patience} windows after the concept changed "
            "('patience' in demo.yaml)"
        )
        raise DemoError(msg)

    def _heal(self, detail: dict[str, Any]) -> str:
        promoted = self._promote("heal", detail)
        self.record.healed_wall = time.time()
        self._mark(self._sent_until, "promoted")
        rollout, began = self.ports.ledger.read(self.config.name).rollout, self.window_end
        for _ in range(self.scenario.after):
            self._check_next()
        comparison = compare_with_previous(self.ports, self.config, began, self.window_end)
        figures = self._rollout_figures(rollout) if rollout is not None else {}
        detail |= {"accuracy": self.accuracy(), "on_the_same_rows": comparison.to_json(), **figures}
        if not comparison.significantly_better:
            msg = f"the new version is not significantly better than the stale one: {comparison.sentence()}"
            raise DemoError(msg)
        return f"{promoted}; {comparison.sentence()}{_seen_in_rollout(figures)}"

    def _rest(self, detail: dict[str, Any]) -> str:
        sender, before, began = self.sender, self.sent, self.window_end
        if sender is None:
            msg = "no traffic was started"
            raise DemoError(msg)
        sender.send_rest()
        while sender.is_alive():
            self.display.note("rest", f"{self.sent - before} rows, up to {sender.window_end:%Y-%m-%d}")
            sender.join(timeout=1)
        if sender.problem is not None:
            raise DemoError(str(sender.problem)) from sender.problem
        self.check_no_failed_requests()
        comparison = compare_with_previous(self.ports, self.config, began, sender.window_end)
        detail |= {
            "requests": self.sent - before,
            "until": sender.window_end,
            "on_the_same_rows": comparison.to_json(),
        }
        rows, until = self.sent - before, f"{sender.window_end:%Y-%m-%d}"
        return f"{rows} more rows served, up to {until}, without drift checks: {comparison.sentence()}"

    def _rollback(self, detail: dict[str, Any]) -> str:
        began = self.window_end
        champion = self.ports.ledger.read(self.config.name).champion
        kind = "classifier" if self.config.task == "classification" else "regressor"
        conf = {
            "reason": "demo: a broken candidate",
            "pipeline": f"homeostat.demo.faults:{kind}",
            "until": began.isoformat(),
            "skip_shadow": True,
            "force": True,
        }
        run_id = self.airflow.trigger(self.retrain_dag, conf)
        with self._slowed_to(12.0):
            before_canary = partial(self._check_before_canary, run_id)
            self._follow("rollback", run_id, meanwhile=before_canary)
        traffic = self.ports.ledger.read(self.config.name)
        rollout = traffic.rollout
        if rollout is None or str(rollout.phase) != "rolled_back" or traffic.champion != champion:
            state = rollout.phase if rollout else "no rollout started"
            msg = f"the broken candidate was not rolled back: {state}"
            raise DemoError(msg)
        time.sleep(2)  # predict calls of the bad version that were still running end now
        first, last, count = self._bad_predictions(rollout.candidate.version, began)
        self.record.rollback_seconds = round((last - first).total_seconds(), 3)
        detail |= {
            "version": rollout.candidate.version,
            "reason": rollout.reason,
            "by": self._rolled_back_by(rollout.id),
            "predictions_of_the_bad_version": count,
            "seconds": self.record.rollback_seconds,
            "failed_requests": self.failed,
        }
        self.check_no_failed_requests()
        version, seconds = rollout.candidate.version, self.record.rollback_seconds
        return (
            f"version {version} got traffic for {seconds:.2f} s; no request failed. Reason: {rollout.reason}"
        )


def _seen_in_rollout(figures: dict[str, Any]) -> str:
    """Return in words what the rollout's checks saw."""
    differ, pairs = figures.get("disagreement"), figures.get("labelled_pairs")
    words = ""
    if differ:
        words += f"; {differ['seen']:.0%} of the predictions differed in shadow"
        words += f", {differ['expected']:.0%} were expected" if differ["expected"] is not None else ""
    if pairs:
        words += (
            f"; on {pairs['pairs']:.0f} labelled requests that both predicted, "
            f"{pairs['new']:.3f} against {pairs['old']:.3f}"
        )
    return words
