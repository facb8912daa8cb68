"""A client that sends rows as live traffic, with labels that follow, and counts honestly what came of it."""

from homeostat.replay.report import Answer, ReplayReport
from homeostat.replay.run import replay

__all__ = ["Answer", "ReplayReport", "replay"]
