"""Choose the variant for a request: sticky, the same in every process and on every gateway."""

from __future__ import annotations

from typing import Literal

from xxhash import xxh3_64_intdigest

from homeostat.core.rollout.phases import Traffic

Variant = Literal["candidate", "control", "champion"]

_SPAN = 2.0**64


def position(key: str, salt: str) -> float:
    """Map a key to a position in [0, 1), uniformly; another salt reshuffles all keys.

    The salt is the rollout's id, so that each rollout's first canary cohort has other clients. The hash is
    stable (XXH3, 64 bits), unlike Python's own ``hash``, which differs between processes.
    """
    # The unit separator keeps ("a", "bc") apart from ("ab", "c").
    return xxh3_64_intdigest(f"{salt}\x1f{key}".encode("utf-8", "surrogatepass")) / _SPAN


def choose_variant(key: str, salt: str, share: float) -> Variant:
    """Return the variant that serves this key while the candidate has ``share`` of the traffic.

    Candidate for positions below the share; control for as many just above it (fewer when the share is above
    a half); champion for the rest. Raising the share keeps every key that the candidate already serves.
    Control and champion are the same version; control is the concurrent cohort that the canary is compared
    with. A share of 1 leaves no control.
    """
    if share <= 0.0:
        return "champion"
    at = position(key, salt)
    if at < share:
        return "candidate"
    return "control" if at < 2.0 * share else "champion"


def weights(traffic: Traffic) -> dict[Variant, float]:
    """Return the share of each variant; they add to 1. A candidate outside its canary has share 0."""
    share = traffic.active.share if traffic.active else 0.0
    control = min(share, 1.0 - share)
    return {"candidate": share, "control": control, "champion": max(0.0, 1.0 - share - control)}
