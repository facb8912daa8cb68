"""A model's history replayed: what would have fired, what the gate would have refused, what it was worth."""

from homeostat.backtest.policy_run import Played, Turn
from homeostat.backtest.report import events, gain, sentences, shown, to_json
from homeostat.backtest.run import POLICIES, Backtest, Outcome, backtest
from homeostat.backtest.windows import cut, parse_windows, spacing_of

__all__ = [
    "POLICIES",
    "Backtest",
    "Outcome",
    "Played",
    "Turn",
    "backtest",
    "cut",
    "events",
    "gain",
    "parse_windows",
    "sentences",
    "shown",
    "spacing_of",
    "to_json",
]
