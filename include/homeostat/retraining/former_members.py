"""Load what the former version left: its members, and their record."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from homeostat.config import ModelConfig
from homeostat.config.errors import HomeostatError, Unavailable
from homeostat.core.rollout import VersionRef
from homeostat.ports import Ports
from homeostat.retraining.member_record import MemberRecord
from homeostat.retraining.recipes import FormerMembers
from homeostat.storage.bundles import load_version
from homeostat.storage.champion_history import champions
from homeostat.storage.members import load_members
from homeostat.storage.version_info import load_version_info


def load_former(config: ModelConfig, ports: Ports) -> FormerMembers | None:
    """Return the members of the newest champion that was fitted; None where it left none.

    Where an older champion was reinstated, its members are the chosen ones, and the record is that of the
    newest: the rows that it has not learnt from are the fewest.
    """
    if config.training.window.kind != "auto":
        return None
    served = champions(ports.ledger, config.name)
    if not served:
        return None
    newest = max(served, key=lambda ref: _trained_until(config, ports, ref))
    members = load_members(ports.store, config.name, newest.digest)
    if not members:
        return None
    now = load_members(ports.store, config.name, served[-1].digest)
    try:
        predictor = load_version(ports, config, members["version"]).predictor
    except Unavailable:
        raise
    except HomeostatError:
        return None  # its bundle does not fit today's schema: its record is of other features
    return FormerMembers(
        MemberRecord.from_json(members["record"]),
        predictor,
        datetime.fromisoformat(_trained_until(config, ports, newest)),
        tuple(now.get("chosen", members["chosen"])),
    )


def _trained_until(config: ModelConfig, ports: Ports, ref: VersionRef) -> str:
    info: dict[str, Any] = load_version_info(ports.store, config.name, ref.digest)
    return str(info.get("trained_until") or "")
