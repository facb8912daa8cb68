"""The gateway's logs together: predictions, labels, conflicting labels; their threads; what others left."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from homeostat.config import ModelConfig
from homeostat.config.errors import AlreadyExists
from homeostat.ports import Store
from homeostat.serving.metrics import Metrics
from homeostat.serving.options import Options
from homeostat.serving.recorder import labels
from homeostat.serving.recorder import prediction_log as predictionlog
from homeostat.serving.recorder.counters import Odometer
from homeostat.serving.recorder.labels import Label
from homeostat.serving.recorder.prediction_log import Served
from homeostat.serving.recorder.recovery import Home, clear_up, known_losses
from homeostat.serving.recorder.spool import Flushed, Spool
from homeostat.serving.recorder.upload import Kind

logger = logging.getLogger(__name__)


class Logs:
    """Three spools over one folder of journals.

    One thread hands rows to the journals every ``journal_seconds``, one waits for the disk on behalf of
    whoever must not be answered before, one writes chunks to the store and clears up after dead processes.
    """

    def __init__(
        self, models: Mapping[str, ModelConfig], store: Store, state: Path, options: Options, metrics: Metrics
    ) -> None:
        self._models = models
        self._store = store
        self._options = options
        kinds = _kinds(store, models)
        counts = Odometer([slot for kind in kinds for slot in kind.slots(models)])
        self.home = Home(state / "journal", options.gateway, counts)
        self._asked = threading.Event()
        predictions, known, quarantine = kinds
        rows = options.keep_rows
        self.predictions: Spool[Served] = Spool(
            predictions, self.home, counts, models, rows, asked=self._asked
        )
        self.labels: Spool[tuple[Label, ...]] = Spool(
            known, self.home, counts, models, rows, asked=self._asked
        )
        self.quarantine: Spool[tuple[Label, ...]] = Spool(
            quarantine, self.home, counts, models, rows, asked=self._asked
        )
        self._left = _kinds(cast("Store", _Once(store)), models)
        self._flush_error = self._left_error = ""
        self._left_lost: Counter[str] = Counter()
        self._torn = 0
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=target, name=name, daemon=True)
            for name, target in (
                ("journal", self._commit_often),
                ("journal-sync", self._sync_when_asked),
                ("flush", self._flush_now_and_then),
            )
        ]
        self._show(metrics)

    @property
    def spools(self) -> tuple[Spool[Any], ...]:
        """All of them."""
        return (self.predictions, self.labels, self.quarantine)

    @property
    def losing(self) -> bool:
        """Whether predictions are not being recorded right now."""
        return self.predictions.losing

    @property
    def error(self) -> str:
        """Why rows do not get to the store; "" while they do."""
        journals = [spool.journal_error for spool in self.spools]
        found = [*journals, *self._flush_error.split("; "), self._left_error]
        if self.losing:
            found.append("the prediction log loses rows: rollouts wait where they are")
        return "; ".join(dict.fromkeys(each for each in found if each))

    # Life

    def start(self) -> None:
        """Take the folder and start the threads; a disk that refuses is said, and asked again."""
        try:
            self.home()
            self.predictions.prepare()
        except OSError as error:
            logger.error("no journal below %s: %s", self.home.root, error)  # noqa: TRY400  # one line says it
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Write everything, and leave what cannot be written to the next process."""
        self._stop.set()
        self._asked.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(5.0)
        self.flush()
        for spool in self.spools:
            spool.end()
            if spool.kept:
                logger.error("%s: %d rows wait in the journal for the next start", spool.name, spool.kept)
        folder = self.home.leave()
        if folder is not None:
            clear_up(self.home.root, self._left, self._store, folder)

    def _commit_often(self) -> None:
        while not self._stop.wait(self._options.journal_seconds):
            for spool in self.spools:
                spool.commit()

    def _sync_when_asked(self) -> None:
        while not self._stop.is_set():
            self._asked.wait()
            self._asked.clear()
            for spool in self.spools:
                spool.sync()

    def _flush_now_and_then(self) -> None:
        due = 0.0
        while not self._stop.is_set():
            full = max(spool.kept for spool in self.spools) >= self._options.flush_rows
            if time.monotonic() >= due or (full and not self._flush_error):
                due = time.monotonic() + self._options.flush_seconds
                try:
                    self.flush()
                    self.clear_up()
                except Exception:  # the thread must live as long as the gateway
                    logger.exception("a flush failed; rows are kept")
            self._stop.wait(0.1)

    def flush(self) -> dict[str, Flushed]:
        """Write all buffers to the store now; ``error`` says what went wrong."""
        done = {spool.name: spool.flush() for spool in self.spools}
        self._flush_error = "; ".join(each.error for each in done.values() if each.error)
        return done

    def clear_up(self) -> None:
        """Write what dead processes on the same state folder left, and count what they lost."""
        losses, self._left_error = clear_up(self.home.root, self._left, self._store)
        for loss in losses:
            self._left_lost[loss.log] += loss.lost
            self._torn += loss.torn

    # What it shows

    def of_model(self, model: str) -> dict[str, Any]:
        """The promise of one model's log, and what ended processes of this state folder lost of it."""
        before: Counter[str] = Counter()
        for loss in known_losses(self.home.root):
            if loss.model == model:
                before[loss.log] += loss.lost
        return {
            "promise": self._models[model].log,
            "losing": self.losing,
            "lost_rows_before": before["predictions"],
            "lost_labels_before": before["labels"],
        }

    def lost(self, model: str) -> dict[str, float]:
        """What this process lost of one model's logs."""
        return {
            "lost_rows": self.predictions.lost_by[model],
            "lost_labels": self.labels.lost_by[model] + self.quarantine.lost_by[model],
        }

    def _show(self, metrics: Metrics) -> None:
        for spool, series in ((self.predictions, "log"), (self.labels, "label_log")):
            name, log = spool.name, spool.kind.folder
            for what, text, read in (
                ("written_rows", f"Rows that the {name} wrote.", lambda s=spool: s.written),
                ("kept_rows", f"Rows that wait for the {name}.", lambda s=spool: s.kept),
                (
                    "lost_rows",
                    f"Rows that the {name} lost, and dead processes that this one cleared up after.",
                    lambda s=spool, log=log: s.lost + self._left_lost[log],
                ),
                (
                    "journal_wait_seconds",
                    f"The longest that rows of the {name} waited for the journal.",
                    lambda s=spool: s.longest_wait,
                ),
            ):
                metrics.gauge(f"homeostat_{series}_{what}", text, read)
        metrics.gauge(
            "homeostat_log_torn_records", "Records of dead processes that were cut short.", lambda: self._torn
        )


def _kinds(
    store: Store, models: Mapping[str, ModelConfig]
) -> tuple[Kind[Served], Kind[tuple[Label, ...]], Kind[tuple[Label, ...]]]:
    return predictionlog.kind(store, models), labels.kind(store, models), labels.quarantine_kind(store)


class _Once:
    """A store in which a name that is taken is a chunk that was written before.

    Names are never used twice, but the same rows may make other bytes: model.yaml or a library may have
    changed between the two processes.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def put(self, key: str, data: bytes, *, overwrite: bool = False) -> None:
        try:
            self._store.put(key, data, overwrite=overwrite)
        except AlreadyExists:
            logger.warning("%s was written before", key)
