"""The ``notices`` block of model.yaml: which notices are sent, and when."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, time, timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from homeostat.config.section import Section

_TIME = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")


class Severity(StrEnum):
    """How urgent a notice is: ``critical`` wakes somebody, ``warning`` is for today, ``info`` is to know."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 for info, 2 for critical."""
        return list(Severity).index(self)


class NoticeKind(StrEnum):
    """The occasions of a notice. docs/reasons.md explains each."""

    TRIGGER_FIRED = "trigger_fired"
    HARMLESS_DRIFT = "harmless_drift"
    BACKING_OFF = "backing_off"
    NOT_COMPUTABLE = "not_computable"
    CHECKS_STOPPED = "checks_stopped"
    TRIGGER_REFUSED = "trigger_refused"
    ENVIRONMENT_REFUSED = "environment_refused"
    FORCED = "forced"
    REFUSED = "refused"
    NOT_WORTHWHILE = "not_worthwhile"
    SUPERSEDED = "superseded"
    WAITING = "waiting"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    STATUS = "status"
    LOAD_FAILED = "load_failed"
    FAILED = "failed"
    RESOLVED = "resolved"

    @classmethod
    def _missing_(cls, value: object) -> NoticeKind | None:
        return cls(_OLD_KINDS[value]) if value in _OLD_KINDS else None


# Read what release 0.1 wrote.
_OLD_KINDS: dict[object, str] = {
    "drift_harmless": "harmless_drift",
    "silent": "checks_stopped",
    "parity_refused": "environment_refused",
    "gate_refused": "refused",
}


#: How urgent each kind is, where model.yaml does not say it. Kinds that are not here are ``info``.
SEVERITIES: Mapping[NoticeKind, Severity] = {
    NoticeKind.CHECKS_STOPPED: Severity.CRITICAL,
    NoticeKind.LOAD_FAILED: Severity.CRITICAL,
    NoticeKind.ROLLED_BACK: Severity.CRITICAL,
    NoticeKind.BACKING_OFF: Severity.WARNING,
    NoticeKind.ENVIRONMENT_REFUSED: Severity.WARNING,
    NoticeKind.FAILED: Severity.WARNING,
    NoticeKind.FORCED: Severity.WARNING,
    NoticeKind.NOT_COMPUTABLE: Severity.WARNING,
    NoticeKind.REFUSED: Severity.WARNING,
    NoticeKind.TRIGGER_REFUSED: Severity.WARNING,
    NoticeKind.WAITING: Severity.WARNING,
}


class QuietHours(Section):
    """Hours of each day in which only critical notices are sent; ``to`` before ``from`` is past midnight."""

    begin: Annotated[time, Field(alias="from")]
    end: Annotated[time, Field(alias="to")]
    timezone: str = "UTC"

    @field_validator("begin", "end", mode="before")
    @classmethod
    def _time_of_day(cls, value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 24 * 60:
            return time(value // 60, value % 60)  # YAML reads an unquoted 22:00 as minutes: 1320
        found = _TIME.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            msg = f'{value!r} is not a time of day: write it like "22:00"'
            raise ValueError(msg)
        return time(int(found[1]), int(found[2]))

    @field_validator("timezone")
    @classmethod
    def _known_timezone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            msg = f"'{value}' is no known time zone: write one like Europe/Berlin"
            raise ValueError(msg) from None
        return value

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.begin == self.end:
            msg = f"from and to are both {self.begin:%H:%M}: they must differ"
            raise ValueError(msg)
        return self

    def contain(self, at: datetime) -> bool:
        """Whether a time is within the quiet hours, by the clock of their time zone."""
        local = at.astimezone(ZoneInfo(self.timezone)).time()
        if self.begin < self.end:
            return self.begin <= local < self.end
        return local >= self.begin or local < self.end

    def end_after(self, at: datetime) -> datetime:
        """Return when the quiet hours that contain ``at`` end, in UTC."""
        zone = ZoneInfo(self.timezone)
        local = at.astimezone(zone)
        day = local.date() if local.time() < self.end else local.date() + timedelta(days=1)
        return datetime.combine(day, self.end, zone).astimezone(at.tzinfo)


class Notices(Section):
    """Which notices are sent, how urgent each kind is, and when only critical ones are.

    ``least`` is the least severity that is sent; others are only written to the log. ``severity`` changes
    that of a kind, or turns it ``off``.
    """

    least: Severity = Severity.INFO
    severity: dict[NoticeKind, Severity | Literal["off"]] = Field(default_factory=dict)
    quiet_hours: QuietHours | None = None

    @field_validator("severity", mode="before")
    @classmethod
    def _off(cls, value: Any) -> Any:
        # YAML reads an unquoted off as false.
        return {k: "off" if v is False else v for k, v in value.items()} if isinstance(value, dict) else value

    def severity_of(self, kind: NoticeKind) -> Severity | None:
        """Return how urgent a kind is; None where it is not sent."""
        found = self.severity.get(kind, SEVERITIES.get(kind, Severity.INFO))
        if found == "off":
            return None
        severity = Severity(found)
        return severity if severity.rank >= self.least.rank else None
