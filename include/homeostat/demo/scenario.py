"""What the demonstration does with a model: data in the model's folder, ``demo.yaml``, every key optional."""

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
from homeostat.config.model import Section

#: Shadow and canary in seconds instead of hours: the same code, other settings.
SHORT: dict[str, Any] = {
    "shadow": {"duration": "8s", "min_samples": 60},
    "canary": {"steps": [0.2, 0.5], "step_duration": "8s", "min_samples": 25},
}


class Story(Section):
    """The plan of one demonstration.

    ``first_until`` (or ``first_share`` of the rows) ends the data of the first version; the rest is
    replayed window by window (``monitor.every``). ``quiet`` windows must pass without a trigger;
    ``drift_at`` is when the world is told to change, after which at most ``patience`` windows may pass
    until the trigger fires. ``after`` windows follow the promotion. ``data_env`` names the variable
    that the model's loader reads the path of ``--data`` from.
    """

    first_until: datetime | None = None
    first_share: Annotated[float, Field(gt=0, lt=1)] = 0.3
    quiet: Annotated[int, Field(ge=1)] = 3
    drift_at: datetime | None = None
    patience: Annotated[int, Field(ge=1)] = 20
    after: Annotated[int, Field(ge=1)] = 2
    seconds_per_window: Annotated[float, Field(gt=0)] = 6.0
    seconds_per_window_in_rollouts: Annotated[float, Field(gt=0)] = 12.0
    data_env: str = ""
    env: dict[str, str] = Field(default_factory=dict)
    overrides: dict[str, Any] = Field(default_factory=dict)
    about: str = ""


def load_story(config: ModelConfig) -> Story:
    """Read ``demo.yaml`` beside model.yaml; without one the defaults tell a story on any file of rows."""
    path = config.folder / "demo.yaml"
    if not path.exists():
        return Story()
    try:
        return Story.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    except yaml.YAMLError as error:
        msg = f"{path}: not valid YAML: {error}"
        raise ConfigError(msg) from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        msg = f"{path}, {'.'.join(map(str, first['loc']))}: {first['msg']} (found {first.get('input')!r})"
        raise ConfigError(msg) from None


def stage_environment(config: ModelConfig, story: Story, data: Path | None) -> None:
    """Set what the model's own loader reads; every process that is started afterwards inherits it."""
    os.environ.update(story.env)
    if data is None:
        return
    if story.data_env:
        os.environ[story.data_env] = str(data.resolve())
    elif config.source.kind not in ("csv", "parquet"):
        msg = (
            f"--data: the source of {config.name} is '{config.source.kind}', which reads no file; "
            f"leave --data out, or write 'data_env: NAME' into {config.folder / 'demo.yaml'}"
        )
        raise ConfigError(msg)


def overrides(config: ModelConfig, story: Story, data: Path | None) -> dict[str, Any]:
    """What is laid over model.yaml for the demonstration."""
    asked: dict[str, Any] = merge(SHORT, story.overrides)
    if data is not None and not story.data_env:
        kind = "parquet" if data.suffix == ".parquet" else "csv"
        asked["source"] = {"kind": kind, "uri": str(data.resolve())}
    return {config.name: asked}


def staged_model(settings: Settings, name: str) -> ModelConfig:
    """The model as the demonstration runs it."""
    plain = settings.load_model(name)
    return load_model(plain.folder, settings.model_overrides())
