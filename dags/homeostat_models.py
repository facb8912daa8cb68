"""The DAGs of every model in HOMEOSTAT_MODELS."""

from homeostat_airflow import homeostat_dags

globals().update(homeostat_dags())
