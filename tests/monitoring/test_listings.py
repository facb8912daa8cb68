"""What a check lists does not grow with the age of its model."""

from datetime import timedelta

import pytest

from homeostat.monitoring.check_report import drift_figure
from homeostat.monitoring.detector_records import send_notices
from homeostat.monitoring.drift_check import check_drift
from homeostat.storage.trigger_outbox import unsent_triggers, write_receipt
from homeostat.storage.trigger_outcomes import past_retrains
from sample_model import T0, rows_between, serve

pytestmark = pytest.mark.usefixtures("quick")
HOUR = timedelta(hours=1)


def test_a_check_lists_days_of_the_log_and_what_is_deleted_once_it_is_sent(
    config, ports, champion, monkeypatch
):
    serve(config, ports, rows_between(T0, T0 + 8 * HOUR, shift=1.5, flip=True))
    listed, real = [], ports.store.list
    monkeypatch.setattr(ports.store, "list", lambda prefix: listed.append(prefix) or real(prefix))
    send_notices(config, ports)
    fired = [check_drift(config, ports, T0 + hours * HOUR)["fired"] for hours in range(4, 9)]
    drift_figure(config, ports.store, T0 + 8 * HOUR)
    assert any(fired), "otherwise triggers are not looked for"
    rest = [prefix for prefix in listed if "/date=" not in prefix]
    assert set(rest) <= {f"notices/{config.name}", f"bundles/{config.name}"}, rest


def test_triggers_are_found_by_their_windows(config, ports, champion):
    serve(config, ports, rows_between(T0, T0 + 8 * HOUR, shift=1.5, flip=True))
    for hours in range(4, 9):
        check_drift(config, ports, T0 + hours * HOUR)
    history = ports.history.windows(config.name)
    fired = [record for record in history if record.fired]
    assert unsent_triggers(ports.store, config.name, history) == fired
    write_receipt(ports.store, config.name, fired[0], T0)
    assert unsent_triggers(ports.store, config.name, history) == fired[1:]
    assert past_retrains(ports, config.name, history) == {}
