"""Notify when a champion cannot be loaded for longer than a moment, and when it is loaded again.

A candidate that cannot be loaded is rolled back, which its retrain notifies.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from homeostat.config.notices import NoticeKind
from homeostat.core.rollout.phases import VersionRef
from homeostat.ports import Notice, Notifier
from homeostat.serving.inference.routing import ServedModel
from homeostat.serving.sync.rollback_notice import notify_in_background

#: Seconds after which a champion that is not loaded is worth a notice: a start or a short outage is not.
PATIENCE = 60.0


class LoadWatch:
    """Watches the champions of one gateway process.

    Parameters
    ----------
    clock
        Monotonic seconds.
    """

    def __init__(self, notifier: Notifier, clock: Callable[[], float] = time.monotonic) -> None:
        self._notifier, self._clock = notifier, clock
        self._since: dict[str, tuple[VersionRef, float]] = {}
        self._notified: dict[str, VersionRef] = {}

    def check(self, model: ServedModel, failures: Mapping[VersionRef, str]) -> None:
        """Notify once when the champion has failed to load for :data:`PATIENCE`, and once when it has not."""
        champion, name = model.table.traffic.champion, model.name
        why = failures.get(champion, "") if champion is not None else ""
        if champion is None or not why:
            self._since.pop(name, None)
            if (notified := self._notified.pop(name, None)) is not None and notified == champion:
                self._send(model, resolved(name, champion))
            return
        ref, since = self._since.setdefault(name, (champion, self._clock()))
        if ref != champion:
            self._since[name] = (champion, self._clock())
        elif self._clock() - since >= PATIENCE and self._notified.get(name) != champion:
            self._notified[name] = champion
            self._send(model, load_failed(name, champion, why))

    def _send(self, model: ServedModel, notice: Notice) -> None:
        notify_in_background(self._notifier, model.config, notice)


def load_failed(model: str, ref: VersionRef, why: str) -> Notice:
    """Return the notice of a champion that cannot be loaded."""
    return Notice(
        NoticeKind.LOAD_FAILED,
        model,
        f"{model}: a gateway cannot load version {ref.version}, the champion",
        why,
        f"See what is served instead: homeostat status {model}. To go back: homeostat rollback {model}"
        f" {ref.version}",
        story=_story(ref),
        part="begin",
    )


def resolved(model: str, ref: VersionRef) -> Notice:
    """Return the notice that it is loaded again."""
    title = f"{model}: version {ref.version}, the champion, is loaded again"
    body = f"The gateway has loaded version {ref.version} and serves it."
    return Notice(NoticeKind.RESOLVED, model, title, body, story=_story(ref), part="end")


def _story(ref: VersionRef) -> str:
    return f"load/{ref.version}"
