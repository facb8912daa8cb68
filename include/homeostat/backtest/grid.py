"""Other settings of the trigger: the best on the first part of the windows, scored on the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from homeostat.backtest.homeostat_policy import Loop
from homeostat.backtest.policy_run import Played, Tick
from homeostat.backtest.prediction_cache import Bench
from homeostat.config import ModelConfig, format_duration
from homeostat.config.model import Trigger
from homeostat.core.performance import higher_is_better

#: So much of the windows is for choosing.
FIRST_PART = 0.6
#: The knobs of the trigger that are turned, in the words of model.yaml.
KNOBS = ("consecutive", "cooldown", "decay", "critical_decay")


@dataclass(frozen=True, slots=True)
class Tried:
    """One combination, and what it did on the first part."""

    settings: dict[str, Any]
    own: bool
    score: float | None
    retrains: int
    promoted: int

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "settings": self.settings,
            "own": self.own,
            "score": self.score,
            "retrains": self.retrains,
            "promoted": self.promoted,
        }


@dataclass(frozen=True, slots=True)
class Grid:
    """What was tried, what was chosen by the first part, and both on the rest, which chose nothing."""

    first_part: tuple[Tried, ...]
    chosen: Tried
    first_windows: int
    rest_windows: int
    rest_chosen: float | None
    rest_own: float | None
    rest_retrains: tuple[int, int]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        chosen, own = self.rest_retrains
        return {
            "chosen": self.chosen.settings,
            "chosen_is_own": self.chosen.own,
            "first_part": [tried.to_json() for tried in self.first_part],
            "rest": {"chosen": self.rest_chosen, "own": self.rest_own},
            "rest_retrains": {"chosen": chosen, "own": own},
            "windows": {"first_part": self.first_windows, "rest": self.rest_windows},
        }


def combinations(own: Trigger, length: Any) -> list[Trigger]:
    """The model's own settings first, then eight around them, without those that come out the same.

    Two runs' lengths, two cooldowns (none to speak of, and four windows) and two limits of decay.
    """
    found = [own]
    for consecutive in (2, 4):
        for cooldown in (length, length * 4):
            for decay in (0.05, 0.10):
                critical = max(own.critical_decay, decay)
                found.append(
                    own.model_copy(
                        update={
                            "consecutive": consecutive,
                            "cooldown": cooldown,
                            "decay": decay,
                            "critical_decay": critical,
                        }
                    )
                )
    return [trigger for at, trigger in enumerate(found) if trigger not in found[:at]]


def try_grid(
    config: ModelConfig,
    bench: Bench,
    own: Played,
    make_loop: Callable[[ModelConfig], Loop],
    tick: Tick,
) -> Grid:
    """Replay the first 60 % of the windows with every combination; the best one goes on over the rest.

    Of equal scores the one with fewer retrains is chosen, of those the one nearest to the model's own.
    """
    windows = bench.stream.windows
    first = max(1, int(len(windows) * FIRST_PART))
    tried: list[Tried] = []
    loops: list[Loop | None] = []
    for trigger in combinations(config.trigger, bench.stream.length):
        mine = trigger == config.trigger
        loop = None if mine else make_loop(config.model_copy(update={"trigger": trigger}))
        played = own if loop is None else loop.run(windows[:first], tick)
        tried.append(_tried(trigger, played, bench, range(first), own=mine))
        loops.append(loop)
    sign = 1 if higher_is_better(bench.score_name) else -1
    known = [at for at in range(len(tried)) if tried[at].score is not None] or [0]

    def worth(at: int) -> tuple[float, int, int, int]:
        changed = sum(value != tried[0].settings[name] for name, value in tried[at].settings.items())
        return sign * (tried[at].score or 0.0), -tried[at].retrains, -changed, -at

    best = max(known, key=worth)
    loop = loops[best]
    chosen = own if loop is None else loop.run(windows[first:], tick)
    rest = range(first, len(windows))
    both = [_tried(config.trigger, played, bench, rest, own=True) for played in (chosen, own)]
    return Grid(
        first_part=tuple(tried),
        chosen=tried[best],
        first_windows=first,
        rest_windows=len(rest),
        rest_chosen=both[0].score,
        rest_own=both[1].score,
        rest_retrains=(both[0].retrains, both[1].retrains),
    )


def steps(config: ModelConfig, bench: Bench) -> int:
    """How many windows :func:`try_grid` replays at the most."""
    windows = len(bench.stream.windows)
    first = max(1, int(windows * FIRST_PART))
    return (len(combinations(config.trigger, bench.stream.length)) - 1) * first + windows - first


def _tried(trigger: Trigger, played: Played, bench: Bench, numbers: range, *, own: bool) -> Tried:
    turns = [played.turns[number] for number in numbers]
    return Tried(
        settings=_written(trigger),
        own=own,
        score=bench.score(bench.said(played.keys[number], number) for number in numbers),
        retrains=sum(turn.fitted for turn in turns),
        promoted=sum(turn.promoted for turn in turns),
    )


def _written(trigger: Trigger) -> dict[str, Any]:
    """The settings as model.yaml has them."""
    values = {name: getattr(trigger, name) for name in KNOBS}
    return values | {"cooldown": format_duration(trigger.cooldown)}
