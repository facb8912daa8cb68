"""Which variant answers a request: sticky, the same in every process and on every gateway."""

from __future__ import annotations

from typing import Literal

from xxhash import xxh3_64_intdigest

from homeostat.core.rollout.phases import Traffic

Variant = Literal["candidate", "control", "champion"]

_SPAN = 2.0**64


def position(key: str, salt: str) -> float:
    """Where a key lies in [0, 1), evenly spread; another salt shuffles all keys anew.

    Salting with the rollout's id keeps the same few clients from being everybody's first canaries. The
    hash is stable (XXH3, 64 bits), unlike Python's own ``hash``, which differs between processes.
    """
    # The unit separator keeps ("a", "bc") apart from ("ab", "c").
    return xxh3_64_intdigest(f"{salt}\x1f{key}".encode("utf-8", "surrogatepass")) / _SPAN


def choose(key: str, salt: str, share: float) -> Variant:
    """The variant that answers this key while the candidate holds ``share`` of the traffic.

    Candidate for positions below the share, control for those just above it (as many, or all that are left
    above a half), champion for the rest. Raising the share keeps every key that the candidate already
    answers. Control and champion are the same version; control is the concurrent cohort that the canary is
    held against. At a share of 1 there is none.
    """
    if share <= 0.0:
        return "champion"
    at = position(key, salt)
    if at < share:
        return "candidate"
    return "control" if at < 2.0 * share else "champion"


def weights(traffic: Traffic) -> dict[Variant, float]:
    """The share of each variant; they add to 1. A rollout that is not in its canary has none."""
    share = traffic.active.share if traffic.active else 0.0
    control = min(share, 1.0 - share)
    return {"candidate": share, "control": control, "champion": max(0.0, 1.0 - share - control)}
