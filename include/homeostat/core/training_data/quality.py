"""The quality gate: Great Expectations over typed rows; failing rows set aside, bad tables refused."""

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
from homeostat.core.training_data.coerce_rows import REASON
from homeostat.core.training_data.expectations import Wish, build, wishes


@dataclass(frozen=True, slots=True)
class QualityCheck:
    """How one expectation came out. ``quarantined`` counts the rows it set aside."""

    expectation: str
    columns: tuple[str, ...]
    severity: str
    source: str
    verdict: Literal["pass", "alert", "not_computable"]
    unexpected: int
    quarantined: int
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self) | {"columns": list(self.columns)}


@dataclass(frozen=True, slots=True)
class QualityReport:
    """What the quality gate found.

    ``passed`` is False when a critical expectation about the whole table fails or cannot be computed,
    or when more than ``training.max_quarantined`` of the rows had to be set aside; ``refusals`` then
    says why. ``kept`` are the rows that stay, ``quarantined`` the others with their reason.
    """

    passed: bool
    rows: int
    kept: pd.DataFrame
    quarantined: pd.DataFrame
    checks: tuple[QualityCheck, ...]
    refusals: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Counts and checks as plain JSON; the rows themselves are not in it."""
        return {
            "passed": self.passed,
            "rows": self.rows,
            "kept": len(self.kept),
            "quarantined": len(self.quarantined),
            "checks": [check.to_json() for check in self.checks],
            "refusals": list(self.refusals),
        }


def check_quality(frame: pd.DataFrame, config: ModelConfig, *, already: int = 0) -> QualityReport:
    """Hold typed rows against the model's expectations, as :func:`examine` does, and insist.

    Raises
    ------
    QualityRefused
        The report's ``passed`` is False; the error carries the report and the quarantined rows.
    EmptyWindow
        There are no rows: nothing was found good.
    """
    report = examine(frame, config, already=already)
    if not report.passed:
        msg = f"{config.name}: the data is not good enough to train on: {'; '.join(report.refusals)}"
        raise QualityRefused(msg, report=report.to_json(), quarantined=report.quarantined)
    return report


def examine(frame: pd.DataFrame, config: ModelConfig, *, already: int = 0) -> QualityReport:
    """Evaluate the expectations of the schema and of ``training.expectations`` on typed rows.

    A row-level expectation that fails and is critical puts its failing rows in quarantine; with
    ``severity: warning`` they are only counted. A table-level one that fails and is critical refuses
    the whole. One that cannot be computed is never a pass.

    Parameters
    ----------
    frame
        Rows from :func:`~homeostat.core.training_data.coerce_rows.conform`, with their label.
    config
        Whose schema, ``training.expectations`` and ``training.max_quarantined`` count.
    already
        Rows of the same batch that were quarantined before; they count towards the share.
    """
    if frame.empty:
        msg = f"{config.name}: no rows to check: not computable, which is not the same as good"
        raise EmptyWindow(msg)
    frame = frame.reset_index(drop=True)
    reasons = np.full(len(frame), "", dtype=object)
    checks, refusals = [], []
    with warnings.catch_warnings():
        # Great Expectations imports modules that Python itself has deprecated; nobody here can mend that.
        warnings.simplefilter("ignore", DeprecationWarning)
        results = _run(frame, config)
    for wish, by_row, result in results:
        check, bad = _judge(wish, result, by_row=by_row, frame=frame)
        checks.append(check)
        text = f"{wish.source}: {wish.type}"
        reasons[bad] = [f"{old}; {text}" if old else text for old in reasons[bad]]
        if wish.severity == "critical" and (
            check.verdict == "not_computable" or (check.verdict == "alert" and not by_row)
        ):
            refusals.append(f"{wish.source} ({wish.type}): {check.reason}")
    bad_rows = reasons != ""
    quarantined = frame[bad_rows].reset_index(drop=True)
    quarantined = quarantined.rename(columns={REASON: f"{REASON} (column)"})
    quarantined[REASON] = pd.Series(reasons[bad_rows], dtype="str")
    share = (len(quarantined) + already) / (len(frame) + already)
    if share > config.training.max_quarantined:
        refusals.append(_too_many(len(quarantined) + already, len(frame) + already, share, checks, config))
    return QualityReport(
        passed=not refusals,
        rows=len(frame),
        kept=frame[~bad_rows].reset_index(drop=True),
        quarantined=quarantined,
        checks=tuple(checks),
        refusals=tuple(refusals),
    )


def _too_many(bad: int, rows: int, share: float, checks: Sequence[QualityCheck], config: ModelConfig) -> str:
    worst = max(checks, key=lambda check: check.quarantined)
    most = f", most of them for {worst.source} ({worst.reason})" if worst.quarantined else ""
    return (
        f"{bad} of {rows} rows ({share:.1%}) had to be quarantined{most}; "
        f"training.max_quarantined allows {config.training.max_quarantined:.1%}"
    )


def _run(frame: pd.DataFrame, config: ModelConfig) -> list[tuple[Wish, bool, Any]]:
    """Every wish with whether it judges by row, and its result (None where its columns are missing)."""
    asked = [(wish, *build(wish, config)) for wish in wishes(config)]
    askable = [(number, built) for number, (wish, built, _) in enumerate(asked) if _absent(wish, frame) == ()]
    for number, built in askable:
        built.meta = {"homeostat": number}  # results come back in an order of their own
    results = {result.expectation_config.meta["homeostat"]: result for result in _validate(frame, askable)}
    return [(wish, by_row, results.get(number)) for number, (wish, _, by_row) in enumerate(asked)]


def _validate(frame: pd.DataFrame, askable: Sequence[tuple[int, Any]]) -> list[Any]:
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    if not askable:
        return []
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("rows").add_dataframe_asset("rows")
    batch = asset.add_batch_definition_whole_dataframe("all")
    suite = context.suites.add(gx.ExpectationSuite("training", expectations=[built for _, built in askable]))
    definition = gx.ValidationDefinition(name="training", data=batch, suite=suite)
    run = definition.run(batch_parameters={"dataframe": frame}, result_format={"result_format": "COMPLETE"})
    return list(run.results)


def _absent(wish: Wish, frame: pd.DataFrame) -> tuple[str, ...]:
    return tuple(name for name in wish.columns if name not in frame)


def _judge(wish: Wish, result: Any, *, by_row: bool, frame: pd.DataFrame) -> tuple[QualityCheck, np.ndarray]:
    """One result as a check of ours, and the positions of the rows to set aside."""
    none = np.array([], dtype=np.int64)
    if result is None:
        there = ", ".join(map(str, frame.columns))
        reason = f"no column {', '.join(map(repr, _absent(wish, frame)))}; there are: {there}"
        return _check(wish, "not_computable", 0, 0, reason), none
    raised = _raised(result.exception_info)
    if raised is not None:
        return _check(wish, "not_computable", 0, 0, raised), none
    found = result.result
    unexpected = int(found.get("unexpected_count") or 0)
    if result.success:
        return _check(wish, "pass", unexpected, 0, "as expected"), none
    if not by_row:
        return _check(wish, "alert", unexpected, 0, f"found {_shown(found.get('observed_value'))}"), none
    examples = ", ".join(dict.fromkeys(_shown(v) for v in (found.get("partial_unexpected_list") or [])[:3]))
    reason = f"{unexpected} of {found.get('element_count')} rows" + (
        f", for example {examples}" if examples else ""
    )
    rows = found.get("unexpected_index_list")
    if rows is None:
        return _check(wish, "not_computable", unexpected, 0, f"{reason}; which rows is not known"), none
    bad = np.asarray(rows, dtype=np.int64) if wish.severity == "critical" else none
    return _check(wish, "alert", unexpected, len(bad), reason), bad


def _check(
    wish: Wish,
    verdict: Literal["pass", "alert", "not_computable"],
    unexpected: int,
    quarantined: int,
    reason: str,
) -> QualityCheck:
    return QualityCheck(
        wish.type, wish.columns, wish.severity, wish.source, verdict, unexpected, quarantined, reason
    )


def _raised(info: Mapping[str, Any]) -> str | None:
    """What an expectation raised: Great Expectations nests this by metric, or does not."""
    nested = [info] if "raised_exception" in info else list(info.values())
    messages = [str(item.get("exception_message")) for item in nested if item.get("raised_exception")]
    return f"could not be computed: {messages[0]}" if messages else None


def _shown(value: Any) -> str:
    if isinstance(value, (float, np.floating)):
        return "nothing" if math.isnan(value) else f"{float(value):g}"
    text = str(value)
    return text if len(text) <= 80 else text[:77] + "..."
