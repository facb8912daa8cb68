"""A version's files: write them, load them again by digest, predict with them."""

from homeostat.bundle.environment import environment, parity, parity_required
from homeostat.bundle.files import Bundle, load_bundle, tree_digest, write_bundle
from homeostat.bundle.pipeline import load_pipeline
from homeostat.bundle.predictor import Answers, Predictor
from homeostat.bundle.trusted_types import TRUSTED_TYPES

__all__ = [
    "TRUSTED_TYPES",
    "Answers",
    "Bundle",
    "Predictor",
    "environment",
    "load_bundle",
    "load_pipeline",
    "parity",
    "parity_required",
    "tree_digest",
    "write_bundle",
]
