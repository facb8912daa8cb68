"""Rate limits: one token bucket per client, in bounded memory."""

from __future__ import annotations

from collections import OrderedDict

#: Buckets that are kept; beyond them the client that was quiet for longest is forgotten.
MAX_CLIENTS = 10_000


class TokenBucket:
    """A token bucket: ``burst`` calls at once, then ``rate`` calls a second.

    The leaky bucket as a meter (Turner, IEEE Communications Magazine 24(10), 1986). The caller passes the
    time, in seconds of a monotonic clock.
    """

    __slots__ = ("_at", "_burst", "_left", "_rate")

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = max(1.0, float(burst))
        self._left = self._burst
        self._at: float | None = None

    def take(self, now: float) -> float:
        """Take one call and return 0; without one left, return the seconds until there is one."""
        if self._at is not None:
            self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left >= 1.0:
            self._left -= 1.0
            return 0.0
        return (1.0 - self._left) / self._rate


class RateLimit:
    """One :class:`TokenBucket` per client, for at most :data:`MAX_CLIENTS` clients. Not thread-safe."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def take(self, client: str, now: float) -> float:
        """Do as :meth:`TokenBucket.take` for this client."""
        bucket = self._buckets.get(client)
        if bucket is None:
            bucket = self._buckets[client] = TokenBucket(self._rate, self._burst)
            if len(self._buckets) > MAX_CLIENTS:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(client)
        return bucket.take(now)
