"""Why a version gave no valid prediction: for the log, and for the client."""

from __future__ import annotations

from homeostat.core.rollout.phases import Phase
from homeostat.serving.inference.routing import RoutingTable
from homeostat.serving.inference.scoring import PredictFailed, ScoredRequest
from homeostat.serving.scoring_request import BadRequest


class NothingLoaded(BadRequest):
    """No version of the model is loaded."""


class PredictTimedOut(PredictFailed):
    """The version did not predict within its time limit."""


class VersionOverloaded(PredictFailed):
    """Too many rows wait for the version."""


def describe(result: ScoredRequest | PredictFailed) -> str:
    """Return what was wrong with a result, for the log's ``error`` column."""
    if isinstance(result, PredictFailed):
        return str(result)
    if result.nan:
        return f"{result.nan} predictions were not numbers"
    return f"{result.out_of_range} predictions out of range"


def client_error(failure: PredictFailed) -> tuple[str, int]:
    """Return the message and the HTTP status for the client."""
    if isinstance(failure, PredictTimedOut):
        return "The model did not predict in time. Try again, with fewer rows if there were many.", 504
    if isinstance(failure, VersionOverloaded):
        return "Too many requests wait for this model. Try again shortly.", 503
    return f"The model failed on these rows ({failure}). See the gateway's log.", 500


def why_not_loaded(table: RoutingTable) -> str:
    """Return why a model cannot predict yet."""
    model, rollout = table.traffic.model, table.traffic.rollout
    if table.traffic.champion is not None:
        version = table.traffic.champion.version
        return f"Version {version} of model '{model}' is being loaded. Try again shortly."
    if rollout is None or rollout.phase is Phase.SUPERSEDED:
        return f"Model '{model}' has no champion yet. Train its first version: homeostat retrain {model}."
    version = rollout.candidate.version
    if rollout.phase is Phase.REGISTERED:
        return f"Version {version} of model '{model}' is registered and being loaded. Try again shortly."
    if rollout.phase is Phase.WAITING:
        return f"Version {version} of model '{model}' waits for approval: homeostat promote {model}."
    return f"Model '{model}' has no champion: version {version} was refused. See homeostat status {model}."
