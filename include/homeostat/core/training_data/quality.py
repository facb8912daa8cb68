"""Data quality: Great Expectations over typed rows; failing rows are quarantined, bad tables refused."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from homeostat.config import ModelConfig
from homeostat.config.errors import EmptyWindow, QualityRefused
from homeostat.config.label_text import is_received_name
from homeostat.core.training_data.expectations import ExpectationSpec, build_expectation, expectation_specs
from homeostat.core.training_data.great_expectations_run import validate
from homeostat.core.training_data.quarantine_causes import (
    REASON,
    QuarantineCause,
    causes_in_words,
    coercion_causes,
)


@dataclass(frozen=True, slots=True)
class QualityCheck:
    """The result of one expectation. ``quarantined`` counts the rows that it quarantined."""

    expectation: str
    columns: tuple[str, ...]
    severity: str
    source: str
    verdict: Literal["pass", "alert", "not_computable"]
    unexpected: int
    quarantined: int
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return asdict(self) | {"columns": list(self.columns)}


@dataclass(frozen=True, slots=True)
class QualityReport:
    """The result of all expectations.

    ``passed`` is False when a critical expectation about the whole table fails or cannot be computed,
    or when more than ``training.max_quarantined`` of the rows are quarantined; ``refusals`` says why.
    ``kept`` are the remaining rows, ``quarantined`` the others with their reason. ``causes`` are the rules
    that they violate, and those of the rows that were quarantined before.
    """

    passed: bool
    rows: int
    kept: pd.DataFrame
    quarantined: pd.DataFrame
    checks: tuple[QualityCheck, ...]
    refusals: tuple[str, ...]
    causes: tuple[QuarantineCause, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return counts and checks as plain JSON, without the rows."""
        return {
            "passed": self.passed,
            "rows": self.rows,
            "kept": len(self.kept),
            "quarantined": len(self.quarantined),
            "checks": [check.to_json() for check in self.checks],
            "refusals": list(self.refusals),
        }


@dataclass(frozen=True, slots=True)
class _Evaluated:
    """An expectation with its result; None where its columns are missing."""

    spec: ExpectationSpec
    by_row: bool
    result: Any | None


def check_quality(
    frame: pd.DataFrame, config: ModelConfig, *, already_quarantined: pd.DataFrame | None = None
) -> QualityReport:
    """Run the model's expectations as :func:`run_checks` does, and raise when they refuse the data.

    Raises
    ------
    QualityRefused
        The report's ``passed`` is False; the error carries the report and the quarantined rows.
    EmptyWindow
        There are no rows.
    """
    report = run_checks(frame, config, already_quarantined=already_quarantined)
    if not report.passed:
        msg = f"{config.name}: the data does not pass the quality checks: {'; '.join(report.refusals)}"
        raise QualityRefused(msg, report=report.to_json(), quarantined=report.quarantined)
    return report


def run_checks(
    frame: pd.DataFrame, config: ModelConfig, *, already_quarantined: pd.DataFrame | None = None
) -> QualityReport:
    """Evaluate the expectations of the schema and of ``training.expectations`` on typed rows.

    A row-level expectation that fails and is critical puts its failing rows in quarantine; with
    ``severity: warning`` they are only counted. A table-level one that fails and is critical refuses
    the table, and so does a critical one that cannot be computed.

    Parameters
    ----------
    frame
        Rows from :func:`~homeostat.core.training_data.coercion.coerce_rows`, with their label.
    config
        Gives the schema, ``training.expectations`` and ``training.max_quarantined``.
    already_quarantined
        Rows of the same batch that were quarantined before, with their reasons; they count towards the share.
    """
    if frame.empty:
        msg = f"{config.name}: no rows to check, so data quality is not computable"
        raise EmptyWindow(msg)
    frame = frame.reset_index(drop=True)
    reasons = np.full(len(frame), "", dtype=object)
    checks, refusals = [], []
    with warnings.catch_warnings():
        # Great Expectations imports modules that Python has deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        own = [name for name in frame if not is_received_name(name)]
        results = _run(frame[own], config)
    for one in results:
        check, bad = _to_check(one, frame)
        checks.append(check)
        text = f"{one.spec.source}: {one.spec.type}"
        reasons[bad] = [f"{old}; {text}" if old else text for old in reasons[bad]]
        failed_table = check.verdict == "alert" and not one.by_row
        if one.spec.severity == "critical" and (check.verdict == "not_computable" or failed_table):
            refusals.append(f"{one.spec.source} ({one.spec.type}): {check.reason}")
    bad_rows = reasons != ""
    quarantined = frame[bad_rows].reset_index(drop=True)
    quarantined = quarantined.rename(columns={REASON: f"{REASON} (column)"})
    quarantined[REASON] = pd.Series(reasons[bad_rows], dtype="str")
    before = 0 if already_quarantined is None else len(already_quarantined)
    causes = [] if already_quarantined is None else coercion_causes(already_quarantined)
    causes += [QuarantineCause(_rule(check), check.quarantined) for check in checks if check.quarantined]
    if (len(quarantined) + before) / (len(frame) + before) > config.training.max_quarantined:
        refusals.append(_too_many_quarantined(config, len(quarantined) + before, len(frame) + before, causes))
    return QualityReport(
        passed=not refusals,
        rows=len(frame),
        kept=frame[~bad_rows].reset_index(drop=True),
        quarantined=quarantined,
        checks=tuple(checks),
        refusals=tuple(refusals),
        causes=tuple(causes),
    )


