"""doctor: check this deployment and print how to fix what is broken."""

from __future__ import annotations

import importlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from homeostat.cli.console import err, out, print_json
from homeostat.config import Settings
from homeostat.config.errors import ConfigError

if TYPE_CHECKING:
    from homeostat.core.rollout import TrafficRate
    from homeostat.doctor import Check, Deployment, Probe

_MARKS = {"ok": ("ok", "green"), "warning": ("warning", "yellow"), "broken": ("broken", "bold red")}
#: More passed checks of one kind than this are one line.
_GROUP_ABOVE = 5
#: Characters shown of an address; on a wide terminal a third of its width.
_MIN_WIDTH = 26
_SUMMARIES = {
    "ok": "Everything works.",
    "warning": "Nothing is broken; see the warnings.",
    "broken": "Something is broken; each line says how to fix it.",
}


def check_deployment(models: Sequence[str], *, as_json: bool, rows_per_hour: float | None = None) -> None:
    """Run all checks and print the results; exit status 1 when something is broken."""
    from homeostat.cli.commands.rollout_pace import given_rate
    from homeostat.doctor import build_probes, overall_state

    given = given_rate(rows_per_hour)
    settings, problem = _settings(os.environ)
    deployment, unreadable = _deployment(settings, [settings.require_model(name) for name in models], given)
    checks = _run_with_progress(build_probes(deployment, unreadable, problem))
    state = overall_state(checks)
    if as_json:
        print_json({"checks": [check.to_json() for check in checks], "state": state})
    else:
        out.print(table(checks, out.width))
        out.print(_summary(checks, state))
    if state == "broken":
        raise SystemExit(1)


def _settings(env: Mapping[str, str]) -> tuple[Settings, str]:
    """Return the settings and the error in them; the other checks run all the same."""
    try:
        return Settings.from_env(env), ""
    except ConfigError as error:
        # HOMEOSTAT_ECS is the only variable that is parsed; without it the others load.
        rest = {name: value for name, value in env.items() if name != "HOMEOSTAT_ECS"}
        return Settings.from_env(rest), str(error)


def _deployment(
    settings: Settings, only: Sequence[str], rate: TrafficRate | None
) -> tuple[Deployment, list[tuple[str, str]]]:
    from homeostat.doctor import Deployment

    found = [
        each
        for each in settings.each_model()
        if not only or (each[0] if isinstance(each, tuple) else each.name) in only
    ]
    models = tuple(each for each in found if not isinstance(each, tuple))
    deployment = Deployment(settings, models, rate=rate)
    return deployment, [each for each in found if isinstance(each, tuple)]


def _run_with_progress(probes: Sequence[Probe]) -> list[Check]:
    """Run the checks; a line on standard error lists those still running."""
    from homeostat.doctor import run_probes

    waiting = Counter(probe.name for probe in probes)
    with err.status("checking") as status:
        _load()

        def report(probe: Probe, _: Check) -> None:
            waiting[probe.name] -= 1
            names = [name for name, count in waiting.items() if count > 0]
            more = f" and {len(names) - 4} more" if len(names) > 4 else ""
            if names:
                status.update(f"{waiting.total()} of {len(probes)} left: {', '.join(names[:4])}{more}")

        return run_probes(probes, report)


def _load() -> None:
    """Import slow modules before the checks' time limits start."""
    for name in (
        "boto3",
        "mlflow.tracking.client",
        "sqlalchemy",
        "homeostat.bundle",
        "homeostat.storage.model_state",
    ):
        importlib.import_module(name)


def table(checks: Sequence[Check], width: int) -> Table:
    """Return one row per check, with its remedy below it.

    Many passed checks of one kind share a row, and so do checks skipped for the same reason.
    """
    shown = Table(box=None, padding=(0, 1, 0, 0), show_header=False, pad_edge=False)
    shown.add_column(no_wrap=True)
    room = max(_MIN_WIDTH, width // 3)
    shown.add_column(overflow="fold", max_width=room)
    shown.add_column(overflow="fold", ratio=1)
    for group in _grouped(checks):
        check = group[0]
        mark, style = _MARKS.get(check.state, ("skipped", "dim"))
        what, sentence = Text(check.name, "bold"), Text(check.sentence)
        if len(group) == 1:
            what.append(f" {_shortened(check.about, room)}", "not bold dim")
        elif check.state == "ok":
            what.append(f" {len(group)} models", "not bold dim")
            sentence = Text("all ok")
        else:
            what = Text(", ".join(dict.fromkeys(each.name for each in group)), "bold")
        if check.state == "skipped":
            what.stylize("not bold dim")
            sentence.stylize("dim")
        if check.remedy:
            sentence.append(f"\n-> {check.remedy}", style)
        shown.add_row(Text(mark, style), what, sentence)
    return shown


def _shortened(text: str, room: int) -> str:
    """Return an address shortened in its middle."""
    half = (room - 1) // 2
    return text if len(text) <= room else f"{text[:half]}…{text[-half:]}"


def _grouped(checks: Sequence[Check]) -> list[list[Check]]:
    """Return groups of checks that share a row, in the order of their first checks."""
    alike: dict[tuple[str, ...], list[Check]] = {}
    for n, check in enumerate(checks):
        key = {"ok": ("ok", check.name), "skipped": ("skipped", check.sentence)}.get(check.state, (str(n),))
        alike.setdefault(key, []).append(check)
    groups = []
    for (kind, *_), group in alike.items():
        gather = len(group) > (_GROUP_ABOVE if kind == "ok" else 1)
        groups += [group] if gather else [[each] for each in group]
    return sorted(groups, key=lambda each: checks.index(each[0]))


def _summary(checks: Sequence[Check], state: str) -> Text:
    counted = Counter(check.state for check in checks)
    parts = ", ".join(
        f"{counted[each]} {each}" for each in ("ok", "warning", "broken", "skipped") if counted[each]
    )
    return Text.assemble("\n", (_SUMMARIES[state], _MARKS[state][1]), f" {parts}.")
