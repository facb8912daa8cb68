"""The states of a model, how urgent each is, and what a finding says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class HealthState(StrEnum):
    """The state of a model in one word. docs/reasons.md explains each."""

    DOWN = "down"
    FAILING = "failing"
    FAILING_SLICE = "failing_slice"
    UNCHECKED = "unchecked"
    SUSPECT = "suspect"
    BROKEN_INPUT = "broken_input"
    STUCK = "stuck"
    WAITING = "waiting"
    NOT_COMPUTABLE = "not_computable"
    DRIFTING = "drifting"
    EMPTY = "empty"
    UNPROVEN = "unproven"
    ROLLING_OUT = "rolling_out"
    RETRAINING = "retraining"
    HEALTHY = "healthy"


class Level(StrEnum):
    """How urgent a state is."""

    BAD = "bad"
    WARNING = "warning"
    NOTICE = "notice"
    GOOD = "good"


#: How urgent each state is, the worst first: the order of the fleet's rows.
LEVELS: Mapping[HealthState, Level] = {
    HealthState.DOWN: Level.BAD,
    HealthState.FAILING: Level.BAD,
    HealthState.UNCHECKED: Level.BAD,
    HealthState.FAILING_SLICE: Level.WARNING,
    HealthState.SUSPECT: Level.WARNING,
    HealthState.BROKEN_INPUT: Level.WARNING,
    HealthState.STUCK: Level.WARNING,
    HealthState.WAITING: Level.WARNING,
    HealthState.NOT_COMPUTABLE: Level.WARNING,
    HealthState.DRIFTING: Level.WARNING,
    HealthState.EMPTY: Level.NOTICE,
    HealthState.UNPROVEN: Level.NOTICE,
    HealthState.ROLLING_OUT: Level.NOTICE,
    HealthState.RETRAINING: Level.NOTICE,
    HealthState.HEALTHY: Level.GOOD,
}
ORDER = list(LEVELS)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that holds now.

    Parameters
    ----------
    sentence
        What is wrong, or that nothing is, with its figures.
    since
        Since when; None where that is not known.
    why
        The evidence, one sentence each.
    left
        What a person has to do; "" for nothing.
    settings
        The settings of model.yaml that decided, by full name.
    """

    state: HealthState
    sentence: str
    since: datetime | None = None
    why: tuple[str, ...] = ()
    left: str = ""
    settings: tuple[str, ...] = ()


def as_sentence(text: str, model: str = "") -> str:
    """Return the text with a capital letter and a full stop; "" for none.

    The page of ``model`` does not repeat the name that begins the text. Names of models and settings stay as
    they are.
    """
    text = text.strip(" .").removeprefix(f"{model}: ")
    if not text:
        return ""
    first = text.split(maxsplit=1)[0]
    if first == model or "." in first or "_" in first:
        return f"{text}."
    return f"{text[0].upper()}{text[1:]}."
