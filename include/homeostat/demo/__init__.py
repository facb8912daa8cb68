"""The demo: the whole loop (drift, retrain, rollout, rollback) on a machine that has nothing but Python."""

from homeostat.demo.run import run_demo

__all__ = ["run_demo"]
