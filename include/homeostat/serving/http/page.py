"""The gateway's own HTML page: a shell without data, and the overview that its script loads with a token."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from homeostat.config.errors import HomeostatError
from homeostat.core.rollout.phases import Phase
from homeostat.figures.html import render
from homeostat.serving.http import aggregate
from homeostat.serving.http.health_pages import fleet_health
from homeostat.serving.http.status import recent_events
from homeostat.serving.response_redaction import redact_json

if TYPE_CHECKING:
    from homeostat.serving.runtime import Runtime

REFRESH_SECONDS = 2
EVENTS = 8
#: Only the page's own script runs (by its nonce), and it talks to this gateway only.
_CSP = (
    "default-src 'none'; style-src 'self' 'unsafe-inline'; script-src 'nonce-{nonce}'; connect-src 'self'; "
    "img-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


def routes(runtime: Runtime) -> APIRouter:
    """Return the routes of the page; the overview needs the scope ``read``."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    def page() -> HTMLResponse:
        nonce = secrets.token_urlsafe(16)
        html = render(__package__, "page.html", nonce=nonce, refresh_seconds=REFRESH_SECONDS)
        headers = {"Content-Security-Policy": _CSP.format(nonce=nonce), "Cache-Control": "no-store"}
        return HTMLResponse(html, headers=headers)

    @router.get("/overview")
    def overview() -> HTMLResponse:
        models = [
            model | {"events": recent_events(runtime, model["name"], EVENTS)}
            for model in aggregate.models(runtime)
        ]
        shown = redact_json(
            {"models": models, "health": aggregate.health(runtime), "states": _states(runtime, models)},
            runtime.redact,
        )
        html = render(
            __package__,
            "overview.html",
            **shown,
            version=runtime.version,
            active_phases=[str(phase) for phase in Phase if phase.active],
            refresh_seconds=REFRESH_SECONDS,
        )
        return HTMLResponse(html, headers={"Cache-Control": "no-store"})

    return router


def _states(runtime: Runtime, statuses: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the health of each model; {} while the ledger is unavailable, which the page shows."""
    try:
        rows = {row["model"]: row for row in fleet_health(runtime, statuses)["models"]}
    except HomeostatError:
        return {}
    return {name: rows[name] for name in rows if name in runtime.states}  # the ledger may have more models
