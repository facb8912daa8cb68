"""The demonstration: the platform is started, and the story told on it, stage by stage."""

from __future__ import annotations

import json
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
from homeostat.demo.context import Told
from homeostat.demo.display import Screen
from homeostat.demo.scenario import Story, load_story, overrides, stage_environment, staged_model
from homeostat.demo.stages import STAGES, Stages
from homeostat.dev_stack import Platform
from homeostat.dev_stack.reset import clear_state


def run_demo(
    settings: Settings, *, model: str, data: Path | None, leave: bool, report: Path | None, console: Console
) -> bool:
    """Tell the story; True when every stage did what it should.

    Without ``leave`` and on a terminal everything stays up until Ctrl-C. Starting again begins afresh.
    """
    plain = settings.load_model(model)
    story = load_story(plain)
    stage_environment(plain, story, data)
    state = settings.state / "demo" / model
    clear_state(state)
    settings = replace(
        Settings.from_env(),
        state=state,
        store=f"file://{state / 'store'}",
        ledger=f"sqlite:///{state / 'ledger.db'}",
        cache=state / "cache",
        overrides=str(state / "overrides.yaml"),
        trusted_types=(*settings.trusted_types, *faults.TRUSTED),
    )
    Path(settings.overrides).write_text(yaml.safe_dump(overrides(plain, story, data)), encoding="utf-8")
    config = staged_model(settings, model)

    told = Told()
    shown = [stage for stage in STAGES if _belongs(stage[0], config, story)]
    with ExitStack() as stack:
        with Screen(console, f"homeostat demo: {model}", shown) as screen:
            demo = Stages(settings, config, story, told, screen, stack)
            ok = demo.tell(shown)
        summary = demo.summary(ok=ok)
        if report is not None:
            report.parent.mkdir(parents=True, exist_ok=True)
            report.write_text(json.dumps(summary, indent=1, default=str) + "\n", encoding="utf-8")
        _print_summary(console, summary, screen, report)
        if not leave and console.is_terminal and demo.platform is not None:
            console.print("\nEverything stays up; [bold]Ctrl-C[/] stops it.")
            _until_interrupted(demo.platform)
    return ok


def _belongs(stage: str, config: ModelConfig, story: Story) -> bool:
    """A model that is scored in batch meets no traffic; a simulator's rows never end."""
    served = config.serve == "gateway"
    return {"rollback": served, "rest": served and story.drift_at is None}.get(stage, True)


def _print_summary(console: Console, summary: dict[str, Any], screen: Screen, report: Path | None) -> None:
    table = Table(title="What happened", title_justify="left", box=None, padding=(0, 2), header_style="dim")
    for column in ("", "stage", "seconds", "what came of it"):
        table.add_column(column)
    for stage in summary["stages"]:
        line = screen.stages[stage["name"]]
        mark = "[green]✔[/]" if stage["ok"] else "[red]✘[/]"
        table.add_row(mark, line.title, f"{stage['seconds']:.0f}", line.note)
    console.print()
    console.print(table)
    where = Table(title="Where to look", title_justify="left", box=None, padding=(0, 2), show_header=False)
    for name, text in screen.links:
        where.add_row(name, text)
    if report is not None:
        where.add_row("Report", str(report))
    console.print(where)


def _until_interrupted(platform: Platform) -> None:
    with suppress(KeyboardInterrupt):
        while True:
            platform.check()
            time.sleep(1)
