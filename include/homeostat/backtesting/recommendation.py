"""Whether to deploy: what Homeostat is worth on this history, beside a calendar and never retraining."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from homeostat.backtesting.schedule import Difference

Verdict = Literal["deploy", "calendar", "do_not", "unsure"]

#: A difference beyond so many standard errors is sure.
SURE = 2.0
#: With fewer windows than this, no standard error is trusted.
MIN_WINDOWS = 8


@dataclass(frozen=True, slots=True)
class PolicyWorth:
    """What a policy is worth against never retraining, in points: hundredths of the score, or % of the error.

    ``gain`` is the difference of the scores, ``net`` the same after the cost of its retrains, with the
    standard error; ``ahead`` is how much more Homeostat is worth after both costs.
    """

    title: str
    retrains: int
    gain: float
    net: Difference
    ahead: Difference

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {
            "retrains": self.retrains,
            "gain": self.gain,
            "net_gain": self.net.mean,
            "standard_error": self.net.error,
            "homeostat_ahead": self.ahead.mean,
            "homeostat_ahead_standard_error": self.ahead.error,
        }


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A verdict, in a word and in a sentence; ``sure`` when it rests on two standard errors or more."""

    verdict: Verdict
    sure: bool
    sentence: str

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {"verdict": self.verdict, "sure": self.sure, "sentence": self.sentence}


def recommend(
    own: PolicyWorth, calendars: Mapping[str, PolicyWorth], *, unit: str, windows: int, least: float
) -> Recommendation:
    """Compare Homeostat with never retraining and with retraining by the calendar.

    ``deploy``: surely worth more than never retraining after the cost of its retrains, and no calendar is
    surely worth more than that. ``calendar``: one is. ``do_not``: no policy is surely worth its retrains, and
    either all are surely worth less than ``least`` or none is worth anything. Otherwise ``unsure``.

    Parameters
    ----------
    own
        Homeostat's worth.
    calendars
        The policies on a fixed schedule, by name.
    unit
        What the figures count: ``points`` or ``% of the error``.
    windows
        Number of windows with a score.
    least
        The smallest worth that matters, in the same unit.
    """
    trusted = windows >= MIN_WINDOWS
    best = max(calendars.values(), key=lambda each: each.net.mean)
    if trusted and best.ahead.at_most(SURE) < 0 and best.net.at_least(SURE) > 0:
        sentence = (
            f"Retrain by the calendar, {best.title}: worth {_amount(best.gain, unit)} over never retraining "
            f"({_error(best.net)}), and {_plain(-best.ahead.mean, unit)} more than Homeostat after the cost "
            f"of the retrains ({best.retrains} instead of {own.retrains})."
        )
        return Recommendation("calendar", sure=True, sentence=sentence)
    if trusted and own.net.at_least(SURE) > 0:
        return Recommendation("deploy", sure=True, sentence=f"Deploy: {_worth(own, calendars, unit)}.")
    every = [own, *calendars.values()]
    if trusted and all(each.net.at_most(SURE) < least for each in every):
        sentence = (
            f"Do not deploy for the retrains: nothing here drifts. No policy is worth {_plain(least, unit)} "
            f"after the cost of its retrains; {_none(own, unit)}."
        )
        return Recommendation("do_not", sure=True, sentence=sentence)
    if all(each.net.mean <= 0 for each in every):
        sentence = f"Do not deploy for the retrains: no policy is worth their cost here; {_none(own, unit)}."
        return Recommendation("do_not", sure=False, sentence=sentence)
    more = "" if trusted else f" {windows} windows are too few to be sure: give more rows."
    return Recommendation("unsure", sure=False, sentence=f"Not sure: {_worth(own, calendars, unit)}.{more}")


def _worth(own: PolicyWorth, calendars: Mapping[str, PolicyWorth], unit: str) -> str:
    best = max(calendars.values(), key=lambda each: each.gain)
    beside = own.gain - best.gain
    how = "more" if beside >= 0 else "less"
    return (
        f"worth {_amount(own.gain, unit)} over never retraining ({_error(own.net)}), "
        f"{_plain(abs(beside), unit)} {how} than {best.title}, with {own.retrains} "
        f"{'retrain' if own.retrains == 1 else 'retrains'} instead of {best.retrains}"
    )


def _none(own: PolicyWorth, unit: str) -> str:
    if not own.retrains:
        return "Homeostat would not have retrained"
    return f"Homeostat's {own.retrains} retrains are worth {_amount(own.gain, unit)} ({_error(own.net)})"


def _error(worth: Difference) -> str:
    return "standard error unknown" if worth.error is None else f"standard error {worth.error:.1f}"


def _amount(value: float, unit: str) -> str:
    return f"{value:+.1f} {unit}"


def _plain(value: float, unit: str) -> str:
    return f"{value:.1f} {unit}"
