"""Send rows as live traffic, then their labels, and count the results."""

from homeostat.replay.report import ReplayReport, RowResult
from homeostat.replay.run import replay

__all__ = ["ReplayReport", "RowResult", "replay"]
