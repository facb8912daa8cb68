"""Homeostat in Airflow: the DAGs of all models, one operator per step, the connection and the notices.

Public: :func:`homeostat_dags`, :mod:`homeostat_airflow.operators`,
:class:`~homeostat_airflow.hook.HomeostatHook` and
:class:`~homeostat_airflow.notifications.HomeostatNotifier`. Everything else is private and may change.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from homeostat_airflow.model_dags import homeostat_dags

__all__ = ["homeostat_dags"]


def __getattr__(name: str) -> Any:
    """Import on first use: Airflow reads the provider's description without its operators."""
    if name == "homeostat_dags":
        from homeostat_airflow.model_dags import homeostat_dags

        return homeostat_dags
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
