"""Why a version gave no valid prediction: for the log, and for the client."""

from __future__ import annotations

from homeostat.serving.inference.routing import RoutingTable
from homeostat.serving.inference.scoring import PredictFailed, ScoredRequest


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
    model = table.traffic.model
    if table.traffic.champion is None:
        return (
            f"Model '{model}' has no champion yet. Run the DAG retrain__{model}: the first version becomes "
            "champion."
        )
    return f"Version {table.traffic.champion.version} of model '{model}' is being loaded. Try again shortly."
