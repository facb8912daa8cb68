"""status, rollback and promote: what serves, and changing it by hand."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
from rich.markup import escape
from rich.table import Table

from homeostat.cli.console import BY, err, out, print_json, say
from homeostat.config import Settings
from homeostat.config.errors import Refused, Unavailable

if TYPE_CHECKING:
    from homeostat.core.rollout import Traffic
    from homeostat.ports import Ledger

#: A gateway that has not answered by then is passed over: the ledger is written here.
PATIENCE = httpx.Timeout(5.0, connect=2.0)
#: How far the gateway's clock may be behind ours.
_SKEW = timedelta(minutes=1)


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
    from homeostat.core.rollout import SENTENCES

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

    Raises
    ------
    Refused
        What the gateway says.
    httpx.HTTPError
        The order was sent and not answered: nobody knows whether it was carried out.
    """
    headers = {"Authorization": f"Bearer {settings.control_token}"}
    url = f"{settings.gateway}/control/models/{model}/{verb}"
    try:
        answer = httpx.post(url, json=dict(body), headers=headers, timeout=PATIENCE, trust_env=False)
        found = answer.json()
    except (
        httpx.ConnectError,
        httpx.ConnectTimeout,
        httpx.UnsupportedProtocol,
        httpx.InvalidURL,
        ValueError,
    ):
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


def rollback_now(settings: Settings, model: str, reason: str, version: str = "", *, as_json: bool) -> None:
    """Through the gateway, or straight into the ledger that every gateway follows."""
    settings.known(model)  # and no more: a model.yaml that someone broke must not hold a rollback up
    begun = datetime.now(UTC)
    unsure = False
    try:
        order = {"reason": reason, "version": version} if version else {"reason": reason}
        done = _control(settings, model, "rollback", order) if settings.control_token else None
    except httpx.HTTPError:
        done, unsure = None, True
    if done is None:
        from homeostat.adapters import open_ledger
        from homeostat.rollouts.advance import roll_back_in_ledger
        from homeostat.rollouts.rollback_guard import check_goes

        ledger = open_ledger(settings.ledger)
        if not (unsure and _done_since(ledger, model, begun, reason)):
            check_goes(ledger.read(model), version)
            roll_back_in_ledger(model, ledger, reason=reason, by=BY, at=datetime.now(UTC))
    show_status(settings, model, as_json=as_json)


def _done_since(ledger: Ledger, model: str, begun: datetime, reason: str) -> bool:
    """Whether a gateway did it without a word: rolled back once more, the champion would go as well."""
    soonest = begun - _SKEW
    return any(
        e.kind == "rolled_back" and e.at >= soonest and e.reason == reason for e in ledger.events(model)
    )


def promote_now(settings: Settings, model: str, version: str | None, reason: str, *, as_json: bool) -> None:
    """Approve the waiting candidate, or promote a version that passed its gate."""
    from homeostat.adapters import build_ports
    from homeostat.rollouts.advance import approve_by_hand, promote_by_hand
    from homeostat.rollouts.alias_sync import mirror

    config = settings.load_model(model)
    ports = build_ports(settings)
    if version is None:
        approve_by_hand(config, ports, by=BY)
    else:
        promote_by_hand(config, ports, version, by=BY, reason=reason)
    try:
        mirror(config, ports)
    except Unavailable as error:  # the ledger has it, so it is done
        err.print(f"done, but MLflow's aliases follow at the next check only: {error}", soft_wrap=True)
    show_status(settings, model, as_json=as_json)
