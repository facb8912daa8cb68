"""Compare the training environment (lock file, image, versions) with the one that trained the champion.

``training.parity`` decides what a difference does: ``warn`` reports it, ``enforce`` refuses the retrain
before the fit. The train step may run where it cannot read the ledger. The champion to compare with is then
stored beforehand, beside the results of the retrain's steps:

    retrain/<model>/<run_key>/champion.json
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from homeostat.config import ModelConfig
from homeostat.config.errors import NotFound, Untrusted
from homeostat.ports import Ports
from homeostat.retraining.early_refusal import EarlyRefusal
from homeostat.storage.bundles import MANIFEST, bundle_folder
from homeostat.storage.retrain_outcome import RefusalStage
from homeostat.storage.retrain_request import RetrainRequest
from homeostat.storage.step_results import find_result, save_result

_CHAMPION = "champion"


def save_champion(config: ModelConfig, run_key: str, ports: Ports) -> None:
    """Store the champion's version and digest for a train step that cannot read the ledger."""
    save_result(ports.store, config.name, run_key, _CHAMPION, _champion_in_ledger(config, ports))


@dataclass(frozen=True, slots=True)
class EnvironmentCheck:
    """How this environment differs from the champion's.

    ``sentence`` is appended to the sentence of the train step. ``forced`` is for the gate's report, where
    Force overrode ``training.parity: enforce``. ``refusal``: nothing may be fitted here.
    """

    sentence: str = ""
    forced: str = ""
    refusal: EarlyRefusal | None = None


def check_environment(
    config: ModelConfig, request: RetrainRequest, environment: Mapping[str, str], ports: Ports
) -> EnvironmentCheck:
    """Compare this environment with the champion's; a first version has none to compare with.

    It is refused where ``training.parity`` is ``enforce``, the lock file or the image differs or is unknown,
    and the request does not force the retrain.
    """
    from homeostat.bundle.environment import blocking_differences, environment_differences

    champion = _champion(config, request.run_key, ports)
    if not champion:
        return EnvironmentCheck()
    theirs = _environment_of(config, champion["digest"], ports)
    # The git revision changes all the time: it is in the gate's report only.
    differences = [
        each for each in environment_differences(theirs, environment) if not each.startswith("git_")
    ]
    sentence = f". Environment differs from the champion's: {'; '.join(differences)}" if differences else ""
    blocking = blocking_differences(theirs, environment) if config.training.parity == "enforce" else []
    if not blocking:
        return EnvironmentCheck(sentence)
    found = (
        "training.parity is enforce, and this environment is not the one that trained the champion, version "
        f"{champion['version']}: {'; '.join(blocking)}"
    )
    if request.force:
        forced = f"{found}; the retrain continues because Force is set"
        return EnvironmentCheck(f". {forced[0].upper()}{forced[1:]}", forced)
    action = (
        "Train in the champion's image with its requirements.txt. If the new environment is intended, start "
        f"retrain__{config.name} manually with Force, or set training.parity: warn in model.yaml"
    )
    title = f"{config.name}: the training environment differs from the champion's; nothing was fitted"
    why = f"{config.name}: {found}. Nothing was fitted"
    return EnvironmentCheck(refusal=EarlyRefusal(RefusalStage.ENVIRONMENT, title, why, action))


def _champion(config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
    """Return the champion's version and digest, as stored beforehand or from the ledger; {} for none."""
    stored = find_result(ports.store, config.name, run_key, _CHAMPION)
    return _champion_in_ledger(config, ports) if stored is None else stored


def _champion_in_ledger(config: ModelConfig, ports: Ports) -> dict[str, Any]:
    champion = ports.ledger.read(config.name).champion
    return {"version": champion.version, "digest": champion.digest} if champion else {}


def _environment_of(config: ModelConfig, digest: str, ports: Ports) -> dict[str, Any]:
    """Return the environment that a version was trained in; {} when its bundle is missing or damaged."""
    try:
        with bundle_folder(ports, config.name, digest) as folder:
            manifest = json.loads((folder / MANIFEST).read_bytes())
    except (NotFound, Untrusted, ValueError):
        return {}
    found: dict[str, Any] = manifest.get("environment") or {}
    return found
