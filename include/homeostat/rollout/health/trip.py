"""The hard trip: a few answers that should never be are enough, without waiting for any statistics."""

from __future__ import annotations

#: Bad answers that trip. One may be a poisoned request and two a coincidence.
TRIP = 3
#: How many times the champion's own rate is let pass on top.
SLACK = 3.0


def tripped(bad: int, rows: int, champion_bad: int, champion_rows: int, tolerated: float) -> bool:
    """Whether bad answers (exceptions, NaN, values out of range) call for taking a version back at once.

    They do from the third on, when they are more than the rate that the plan tolerates, and more than
    3 + 3 * what the champion's own rate lets expect in as many rows. For a version that errs exactly as
    often as the champion, the chance of ever crossing that line is at most exp(-1.9 * 3) = 0.3 % (Lundberg's
    inequality for a Poisson count against a line three times as steep as its mean), for any length of time.

    Parameters
    ----------
    bad, rows
        Of the version in question.
    champion_bad, champion_rows
        Of the champion's version on the same kind of traffic; 0 rows when unknown.
    tolerated
        The plan's error rate.
    """
    expected = rows * champion_bad / champion_rows if champion_rows else 0.0
    return bad > tolerated * rows and bad >= TRIP + SLACK * expected
