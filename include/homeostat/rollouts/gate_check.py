"""Check that a registered version passed its gate: only such a version may be promoted or reinstated."""

from __future__ import annotations

from homeostat.config.errors import Refused
from homeostat.ports import Version


def passed_gate(version: Version) -> bool:
    """Whether the gate let this version pass; a forced version did not pass."""
    return version.tags.get("homeostat.gate") == "passed"


def require_gate_decision(version: Version) -> None:
    """Raise Refused unless a gate let the version go on: it passed, or was forced and needs an approval."""
    if version.tags.get("homeostat.gate") != "forced":
        require_passed_gate(version)


def require_passed_gate(version: Version) -> None:
    """Raise Refused unless the version passed its gate."""
    if not passed_gate(version):
        msg = (
            f"Version {version.version} of {version.model} never passed its gate. Retrain, or retrain with"
            " force: a forced version goes through shadow and canary and needs approval."
        )
        raise Refused(msg)
