"""Progress without a terminal, and the end that Ctrl-C asks for."""

import signal

import pytest

from homeostat.cli.commands.replay import stopped_by_ctrl_c
from homeostat.cli.console import ProgressLines


def test_a_line_every_few_seconds_has_the_steps_and_the_time_left(capsys):
    now = [0.0]
    bar = ProgressLines("windows", every=5.0, clock=lambda: now[0])
    with bar:
        task = bar.add_task("fitting versions", total=40)
        for _ in range(40):
            now[0] += 2.0
            bar.advance(task)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "fitting versions: 3 of 40 windows, about 74s left"
    assert lines[-1] == "fitting versions: 39 of 40 windows, about 2s left"
    assert len(lines) == 13


def test_a_short_task_prints_nothing(capsys):
    bar = ProgressLines()
    bar.advance(bar.add_task("short", total=1))
    assert capsys.readouterr().err == ""


def test_a_line_says_what_the_rows_so_far_came_to(capsys):
    now = [0.0]
    bar = ProgressLines("rows", every=10.0, clock=lambda: now[0])
    task = bar.add_task("replaying traffic.csv", total=800)
    now[0] = 10.0
    bar.update(task, completed=400, description="replaying traffic.csv, accuracy 0.910, 0 failed")
    [line] = capsys.readouterr().err.splitlines()
    assert line == "replaying traffic.csv, accuracy 0.910, 0 failed: 400 of 800 rows, about 10s left"


def test_ctrl_c_asks_for_the_end_once_and_then_ends_the_process():
    before = signal.getsignal(signal.SIGINT)
    with stopped_by_ctrl_c() as stop:
        assert not stop.is_set()
        signal.raise_signal(signal.SIGINT)
        assert stop.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
