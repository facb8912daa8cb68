"""The path under which release 0.1 stored deferred rollouts in Airflow's database.

Airflow imports a waiting trigger by its stored class path. A rollout that waits during an upgrade needs the
old path.
"""

from homeostat_airflow.rollout_trigger import RolloutTrigger

__all__ = ["RolloutTrigger"]
