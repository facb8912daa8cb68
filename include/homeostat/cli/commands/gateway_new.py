"""gateway and new: run a gateway, create a model folder."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

from homeostat.cli.console import print_json, say, shown_path
from homeostat.config import Settings
from homeostat.config.errors import ConfigError


def serve_gateway(settings: Settings, host: str, port: int, workers: int | None) -> None:
    """Serve until stopped; Unavailable when the port is in use."""
    from homeostat.serving.options import Options
    from homeostat.serving.server.serve import run

    options = Options.from_env()
    run(settings, host, port, replace(options, workers=workers) if workers else options)


def write_new(
    settings: Settings, model: str, example: str = "", *, as_json: bool, estimator: str = "sklearn"
) -> None:
    """Create a model folder, from the template or as the copy of a demo model.

    Raises
    ------
    ConfigError
        The name is missing or invalid, or there is no such example.
    AlreadyExists
        The folder exists; it is not changed.
    """
    from homeostat.scaffold import new_model
    from homeostat.scaffold.examples import copy_example

    model = model or example
    if example and estimator != "sklearn":
        msg = f"--estimator {estimator}: an example has its own estimator; give one of both"
        raise ConfigError(msg)
    if not model:
        msg = "name the new model: homeostat new churn, or homeostat new --example pump_fault"
        raise ConfigError(msg)
    models = settings.models
    folder = copy_example(example, model, models) if example else new_model(model, models, estimator)
    if as_json:
        print_json({"model": model, "folder": str(folder)})
        return
    say(f"Created {folder.resolve()}. It works unchanged:")
    if example:
        readme = shown_path(folder / "README.md")
        say(f"  homeostat demo {model:<14} # run its scenario; {readme} describes it")
        return
    say("  homeostat up                  # start the platform and keep it running")
    say(f"  homeostat retrain {model:<11} # in another terminal: train the first version")
    if estimator != "sklearn" and importlib.util.find_spec(estimator) is None:
        say(f"Install {estimator} first: python -m pip install 'homeostat[{estimator}]'", "yellow")
    say("Then put your columns into model.yaml and your pipeline into pipeline.py.")
    say("If your rows are in a file: homeostat quickstart FILE --label COLUMN does that.")
    say("HOMEOSTAT_MODELS names another folder for models than this one.", "dim")


def require_example(settings: Settings, model: str) -> None:
    """Raise ConfigError for a demo model that is not among the models yet: the message brings it."""
    from homeostat.scaffold.examples import example_names

    if model not in settings.model_names() and model in example_names():
        msg = f"{model} is not in {settings.models}: 'homeostat new --example {model}' copies it there"
        raise ConfigError(msg)
