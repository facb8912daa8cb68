"""The page that a signed link opens: a person approves or declines a waiting version.

Opening it changes nothing, since mail scanners open every link; only the form's POST does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from starlette.concurrency import run_in_threadpool

from homeostat.config.errors import HomeostatError, NotFound, Refused
from homeostat.figures.html import render
from homeostat.rollouts.approval import decided_already, name_of, waits
from homeostat.serving.auth.guard import APPROVALS
from homeostat.serving.http.error_handlers import http_status

if TYPE_CHECKING:
    from homeostat.rollouts.approval_link import ApprovalClaims
    from homeostat.serving.runtime import Runtime

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none';"
        " form-action 'self'"
    ),
    "Referrer-Policy": "no-referrer",  # the address is the key
}
_DECISIONS = {"approve": "approved", "decline": "declined"}


def routes(runtime: Runtime) -> APIRouter:
    """Return the page and its form."""
    router = APIRouter(include_in_schema=False, prefix=APPROVALS.rstrip("/"))

    @router.get("/{token}")
    def ask(token: str) -> HTMLResponse:
        try:
            claims = _claims(runtime, token)
        except HomeostatError as error:
            return _page(runtime, 403, problem=str(error))
        traffic = runtime.ports.ledger.read(claims.model)
        if not waits(traffic, claims):
            return _page(runtime, 409, problem=decided_already(traffic, claims))
        rollout = traffic.active
        return _page(runtime, 200, claims=claims, reason=rollout.reason if rollout else "", traffic=traffic)

    @router.post("/{token}")
    async def act(token: str, request: Request) -> HTMLResponse:
        form = parse_qs((await request.body()).decode("utf-8", "replace"))
        return await run_in_threadpool(_act, runtime, token, (form.get("decision") or [""])[0])

    return router


def _act(runtime: Runtime, token: str, decision: str) -> HTMLResponse:
    try:
        claims = _claims(runtime, token)
    except HomeostatError as error:
        return _page(runtime, 403, problem=str(error))
    if decision not in _DECISIONS:
        return _page(runtime, 422, problem="Choose Approve or Decline on the page that the link opens.")
    entry = {
        "at": runtime.now(),
        "by": name_of(claims),
        "path": f"{APPROVALS}{claims.model}",
        "request": {"decision": decision, "version": claims.version},
    }
    try:
        done = runtime.decide_by_link(claims, "approve" if decision == "approve" else "decline")
    except HomeostatError as error:
        status = http_status(error)
        runtime.audit.write(entry | {"status": status, "message": str(error)})
        return _page(runtime, status, problem=str(error))
    runtime.audit.write(entry | {"status": 200, "message": done["reason"]})
    return _page(runtime, 200, done=f"Version {claims.version} of {claims.model} is {_DECISIONS[decision]}.")


def _claims(runtime: Runtime, token: str) -> ApprovalClaims:
    """Return what a link is for; Refused for a wrong one, NotFound for a model that is not served here."""
    if runtime.approval_links is None:
        msg = "Links to approve are off at this gateway: set HOMEOSTAT_APPROVAL_SECRET, as in Airflow."
        raise Refused(msg)
    claims = runtime.approval_links.read(token, runtime.now())
    try:
        runtime.state(claims.model)
    except NotFound:
        msg = f"This gateway does not serve {claims.model}. Run: homeostat promote {claims.model}"
        raise NotFound(msg) from None
    return claims


def _page(runtime: Runtime, status: int, **shown: Any) -> HTMLResponse:
    context = {"claims": None, "reason": "", "traffic": None, "done": "", "problem": ""} | shown
    context["problem"] = runtime.redact(context["problem"])
    html = render(__package__, "approval_page.html", **context)
    return HTMLResponse(html, status_code=status, headers=_HEADERS)
