"""Everything that a running gateway consists of, and its operators' requests."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import Any

from homeostat._version import __version__
from homeostat.config import ModelConfig, Settings
from homeostat.config.errors import NotFound, Unavailable
from homeostat.core.rollout import EventKind, Transition, approve, promote, roll_back
from homeostat.core.rollout.phases import Traffic, VersionRef
from homeostat.hung_calls import ReplacingThreadPool
from homeostat.ports import Ports
from homeostat.rollouts.approval import Decision, name_of, request_by_link, require_approver
from homeostat.rollouts.approval_link import ApprovalClaims, approval_links
from homeostat.rollouts.gate_check import require_passed_gate
from homeostat.rollouts.rollback_guard import require_rolls_back_version
from homeostat.serving.auth.audit import AuditLog
from homeostat.serving.auth.guard import AccessGuard
from homeostat.serving.inference.engine import Engine
from homeostat.serving.inference.on_demand import OnDemandEngine
from homeostat.serving.inference.residency import Residency
from homeostat.serving.inference.routing import RoutingTable, ServedModel
from homeostat.serving.inference.shadow_worker import import_object
from homeostat.serving.metrics import Metrics
from homeostat.serving.mlflow_webhooks import MlflowWebhooks
from homeostat.serving.options import Options
from homeostat.serving.recorder.labels import KnownLabels
from homeostat.serving.recorder.log_manager import LogManager
from homeostat.serving.request_trace import RequestTracer
from homeostat.serving.response_redaction import make_redactor
from homeostat.serving.scoring_request import InputSpec
from homeostat.serving.sync.bundle_cache import BundleCache
from homeostat.serving.sync.controller import Controller
from homeostat.serving.sync.label_evidence import LabelEvidence
from homeostat.serving.sync.rollback_notice import notify_rolled_back
from homeostat.serving.sync.routing_sync import needed_versions
from homeostat.serving.verdict_metrics import VerdictMetrics
from homeostat.serving.worker_ipc import WorkerPeers

logger = logging.getLogger(__name__)

#: The function that loads a bundle, by name: the shadow process imports it itself.
LOAD_BUNDLE = "homeostat.bundle.files:load_bundle"
#: Seconds that the store may take for the last rows: orchestrators kill 30 s after SIGTERM.
STOP_SECONDS = 6.0
#: Seconds that the receiver of traces may take for the last spans.
TRACE_SECONDS = 2.0


class Runtime:
    """The parts of a gateway, put together.

    Parameters
    ----------
    load
        The function that loads bundles, as ``module:name``; tests pass their own.
    """

    def __init__(
        self,
        models: Mapping[str, ModelConfig],
        ports: Ports,
        settings: Settings,
        options: Options,
        *,
        load: str = LOAD_BUNDLE,
    ) -> None:
        self.ports = ports
        self.settings = settings
        self.options = options
        self.version = __version__
        self.metrics = Metrics()
        self.verdicts = VerdictMetrics(models, ports)
        self.webhooks = MlflowWebhooks(
            models, ports, settings.webhook_secret, lambda: ports.clock.now().timestamp()
        )
        self.redact = make_redactor(settings)
        self.approval_links = approval_links(
            settings.approval_secret, settings.gateway_public_url or settings.gateway
        )
        self.audit = AuditLog(settings.state / "audit.jsonl")
        self.access_guard = AccessGuard(settings, options, self.audit, ports.clock.now)
        served = {name: config for name, config in models.items() if config.serve == "gateway"}
        self.states = {
            name: ServedModel(
                config, InputSpec.of(config), KnownLabels(options.known_labels), RoutingTable(Traffic(name))
            )
            for name, config in served.items()
        }
        for name in served:
            self.metrics.begin(name)
        self.logs = LogManager(served, ports.store, settings.state, options, self.metrics)
        self.log, self.label_log = self.logs.predictions, self.logs.labels
        self.quarantine = self.logs.quarantine
        self.pool = ReplacingThreadPool(options.threads, "predict", hang_seconds=options.champion_timeout)
        self.bundle_cache = BundleCache(
            settings.cache, ports.registry, settings.trusted_types, import_object(load), store=ports.store
        )
        #: Which models may be in memory; None: all, loaded at the start.
        self.residency = Residency(options.loaded_models, self.redact) if options.loaded_models else None
        self.metrics.gauge(
            "homeostat_gateway_models_loaded",
            "Models of which a version is in memory.",
            lambda: float(sum(state.table.champion is not None for state in self.states.values())),
        )
        self.controller = Controller(
            self.states,
            ports,
            self.bundle_cache,
            self.metrics,
            options,
            pool=self.pool,
            log=self.log,
            load_name=load,
            trusted_types=settings.trusted_types,
            residency=self.residency,
        )
        # New labels reach the store with every flush.
        self.label_evidence = LabelEvidence(self.states, ports, every=2 * options.flush_seconds)
        #: Begins the traces of requests; None: traces are off.
        self.traces = RequestTracer(ports.tracer) if ports.tracer is not None else None
        engine = Engine if self.residency is None else partial(OnDemandEngine, self.residency)
        self.engine = engine(
            options,
            self.metrics,
            self.log,
            self.controller.evaluate_soon,
            traced=self.traces is not None,
        )
        self.in_flight = 0
        #: The other workers of this gateway, when there are several.
        self.peers: WorkerPeers | None = None

    def start(self) -> None:
        """Start the background work; a model serves as soon as its champion is loaded."""
        self.controller.start()
        self.logs.start()
        if self.peers is None or self.peers.address.index == 0:  # it reads what all workers have logged
            self.label_evidence.start()

    async def stop(self, *, drain_seconds: float = 20.0) -> None:
        """Wait for requests in flight, write the logs, stop everything."""
        end = time.monotonic() + drain_seconds
        while self.in_flight and time.monotonic() < end:  # noqa: ASYNC110  # an event would cost every request
            await asyncio.sleep(0.01)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._stop_background)

    def _stop_background(self) -> None:
        self.label_evidence.stop()
        self.controller.stop()
        for spool in self.logs.spools:
            spool.commit()  # to this machine's disk, even if the store does not answer
        ending = threading.Thread(target=self.logs.stop, name="stop-logs", daemon=True)
        ending.start()
        ending.join(STOP_SECONDS)
        if ending.is_alive():
            logger.error("the store does not answer: the rows stay in the journal until the next start")
        self.pool.shutdown(wait=False, cancel_futures=True)
        if self.ports.tracer is not None:
            self.ports.tracer.flush(TRACE_SECONDS)

    def now(self) -> datetime:
        """Return the clock's time."""
        return self.ports.clock.now()

    def trusted_types(self, config: ModelConfig) -> list[str]:
        """Return the types that this gateway trusts in a model's bundles, beyond the library's own list."""
        return sorted({*self.settings.trusted_types, *config.trusted_types})

    @property
    def log_error(self) -> str:
        """Why the logs are not written; "" while they are."""
        return self.logs.error

    def state(self, model: str) -> ServedModel:
        """Return a served model; NotFound lists the names of all."""
        state = self.states.get(model)
        if state is None:
            msg = f"This gateway serves no model of that name. It serves: {', '.join(self.states) or 'none'}."
            raise NotFound(msg)
        return state

    def on_demand(self, state: ServedModel) -> bool:
        """Whether the model is not in memory, and its next request loads it."""
        champion = state.table.traffic.champion
        return (
            self.residency is not None
            and state.table.champion is None
            and champion is not None
            and champion not in self.controller.load_failures(state.name)
        )

    def is_settled(self, state: ServedModel) -> bool:
        """Whether its start is over: it can predict, or has no champion, or one that does not load."""
        champion = state.table.traffic.champion
        if champion is None:
            return self.controller.ledger_read(state.name)
        serves = state.table.champion is not None or self.on_demand(state)
        return serves or champion in self.controller.load_failures(state.name)

    def label_classes(self, state: ServedModel) -> frozenset[str] | None:
        """Return the classes that a label may have; None while they are not known.

        ``schema.label.classes``, or else all classes of the versions that are or were loaded: champion,
        previous, candidate.
        """
        if declared := state.config.columns.label.classes:
            return frozenset(declared)
        table = state.table
        champion = table.traffic.champion
        if champion is None or table.fallback or self.bundle_cache.facts(state.name, champion) is None:
            return None
        found = [self.bundle_cache.facts(state.name, ref) for ref in needed_versions(table.traffic)]
        classes = [facts.label_classes for facts in found if facts is not None]
        if not classes or None in classes:
            return None
        return frozenset[str]().union(*(each for each in classes if each is not None))

    def counters(self, model: str) -> dict[str, float]:
        """Return the counters of one model, summed over its versions."""
        metrics = self.metrics
        families = {
            "rows": metrics.rows,
            "errors": metrics.errors,
            "nan": metrics.nan,
            "out_of_range": metrics.out_of_range,
            "fallbacks": metrics.fallbacks,
            "shadow_dropped": metrics.shadow_dropped,
            "poison_rows": metrics.poison,
            "unknown_categories": metrics.unknown,
        }
        out = {}
        for name, family in families.items():
            samples = (s for metric in family.collect() for s in metric.samples)
            out[name] = sum(
                s.value for s in samples if s.labels.get("model") == model and s.name.endswith("_total")
            )
        return out | self.logs.lost_rows(model)

    def roll_back(self, model: str, reason: str, by: str, version: str = "") -> dict[str, Any]:
        """Roll back the candidate, or else the champion; NoPrevious when there is no previous version.

        With ``version``, only that version: Refused when another one would be rolled back.
        """

        def request(traffic: Traffic, at: datetime) -> Transition:
            require_rolls_back_version(traffic, version)
            return roll_back(traffic, reason, at)

        done = self._change(model, request, by)
        config = self.states[model].config
        rollout = self.states[model].table.traffic.rollout
        what = f"version {rollout.candidate.version} was rolled back by {by}" if rollout else "rolled back"
        notify_rolled_back(self.ports.notifier, config, what, reason, rollout.id if rollout else "")
        return done

    def approve(self, model: str, by: str) -> dict[str, Any]:
        """Approve the candidate; Refused where model.yaml names approvers and this token is none of them."""
        require_approver(self.state(model).config, by.partition("@")[0])
        return self._change(model, approve, by)

    def decide_by_link(self, claims: ApprovalClaims, decision: Decision) -> dict[str, Any]:
        """Approve or decline as the holder of a signed link asks."""
        config = self.state(claims.model).config
        request = request_by_link(config, claims, decision, self.now())
        return self._change(claims.model, lambda traffic, _: request(traffic), name_of(claims))

    def promote(self, model: str, version: str, reason: str, by: str) -> dict[str, Any]:
        """Make a version champion that passed its gate.

        The ledger vouches for the candidate under way; for any other version the registry is asked.
        """
        served = self.state(model)
        require_approver(served.config, by.partition("@")[0])
        active = served.table.traffic.active
        if active is not None and active.candidate.version == version and not active.forced:
            ref = active.candidate
        else:
            found = self.ports.registry.version(model, version)
            require_passed_gate(found)
            ref = VersionRef(version, found.digest)
        # Loaded before the ledger is written: a version that cannot be loaded must not become champion.
        self.bundle_cache.load(served.config, ref)
        return self._change(model, lambda traffic, at: promote(traffic, ref, at, reason), by)

    def _change(
        self, model: str, request: Callable[[Traffic, datetime], Transition], by: str
    ) -> dict[str, Any]:
        served = self.state(model)
        transition = self.controller.change(served, request, by)
        return {
            "kind": str(transition.kind if transition else EventKind.UNCHANGED),
            "reason": transition.reason if transition else "",
            "traffic": served.table.traffic.to_json(),
        }

    def flush(self) -> dict[str, Any]:
        """Write all buffers now; Unavailable when the store does not answer (the rows are kept)."""
        done = self.logs.flush()
        errors = [flushed.error for flushed in done.values() if flushed.error]
        if errors:
            raise Unavailable("; ".join(errors))
        return {name.replace(" ", "_"): asdict(flushed) for name, flushed in done.items()}
