"""Homeostat itself: the same functions that the DAGs call, in the same order, in a world of the past."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from homeostat.backtest.policy_run import Played, Promotion, Tick, Turn
from homeostat.backtest.prediction_cache import Bench
from homeostat.backtest.replay_ports import ReplayClock, ReplaySource
from homeostat.backtest.windows import Span
from homeostat.config import ModelConfig
from homeostat.config.errors import DataError, HomeostatError, SingleClass
from homeostat.core.rollout import VersionRef
from homeostat.monitoring.drift_check import check_drift
from homeostat.ports import Clock, Ports, Source
from homeostat.retraining.assemble import assemble
from homeostat.retraining.gate import judge, register
from homeostat.retraining.train import train
from homeostat.retraining.validate import validate
from homeostat.rollouts.advance import begin_rollout, settle
from homeostat.storage.bundles import load_version
from homeostat.storage.retrain_request import RetrainRequest, run_key

#: Puts ports together that keep everything in memory, around this clock and this source.
MakePorts = Callable[[Clock, Source], Ports]


class Loop:
    """A model under Homeostat's care, from its first version on; :meth:`run` may be called again to go on."""

    def __init__(self, config: ModelConfig, bench: Bench, make_ports: MakePorts) -> None:
        self.config = config
        self.bench = bench
        self.played = Played()
        self._clock = ReplayClock(bench.stream.reference_end)
        self._ports = make_ports(self._clock, ReplaySource(bench.stream, self._clock))
        self._first()

    def run(self, spans: tuple[Span, ...], tick: Tick) -> Played:
        """Serve and check these windows, each once and in order."""
        for span in spans:
            self._step(span)
            tick()
        return self.played

    def _first(self) -> None:
        """The first version, of all the reference's labelled rows; raises DataError with the cure."""
        stream = self.bench.stream
        known = stream.reference_end + stream.length  # the labels' delay, which assembling takes off again
        request = RetrainRequest(
            run_key=run_key(self.config.name, "backtest first"),
            trigger_id="backtest/first",
            dag_run="backtest",
            reason="first version",
            until=known.isoformat(),
        )
        try:
            found = self._retrain(request)
        except (DataError, SingleClass) as error:
            raise type(error)(_no_first(stream.reference_rows, str(error))) from error
        if self._champion() is None:
            raise DataError(_no_first(stream.reference_rows, found["sentence"]))

    def _step(self, span: Span) -> None:
        before = self._need_champion()
        key = self._put(before)
        said = self.bench.said(key, span.number)
        turn = Turn(span, len(said.truth), self.bench.score([said]), before.version)
        self._clock.set(span.end)
        answer = check_drift(self.config, self._ports, span.end)
        turn = replace(turn, reason=answer["reason"], sentence=answer["sentence"])
        if answer["fired"]:
            turn = self._fired(turn, answer)
        after = self._need_champion()
        turn = replace(turn, promoted=after != before)
        self.played.add(turn, key)
        if after != before:
            self.played.promotions.append(
                Promotion(span.number, key, self._put(after), before.version, after.version)
            )

    def _fired(self, turn: Turn, answer: dict[str, Any]) -> Turn:
        end = turn.span.end.isoformat()
        request = RetrainRequest.of(
            run_key=run_key(self.config.name, f"backtest {end}"),
            dag_run=f"backtest {end}",
            params={},
            event=answer,
        )
        try:
            found = self._retrain(request)
        except HomeostatError as error:
            return replace(turn, event="retrain", sentence=f"{answer['sentence']} {error}")
        fitted = bool(found["trained"])
        sentence = f"{answer['sentence']} {_capital(found['sentence'])}."
        return replace(turn, event="retrain" if fitted else "recall", fitted=fitted, sentence=sentence)

    def _retrain(self, request: RetrainRequest) -> dict[str, Any]:
        """Every step of a retrain up to its end; its last sentence, and whether anything was fitted."""
        config, ports, key = self.config, self._ports, request.run_key
        assemble(config, request, ports)
        trained = bool(train(config, key, ports).get("trained", True))
        validate(config, key, ports)
        verdict = judge(config, key, ports)
        if verdict["goes_on"]:
            register(config, key, ports)
            begin_rollout(config, key, ports)
            settle(config, key, ports)
        return {"sentence": verdict["sentence"], "trained": trained}

    def _champion(self) -> VersionRef | None:
        return self._ports.ledger.read(self.config.name).champion

    def _need_champion(self) -> VersionRef:
        champion = self._champion()
        if champion is None:  # a ledger never forgets its champion
            msg = f"{self.config.name}: no champion in the replay's ledger"
            raise DataError(msg)
        return champion

    def _put(self, champion: VersionRef) -> str:
        if not self.bench.knows(champion.digest):
            bundle = load_version(self._ports, self.config, champion.digest)
            self.bench.put(champion.digest, bundle.predictor)
        return champion.digest


def _no_first(rows: int, why: str) -> str:
    return (
        f"no first version can be made of the reference's {rows} rows: {why}; "
        "or set more rows aside for it with --reference-share"
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
