"""The public names of Python, as mkdocstrings is asked for them."""

from __future__ import annotations

import homeostat
from homeostat_airflow import operators


def library() -> str:
    """Return a directive for each name that ``import homeostat`` offers."""
    names = [name for name in homeostat.__all__ if name != "__version__"]
    return "\n\n".join(f"::: {getattr(homeostat, name).__module__}.{name}" for name in names) + "\n"


def airflow() -> str:
    """Return a directive for each public name of the Airflow provider."""
    found = [
        "homeostat_airflow.model_dags.homeostat_dags",
        "homeostat_airflow.notifications.HomeostatNotifier",
    ]
    found.append("homeostat_airflow.hook.HomeostatHook")
    for name in operators.__all__:
        each = getattr(operators, name)
        if hasattr(each, "__module__") and each.__module__.startswith("homeostat_airflow"):
            found.append(f"{each.__module__}.{name}")
    return "\n\n".join(f"::: {name}" for name in found) + "\n"
