"""What a version learns from: choose members by their record, fit them without the holdout and with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pandas as pd

from homeostat.bundle.committee import Committee
from homeostat.bundle.predictor import Predictor
from homeostat.config import ModelConfig
from homeostat.config.errors import DataError
from homeostat.core.performance import ONE_RECIPE_SE, SWITCH_SE, choose_members, score, subsets
from homeostat.retraining.member_fits import MemberFitter
from homeostat.retraining.member_record import MemberRecord, reference_record, score_windows


@dataclass(frozen=True, slots=True)
class FormerMembers:
    """What the version before left.

    ``predictor`` is that of a :class:`Committee` of all members of the newest version that was fitted, on
    rows before ``trained_until``; ``chosen`` are the names of the champion's members.
    """

    record: MemberRecord
    predictor: Predictor
    trained_until: datetime
    chosen: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Probe:
    """A version that was fitted on the rows before the holdout.

    ``chosen`` are the names of its members, as the record decided; ``switched`` says that the former version
    has others. ``recipe`` describes the rows that it learns from; ``scores`` has the holdout score of each
    member, in the gate's metric, where there are several. ``members`` are all that were fitted, None where
    there is one recipe. ``fits`` counts the fits that were made.
    """

    estimator: Any
    chosen: tuple[str, ...]
    recipe: str
    scores: Mapping[str, float] = field(default_factory=dict)
    record: MemberRecord | None = None
    switched: bool = False
    members: Committee | None = None
    fits: int = 1


@dataclass(frozen=True, slots=True)
class Refit:
    """The version that serves, fitted on all rows, and all members, for the record.

    ``members`` is None where there is one recipe; it may be ``estimator`` itself.
    """

    estimator: Any
    members: Committee | None
    recipe: str
    fits: int = 1


@dataclass(frozen=True, slots=True)
class FittedVersion:
    """The fitted estimators of a version.

    ``estimator`` will serve. ``holdout_estimator`` was fitted in the same way on the rows before the holdout:
    its score on the holdout is the expected score of ``estimator`` on new rows. Both are the same object
    where ``training.refit`` is false. The other fields are those of :class:`Probe` and :class:`Refit`.
    """

    estimator: Any
    holdout_estimator: Any
    recipe: str
    scores: Mapping[str, float]
    chosen: tuple[str, ...]
    members: Committee | None = None
    record: MemberRecord | None = None
    fits: int = 1


def fit_version(
    config: ModelConfig,
    train: pd.DataFrame,
    holdout: pd.DataFrame,
    until: datetime,
    spec: str | None = None,
    former: FormerMembers | None = None,
    *,
    chosen: Sequence[str] | None = None,
) -> FittedVersion:
    """Fit a version without the holdout, then again on all rows: :func:`probe_version`, `refit_version`.

    With ``chosen``, only these members are fitted.
    """
    probe = probe_version(config, train, holdout, until, spec, former, chosen=chosen)
    if not config.training.refit:
        refit = Refit(probe.estimator, probe.members, probe.recipe, 0)
    else:
        refit = refit_version(
            config, train, holdout, until, probe.chosen, spec, only_chosen=chosen is not None
        )
    return FittedVersion(
        refit.estimator,
        probe.estimator,
        refit.recipe,
        probe.scores,
        probe.chosen,
        refit.members,
        probe.record,
        probe.fits + refit.fits,
    )


def probe_version(
    config: ModelConfig,
    train: pd.DataFrame,
    holdout: pd.DataFrame,
    until: datetime,
    spec: str | None = None,
    former: FormerMembers | None = None,
    *,
    chosen: Sequence[str] | None = None,
) -> Probe:
    """Choose the members by their record, and fit these on the rows before the holdout.

    With ``training.window.kind: auto`` there are up to three members (see
    :mod:`homeostat.core.training_data.members`), and the record says which subset of them serves. It grows by
    the rows since the former version was fitted, which its members predict. Without such a record, as for the
    first version, the members are fitted at three times within these rows and scored on what followed.

    Parameters
    ----------
    config
        The model.
    train, holdout
        Rows of the schema's types with their label, in time order, ``holdout`` the later ones.
    until
        The end of the window, at which a row's weight is 1 (``kind: recency``).
    spec
        A pipeline to use instead of model.yaml's, as ``pipeline.py:function``.
    former
        What the former version left.
    chosen
        Names of the members, to choose without a record.

    Raises
    ------
    SingleClass, PipelineError
        As :func:`~homeostat.retraining.fit.fit` does, for the first member; others that cannot be fitted are
        left out.
    """
    rows = pd.concat([train, holdout], ignore_index=True)
    fitter = MemberFitter(config, until, spec, rows)
    if len(fitter.members) == 1:
        only = fitter.members[0]
        estimator = fitter.fit(train, only)
        return Probe(estimator, (only.name,), only.describe(len(rows)))
    record, switched = None, False
    if chosen is None:
        record, before = _record(fitter, rows, former)
        chosen = _choose(config, record, before)
        switched = set(chosen) != set(before)
    # Without a refit, these are the fits of the record as well.
    names = [member.name for member in fitter.members]
    committee = fitter.committee(train, chosen if config.training.refit else names)
    serving = _serving(committee, chosen)
    if record is not None and former is not None and former.record.of(record.members) is not None:
        record = _with_holdout(fitter, record, committee, holdout)
    return Probe(
        _estimator(serving),
        tuple(serving.names),
        fitter.describe(serving.names),
        _scores(config, committee, holdout),
        record,
        switched,
        committee,
        fitter.fits,
    )


def refit_version(
    config: ModelConfig,
    train: pd.DataFrame,
    holdout: pd.DataFrame,
    until: datetime,
    chosen: Sequence[str],
    spec: str | None = None,
    *,
    only_chosen: bool = False,
) -> Refit:
    """Fit all members on all rows, the holdout's too; those of the probe serve.

    The holdout has the most recent rows. On a drifting stream, a version that was not fitted on them is stale
    before it serves, so it is fitted once more with the holdout (``training.refit``), as after a
    cross-validation. Shadow and canary then check that very version. Members that do not serve are fitted
    for the record. Parameters and errors are those of :func:`probe_version`.

    Parameters
    ----------
    chosen
        The probe's.
    only_chosen
        Fit no others.
    """
    rows = pd.concat([train, holdout], ignore_index=True)
    fitter = MemberFitter(config, until, spec, rows)
    if len(fitter.members) == 1:
        only = fitter.members[0]
        return Refit(fitter.fit(rows, only), None, only.describe(len(rows)))
    names = [member.name for member in fitter.members]
    committee = fitter.committee(rows, chosen if only_chosen else names)
    serving = _serving(committee, chosen)
    return Refit(_estimator(serving), committee, fitter.describe(serving.names), fitter.fits)


def _record(
    fitter: MemberFitter, rows: pd.DataFrame, former: FormerMembers | None
) -> tuple[MemberRecord, tuple[str, ...]]:
    """Return the record up to the newest rows, and the names of the members that serve now."""
    config, names = fitter.config, tuple(member.name for member in fitter.members)
    known = former.record.of(names) if former is not None else None
    if former is None or known is None:
        return reference_record(config, rows, names, fitter.window_rows, fitter.all_members), names
    before = tuple(name for name in names if name in former.chosen) or names
    estimator = former.predictor.estimator
    if not isinstance(estimator, Committee) or not set(names) <= set(estimator.names):
        return known, before  # a member could not be fitted then: nothing to compare with
    whole = estimator.select([estimator.names.index(name) for name in names])
    later = rows[(rows[config.columns.timestamp] >= former.trained_until).to_numpy()]
    predictor = _with_estimator(former.predictor, whole)
    return known.add(score_windows(config, predictor, later, fitter.window_rows)), before


def _with_holdout(
    fitter: MemberFitter, record: MemberRecord, committee: Committee, holdout: pd.DataFrame
) -> MemberRecord:
    """Replace what the former members scored on the holdout by what the probe's score, which are fresher.

    Only where the probe has all members: otherwise it says nothing about the others.
    """
    config = fitter.config
    if committee.names != list(record.members):
        return record
    begin = holdout[config.columns.timestamp].min()
    windows = score_windows(config, Predictor.of(config, committee), holdout, fitter.window_rows)
    if not windows:
        return record
    kept = tuple(each for each in record.windows if each.end < begin)
    return MemberRecord(record.members, kept, record.ageing).add(windows)


def _choose(config: ModelConfig, record: MemberRecord, before: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the members that shall serve."""
    every = subsets(len(record.members))
    allowed: Sequence[int] = range(len(every))
    current = every.index(tuple(n for n, name in enumerate(record.members) if name in before))
    switch_se = SWITCH_SE
    if not config.training.committee:
        allowed, switch_se = [n for n, each in enumerate(every) if len(each) == 1], ONE_RECIPE_SE
        current = current if current in allowed else allowed[0]
    choice = choose_members(record.windows, current, allowed=allowed, switch_se=switch_se)
    return tuple(record.members[n] for n in every[choice.index])


