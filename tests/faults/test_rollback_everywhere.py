"""A manually rolled back version serves nothing after a second, in any worker."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time

import pytest

from faults.gateway_processes import ROOT, UNREACHABLE, Load, ask, installation, now, until
from homeostat.adapters import build_ports
from homeostat.cli.commands import status_control as traffic
from homeostat.config import Settings
from homeostat.config.errors import Refused
from homeostat.rollouts.manual import manual_rollback
from homeostat.serving import create_app

POLICY_NAMES = ("gateway-a", "gateway-b")
CLI = "from homeostat.cli import main; main()"


@pytest.fixture(scope="module")
def two_gateways(tmp_path_factory):
    with installation(tmp_path_factory.mktemp("two")) as made:
        made.begin(made.version(POLICY_NAMES))
        for name in POLICY_NAMES:
            made.start(name, 2)
        for gateway in made.gateways:
            gateway.ready(2)
        yield made


def by_http(made):
    request_rollback = {"reason": "it answers nonsense"}
    status, _, body = ask(made.gateways[0].port, "POST", "/control/models/pump/rollback", request_rollback)
    assert status == 200, body


def by_command_line(gateway_url):
    def request_rollback(made):
        env = made.env(
            "gateway-a", HOMEOSTAT_GATEWAY=gateway_url or f"http://127.0.0.1:{made.gateways[1].port}"
        )
        done = subprocess.run(
            [sys.executable, "-c", CLI, "rollback", "pump", "--reason", "it answers nonsense"],
            env={**os.environ, **env, "PYTHONPATH": str(ROOT / "include")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    return request_rollback


@pytest.mark.slow
@pytest.mark.parametrize(
    "request_rollback",
    [by_http, by_command_line(""), by_command_line(UNREACHABLE)],
    ids=["http", "command line", "command line, no gateway reached"],
)
def test_a_manually_rolled_back_version_serves_nothing_after_a_second_and_no_request_fails(
    two_gateways, request_rollback
):
    made = two_gateways
    bad = made.version(POLICY_NAMES)  # only a person knows what is wrong with it
    ports = [gateway.port for gateway in made.gateways]
    with Load(ports, 6, pause=0.005) as load:
        made.begin(bad)
        until(lambda: load.times_seen(bad.version) > 20, "the candidate answers")
        time.sleep(0.5)
        request_rollback(made)
        decided = made.ledger.events("pump")[-1]
        assert (decided.kind, decided.reason) == ("rolled_back", "it answers nonsense")
        # The ledger's time is the decision; both clocks are this machine's.
        moment = decided.at.timestamp() - time.time() + time.monotonic()
        time.sleep(1.5)
        until(lambda: load.sent_after(moment + 1.0) > 20, "requests go on")
    assert load.failed == []
    last = max(answer.at for answer in load.answers if answer.version == bad.version)
    # On a machine that stands still every answer does: what the slowest waited is not the gateway's doing.
    slowest = max(answer.at - answer.sent for answer in load.answers if answer.at > moment - 1.0)
    assert last - moment <= 1.0 + 2 * slowest
    asked_before = sum(answer.version == bad.version for answer in load.answers if answer.at < moment)
    assert asked_before > 20
    assert sum(answer.sent > moment + 1.0 for answer in load.answers) > 20


@contextlib.contextmanager
def unresponsive_gateway(on_request):
    """A server that accepts a request, carries it out if the test says so, and never responds."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen():
            with contextlib.suppress(OSError):
                connection, _ = server.accept()
                with connection:
                    connection.recv(65536)
                    on_request()
                    connection.recv(65536)  # until the client gives up

        thread = threading.Thread(target=listen)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join()


@pytest.mark.parametrize("carried_out", [True, False])
def test_a_request_that_a_gateway_never_answered_is_carried_out_once(tmp_path, monkeypatch, carried_out):
    with installation(tmp_path) as made:
        first, second, bad = (made.version(()) for _ in range(3))
        made.begin(first)
        made.begin(second)
        made.promote(second)
        made.begin(bad)

        def on_request():
            if carried_out:
                manual_rollback("pump", made.ledger, reason="bad", by="the gateway", at=now())

        monkeypatch.setattr(traffic, "GATEWAY_TIMEOUT", 0.5)
        with unresponsive_gateway(on_request) as url:
            settings = Settings.from_env(made.env("gateway-a", HOMEOSTAT_GATEWAY=url))
            traffic.rollback_now(settings, "pump", "bad", as_json=True)
        left = made.ledger.read("pump")
        assert left.active is None
        # Carried out twice, it would have taken the champion back as well.
        assert left.champion == second
        assert made.ledger.events("pump")[-1].by == ("the gateway" if carried_out else "command line")


@pytest.mark.parametrize("way", ["gateway", "ledger"])
def test_a_rollback_request_for_a_candidate_does_not_roll_back_the_champion(tmp_path, way):
    with installation(tmp_path) as made:
        first, second, bad = (made.version(()) for _ in range(3))
        for step, ref in (
            (made.begin, first),
            (made.begin, second),
            (made.promote, second),
            (made.begin, bad),
        ):
            step(ref)
        settings = Settings.from_env(made.env("gateway-a", HOMEOSTAT_GATEWAY=UNREACHABLE))

        def request_rollback(version):
            if way == "ledger":
                traffic.rollback_now(settings, "pump", "bad", version, as_json=True)
            else:
                runtime = create_app({"pump": made.config}, build_ports(settings), settings).runtime
                runtime.roll_back("pump", "bad", "a person", version)

        with pytest.raises(Refused, match="version 2 is not rolled back: version 3 would be rolled back"):
            request_rollback(second.version)
        manual_rollback("pump", made.ledger, reason="12 % errors", by="its checks", at=now())
        with pytest.raises(
            Refused, match=r"already rolled back \(12 % errors\), and version 2 would be rolled back"
        ):
            request_rollback(bad.version)
        assert made.ledger.read("pump").champion == second
        request_rollback(second.version)
        assert made.ledger.read("pump").champion == first
