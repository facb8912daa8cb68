"""The gateway's logs (predictions, labels, conflicting labels), their threads, and recovery of orphans."""

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
from homeostat.serving.recorder.counters import Counters
from homeostat.serving.recorder.labels import Label, label_log_spec, label_quarantine_spec
from homeostat.serving.recorder.prediction_log import ServedRequest, prediction_log_spec
from homeostat.serving.recorder.recovery import JournalFolder, known_losses, recover_orphans
from homeostat.serving.recorder.spool import FlushResult, Spool
from homeostat.serving.recorder.upload import LogSpec

logger = logging.getLogger(__name__)


class LogManager:
    """Three spools over one folder of journals.

    Three threads: one passes rows to the journals every ``journal_seconds``, one syncs the disk for requests
    that wait for it (``log: sync``), one writes chunks to the store and recovers the journals of ended
    processes.
    """

    def __init__(
        self, models: Mapping[str, ModelConfig], store: Store, state: Path, options: Options, metrics: Metrics
    ) -> None:
        self._models = models
        self._store = store
        self._options = options
        predictions, labels, quarantine = specs = _specs(store, models)
        counters = Counters([name for spec in specs for name in spec.counter_names(models)])
        self.folder = JournalFolder(state / "journal", options.gateway, counters)
        self._sync_requested = threading.Event()

        def spool(spec: LogSpec[Any]) -> Spool[Any]:
            return Spool(
                spec,
                self.folder.acquire,
                counters,
                models,
                options.keep_rows,
                sync_requested=self._sync_requested,
            )

        self.predictions: Spool[ServedRequest] = spool(predictions)
        self.labels: Spool[tuple[Label, ...]] = spool(labels)
        self.quarantine: Spool[tuple[Label, ...]] = spool(quarantine)
        self._orphan_specs = _specs(cast("Store", _IdempotentStore(store)), models)
        self._flush_error = self._orphan_error = ""
        self._orphan_losses: Counter[str] = Counter()
        self._torn = 0
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=target, name=name, daemon=True)
            for name, target in (
                ("journal", self._commit_regularly),
                ("journal-sync", self._sync_on_request),
                ("flush", self._flush_regularly),
            )
        ]
        self._export(metrics)

    @property
    def spools(self) -> tuple[Spool[Any], ...]:
        """Return all spools."""
        return (self.predictions, self.labels, self.quarantine)

    @property
    def dropping_rows(self) -> bool:
        """Whether predictions are not being recorded right now."""
        return self.predictions.dropping_rows

    @property
    def error(self) -> str:
        """Why rows do not reach the store; "" while they do."""
        journals = [spool.journal_error for spool in self.spools]
        found = [*journals, *self._flush_error.split("; "), self._orphan_error]
        if self.dropping_rows:
            found.append("the prediction log drops rows: rollouts are held until it records again")
        return "; ".join(dict.fromkeys(each for each in found if each))

    # Life

    def start(self) -> None:
        """Create the journal folder and start the threads; a disk that refuses is logged and retried."""
        try:
            self.folder.acquire()
            self.predictions.prepare_segment()
        except OSError as error:
            logger.error("no journal below %s: %s", self.folder.root, error)  # noqa: TRY400  # one line is enough
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Write everything; what cannot be written is left in the journal for the next process."""
        self._stop.set()
        self._sync_requested.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(5.0)
        self.flush()
        for spool in self.spools:
            spool.close()
            if spool.pending_rows:
                logger.error(
                    "%s: %d rows wait in the journal for the next start", spool.name, spool.pending_rows
                )
        folder = self.folder.release()
        if folder is not None:
            recover_orphans(self.folder.root, self._orphan_specs, self._store, folder)

    def _commit_regularly(self) -> None:
        while not self._stop.wait(self._options.journal_seconds):
            for spool in self.spools:
                spool.commit()

    def _sync_on_request(self) -> None:
        while not self._stop.is_set():
            self._sync_requested.wait()
            self._sync_requested.clear()
            for spool in self.spools:
                spool.sync()

    def _flush_regularly(self) -> None:
        due = 0.0
        while not self._stop.is_set():
            full = max(spool.pending_rows for spool in self.spools) >= self._options.flush_rows
            if time.monotonic() >= due or (full and not self._flush_error):
                due = time.monotonic() + self._options.flush_seconds
                try:
                    self.flush()
                    self.recover_orphans()
                except Exception:  # the thread must live as long as the gateway
                    logger.exception("a flush failed; rows are kept in the journal")
            self._stop.wait(0.1)

    def flush(self) -> dict[str, FlushResult]:
        """Write all buffers to the store now; ``error`` holds what failed."""
        done = {spool.name: spool.flush() for spool in self.spools}
        self._flush_error = "; ".join(each.error for each in done.values() if each.error)
        return done

    def recover_orphans(self) -> None:
        """Write what ended processes left in the same state folder, and count what they lost."""
        losses, self._orphan_error = recover_orphans(self.folder.root, self._orphan_specs, self._store)
        for loss in losses:
            self._orphan_losses[loss.log] += loss.lost
            self._torn += loss.torn

    # Status and metrics

    def log_status(self, model: str) -> dict[str, Any]:
        """Return one model's ``log`` mode, and what ended processes of this state folder lost of its logs."""
        lost: Counter[str] = Counter()
        for loss in known_losses(self.folder.root):
            if loss.model == model:
                lost[loss.log] += loss.lost
        return {
            "mode": self._models[model].log,
            "dropping_rows": self.dropping_rows,
            "lost_rows_previous_runs": lost["predictions"],
            "lost_labels_previous_runs": lost["labels"],
        }

    def lost_rows(self, model: str) -> dict[str, float]:
        """Return what this process lost of one model's logs."""
        return {
            "lost_rows": self.predictions.lost_by_model[model],
            "lost_labels": self.labels.lost_by_model[model] + self.quarantine.lost_by_model[model],
        }

    def _export(self, metrics: Metrics) -> None:
        for spool, series in ((self.predictions, "log"), (self.labels, "label_log")):
            name, log = spool.name, spool.spec.folder
            for what, text, read in (
                (
                    "written_rows",
                    f"Rows of the {name} that are in the store.",
                    lambda s=spool: s.written_rows,
                ),
                (
                    "pending_rows",
                    f"Rows of the {name} that wait for the store.",
                    lambda s=spool: s.pending_rows,
                ),
                (
                    "lost_rows",
                    f"Rows of the {name} lost by this process and by the ended ones that it recovered.",
                    lambda s=spool, log=log: s.lost_rows + self._orphan_losses[log],
                ),
                (
                    "journal_wait_seconds",
                    f"Longest time that a row of the {name} waited for the journal.",
                    lambda s=spool: s.longest_wait_seconds,
                ),
            ):
                metrics.gauge(f"homeostat_{series}_{what}", text, read)
        metrics.gauge(
            "homeostat_log_torn_records",
            "Truncated records found in journals of ended processes.",
            lambda: self._torn,
        )


def _specs(
    store: Store, models: Mapping[str, ModelConfig]
) -> tuple[LogSpec[ServedRequest], LogSpec[tuple[Label, ...]], LogSpec[tuple[Label, ...]]]:
    return prediction_log_spec(store, models), label_log_spec(store, models), label_quarantine_spec(store)


class _IdempotentStore:
    """A store that treats an existing key as a chunk that was written before.

    Keys are never reused, but the same rows may give other bytes: model.yaml or a library may have changed
    between the two processes.
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
