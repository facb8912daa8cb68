"""Adds Homeostat's plugin to an Airflow that has this folder on its path, but not the package installed.

Airflow executes this file under its bare name. The code is in ``homeostat_airflow``, which
``.airflowignore`` keeps from being executed twice.
"""

from importlib.metadata import entry_points

# Airflow reports a plugin that it finds twice as an error.
if not entry_points(group="airflow.plugins", name="homeostat"):
    from homeostat_airflow.plugin import HomeostatPlugin

    __all__ = ["HomeostatPlugin"]
