"""explain: the story of one decision, from the record."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from homeostat.cli.console import print_json, say, say_wrapped
from homeostat.config import Settings
from homeostat.config.errors import NotFound

if TYPE_CHECKING:
    from homeostat.explain import Story
    from homeostat.ports import Ledger, Store

#: A run key, as MLflow's tag homeostat.run_key and the ledger have it.
_RUN_KEY = re.compile("[0-9a-f]{12}")


def explain_decision(settings: Settings, model: str, what: str, *, as_json: bool) -> None:
    """Print the story of a checked window (by its end), a version (by its number) or a retrain (by its key).

    Without any of them the newest window is explained. Needs the store and the ledger only.
    """
    from homeostat.adapters import open_ledger, open_store

    model = settings.require_model(model)
    store, ledger = open_store(settings.store), open_ledger(settings.ledger)
    story = _story(store, ledger, model, what)
    if as_json:
        print_json(story.to_json())
        return
    print_story(story)
    champion = ledger.read(model).champion
    if not what and champion is not None:
        say(f"Why this version serves: homeostat explain {model} {champion.version}", "dim")


def _story(store: Store, ledger: Ledger, model: str, what: str) -> Story:
    from homeostat.explain import (
        explain_retrain,
        explain_window,
        read_retrain,
        read_window,
        retrain_of_version,
    )
    from homeostat.storage.retrain_request import parse_time

    if _RUN_KEY.fullmatch(what):
        try:
            return explain_retrain(read_retrain(store, ledger, model, what))
        except NotFound:
            msg = f"{model} has no retrain {what} in the store {store.uri(f'retrain/{model}')}"
            raise NotFound(msg) from None
    if what.isdigit():
        return explain_retrain(retrain_of_version(store, ledger, model, what))
    end = parse_time(what, "WINDOW") if what else None
    found = read_window(store, ledger, model, end)
    if found is None:
        raise NotFound(_not_checked(store, model, what))
    check, before, retrain = found
    return explain_window(model, check, before=before, retrain=retrain)


def _not_checked(store: Store, model: str, what: str) -> str:
    from homeostat.storage.check_records import newest_check

    newest = newest_check(store, model)
    if newest is None:
        wait = f"or wait for drift_check__{model}"
        return f"{model} has no checked window yet: run homeostat check {model}, {wait}"
    return (
        f"{model} has no checked window that ended at {what}. The newest ended at"
        f" {newest.window_end:%Y-%m-%dT%H:%MZ}"
    )


def print_story(story: Story) -> None:
    """Print a story, wrapped at the width of the terminal."""
    say(story.title, "bold")
    say_wrapped(story.sentence)
    if story.word:
        say(f"({story.word}, see docs/reasons.md)", "dim")
    for section in story.sections:
        say("")
        say(section.heading, "bold")
        for line in section.lines:
            own = 2 + len(line) - len(line.lstrip())
            say_wrapped(line.strip(), " " * own, own + 2)
