"""Notices of a gateway: in its log, and in the store for the people that model.yaml names."""

import json
import logging
from dataclasses import replace
from urllib.parse import urlencode

import pytest

from dags.operator_harness import Receiver
from homeostat.adapters import fake_ports
from homeostat.adapters.notifier_apprise import EnvironmentTransport
from homeostat.adapters.notifier_store import GatewayNotifier
from homeostat.config import load_model
from homeostat.config.notices import Notices, Severity
from homeostat.monitoring.detector_records import send_notices
from homeostat.notices import Message
from homeostat.notices.outbox import undelivered
from homeostat.ports import Notice, NoticeKind
from sample_model import MODEL

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")  # imported by Apprise

BACK = Notice(NoticeKind.ROLLED_BACK, "sample", "sample: version 2 rolled back", "0.48 against 0.79")


@pytest.fixture
def config(tmp_path):
    (tmp_path / "sample").mkdir()
    (tmp_path / "sample" / "model.yaml").write_text(MODEL)
    return load_model(tmp_path / "sample")


def test_the_next_check_sends_what_a_gateway_left_once(config, caplog):
    ports = fake_ports()
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


@pytest.fixture
def people():
    """A server that receives notices, and the connection to it."""
    server = Receiver()
    yield server
    server.stop()


def gateway(ports, config, server, number=1, env=None):
    env = {"AIRFLOW_CONN_PEOPLE": server.connection} if env is None else env
    return GatewayNotifier(ports.store, f"gw-{number}", {"sample": config}, EnvironmentTransport(env))


def test_a_gateway_with_the_connection_sends_what_is_critical_at_once_and_once(config, people):
    ports = fake_ports()
    once = replace(BACK, once="rolled_back/7")
    for number in range(3):
        gateway(ports, config, people, number).notify(config.notify, once)
    assert [notice["title"] for notice in people.received] == ["CRITICAL: sample: version 2 rolled back"]
    assert send_notices(config, ports) == 0


def test_what_is_not_critical_waits_for_the_next_check(config, people):
    ports = fake_ports()
    gateway(ports, config, people).notify(config.notify, replace(BACK, kind=NoticeKind.RESOLVED))
    quiet = config.model_copy(update={"notices": Notices(severity={NoticeKind.ROLLED_BACK: Severity.INFO})})
    gateway(ports, quiet, people).notify(config.notify, BACK)
    assert people.received == []
    assert send_notices(config, ports) == 2


def test_without_the_connection_in_its_environment_a_gateway_leaves_it_to_airflow(config, people):
    ports = fake_ports()
    gateway(ports, config, people, env={}).notify(config.notify, BACK)
    assert send_notices(config, ports) == 1


@pytest.mark.parametrize(
    ("connection", "problem"),
    [
        (
            '{"conn_type": "apprise", "extra": {"config": {"path": "json://127.0.0.1:9/x"}}}',
            "did not respond",
        ),
        ('{"conn_type": "apprise", "extra": "{}"}', "its extra must read"),
        ('{"conn_type": "apprise", "extra": {"config": {"path": "nothing://x"}}}', "names no service"),
        ("{", "its extra must read"),
    ],
)
def test_what_did_not_arrive_is_left_for_the_next_check(config, connection, problem):
    ports = fake_ports()
    gateway(ports, config, None, env={"AIRFLOW_CONN_PEOPLE": connection}).notify(config.notify, BACK)
    (failed,) = undelivered(ports.store, "sample")
    assert (failed.targets, failed.attempts) == (("people",), 1)
    assert problem in failed.problem


def test_a_connection_may_be_a_uri_or_a_list_as_in_airflow(config, people):
    path = f"json://127.0.0.1:{people.port}/notices"
    for config_field in ({"path": path}, [{"path": path}], json.dumps({"path": path})):
        uri = f"apprise://?{urlencode({'__extra__': json.dumps({'config': config_field})})}"
        transport = EnvironmentTransport({"AIRFLOW_CONN_PEOPLE": uri})
        assert transport.send(("people",), Message("a title", "a body")) == {}
    assert len(people.received) == 3
    uri = f"apprise://?{urlencode({'config': json.dumps({'path': path})})}"
    assert EnvironmentTransport({"AIRFLOW_CONN_PEOPLE": uri}).send(("people",), Message("t", "b")) == {}
