"""Notices of a gateway: in its log, and in the store for the people that model.yaml names."""

import logging

from homeostat.adapters import fake_ports
from homeostat.adapters.notifier_store import GatewayNotifier
from homeostat.config import load_model
from homeostat.monitoring.detector_records import send_notices
from homeostat.ports import Notice, NoticeKind
from sample_model import MODEL

BACK = Notice(NoticeKind.ROLLED_BACK, "sample", "sample: version 2 rolled back", "0.48 against 0.79")


def test_the_next_check_sends_what_a_gateway_left_once(tmp_path, caplog):
    (tmp_path / "sample").mkdir()
    (tmp_path / "sample" / "model.yaml").write_text(MODEL)
    config, ports = load_model(tmp_path / "sample"), fake_ports()
    notifier = GatewayNotifier(ports.store, "gw-1")
    with caplog.at_level(logging.WARNING, "homeostat.notices"):
        notifier.notify(config.notify, BACK)
        notifier.notify(config.notify, BACK)
    assert BACK.body in caplog.text
    assert send_notices(config, ports) == 2, "each has a key of its own"
    assert ports.notifier.sent == [(("people",), BACK)] * 2
    assert send_notices(config, ports) == 0


def test_nothing_is_left_for_a_model_that_notifies_nobody():
    ports = fake_ports()
    GatewayNotifier(ports.store, "gw-1").notify((), BACK)
    assert ports.store.list("notices") == []
