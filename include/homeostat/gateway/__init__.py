"""HTTP, routing, loading, batching and the prediction log of the serving side."""

from homeostat.gateway.app import create_app
from homeostat.gateway.options import Options
from homeostat.gateway.serve import run

__all__ = ["Options", "create_app", "run"]
