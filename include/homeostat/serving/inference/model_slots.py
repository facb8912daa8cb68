"""Decide which models may be in memory when their number is limited: those that were used last.

Pure: it knows models by name only, no clock and no thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Changes(NamedTuple):
    """Models to unload, the least recently used first, and models that may be loaded now."""

    unload: tuple[str, ...]
    load: tuple[str, ...]


@dataclass(slots=True)
class _Slot:
    """A model that may be in memory. ``counted`` is False while it holds none: its load fails, or stalls."""

    requests: int = 0
    pinned: bool = False
    counted: bool = True


class ModelSlots:
    """The models that may be in memory, in the order of their last request.

    A model in a rollout is *pinned*, one with requests in flight is *busy*: neither is unloaded. Models that
    wait for a slot get one in the order of their first request. At most ``limit`` models are in memory; when
    pinned ones fill the limit, one more, so that the others are served in turn. Only a model that becomes
    pinned, or whose stalled load ends, while all others are busy exceeds that, until one of them is idle.

    Parameters
    ----------
    limit
        Models, at least 1.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._slots: dict[str, _Slot] = {}  # the least recently used first
        self._waiting: dict[str, int] = {}  # models without a slot: requests that wait

    def __contains__(self, model: str) -> bool:
        """Whether the model may be in memory."""
        return model in self._slots

    @property
    def tight(self) -> bool:
        """Whether a model waits for a slot, or more are in memory than allowed."""
        return bool(self._waiting) or self.counted > self.allowed

    @property
    def counted(self) -> int:
        """How many models are in memory, or about to be."""
        return sum(slot.counted for slot in self._slots.values())

    @property
    def allowed(self) -> int:
        """How many models may be in memory."""
        return max(self._limit, 1 + sum(slot.pinned for slot in self._slots.values()))

    def use(self, model: str) -> bool:
        """Begin a request; return whether the model has a slot."""
        slot = self._slots.pop(model, None)
        if slot is None:
            self._waiting[model] = self._waiting.get(model, 0) + 1
            return False
        slot.requests += 1
        self._slots[model] = slot
        return True

    def release(self, model: str) -> bool:
        """End a request; return whether it was the model's last one."""
        slot = self._slots.get(model)
        if slot is not None:
            slot.requests -= 1
            return not slot.requests
        self._waiting[model] -= 1
        if not self._waiting[model]:
            del self._waiting[model]
        return False

    def pin(self, model: str, *, pinned: bool) -> bool:
        """Say whether the model is in a rollout, which gives it a slot; return whether that changed.

        The begin and the end of a rollout count as a use of the model.
        """
        slot = self._slots.get(model)
        if slot is None and pinned:
            slot = self._slots[model] = _Slot(self._waiting.pop(model, 0))
        if slot is None or slot.pinned == pinned:
            return False
        slot.pinned = pinned
        self._slots[model] = self._slots.pop(model)  # its champion has just served, or been reinstated
        return True

    def count(self, model: str, *, counted: bool) -> bool:
        """Say whether the model holds memory; return whether that changed."""
        slot = self._slots.get(model)
        if slot is None or slot.counted == counted:
            return False
        slot.counted = counted
        return True

    def rebalance(self) -> Changes:
        """Take slots from idle models, and give them to those that wait."""
        unload, load = [], []
        while self.counted > self.allowed and (idle := self._idle()):
            unload.append(idle)
            del self._slots[idle]
        while self._waiting:
            if self.counted >= self.allowed:
                idle = self._idle()
                if not idle:
                    break
                unload.append(idle)
                del self._slots[idle]
            model = next(iter(self._waiting))
            self._slots[model] = _Slot(self._waiting.pop(model))
            load.append(model)
        return Changes(tuple(unload), tuple(load))

    def _idle(self) -> str:
        """Return the least recently used model that can be unloaded; "" for none."""
        found = (
            name
            for name, slot in self._slots.items()
            if slot.counted and not slot.pinned and not slot.requests
        )
        return next(found, "")
