"""doctor: whether this deployment is well and, where it is not, what helps."""

from __future__ import annotations

import importlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from homeostat.cli.console import err, out, print_json
from homeostat.config import Settings
from homeostat.config.errors import ConfigError

if TYPE_CHECKING:
    from homeostat.doctor import Check, Deployment, Probe

_MARKS = {"ok": ("ok", "green"), "warning": ("warning", "yellow"), "broken": ("broken", "bold red")}
#: More healthy checks of one kind than this are one line.
_MANY = 5
#: So many characters of an address are shown, or a third of a wide terminal.
_ROOM = 26
_SUMS = {
    "ok": "All is well.",
    "warning": "Nothing is broken; see the warnings.",
    "broken": "Something is broken; each line says what helps.",
}


def examine(models: Sequence[str], *, as_json: bool) -> None:
    """Look at everything, say what was found; exit status 1 when something is broken."""
    from homeostat.doctor import plan, run, verdict

    settings, trouble = _settings(os.environ)
    deployment, unreadable = _deployment(settings, [settings.known(name) for name in models])
    probes = plan(deployment, unreadable, trouble)
    checks = _watched(probes, run)
    state = verdict(checks)
    if as_json:
        print_json({"checks": [check.to_json() for check in checks], "state": state})
    else:
        out.print(table(checks, out.width))
        out.print(_sum(checks, state))
    if state == "broken":
        raise SystemExit(1)


def _settings(env: Mapping[str, str]) -> tuple[Settings, str]:
    """The settings, and what is wrong with them: the rest is looked at all the same."""
    try:
        return Settings.from_env(env), ""
    except ConfigError as error:
        # One variable is read as more than text; without it the others can be.
        rest = {name: value for name, value in env.items() if name != "HOMEOSTAT_ECS"}
        return Settings.from_env(rest), str(error)


def _deployment(settings: Settings, only: Sequence[str]) -> tuple[Deployment, list[tuple[str, str]]]:
    from homeostat.doctor import Deployment

    found = [
        each
        for each in settings.each_model()
        if not only or (each[0] if isinstance(each, tuple) else each.name) in only
    ]
    models = tuple(each for each in found if not isinstance(each, tuple))
    return Deployment(settings, models), [each for each in found if isinstance(each, tuple)]


def _watched(probes: Sequence[Probe], run: Any) -> list[Check]:
    """Make the checks, with a line on standard error that says which are still under way."""
    waiting = Counter(probe.name for probe in probes)
    with err.status("looking") as status:
        _load()

        def told(probe: Probe, _: Check) -> None:
            waiting[probe.name] -= 1
            names = [name for name, count in waiting.items() if count > 0]
            more = f" and {len(names) - 4} more" if len(names) > 4 else ""
            if names:
                status.update(f"{waiting.total()} of {len(probes)} to go: {', '.join(names[:4])}{more}")

        found: list[Check] = run(probes, told)
        return found


def _load() -> None:
    """Import what is slow to import before any clock runs: that is this machine's work, not a service's."""
    for name in (
        "boto3",
        "mlflow.tracking.client",
        "sqlalchemy",
        "homeostat.training",
        "homeostat.storage.model_state",
    ):
        importlib.import_module(name)


def table(checks: Sequence[Check], width: int) -> Table:
    """One line a check, with its cure below it.

    Many healthy ones of a kind are one line together, and so are those that were skipped for the same reason.
    """
    shown = Table(box=None, padding=(0, 1, 0, 0), show_header=False, pad_edge=False)
    shown.add_column(no_wrap=True)
    room = max(_ROOM, width // 3)
    shown.add_column(overflow="fold", max_width=room)
    shown.add_column(overflow="fold", ratio=1)
    for together in _gathered(checks):
        check = together[0]
        mark, style = _MARKS.get(check.state, ("skipped", "dim"))
        what, sentence = Text(check.name, "bold"), Text(check.sentence)
        if len(together) == 1:
            what.append(f" {_shortened(check.about, room)}", "not bold dim")
        elif check.state == "ok":
            what.append(f" {len(together)} models", "not bold dim")
            sentence = Text("all of them well")
        else:
            what = Text(", ".join(dict.fromkeys(each.name for each in together)), "bold")
        if check.state == "skipped":
            what.stylize("not bold dim")
            sentence.stylize("dim")
        if check.cure:
            sentence.append(f"\n-> {check.cure}", style)
        shown.add_row(Text(mark, style), what, sentence)
    return shown


def _shortened(text: str, room: int) -> str:
    """An address that fits into a line: its middle says least."""
    half = (room - 1) // 2
    return text if len(text) <= room else f"{text[:half]}…{text[-half:]}"


def _gathered(checks: Sequence[Check]) -> list[list[Check]]:
    """Checks that are told together, in the order of the first of each."""
    alike: dict[tuple[str, ...], list[Check]] = {}
    for n, check in enumerate(checks):
        key = {"ok": ("ok", check.name), "skipped": ("skipped", check.sentence)}.get(check.state, (str(n),))
        alike.setdefault(key, []).append(check)
    told = []
    for (kind, *_), together in alike.items():
        gather = len(together) > (_MANY if kind == "ok" else 1)
        told += [together] if gather else [[each] for each in together]
    return sorted(told, key=lambda each: checks.index(each[0]))


def _sum(checks: Sequence[Check], state: str) -> Text:
    counted = Counter(check.state for check in checks)
    parts = ", ".join(
        f"{counted[each]} {each}" for each in ("ok", "warning", "broken", "skipped") if counted[each]
    )
    return Text.assemble("\n", (_SUMS[state], _MARKS[state][1]), f" {parts}.")
