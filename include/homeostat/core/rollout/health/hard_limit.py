"""The hard trip: a few answers that should never be are enough, without waiting for any statistics."""

from __future__ import annotations

#: Bad answers that trip. One may be a poisoned request and two a coincidence.
TRIP = 3
#: How many times the rate that is nothing new is let pass on top.
SLACK = 3.0


def tripped(bad: int, rows: int, usual: float, tolerated: float) -> bool:
    """Whether bad answers (exceptions, NaN, values out of range) call for taking a version back at once.

    They do from the third on, when there are more than 2 + 3 * what is nothing new in as many rows: the rate
    that the plan tolerates or the champion's own, whichever is higher. With the default of 1 % that is 3 in
    the first 33 answers, 4 in 66: a version that always fails trips at the third answer, one that fails
    three times in ten at about the tenth. What comes more slowly is left to the tests.

    For a version that errs half as often as that, the chance of ever crossing the line is at most
    exp(-2.9 * 2) = 0.3 %, however long it runs (Lundberg's inequality, for a Poisson count against a line
    that rises six times as fast as its mean).

    Parameters
    ----------
    bad, rows
        Of the version in question.
    usual
        The rate of the champion's version on the same kind of traffic; 0 when it is not known.
    tolerated
        The plan's error rate.
    """
    return bad > TRIP - 1 + SLACK * rows * max(tolerated, usual)
