"""The record of how fast a model's versions age: its observations and its last probes, in the Store.

    standing/<model>/ageing.json

A retrain adds to it once its probe was compared with the champion. Drift checks only read it: what they
observe between two probes is in :mod:`homeostat.storage.ageing_steps`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime, timedelta
from typing import Any, Self

from homeostat.config.errors import NotFound
from homeostat.core.performance import AgeingObservation
from homeostat.ports import Store
from homeostat.storage.members import load_members

#: So many observations are kept, ...
_OBSERVATIONS = 512
#: ... and so many probes, for the baseline.
_PROBES = 8


@dataclass(frozen=True, slots=True)
class ProbeRecord:
    """A version that was fitted without the newest window, and its score there.

    ``digest`` is that of its bundle, ``learned_until`` the begin of that window and ``until`` its end.
    ``champion`` is the version number that it was compared with. ``score``, ``rows`` and ``variance`` are as
    in :class:`~homeostat.core.performance.Baseline`, of the metric with this title; ``paid`` says whether a
    retrain followed.
    """

    digest: str
    champion: str
    members: str
    learned_until: datetime
    until: datetime
    score: float | None = None
    rows: int = 0
    variance: float | None = None
    metric: str = ""
    paid: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        times = {"learned_until": self.learned_until.isoformat(), "until": self.until.isoformat()}
        return asdict(self) | times

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote; unknown keys are ignored."""
        known = {each.name: raw[each.name] for each in fields(cls) if each.name in raw}
        times = {name: datetime.fromisoformat(raw[name]) for name in ("learned_until", "until")}
        return cls(**known | times)


@dataclass(frozen=True, slots=True)
class AgeingRecord:
    """All that is known of a model's ageing.

    ``window`` is the length of a window: ``monitor.window``, or longer where labels are rare; zero before the
    first probe. Gains are in parts of ``scale``: 1, or for a regression the first version's mean absolute
    error. ``probes`` are the last ones, oldest first, of ``probed`` in all.
    """

    window: timedelta = timedelta(0)
    scale: float = 1.0
    observations: tuple[AgeingObservation, ...] = ()
    probes: tuple[ProbeRecord, ...] = field(default=())
    probed: int = 0

    def window_or(self, default: timedelta) -> timedelta:
        """Return the length of a window, before the first probe ``default``."""
        return max(self.window, default)

    def with_observations(self, more: Iterable[AgeingObservation]) -> AgeingRecord:
        """Return the record with these observations.

        Of several of the same champion, members and window the last counts. In the reference every choice of
        members is compared on the same windows.
        """
        kept = list(self.observations)
        half = self.window / 2
        for each in more:
            kept = [one for one in kept if not _repeats(one, each, half)]
            kept.append(each)
        kept.sort(key=lambda one: one.end)
        return replace(self, observations=tuple(kept[-_OBSERVATIONS:]))

    def with_probe(self, probe: ProbeRecord) -> AgeingRecord:
        """Return the record with one more probe; the same one again changes nothing."""
        if any((each.digest, each.until) == (probe.digest, probe.until) for each in self.probes):
            return self
        return replace(self, probes=(*self.probes, probe)[-_PROBES:], probed=self.probed + 1)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {
            "window": self.window.total_seconds(),
            "scale": self.scale,
            "observations": [each.to_json() for each in self.observations],
            "probes": [each.to_json() for each in self.probes],
            "probed": self.probed,
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        return cls(
            timedelta(seconds=raw["window"]),
            float(raw["scale"]),
            tuple(AgeingObservation.from_json(each) for each in raw["observations"]),
            tuple(ProbeRecord.from_json(each) for each in raw["probes"]),
            int(raw["probed"]),
        )


def load_ageing(store: Store, model: str) -> AgeingRecord:
    """Return the record; an empty one before the first probe."""
    try:
        return AgeingRecord.from_json(json.loads(store.get(_key(model))))
    except NotFound:
        return AgeingRecord()


def save_ageing(store: Store, model: str, record: AgeingRecord) -> None:
    """Store the record; replaces what was stored before. Only the holder of the retrain lease writes it."""
    store.put(_key(model), json.dumps(record.to_json(), allow_nan=False).encode(), overwrite=True)


def with_reference(record: AgeingRecord, store: Store, model: str, champion: str) -> AgeingRecord:
    """Return the record, begun with what fits within the first version's rows said of ageing.

    Parameters
    ----------
    champion
        The digest of the champion's bundle.
    """
    if any(not each.champion for each in record.observations):
        return record
    known = load_members(store, model, champion).get("record", {}).get("ageing", ())
    found = [
        AgeingObservation(
            datetime.fromisoformat(each["end"]),
            "",
            each["members"],
            each["gap"],
            each["gain"] / record.scale,
            each["variance"] / record.scale**2,
        )
        for each in known
    ]
    kept = sorted((*found, *record.observations), key=lambda one: one.end)
    return replace(record, observations=tuple(kept[-_OBSERVATIONS:]))


def _repeats(one: AgeingObservation, other: AgeingObservation, half: timedelta) -> bool:
    """Whether two observations are of the same versions, and share more than half of a window."""
    if (one.champion, one.members) != (other.champion, other.members):
        return False
    return one.end == other.end or abs(one.end - other.end) < half


def _key(model: str) -> str:
    return f"standing/{model}/ageing.json"
