"""Notices left in the Store by whoever has no way to people; Airflow tells and removes them."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict

from homeostat.config.errors import HomeostatError
from homeostat.ports import Notice, Store

logger = logging.getLogger(__name__)


class StoreNotifier:
    """Writes ``notices/<model>/<about>-<kind>.json``: what is said again about the same thing is one notice.

    Parameters
    ----------
    about
        What this process looks at, as part of a key: a window's end, for instance.
    """

    def __init__(self, store: Store, about: str) -> None:
        self._store, self._about = store, about

    def notify(self, targets: Sequence[str], notice: Notice) -> None:  # noqa: ARG002  # whom, model.yaml says when it is told
        """See :meth:`homeostat.ports.Notifier.notify`."""
        text = json.dumps(asdict(notice), indent=1)
        key = f"notices/{notice.model}/{self._about}-{notice.kind}.json"
        try:
            self._store.put(key, text.encode(), overwrite=True)
        except HomeostatError as error:
            logger.warning("the notice %r (%s) was lost: %s", notice.title, notice.body, error)
