"""Upload a journal segment to the store as a chunk; by the process that wrote it, or by the next one."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from homeostat.config import ModelConfig
from homeostat.config.errors import Unavailable
from homeostat.serving.recorder.counters import Counters
from homeostat.serving.recorder.journal import (
    SUFFIX,
    Record,
    Segment,
    quarantine_header,
    quarantine_records,
    read_segment,
)

logger = logging.getLogger(__name__)

Entry = TypeVar("Entry")
#: Folder beside the gateways' folders for rows that can never be written to the store.
UNWRITABLE = "unwritable"


@dataclass(frozen=True, slots=True)
class LogSpec(Generic[Entry]):
    """Describes one of the gateway's logs.

    Parameters
    ----------
    name, folder
        Its name in messages, and the folder of its files.
    pack
        ``pack(model, entries)`` returns columns of JSON values.
    write
        ``write(gateway, model, sequence, parts)`` writes packed parts to the store. Unavailable means
        "retry"; any other error means that these rows can never be written.
    """

    name: str
    folder: str
    pack: Callable[[str, Sequence[Entry]], Mapping[str, Any]]
    write: Callable[[str, str, int, Sequence[Mapping[str, Any]]], object]

    def counter_names(self, models: Iterable[str]) -> list[str]:
        """Return the names of this log's counters: rows accepted, and rows whose segment is processed."""
        return [f"{self.folder}/{model}/{what}" for model in models for what in ("counted", "done")]


def served_config(models: Mapping[str, ModelConfig], model: str) -> ModelConfig:
    """Return a model's configuration; Unavailable when it is not served: its rows stay in the journal."""
    if model not in models:
        msg = f"model '{model}' is no longer served by this gateway; its rows stay in the journal until it is"
        raise Unavailable(msg)
    return models[model]


def upload_segment(
    path: Path, spec: LogSpec[Any], counters: Counters, expected: Mapping[str, int]
) -> Counter[str]:
    """Write a segment's rows to the store and delete it; return the rows of each model that are lost.

    Idempotent: chunks have the same keys and bytes, and counters are set, not added to. Rows that can never
    be written, or are no longer readable, are quarantined and count as lost.

    Parameters
    ----------
    expected
        Rows of each model that were journaled in it.

    Raises
    ------
    Unavailable, OSError
        The store does not answer: the segment stays.
    """
    segment = read_segment(path)
    lost: Counter[str] = Counter()
    for model, records in segment.by_model().items():
        try:
            spec.write(_gateway(path), model, segment.sequence, [record.columns for record in records])
        except (Unavailable, OSError):
            raise
        except Exception as failure:  # noqa: BLE001  # one bad chunk must not block all others
            rows = sum(record.rows for record in records)
            logger.error(  # noqa: TRY400  # a traceback quotes values
                "%s: %d rows of %s cannot be written: %r", spec.name, rows, model, failure
            )
            _quarantine(path, spec, model, records, rows, repr(failure))
            lost[model] += rows
    read = _rows(segment)
    for model, rows in expected.items():
        if rows > read[model]:
            logger.error("%s: %d rows of %s are no longer readable", spec.name, rows - read[model], model)
            _quarantine(path, spec, model, (), rows - read[model], "torn")
            lost[model] += rows - read[model]
    with counters.lock:
        for model in {*read, *expected}:
            done = segment.before.get(model, 0) + max(read[model], expected.get(model, 0))
            name = f"{spec.folder}/{model}/done"
            if counters.get(name) < done:
                counters.set(name, done)
    path.unlink()
    return lost


def expected_rows(path: Path, following: Path | None) -> Counter[str]:
    """Return how many rows a segment was written with, from its successor's first record."""
    segment = read_segment(path)
    rows = _rows(segment)
    if following is None:  # the process ended while it wrote; a torn record was never complete
        return rows
    after = read_segment(following).before
    return rows | Counter({model: count - segment.before.get(model, 0) for model, count in after.items()})


def quarantined_rows(root: Path, gateway: str, log: str, model: str) -> int:
    """Return how many rows of a gateway's log were quarantined."""
    heads = [
        quarantine_header(path) for path in sorted((root / UNWRITABLE).glob(f"{gateway}-{log}-*{SUFFIX}"))
    ]
    wanted = (gateway, log, model)
    return sum(h["rows"] for h in heads if (h.get("gateway"), h.get("kind"), h.get("model")) == wanted)


def _rows(segment: Segment) -> Counter[str]:
    rows: Counter[str] = Counter()
    for record in segment.records:
        rows[record.model] += record.rows
    return rows


def _gateway(path: Path) -> str:
    return path.parents[1].name


def _quarantine(
    path: Path, spec: LogSpec[Any], model: str, records: Sequence[Record], rows: int, why: str
) -> None:
    gateway = _gateway(path)
    name = f"{gateway}-{spec.folder}-{path.stem}-{model}{'' if records else '-torn'}{SUFFIX}"
    head = {"gateway": gateway, "kind": spec.folder, "model": model, "rows": rows, "why": why}
    quarantine_records(path.parents[2] / UNWRITABLE / name, head, records)
