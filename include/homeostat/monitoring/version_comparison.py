"""How the champion and those before it stand on the newest labelled rows.

standing/<model>.json: duels of every pair, step by step, as sums that add up.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pandas as pd

from homeostat.config import ModelConfig
from homeostat.config.errors import HomeostatError, NotFound, Unavailable
from homeostat.config.label_text import label_texts
from homeostat.core.performance import Duel, gain
from homeostat.core.rollout import VersionRef
from homeostat.monitoring.window import Looked
from homeostat.ports import Ports
from homeostat.storage.bundles import champions, load_facts, load_version

#: A former champion is tried again when it is so many standard errors better: many are asked, and often.
RECALL_ERRORS = 3.0
#: Duels with former champions look back over so many windows.
RECALL_WINDOWS = 3
#: What retraining must bring to pay: this part of what the gate would let it lose.
WORTH = 0.25
#: So many steps are kept.
_STEPS = 512
_MIN_ROWS = 30


@dataclass(frozen=True, slots=True)
class Standing:
    """``gain``: what retraining has brought lately, see :func:`homeostat.core.performance.gain`.

    ``recall``: the former champion that answers the latest labelled rows so much better that it should be
    tried again; "" when there is none.
    """

    gain: float | None = None
    recall: str = ""


def standing(looked: Looked, labelled: pd.DataFrame, end: datetime) -> Standing:
    """Let the champions of this model answer the newest labelled rows, and add the outcome up.

    Every step is scored once; a second look at it replaces the first. Where no models may be loaded, what
    others have added up is all there is.

    Parameters
    ----------
    labelled
        Features and labels of the newest step, whichever version answered them.
    end
        The end of the window that is looked at.
    """
    config, ports = looked.config, looked.ports
    served = champions(ports, config.name)
    if len(served) < 2:
        return Standing()
    generations = _generations(served)
    steps = _load(ports, config.name)
    asked = _asked(served, looked.champion, generations[-1])
    if ports.loads_models and len(labelled) >= _MIN_ROWS:
        steps[end.isoformat()] = _duels(looked, asked, labelled)
        steps = dict(sorted(steps.items())[-_STEPS:])
        ports.store.put(_key(config.name), json.dumps({"steps": steps}).encode(), overwrite=True)
    until = {moment: pairs for moment, pairs in steps.items() if datetime.fromisoformat(moment) <= end}
    return Standing(_gain(config, generations, until), _recall(looked, asked, until, end))


def _generations(served: Sequence[VersionRef]) -> list[tuple[VersionRef, VersionRef]]:
    """Each version that was trained, with the champion that it followed, oldest first."""
    pairs, seen = [], {served[0]}
    for before, after in pairwise(served):
        if after not in seen:
            pairs.append((before, after))
            seen.add(after)
    return pairs or [(served[0], served[-1])]


def _asked(
    served: Sequence[VersionRef], champion: VersionRef, newest: tuple[VersionRef, VersionRef]
) -> list[VersionRef]:
    """Champion, the newest and its predecessor, and former ones: the last, and ever fewer of those before.

    What was right once may be so again, but of a hundred versions only a handful can be asked every hour:
    the 1st, 2nd, 4th, 8th, ... from the end, and the very first.
    """
    former = [ref for ref in dict.fromkeys(reversed(served)) if ref != champion]
    spread = [former[at] for at in (2**n - 1 for n in range(20)) if at < len(former)]
    return list(dict.fromkeys([champion, *reversed(newest), *spread, *former[-1:]]))


def _duels(looked: Looked, asked: Sequence[VersionRef], labelled: pd.DataFrame) -> dict[str, list[float]]:
    """Duels of all pairs, each on the rows that are younger than what either has learnt from."""
    config, ports = looked.config, looked.ports
    moments = labelled[config.columns.timestamp]
    losses: dict[VersionRef, np.ndarray] = {}
    for ref in asked:
        try:
            predictor = load_version(ports, config, ref.digest).predictor
            known = load_facts(ports.store, config.name, ref.digest).get("trained_until")
        except Unavailable:
            raise
        except HomeostatError:
            continue  # its bundle is gone or does not fit today's schema: it cannot be tried again either
        found = _losses(config, predictor.predict(labelled).prediction, labelled)
        if known is not None:
            found[(moments < datetime.fromisoformat(known)).to_numpy()] = np.nan
        losses[ref] = found
    return {
        f"{a.version}|{b.version}": list(astuple(Duel.of(losses[a], losses[b])))
        for a, b in combinations(losses, 2)
    }


def _losses(config: ModelConfig, answers: np.ndarray, labelled: pd.DataFrame) -> np.ndarray:
    truth = labelled[config.columns.label.name]
    if config.task == "regression":
        wide: np.ndarray = np.abs(np.asarray(truth, np.float64) - np.asarray(answers, np.float64))
        return wide
    said, meant = (np.array(label_texts(values), object) for values in (answers, truth))
    wrong: np.ndarray = (said != meant).astype(np.float64)
    return wrong


def _sum(steps: Mapping[str, Mapping[str, Any]], a: VersionRef, b: VersionRef) -> Duel:
    """The duel of a against b over these steps, whichever way round it was written down."""
    total = Duel()
    for pairs in steps.values():
        if found := pairs.get(f"{a.version}|{b.version}"):
            total += Duel(int(found[0]), *found[1:])
        elif found := pairs.get(f"{b.version}|{a.version}"):
            rows, gap, variance, loss = found
            total += Duel(int(rows), -gap, variance, loss - gap)
    return total


def _gain(
    config: ModelConfig,
    generations: Sequence[tuple[VersionRef, VersionRef]],
    steps: Mapping[str, Mapping[str, Any]],
) -> float | None:
    """Every retrain's duel, over the steps until the next version came."""
    duels = []
    for n, (before, after) in enumerate(generations):
        following = generations[n + 1][1].version if n + 1 < len(generations) else None
        own = {
            moment: pairs
            for moment, pairs in steps.items()
            if following is None or not any(following in pair.split("|") for pair in pairs)
        }
        duels.append(_sum(own, before, after))
    least = config.gate.max_regression * WORTH
    return gain(duels, least=least, relative=config.task == "regression")


def _recall(
    looked: Looked, asked: Sequence[VersionRef], steps: Mapping[str, Mapping[str, Any]], end: datetime
) -> str:
    config = looked.config
    begin = end - RECALL_WINDOWS * config.monitor.window
    recent = {moment: pairs for moment, pairs in steps.items() if datetime.fromisoformat(moment) > begin}
    best, lead = "", config.gate.max_regression
    for ref in asked:
        if ref == looked.champion:
            continue
        duel = _sum(recent, looked.champion, ref)
        found = duel.lead(relative=config.task == "regression")
        clearly = duel.rows >= config.monitor.min_rows and duel.errors > RECALL_ERRORS
        if clearly and found > lead and _passed(looked, ref):
            best, lead = ref.version, found
    return best


def _passed(looked: Looked, ref: VersionRef) -> bool:
    """Whether its gate let it pass; a version that was forced is not tried again by itself."""
    facts = load_facts(looked.ports.store, looked.config.name, ref.digest)
    return bool(facts.get("gate", "passed") == "passed")


def _load(ports: Ports, model: str) -> dict[str, dict[str, Any]]:
    try:
        found: dict[str, dict[str, Any]] = json.loads(ports.store.get(_key(model)))["steps"]
    except NotFound:
        return {}
    return found


def _key(model: str) -> str:
    return f"standing/{model}.json"
