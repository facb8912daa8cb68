"""Time the candidate beside the champion, as both serve, and as JSON for the gate."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pandas as pd

from homeostat.config import ModelConfig
from homeostat.ports import Ports
from homeostat.storage.version_info import load_version_info

if TYPE_CHECKING:
    from homeostat.bundle.files import Bundle
    from homeostat.bundle.latency import Latency

#: A version's ``Latency.typical``, in the Store: what its successors are calibrated by.
TYPICAL = "typical_latency_ms"


def time_versions(
    config: ModelConfig, ports: Ports, candidate: Bundle, champion: Bundle | None, holdout: pd.DataFrame
) -> tuple[dict[str, Any], dict[str, Any], dict[str, float]]:
    """Return the candidate's latencies, the champion's, and what to store with the candidate.

    Where ``ports.times_versions`` is False, nothing is timed once a champion was: its typical time counts.

    The first two have the keys that :meth:`homeostat.core.gate.GateEvidence.of` reads. ``machine_slowdown``
    is the champion's typical time now / the one that was stored when it was validated; what is stored for the
    candidate is divided by it where it is above 1, so that a busy machine leaves no trace.

    Parameters
    ----------
    candidate, champion
        The bundles that serve, not the holdout versions; ``champion`` is None without a champion.
    """
    from homeostat.bundle.latency import compare_latency

    info = load_version_info(ports.store, config.name, champion.digest) if champion else {}
    before = info.get(TYPICAL)
    if before and not ports.times_versions:
        return {"p99_latency_ms": before, "unloaded_p99_ms": before}, {}, {TYPICAL: before}
    timed = compare_latency(candidate.predictor, champion.predictor if champion else None, holdout)
    machine = timed.champion.typical / before if timed.champion and before else None
    found = {
        **_plain(timed.candidate),
        "slowdown": asdict(timed.slowdown) if timed.slowdown else None,
        "machine_slowdown": machine,
    }
    stored = {TYPICAL: timed.candidate.typical / max(1.0, machine or 1.0)}
    return found, _plain(timed.champion) if timed.champion else {}, stored


def _plain(latency: Latency) -> dict[str, float]:
    return {"p99_latency_ms": latency.p99, "unloaded_p99_ms": latency.unloaded_p99}
