"""Why a version was not loaded: for a person, with what to do, and whether trying again may help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from homeostat.config.errors import (
    HomeostatError,
    NotFound,
    OutOfMemory,
    PipelineError,
    Refused,
    Unavailable,
    Untrusted,
    UntrustedType,
)
from homeostat.core.rollout.phases import VersionRef
from homeostat.serving.inference.scoring import PredictFailed

#: The reason of a load that never ended.
HANGS = "loading it does not come to an end"


@dataclass(frozen=True, slots=True)
class LoadFailure:
    """Why a version is not loaded.

    Parameters
    ----------
    reason
        What happened and how to fix it.
    rollback
        For a failure that trying again does not mend, the reason with which a candidate is rolled back.
        "" for one that may pass: a service or the disk is unavailable.
    """

    reason: str
    rollback: str = ""

    @property
    def transient(self) -> bool:
        """Whether the next attempt may succeed."""
        return not self.rollback

    @classmethod
    def of(cls, error: Exception, model: str, ref: VersionRef) -> Self:
        """Describe the error of a load."""
        if is_transient(error):
            return cls(_text(error))
        fix, again = _fix(error, model)
        return cls._permanent(f"{_text(error)}. {fix}", model, ref, again=again)

    @classmethod
    def hanging(cls, model: str, ref: VersionRef) -> Self:
        """Describe a load that never ended."""
        return cls._permanent(f"{HANGS}. Restart the gateway", model, ref, again=True)

    @classmethod
    def _permanent(cls, reason: str, model: str, ref: VersionRef, *, again: bool) -> Self:
        then = f", then promote it: homeostat promote {model} {ref.version}" if again else ""
        return cls(reason, f"version {ref.version} could not be loaded: {reason}{then}")


def is_transient(error: Exception) -> bool:
    """Whether loading may succeed later: a service or the disk is unavailable."""
    return isinstance(error, (Unavailable, OSError)) and not isinstance(error, Refused)


def _text(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "it needs more memory than this machine has"
    known = isinstance(error, (HomeostatError, OSError, PredictFailed))
    return (str(error) if known else repr(error)).rstrip(" .")


def _fix(error: Exception, model: str) -> tuple[str, bool]:
    """Return what to do, and whether this version can be promoted afterwards."""
    if isinstance(error, UntrustedType):  # the error names the type and the setting
        return "Restart the gateway after a change of its settings", True
    if isinstance(error, (OutOfMemory, MemoryError)):
        more = "Give the gateway more memory, or fewer processes (HOMEOSTAT_GATEWAY_WORKERS)"
        return more, True
    if isinstance(error, Untrusted):
        return f"Train it again: homeostat retrain {model}", False
    if isinstance(error, NotFound):
        return "Give the gateway the HOMEOSTAT_STORE and MLFLOW_TRACKING_URI of the retrain", True
    if isinstance(error, PipelineError):
        return "Give the gateway the model's folder that the version was trained with, and restart it", True
    return f"The gateway's log has the details; train a new version: homeostat retrain {model}", False
