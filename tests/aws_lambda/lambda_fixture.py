"""A model that the Lambda function checks, with Airflow's ports and the function's resources."""

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from homeostat.adapters import MemoryTriggerQueue, fake_ports, open_store_history
from homeostat.adapters.ledger_memory import MemoryLedger
from homeostat.adapters.store_memory import MemoryStore
from homeostat.aws.lambda_handler import check_window
from homeostat.aws.lambda_ports import LambdaResources
from homeostat.config import ModelConfig, load_model
from homeostat.core.rollout import Traffic
from homeostat.ports import Event, Ports, Registry, Store
from homeostat.rollouts.lifecycle import finalize
from homeostat.rollouts.manual import manual_promote
from homeostat.storage.model_state import publish_state
from homeostat.storage.retrain_request import RetrainRequest, run_key
from sample_model import MODEL, PIPELINE, T0, retrain, rows_between, serve

HOUR = timedelta(hours=1)
REGRESSOR = """
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder


def build():
    encoded = ("c", OneHotEncoder(handle_unknown="ignore"), ["kind"])
    return make_pipeline(ColumnTransformer([encoded], remainder="passthrough"), LinearRegression())
"""


@dataclass(frozen=True)
class TrainedChampions:
    """Two successive champions of a model: the store's content and the ledger's events."""

    config: ModelConfig
    data: dict[str, bytes]
    events: list[Event]
    registry: Registry


@dataclass(frozen=True)
class LambdaDeployment:
    """Airflow and the Lambda function over one store."""

    config: ModelConfig
    airflow: Ports
    resources: LambdaResources

    def serve(self, start: int, end: int, **how: Any) -> None:
        """Log predictions and labels for rows of these hours after T0."""
        more = {name: how.pop(name) for name in ("labels", "gateway", "extra") if name in how}
        serve(self.config, self.airflow, rows_between(T0 + start * HOUR, T0 + end * HOUR, **how), **more)

    def publish_state(self) -> None:
        publish_state(self.config, self.airflow)

    def check(self, hour: int) -> dict[str, Any]:
        return check_window(event(self.config.name, hour), self.resources)

    def queued_messages(self) -> list[dict[str, Any]]:
        """Receive the messages on the queue."""
        return [json.loads(delivery.body) for delivery in self.resources.triggers.receive()]


def event(model: str, hour: int) -> dict[str, str]:
    """Return the event that EventBridge Scheduler sends for the window ending ``hour`` hours after T0."""
    return {"model": model, "window_end": f"{T0 + hour * HOUR:%Y-%m-%dT%H:%M:%SZ}"}


def train_two_champions(folder: Any, *, task: str = "classification") -> TrainedChampions:
    """Write the model's folder and train two champions."""
    text = MODEL.replace("monitor: {", "monitor: {runs_on: lambda, ")
    rows = rows_between(T0 - timedelta(days=5), T0)
    if task == "regression":
        text = text.replace("task: classification", "task: regression")
        rows["y"] = rows["a"] + rows["b"]
    folder.mkdir(parents=True)
    (folder / "model.yaml").write_text(text)
    (folder / "pipeline.py").write_text(PIPELINE if task == "classification" else REGRESSOR)
    rows.to_csv(folder / "rows.csv", index=False)
    config = load_model(folder)
    ports = fake_ports(start=T0, renders_figures=False)
    for name in ("run 1", "run 2"):
        request = RetrainRequest(run_key=run_key("sample", name), trigger_id=name)
        result = retrain(config, ports, request, to_the_end=False)
        if result["phase"] != "champion":
            manual_promote(config, ports, result["version"], by="test", reason="test")
        finalize(config, request.run_key, ports)
    data = {key: ports.store.get(key) for key in ports.store.list("")}
    return TrainedChampions(config, data, ports.ledger.events("sample"), ports.registry)


def make_deployment(
    trained: TrainedChampions, store: Store | None = None, triggers: Any = None
) -> LambdaDeployment:
    """Return a new deployment: no predictions, no checks, nothing published."""
    store = store or MemoryStore()
    for key, data in trained.data.items():
        store.put(key, data, overwrite=True)
    ledger = MemoryLedger()
    for each in trained.events:
        state = Traffic.from_json(dict(each.traffic)).at(each.revision - 1)
        ledger.write(state, kind=each.kind, reason=each.reason, by=each.by, at=each.at)
    airflow = fake_ports(
        start=T0, renders_figures=False, store=store, ledger=ledger, registry=trained.registry
    )
    resources = LambdaResources(
        "homeostat", store, open_store_history(store), triggers or MemoryTriggerQueue()
    )
    return LambdaDeployment(trained.config, airflow, resources)
