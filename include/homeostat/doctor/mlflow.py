"""MLflow: reachable, of the required version, and with the champions that the ledger names."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from homeostat.config.errors import NotFound, Untrusted
from homeostat.doctor.check import Finding, broken, ok, skipped, warning
from homeostat.doctor.ledger import ledger_or_skip

if TYPE_CHECKING:
    from homeostat.config import ModelConfig
    from homeostat.doctor.deployment import Deployment


def check_mlflow(deployment: Deployment) -> Finding:
    """Check that MLflow responds with the version that requirements.txt pins."""
    found = deployment.mlflow.get().version
    required = _required_version(deployment.settings.home / "requirements.txt")
    if required and found != required:
        return warning(
            f"the server runs MLflow {found}, requirements.txt pins {required}",
            f"install mlflow=={required} on the server: homeostat is tested with that version only",
        )
    return ok(f"responds, MLflow {found}")


def _required_version(requirements: Path) -> str:
    try:
        found = re.search(r"^mlflow==([^\s;\\]+)", requirements.read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        return ""
    return found[1] if found else ""


def check_champion(deployment: Deployment, model: ModelConfig) -> Finding:
    """Check that MLflow has the ledger's champion, with the same digest and the alias ``champion``."""
    from homeostat.adapters.registry_mlflow import MlflowRegistry

    champion = ledger_or_skip(deployment).traffic(model.name).champion
    if champion is None:
        return skipped("no champion yet")
    registry = MlflowRegistry(deployment.mlflow.get_or_skip().connection)
    try:
        version = registry.version(model.name, champion.version)
    except NotFound:
        return broken(
            f"champion version {champion.version} was deleted in MLflow",
            f"run `homeostat retrain {model.name}` to register a new version; gateways serve a cached copy",
        )
    if version.digest != champion.digest:
        return broken(
            f"version {champion.version} has digest {version.digest[:12] or 'none'} in MLflow and "
            f"{champion.digest[:12]} in the ledger: one of them was edited",
            f"run `homeostat retrain {model.name}` to register a new version",
        )
    alias = registry.aliases(model.name).get("champion")
    if alias != champion.version:
        held_by = f"is on version {alias}" if alias else "is not set"
        return warning(
            f"version {champion.version} is champion, but MLflow's alias champion {held_by}",
            f"the next run of drift_check__{model.name} repairs it; if it does not, read that run's log",
        )
    return ok(f"version {champion.version}, as in MLflow")


def check_bundle(deployment: Deployment, model: ModelConfig) -> Finding:
    """Check that the store has the champion's bundle with the right digest."""
    from homeostat.storage.bundles import fetch_bundle

    champion = ledger_or_skip(deployment).traffic(model.name).champion
    if champion is None:
        return skipped("no champion yet")
    store = deployment.store.get_or_skip().store
    with tempfile.TemporaryDirectory(prefix="homeostat-doctor-") as scratch:
        try:
            fetch_bundle(store, model.name, champion.digest, Path(scratch) / "bundle")
        except NotFound:
            return broken(
                f"the bundle of version {champion.version} is missing or incomplete in the store",
                f"the next run of drift_check__{model.name} restores it from MLflow; if it does not, run "
                f"`homeostat retrain {model.name}`",
            )
        except Untrusted as error:
            return broken(
                str(error), f"run `homeostat rollback {model.name}`, then find out who can write to the store"
            )
    return ok(f"version {champion.version} is complete, digest {champion.digest[:12]}")
