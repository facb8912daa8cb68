"""The pages of model health: one shell of HTML, its scripts and styles, shared by Airflow and the gateway."""

from homeostat.figures.health.assets import ASSETS, CSP, asset, page

__all__ = ["ASSETS", "CSP", "asset", "page"]
