"""How much better a fresh version would be by now, and whether it is time for a probe."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from homeostat.config.errors import HomeostatError, Unavailable
from homeostat.core.performance import ageing, block_sums, row_losses
from homeostat.core.trigger import PROBE_WAIT, probe_wait
from homeostat.monitoring.context import CheckContext
from homeostat.storage.ageing_record import AgeingRecord, load_ageing, with_reference
from homeostat.storage.ageing_steps import (
    AgeingStep,
    load_steps,
    observed_since_probe,
    save_steps,
    whole_windows,
)
from homeostat.storage.bundles import load_version


@dataclass(frozen=True, slots=True)
class VersionAgeing:
    """What is known of the champion's age.

    ``unlearned`` is how many windows of labels it has not learned; None where that is not known. ``rate``,
    ``z`` and ``cusum`` are those of the record of ageing, None before its first observation. The next probe
    waits until ``probe_after``; ``probed`` counts all probes so far.
    """

    unlearned: float | None = None
    probe_after: datetime | None = None
    rate: float | None = None
    z: float | None = None
    cusum: float | None = None
    probed: int = 0

    @property
    def expected_gain(self) -> float | None:
        """The expected gain per window of a version that is trained now."""
        if self.rate is None or self.unlearned is None:
            return None
        return self.rate * math.sqrt(self.unlearned)


def version_ageing(
    context: CheckContext, info: Mapping[str, Any], labelled: pd.DataFrame, end: datetime
) -> VersionAgeing:
    """Compare the champion with the newest probe on the newest labelled rows, and read the record of ageing.

    A process that loads no models compares nothing; it uses what other processes have stored.

    Parameters
    ----------
    info
        What is stored about the champion.
    labelled
        Features and labels of the newest step, from all versions.
    end
        The end of the window that is checked.
    """
    config, ports, champion = context.config, context.ports, context.champion
    trained_until = info.get("trained_until")
    if trained_until is None:
        return VersionAgeing()
    learned_until = datetime.fromisoformat(trained_until)
    due = end - config.columns.label.delay
    members = info.get("members", "")
    record = _record(context, info)
    steps = load_steps(ports.store, config.name)
    if ports.loads_models and len(labelled):
        step = _step(context, record, learned_until, labelled, due)
        steps = [*(each for each in steps if each.due != due), step]
        save_steps(ports.store, config.name, steps)
    window, min_rows = record.window_or(config.monitor.window), config.monitor.min_rows
    known = [each for each in steps if each.due <= due]
    unlearned = None
    if known:
        unlearned = _unlearned(known, learned_until, window, context)
    elif len(labelled):  # a process that stores no steps
        unlearned = float(max(math.floor((due - learned_until) / window), 0))
    observed = observed_since_probe(
        known,
        record,
        champion=champion.version,
        members=members,
        learned_until=learned_until,
        window=window,
        min_rows=min_rows,
    )
    probes = [each for each in record.probes if each.until <= due]
    waits = [context.ports.ledger.read(config.name).promoted_at]
    found = ageing(
        record.with_observations(observed).observations,
        champion=champion.version,
        members=members,
        now=due,
        window=window,
    )
    after = [at + PROBE_WAIT * window for at in waits if at is not None]
    if probes:
        after.append(probes[-1].until + config.columns.label.delay + probe_wait(found.z) * window)
    aged = VersionAgeing(unlearned, max(after, default=None), probed=record.probed)
    if not found.observations:
        return aged
    return replace(aged, rate=found.local, z=found.z, cusum=found.cusum)


def _record(context: CheckContext, info: Mapping[str, Any]) -> AgeingRecord:
    """Return the record; before the first probe, what is known from the reference."""
    config, ports = context.config, context.ports
    record = load_ageing(ports.store, config.name)
    if record.probed or not ports.loads_models:  # the Lambda function may not read the members
        return record
    if config.task == "regression":
        record = replace(record, scale=float(info.get("metrics", {}).get("mae") or 1.0))
    return with_reference(record, ports.store, config.name, context.champion.digest)


def _unlearned(
    steps: list[AgeingStep], learned_until: datetime, window: timedelta, context: CheckContext
) -> float:
    """Return how many windows of labels the champion has not learned.

    Before the first step that is known, time counts instead of rows.
    """
    every, min_rows = context.config.monitor.every, context.config.monitor.min_rows
    before = max(math.floor((steps[0].due - every - learned_until) / window), 0)
    return float(before + len(whole_windows(steps, learned_until + before * window, window, min_rows)))


def _step(
    context: CheckContext,
    record: AgeingRecord,
    learned_until: datetime,
    labelled: pd.DataFrame,
    due: datetime,
) -> AgeingStep:
    """Return the step's rows that the champion has not learned, compared with the newest probe's."""
    config, champion = context.config, context.champion
    times = labelled[config.columns.timestamp]
    new = labelled[(times >= learned_until).to_numpy()].reset_index(drop=True)
    step = AgeingStep(due, len(new), champion.version)
    probe = record.probes[-1] if record.probes else None
    if probe is None or probe.learned_until <= learned_until or due <= probe.until or not len(new):
        return step
    try:
        theirs, ours = (
            row_losses(
                config, load_version(context.ports, config, digest).predictor.predict(new).prediction, new
            )
            for digest in (champion.digest, probe.digest)
        )
    except Unavailable:
        raise
    except HomeostatError:
        return step  # a bundle is missing or does not fit today's schema
    order = np.argsort(new[config.columns.timestamp].to_numpy(), kind="stable")
    sums = block_sums((theirs - ours)[order])
    return AgeingStep(
        due, len(new), champion.version, probe.digest, tuple((rows, total) for rows, total in sums.tolist())
    )
