"""A deployment with real services: MLflow, a gateway over HTTP, a ledger and a store."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from homeostat.adapters import open_ledger, open_store
from homeostat.adapters.history_mlflow import MlflowHistory
from homeostat.adapters.registry_mlflow import MlflowRegistry
from homeostat.config import ModelConfig, Settings
from homeostat.core.rollout import VersionRef
from homeostat.core.trigger import WindowRecord
from homeostat.doctor import Check, Deployment, Probe, build_probes, check, run_probes
from homeostat.ports import Ports
from homeostat.storage.bundles import put_bundle
from serving.gateway_harness import TOKEN, make_gateway_fixture, model_config, serving


def record(ago: timedelta, version: str = "1") -> WindowRecord:
    return WindowRecord(
        window_end=datetime.now(UTC) - ago,
        version=version,
        rows=500,
        drift="pass",
        drifted_share=0.0,
        performance="pending",
        score=None,
        decay=None,
    )


def write_model(folder: Path, config: ModelConfig) -> ModelConfig:
    """Return the configuration as read from a folder that holds its pipeline."""
    home = folder / config.name
    home.mkdir(parents=True)
    (home / "pipeline.py").write_text("def build(): ...\n")
    (home / "model.yaml").write_text("name: only its name is read\n")
    config._folder = home
    return config


@pytest.fixture(autouse=True)
def generous_time_limits(monkeypatch):
    """Let healthy services be slow on a busy machine."""
    monkeypatch.setattr(check, "RESPONSE_SECONDS", 60.0)
    monkeypatch.setattr(check, "CONNECT_SECONDS", 60.0)


def run_unhurried(probes: Sequence[Probe]) -> list[Check]:
    """Run the checks with time limits for a busy machine."""
    return run_probes([replace(probe, limit=240.0) for probe in probes])


@dataclass
class RunningDeployment:
    """The deployment under check."""

    settings: Settings
    config: ModelConfig
    ports: Ports
    champion: VersionRef
    env: dict[str, str]

    def check(self, *names: str, **changes: Any) -> list[Check]:
        """Run the checks of these names, with settings (and ``now``, ``models``, ``env``) changed."""
        own = {key: changes.pop(key) for key in ("now", "env") if key in changes}
        models = changes.pop("models", (self.config,))
        settings = replace(self.settings, **changes)
        deployment = Deployment(settings, tuple(models), **{"env": self.env, **own})
        return run_unhurried(
            [probe for probe in build_probes(deployment) if not names or probe.name in names]
        )

    def one(self, name: str, about: str = "", **changes: Any) -> Check:
        """Run the one check of this name (and about this)."""
        found = [check for check in self.check(name, **changes) if about in check.about]
        assert len(found) == 1, found
        return found[0]


@pytest.fixture
def deployment(tmp_path, mlflow_server):
    """A healthy deployment: a served champion, last drift check 15 minutes ago."""
    config = write_model(tmp_path / "models", model_config(name=f"pump-{uuid.uuid4().hex[:8]}"))
    ledger_url, store_url = f"sqlite:///{tmp_path / 'ledger.db'}", f"file://{tmp_path / 'store'}"
    registry, history = MlflowRegistry(mlflow_server), MlflowHistory(mlflow_server)
    store, ledger = open_store(store_url), open_ledger(ledger_url)
    setup = make_gateway_fixture(
        tmp_path, config, registry=registry, store=store, ledger=ledger, history=history
    )
    champion = setup.version(features=[{"name": "a", "type": "number"}])
    put_bundle(store, config.name, champion.digest, tmp_path / "bundles" / "bundle1")
    setup.begin(champion)
    registry.set_alias(config.name, "champion", champion.version)
    history.record(config.name, record(timedelta(minutes=15)), metrics={}, artifacts={})
    with serving(setup) as gateway:
        gateway.ready(config.name)
        settings = Settings.from_env(
            {
                "HOMEOSTAT_HOME": str(tmp_path),
                "HOMEOSTAT_MODELS": str(tmp_path / "models"),
                "HOMEOSTAT_STATE": str(tmp_path),
                "HOMEOSTAT_STORE": store_url,
                "HOMEOSTAT_LEDGER": ledger_url,
                "HOMEOSTAT_GATEWAY": gateway.url,
                "HOMEOSTAT_CONTROL_TOKEN": f"{TOKEN}-of-some-length",
                "MLFLOW_TRACKING_URI": mlflow_server,
            }
        )
        yield RunningDeployment(settings, config, setup.ports, champion, {})
    ledger.close()
