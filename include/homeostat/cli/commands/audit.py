"""status --recompute: repeat every recorded decision and compare."""

from __future__ import annotations

from rich.markup import escape

from homeostat.cli.console import out, print_json
from homeostat.config import Settings


def recompute_history(settings: Settings, model: str | None, *, as_json: bool) -> None:
    """Repeat every recorded decision from the ledger; exit status 1 if one differs."""
    from homeostat.adapters import open_ledger
    from homeostat.core.rollout import recompute_all

    ledger = open_ledger(settings.ledger)
    names = [settings.require_model(model)] if model else settings.model_names()
    found = {name: recompute_all(name, ledger.events(name)) for name in names}
    if as_json:
        keys = ("revision", "kind", "decided", "agrees", "difference")
        print_json({name: [{key: getattr(s, key) for key in keys} for s in found[name]] for name in names})
    else:
        for name, steps in found.items():
            same = sum(step.agrees for step in steps)
            out.print(f"[bold]{name}[/]: {same} of {len(steps)} decisions are the same")
            for step in steps:
                style = "dim" if step.agrees else "red"
                out.print(f"  {escape(step.sentence)}", style=style, highlight=False, soft_wrap=True)
    if not all(step.agrees for steps in found.values() for step in steps):
        raise SystemExit(1)
