"""Make a rollback that names its version roll back that version or nothing."""

from __future__ import annotations

from homeostat.config.errors import Refused
from homeostat.core.rollout import Traffic


def require_rolls_back_version(traffic: Traffic, version: str) -> None:
    """Raise Refused unless a rollback now would roll back ``version``; "" accepts any version.

    A person sees a bad candidate and requests a rollback. If its health checks rolled it back a moment
    earlier, the same request would roll back the healthy champion.
    """
    target = traffic.active.candidate if traffic.active is not None else traffic.champion
    if not version or (target is not None and target.version == version):
        return
    last = traffic.rollout
    what = "there is no champion" if target is None else f"version {target.version} would be rolled back"
    if last is not None and last.candidate.version == version and traffic.active is None:
        what = f"it is already {str(last.phase).replace('_', ' ')} ({last.reason}), and {what}"
    msg = f"{traffic.model}: version {version} is not rolled back: {what}. Nothing was changed."
    raise Refused(msg)
