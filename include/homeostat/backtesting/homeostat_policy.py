"""Homeostat's own policy: the functions that the DAGs call, in the same order, on in-memory ports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from homeostat.backtesting.policy_run import PolicyRun, Progress, Promotion, RolledBack, WindowResult
from homeostat.backtesting.prediction_cache import PredictionCache
from homeostat.backtesting.replay_ports import ReplayClock, ReplaySource
from homeostat.backtesting.rollout_replay import REVERSE_SHADOW, RolloutChange, RolloutReplay
from homeostat.backtesting.windows import Window
from homeostat.config import ModelConfig
from homeostat.config.errors import DataError, HomeostatError, SingleClass
from homeostat.core.rollout import VersionRef
from homeostat.monitoring.drift_check import check_drift
from homeostat.ports import Clock, Ports, Source
from homeostat.retraining.assemble import assemble
from homeostat.retraining.gate import gate
from homeostat.retraining.register import register
from homeostat.retraining.train import train
from homeostat.retraining.validate_on_holdout import validate
from homeostat.retraining.worthwhile import conclude_probe
from homeostat.rollouts.lifecycle import begin_rollout, finalize
from homeostat.storage.bundles import load_version
from homeostat.storage.retrain_request import RetrainRequest, run_key

#: Builds in-memory ports around this clock and this source.
PortsFactory = Callable[[Clock, Source], Ports]


class HomeostatPolicy:
    """Replays windows under Homeostat's monitoring, trigger, gate and rollouts; trains the first version.

    Parameters
    ----------
    config
        As monitoring sees the replay, see :func:`~homeostat.backtesting.replay_ports.replay_config`.
    served
        As the model is served, for its rollouts.
    """

    def __init__(
        self, config: ModelConfig, served: ModelConfig, cache: PredictionCache, make_ports: PortsFactory
    ) -> None:
        self.config = config
        self.served = served
        self.cache = cache
        self.run = PolicyRun()
        self._clock = ReplayClock(cache.history.reference_end)
        self._ports = make_ports(self._clock, ReplaySource(cache.history, self._clock))
        self._rollouts = RolloutReplay(served, cache, self._ports, self._clock)
        self._train_first_version()

    def replay(self, windows: tuple[Window, ...], progress: Progress) -> PolicyRun:
        """Serve and check the next windows, in order; may be called again with the windows after them."""
        for window in windows:
            self._replay_window(window)
            progress()
        return self.run

    def _train_first_version(self) -> None:
        """Train on all labelled rows of the reference; raise DataError or SingleClass when that fails."""
        history = self.cache.history
        known_until = history.reference_end + history.length  # assembling subtracts the label delay
        request = RetrainRequest(
            run_key=run_key(self.config.name, "backtest first"),
            trigger_id="backtest/first",
            dag_run="backtest",
            reason="first version",
            until=known_until.isoformat(),
        )
        try:
            result = self._retrain(request)
        except (DataError, SingleClass) as error:
            raise type(error)(_no_first_version(history.reference_rows, str(error))) from error
        if self._ports.ledger.read(self.config.name).champion is None:
            raise DataError(_no_first_version(history.reference_rows, result["sentence"]))

    def _replay_window(self, window: Window) -> None:
        before = self._champion()
        served = self._rollouts.serve(window)
        keys = [self._cache_version(version) for version in served.versions]
        key = keys[0] if len(keys) == 1 else self.cache.add_mixed(keys, served.served_by, window.index)
        predictions = self.cache.predictions(key, window.index)
        rolled_back = []
        for change in served.changes:
            self._end_rollout(change)
            after = self._champion()
            if change.promoted:
                self._record_promotion(window, before, after)
            else:
                rolled_back.append(
                    RolledBack(change.rollout.candidate.version, change.stage, change.at, change.reason)
                )
                if after != before:
                    self._record_return(window)
            before = after
        check = check_drift(self.config, self._ports, window.end)
        result = WindowResult(
            window=window,
            rows=len(predictions.truth),
            score=self.cache.score([predictions]),
            version=before.version,
            reason=check["reason"],
            sentence=check["sentence"],
            promoted=any(change.promoted for change in served.changes),
            rolled_back=tuple(rolled_back),
        )
        followed = window.index < len(self.cache.history.windows) - 1
        if check["fired"] and followed:  # a retrain after the last window would serve nothing
            result = self._handle_trigger(result, check)
        after = self._champion()
        if after != before:  # a model that no gateway serves: no shadow and no canary
            self._record_promotion(window, before, after)
            result = replace(result, promoted=True)
        self.run.add(result, key)

    def _record_promotion(self, window: Window, before: VersionRef, after: VersionRef) -> None:
        old, new = self._cache_version(before), self._cache_version(after)
        self.run.promotions.append(Promotion(window.index, old, new, before.version, after.version))

    def _record_return(self, window: Window) -> None:
        """Record that the last promoted version was rolled back in this window."""
        if self.run.promotions:
            self.run.promotions[-1] = replace(self.run.promotions[-1], until=window.index)

    def _end_rollout(self, change: RolloutChange) -> None:
        """End the retrain that waited for its rollout; a rollback after the promotion has none."""
        if change.stage != REVERSE_SHADOW:
            finalize(self.served, change.rollout.id, self._ports)

    def _handle_trigger(self, result: WindowResult, check: dict[str, Any]) -> WindowResult:
        end = result.window.end.isoformat()
        request = RetrainRequest.of(
            run_key=run_key(self.config.name, f"backtest {end}"),
            dag_run=f"backtest {end}",
            params={},
            event=check,
        )
        try:
            retrained = self._retrain(request)
        except HomeostatError as error:
            sentence = f"{check['sentence']} {error}"
            return replace(result, event="retrain", sentence=sentence, refused=str(error))
        fitted = bool(retrained["trained"])
        sentence = f"{check['sentence']} {_capitalize(retrained['sentence'])}."
        if retrained["probe"]:
            return replace(result, event="probe", sentence=sentence)
        return replace(
            result,
            event="retrain" if fitted else "reinstate",
            fitted=fitted,
            sentence=sentence,
            candidate=retrained["candidate"],
            refused="" if retrained["candidate"] else retrained["sentence"],
        )

    def _retrain(self, request: RetrainRequest) -> dict[str, Any]:
        """Run every step of a retrain up to the beginning of its rollout; return what the gate said."""
        config, ports, key = self.config, self._ports, request.run_key
        assemble(config, request, ports)
        trained = bool(train(config, key, ports).get("trained", True))
        probed = conclude_probe(config, key, ports)
        if not probed["proceeds"]:
            sentence = probed["sentence"].removesuffix(".")
            return {"sentence": sentence, "trained": trained, "candidate": "", "probe": True}
        validate(config, key, ports)
        decision = gate(config, key, ports)
        candidate = ""
        if decision["proceeds"]:
            candidate = register(config, key, ports)["version"]
            begin_rollout(self.served, key, ports)
            if self.served.serve == "none":
                finalize(self.served, key, ports)
            elif (ended := self._rollouts.advance(self._clock.now())) is not None:
                self._end_rollout(ended)
        sentence = " ".join(part for part in (probed["sentence"], decision["sentence"]) if part)
        sentence = sentence.removesuffix(".")
        return {"sentence": sentence, "trained": trained, "candidate": candidate, "probe": False}

    def _champion(self) -> VersionRef:
        champion = self._ports.ledger.read(self.config.name).champion
        if champion is None:  # impossible after the first version: the ledger keeps its champion
            msg = f"{self.config.name}: no champion in the replay's ledger"
            raise DataError(msg)
        return champion

    def _cache_version(self, version: VersionRef) -> str:
        if not self.cache.has_version(version.digest):
            bundle = load_version(self._ports, self.config, version.digest)
            self.cache.add_version(version.digest, bundle.predictor)
        return version.digest


def _no_first_version(rows: int, why: str) -> str:
    return (
        f"cannot train a first version on the {rows} rows of the reference: {why}; "
        "or give it more rows with a larger --reference-share"
    )


def _capitalize(text: str) -> str:
    return text[:1].upper() + text[1:]
