"""What every part of a drift check needs: the model, its champion and the champion's reference."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from homeostat.config import ModelConfig
from homeostat.config.model import Monitor, Trigger
from homeostat.core.performance import BATCHES
from homeostat.core.profile import Reference
from homeostat.core.rollout import VersionRef
from homeostat.core.trigger import MAX_BACKOFF_FACTOR
from homeostat.ports import Ports
from homeostat.storage.bundles import load_reference

#: Performance since the inputs began to drift looks back over at most so many windows.
DRIFT_WINDOWS = 4


@dataclass(frozen=True, slots=True)
class CheckContext:
    """The champion that is checked, the reference that windows are compared with, and the ports.

    ``airflow_url`` is the page of the DAG run that checks, ``airflow_page`` its path; "" outside of Airflow.
    ``scheduled`` says whether checks run when model.yaml says, not at a schedule of the DAG file.
    """

    config: ModelConfig
    ports: Ports
    champion: VersionRef
    reference: Reference
    airflow_url: str = ""
    airflow_page: str = ""
    scheduled: bool = True


def check_context(
    config: ModelConfig,
    ports: Ports,
    champion: VersionRef,
    airflow_url: str = "",
    airflow_page: str = "",
    *,
    scheduled: bool = True,
) -> CheckContext:
    """Load the champion's reference profile."""
    reference = load_reference(ports, config.name, champion.digest)
    return CheckContext(config, ports, champion, reference, airflow_url, airflow_page, scheduled)


class Timing(Protocol):
    """What decides how far back a check reads: a ModelConfig, or what is recorded of one."""

    @property
    def monitor(self) -> Monitor:
        """How often, over which window."""

    @property
    def trigger(self) -> Trigger:
        """After how long a retrain."""


def min_retrain_interval(config: Timing) -> timedelta:
    """Return how long it takes to measure the gain of a retrain: as many steps as drift must last."""
    monitor, trigger = config.monitor, config.trigger
    return max(trigger.cooldown, monitor.every * trigger.consecutive)


def history_lookback(config: Timing) -> timedelta:
    """Return how much history the trigger and the mean over batches can need."""
    monitor = config.monitor
    return max(
        monitor.every * BATCHES,
        monitor.window * DRIFT_WINDOWS,
        min_retrain_interval(config) * 4 * MAX_BACKOFF_FACTOR,
    )
