"""Looks at a deployment, here or in AWS, and says of each part whether it does what it is there for.

Nothing is changed, but for one object that is put into the store and removed again.
"""

from homeostat.doctor.catalog import plan
from homeostat.doctor.check import Check, Finding, Probe, verdict
from homeostat.doctor.deployment import Deployment
from homeostat.doctor.runner import run

__all__ = ["Check", "Deployment", "Finding", "Probe", "plan", "run", "verdict"]
