"""The whole platform on one machine: MLflow, Airflow and the gateway, started and stopped together."""

from homeostat.dev_stack.airflow_api import AirflowApi
from homeostat.dev_stack.stack import Platform, ServiceProgress

__all__ = ["AirflowApi", "Platform", "ServiceProgress"]
