"""A version's files: write them, load them again by digest, predict with them."""

from homeostat.bundle.environment import blocking_differences, environment, environment_differences
from homeostat.bundle.files import Bundle, load_bundle, tree_digest, write_bundle
from homeostat.bundle.pipeline import load_pipeline
from homeostat.bundle.predictor import Predictions, Predictor
from homeostat.bundle.trusted_types import TRUSTED_TYPES

__all__ = [
    "TRUSTED_TYPES",
    "Bundle",
    "Predictions",
    "Predictor",
    "blocking_differences",
    "environment",
    "environment_differences",
    "load_bundle",
    "load_pipeline",
    "tree_digest",
    "write_bundle",
]