def _serving(committee: Committee, chosen: Sequence[str]) -> Committee:
    """Return the committee of the chosen members; of all where none of them could be fitted."""
    at = [n for n, name in enumerate(committee.names) if name in chosen]
    return committee if len(at) in (0, len(committee.names)) else committee.select(at)


def _estimator(committee: Committee) -> Any:
    """Return the one member of a committee of one, which needs no committee to serve."""
    return committee if len(committee.members) > 1 else committee.members[0]


def _with_estimator(predictor: Predictor, estimator: Any) -> Predictor:
    """Return a predictor of another estimator with the same inputs."""
    return Predictor(
        estimator,
        predictor.kinds,
        predictor.task,
        predictor.as_matrix,
        predictor.spelling,
        predictor.pipeline,
        predictor.threshold,
        predictor.positive,
    )


def _scores(config: ModelConfig, committee: Committee, holdout: pd.DataFrame) -> dict[str, float]:
    """Return each member's score on the holdout; those that cannot be computed are left out."""
    found: dict[str, float] = {}
    for name, member in zip(committee.names, committee.members, strict=True):
        with suppress(DataError):  # the metric cannot be computed: the gate reports it
            found[name] = _score(config, member, holdout)
    return found


def _score(config: ModelConfig, holdout_estimator: Any, holdout: pd.DataFrame) -> float:
    predictor = Predictor.of(config, holdout_estimator)
    found = predictor.predict(holdout)
    classes = None if predictor.classes is None else predictor.classes.tolist()
    truth = holdout[config.columns.label.name].to_numpy()
    return score(
        config.task,
        config.metric,
        truth,
        found.prediction,
        found.proba,
        classes=classes,
        positive=config.columns.label.positive,
    )
