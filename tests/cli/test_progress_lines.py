"""Progress without a terminal."""

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
