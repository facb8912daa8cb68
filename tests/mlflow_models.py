"""Models as another team's pipeline logs them with MLflow's own code, and what each predicts."""

import tempfile
import warnings
from pathlib import Path

import numpy as np
import pandas as pd


def fitted(flavor, frame, label):
    """Return a fitted model and its probabilities of the rows, by the library's own code.

    Boosters get category columns as their libraries want them.
    """
    text = frame.astype({"kind": "category"}) if "kind" in frame else frame
    names = [name for name in ("kind",) if name in frame]
    return _FIT[flavor](frame, text, names, label)


def _sklearn(frame, _text, _names, label):
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression().fit(frame, label)
    return model, model.predict_proba(frame)


def _pipeline(frame, _text, names, label):
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    encoded = make_column_transformer((OneHotEncoder(sparse_output=False), names), remainder="passthrough")
    model = make_pipeline(encoded, HistGradientBoostingClassifier(max_iter=20)).fit(frame, label)
    return model, model.predict_proba(frame)


def _lightgbm(_frame, text, _names, label):
    from lightgbm import LGBMClassifier

    model = LGBMClassifier(n_estimators=20, verbose=-1).fit(text, label)
    return model, model.predict_proba(text)


def _lightgbm_booster(_frame, text, _names, label):
    import lightgbm

    model = lightgbm.train({"objective": "binary", "verbose": -1}, lightgbm.Dataset(text, label), 20)
    return model, _both(model.predict(text))


def _xgboost(_frame, text, _names, label):
    from xgboost import XGBClassifier

    model = XGBClassifier(n_estimators=20, enable_categorical=True).fit(text, label)
    return model, model.predict_proba(text)


def _xgboost_booster(_frame, text, _names, label):
    import xgboost

    rows = xgboost.DMatrix(text, label, enable_categorical=True)
    model = xgboost.train({"objective": "binary:logistic"}, rows, 20)
    return model, _both(model.predict(rows))


def _catboost(frame, _text, names, label):
    from catboost import CatBoostClassifier

    model = CatBoostClassifier(iterations=20, verbose=False, allow_writing_files=False, cat_features=names)
    model.fit(frame, label)
    return model, model.predict_proba(frame)


def _both(positive):
    return np.column_stack([1 - positive, positive])


_FIT = {
    "sklearn": _sklearn,
    "pipeline": _pipeline,
    "lightgbm": _lightgbm,
    "lightgbm_booster": _lightgbm_booster,
    "xgboost": _xgboost,
    "xgboost_json": _xgboost,
    "xgboost_booster": _xgboost_booster,
    "catboost": _catboost,
}
#: The flavours that are accepted.
ACCEPTED = tuple(_FIT)


def save(flavor, model, folder, **how):
    """Write the model's files into a new folder, as MLflow does."""
    with warnings.catch_warnings():  # MLflow's, while it is imported
        warnings.simplefilter("ignore")
        import mlflow

        library = {"pipeline": "sklearn"}.get(flavor, flavor.partition("_")[0])
        if flavor == "pipeline":
            from homeostat.bundle import TRUSTED_TYPES

            how = {"skops_trusted_types": list(TRUSTED_TYPES), **how}
        if flavor == "xgboost_json":
            how = {"model_format": "json", **how}
        extra = {"pip_requirements": ["mlflow"], **how}  # or MLflow starts a process to find them
        getattr(__import__(f"mlflow.{library}"), library).save_model(model, str(folder), **extra)
    del mlflow
    return folder


def register(url, name, flavor, model, *, alias=None, tags=None, training_rows=None, **how):
    """Log and register the model at an MLflow server as a plain pipeline does; return its version number."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow
        from mlflow.tracking.client import MlflowClient

        client = MlflowClient(tracking_uri=url, registry_uri=url)
        found = client.get_experiment_by_name("another_team")
        experiment = found.experiment_id if found else client.create_experiment("another_team")
        run = client.create_run(experiment)
        if training_rows is not None:
            _log_training_rows(client, run.info.run_id, training_rows)
        logged = client.create_logged_model(experiment, name="theirs", source_run_id=run.info.run_id)
        with tempfile.TemporaryDirectory() as scratch:
            folder = save(flavor, model, Path(scratch) / "model", **how)
            client.log_model_artifacts(logged.model_id, str(folder))
        client.finalize_logged_model(logged.model_id, "READY")
        if not client.search_registered_models(f"name = '{name}'"):
            client.create_registered_model(name)
        version = client.create_model_version(
            name,
            f"models:/{logged.model_id}",
            run.info.run_id,
            tags=tags,
            model_id=logged.model_id,
            await_creation_for=0,
        ).version
        if alias:
            client.set_registered_model_alias(name, alias, version)
        client.set_terminated(run.info.run_id)
    del mlflow
    return str(version)


def _log_training_rows(client, run_id, rows):
    import mlflow
    from mlflow.entities import DatasetInput, InputTag

    as_frame = mlflow.data.from_pandas(pd.DataFrame({"a": np.zeros(rows)}))
    as_array = mlflow.data.from_numpy(np.zeros((rows // 2, 3)))
    for data, context in ((as_frame, "training"), (as_array, "train"), (as_frame, "eval")):
        tag = InputTag("mlflow.data.context", context)
        client.log_inputs(run_id, [DatasetInput(data._to_mlflow_entity(), [tag])])
