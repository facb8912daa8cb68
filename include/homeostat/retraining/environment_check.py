"""Parity: whether this is the environment in which the champion was trained.

The train step may run where no ledger is in reach. Whom the candidate will be held against is then written
down beforehand, beside the results of the retrain's steps:

    retrain/<model>/<run_key>/champion.json
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from homeostat.config import ModelConfig
from homeostat.config.errors import NotFound, Refused, Untrusted
from homeostat.ports import Notice, Ports
from homeostat.storage.bundles import MANIFEST, bundle_folder
from homeostat.storage.retrain_request import RetrainRequest, find_result, save_result

_CHAMPION = "champion"


def note_champion(config: ModelConfig, run_key: str, ports: Ports) -> None:
    """Write down whom the candidate will be held against, for a train step that cannot read the ledger."""
    champion = ports.ledger.read(config.name).champion
    noted = {"version": champion.version, "digest": champion.digest} if champion else {}
    save_result(ports.store, config.name, run_key, _CHAMPION, noted)


@dataclass(frozen=True, slots=True)
class Parity:
    """How this environment differs from the champion's, where that does not stop the run.

    ``sentence`` goes on from the step's own; ``forced`` is for the gate's report, where a person forced it.
    """

    sentence: str = ""
    forced: str = ""


def hold_against_champion(
    config: ModelConfig, request: RetrainRequest, environment: Mapping[str, str], ports: Ports
) -> Parity:
    """Say how this environment differs from the champion's; a first version has nothing to differ from.

    Raises
    ------
    Refused
        ``parity`` is ``required``, lock file or image is another or not known, and nobody forced it.
        People are told.
    """
    from homeostat.bundle.environment import parity, parity_required

    champion = _champion(config, request.run_key, ports)
    if not champion:
        return Parity()
    theirs = _environment_of(config, champion["digest"], ports)
    # A new git revision is everyday: the gate's report has it, a sentence for people does not.
    differences = [each for each in parity(theirs, environment) if not each.startswith("git_")]
    told = f". Not the champion's environment: {'; '.join(differences)}" if differences else ""
    strict = parity_required(theirs, environment) if config.training.parity == "required" else []
    if not strict:
        return Parity(told)
    found = (
        f"parity is required, and this is not where the champion, version {champion['version']}, "
        f"was trained: {'; '.join(strict)}"
    )
    if request.force:
        forced = f"{found}; it goes on because it was forced"
        return Parity(f". {forced[0].upper()}{forced[1:]}", forced)
    msg = (
        f"{config.name}: {found}. Nothing was fitted. Train in the champion's image, with its "
        f"requirements.txt; or look at the difference, and where it is wanted start retrain__{config.name} "
        "by hand with Force"
    )
    title = f"{config.name}: the environment is not the champion's; nothing was fitted"
    ports.notifier.notify(config.notify, Notice("parity_refused", config.name, title, msg))
    raise Refused(msg)


def _champion(config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
    """The champion's version and digest, as noted beforehand or as the ledger says; {} when there is none."""
    noted = find_result(ports.store, config.name, run_key, _CHAMPION)
    if noted is not None:
        return noted
    champion = ports.ledger.read(config.name).champion
    return {"version": champion.version, "digest": champion.digest} if champion else {}


def _environment_of(config: ModelConfig, digest: str, ports: Ports) -> dict[str, Any]:
    """What a version was trained in; {} when its bundle does not say, or is not what it was."""
    try:
        with bundle_folder(ports, config.name, digest) as folder:
            manifest = json.loads((folder / MANIFEST).read_bytes())
    except (NotFound, Untrusted, ValueError):
        return {}
    found: dict[str, Any] = manifest.get("environment") or {}
    return found
