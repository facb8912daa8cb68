"""Compare the champion with former champions on the newest labelled rows.

    standing/<model>.json

holds a paired comparison of every two versions per step, as sums that add up.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from datetime import datetime
from itertools import combinations
from statistics import variance

import numpy as np
import pandas as pd

from homeostat.config.errors import HomeostatError, NotFound, Unavailable
from homeostat.core.performance import PairedComparison, row_losses
from homeostat.core.rollout import VersionRef
from homeostat.monitoring.context import CheckContext
from homeostat.ports import Store
from homeostat.storage.ageing_record import load_ageing
from homeostat.storage.bundles import load_version
from homeostat.storage.champion_history import newest_champions
from homeostat.storage.version_info import load_version_info

#: A former champion is reinstated when it is so many standard errors better. Several are compared at every
#: check, so the limit is strict.
REINSTATE_Z = 2.5
#: It must be better by so much per row (relative for errors).
REINSTATE_GAIN = 0.01
#: The comparison for a reinstatement looks back over so many windows, which neither version learned.
REINSTATE_WINDOWS = 3
#: So many champions are compared, the one that serves among them.
CHAMPIONS = 8
#: So many steps are kept.
_STEPS = 512
_MIN_ROWS = 30

#: By pair ("3|2"), the fields of its paired comparison; by step (ISO time of the window's end), its pairs.
Pairs = dict[str, list[float]]
Steps = dict[str, Pairs]


def version_to_reinstate(
    context: CheckContext, labelled: pd.DataFrame, end: datetime, promoted_at: datetime | None
) -> str:
    """Score this model's champions on the newest labelled rows; return the one to reinstate, "" without one.

    Every step counts once: a second check of it replaces the first. A process that loads no models uses what
    other processes have stored.

    Parameters
    ----------
    labelled
        Features and labels of the newest step, from all versions.
    end
        The end of the window that is checked.
    promoted_at
        When the champion was promoted: the next reinstatement waits for three windows.
    """
    config, ports = context.config, context.ports
    served = newest_champions(ports.ledger, config.name, CHAMPIONS)[::-1]
    if len(served) < 2:
        return ""
    compared = versions_to_compare(served, context.champion)
    steps = _load(ports.store, config.name)
    if ports.loads_models and len(labelled) >= _MIN_ROWS:
        steps[end.isoformat()] = _compare_pairs(context, compared, labelled)
        steps = dict(sorted(steps.items())[-_STEPS:])
        ports.store.put(_key(config.name), json.dumps({"steps": steps}).encode(), overwrite=True)
    window = load_ageing(ports.store, config.name).window_or(config.monitor.window)
    if promoted_at is not None and end - promoted_at < REINSTATE_WINDOWS * window:
        return ""
    begin = end - REINSTATE_WINDOWS * window
    recent = {datetime.fromisoformat(at): pairs for at, pairs in steps.items()}
    windows: list[Steps] = [{} for _ in range(REINSTATE_WINDOWS)]
    for at, pairs in recent.items():
        if begin < at <= end:
            windows[math.ceil((at - begin) / window) - 1][at.isoformat()] = pairs
    newest = steps.get(max((at.isoformat() for at in recent if at <= end), default=""), {})
    loaded = [ref for ref in compared if any(ref.version in pair.split("|") for pair in newest)]
    return _better_version(context, loaded, windows)


def versions_to_compare(served: Sequence[VersionRef], champion: VersionRef) -> list[VersionRef]:
    """Return the champion and those before it, newest first: the last :data:`CHAMPIONS` that served.

    Of a hundred versions only a few can be scored every hour.
    """
    return list(dict.fromkeys([champion, *reversed(served)]))[:CHAMPIONS]


def _compare_pairs(context: CheckContext, compared: Sequence[VersionRef], labelled: pd.DataFrame) -> Pairs:
    """Compare all pairs, each on the rows that neither version was trained on."""
    config, ports = context.config, context.ports
    times = labelled[config.columns.timestamp]
    losses: dict[VersionRef, np.ndarray] = {}
    for ref in compared:
        try:
            predictor = load_version(ports, config, ref.digest).predictor
            trained_until = load_version_info(ports.store, config.name, ref.digest).get("trained_until")
        except Unavailable:
            raise
        except HomeostatError:
            continue  # its bundle is missing or does not fit today's schema: it cannot be reinstated either
        found = row_losses(config, predictor.predict(labelled).prediction, labelled)
        if trained_until is not None:
            found[(times < datetime.fromisoformat(trained_until)).to_numpy()] = np.nan
        losses[ref] = found
    return {
        f"{a.version}|{b.version}": list(astuple(PairedComparison.of(losses[a], losses[b])))
        for a, b in combinations(losses, 2)
    }


def _total(steps: Mapping[str, Pairs], a: VersionRef, b: VersionRef) -> PairedComparison:
    """Add up the comparison of a with b over these steps, in whichever order the pair was stored."""
    total = PairedComparison()
    for pairs in steps.values():
        if found := pairs.get(f"{a.version}|{b.version}"):
            total += PairedComparison(int(found[0]), *found[1:])
        elif found := pairs.get(f"{b.version}|{a.version}"):
            total += PairedComparison(int(found[0]), *found[1:]).swapped()
    return total


def _better_version(context: CheckContext, compared: Sequence[VersionRef], windows: Sequence[Steps]) -> str:
    """Return the former champion with the largest significant improvement; "" without one."""
    config = context.config
    relative = config.task == "regression"
    best, most = "", -math.inf
    for ref in compared:
        if ref == context.champion:
            continue
        parts = [_total(steps, context.champion, ref) for steps in windows]
        whole = sum(parts, PairedComparison())
        if not all(part.rows for part in parts) or whole.rows < config.monitor.min_rows:
            continue
        gain = whole.improvement(relative=relative)
        gains = [part.gap / part.rows for part in parts]
        error = math.sqrt(max(whole.variance / whole.rows**2, variance(gains) / len(gains)))
        significant = whole.gap / whole.rows >= REINSTATE_Z * error
        if gain >= REINSTATE_GAIN and significant and gain > most and _passed_gate(context, ref):
            best, most = ref.version, gain
    return best


def _passed_gate(context: CheckContext, ref: VersionRef) -> bool:
    """Whether the version passed its gate; one that was forced is not reinstated automatically."""
    info = load_version_info(context.ports.store, context.config.name, ref.digest)
    return bool(info.get("gate", "passed") == "passed")


def _load(store: Store, model: str) -> Steps:
    try:
        steps: Steps = json.loads(store.get(_key(model)))["steps"]
    except NotFound:
        return {}
    return steps


def _key(model: str) -> str:
    return f"standing/{model}.json"
