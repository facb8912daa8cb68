"""Models that other pipelines logged in MLflow: read their files without running any of them.

Accepted are scikit-learn's flavour saved with skops, and those of XGBoost, LightGBM and CatBoost, whose own
formats are checked before the libraries read them. All else is refused: loading a pickle runs its code.
"""

from homeostat.bundle.mlflow_model.load import load_mlflow_model

__all__ = ["load_mlflow_model"]
