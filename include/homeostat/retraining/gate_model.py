"""The gate of a model that another pipeline logged in MLflow, in one call."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from homeostat.config import ModelConfig
from homeostat.ports import Ports
from homeostat.retraining.assemble import assemble
from homeostat.retraining.gate import gate
from homeostat.retraining.register import register
from homeostat.retraining.train import train
from homeostat.retraining.validate_on_holdout import validate
from homeostat.storage.retrain_request import RetrainRequest, load_request
from homeostat.storage.step_results import load_result

#: How long one gate keeps other retrains of the model waiting, at most.
LEASE = timedelta(hours=6)


def gate_model(config: ModelConfig, request: RetrainRequest, ports: Ports) -> dict[str, Any]:
    """Evaluate an imported model against the champion, and register it as a version when it passes.

    The steps are those of a retrain, each done once per run key. The retrain lease is released in the end.

    Returns
    -------
    Plain JSON: ``verdict`` (``passed`` or ``refused``), ``reasons`` (of each check that did not pass),
    ``checks``, ``metrics`` of ``candidate`` and ``champion`` on the holdout, ``holdout`` (its rows),
    ``model_uri`` (without an alias), ``version`` ("" when refused), ``champion_version``, ``sentence`` and
    ``url``.

    Raises
    ------
    Superseded
        Another retrain of the model is running.
    Refused
        Untrusted or SignatureMismatch: the model cannot be evaluated, see its message.
    """
    key = request.run_key
    assembled = assemble(config, request, ports, lease=LEASE)
    config = request.apply_to(config)
    for step in (train, validate):
        step(config, key, ports)
    found = gate(config, key, ports)
    registered = register(config, key, ports) if found["proceeds"] else {}
    ports.ledger.release_lease(config.name, key)
    scores = load_result(ports.store, config.name, key, "validate")
    imported = load_request(ports.store, config.name, key).imported
    metrics = {name: (scores[name] or {}).get("metrics") for name in ("candidate", "champion")}
    said = [found["sentence"], registered.get("sentence", "")]
    return {
        "verdict": "passed" if found["passed"] else "refused",
        "reasons": [
            f"{each['name']}: {each['reason']}" for each in found["checks"] if each["verdict"] != "pass"
        ],
        "checks": found["checks"],
        "metrics": metrics,
        "holdout": assembled["holdout"],
        "model_uri": imported.uri if imported else "",
        "version": registered.get("version", ""),
        "champion_version": scores["champion_version"],
        "sentence": "; ".join(each for each in said if each),
        "url": registered.get("url") or found["url"],
    }
