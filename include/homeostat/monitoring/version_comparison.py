"""Compare the champion with former champions on the newest labelled rows.

    standing/<model>.json

holds a paired comparison of every two versions per step, as sums that add up.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime
from itertools import combinations, pairwise

import numpy as np
import pandas as pd

from homeostat.config import ModelConfig
from homeostat.config.errors import HomeostatError, NotFound, Unavailable
from homeostat.config.label_text import label_texts
from homeostat.core.performance import PairedComparison, retraining_gain
from homeostat.core.rollout import VersionRef
from homeostat.monitoring.context import CheckContext
from homeostat.ports import Store
from homeostat.storage.bundles import load_version
from homeostat.storage.champion_history import champions
from homeostat.storage.version_info import load_version_info

#: A former champion is reinstated when it is so many standard errors better. Several are compared at every
#: check, so the limit is strict.
REINSTATE_Z = 3.0
#: The comparison for a reinstatement looks back over so many windows.
REINSTATE_WINDOWS = 3
#: Retraining must gain at least this part of ``gate.max_regression`` per row to pay.
MIN_GAIN_SHARE = 0.25
#: So many steps are kept.
_STEPS = 512
_MIN_ROWS = 30

#: By pair ("3|2"), the fields of its paired comparison; by step (ISO time of the window's end), its pairs.
Pairs = dict[str, list[float]]
Steps = dict[str, Pairs]


@dataclass(frozen=True, slots=True)
class VersionComparison:
    """The result of comparing versions.

    ``gain`` is what retraining has gained lately, see
    :func:`homeostat.core.performance.retraining_gain`. ``reinstate`` is the former champion that predicts the
    latest labelled rows so much better that it should be reinstated; "" without one.
    """

    gain: float | None = None
    reinstate: str = ""


@dataclass(frozen=True, slots=True)
class Generation:
    """A version that was trained, and the champion before it."""

    before: VersionRef
    trained: VersionRef


def compare_versions(context: CheckContext, labelled: pd.DataFrame, end: datetime) -> VersionComparison:
    """Score this model's champions on the newest labelled rows, and add the result to those before.

    Every step counts once: a second check of it replaces the first. A process that loads no models uses what
    other processes have stored.

    Parameters
    ----------
    labelled
        Features and labels of the newest step, from all versions.
    end
        The end of the window that is checked.
    """
    config, ports = context.config, context.ports
    served = champions(ports.ledger, config.name)
    if len(served) < 2:
        return VersionComparison()
    generations = trained_generations(served)
    compared = versions_to_compare(served, context.champion, generations[-1])
    steps = _load(ports.store, config.name)
    if ports.loads_models and len(labelled) >= _MIN_ROWS:
        steps[end.isoformat()] = _compare_pairs(context, compared, labelled)
        steps = dict(sorted(steps.items())[-_STEPS:])
        ports.store.put(_key(config.name), json.dumps({"steps": steps}).encode(), overwrite=True)
    known = {at: pairs for at, pairs in steps.items() if datetime.fromisoformat(at) <= end}
    return VersionComparison(
        gain=_gain(config, generations, known), reinstate=_version_to_reinstate(context, compared, known, end)
    )


def trained_generations(served: Sequence[VersionRef]) -> list[Generation]:
    """Return each version that was trained, with the champion before it, oldest first.

    A reinstated version was not trained again.
    """
    generations, known = [], {served[0]}
    for before, after in pairwise(served):
        if after not in known:
            generations.append(Generation(before, after))
            known.add(after)
    return generations or [Generation(served[0], served[-1])]


def versions_to_compare(
    served: Sequence[VersionRef], champion: VersionRef, newest: Generation
) -> list[VersionRef]:
    """Return the champion, the newest version, its predecessor and some former champions.

    Of a hundred versions only a few can be scored every hour: the 1st, 2nd, 4th, 8th, ... from the end, and
    the very first.
    """
    former = [ref for ref in dict.fromkeys(reversed(served)) if ref != champion]
    spaced = [former[at] for at in (2**n - 1 for n in range(20)) if at < len(former)]
    return list(dict.fromkeys([champion, newest.trained, newest.before, *spaced, *former[-1:]]))


def row_losses(config: ModelConfig, predicted: np.ndarray, labelled: pd.DataFrame) -> np.ndarray:
    """Return the loss of each row: 0 or 1 (classification), absolute error (regression)."""
    truth = labelled[config.columns.label.name]
    if config.task == "regression":
        errors: np.ndarray = np.abs(np.asarray(truth, np.float64) - np.asarray(predicted, np.float64))
        return errors
    given, true = (np.array(label_texts(values), object) for values in (predicted, truth))
    wrong: np.ndarray = (given != true).astype(np.float64)
    return wrong


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


def _gain(config: ModelConfig, generations: Sequence[Generation], steps: Mapping[str, Pairs]) -> float | None:
    """Compare each trained version with the one before it, over the steps until the next version came."""
    comparisons = []
    for n, generation in enumerate(generations):
        following = generations[n + 1].trained.version if n + 1 < len(generations) else None
        own = {
            at: pairs
            for at, pairs in steps.items()
            if following is None or not any(following in pair.split("|") for pair in pairs)
        }
        comparisons.append(_total(own, generation.before, generation.trained))
    least = config.gate.max_regression * MIN_GAIN_SHARE
    return retraining_gain(comparisons, least=least, relative=config.task == "regression")


def _version_to_reinstate(
    context: CheckContext, compared: Sequence[VersionRef], steps: Mapping[str, Pairs], end: datetime
) -> str:
    """Return the former champion with the largest significant improvement; "" without one."""
    config = context.config
    begin = end - REINSTATE_WINDOWS * config.monitor.window
    recent = {at: pairs for at, pairs in steps.items() if datetime.fromisoformat(at) > begin}
    best, most = "", config.gate.max_regression
    for ref in compared:
        if ref == context.champion:
            continue
        comparison = _total(recent, context.champion, ref)
        improvement = comparison.improvement(relative=config.task == "regression")
        significant = comparison.rows >= config.monitor.min_rows and comparison.z > REINSTATE_Z
        if significant and improvement > most and _passed_gate(context, ref):
            best, most = ref.version, improvement
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
