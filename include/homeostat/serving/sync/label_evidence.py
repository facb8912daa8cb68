"""Keep the labelled pairs of every rollout in the ledger, from what is in the store.

A thread of its own reads what is new every few seconds, beside requests and controller. The evidence is a
function of the store: it is replaced, not added to, and only after everything that is listed was read. So it
is the same on every gateway and after every restart, and labels may come late, twice, before the file of
their prediction, and through any gateway.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from concurrent.futures import CancelledError
from dataclasses import dataclass
from datetime import datetime, timedelta

from homeostat.config.errors import NotFound, Unavailable
from homeostat.core.rollout import LABELLED_PAIRS, PairLosses, Tally
from homeostat.hung_calls import ReplacingThreadPool
from homeostat.ports import Ports, Store
from homeostat.serving.inference.routing import ServedModel
from homeostat.serving.sync.compared_versions import compared_versions, other_version
from homeostat.serving.sync.rollout_labels import RolloutLabels

logger = logging.getLogger(__name__)

#: The source of this evidence in the ledger, the same for all gateways.
SOURCE = "labels"
#: Unchanged evidence is written again after this time: a gateway that has read less may have replaced it.
WRITE_AGAIN = timedelta(minutes=1)
#: Files that are read before the next model's turn, and at the same time.
_FILES_PER_TURN, _READERS = 64, 4
#: Seconds without work between small steps: requests come first.
_PAUSE = 0.005
#: Looking again takes at most one part in so many of the time.
_WORK_SHARE = 10


@dataclass(slots=True)
class _ModelLabels:
    """One model's rollout: the ledger's revision that it was read at, and the evidence that was written."""

    labels: RolloutLabels
    revision: int
    written: Tally | None = None
    written_at: datetime | None = None

    def is_written(self, tally: Tally, now: datetime) -> bool:
        """Whether the ledger has this evidence, as far as this gateway knows."""
        if self.written_at is None:
            return not tally.rows
        return tally == self.written and timedelta(0) <= now - self.written_at < WRITE_AGAIN


class LabelEvidence:
    """Reads labels and predictions, and writes the evidence. Run it in one worker of each gateway.

    Parameters
    ----------
    every
        Seconds between two looks at the store.
    """

    def __init__(self, models: Mapping[str, ServedModel], ports: Ports, *, every: float) -> None:
        self._models = models
        self._store = ports.store
        self._ledger = ports.ledger
        self._clock = ports.clock
        self._every = every
        self._rollouts: dict[str, _ModelLabels] = {}
        self._errors: dict[str, str] = {}
        self._stop = threading.Event()
        self._readers = ReplacingThreadPool(_READERS, "label-files", hang_seconds=float("inf"))
        self._thread = threading.Thread(target=self._run, name="labels", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; a call to the store that hangs is left behind."""
        self._stop.set()
        self._readers.shutdown(cancel_futures=True)
        if self._thread.is_alive():
            self._thread.join(1.0)

    @property
    def running(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def _run(self) -> None:
        pause = self._every
        while not self._stop.wait(pause):
            begun = time.monotonic()
            more = [self._try_update(model) for model in self._models.values() if not self._stop.is_set()]
            spent = time.monotonic() - begun
            # The first read of a long rollout goes on at once, for half of the time.
            pause = spent if any(more) else max(self._every, _WORK_SHARE * spent)

    def _try_update(self, model: ServedModel) -> bool:
        """Update one model's evidence. A failure is logged once, and retried."""
        name = model.name
        try:
            more = self.update(model)
        except (Unavailable, CancelledError) as error:
            if name not in self._errors and not self._stop.is_set():
                logger.warning("%s: labels are not compared until this is over: %s", name, error)
            self._errors[name] = str(error)
            return False
        except Exception as error:  # the thread must live as long as the gateway
            if self._errors.get(name) != repr(error):
                logger.exception("%s: labels are not compared", name)
            self._errors[name] = repr(error)
            return False
        if self._errors.pop(name, ""):
            logger.warning("%s: labels are compared again", name)
        return more

    def update(self, model: ServedModel) -> bool:
        """Read some of the model's new files; write the evidence when all were read.

        Returns whether there is more to read now.

        Raises
        ------
        Unavailable
            The store or the ledger does not answer: what was read so far is kept.
        """
        now = self._clock.now()
        rollout = self._rollout(model, now)
        if rollout is None:
            self._rollouts.pop(model.name, None)
            return False
        labels = rollout.labels
        if not labels.unread:
            labels.list_new(self._store, now)
        self._read(labels)
        if labels.unread:
            return True
        tally = labels.pairs.tally(self._yield)
        if not rollout.is_written(tally, now):
            self._ledger.replace_evidence(model.name, labels.rollout, SOURCE, {LABELLED_PAIRS: tally})
            rollout.written, rollout.written_at = tally, now
        return False

    def _rollout(self, model: ServedModel, now: datetime) -> _ModelLabels | None:
        """Return the model's rollout with what was read so far; None when labels compare nothing."""
        traffic = model.table.traffic
        other = other_version(traffic, model.config.columns.label.delay, now)
        losses = PairLosses.of(traffic.rollout.plan) if traffic.rollout is not None else None
        if traffic.rollout is None or other is None or losses is None:
            return None
        found = self._rollouts.get(model.name)
        if found is not None and found.labels.rollout != traffic.rollout.id:
            found = None
        if found is not None and found.revision == traffic.revision:
            return found
        compared = compared_versions(traffic, other, self._ledger)
        if compared is None:
            return None
        if found is None:
            labels = RolloutLabels(model.config, traffic.rollout.id, compared, losses)
            found = self._rollouts[model.name] = _ModelLabels(labels, traffic.revision)
        found.labels.compared, found.revision = compared, traffic.revision
        return found

    def _read(self, labels: RolloutLabels) -> None:
        """Read some of the queued files; those that were not read stay in the queue."""
        for _ in range(_FILES_PER_TURN // _READERS):
            batch = [labels.unread[i] for i in range(min(_READERS, len(labels.unread)))]
            reads = [self._readers.submit(_get, self._store, key) for _, key in batch]
            for file, read in zip(batch, reads, strict=True):
                data = read.result()
                if data is not None:
                    labels.add(file, data)
                labels.unread.popleft()
                self._yield()

    def _yield(self) -> None:
        self._stop.wait(_PAUSE)


def _get(store: Store, key: str) -> bytes | None:
    try:
        return store.get(key)
    except NotFound:  # deleted since it was listed
        return None