def _too_many_quarantined(
    config: ModelConfig, quarantined: int, rows: int, causes: Sequence[QuarantineCause]
) -> str:
    why = causes_in_words(causes)
    return (
        f"{quarantined} of {rows} rows ({quarantined / rows:.1%}) were quarantined: {why}; "
        f"training.max_quarantined allows {config.training.max_quarantined:.1%}"
    )


def _rule(check: QualityCheck) -> str:
    """Return an expectation as the rule that rows violate; one of the schema names its column itself."""
    columns = ", ".join(f"'{name}'" for name in check.columns)
    what = check.source if check.source.startswith("schema.") else f"{check.source}, {check.expectation}"
    if columns and not check.source.startswith("schema.features."):
        what += f" of {columns}"
    _, _, example = check.reason.partition(", ")
    return f"{what} ({example})" if example else what


def _run(frame: pd.DataFrame, config: ModelConfig) -> list[_Evaluated]:
    """Evaluate every expectation whose columns are there."""
    expectations = [build_expectation(spec, config) for spec in expectation_specs(config)]
    computable = [n for n, one in enumerate(expectations) if not _missing_columns(one.spec, frame)]
    for number in computable:
        expectations[number].built.meta = {"homeostat": number}  # results come back in another order
    results = validate(frame, [expectations[number].built for number in computable])
    by_number = {result.expectation_config.meta["homeostat"]: result for result in results}
    return [_Evaluated(one.spec, one.by_row, by_number.get(n)) for n, one in enumerate(expectations)]


def _missing_columns(spec: ExpectationSpec, frame: pd.DataFrame) -> tuple[str, ...]:
    return tuple(name for name in spec.columns if name not in frame)


def _to_check(evaluated: _Evaluated, frame: pd.DataFrame) -> tuple[QualityCheck, np.ndarray]:
    """Convert one result; also return the positions of the rows to quarantine."""
    spec, result = evaluated.spec, evaluated.result
    none = np.array([], dtype=np.int64)
    if result is None:
        known = ", ".join(map(str, frame.columns))
        missing = ", ".join(map(repr, _missing_columns(spec, frame)))
        return _check(spec, "not_computable", 0, 0, f"no column {missing}; the columns are: {known}"), none
    raised = _exception_message(result.exception_info)
    if raised is not None:
        return _check(spec, "not_computable", 0, 0, raised), none
    found = result.result
    unexpected = int(found.get("unexpected_count") or 0)
    if result.success:
        return _check(spec, "pass", unexpected, 0, "as expected"), none
    if not evaluated.by_row:
        return _check(spec, "alert", unexpected, 0, f"found {_short(found.get('observed_value'))}"), none
    examples = ", ".join(dict.fromkeys(_short(v) for v in (found.get("partial_unexpected_list") or [])[:3]))
    reason = f"{unexpected} of {found.get('element_count')} rows" + (
        f", for example {examples}" if examples else ""
    )
    rows = found.get("unexpected_index_list")
    if rows is None:
        return _check(spec, "not_computable", unexpected, 0, f"{reason}; the rows are not known"), none
    bad = np.asarray(rows, dtype=np.int64) if spec.severity == "critical" else none
    return _check(spec, "alert", unexpected, len(bad), reason), bad


def _check(
    spec: ExpectationSpec,
    verdict: Literal["pass", "alert", "not_computable"],
    unexpected: int,
    quarantined: int,
    reason: str,
) -> QualityCheck:
    return QualityCheck(
        spec.type, spec.columns, spec.severity, spec.source, verdict, unexpected, quarantined, reason
    )


def _exception_message(info: Mapping[str, Any]) -> str | None:
    """Return what an expectation raised; Great Expectations may nest this by metric."""
    nested = [info] if "raised_exception" in info else list(info.values())
    messages = [str(item.get("exception_message")) for item in nested if item.get("raised_exception")]
    return f"could not be computed: {messages[0]}" if messages else None


def _short(value: Any) -> str:
    if isinstance(value, (float, np.floating)):
        return "nothing" if math.isnan(value) else f"{float(value):g}"
    text = str(value)
    return text if len(text) <= 80 else text[:77] + "..."
