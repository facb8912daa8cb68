"""Checks of a deployment, on this machine and in AWS; each finding says what to do.

Nothing is changed, except that one test object is written to the store and deleted again.
"""

from homeostat.doctor.catalog import build_probes
from homeostat.doctor.check import Check, Finding, Probe, overall_state
from homeostat.doctor.deployment import Deployment
from homeostat.doctor.runner import run_probes

__all__ = ["Check", "Deployment", "Finding", "Probe", "build_probes", "overall_state", "run_probes"]
