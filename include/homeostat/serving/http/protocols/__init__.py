"""Protocols of existing clients: MLflow's CSV and deployments, Open Inference v2, SageMaker.

MLflow's JSON forms, which most requests use, are in :mod:`homeostat.serving.scoring_request`.
"""

from homeostat.serving.http.protocols.content_types import json_only, rows_parser
from homeostat.serving.http.protocols.csv_rows import parse_csv
from homeostat.serving.http.protocols.openinference import InferRequest, encode_infer, parse_infer
from homeostat.serving.http.protocols.routes import BAD_NAME, scoring_route, version_in

__all__ = [
    "BAD_NAME",
    "InferRequest",
    "encode_infer",
    "json_only",
    "parse_csv",
    "parse_infer",
    "rows_parser",
    "scoring_route",
    "version_in",
]
