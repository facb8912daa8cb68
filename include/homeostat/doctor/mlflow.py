"""MLflow: in reach, the version that this was built for, and every champion there as the ledger has it."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from homeostat.config.errors import NotFound, Untrusted
from homeostat.doctor.check import Finding, broken, ok, skipped, warning
from homeostat.doctor.ledger import ledger_of

if TYPE_CHECKING:
    from homeostat.config import ModelConfig
    from homeostat.doctor.deployment import Deployment


def look(deployment: Deployment) -> Finding:
    """In reach, and of the version that requirements.txt names."""
    found = deployment.mlflow.get().version
    wanted = _required(deployment.settings.home / "requirements.txt")
    if wanted and found != wanted:
        return warning(
            f"MLflow {found} answers, and requirements.txt says {wanted}",
            f"run the server as mlflow=={wanted}: other versions were never tried with this one",
        )
    return ok(f"MLflow {found} answers")


def _required(lock: Path) -> str:
    try:
        found = re.search(r"^mlflow==([^\s;\\]+)", lock.read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        return ""
    return found[1] if found else ""


def look_at_champion(deployment: Deployment, model: ModelConfig) -> Finding:
    """The ledger's champion is a version of MLflow's, of the same digest, under the alias."""
    from homeostat.adapters.registry_mlflow import MlflowRegistry

    champion = ledger_of(deployment).traffic(model.name).champion
    if champion is None:
        return skipped("no champion yet")
    registry = MlflowRegistry(deployment.mlflow.needed().connection)
    try:
        version = registry.version(model.name, champion.version)
    except NotFound:
        return broken(
            f"version {champion.version} serves, and MLflow has no such version: it was deleted",
            f"gateways serve their copy; `homeostat retrain {model.name}` makes one that lasts",
        )
    if version.digest != champion.digest:
        return broken(
            f"version {champion.version}: MLflow's tag says digest {version.digest[:12] or 'none'}, "
            f"the ledger {champion.digest[:12]}",
            f"somebody changed one of them; `homeostat retrain {model.name}` makes a version that is whole",
        )
    alias = registry.aliases(model.name).get("champion")
    if alias != champion.version:
        return warning(
            f"version {champion.version} serves, and MLflow's alias champion names {alias or 'nobody'}",
            f"the next drift_check__{model.name} puts it right; if it does not, see that check's log",
        )
    return ok(f"version {champion.version}, as MLflow has it")


def look_at_bundle(deployment: Deployment, model: ModelConfig) -> Finding:
    """The champion's bytes are in the store, and have its digest."""
    from homeostat.storage.bundles import fetch_bundle

    champion = ledger_of(deployment).traffic(model.name).champion
    if champion is None:
        return skipped("no champion yet")
    store = deployment.store.needed().store
    cure = f"the next check takes it from MLflow again; else `homeostat retrain {model.name}`"
    with tempfile.TemporaryDirectory(prefix="homeostat-doctor-") as scratch:
        try:
            fetch_bundle(store, model.name, champion.digest, Path(scratch) / "bundle")
        except NotFound:
            return broken(f"version {champion.version}: its bundle is not in the store, or not whole", cure)
        except Untrusted as error:
            return broken(str(error), f"`homeostat rollback {model.name}`, then find out who can write there")
    return ok(f"version {champion.version} is whole: digest {champion.digest[:12]}")
