"""Fit a pipeline, write its bundle, load it again by digest, and score it on a holdout."""

from homeostat.training.bundle import Bundle, load_bundle, tree_digest, write_bundle
from homeostat.training.environment import environment, parity, parity_required
from homeostat.training.evaluate import Evaluation, evaluate, make_reference, p99_latency
from homeostat.training.fit import fit
from homeostat.training.pipeline import load_pipeline
from homeostat.training.predictor import Answers, Predictor
from homeostat.training.trusted import TRUSTED_TYPES
from homeostat.training.version import Fitted, fit_version

__all__ = [
    "TRUSTED_TYPES",
    "Answers",
    "Bundle",
    "Evaluation",
    "Fitted",
    "Predictor",
    "environment",
    "evaluate",
    "fit",
    "fit_version",
    "load_bundle",
    "load_pipeline",
    "make_reference",
    "p99_latency",
    "parity",
    "parity_required",
    "tree_digest",
    "write_bundle",
]
