"""Decide of each notice whether it is sent now, later, or not, and send it.

Apprise can neither continue a thread nor change a message that was sent. So a story is one message when it
begins to matter and one when it ends; what came between is in the second one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol, TypeVar

from homeostat.config import ModelConfig
from homeostat.config.errors import HomeostatError
from homeostat.config.notices import NoticeKind, Severity
from homeostat.notices.message import Message, as_digest, as_message
from homeostat.notices.outbox import Outbox
from homeostat.notices.record import Held, NoticeRecord, OpenStory, load_record, save_record
from homeostat.ports import Clock, Notice, Store

logger = logging.getLogger(__name__)

_T = TypeVar("_T")


class Transport(Protocol):
    """Hands a message to the services of some connections. Never raises."""

    def send(self, targets: Sequence[str], message: Message) -> Mapping[str, str]:
        """Send to every target; return what went wrong by target, {} for nothing."""

    def links(self, notice: Notice) -> Sequence[tuple[str, str]]:
        """Return names and addresses of the pages that this process knows of."""


class Delivery:
    """A :class:`~homeostat.ports.Notifier` that follows the ``notices`` block of model.yaml.

    Parameters
    ----------
    config
        The model whose notices are sent.
    """

    def __init__(self, transport: Transport, config: ModelConfig, store: Store, clock: Clock) -> None:
        self._transport, self._config = transport, config
        self._store, self._clock = store, clock
        self._outbox = Outbox(store, config.name, clock)

    def notify(self, targets: Sequence[str], notice: Notice) -> None:
        """See :meth:`homeostat.ports.Notifier.notify`."""
        severity = self._config.notices.severity_of(notice.kind)
        self.flush()
        now = self._clock.now()
        record = self._load()
        if notice.kind is NoticeKind.RESOLVED and notice.story not in record.open:
            return  # its beginning was not sent
        said = "" if notice.story else f" {notice.body}"  # of a story, the step logs it
        logger.info("notice %s: %s.%s %s", notice.kind, notice.title, said, notice.action)
        if not targets:
            return
        if severity is None and notice.part == "end" and notice.story in record.open:
            severity = Severity.INFO  # people know of its beginning
        if severity is None:
            return
        message = self._message(record, notice, severity, now)
        if message is not None and self._is_quiet(now) and severity is not Severity.CRITICAL:
            record.held.append(Held(now, tuple(targets), notice))
            message = None
        if message is None:
            self._save(record, now)
            return
        self._send(targets, message, notice, severity)

    def _send(self, targets: Sequence[str], message: Message, notice: Notice, severity: Severity) -> None:
        """Send a message unless another process does: both may have found the same thing at once."""
        name = notice.once or (f"{notice.story}/{notice.part}" if notice.story and notice.part else "")
        try:
            key = self._outbox.add(name, targets, message)
        except HomeostatError as error:  # a message that comes twice is better than none
            logger.warning("the message is sent without being recorded: %s", error)
            self._transport.send(targets, message)
            return
        if not key:
            return
        now = self._clock.now()
        record = self._load()  # again: another process may have sent it before this one claimed it
        if self._message(record, notice, severity, now) is None:
            self._guarded(lambda: self._outbox.remove(key))
            return
        self._save(record, now)
        self._guarded(lambda: self._outbox.send(key, self._transport.send))

    def retry(self) -> int:
        """Send again what did not arrive, a limited number of times; return how many messages."""
        return self._guarded(lambda: self._outbox.retry(self._transport.send)) or 0

    def _guarded(self, call: Callable[[], _T]) -> _T | None:
        try:
            return call()
        except HomeostatError as error:
            logger.warning("the outbox of notices is not available, the next check tries again: %s", error)
            return None

    def flush(self) -> int:
        """Send what the quiet hours held back, one message to each address; return how many notices."""
        now = self._clock.now()
        record = self._load()
        if self._is_quiet(now) or not record.held:
            return 0
        held, record.held = record.held, []
        keys = []
        for targets in dict.fromkeys(each.targets for each in held):
            own = [(each.at, each.notice) for each in held if each.targets == targets]
            name = f"held/{targets}/{own[0][0].isoformat()}"
            digest = as_digest(self._config.name, own)
            keys.append(self._guarded(lambda n=name, t=targets, d=digest: self._outbox.add(n, t, d)))  # type: ignore[misc]
        if None in keys:
            return 0  # the Store is away: they are held until it is back
        self._save(record, now)
        for key in filter(None, keys):
            self._guarded(lambda k=key: self._outbox.send(k, self._transport.send))  # type: ignore[misc]
        return len(held)

    def _message(
        self, record: NoticeRecord, notice: Notice, severity: Severity, now: datetime
    ) -> Message | None:
        """Return the message, and change the record; None where it is not to be sent."""
        if notice.once:
            if notice.once in record.sent:
                record.open.pop(notice.story, None)
                return None
            record.sent[notice.once] = now.isoformat()
        story = record.open.get(notice.story) if notice.story else None
        links = self._transport.links(notice)
        if notice.part == "begin":
            if story is not None:
                return None
            record.open[notice.story] = OpenStory(now.isoformat(), notice.body)
        elif notice.part == "update" and story is not None:
            story.between.append(notice.body)
            return None
        elif notice.part == "end" and story is not None:
            del record.open[notice.story]
            record.held = [held for held in record.held if held.notice.story != notice.story]
            began = datetime.fromisoformat(story.began)
            told = f"{began:%Y-%m-%d %H:%M} UTC: {story.body}"
            return as_message(notice, severity, began=told, between=story.between, links=links)
        return as_message(notice, severity, links=links)

    def _is_quiet(self, now: datetime) -> bool:
        quiet = self._config.notices.quiet_hours
        return quiet is not None and quiet.contain(now)

    def _load(self) -> NoticeRecord:
        try:
            return load_record(self._store, self._config.name)
        except HomeostatError as error:  # a message that comes twice is better than none
            logger.warning("the record of notices cannot be read: %s", error)
            return NoticeRecord()

    def _save(self, record: NoticeRecord, now: datetime) -> None:
        try:
            save_record(self._store, self._config.name, record, now)
        except HomeostatError as error:
            logger.warning("the record of notices cannot be written: %s", error)
