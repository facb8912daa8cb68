"""The settings of this installation: environment variables, the same in compose and on this machine."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from homeostat.config.duration import parse_duration
from homeostat.config.errors import ConfigError
from homeostat.config.fargate import Fargate
from homeostat.config.load import load_model, load_models, load_overrides, try_model
from homeostat.config.model import ModelConfig
from homeostat.config.model_folders import find_model, find_models, twice
from homeostat.config.type_names import type_names

RUNNING = "running.json"
#: A shorter secret could be guessed.
MIN_SECRET = 32
#: The folder of the checkout that this package is run from; None for an installed package.
_INCLUDE = Path(__file__).resolve().parents[2]
CHECKOUT = _INCLUDE.parent if _INCLUDE.name == "include" else None


def _running(state: Path) -> dict[str, str]:
    try:
        found = json.loads((state / RUNNING).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}


def _listed(env: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in env.get(name, "").split(",") if part.strip())


def _duration(env: Mapping[str, str], name: str, default: str) -> timedelta:
    try:
        return parse_duration(env.get(name) or default)
    except ValueError as error:
        msg = f"{name}: {error}"
        raise ConfigError(msg) from None


def _secret(text: str) -> str:
    if text and len(text) < MIN_SECRET:
        msg = (
            f"HOMEOSTAT_APPROVAL_SECRET has {len(text)} characters, at least {MIN_SECRET} are needed: make"
            " one with `openssl rand -base64 32`"
        )
        raise ConfigError(msg)
    return text


def _trusted_types(text: str) -> tuple[str, ...]:
    try:
        return type_names(text)
    except ValueError as error:
        msg = f"HOMEOSTAT_TRUSTED_TYPES: {error}"
        raise ConfigError(msg) from None


@dataclass(frozen=True, slots=True)
class Settings:
    """The platform's settings. Every one has a default that works on one machine.

    While ``homeostat up`` runs, its addresses are in the state folder and are the defaults, so that the
    command line in another terminal finds it.

    ============================ ===========================================================
    HOMEOSTAT_HOME               project folder (default: the checkout; of an installed package the
                                 working directory)
    HOMEOSTAT_MODELS             folder of model folders (``$HOMEOSTAT_HOME/include/models``; of an
                                 installed package ``$HOMEOSTAT_HOME/models``)
    HOMEOSTAT_MODELS_REFRESH     how long DAG files and tasks use their copy of models in S3 before they ask
                                 the bucket again (``60s``)
    HOMEOSTAT_STATE              local state (``$HOMEOSTAT_HOME/.homeostat``)
    HOMEOSTAT_STORE              ``file:///path`` or ``s3://bucket/prefix`` (``file://$STATE/store``)
    HOMEOSTAT_LEDGER             SQLAlchemy URL (``sqlite:///$STATE/ledger.db``)
    HOMEOSTAT_CACHE              the gateway's digest-addressed cache (``$STATE/cache``)
    HOMEOSTAT_GATEWAY            the gateway's URL, for clients (``http://127.0.0.1:8000``)
    HOMEOSTAT_GATEWAY_PUBLIC_URL  the gateway's address in links for people (that of HOMEOSTAT_GATEWAY)
    HOMEOSTAT_APPROVAL_SECRET    signs links to approve a version, at least 32 characters, the same for
                                 Airflow and all gateways (none: no links)
    HOMEOSTAT_CONTROL_TOKEN      bearer token of the gateway's control side (none: control is off)
    HOMEOSTAT_TOKENS_FILE        named tokens with scopes, see docs/gateway.md (none)
    HOMEOSTAT_TOKENS             the same list in the variable itself, as JSON (none)
    HOMEOSTAT_REQUIRE_TOKEN      calls that need a token too, comma-separated: ``predict``, ``label``,
                                 ``read`` (none; ``label`` as soon as there are named tokens)
    HOMEOSTAT_MLFLOW_WEBHOOK_SECRET  the secret of MLflow's webhook, see docs/gateway.md (none: not heard)
    HOMEOSTAT_OVERRIDES          YAML file merged over every model.yaml: ``{"*": {...}, name: {...}}``
    HOMEOSTAT_TRUSTED_TYPES      additional skops types to trust in all models, comma-separated or a list;
                                 for one model: ``trusted_types`` in the overrides
    HOMEOSTAT_PROJECT            prefix of the names in AWS, as in Terraform (``homeostat``)
    HOMEOSTAT_TRIGGERS           URL of the SQS queue of retrain triggers (none: Airflow runs the checks)
    HOMEOSTAT_ECS                ECS task for training, as JSON, see :mod:`homeostat.config.fargate` (none)
    MLFLOW_TRACKING_URI          the MLflow server (``http://127.0.0.1:5000``)
    HOMEOSTAT_MLFLOW_BACKEND_URI  MLflow's database, to free the space of old monitoring runs; without it they
                                 are marked as deleted only (none)
    HOMEOSTAT_MLFLOW_PUBLIC_URL  MLflow's address in people's browsers, for links (``MLFLOW_TRACKING_URI``)
    AIRFLOW__API__BASE_URL       Airflow's address, for ``homeostat doctor`` and links (none)
    HOMEOSTAT_AIRFLOW_PUBLIC_URL  Airflow's address in links of the gateway's pages (AIRFLOW__API__BASE_URL)
    ============================ ===========================================================

    The variables HOMEOSTAT_IMAGE_DIGEST and HOMEOSTAT_GIT_REVISION describe the environment and are not
    settings: see :func:`homeostat.bundle.environment`.
    """

    home: Path
    models: Path
    state: Path
    store: str
    ledger: str = field(repr=False)  # may contain a password, as others below
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
    webhook_secret: str = field(default="", repr=False)
    mlflow_backend_uri: str = field(default="", repr=False)
    airflow: str = ""
    mlflow_public_url: str = ""
    airflow_public_url: str = ""
    gateway_public_url: str = ""
    approval_secret: str = field(default="", repr=False)
    models_refresh: timedelta = timedelta(seconds=60)

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Settings:
        """Read the settings from the environment; variables that are not set get their defaults."""
        env = os.environ if env is None else env
        home = Path(env.get("HOMEOSTAT_HOME") or CHECKOUT or Path.cwd())
        models = home / "include" / "models"
        if CHECKOUT is None and not models.is_dir():
            models = home / "models"
        state = Path(env.get("HOMEOSTAT_STATE") or home / ".homeostat")
        env = {**_running(state), **env}
        return cls(
            home=home,
            models=Path(env.get("HOMEOSTAT_MODELS") or models),
            state=state,
            models_refresh=_duration(env, "HOMEOSTAT_MODELS_REFRESH", "60s"),
            store=env.get("HOMEOSTAT_STORE") or f"file://{state / 'store'}",
            ledger=env.get("HOMEOSTAT_LEDGER") or f"sqlite:///{state / 'ledger.db'}",
            cache=Path(env.get("HOMEOSTAT_CACHE") or state / "cache"),
            gateway=(env.get("HOMEOSTAT_GATEWAY") or "http://127.0.0.1:8000").rstrip("/"),
            control_token=env.get("HOMEOSTAT_CONTROL_TOKEN", ""),
            gateway_public_url=env.get("HOMEOSTAT_GATEWAY_PUBLIC_URL", "").rstrip("/"),
            approval_secret=_secret(env.get("HOMEOSTAT_APPROVAL_SECRET", "")),
            overrides=env.get("HOMEOSTAT_OVERRIDES", ""),
            trusted_types=_trusted_types(env.get("HOMEOSTAT_TRUSTED_TYPES", "")),
            tracking_uri=(env.get("MLFLOW_TRACKING_URI") or "http://127.0.0.1:5000").rstrip("/"),
            tokens_file=env.get("HOMEOSTAT_TOKENS_FILE", ""),
            tokens=env.get("HOMEOSTAT_TOKENS", ""),
            require_token=_listed(env, "HOMEOSTAT_REQUIRE_TOKEN"),
            project=env.get("HOMEOSTAT_PROJECT") or "homeostat",
            triggers=env.get("HOMEOSTAT_TRIGGERS", ""),
            webhook_secret=env.get("HOMEOSTAT_MLFLOW_WEBHOOK_SECRET", ""),
            mlflow_backend_uri=env.get("HOMEOSTAT_MLFLOW_BACKEND_URI", ""),
            airflow=env.get("AIRFLOW__API__BASE_URL", "").rstrip("/"),
            mlflow_public_url=env.get("HOMEOSTAT_MLFLOW_PUBLIC_URL", "").rstrip("/"),
            airflow_public_url=env.get("HOMEOSTAT_AIRFLOW_PUBLIC_URL", "").rstrip("/"),
            ecs=Fargate.from_json(env["HOMEOSTAT_ECS"]) if env.get("HOMEOSTAT_ECS") else None,
        )

    @property
    def platform_runs(self) -> bool:
        """Whether ``homeostat up`` or the demo runs with this state folder."""
        return (self.state / RUNNING).exists()

    def announce(self) -> None:
        """Write the addresses for other processes of this user, while the platform runs."""
        path = self.state / RUNNING
        path.touch(mode=0o600)
        path.write_text(
            json.dumps(
                {
                    "HOMEOSTAT_GATEWAY": self.gateway,
                    "HOMEOSTAT_CONTROL_TOKEN": self.control_token,
                    "MLFLOW_TRACKING_URI": self.tracking_uri,
                    "AIRFLOW__API__BASE_URL": self.airflow,
                }
            ),
            encoding="utf-8",
        )

    def withdraw(self) -> None:
        """Delete the addresses that :meth:`announce` wrote: the platform has stopped."""
        (self.state / RUNNING).unlink(missing_ok=True)

    def model_overrides(self) -> dict[str, Any]:
        """Return what ``HOMEOSTAT_OVERRIDES`` merges over model.yaml files."""
        return load_overrides(self.overrides)

    def load_models(self) -> dict[str, ModelConfig]:
        """Load every model of this installation, by name."""
        return load_models(self.models, self.model_overrides())

    def load_model(self, name: str) -> ModelConfig:
        """Load one model by name, even if other models' files are broken; raises ConfigError for no model."""
        return load_model(self._folder_of(name), self.model_overrides())

    def each_model(self) -> Iterator[ModelConfig | tuple[str, str]]:
        """Yield each model; for one that cannot be read, its folder's name and the error.

        For callers that run all models: one bad model.yaml must not stop the others.
        """
        overrides = self._overrides_or_error()
        for name, folders in find_models(self.models).items():
            yield try_model(name, folders, overrides)

    def find_model(self, name: str) -> ModelConfig | tuple[str, str] | None:
        """Return one model as :meth:`each_model` does, without reading others; None when there is none."""
        folders = find_model(self.models, name)
        return try_model(name, folders, self._overrides_or_error()) if folders else None

    def _overrides_or_error(self) -> dict[str, Any] | ConfigError:
        try:
            return self.model_overrides()
        except ConfigError as error:  # of every model
            return error

    def model_folder(self, name: str) -> Path:
        """Return the folder of a model by its name, or a folder or model.yaml anywhere by its path."""
        path = Path(name)
        return path if "/" in name or path.exists() else self._folder_of(name)

    def model_names(self) -> list[str]:
        """Return the name of every model folder, even if its model.yaml cannot be read."""
        return list(find_models(self.models))

    def require_model(self, name: str) -> str:
        """Return a model's name, given it or its folder; raises ConfigError listing the models that exist."""
        return self._folder_of(name).name

    def _folder_of(self, name: str) -> Path:
        if "/" in name:
            path = Path(name).resolve()
            folders = (
                [path] if path in (each.resolve() for each in find_model(self.models, path.name)) else []
            )
        else:
            folders = find_model(self.models, name)
        if len(folders) > 1:
            raise ConfigError(twice(name, folders))
        if not folders:
            existing = ", ".join(self.model_names()) or "none yet: 'homeostat new MODEL' writes one"
            msg = f"no model '{name}' in {self.models}; models: {existing}"
            raise ConfigError(msg)
        return folders[0]
