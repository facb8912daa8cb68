"""Where this installation keeps its things: read from the environment, the same in compose and locally."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from homeostat.config.errors import ConfigError, HomeostatError
from homeostat.config.fargate import Fargate
from homeostat.config.load import load_model, load_models, load_overrides
from homeostat.config.model import ModelConfig

RUNNING = "running.json"


def _running(state: Path) -> dict[str, str]:
    try:
        found = json.loads((state / RUNNING).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}


def _listed(env: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in env.get(name, "").split(",") if part.strip())


@dataclass(frozen=True, slots=True)
class Settings:
    """The platform's own settings; every one has a default that works on one machine.

    While ``homeostat up`` runs, it leaves its addresses in the state folder; they are the defaults then,
    so that the command line in another terminal finds it.

    ============================ ===========================================================
    HOMEOSTAT_HOME               project folder (default: the one that holds ``include/``)
    HOMEOSTAT_MODELS             folder of model folders (``$HOMEOSTAT_HOME/include/models``)
    HOMEOSTAT_STATE              local state (``$HOMEOSTAT_HOME/.homeostat``)
    HOMEOSTAT_STORE              ``file:///path`` or ``s3://bucket/prefix`` (``file://$STATE/store``)
    HOMEOSTAT_LEDGER             SQLAlchemy URL (``sqlite:///$STATE/ledger.db``)
    HOMEOSTAT_CACHE              the gateway's digest-addressed cache (``$STATE/cache``)
    HOMEOSTAT_GATEWAY            the gateway's URL, for clients (``http://127.0.0.1:8080``)
    HOMEOSTAT_CONTROL_TOKEN      bearer token of the gateway's control side (none: control is off)
    HOMEOSTAT_TOKENS_FILE        named tokens with scopes, see docs/gateway.md (none)
    HOMEOSTAT_TOKENS             the same list in the variable itself, as JSON (none)
    HOMEOSTAT_REQUIRE_TOKEN      calls that need a token too, comma-separated: ``predict``, ``label``,
                                 ``read`` (none; ``label`` as soon as there are named tokens)
    HOMEOSTAT_OVERRIDES          YAML laid over every model.yaml: ``{"*": {...}, name: {...}}``
    HOMEOSTAT_TRUSTED_TYPES      more skops types to trust, comma-separated
    HOMEOSTAT_PROJECT            what names in AWS begin with, as in Terraform (``homeostat``)
    HOMEOSTAT_TRIGGERS           URL of the SQS queue of retrain triggers (none: Airflow checks by itself)
    HOMEOSTAT_ECS                where Fargate trains, as JSON, see :mod:`homeostat.config.fargate` (none)
    MLFLOW_TRACKING_URI          the MLflow server (``http://127.0.0.1:5000``)
    ============================ ===========================================================

    What a version was made with, HOMEOSTAT_IMAGE_DIGEST and HOMEOSTAT_GIT_REVISION, is not a setting: see
    :func:`homeostat.bundle.environment`.
    """

    home: Path
    models: Path
    state: Path
    store: str
    ledger: str = field(repr=False)  # it may hold a password, as others below
    cache: Path
    gateway: str
    control_token: str = field(repr=False)
    overrides: str
    trusted_types: tuple[str, ...]
    tracking_uri: str = field(repr=False)
    tokens_file: str = ""
    tokens: str = field(default="", repr=False)
    require_token: tuple[str, ...] = ()
    project: str = "homeostat"
    triggers: str = ""
    ecs: Fargate | None = None

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Settings:
        """Read the settings from the environment; unset ones get their defaults."""
        env = os.environ if env is None else env
        home = Path(env.get("HOMEOSTAT_HOME") or Path(__file__).resolve().parents[3])
        state = Path(env.get("HOMEOSTAT_STATE") or home / ".homeostat")
        env = {**_running(state), **env}
        return cls(
            home=home,
            models=Path(env.get("HOMEOSTAT_MODELS") or home / "include" / "models"),
            state=state,
            store=env.get("HOMEOSTAT_STORE") or f"file://{state / 'store'}",
            ledger=env.get("HOMEOSTAT_LEDGER") or f"sqlite:///{state / 'ledger.db'}",
            cache=Path(env.get("HOMEOSTAT_CACHE") or state / "cache"),
            gateway=(env.get("HOMEOSTAT_GATEWAY") or "http://127.0.0.1:8080").rstrip("/"),
            control_token=env.get("HOMEOSTAT_CONTROL_TOKEN", ""),
            overrides=env.get("HOMEOSTAT_OVERRIDES", ""),
            trusted_types=_listed(env, "HOMEOSTAT_TRUSTED_TYPES"),
            tracking_uri=(env.get("MLFLOW_TRACKING_URI") or "http://127.0.0.1:5000").rstrip("/"),
            tokens_file=env.get("HOMEOSTAT_TOKENS_FILE", ""),
            tokens=env.get("HOMEOSTAT_TOKENS", ""),
            require_token=_listed(env, "HOMEOSTAT_REQUIRE_TOKEN"),
            project=env.get("HOMEOSTAT_PROJECT") or "homeostat",
            triggers=env.get("HOMEOSTAT_TRIGGERS", ""),
            ecs=Fargate.from_json(env["HOMEOSTAT_ECS"]) if env.get("HOMEOSTAT_ECS") else None,
        )

    def announce(self) -> None:
        """Leave the addresses for other processes of this user, for as long as the platform runs."""
        path = self.state / RUNNING
        path.touch(mode=0o600)
        path.write_text(
            json.dumps(
                {
                    "HOMEOSTAT_GATEWAY": self.gateway,
                    "HOMEOSTAT_CONTROL_TOKEN": self.control_token,
                    "MLFLOW_TRACKING_URI": self.tracking_uri,
                }
            ),
            encoding="utf-8",
        )

    def withdraw(self) -> None:
        """Take the addresses back; nothing answers there any more."""
        (self.state / RUNNING).unlink(missing_ok=True)

    def model_overrides(self) -> dict[str, Any]:
        """What ``HOMEOSTAT_OVERRIDES`` lays over model.yaml files."""
        return load_overrides(self.overrides)

    def load_models(self) -> dict[str, ModelConfig]:
        """Every model of this installation, by name."""
        return load_models(self.models, self.model_overrides())

    def load_model(self, name: str) -> ModelConfig:
        """One model by name, whatever its neighbours' files look like; raises as :meth:`known` does."""
        return load_model(self.models / self.known(name), self.model_overrides())

    def each_model(self) -> Iterator[ModelConfig | tuple[str, str]]:
        """Each model; for one that cannot be read, its folder's name and what is wrong with it.

        For whoever runs all models: one bad model.yaml must not take the others down.
        """
        for path in sorted(self.models.glob("*/model.yaml")):
            try:
                yield load_model(path, self.model_overrides())
            except HomeostatError as error:
                yield path.parent.name, str(error)

    def model_names(self) -> list[str]:
        """The name of every model folder, whether its model.yaml can be read or not."""
        return sorted(path.parent.name for path in self.models.glob("*/model.yaml"))

    def known(self, name: str) -> str:
        """Give the name back if there is such a model; raises ConfigError naming those that there are."""
        names = self.model_names()
        if name not in names:
            there = ", ".join(names) or "none yet: 'homeostat new MODEL' writes one"
            msg = f"no model '{name}' in {self.models}; there are: {there}"
            raise ConfigError(msg)
        return name
