"""status, rollback and promote: show the traffic, and change it manually."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx

from homeostat.cli.console import BY, err, print_json, say
from homeostat.config import ModelConfig, Settings
from homeostat.config.errors import ConfigError, Refused, Unavailable

if TYPE_CHECKING:
    from homeostat.core.rollout import Traffic
    from homeostat.core.rollout.served import Served
    from homeostat.ports import Ledger

#: After this the command writes the ledger itself.
GATEWAY_TIMEOUT = httpx.Timeout(5.0, connect=2.0)
#: Clock skew allowed between this machine and the gateway.
_SKEW = timedelta(minutes=1)
#: How often and after how many seconds a gateway is asked again that has not read the last change yet.
_FOLLOW_TRIES, _FOLLOW_PAUSE = 6, 0.3


def show_status(
    settings: Settings, model: str | None, *, as_json: bool, rows_per_hour: float | None = None
) -> None:
    """Show what is served, the score, the last verdict, the rollout, and the last events of a single model.

    Needs the ledger only: what the store or the gateway at HOMEOSTAT_GATEWAY does not say is named as such.
    """
    from homeostat.adapters import open_ledger
    from homeostat.cli.commands.rollout_pace import find_pace, given_rate
    from homeostat.cli.commands.status_view import (
        ModelStatus,
        newest_checks,
        next_checks,
        print_status,
        undelivered_notices,
    )

    given = given_rate(rows_per_hour)
    ledger = open_ledger(settings.ledger)
    names = [settings.require_model(model)] if model else settings.model_names()
    found = {name: (ledger.read(name), ledger.events_between(name, None, 8)) for name in names}
    now = datetime.now(UTC)
    configs = {name: _readable_model(settings, name) for name in names}
    paces = {
        name: find_pace(configs[name], ledger, traffic, now, given) for name, (traffic, _) in found.items()
    }
    served = _what_is_served(settings, configs, {name: traffic for name, (traffic, _) in found.items()})
    checks, failed = newest_checks(settings, names), undelivered_notices(settings, names)
    fleet = ledger.fleet(now)  # one query for all models
    due = next_checks(fleet, names)
    retrains = {name: fleet[name].holder if name in fleet else None for name in names}
    if as_json:
        print_json(
            {
                name: {
                    **traffic.to_json(),
                    "served": served[name].to_json(),
                    "last_check": checks[name].to_json(),
                    "retrain": retrains[name],
                    "next_check": due[name].isoformat() if name in due else None,
                    "undelivered_notices": [each.sentence for each in failed[name]],
                    "pace": None if (pace := paces[name]) is None else pace.to_json(),
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
        say(f"No models in {settings.models} yet. Create one: homeostat new MODEL")
    for name, (traffic, events) in found.items():
        shown = events if len(found) == 1 else []
        status = ModelStatus(
            traffic,
            served[name],
            paces[name],
            checks[name],
            retrain=retrains[name],
            events=shown,
            next_check=due.get(name),
            undelivered=failed[name],
        )
        print_status(status, now)
    if len(found) > 1:
        say("The last events of one model: homeostat status MODEL", "dim")


def _readable_model(settings: Settings, name: str) -> ModelConfig | None:
    """Return a model's configuration; None for an invalid one, which must not hide its traffic."""
    try:
        return settings.load_model(name)
    except ConfigError:
        return None


def _what_is_served(
    settings: Settings, configs: Mapping[str, ModelConfig | None], traffics: Mapping[str, Traffic]
) -> dict[str, Served]:
    """Return what is served of each model. A gateway that has not read the last change yet gets a moment."""
    from homeostat.adapters.gateway_client import read_gateway
    from homeostat.core.rollout.served import GatewayView, describe_served

    batch = {name for name, config in configs.items() if config is not None and config.serve == "none"}
    asked = traffics.keys() - batch
    views = read_gateway(settings) if asked else None

    def behind(name: str) -> bool:
        view = views.of(name) if views is not None else ""
        return isinstance(view, GatewayView) and view.revision < traffics[name].revision

    for _ in range(_FOLLOW_TRIES):
        if not any(behind(name) for name in asked):
            break
        time.sleep(_FOLLOW_PAUSE)
        views = read_gateway(settings)
    not_served = "no gateway serves it (serve: none)"
    return {
        name: describe_served(traffic, not_served if name in batch or views is None else views.of(name))
        for name, traffic in traffics.items()
    }


