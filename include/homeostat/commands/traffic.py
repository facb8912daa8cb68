"""status, rollback and promote: what serves, and changing it by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
from rich.markup import escape
from rich.table import Table

from homeostat import flows
from homeostat.adapters import build_ports
from homeostat.commands.console import BY, err, out, print_json, say
from homeostat.config import Settings
from homeostat.config.errors import Refused, Unavailable
from homeostat.rollout import SENTENCES, Traffic


def show_status(settings: Settings, model: str | None, *, as_json: bool) -> None:
    """Traffic and the last events, out of the ledger alone: works with everything else down."""
    from homeostat.adapters import open_ledger

    ledger = open_ledger(settings.ledger)
    names = [settings.known(model)] if model else settings.model_names()
    found = {name: (ledger.read(name), ledger.events(name)[-8:]) for name in names}
    if as_json:
        print_json(
            {
                name: {
                    **traffic.to_json(),
                    "events": [
                        {"at": e.at.isoformat(), "kind": e.kind, "reason": e.reason, "by": e.by}
                        for e in events
                    ],
                }
                for name, (traffic, events) in found.items()
            }
        )
        return
    if not found:
        say(f"No models in {settings.models} yet. homeostat new MODEL writes one that works as it stands.")
    for name, (traffic, events) in found.items():
        _print_status(name, traffic, events)


def _print_status(name: str, traffic: Traffic, events: list[Any]) -> None:
    out.print(f"[bold]{name}[/]")
    if traffic.champion is None:
        out.print(
            f"  no champion yet: [bold]homeostat retrain {name}[/], or start retrain__{name} in Airflow"
        )
    else:
        before = f", before it version {traffic.previous.version}" if traffic.previous else ""
        out.print(f"  version {traffic.champion.version} is champion{before}")
    rollout = traffic.rollout
    if rollout is not None:
        share = f" ({rollout.share:.0%} of the traffic)" if rollout.share else ""
        out.print(
            f"  version {rollout.candidate.version}: {rollout.phase}{share}. {SENTENCES[rollout.phase]}"
        )
    table = Table(box=None, padding=(0, 2), header_style="dim")
    for column in ("when (UTC)", "what", "why", "by"):
        table.add_column(column)
    for event in events:
        table.add_row(f"{event.at:%Y-%m-%d %H:%M:%S}", event.kind, escape(event.reason), escape(event.by))
    if events:
        out.print(table)
    out.print()


def _control(settings: Settings, model: str, verb: str, body: Mapping[str, Any]) -> dict[str, Any] | None:
    """Ask the gateway; None when it cannot do it, and then the ledger is written here.

    That is so when nothing answers, when what answers is no gateway of ours, when the gateway does not
    serve this model (``serve: none``) and when it cannot reach the ledger itself. A refusal stands.
    """
    headers = {"Authorization": f"Bearer {settings.control_token}"}
    url = f"{settings.gateway}/control/models/{model}/{verb}"
    try:
        answer = httpx.post(url, json=dict(body), headers=headers, timeout=10, trust_env=False)
        found = answer.json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError):
        return None
    if not isinstance(found, dict) or answer.status_code == 404 or answer.status_code >= 500:
        return None
    if answer.is_success:
        return found
    sentence = found.get("message") or found.get("detail") or found
    if answer.status_code in (401, 403):
        sentence = f"{sentence} HOMEOSTAT_CONTROL_TOKEN here must be the gateway's own."
    msg = f"the gateway at {settings.gateway} refused ({answer.status_code}): {sentence}"
    raise Refused(msg)


def rollback_now(settings: Settings, model: str, reason: str, *, as_json: bool) -> None:
    """Through the gateway, or straight into the ledger that every gateway follows."""
    settings.known(model)  # and no more: a model.yaml that someone broke must not hold a rollback up
    if not settings.control_token or _control(settings, model, "rollback", {"reason": reason}) is None:
        from homeostat.adapters import open_ledger
        from homeostat.adapters.clock import SystemClock

        ledger = open_ledger(settings.ledger)
        flows.roll_back_in_ledger(model, ledger, reason=reason, by=BY, at=SystemClock().now())
    show_status(settings, model, as_json=as_json)


def promote_now(settings: Settings, model: str, version: str | None, reason: str, *, as_json: bool) -> None:
    """Approve the waiting candidate, or promote a version that passed its gate."""
    config = settings.load_model(model)
    ports = build_ports(settings)
    if version is None:
        flows.approve_by_hand(config, ports, by=BY)
    else:
        flows.promote_by_hand(config, ports, version, by=BY, reason=reason)
    try:
        flows.mirror(config, ports)
    except Unavailable as error:  # the ledger has it, so it is done
        err.print(f"done, but MLflow's aliases follow at the next check only: {error}", soft_wrap=True)
    show_status(settings, model, as_json=as_json)
