"""train-step: the train step of one retrain, as the command of a container."""

from __future__ import annotations

import sys
import traceback

import typer

from homeostat.aws.fargate_step import train_in_container
from homeostat.cli.console import print_json, say
from homeostat.config import Settings
from homeostat.config.errors import HomeostatError, StaleRevision, Unavailable
from homeostat.config.extras import optional_libraries
from homeostat.config.redaction import secret_redactor
from homeostat.retraining.remote_training import TEMPORARY_FAILURE, UNEXPECTED_ERROR


def train_here(settings: Settings, model: str, run_key: str, *, as_json: bool) -> None:
    """Run the train step and print its result.

    Raises
    ------
    HomeostatError
        A retry would give the same error.
    typer.Exit
        Status 75 when a retry may help, 70 after an unexpected error.
    """
    try:
        with optional_libraries():
            result = train_in_container(settings, model, run_key, on_start=None if as_json else say)
    except (Unavailable, StaleRevision) as error:
        _complain(f"{type(error).__name__}: {error} (a retry may help)")
        raise typer.Exit(TEMPORARY_FAILURE) from None
    except HomeostatError:
        raise
    except Exception:  # noqa: BLE001  # printed with its traceback, and told apart by the exit status
        _complain(traceback.format_exc())
        raise typer.Exit(UNEXPECTED_ERROR) from None
    if as_json:
        print_json(result)
        return
    say(result["sentence"])
    say(f"bundle {result['digest']}")
    say(result["url"])


def _complain(text: str) -> None:
    sys.stderr.write(secret_redactor()(text) + "\n")
