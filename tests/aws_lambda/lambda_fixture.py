"""A model that the detector checks, with both sides of it: Airflow's ports, and the detector's own world."""

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from homeostat.adapters import MemoryTriggers, detector_history, fake_ports
from homeostat.adapters.ledger_memory import MemoryLedger
from homeostat.adapters.store_memory import MemoryStore
from homeostat.aws.lambda_handler import check
from homeostat.aws.lambda_ports import World
from homeostat.config import ModelConfig, load_model
from homeostat.core.rollout import Traffic
from homeostat.ports import Event, Ports, Registry, Store
from homeostat.rollouts.advance import promote_by_hand, settle
from homeostat.storage.model_state import publish
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
class Trained:
    """Two champions of one model, one after the other: what lies in the store, and the ledger's events."""

    config: ModelConfig
    data: dict[str, bytes]
    events: list[Event]
    registry: Registry


@dataclass(frozen=True)
class Both:
    """The two sides."""

    config: ModelConfig
    airflow: Ports
    here: World

    def serve(self, start: int, end: int, **how: Any) -> None:
        """Rows of these hours from T0 on, answered and logged, with their labels."""
        more = {name: how.pop(name) for name in ("labels", "gateway", "extra") if name in how}
        serve(self.config, self.airflow, rows_between(T0 + start * HOUR, T0 + end * HOUR, **how), **more)

    def publish(self) -> None:
        publish(self.config, self.airflow)

    def check(self, hour: int) -> dict[str, Any]:
        return check(event(self.config.name, hour), self.here)

    def waiting(self) -> list[dict[str, Any]]:
        """What is on the queue."""
        return [json.loads(delivery.body) for delivery in self.here.triggers.receive()]


def event(model: str, hour: int) -> dict[str, str]:
    """What EventBridge Scheduler sends for the window that ends so many hours after T0."""
    return {"model": model, "window_end": f"{T0 + hour * HOUR:%Y-%m-%dT%H:%M:%SZ}"}


def train_two(folder: Any, *, task: str = "classification") -> Trained:
    """Write the model's folder and train it twice."""
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
    ports = fake_ports(start=T0, pictures=False)
    for name in ("run 1", "run 2"):
        request = RetrainRequest(run_key=run_key("toy", name), trigger_id=name)
        begun = retrain(config, ports, request, finalize=False)
        if begun["phase"] != "champion":
            promote_by_hand(config, ports, begun["version"], by="test", reason="test")
        settle(config, request.run_key, ports)
    data = {key: ports.store.get(key) for key in ports.store.list("")}
    return Trained(config, data, ports.ledger.events("toy"), ports.registry)


def both_sides(trained: Trained, store: Store | None = None, triggers: Any = None) -> Both:
    """A world of its own for one test: nothing served, nothing checked, nothing published."""
    store = store or MemoryStore()
    for key, data in trained.data.items():
        store.put(key, data, overwrite=True)
    ledger = MemoryLedger()
    for each in trained.events:
        state = Traffic.from_json(dict(each.traffic)).at(each.revision - 1)
        ledger.write(state, kind=each.kind, reason=each.reason, by=each.by, at=each.at)
    airflow = fake_ports(start=T0, pictures=False, store=store, ledger=ledger, registry=trained.registry)
    here = World("homeostat", store, detector_history(store), triggers or MemoryTriggers())
    return Both(trained.config, airflow, here)
