import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from homeostat.config import Settings
from homeostat.config.errors import Refused
from homeostat.dev_stack import processes
from homeostat.dev_stack.reset import clear_state
from homeostat.dev_stack.state_lock import state_lock

# A leader whose child moves to its own process group, as Airflow's tasks do, and ignores SIGTERM.
STUBBORN_CHILD = """
import os, signal, sys, time
if os.fork() == 0:
    os.setpgid(0, 0)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    open(sys.argv[1], "w").write(str(os.getpid()))
time.sleep(60)
"""


def start_with_child(tmp_path: Path) -> tuple[processes.Service, int]:
    records = tmp_path / "run"
    records.mkdir()
    note = tmp_path / "child.pid"
    service = processes.start(
        "stubborn",
        [sys.executable, "-c", STUBBORN_CHILD, str(note)],
        env=dict(os.environ),
        cwd=tmp_path,
        logs=tmp_path,
        records=records,
    )
    return service, read_when_written(note)


def read_when_written(note: Path) -> int:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if note.exists() and note.read_text():
            return int(note.read_text())
        time.sleep(0.02)
    pytest.fail(f"{note} was never written")


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 60
    while processes.start_time(pid) is not None and time.monotonic() < deadline:
        time.sleep(0.02)
    return processes.start_time(pid) is None


def test_stopping_ends_children_in_other_process_groups_that_ignore_sigterm(tmp_path):
    service, child = start_with_child(tmp_path)
    processes.stop([service], tmp_path / "run", 0.3)
    assert gone(child)
    assert service.exited() is not None
    assert not list((tmp_path / "run").iterdir())


def test_the_next_start_kills_the_workers_of_a_killed_leader(tmp_path):
    service, child = start_with_child(tmp_path)
    service.process.kill()
    service.process.wait()
    assert processes.kill_orphans(tmp_path / "run", grace=0.2) == ["stubborn"]
    assert gone(child)
    assert not list((tmp_path / "run").iterdir())


@pytest.mark.parametrize("started", ["1", None])
def test_a_reused_pid_is_left_alone(tmp_path, started):
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as stranger:
        record = {"pid": stranger.pid, "started": started, "cwd": str(tmp_path), "owner": 1}
        (tmp_path / "mlflow.json").write_text(json.dumps(record))
        assert processes.kill_orphans(tmp_path, grace=0.1) == []
        assert stranger.poll() is None
        stranger.kill()


def test_a_truncated_record_is_ignored(tmp_path):
    (tmp_path / "mlflow.json").write_text('{"pid": 1')
    assert processes.kill_orphans(tmp_path) == []


def test_only_orphans_of_the_given_owner_are_killed(tmp_path):
    service, child = start_with_child(tmp_path)
    assert processes.kill_orphans(tmp_path / "run", owner=os.getpid() + 1, grace=0.1) == []
    assert processes.start_time(child) is not None
    processes.stop([service], tmp_path / "run", 0.2)


def test_services_end_when_their_starter_gets_sigkill(tmp_path):
    note = tmp_path / "child.pid"
    starter = f"""
import os, sys, time
from pathlib import Path
from homeostat.dev_stack.state_lock import orphan_reaper
from homeostat.dev_stack.processes import start
here = Path({str(tmp_path)!r})
(here / "run").mkdir()
with orphan_reaper(here / "run", dict(os.environ)):
    start("stubborn", [sys.executable, "-c", {STUBBORN_CHILD!r}, {str(note)!r}],
          env=dict(os.environ), cwd=here, logs=here, records=here / "run")
    time.sleep(60)
"""
    include = str(Settings.from_env({}).home / "include")
    with subprocess.Popen(
        [sys.executable, "-c", starter], env={**os.environ, "PYTHONPATH": include}
    ) as killed:
        child = read_when_written(note)
        killed.kill()
    deadline = time.monotonic() + 60
    while processes.start_time(child) is not None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes.start_time(child) is None


def test_one_platform_at_a_time_locks_a_state_folder(tmp_path):
    held = f"""
from pathlib import Path
from homeostat.dev_stack.state_lock import state_lock
with state_lock(Path({str(tmp_path)!r})):
    print("held", flush=True)
    input()
"""
    include = str(Settings.from_env({}).home / "include")
    with subprocess.Popen(
        [sys.executable, "-c", held],
        env={**os.environ, "PYTHONPATH": include},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout.readline() == b"held\n"
        with (
            pytest.raises(Refused, match=f"already uses this state folder.*{other.pid}.*HOMEOSTAT_STATE"),
            state_lock(tmp_path),
        ):
            pass
        with pytest.raises(Refused):
            clear_state(tmp_path)
        other.communicate(b"\n")
    with state_lock(tmp_path):
        pass  # unlocked again


def test_the_preferred_port_is_used_when_it_is_free():
    port = processes.free_port()
    assert processes.free_port(port) == port
