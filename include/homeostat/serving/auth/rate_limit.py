"""How often one client may ask: a token bucket each, for as many clients as are remembered."""

from __future__ import annotations

from collections import OrderedDict

#: Clients beyond these are forgotten, the one that was quiet for longest first; it starts with a full bucket.
REMEMBERED = 10_000


class Bucket:
    """A token bucket: ``burst`` calls at once, ``rate`` a second for ever.

    Turner's leaky bucket, read as a meter (IEEE Communications Magazine 24(10), 1986). Time is handed
    in, as seconds that never go back.
    """

    __slots__ = ("_at", "_burst", "_left", "_rate")

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = max(1.0, float(burst))
        self._left = self._burst
        self._at: float | None = None

    def take(self, now: float) -> float:
        """0 when one more call is within the rate; otherwise the seconds until it would be."""
        if self._at is not None:
            self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left >= 1.0:
            self._left -= 1.0
            return 0.0
        return (1.0 - self._left) / self._rate


class Rates:
    """A bucket per client, in bounded memory. For one thread."""

    def __init__(self, rate: float, burst: float, remembered: int = REMEMBERED) -> None:
        self._rate = rate
        self._burst = burst
        self._remembered = remembered
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def take(self, client: str, now: float) -> float:
        """As :meth:`Bucket.take`, for this client."""
        bucket = self._buckets.get(client)
        if bucket is None:
            bucket = self._buckets[client] = Bucket(self._rate, self._burst)
            if len(self._buckets) > self._remembered:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(client)
        return bucket.take(now)
