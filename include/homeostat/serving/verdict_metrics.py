"""The verdicts of drift checks and retrains as series of ``/metrics``, read at a scrape.

Airflow's tasks end before Prometheus could scrape them, and a Lambda function even sooner. What they found is
in the store, so the gateway serves it: the worker that receives the scrape reads one small object per model,
at most every few seconds, in a thread of its own. A scrape waits for that only briefly, and then serves what
was read before.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import datetime

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from homeostat.config import ModelConfig
from homeostat.ports import Clock, Ledger, Ports, Store
from homeostat.serving.verdict_families import FAMILIES, ModelVerdicts
from homeostat.storage.latest_check import load_latest_check, load_latest_outcome
from homeostat.storage.parallel_map import parallel_map

logger = logging.getLogger(__name__)

#: Seconds for which what was read is served again.
_FRESH = 5.0
#: Seconds that a scrape waits for store and ledger; Prometheus gives up after 10.
_PATIENCE = 2.0


class VerdictMetrics:
    """Reads the verdicts of all models of an installation, also of those that no gateway serves."""

    def __init__(self, models: Mapping[str, ModelConfig], ports: Ports) -> None:
        self._models = tuple(models.values())
        self._store: Store = ports.store
        self._ledger: Ledger = ports.ledger
        self._clock: Clock = ports.clock
        self._found: dict[str, ModelVerdicts] = {}
        self._errors: dict[str, str] = {}
        self._complete_at: datetime | None = None
        self._read_at = float("-inf")
        self._reading: threading.Thread | None = None
        self._lock = threading.Lock()
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def render(self) -> bytes:
        """Return Prometheus' text format."""
        self._refresh()
        return generate_latest(self.registry)

    def collect(self) -> Iterator[Metric]:
        """Yield the families, as prometheus_client's registry asks for them."""
        found = list(self._found.values())
        for name, text, labels, read in FAMILIES:
            family = GaugeMetricFamily(f"homeostat_{name}", text, labels=("model", *labels))
            for verdicts in found:
                for values, value in read(verdicts):
                    if value is not None:
                        family.add_metric((verdicts.config.name, *values), float(value))
            yield family
        read_at = GaugeMetricFamily(
            "homeostat_verdicts_read_timestamp_seconds", "When the verdicts of all models were last read."
        )
        if self._complete_at is not None:
            read_at.add_metric((), self._complete_at.timestamp())
        yield read_at

    def _refresh(self) -> None:
        """Begin to read unless that is under way or just done, and wait for it briefly."""
        with self._lock:
            reading = self._reading
            if reading is None and time.monotonic() - self._read_at >= _FRESH:
                reading = threading.Thread(target=self._read_all, name="verdicts", daemon=True)
                self._reading = reading
                reading.start()
        if reading is not None:
            reading.join(_PATIENCE)

    def _read_all(self) -> None:
        try:
            begun = self._clock.now()
            if all(parallel_map(self._read, self._models)):
                self._complete_at = begun
        finally:
            with self._lock:
                self._read_at = time.monotonic()
                self._reading = None

    def _read(self, config: ModelConfig) -> bool:
        """Read one model; on a failure, logged once, what was known of it stays."""
        name = config.name
        try:
            self._found[name] = ModelVerdicts(
                config,
                self._ledger.read(name),
                self._ledger.lease_holder(name, self._clock.now()),
                load_latest_check(self._store, name),
                load_latest_outcome(self._store, name),
            )
        except Exception as error:  # noqa: BLE001  # one model must not hide the others
            if name not in self._errors:
                logger.warning("%s: /metrics serves the verdicts read before: %s", name, error)
            self._errors[name] = str(error)
            return False
        self._errors.pop(name, None)
        return True
