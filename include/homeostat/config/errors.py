"""Every error that Homeostat raises on purpose.

HomeostatError                  an error that a person can fix; the message says how
├── ConfigError                 model.yaml or a setting is wrong: the message names file, line and key
│   └── MissingExtra            an optional library is not installed: the message has the command
├── PipelineError               pipeline.py cannot be imported, or does not build an estimator
├── DataError                   the rows cannot be used
│   ├── EmptyWindow             no rows: not computable, never healthy
│   ├── SingleClass             one class in the training data: refused before the fit
│   └── QualityRefused          training.max_quarantined: too many rows were quarantined
├── Refused                     the request is not allowed now; the message says why
│   ├── NoPrevious              there is no previous version to roll back to
│   ├── Superseded              another retrain holds the lease, or this trigger is already handled
│   ├── SignatureMismatch       a model of another pipeline takes other inputs than model.yaml
│   ├── OutOfMemory             a bundle needs more memory than this machine has
│   └── Untrusted               the digest or a type of a bundle is not the expected one: not loaded
│       └── UntrustedType       it holds a type that is not trusted
├── NotFound                    the key, version or model does not exist
├── AlreadyExists               the write-once key has other bytes
├── StaleRevision               the ledger has changed since it was read: read it and decide again
└── Unavailable                 a service does not respond; a retry may help
"""

from __future__ import annotations

from typing import Any


class HomeostatError(Exception):
    """An error that a person can fix; the message says how."""


class ConfigError(HomeostatError):
    """model.yaml or a setting is wrong: the message names file, line and key, and how to fix it."""


class MissingExtra(ConfigError):
    """An optional library is not installed: the message has the command that installs it."""


class PipelineError(HomeostatError):
    """pipeline.py cannot be imported, or does not build a scikit-learn estimator."""


class DataError(HomeostatError):
    """The rows cannot be used."""


class EmptyWindow(DataError):
    """No rows: not computable, never healthy."""


class SingleClass(DataError):
    """One class in the training data: refused before the fit."""


class QualityRefused(DataError):
    """More rows were quarantined than ``training.max_quarantined`` allows.

    ``report`` is the data quality report as plain JSON, ``quarantined`` the refused rows (a DataFrame).
    """

    def __init__(
        self, message: str, *, report: dict[str, Any] | None = None, quarantined: Any = None
    ) -> None:
        super().__init__(message)
        self.report = report or {}
        self.quarantined = quarantined


class Refused(HomeostatError):
    """The request is not allowed now; the message says why."""


class NoPrevious(Refused):
    """There is no previous version to roll back to."""


class Superseded(Refused):
    """Another retrain of the model holds the lease, or a retrain has handled this trigger."""


class SignatureMismatch(Refused):
    """A model of another pipeline takes other inputs, or predicts other labels, than model.yaml says."""


class Untrusted(Refused):
    """The digest or a type of a bundle is not the expected one: not loaded."""


class UntrustedType(Untrusted):
    """A bundle holds a type that is not trusted: HOMEOSTAT_TRUSTED_TYPES allows it."""


class OutOfMemory(Refused):
    """A bundle needs more memory than this machine has."""


class NotFound(HomeostatError):
    """The key, version or model does not exist."""


class AlreadyExists(HomeostatError):
    """The write-once key already has other bytes."""


class StaleRevision(HomeostatError):
    """The ledger has changed since it was read: read it and decide again."""


class Unavailable(HomeostatError):
    """A service does not respond; a retry may help."""
