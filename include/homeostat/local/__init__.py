"""The whole platform on one machine: MLflow, Airflow and the gateway, started and stopped together."""

from homeostat.local.airflow_api import AirflowApi
from homeostat.local.stack import Platform, Step

__all__ = ["AirflowApi", "Platform", "Step"]
