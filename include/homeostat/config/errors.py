"""Every error that Homeostat raises on purpose.

HomeostatError                  something that a person can put right; the message says how
├── ConfigError                 model.yaml or a setting is wrong: names file, line, key and cure
├── PipelineError               pipeline.py does not import, or does not build an estimator
├── DataError                   rows that cannot be used as they are
│   ├── EmptyWindow             no rows at all: not computable, never healthy
│   ├── SingleClass             one class in the training data: refused before the fit
│   └── QualityRefused          the quality gate holds: too many rows quarantined
├── Refused                     the platform will not do what was asked, and says why
│   ├── NoPrevious              nothing to roll back to
│   ├── Superseded              another retrain or rollout has the right of way
│   └── Untrusted               bytes whose digest or types are not what was promised
├── NotFound                    a key, version or model that is not there
├── AlreadyExists               a write-once key that holds other bytes
├── StaleRevision               the ledger moved on since it was read: read again, decide again
└── Unavailable                 a service does not answer; trying again may help
"""

from __future__ import annotations

from typing import Any


class HomeostatError(Exception):
    """Something that a person can put right; the message says how."""


class ConfigError(HomeostatError):
    """model.yaml or a setting is wrong: the message names file, line, key and cure."""


class PipelineError(HomeostatError):
    """pipeline.py does not import, or does not build a scikit-learn estimator."""


class DataError(HomeostatError):
    """Rows that cannot be used as they are."""


class EmptyWindow(DataError):
    """No rows at all: not computable, never healthy."""


class SingleClass(DataError):
    """One class in the training data: refused before the fit."""


class QualityRefused(DataError):
    """The quality gate holds: too many rows had to be quarantined.

    ``report`` is the gate's report as plain JSON, ``quarantined`` the rows (a DataFrame): a refusal
    must not lose what it refused.
    """

    def __init__(
        self, message: str, *, report: dict[str, Any] | None = None, quarantined: Any = None
    ) -> None:
        super().__init__(message)
        self.report = report or {}
        self.quarantined = quarantined


class Refused(HomeostatError):
    """The platform will not do what was asked, and says why."""


class NoPrevious(Refused):
    """There is no previous version to roll back to."""


class Superseded(Refused):
    """Another retrain or rollout has the right of way."""


class Untrusted(Refused):
    """Bytes whose digest or types are not what was promised: not loaded."""


class NotFound(HomeostatError):
    """A key, version or model that is not there."""


class AlreadyExists(HomeostatError):
    """A write-once key that already holds other bytes."""


class StaleRevision(HomeostatError):
    """The ledger moved on since it was read: read again, decide again."""


class Unavailable(HomeostatError):
    """A service does not answer; trying again may help."""
