"""Load what the former version left: its members, and their record."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from homeostat.config import ModelConfig
from homeostat.config.errors import HomeostatError, Unavailable
from homeostat.ports import Ports
from homeostat.retraining.member_record import MemberRecord
from homeostat.retraining.recipes import FormerMembers
from homeostat.storage.bundles import load_version
from homeostat.storage.members import load_members
from homeostat.storage.version_info import load_version_info


def load_former(config: ModelConfig, ports: Ports, former: Mapping[str, str]) -> FormerMembers | None:
    """Load the members of the newest champion that was fitted; None where it left none.

    Parameters
    ----------
    former
        What :func:`homeostat.storage.members.find_former` returned.
    """
    if not former:
        return None
    members = load_members(ports.store, config.name, former["newest"])
    until = load_version_info(ports.store, config.name, former["newest"]).get("trained_until")
    if not members or not until:
        return None
    try:
        predictor = load_version(ports, config, members["version"]).predictor
    except Unavailable:
        raise
    except HomeostatError:
        return None  # its bundle does not fit today's schema: its record is of other features
    now = load_members(ports.store, config.name, former["champion"])
    return FormerMembers(
        MemberRecord.from_json(members["record"]),
        predictor,
        datetime.fromisoformat(until),
        tuple(now.get("chosen", members["chosen"])),
    )
