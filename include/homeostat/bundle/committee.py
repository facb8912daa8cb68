"""Several fits of one pipeline that predict together, each with equal weight."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np

#: An earlier member's vote counts so much more than the next one's: it decides a tie.
_TIE = 1e-6


class Committee:
    """The mean of its members' probabilities or numbers; without probabilities, of their votes.

    Classes are aligned by label: a class that a member has never seen has probability 0 for it. With a tie,
    the first of the tied classes wins among probabilities, and the class of the earlier member among votes.

    Parameters
    ----------
    members
        Fitted estimators; for classes, of labels that are among ``classes``.
    names
        What each has learnt from, for people.
    classes
        All classes in ascending order, shape (classes,); None for a regression.
    """

    def __init__(self, members: Sequence[Any], names: Sequence[str], classes: np.ndarray | None) -> None:
        self.members = list(members)
        self.names = list(names)
        self.classes_ = classes
        self.votes = classes is not None and not all(_aligns(member, classes) for member in members)
        self.columns = [_columns(member, classes) for member in members] if not self.votes else []

    def select(self, chosen: Sequence[int]) -> Self:
        """Return the committee of some of the members; its classes stay the same."""
        return type(self)([self.members[n] for n in chosen], [self.names[n] for n in chosen], self.classes_)

    def outputs(self, inputs: Any) -> list[np.ndarray]:
        """Return each member's probabilities or votes, shape (rows, classes), or numbers, shape (rows,)."""
        if self.classes_ is None:
            return [_numbers(member.predict(inputs)) for member in self.members]
        if self.votes:
            return [_one_hot(member.predict(inputs), self.classes_) for member in self.members]
        return [
            _aligned(member.predict_proba(inputs), columns, len(self.classes_))
            for member, columns in zip(self.members, self.columns, strict=True)
        ]

    def positions(self, outputs: Sequence[np.ndarray]) -> np.ndarray:
        """Return the position in ``classes_`` of the class with the largest mean, -1 where there is none.

        Parameters
        ----------
        outputs
            One or several of :meth:`outputs`, in their order.
        """
        weighted = [each * (1.0 - _TIE * n) for n, each in enumerate(outputs)] if self.votes else outputs
        mean = _mean(weighted)
        known = mean.sum(axis=1) > 0  # False without a vote, and for NaN
        found: np.ndarray = np.where(known, mean.argmax(axis=1), -1)
        return found

    def decide(self, outputs: Sequence[np.ndarray]) -> np.ndarray:
        """Return the prediction of the members with these outputs, see :meth:`positions`."""
        if self.classes_ is None:
            return _mean(outputs)
        at = self.positions(outputs)
        predicted: np.ndarray = self.classes_[at]
        if (at < 0).any():
            numeric = predicted.dtype.kind in "biuf"
            predicted = predicted.astype(np.float64 if numeric else object)
            predicted[at < 0] = np.nan if numeric else None
        return predicted

    def predict(self, inputs: Any) -> np.ndarray:
        """Return a class or a number for each row, shape (rows,); NaN or None where there is none."""
        return self.decide(self.outputs(inputs))

    @property
    def predict_proba(self) -> Callable[[Any], np.ndarray]:
        """Return the function of the mean probabilities of the classes, shape (rows, classes).

        Raises
        ------
        AttributeError
            A regression, or members that vote: ``hasattr`` is False, as with scikit-learn.
        """
        if self.classes_ is None or self.votes:
            msg = "the members of this committee have no predict_proba"
            raise AttributeError(msg)
        return self._mean_probabilities

    def _mean_probabilities(self, inputs: Any) -> np.ndarray:
        return _mean(self.outputs(inputs))


def committee_classes(members: Sequence[Any], labels: np.ndarray) -> np.ndarray:
    """Return the classes of a committee in ascending order: those of the members, or of the labels."""
    known = [getattr(member, "classes_", None) for member in members]
    if any(each is None or np.ndim(each) != 1 for each in known):
        return np.unique(labels)
    classes = np.unique(np.concatenate([np.asarray(each) for each in known]))
    texts = classes.dtype == object and all(isinstance(each, str) for each in classes.tolist())
    return classes.astype(np.str_) if texts else classes


def _aligns(member: Any, classes: np.ndarray) -> bool:
    own = getattr(member, "classes_", None)
    return (
        own is not None
        and np.ndim(own) == 1
        and callable(getattr(member, "predict_proba", None))
        and bool(np.isin(own, classes).all())
    )


def _columns(member: Any, classes: np.ndarray | None) -> np.ndarray | None:
    """Return the column of each of the member's classes; None where they are the committee's."""
    if classes is None or np.array_equal(member.classes_, classes):
        return None
    return np.searchsorted(classes, np.asarray(member.classes_))


def _aligned(proba: Any, columns: np.ndarray | None, classes: int) -> np.ndarray:
    found = np.asarray(proba, dtype=np.float64)
    if columns is None:
        return found
    whole = np.zeros((len(found), classes))
    whole[:, columns] = found
    return whole


def _one_hot(predicted: Any, classes: np.ndarray) -> np.ndarray:
    given = np.asarray(predicted).reshape(-1)
    if given.dtype == object and classes.dtype.kind == "U":
        known = np.array([isinstance(each, str) for each in given.tolist()], dtype=bool)
        given = np.where(known, given, "").astype(np.str_)
    else:
        known = np.ones(len(given), dtype=bool)
    at = np.minimum(np.searchsorted(classes, given), len(classes) - 1)
    votes = np.zeros((len(given), len(classes)))
    votes[np.arange(len(given)), at] = known & (classes[at] == given)
    return votes


def _numbers(predicted: Any) -> np.ndarray:
    found = np.asarray(predicted, dtype=np.float64)
    return found[:, 0] if found.ndim == 2 and found.shape[1] == 1 else found


def _mean(outputs: Sequence[np.ndarray]) -> np.ndarray:
    if len(outputs) == 1:
        return outputs[0]
    total: np.ndarray = outputs[0] + outputs[1]
    for each in outputs[2:]:
        total += each
    total /= len(outputs)
    return total
