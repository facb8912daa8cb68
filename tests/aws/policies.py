"""Evaluate policies, as far as ours need: wildcards in actions and resources; conditions are ignored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any


def allows(policy: Mapping[str, Any], action: str, resource: str) -> bool:
    """Whether the policy allows the action on the resource; our policies have no Deny."""
    return any(
        each["Effect"] == "Allow"
        and _matches(each["Action"], action)
        and _matches(each["Resource"], resource)
        for each in policy["Statement"]
    )


def statements(policy: Mapping[str, Any]) -> Iterable[tuple[str, list[str], list[str]]]:
    """Yield sid, actions and resources of every statement."""
    for each in policy["Statement"]:
        yield each.get("Sid", ""), _listed(each["Action"]), _listed(each["Resource"])


def statements_of(policy: Mapping[str, Any], action: str) -> list[Mapping[str, Any]]:
    """Return the statements for an action."""
    return [each for each in policy["Statement"] if _matches(each["Action"], action)]


def _matches(patterns: str | list[str], text: str) -> bool:
    return any(fnmatchcase(text, pattern) for pattern in _listed(patterns))


def _listed(found: str | list[str]) -> list[str]:
    return [found] if isinstance(found, str) else found
