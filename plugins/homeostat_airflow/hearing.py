"""The path under which release 0.1 stored the queue's watcher in Airflow's database.

The triggerer imports it until the DAG processor has registered the watcher of this release.
"""

from homeostat_airflow.sqs_consumer import QueueTrigger

__all__ = ["QueueTrigger"]
