"""Records that the Lambda function left, and notices of it and of gateways: copy into MLflow, and send."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from homeostat.config import ModelConfig
from homeostat.config.errors import NotFound
from homeostat.core.trigger import WindowRecord
from homeostat.monitoring.check_report import DRIFT_FIGURE, drift_figure
from homeostat.monitoring.context import check_context, history_lookback
from homeostat.monitoring.labelled_performance import newest_labelled_rows
from homeostat.monitoring.version_ageing import version_ageing
from homeostat.monitoring.version_comparison import version_to_reinstate
from homeostat.monitoring.window_summary import save_copied
from homeostat.ports import History, Notice, Ports
from homeostat.storage.version_info import load_version_info

logger = logging.getLogger(__name__)


class DetectorHistory(History, Protocol):
    """A history that can be copied: :class:`homeostat.adapters.history_store.StoreHistory`."""

    def entries(self, model: str, since: datetime | None = None) -> Sequence[Any]:
        """As ``windows``, in a form that ``read`` takes; each has its ``record`` and its ``recorded_at``."""

    def read(self, entry: Any) -> tuple[Mapping[str, float], Mapping[str, bytes]]:
        """Return metrics and artifacts of a record."""


@dataclass(frozen=True, slots=True)
class Copied:
    """The records copied into MLflow, and the run of the last one ("" without one)."""

    records: Sequence[WindowRecord]
    run_id: str


def missing_entries(entries: Sequence[Any], known: Mapping[datetime, WindowRecord]) -> list[Any]:
    """Return the entries that MLflow lacks, or has with other content."""
    return [entry for entry in entries if known.get(entry.record.window_end) != entry.record]


def copy_entries(
    config: ModelConfig, ports: Ports, detector: DetectorHistory, entries: Sequence[Any]
) -> Copied:
    """Copy these entries into MLflow, oldest first."""
    run_id = ""
    first = min((entry.record.window_end for entry in entries), default=None)
    since = first - history_lookback(config) if first is not None else None
    history = ports.history.windows(config.name, since=since) if entries else []
    for entry in entries:
        _compare_versions(config, ports, entry.record.window_end)
        metrics, artifacts = detector.read(entry)
        metrics = {name: value for name, value in metrics.items() if name != "fired"}  # of earlier releases
        metrics["trigger/fired"] = float(entry.record.fired)
        if ports.renders_figures and entry.record.has_figures(config.monitor.every):
            figure = drift_figure(config, ports.store, entry.record.window_end)
            artifacts = {**artifacts, DRIFT_FIGURE: figure}
        run_id = ports.history.record(config.name, entry.record, metrics=metrics, artifacts=artifacts)
        save_copied(
            config,
            ports,
            entry.record,
            artifacts,
            history=history,
            checked_at=entry.recorded_at,
            run_id=run_id,
        )
        history.append(entry.record)
    return Copied([entry.record for entry in entries], run_id)


def send_notices(config: ModelConfig, ports: Ports) -> int:
    """Send the notices that others left, then delete them; a crash in between sends one twice."""
    keys = ports.store.list(f"notices/{config.name}")
    for key in keys:
        try:
            notice = Notice.from_json(json.loads(ports.store.get(key)))
        except NotFound:
            continue  # another run is sending at the same time
        except (ValueError, KeyError, TypeError) as error:
            logger.warning("%s is not a notice and is deleted: %s", key, error)
        else:
            ports.notifier.notify(config.notify, notice)
        ports.store.delete(key)
    return len(keys)


def _compare_versions(config: ModelConfig, ports: Ports, end: datetime) -> None:
    """Score probe and former champions on this window's newest labelled rows; the next check uses it."""
    traffic = ports.ledger.read(config.name)
    if traffic.champion is None:
        return
    context = check_context(config, ports, traffic.champion)
    labelled = newest_labelled_rows(context, end)
    info = load_version_info(ports.store, config.name, traffic.champion.digest)
    version_ageing(context, info, labelled, end)
    version_to_reinstate(context, labelled, end, traffic.promoted_at)
