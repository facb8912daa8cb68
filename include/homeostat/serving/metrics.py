"""The Prometheus metrics of ``/metrics``, in a registry of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from homeostat.core.rollout.phases import Phase, Traffic

_LATENCY = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_LOAD = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0)
_BATCH = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024, 4096)
_BY_VERSION = ("model", "version", "variant")
MAX_EXTRA_NAMES = 50
#: Versions of one model that keep their series; those unused for longest are removed.
MAX_VERSIONS = 20


class VersionMetrics(NamedTuple):
    """The series of one version and variant; looked up once per routing table, not per request."""

    rows: Counter
    latency: Histogram
    errors: Counter
    nan: Counter
    out_of_range: Counter
    fallbacks: Counter


class Metrics:
    """All metrics of the gateway."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "homeostat_requests",
            "Scoring requests by HTTP status.",
            ("model", "status"),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "homeostat_request_seconds",
            "Time from a complete request to its response.",
            ("model",),
            buckets=_LATENCY,
            registry=self.registry,
        )
        self.rows = Counter("homeostat_rows", "Rows predicted.", _BY_VERSION, registry=self.registry)
        self.latency = Histogram(
            "homeostat_predict_seconds",
            "Time of the predict call of a request.",
            _BY_VERSION,
            buckets=_LATENCY,
            registry=self.registry,
        )
        self.errors = Counter(
            "homeostat_errors", "Rows that a version failed on.", _BY_VERSION, registry=self.registry
        )
        self.nan = Counter(
            "homeostat_nan",
            "Predictions that were missing or not finite.",
            _BY_VERSION,
            registry=self.registry,
        )
        self.out_of_range = Counter(
            "homeostat_out_of_range",
            "Predictions outside the range of the version's holdout predictions.",
            _BY_VERSION,
            registry=self.registry,
        )
        self.fallbacks = Counter(
            "homeostat_fallbacks",
            "Rows that another version predicted because this one failed.",
            _BY_VERSION,
            registry=self.registry,
        )
        self.poison = Counter(
            "homeostat_poison_rows",
            "Rows that no loaded version could predict.",
            ("model",),
            registry=self.registry,
        )
        self.extra = Counter(
            "homeostat_extra_columns",
            "Rows with a column that model.yaml does not list.",
            ("model", "column"),
            registry=self.registry,
        )
        self.unknown = Counter(
            "homeostat_unknown_categories",
            "Categories that model.yaml does not list, by feature.",
            ("model", "feature"),
            registry=self.registry,
        )
        self.batch = Histogram(
            "homeostat_batch_rows",
            "Rows of one predict call.",
            ("model",),
            buckets=_BATCH,
            registry=self.registry,
        )
        self.labels = Counter(
            "homeostat_labels",
            "Labels by outcome: accepted, duplicate or conflict.",
            ("model", "outcome"),
            registry=self.registry,
        )
        self.shadow_dropped = Counter(
            "homeostat_shadow_dropped",
            "Rows that were not sent to the shadow because its queue was full.",
            ("model",),
            registry=self.registry,
        )
        self.shadow_restarts = Counter(
            "homeostat_shadow_restarts",
            "Restarts of the shadow process.",
            ("model",),
            registry=self.registry,
        )
        self.load_errors = Counter(
            "homeostat_load_errors", "Versions that could not be loaded.", ("model",), registry=self.registry
        )
        self.loads = Counter(
            "homeostat_loads", "Versions that were loaded into memory.", ("model",), registry=self.registry
        )
        self.load_seconds = Histogram(
            "homeostat_load_seconds",
            "Time of loading a version into memory, with fetching it where it was not on disk.",
            buckets=_LOAD,
            registry=self.registry,
        )
        self.unloads = Counter(
            "homeostat_unloads",
            "Unloads of a model to make room for another (HOMEOSTAT_GATEWAY_LOADED_MODELS).",
            ("model",),
            registry=self.registry,
        )
        self.ledger_errors = Counter(
            "homeostat_ledger_errors",
            "Failed reads and writes of the ledger.",
            registry=self.registry,
        )
        self.share = Gauge(
            "homeostat_routing_share", "Share of the traffic by version.", _BY_VERSION, registry=self.registry
        )
        self.phase = Gauge(
            "homeostat_rollout_phase",
            "1 for the phase of the latest rollout.",
            ("model", "phase"),
            registry=self.registry,
        )
        self.rollbacks = Counter(
            "homeostat_rollbacks",
            "Versions that this gateway rolled back.",
            ("model",),
            registry=self.registry,
        )
        self._extra_names: dict[str, set[str]] = {}
        self._versions: dict[str, dict[str, None]] = {}

    def begin(self, model: str) -> None:
        """Begin a model's rare counts at 0: Prometheus sees an increase only from a value that it read."""
        rare = [self.poison, self.shadow_dropped, self.shadow_restarts, self.load_errors, self.rollbacks]
        rare += [self.loads, self.unloads]
        for counter in rare:
            counter.labels(model)

    def gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Add a gauge whose value is read at each scrape."""
        Gauge(name, text, registry=self.registry).set_function(read)

    def of_version(self, model: str, version: str, variant: str) -> VersionMetrics:
        """Return the series of one version and variant."""
        families = (self.rows, self.latency, self.errors, self.nan, self.out_of_range, self.fallbacks)
        known = self._versions.setdefault(model, {})
        known.pop(version, None)
        known[version] = None
        while len(known) > MAX_VERSIONS:
            oldest = next(iter(known))
            del known[oldest]
            for family in families:
                family.remove_by_labels({"model": model, "version": oldest})
        return VersionMetrics(*(family.labels(model, version, variant) for family in families))  # type: ignore[arg-type]

    def count_extra(self, model: str, names: tuple[str, ...], rows: int) -> None:
        """Count unknown columns by name; those beyond :data:`MAX_EXTRA_NAMES` as ``(other)``."""
        known = self._extra_names.setdefault(model, set())
        for name in names:
            shown = name[:64]
            if shown not in known:
                if len(known) >= MAX_EXTRA_NAMES:
                    shown = "(other)"
                else:
                    known.add(shown)
            self.extra.labels(model, shown).inc(rows)

    def set_traffic(self, traffic: Traffic) -> None:
        """Set share and phase to the current routing."""
        model = traffic.model
        self.share.remove_by_labels({"model": model})
        active = traffic.active
        share = active.share if active is not None else 0.0
        if traffic.champion is not None:
            self.share.labels(model, traffic.champion.version, "champion").set(1.0 - share)
        if active is not None:
            self.share.labels(model, active.candidate.version, "candidate").set(share)
        for phase in Phase:
            current = traffic.rollout is not None and traffic.rollout.phase is phase
            self.phase.labels(model, str(phase)).set(float(current))

    def render(self) -> bytes:
        """Return Prometheus' text format."""
        return generate_latest(self.registry)
