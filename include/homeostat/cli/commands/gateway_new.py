"""gateway and new: run a gateway, create a model folder."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

from homeostat.cli.console import print_json, say
from homeostat.config import Settings


def serve_gateway(settings: Settings, host: str, port: int, workers: int | None) -> None:
    """Serve until stopped; Unavailable when the port is in use."""
    from homeostat.serving.options import Options
    from homeostat.serving.server.serve import run

    options = Options.from_env()
    run(settings, host, port, replace(options, workers=workers) if workers else options)


def write_new(settings: Settings, model: str, *, as_json: bool, estimator: str = "sklearn") -> None:
    """Create a model folder from the template."""
    from homeostat.scaffold import new_model

    folder = new_model(model, settings.models, estimator)
    if as_json:
        print_json({"model": model, "folder": str(folder)})
        return
    say(f"Created {folder.resolve()}. It works unchanged:")
    say("  homeostat up              start the platform and keep it running")
    say(f"  homeostat retrain {model}   in another terminal: train the first version")
    if estimator != "sklearn" and importlib.util.find_spec(estimator) is None:
        say(f"Install {estimator} first: python -m pip install 'homeostat[{estimator}]'", "yellow")
    say("Then put your columns into model.yaml and your pipeline into pipeline.py.")
    say("HOMEOSTAT_MODELS names another folder for models than this one.", "dim")
