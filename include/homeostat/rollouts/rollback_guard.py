"""A rollback that names its version takes back that one or none."""

from __future__ import annotations

from homeostat.config.errors import Refused
from homeostat.core.rollout import Traffic


def check_goes(traffic: Traffic, version: str) -> None:
    """Whether a rollback at this moment would take back ``version``; "" stands for whichever it is.

    A person sees a bad candidate and orders it back; had its health checks been a moment sooner, the same
    order would take the champion, which nobody complained about.

    Raises
    ------
    Refused
        Another version would go.
    """
    goes = traffic.active.candidate if traffic.active is not None else traffic.champion
    if not version or (goes is not None and goes.version == version):
        return
    last = traffic.rollout
    what = "there is no champion" if goes is None else f"version {goes.version} would be taken back"
    if last is not None and last.candidate.version == version and traffic.active is None:
        what = f"it is {str(last.phase).replace('_', ' ')} already ({last.reason}), and {what}"
    msg = f"{traffic.model}: not version {version}: {what}; nothing was done"
    raise Refused(msg)
