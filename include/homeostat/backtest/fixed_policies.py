"""Policies that ask nothing: never retrain, and retrain at the end of every n-th window."""

from __future__ import annotations

from dataclasses import replace

from homeostat.backtest.policy_run import Played, Promotion, Tick, Turn
from homeostat.backtest.prediction_cache import Bench
from homeostat.backtest.version_builder import Made, Workshop
from homeostat.backtest.windows import Span
from homeostat.config.errors import HomeostatError


class Serving:
    """The version that serves, numbered as it took over, and the windows that were answered so far."""

    def __init__(self, bench: Bench, first: Made) -> None:
        self.bench = bench
        self.made = first
        self.version = 1
        self.played = Played()

    def turn(self, span: Span) -> Turn:
        """How the version did in a window."""
        said = self.bench.said(self.made.key, span.number)
        return Turn(span, len(said.truth), self.bench.score([said]), str(self.version))

    def add(self, turn: Turn) -> None:
        """Note a window that :meth:`turn` gave; call it before :meth:`promote`."""
        self.played.add(turn, self.made.key)

    def promote(self, made: Made, number: int) -> None:
        """Let another version serve from the next window on."""
        old, self.made, self.version = self.made, made, self.version + 1
        self.played.promotions.append(
            Promotion(number, old.key, made.key, str(self.version - 1), str(self.version))
        )


def retrain_every(every: int | None, bench: Bench, workshop: Workshop, tick: Tick) -> Played:
    """Retrain after every so many windows, and let the new version serve at once; never with None."""
    serving = Serving(bench, workshop.make(bench.stream.reference_end))
    for span in bench.stream.windows:
        turn, made = serving.turn(span), None
        if every and (span.number + 1) % every == 0:
            turn = replace(turn, event="retrain", reason="schedule")
            try:
                made = workshop.make(span.end - bench.stream.length)
                sentence = f"retrained on {made.rows} rows, as after every {_ordinal(every)}window"
                turn = replace(turn, fitted=True, promoted=True, sentence=sentence)
            except HomeostatError as error:
                turn = replace(turn, sentence=str(error))
        serving.add(turn)
        if made is not None:
            serving.promote(made, span.number)
        tick()
    return serving.played


def _ordinal(every: int) -> str:
    return "" if every == 1 else {2: "second ", 3: "third "}.get(every, f"{every}th ")
