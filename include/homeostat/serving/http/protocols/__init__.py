"""Protocols of existing clients: MLflow's CSV and deployments, Open Inference v2, SageMaker.

MLflow's JSON forms, which most requests use, are in :mod:`homeostat.serving.scoring_request`.
"""

from homeostat.serving.http.protocols.content_types import json_only, rows_parser
from homeostat.serving.http.protocols.csv_rows import parse_csv
from homeostat.serving.http.protocols.openinference import InferRequest, encode_infer, parse_infer
from homeostat.serving.http.protocols.routes import (
    Route,
    model_name,
    route_template,
    scoring_route,
    version_in,
)

__all__ = [
    "InferRequest",
    "Route",
    "encode_infer",
    "json_only",
    "model_name",
    "parse_csv",
    "parse_infer",
    "route_template",
    "rows_parser",
    "scoring_route",
    "version_in",
]
