"""Which models may be in memory when their number is limited."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from homeostat.serving.inference.model_slots import ModelSlots

NAMES = st.sampled_from([f"m{n}" for n in range(8)])


class Slots(RuleBasedStateMachine):
    """A plain account of what happened, beside the slots."""

    @initialize(limit=st.integers(1, 4))
    def begin(self, limit):
        self.limit, self.slots = limit, ModelSlots(limit)
        self.requests: dict[str, int] = {}
        self.pinned: set[str] = set()
        self.stalled: set[str] = set()
        self.memory: list[str] = []  # the least recently used first
        self.line: list[str] = []

    def rebalance(self):
        before = self.in_memory()
        changes = self.slots.rebalance()
        for name in changes.unload:
            assert name not in self.pinned, "a model in a rollout stays"
            assert not self.requests.get(name), "a model with requests in flight stays"
            idle = [
                each
                for each in self.memory
                if not self.requests.get(each) and each not in self.pinned | self.stalled
            ]
            assert name == idle[0], "the least recently used one goes first"
            self.memory.remove(name)
        assert list(changes.load) == self.line[: len(changes.load)], "in the order of their first request"
        del self.line[: len(changes.load)]
        self.memory += changes.load
        assert len(self.in_memory()) <= max(allowed(self), len(before)), "a new one exceeds no limit"

    def in_memory(self):
        return [name for name in self.memory if name not in self.stalled]

    @rule(name=NAMES)
    def request(self, name):
        self.requests[name] = self.requests.get(name, 0) + 1
        assert self.slots.use(name) == (name in self.memory)
        if name in self.memory:
            self.memory.remove(name)
            self.memory.append(name)
        elif name not in self.line:
            self.line.append(name)
        self.rebalance()

    @precondition(lambda self: any(self.requests.values()))
    @rule(data=st.data())
    def end(self, data):
        name = data.draw(st.sampled_from(sorted(n for n, count in self.requests.items() if count)))
        self.requests[name] -= 1
        if not self.requests[name] and name in self.line:
            self.line.remove(name)
        assert self.slots.release(name) == (name in self.memory and not self.requests[name])
        self.rebalance()

    @rule(name=NAMES, pinned=st.booleans())
    def rollout(self, name, pinned):
        assert self.slots.pin(name, pinned=pinned) == (pinned != (name in self.pinned))
        if pinned != (name in self.pinned):
            self.memory = [*(each for each in self.memory if each != name), name]
            self.line = [each for each in self.line if each != name]
        (self.pinned.add if pinned else self.pinned.discard)(name)
        self.rebalance()

    @rule(name=NAMES, counted=st.booleans())
    def load_stalls_or_ends(self, name, counted):
        changed = name in self.memory and counted == (name in self.stalled)
        assert self.slots.count(name, counted=counted) == changed
        if changed:
            (self.stalled.discard if counted else self.stalled.add)(name)
        self.rebalance()

    @invariant()
    def more_than_the_limit_are_in_memory_only_while_all_are_needed(self):
        if len(self.in_memory()) > allowed(self):
            assert all(self.requests.get(name) or name in self.pinned for name in self.in_memory())

    @invariant()
    def a_model_waits_only_while_all_others_are_needed(self):
        if self.line:
            assert len(self.in_memory()) >= allowed(self)
            assert all(self.requests.get(name) or name in self.pinned for name in self.in_memory())
        assert self.slots.tight == (bool(self.line) or len(self.in_memory()) > allowed(self))

    @invariant()
    def the_slots_are_those_of_the_account(self):
        assert [name for name in sorted(self.memory) if name not in self.slots] == []
        assert self.slots.counted == len(self.in_memory())
        assert (self.slots.allowed, len(self.in_memory())) == (allowed(self), self.slots.counted)


def allowed(account):
    return max(account.limit, len(account.pinned) + 1)


TestSlots = Slots.TestCase
TestSlots.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)


def test_the_least_recently_used_model_makes_room():
    slots = ModelSlots(2)
    for name in ("a", "b", "a"):
        slots.use(name)
        slots.rebalance()
        slots.release(name)
    slots.use("c")
    assert slots.rebalance() == (("b",), ("c",))


def test_models_in_a_rollout_leave_room_for_one_other():
    slots = ModelSlots(2)
    for name in ("a", "b"):
        slots.pin(name, pinned=True)
    for name, unloaded in (("c", ()), ("d", ("c",))):
        slots.use(name)
        assert slots.rebalance() == (unloaded, (name,))
        slots.release(name)
    slots.pin("a", pinned=False)
    assert slots.rebalance() == (("d",), ()), "a was in use until now"


def test_a_load_that_stalls_takes_no_slot_from_others():
    slots = ModelSlots(1)
    slots.use("hangs")
    assert slots.rebalance() == ((), ("hangs",))
    slots.use("other")
    assert slots.rebalance() == ((), ())
    slots.count("hangs", counted=False)
    assert slots.rebalance() == ((), ("other",))
    slots.release("other")
    slots.count("hangs", counted=True)
    assert slots.rebalance() == (("other",), ())
