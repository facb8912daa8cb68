"""What is recommended, from worths that are known."""

import numpy as np
import pytest

from homeostat.backtesting.recommendation import PolicyWorth, recommend
from homeostat.backtesting.schedule import Difference


def worth(gain, error, retrains, *, ahead=0.0, ahead_error=0.5, title="every window"):
    net = gain - 0.5 * retrains / 50
    return PolicyWorth(title, retrains, gain, Difference(net, error), Difference(ahead, ahead_error))


def asked(own, always, every_4, windows=50):
    calendars = {"always": always, "every_4": every_4}
    return recommend(own, calendars, unit="points", windows=windows, least=0.5)


def test_a_sure_gain_is_deployed_with_its_figures():
    found = asked(worth(6.5, 0.6, 10), worth(6.9, 0.6, 50), worth(6.0, 0.6, 12, title="every 4th"))
    assert (found.verdict, found.sure) == ("deploy", True)
    assert found.sentence == (
        "Deploy: worth +6.5 points over never retraining (standard error 0.6), 0.4 points less than every "
        "window, with 10 retrains instead of 50."
    )


def test_a_calendar_that_is_surely_better_is_recommended():
    always = worth(6.9, 0.6, 50, ahead=-1.5, ahead_error=0.5)
    found = asked(worth(4.0, 0.6, 10), always, worth(5.0, 0.6, 12))
    assert (found.verdict, found.sure) == ("calendar", True)
    assert "1.5 points more than Homeostat" in found.sentence
    unsure = worth(6.9, 0.6, 50, ahead=-1.5, ahead_error=0.9)
    assert asked(worth(4.0, 0.6, 10), unsure, worth(5.0, 0.6, 12)).verdict == "deploy"


def test_where_nothing_drifts_no_retrain_is_recommended():
    found = asked(worth(0.0, 0.0, 0), worth(0.1, 0.1, 50), worth(0.2, 0.1, 12))
    assert (found.verdict, found.sure) == ("do_not", True)
    assert "nothing here drifts" in found.sentence
    assert "would not have retrained" in found.sentence


def test_losses_of_every_policy_are_no_reason_to_deploy_even_when_unsure():
    found = asked(worth(-0.5, 0.9, 3), worth(-1.0, 0.9, 50), worth(-0.1, 0.9, 12))
    assert (found.verdict, found.sure) == ("do_not", False)
    assert "Homeostat's 3 retrains are worth -0.5 points" in found.sentence


@pytest.mark.parametrize(("windows", "more"), [(50, False), (5, True)])
def test_a_gain_within_two_standard_errors_is_not_sure(windows, more):
    found = asked(worth(1.0, 0.9, 1), worth(1.2, 0.9, 50), worth(0.8, 0.9, 12), windows)
    assert (found.verdict, found.sure) == ("unsure", False)
    assert "with 1 retrain instead of 50" in found.sentence
    assert ("5 windows are too few" in found.sentence) is more


def test_two_standard_errors_are_not_enough_with_few_windows():
    assert asked(worth(9.0, 0.1, 1), worth(9.0, 0.1, 5), worth(9.0, 0.1, 1), windows=7).verdict == "unsure"
    assert asked(worth(9.0, 0.1, 1), worth(9.0, 0.1, 5), worth(9.0, 0.1, 1), windows=8).verdict == "deploy"


def test_without_a_standard_error_nothing_is_sure():
    nothing = np.zeros(1)
    net = Difference.of(nothing + 1, nothing, np.ones(1))
    one = PolicyWorth("every window", 1, 1.0, net, net)
    found = asked(one, one, one, windows=1)
    assert (found.verdict, found.sure) == ("unsure", False)
    assert "standard error unknown" in found.sentence
