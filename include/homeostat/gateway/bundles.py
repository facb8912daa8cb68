"""Opening a bundle: the one place where the gateway meets :mod:`homeostat.training`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from homeostat.config import ModelConfig
from homeostat.config.errors import PipelineError


def load(folder: Path, trusted_types: tuple[str, ...], *, digest: str, config: ModelConfig) -> Any:
    """Verify the digest, then load with skops and the operator's own list of trusted types.

    The model's pipeline file is imported first: a pipeline with a class of its own is made of it. When
    that fails (the file may have moved on since) bundles without such classes load all the same.
    """
    from homeostat.training import load_bundle, load_pipeline

    with contextlib.suppress(PipelineError):
        load_pipeline(config)
    return load_bundle(folder, trusted_types, digest=digest)
