"""The Model health page: every model on one screen, from the ledger and the last drift reports."""

from __future__ import annotations

import json
from typing import Any

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import FastAPI
from fastapi.responses import HTMLResponse

#: How many windows the strip of a model shows.
WINDOWS = 48

app = FastAPI(title="Homeostat", docs_url=None, redoc_url=None, openapi_url=None)


@app.get("/health", response_class=HTMLResponse)
def health(user: GetUserDep) -> str:  # noqa: ARG001  # requires a logged-in user
    """Show every model: champion, rollout, and the drift of the last windows."""
    from homeostat.adapters import open_ledger, open_store
    from homeostat.config import Settings
    from homeostat.core.rollout import PHASE_SENTENCES
    from homeostat.figures.html import render

    settings = Settings.from_env()
    ledger, store = open_ledger(settings.ledger), open_store(settings.store)
    models = [
        {"name": name, "traffic": ledger.read(name), "reports": _reports(store, name)}
        for name in settings.model_names()  # includes models whose model.yaml is invalid
    ]
    return render("homeostat_airflow", "health_page.html", models=models, sentences=PHASE_SENTENCES)


def _reports(store: Any, model: str) -> list[dict[str, Any]]:
    return [json.loads(store.get(key)) for key in store.list(f"reports/{model}/")[-WINDOWS:]]
