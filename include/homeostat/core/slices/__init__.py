"""Slices of the rows, each watched by itself: drift of its inputs, and decay of its predictions."""

from homeostat.core.slices.decay import SIGNIFICANCE, SliceBaseline, SliceScore, assess_slices
from homeostat.core.slices.drift import SliceDrift, compare_slices
from homeostat.core.slices.losses import LossSums, add_steps
from homeostat.core.slices.report import SliceResult, SlicesReport

__all__ = [
    "SIGNIFICANCE",
    "LossSums",
    "SliceBaseline",
    "SliceDrift",
    "SliceResult",
    "SliceScore",
    "SlicesReport",
    "add_steps",
    "assess_slices",
    "compare_slices",
]
