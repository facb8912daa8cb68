"""Join the labels of a rollout to the requests that both versions predicted, in arrays of bounded size.

The result depends on the rows that were added, not on their order, grouping or repetition: of each prediction
id the row that was received first counts. An id is kept as its hash. When there are more rows than fit, only
ids with a hash below a limit are kept, and the limit is halved until they fit: every gateway that has read
the same files keeps the same ids.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from homeostat.core.rollout.evidence import Tally
from homeostat.core.rollout.label_pairs import PairLosses

#: Rows kept of each version, and labels. Together they take about 100 MB while they are joined.
MAX_PREDICTIONS, MAX_LABELS = 200_000, 1_000_000
#: Rows that are collected before they are sorted in.
_MERGE_ROWS = 50_000
#: Pairs that are counted at once.
_COUNT_PAIRS = 500
_ALL_IDS = 2**64 - 1

Words = NDArray[np.uint64]
Times = NDArray[np.int64]
#: Labelled pairs. Values are the bits of a number, or the hash of a class; 0 is no class.
_PAIR = np.dtype([("id", np.uint64), ("label", np.uint64), ("candidate", np.uint64), ("other", np.uint64)])


class Kind(Enum):
    """What a row is: a prediction of the candidate's version, one of the other version, or a label."""

    CANDIDATE = auto()
    OTHER = auto()
    LABEL = auto()


