"""What pyproject.toml cannot say: the demo models beside the packages become ``homeostat.examples``."""

from setuptools import find_namespace_packages, setup

setup(
    packages=[
        *find_namespace_packages("include", include=["homeostat*"]),
        *find_namespace_packages("plugins", include=["homeostat_airflow*"]),
        "homeostat.examples",
        *(f"homeostat.examples.{name}" for name in find_namespace_packages("include/models")),
    ]
)
