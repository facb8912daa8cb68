"""The demo's scenario for a model: ``demo.yaml`` in the model's folder; every key is optional."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, ValidationError

from homeostat.config import ModelConfig, Settings, load_model
from homeostat.config.errors import ConfigError
from homeostat.config.load import merge
from homeostat.config.section import Section

#: Settings that shorten shadow and canary from hours to seconds.
SHORT: dict[str, Any] = {
    "shadow": {"duration": "8s", "min_samples": 60},
    "canary": {"steps": [0.2, 0.5], "step_duration": "8s", "min_samples": 25, "reverse_shadow": "20s"},
}
#: The gateway uploads its logs this often, so that labels arrive during a rollout of seconds.
FLUSH_SECONDS = "1"


class Scenario(Section):
    """The keys of ``demo.yaml``.

    ``first_until`` (or ``first_share`` of the rows) ends the training data of the first version; the rest is
    replayed window by window (``monitor.every``). During the first ``quiet`` windows the trigger must not
    fire. ``drift_at`` is the time from which the data drifts; the trigger must fire within ``patience``
    windows. ``after`` windows follow the promotion. Then the concept changes: from then on, rows with more
    than the median in ``concept_feature`` (default: the model's first number) have other labels. ``data_env``
    names the environment variable from which the model's loader reads the path given by ``--data``.
    """

    first_until: datetime | None = None
    first_share: Annotated[float, Field(gt=0, lt=1)] = 0.3
    quiet: Annotated[int, Field(ge=1)] = 3
    drift_at: datetime | None = None
    patience: Annotated[int, Field(ge=1)] = 20
    after: Annotated[int, Field(ge=1)] = 2
    concept_feature: str = ""
    seconds_per_window: Annotated[float, Field(gt=0)] = 6.0
    seconds_per_window_in_rollouts: Annotated[float, Field(gt=0)] = 12.0
    data_env: str = ""
    env: dict[str, str] = Field(default_factory=dict)
    overrides: dict[str, Any] = Field(default_factory=dict)
    about: str = ""

    @property
    def most_windows(self) -> int:
        """How many windows the demo may need after ``first_until``; a rollout takes some, too."""
        return self.quiet + 2 * (self.patience + self.after) + 40


def load_scenario(config: ModelConfig) -> Scenario:
    """Read ``demo.yaml`` beside model.yaml; without one, defaults that suit any file of rows."""
    path = config.folder / "demo.yaml"
    if not path.exists():
        return Scenario()
    try:
        return Scenario.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    except yaml.YAMLError as error:
        msg = f"{path}: not valid YAML: {error}"
        raise ConfigError(msg) from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        msg = f"{path}, {'.'.join(map(str, first['loc']))}: {first['msg']} (found {first.get('input')!r})"
        raise ConfigError(msg) from None


def set_environment(config: ModelConfig, scenario: Scenario, data: Path | None) -> None:
    """Set the environment variables that the model's loader reads; started processes inherit them."""
    os.environ.update(scenario.env)
    os.environ.setdefault("HOMEOSTAT_GATEWAY_FLUSH_SECONDS", FLUSH_SECONDS)
    if data is None:
        return
    if scenario.data_env:
        os.environ[scenario.data_env] = str(data.resolve())
    elif (kind := config.history_only().source.kind) not in ("csv", "parquet"):
        msg = (
            f"--data: the source of {config.name} is '{kind}', which reads no file; "
            f"omit --data, or add 'data_env: NAME' to {config.folder / 'demo.yaml'}"
        )
        raise ConfigError(msg)


def overrides(config: ModelConfig, scenario: Scenario, data: Path | None) -> dict[str, Any]:
    """Return the settings that override model.yaml in the demo."""
    changed: dict[str, Any] = merge(SHORT, scenario.overrides)
    if data is not None and not scenario.data_env:
        kind = "parquet" if data.suffix == ".parquet" else "csv"
        file = {"kind": kind, "uri": str(data.resolve())}
        changed["source"] = {"history": file} if config.source.history else file
    return {config.name: changed}


def demo_model(settings: Settings, name: str) -> ModelConfig:
    """Return the model's configuration with the demo's overrides."""
    plain = settings.load_model(name)
    return load_model(plain.folder, settings.model_overrides())
