"""MLflow: in reach, the version that this was built for, and every champion there as the ledger has it."""

from __future__ import annotations

import base64
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from homeostat.config.errors import ConfigError, NotFound, Unavailable, Untrusted
from homeostat.doctor.check import Finding, broken, ok, skipped, warning
from homeostat.doctor.http_probe import get
from homeostat.doctor.ledger import books_of

if TYPE_CHECKING:
    from homeostat.adapters.mlflow_client import MlflowConnection
    from homeostat.config import ModelConfig
    from homeostat.doctor.deployment import Deployment


@dataclass(frozen=True, slots=True)
class Tracking:
    """MLflow as it answered."""

    version: str
    offset: timedelta | None
    connection: MlflowConnection


def reach(uri: str, env: Mapping[str, str]) -> Tracking:
    """Ask MLflow for its version.

    Raises
    ------
    Unavailable, ConfigError
        It does not answer, does not want us, or is no MLflow.
    """
    from homeostat.adapters.mlflow_client import MlflowConnection

    answer = get(f"{uri}/version", "MLflow", "MLFLOW_TRACKING_URI", _credentials(uri, env))
    if answer.status in (401, 403):
        msg = f"MLflow refuses ({answer.status}): {answer.text.strip()[:120] or 'without a word'}"
        raise ConfigError(msg)
    if answer.status != 200 or not re.fullmatch(r"\d+\.\d+\S*", answer.text.strip()):
        msg = f"what answers there is no MLflow: /version gave {answer.status} {answer.text.strip()[:60]!r}"
        raise Unavailable(msg)
    return Tracking(answer.text.strip(), answer.offset, MlflowConnection(uri))


def _credentials(uri: str, env: Mapping[str, str]) -> dict[str, str]:
    """As MLflow's own client sends them."""
    parts = urlsplit(uri)
    if token := env.get("MLFLOW_TRACKING_TOKEN"):
        return {"Authorization": f"Bearer {token}"}
    user = unquote(parts.username or "") or env.get("MLFLOW_TRACKING_USERNAME", "")
    password = unquote(parts.password or "") or env.get("MLFLOW_TRACKING_PASSWORD", "")
    if not user:
        return {}
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


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

    champion = books_of(deployment).traffic(model.name).champion
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

    champion = books_of(deployment).traffic(model.name).champion
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
