"""From a segment of the journal to its chunk in the store, by the process that wrote it or by the next."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from homeostat.config import ModelConfig
from homeostat.config.errors import Unavailable
from homeostat.serving.recorder.counters import Odometer
from homeostat.serving.recorder.journal import SUFFIX, Record, Segment, aside, aside_head, read_segment

logger = logging.getLogger(__name__)

Entry = TypeVar("Entry")
#: The folder beside the gateways' own where rows lie that no store would take.
UNWRITABLE = "unwritable"


@dataclass(frozen=True, slots=True)
class Kind(Generic[Entry]):
    """One of the gateway's logs.

    Parameters
    ----------
    name, folder
        What people read, and what its files lie under.
    pack
        ``pack(model, entries)`` gives columns that JSON can say.
    write
        ``write(gateway, model, sequence, parts)`` files what was packed. Unavailable means "try again",
        anything else that these rows can never be written.
    """

    name: str
    folder: str
    pack: Callable[[str, Sequence[Entry]], Mapping[str, Any]]
    write: Callable[[str, str, int, Sequence[Mapping[str, Any]]], object]

    def slots(self, models: Iterable[str]) -> list[str]:
        """The names of this log's counts: rows taken in, and rows whose segment is done with."""
        return [f"{self.folder}/{model}/{what}" for model in models for what in ("counted", "done")]


def served_here(models: Mapping[str, ModelConfig], model: str) -> ModelConfig:
    """A model's configuration; Unavailable when it is gone: its rows wait until it is back."""
    if model not in models:
        msg = f"model '{model}' is not served here any more; its rows stay in the journal until it is"
        raise Unavailable(msg)
    return models[model]


def ship(path: Path, kind: Kind[Any], counts: Odometer, expected: Mapping[str, int]) -> Counter[str]:
    """Write a segment's rows to the store and delete it; gives the rows of each model that are lost.

    Done twice, it does the same once more: chunks have the same keys and bytes, counts are set and not
    added to. Rows that cannot be written, or are no longer readable, are put aside and lost.

    Parameters
    ----------
    expected
        How many rows of each model were journaled in it.

    Raises
    ------
    Unavailable, OSError
        The store does not answer: the segment stays.
    """
    segment = read_segment(path)
    lost: Counter[str] = Counter()
    for model, records in segment.by_model().items():
        try:
            kind.write(_gateway(path), model, segment.sequence, [record.columns for record in records])
        except (Unavailable, OSError):
            raise
        except Exception as failure:  # noqa: BLE001  # one bad chunk must not hold up all others
            rows = sum(record.rows for record in records)
            logger.error(  # noqa: TRY400  # a traceback quotes values
                "%s: %d rows of %s cannot be written: %r", kind.name, rows, model, failure
            )
            _put_aside(path, kind, model, records, rows, repr(failure))
            lost[model] += rows
    read = _rows(segment)
    for model, rows in expected.items():
        if rows > read[model]:
            logger.error("%s: %d rows of %s are no longer readable", kind.name, rows - read[model], model)
            _put_aside(path, kind, model, (), rows - read[model], "torn")
            lost[model] += rows - read[model]
    with counts.lock:
        for model in {*read, *expected}:
            done = segment.before.get(model, 0) + max(read[model], expected.get(model, 0))
            name = f"{kind.folder}/{model}/done"
            if counts.get(name) < done:
                counts.set(name, done)
    path.unlink()
    return lost


def expected_rows(path: Path, following: Path | None) -> Counter[str]:
    """How many rows a segment was written with: its successor's first record says so."""
    segment = read_segment(path)
    rows = _rows(segment)
    if following is None:  # the process ended while it wrote; what is torn was never done
        return rows
    after = read_segment(following).before
    return rows | Counter({model: count - segment.before.get(model, 0) for model, count in after.items()})


def rows_aside(root: Path, gateway: str, kind: str, model: str) -> int:
    """How many rows of a gateway's log were put aside."""
    heads = [aside_head(path) for path in sorted((root / UNWRITABLE).glob(f"{gateway}-{kind}-*{SUFFIX}"))]
    wanted = (gateway, kind, model)
    return sum(h["rows"] for h in heads if (h.get("gateway"), h.get("kind"), h.get("model")) == wanted)


def _rows(segment: Segment) -> Counter[str]:
    rows: Counter[str] = Counter()
    for record in segment.records:
        rows[record.model] += record.rows
    return rows


def _gateway(path: Path) -> str:
    return path.parents[1].name


def _put_aside(
    path: Path, kind: Kind[Any], model: str, records: Sequence[Record], rows: int, why: str
) -> None:
    gateway = _gateway(path)
    name = f"{gateway}-{kind.folder}-{path.stem}-{model}{'' if records else '-torn'}{SUFFIX}"
    head = {"gateway": gateway, "kind": kind.folder, "model": model, "rows": rows, "why": why}
    aside(path.parents[2] / UNWRITABLE / name, head, records)
