"""Messages on their way: written down, claimed by one process, sent, and tried again after a failure.

    notices_outbox/<model>/<id>/message.json    what is sent, to whom
    notices_outbox/<model>/<id>/<attempt>.json  who claimed the attempt, and how it ended

A message is in the Store before it is sent, and each attempt is claimed by a write-once key: of two
processes that find the same thing, one sends it. A process that ends between its claim and the end of the
attempt leaves a claim without a result; after :data:`CLAIM` the next check sends the message again. So
everything is sent at least once, and twice only after a crash.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from homeostat.config.errors import AlreadyExists, NotFound
from homeostat.notices.message import Message
from homeostat.ports import Clock, Store

_ROOT = "notices_outbox"
#: Attempts to send a message, one at each check; then it is given up.
MAX_ATTEMPTS = 5
#: Time after which a claim without a result belongs to a process that has ended.
CLAIM = timedelta(minutes=5)
#: A message that was given up is shown for so long.
SHOWN = timedelta(days=7)

#: Sends a message, and returns what went wrong by target.
Send = Callable[[Sequence[str], Message], Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Undelivered:
    """A message that has not reached all of its targets yet, or that was given up."""

    id: str
    at: datetime
    message: Message
    targets: tuple[str, ...]
    attempts: int
    problem: str
    claimed_at: datetime | None = None

    @property
    def given_up(self) -> bool:
        """Whether it will not be tried again."""
        return self.attempts >= MAX_ATTEMPTS and self.claimed_at is None

    def due(self, now: datetime) -> bool:
        """Whether the next attempt may begin: nobody else is sending it."""
        if self.given_up:
            return False
        return now - (self.claimed_at or self.at) >= CLAIM if self._in_hand else True

    @property
    def _in_hand(self) -> bool:
        return self.claimed_at is not None or self.attempts == 0

    @property
    def sentence(self) -> str:
        """One sentence for people."""
        who, times = ", ".join(self.targets), f"{self.attempts} of {MAX_ATTEMPTS} attempts"
        state = "was given up" if self.given_up else "is tried again at the next check"
        return f"'{self.message.title}' did not reach {who} ({times}) and {state}: {self.problem}"


class Outbox:
    """The messages of one model that are under way."""

    def __init__(self, store: Store, model: str, clock: Clock) -> None:
        self._store, self._model, self._clock = store, model, clock

    def add(self, name: str, targets: Sequence[str], message: Message) -> str:
        """Write a message down and claim it; return its id, or "" where another process has done so.

        Parameters
        ----------
        name
            What the message is about, the same in every process; "" for a message of its own.
        """
        key = hashlib.sha256(name.encode()).hexdigest()[:16] if name else uuid4().hex[:16]
        found = self._read(key)
        if found is not None and found.given_up:
            self.remove(key)
        now = self._clock.now().isoformat()
        body = {"at": now, "by": uuid4().hex, "targets": list(targets), "message": asdict(message)}
        try:
            self._store.put(self._key(key, "message"), json.dumps(body).encode())
        except AlreadyExists:
            return ""
        return key

    def send(self, key: str, send: Send) -> bool:
        """Make the next attempt to send a message; False where another process makes it.

        What was sent is deleted; what failed is kept for the next check.
        """
        found = self._read(key)
        if found is None or found.given_up:
            return False
        number = found.attempts + 1
        claim = {"at": self._clock.now().isoformat(), "by": uuid4().hex}
        try:
            self._store.put(self._key(key, str(number)), json.dumps(claim).encode())
        except AlreadyExists:
            return False
        problems = dict(send(found.targets, found.message))
        if not problems:
            self.remove(key)
            return True
        result = json.dumps({**claim, "problems": problems}).encode()
        self._store.put(self._key(key, str(number)), result, overwrite=True)
        return True

    def retry(self, send: Send) -> int:
        """Send again what failed, and what a process that has ended left; return how many messages."""
        now = self._clock.now()
        tried = 0
        for found in undelivered(self._store, self._model):
            if found.due(now):
                tried += self.send(found.id, send)
            elif found.given_up and now - found.at > SHOWN:
                self.remove(found.id)
        return tried

    def remove(self, key: str) -> None:
        """Delete a message; the message itself first, so that a crash leaves nothing that looks unsent."""
        for path in reversed(sorted(self._store.list(f"{_folder(self._model)}/{key}"))):  # noqa: C413
            self._store.delete(path)

    def _read(self, key: str) -> Undelivered | None:
        return next(undelivered(self._store, self._model, key), None)

    def _key(self, key: str, name: str) -> str:
        return f"{_folder(self._model)}/{key}/{name}.json"


def models_with_messages(store: Store) -> set[str]:
    """Return the models that have messages under way or given up."""
    return {path.split("/")[1] for path in store.list(_ROOT)}


def undelivered(store: Store, model: str, key: str = "") -> Iterator[Undelivered]:
    """Yield the messages of a model that are under way or were given up, oldest first."""
    folders: dict[str, list[str]] = {}
    prefix = f"{_folder(model)}/{key}" if key else _folder(model)
    for path in store.list(prefix):
        folder, _, name = path.rpartition("/")
        folders.setdefault(folder, []).append(name.removesuffix(".json"))
    found = (_undelivered(store, folder, names) for folder, names in folders.items())
    yield from sorted((each for each in found if each is not None), key=lambda each: each.at)


def _undelivered(store: Store, folder: str, names: Sequence[str]) -> Undelivered | None:
    """Read a message and its last attempt; None for one that was sent meanwhile or cannot be read."""
    last = max((int(name) for name in names if name.isdecimal()), default=0)
    try:
        body = json.loads(store.get(f"{folder}/message.json"))
        attempts: list[dict[str, Any]] = [
            json.loads(store.get(f"{folder}/{number}.json")) for number in range(1, last + 1)
        ]
        problems: dict[str, str] = next(
            (each["problems"] for each in reversed(attempts) if "problems" in each), {}
        )
        crashed = bool(attempts) and "problems" not in attempts[-1]
        return Undelivered(
            folder.rpartition("/")[2],
            datetime.fromisoformat(body["at"]),
            Message(**body["message"]),
            tuple(problems) or tuple(body["targets"]),
            last,
            "; ".join(dict.fromkeys(problems.values())) or "the process that sent it ended",
            datetime.fromisoformat(attempts[-1]["at"]) if crashed else None,
        )
    except (NotFound, ValueError, KeyError, TypeError):
        return None


def _folder(model: str) -> str:
    return f"{_ROOT}/{model}"
