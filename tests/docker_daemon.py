"""A Docker daemon of the tests' own: data, socket, process id, bridge and addresses are apart from any other.

It needs root. At the end, what it changes is undone: a bridge, rules of iptables, IP forwarding.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

#: Programs, and the Debian packages that have them.
PROGRAMS = {
    "dockerd": "docker.io",
    "docker": "docker.io",
    "docker-compose": "docker-compose",
    "debootstrap": "debootstrap",
    "iptables-save": "iptables",
    "ip": "iproute2",
    "busybox": "busybox-static",
    "unzip": "unzip",
    "setpriv": "util-linux",
    "apt-get": "apt",
}
BRIDGE, BRIDGE_ADDRESS = "homeostat-test0", "10.214.0.1/24"
NETWORKS = "base=10.213.0.0/16,size=24"
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")


def why_not() -> str:
    """Return why no daemon can be started here, with what to do; empty where it can."""
    if os.geteuid() != 0:
        return "not root, which starting a Docker daemon needs"
    missing = sorted({package for program, package in PROGRAMS.items() if shutil.which(program) is None})
    return f"apt-get install --no-install-recommends {' '.join(missing)}" if missing else ""


def wait_for(
    what: str,
    seconds: float,
    check: Callable[[], Any],
    state: Callable[[], Any] | None = None,
    pause: float = 1.0,
) -> None:
    """Wait until ``check`` is true. A failure names what was awaited, and the ``state`` at the end."""
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {seconds:.0f} s for {what}" + (f": {state()}" if state else ""))
        time.sleep(pause)


@contextmanager
def running_daemon(folder: Path) -> Iterator[dict[str, str]]:
    """Start a daemon whose images are kept in ``folder``; yield the environment in which programs find it.

    Containers and volumes of an interrupted run are removed first. At the end the daemon stops, and with it
    every container.
    """
    folder.mkdir(parents=True, exist_ok=True)
    host = f"unix://{folder}/docker.sock"
    env = {**os.environ, "DOCKER_HOST": host, "DOCKER_CONFIG": str(folder / "config")}
    command = [
        *("setpriv", "--pdeathsig", "TERM"),  # it stops with its containers even when the tests are killed
        *("dockerd", "--host", host, "--bridge", BRIDGE, "--default-address-pool", NETWORKS),
        *("--data-root", str(folder / "data"), "--exec-root", str(folder / "exec")),
        *("--pidfile", str(folder / "dockerd.pid")),
    ]
    log = folder / "dockerd.log"
    with ExitStack() as stack:
        stack.enter_context(_only_one(folder / "lock"))
        # A stop of the tests, also one from outside, runs what is below.
        for number in (signal.SIGINT, signal.SIGTERM):
            stack.callback(signal.signal, number, signal.signal(number, signal.default_int_handler))
        stack.enter_context(_network())
        out = stack.enter_context(log.open("wb"))
        daemon = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)
        stack.callback(subprocess.run, ["umount", str(folder / "data")], capture_output=True, check=False)
        stack.callback(_stop, daemon)
        wait_for(f"dockerd, see {log}", 120, lambda: daemon.poll() is not None or _answers(env))
        if daemon.poll() is not None:
            pytest.fail(f"dockerd ended:\n{log.read_text()[-3000:]}")
        _remove_leftovers(env)
        yield env


@contextmanager
def _only_one(lock: Path) -> Iterator[None]:
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pytest.fail(f"another run of these tests holds {lock}: wait for its end")
        yield


@contextmanager
def _network() -> Iterator[None]:
    """Create the bridge; at the end delete it, and restore iptables and forwarding unless others use them."""
    forwarding = FORWARDING.read_text()
    rules = subprocess.run(["iptables-save"], capture_output=True, text=True, check=True).stdout
    subprocess.run(["ip", "link", "delete", BRIDGE], capture_output=True, check=False)
    _run("ip", "link", "add", BRIDGE, "type", "bridge")
    try:
        _run("ip", "address", "add", BRIDGE_ADDRESS, "dev", BRIDGE)
        _run("ip", "link", "set", BRIDGE, "up")
        yield
    finally:
        _run("ip", "link", "delete", BRIDGE)
        if "DOCKER" not in rules:  # no other daemon runs here
            _restore_rules(rules)
            FORWARDING.write_text(forwarding)


def _restore_rules(rules: str) -> None:
    """Restore iptables; a table that did not exist before is emptied."""
    for table in ("nat", "filter"):
        if f"*{table}\n" not in rules:
            chains = "PREROUTING INPUT OUTPUT POSTROUTING" if table == "nat" else "INPUT FORWARD OUTPUT"
            accept = "".join(f":{chain} ACCEPT [0:0]\n" for chain in chains.split())
            rules += f"*{table}\n{accept}COMMIT\n"
    subprocess.run(["iptables-restore"], input=rules, text=True, check=True)


def _stop(daemon: subprocess.Popen[bytes]) -> None:
    daemon.terminate()
    try:
        daemon.wait(120)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait(10)


def _remove_leftovers(env: dict[str, str]) -> None:
    for kind, listed, removed in (("container", "--all", "--volumes"), ("volume", "--quiet", "--force")):
        command = ["docker", kind, "ls", "--quiet", listed]
        names = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.split()
        if names:
            force = ["docker", kind, "rm", "--force", removed, *names]
            subprocess.run(force, env=env, capture_output=True, check=True)


def _answers(env: dict[str, str]) -> bool:
    return subprocess.run(["docker", "version"], env=env, capture_output=True, check=False).returncode == 0


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)
