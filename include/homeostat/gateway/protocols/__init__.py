"""The protocols that existing clients speak: MLflow's csv and deployments, Open Inference v2, SageMaker.

MLflow's JSON forms, which most requests use, are in :mod:`homeostat.gateway.answers.rows`.
"""

from homeostat.gateway.protocols.content import json_only, rows_parser
from homeostat.gateway.protocols.csv_rows import parse_csv
from homeostat.gateway.protocols.openinference import InferRequest, encode_infer, parse_infer
from homeostat.gateway.protocols.paths import PREFIX, target, version_in

__all__ = [
    "PREFIX",
    "InferRequest",
    "encode_infer",
    "json_only",
    "parse_csv",
    "parse_infer",
    "rows_parser",
    "target",
    "version_in",
]