def _control(settings: Settings, model: str, verb: str, body: Mapping[str, Any]) -> dict[str, Any] | None:
    """Send the order to the gateway; None when it cannot carry it out and the caller must write the ledger.

    None when nothing responds, when another server responds, when the gateway does not serve this model
    (``serve: none``) or cannot reach the ledger. A refusal is final.

    Raises
    ------
    Refused
        The gateway refused; its message is included.
    httpx.HTTPError
        The order was sent without a response: it may have been carried out.
    """
    headers = {"Authorization": f"Bearer {settings.control_token}"}
    url = f"{settings.gateway}/control/models/{model}/{verb}"
    try:
        response = httpx.post(url, json=dict(body), headers=headers, timeout=GATEWAY_TIMEOUT, trust_env=False)
        found = response.json()
    except (
        httpx.ConnectError,
        httpx.ConnectTimeout,
        httpx.UnsupportedProtocol,
        httpx.InvalidURL,
        ValueError,
    ):
        return None
    if not isinstance(found, dict) or response.status_code == 404 or response.status_code >= 500:
        return None
    if response.is_success:
        return found
    sentence = found.get("message") or found.get("detail") or found
    if response.status_code in (401, 403):
        sentence = f"{sentence} Set HOMEOSTAT_CONTROL_TOKEN to the gateway's value."
    msg = f"the gateway at {settings.gateway} refused ({response.status_code}): {sentence}"
    raise Refused(msg)


def rollback_now(settings: Settings, model: str, reason: str, version: str = "", *, as_json: bool) -> None:
    """Roll back through the gateway, or else by writing the ledger, which every gateway follows."""
    model = settings.require_model(model)  # not more: an invalid model.yaml must not block a rollback
    begun = datetime.now(UTC)
    unsure = False
    try:
        order = {"reason": reason, "version": version} if version else {"reason": reason}
        done = _control(settings, model, "rollback", order) if settings.control_token else None
    except httpx.HTTPError:
        done, unsure = None, True
    if done is None:
        from homeostat.adapters import open_ledger
        from homeostat.rollouts.manual import manual_rollback
        from homeostat.rollouts.rollback_guard import require_rolls_back_version

        ledger = open_ledger(settings.ledger)
        if not (unsure and _done_since(ledger, model, begun, reason)):
            require_rolls_back_version(ledger.read(model), version)
            manual_rollback(model, ledger, reason=reason, by=BY, at=datetime.now(UTC))
    show_status(settings, model, as_json=as_json)


def _done_since(ledger: Ledger, model: str, begun: datetime, reason: str) -> bool:
    """Return whether a gateway rolled back without responding: a second rollback would take the champion."""
    soonest = begun - _SKEW
    return any(
        e.kind == "rolled_back" and e.at >= soonest and e.reason == reason for e in ledger.events(model)
    )


def promote_now(
    settings: Settings, model: str, version: str | None, reason: str, *, by: str = "", as_json: bool
) -> None:
    """Approve the waiting candidate, or promote a version that passed its gate.

    Where model.yaml names approvers, ``by`` must be one of them. It is recorded, not proved: whoever can
    write the ledger can promote.
    """
    from homeostat.adapters import build_ports
    from homeostat.adapters.notifier import LogNotifier
    from homeostat.rollouts.alias_sync import sync_aliases
    from homeostat.rollouts.approval import require_approver
    from homeostat.rollouts.manual import manual_approve, manual_promote

    config = settings.load_model(model)
    if config.approvers and not by:
        names = ", ".join(config.approvers)
        msg = f"{model}: say who approves: --by NAME, one of {names} (approvers in model.yaml)"
        raise Refused(msg)
    require_approver(config, by)
    ports, who = build_ports(settings, notifier=LogNotifier(logging.INFO)), f"{by}, {BY}" if by else BY
    if version is None:
        manual_approve(config, ports, by=who)
    else:
        manual_promote(config, ports, version, by=who, reason=reason)
    try:
        sync_aliases(config, ports)
    except Unavailable as error:  # the ledger is written, so the promotion is done
        err.print(f"done; MLflow's aliases follow at the next drift check: {error}", soft_wrap=True)
    show_status(settings, model, as_json=as_json)
