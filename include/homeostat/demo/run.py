"""Run the demo: start the platform, run the stages, print and write the report."""

from __future__ import annotations

import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from homeostat.config import ModelConfig, Settings
from homeostat.demo import faults
from homeostat.demo.context import DemoRecord
from homeostat.demo.display import Display
from homeostat.demo.report import write_report
from homeostat.demo.rows import DemoRows
from homeostat.demo.scenario import Scenario, demo_model, load_scenario, overrides, set_environment
from homeostat.demo.stages import STAGES, Stages
from homeostat.dev_stack import Platform
from homeostat.dev_stack.reset import clear_state


def run_demo(
    settings: Settings, *, model: str, data: Path | None, leave: bool, report: Path | None, console: Console
) -> bool:
    """Run the demo; return True when every stage succeeded.

    On a terminal, and without ``leave``, the platform keeps running until Ctrl-C. Each run starts from an
    empty state folder.
    """
    plain = settings.load_model(model)
    scenario = load_scenario(plain)
    set_environment(plain, scenario, data)
    state = settings.state / "demo" / model
    clear_state(state)
    settings = replace(
        Settings.from_env(),
        state=state,
        store=f"file://{state / 'store'}",
        ledger=f"sqlite:///{state / 'ledger.db'}",
        cache=state / "cache",
        overrides=str(state / "overrides.yaml"),
        trusted_types=(*settings.trusted_types, *faults.TRUSTED_TYPES),
    )
    changed = overrides(plain, scenario, data)
    _write_overrides(settings, changed)
    rows = DemoRows.read(demo_model(settings, model), scenario)
    if plain.serve == "gateway":
        changed[model]["source"] = rows.write_history(state)
        _write_overrides(settings, changed)
    config = demo_model(settings, model)

    record = DemoRecord()
    shown = [stage for stage in STAGES if _applies(stage[0], config, scenario)]
    with ExitStack() as stack:
        with Display(console, f"homeostat demo: {model}", shown) as display:
            demo = Stages(settings, config, scenario, rows, record=record, display=display, stack=stack)
            ok = demo.run_stages(shown)
        summary = demo.summary(ok=ok)
        if report is not None:
            write_report(report, summary, dict(STAGES))
        _print_summary(console, summary, display, report)
        if not leave and console.is_terminal and demo.platform is not None:
            console.print("\nThe platform keeps running. Press [bold]Ctrl-C[/] to stop it.")
            _until_interrupted(demo.platform)
    return ok


def _write_overrides(settings: Settings, changed: dict[str, Any]) -> None:
    Path(settings.overrides).write_text(yaml.safe_dump(changed), encoding="utf-8")


def _applies(stage: str, config: ModelConfig, scenario: Scenario) -> bool:
    """Return whether the stage applies: batch models get no traffic, and a simulator's rows never end."""
    served = config.serve == "gateway"
    only_served = dict.fromkeys(("concept", "heal", "rollback"), served)
    return (only_served | {"rest": served and scenario.drift_at is None}).get(stage, True)


def _print_summary(console: Console, summary: dict[str, Any], display: Display, report: Path | None) -> None:
    table = Table(title="What happened", title_justify="left", box=None, padding=(0, 2), header_style="dim")
    for column in ("", "stage", "seconds", "result"):
        table.add_column(column)
    for stage in summary["stages"]:
        line = display.stages[stage["name"]]
        mark = "[green]✔[/]" if stage["ok"] else "[red]✘[/]"
        table.add_row(mark, line.title, f"{stage['seconds']:.0f}", line.note)
    console.print()
    console.print(table)
    addresses = Table(title="Addresses", title_justify="left", box=None, padding=(0, 2), show_header=False)
    for name, text in display.links:
        addresses.add_row(name, text)
    if report is not None:
        addresses.add_row("Report", str(report))
    console.print(addresses)


def _until_interrupted(platform: Platform) -> None:
    with suppress(KeyboardInterrupt):
        while True:
            platform.check()
            time.sleep(1)
