"""Why a version was not loaded: the reason names what to do, and whether trying again may help."""

import pytest

from homeostat.config.errors import (
    NotFound,
    OutOfMemory,
    PipelineError,
    Unavailable,
    Untrusted,
    UntrustedType,
)
from homeostat.core.rollout import VersionRef
from homeostat.serving.inference.scoring import PredictFailed
from homeostat.serving.sync.load_failure import LoadFailure

REF = VersionRef("3", "c" * 64)
PROMOTE, RETRAIN = "homeostat promote pump 3", "homeostat retrain pump"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            UntrustedType("holds evil.Type; add it to HOMEOSTAT_TRUSTED_TYPES"),
            ("evil.Type", "HOMEOSTAT_TRUSTED_TYPES", "Restart the gateway", PROMOTE),
        ),
        (Untrusted("its files have digest 12..."), ("digest 12", RETRAIN)),
        (OutOfMemory("needs more memory"), ("more memory", "HOMEOSTAT_GATEWAY_WORKERS", PROMOTE)),
        (MemoryError(), ("it needs more memory than this machine has", "HOMEOSTAT_GATEWAY_WORKERS", PROMOTE)),
        (NotFound("no version 3"), ("no version 3", "HOMEOSTAT_STORE", "MLFLOW_TRACKING_URI", PROMOTE)),
        (PipelineError("no module named sensors"), ("sensors", "the model's folder", PROMOTE)),
        (PredictFailed("ValueError"), ("ValueError", "log", RETRAIN)),
        (RuntimeError("a crash"), ("a crash", "log", RETRAIN)),
    ],
)
def test_a_lasting_failure_rolls_back_with_its_reason_and_the_fix(error, words):
    failure = LoadFailure.of(error, "pump", REF)
    assert not failure.transient
    assert failure.rollback.startswith(f"version 3 could not be loaded: {failure.reason}")
    for word in words:
        assert word in failure.rollback


@pytest.mark.parametrize("error", [Unavailable("the store does not respond"), OSError(28, "no space left")])
def test_a_failure_that_may_pass_rolls_nothing_back(error):
    failure = LoadFailure.of(error, "pump", REF)
    assert failure.transient
    assert failure.rollback == ""
    assert str(error) in failure.reason


def test_a_load_that_never_ends_says_so():
    assert "does not come to an end" in LoadFailure.hanging("pump", REF).rollback