class _FirstRows:
    """The first row of each id, by rising id: when it was received in microseconds, and its value."""

    def __init__(self) -> None:
        self.ids: Words = np.empty(0, np.uint64)
        self.received: Times = np.empty(0, np.int64)
        self.values: Words = np.empty(0, np.uint64)
        self._new: list[tuple[Words, Times, Words]] = []
        self.new_rows = 0

    def add(self, ids: Words, received: Times, values: Words) -> None:
        self._new.append((ids, received, values))
        self.new_rows += len(ids)

    def merge(self) -> None:
        """Sort the new rows in."""
        if not self._new:
            return
        ids = np.concatenate([self.ids, *(new[0] for new in self._new)])
        received = np.concatenate([self.received, *(new[1] for new in self._new)])
        values = np.concatenate([self.values, *(new[2] for new in self._new)])
        order = np.lexsort((values, received, ids))
        ids = ids[order]
        first = np.ones(len(ids), dtype=bool)
        first[1:] = ids[1:] != ids[:-1]
        self.ids, self.received, self.values = ids[first], received[order][first], values[order][first]
        self._new, self.new_rows = [], 0

    def keep_up_to(self, last: int) -> None:
        """Drop the ids above ``last``."""
        end = int(np.searchsorted(self.ids, np.uint64(last), side="right"))
        self.ids, self.received = self.ids[:end].copy(), self.received[:end].copy()
        self.values = self.values[:end].copy()

    def find(self, ids: Words) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Return where each id is, and whether it is here at all."""
        return _find(self.ids, ids)


class LabelledPairs:
    """The labelled pairs of one rollout, counted by the losses of both versions. Not thread-safe.

    A pair is a prediction id that both versions predicted for the same request: the rows were received at the
    same time. A client that uses an id for several requests makes it ambiguous, so that it is left out.

    Parameters
    ----------
    losses
        How the rollout measures losses.
    max_predictions, max_labels
        Rows that are kept of each version, and labels.
    """

    def __init__(
        self,
        losses: PairLosses,
        *,
        max_predictions: int = MAX_PREDICTIONS,
        max_labels: int = MAX_LABELS,
    ) -> None:
        self._losses = losses
        self._numbers = losses.metric in ("mae", "rmse", "r2")
        self._classes = {_hash(name): name for name, _ in losses.weights}
        self._rows = {kind: _FirstRows() for kind in Kind}
        self._most = {Kind.CANDIDATE: max_predictions, Kind.OTHER: max_predictions, Kind.LABEL: max_labels}
        self._last_id = _ALL_IDS
        self._joined = True
        self._counted = np.empty(0, _PAIR)
        self._counts = np.zeros(len(losses.levels) ** 2, dtype=np.int64)

    def add(self, kind: Kind, ids: Sequence[str], received: Times, values: Sequence[Any]) -> None:
        """Add rows of one kind.

        Parameters
        ----------
        ids
            Prediction ids.
        received
            When the gateway received the request or the label, in microseconds.
        values
            Predictions or labels: text for classes, numbers for regression, None where there is none.
        """
        hashed = np.fromiter(map(_hash, ids), np.uint64, len(ids))
        kept = hashed <= np.uint64(self._last_id)
        rows = self._rows[kind]
        rows.add(hashed[kept], np.asarray(received, np.int64)[kept], self._encode(values)[kept])
        self._joined = False
        if rows.new_rows >= _MERGE_ROWS:
            self._merge()

    def tally(self, pause: Callable[[], None] = lambda: None) -> Tally:
        """Return the counts of all labelled pairs so far; only what is new is counted.

        ``pause`` is called between small steps.
        """
        if not self._joined:
            self._merge()
            pause()
            pairs = self._labelled()
            pause()
            gone, new = _without(self._counted, pairs), _without(pairs, self._counted)
            change = self._count(new, pause) - self._count(gone, pause)
            self._counted, self._counts, self._joined = pairs, self._counts + change, True
        rows = len(self._counted)
        return Tally(rows=rows, losses=tuple(self._counts.tolist())) if rows else Tally()

    def _merge(self) -> None:
        for rows in self._rows.values():
            rows.merge()
        while any(len(rows.ids) > self._most[kind] for kind, rows in self._rows.items()):
            self._last_id >>= 1
            for rows in self._rows.values():
                rows.keep_up_to(self._last_id)

    def _labelled(self) -> NDArray[Any]:
        mine, theirs, labels = (self._rows[kind] for kind in (Kind.CANDIDATE, Kind.OTHER, Kind.LABEL))
        other, paired = theirs.find(mine.ids)
        paired[paired] = theirs.received[other[paired]] == mine.received[paired]
        label, labelled = labels.find(mine.ids)
        both = paired & labelled
        pairs = np.empty(int(both.sum()), _PAIR)
        pairs["id"], pairs["candidate"] = mine.ids[both], mine.values[both]
        pairs["other"], pairs["label"] = theirs.values[other[both]], labels.values[label[both]]
        return pairs

    def _count(self, pairs: NDArray[Any], pause: Callable[[], None]) -> NDArray[np.int64]:
        counts = np.zeros_like(self._counts)
        for start in range(0, len(pairs), _COUNT_PAIRS):
            part = pairs[start : start + _COUNT_PAIRS]
            label, candidate, other = (self._decode(part[name]) for name in ("label", "candidate", "other"))
            names = [f"{number:016x}" for number in part["id"].tolist()]
            tally = self._losses.count(zip(names, label, candidate, other, strict=True))
            counts += np.asarray(tally.losses, dtype=np.int64)
            pause()
        return counts

    def _encode(self, values: Sequence[Any]) -> Words:
        if self._numbers:
            numbers = np.asarray(values, dtype=np.float64)  # None becomes NaN
            return np.where(np.isnan(numbers), np.nan, numbers).view(np.uint64)
        hashes = {text: _hash(text) if text is not None else 0 for text in set(values)}
        return np.fromiter((hashes[text] for text in values), np.uint64, len(values))

    def _decode(self, values: Words) -> list[Any]:
        """Return numbers, or texts that are equal exactly when the classes are."""
        if self._numbers:
            return list(np.ascontiguousarray(values).view(np.float64).tolist())
        known = self._classes
        return [known.get(value, f"#{value}") if value else None for value in values.tolist()]


def _hash(text: str) -> int:
    return xxh3_64_intdigest(text.encode("utf-8", "surrogatepass")) or 1


def _find(sorted_ids: Words, ids: Words) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    if not len(sorted_ids):
        return np.zeros(len(ids), np.intp), np.zeros(len(ids), dtype=bool)
    at = np.minimum(np.searchsorted(sorted_ids, ids), len(sorted_ids) - 1)
    return at, sorted_ids[at] == ids


def _without(pairs: NDArray[Any], others: NDArray[Any]) -> NDArray[Any]:
    """Return the pairs that are not among the others with the same values."""
    at, same = _find(others["id"], pairs["id"])
    for name in ("label", "candidate", "other"):
        same[same] = others[name][at[same]] == pairs[name][same]
    return pairs[~same]
