"""What is recorded of a sample of the training rows, and of the memory that rows need."""

from __future__ import annotations

from collections.abc import Mapping

#: In the ``attrs`` of a source's rows: the sentence on the sample that was read in their place.
SAMPLED = "sampled"

#: Bytes of a value of text, and of any other, in Arrow and in pandas at the same time.
_TEXT_BYTES, _OTHER_BYTES = 64, 16
#: A fit holds the rows, their part without the holdout, and what the pipeline makes of them.
_COPIES = 3


def memory_needed(rows: int, types: Mapping[str, str]) -> int:
    """Return about how many bytes a retrain needs for so many rows of columns of these Arrow types."""
    width = sum(_TEXT_BYTES if "string" in each else _OTHER_BYTES for each in types.values())
    return _COPIES * rows * width


def sample_sentence(
    total: int, kept: int, seed: int, strata: str, shares: Mapping[str | None, tuple[int, int]]
) -> str:
    """Return in words which sample was read.

    Parameters
    ----------
    strata, shares
        The column by which it is stratified, and for each label its rows and those in the sample.
    """
    by = ""
    if strata:
        each = ", ".join(f"{label}: {n:,} of {of:,}" for label, (of, n) in list(shares.items())[:10])
        by = f", stratified by {strata} ({each}{', ...' if len(shares) > 10 else ''})"
    return f"a sample of {kept:,} of {total:,} rows (training.max_rows), seed {seed}{by}"
