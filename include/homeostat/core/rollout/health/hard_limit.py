"""The hard limit: a few bad predictions roll a version back at once, without a statistical test."""

from __future__ import annotations

#: Bad predictions that exceed the limit. One may be a poisoned request and two a coincidence.
HARD_LIMIT = 3
#: How many times the expected rate is tolerated on top.
SLACK = 3.0


def hard_limit_exceeded(bad: int, rows: int, usual: float, tolerated: float) -> bool:
    """Whether bad predictions (exceptions, NaN, out of range) require an immediate rollback.

    They do from the third on, when there are more than 2 + 3 * the expected number: the higher of the plan's
    error rate and the champion's own rate, times the rows. With the default of 1 % that is 3 in the first 33
    rows, 4 in 66: a version that always fails exceeds it at the third row, one that fails three times in ten
    at about the tenth. Slower failures are left to the tests.

    For a version that errs half as often as that, the probability of ever exceeding the limit is at most
    exp(-2.9 * 2) = 0.3 %, however long it runs (Lundberg's inequality, for a Poisson count against a line
    that rises six times as fast as its mean).

    Parameters
    ----------
    bad, rows
        Counts of the version that is checked.
    usual
        The champion's rate on the same kind of traffic; 0 when it is not known.
    tolerated
        The plan's error rate.
    """
    return bad > HARD_LIMIT - 1 + SLACK * rows * max(tolerated, usual)
