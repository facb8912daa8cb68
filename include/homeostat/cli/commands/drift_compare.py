"""Two tables column by column: a verdict for each, and one for all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from homeostat.adapters.tables import Table
from homeostat.cli.commands.drift_columns import Column, Tick, look_at_current, look_at_reference
from homeostat.cli.commands.drift_schema import schema_of
from homeostat.config import ModelConfig
from homeostat.config.errors import DataError
from homeostat.config.model import Monitor
from homeostat.core.drift import DriftReport, FeatureVerdict, SchemaFinding, compare
from homeostat.core.drift.report import Verdict
from homeostat.core.profile import Counts, Frames, Kind, Profile
from homeostat.core.profile.infer import Look, runs_with_time

#: What a column's entry says in JSON, in this order; what does not apply is null.
KEYS = (
    *("kind", "verdict", "reason", "ks", "ks_error", "p_value", "p_adjusted", "psi", "chi2", "cramers_v"),
    *("js", "wasserstein", "missing_reference", "missing_current", "unseen_share"),
)
# Keeps a column that happens to be called "prediction" from being taken for a model's answer.
_PREFIX = "column "


@dataclass(frozen=True, slots=True)
class Entry:
    """One column's figures and verdict, and the counts that a picture is made of."""

    figures: FeatureVerdict
    kind: str | None
    counted: bool  # whether it takes part in the drifted share
    reference: Counts | None = None
    current: Counts | None = None
    dates: bool = False

    @property
    def name(self) -> str:
        """The column's name."""
        return self.figures.name

    @property
    def verdict(self) -> Verdict:
        """Alert, pass, or not computable."""
        return self.figures.verdict

    def to_json(self) -> dict[str, Any]:
        """The documented keys; what does not apply is None."""
        found = asdict(self.figures) | {"kind": self.kind}
        return {key: found[key] for key in KEYS}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that was found in two tables."""

    reference: str
    current: str
    rows: tuple[int, int]
    monitor: Monitor
    entries: tuple[Entry, ...]
    schema: tuple[SchemaFinding, ...]
    drifted_share: float | None
    verdict: Verdict
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Plain JSON: no NaN, no numpy."""
        return {
            "columns": {entry.name: entry.to_json() for entry in self.entries},
            "schema": [asdict(finding) for finding in self.schema],
            "drifted_share": self.drifted_share,
            "verdict": self.verdict,
            "reason": self.reason,
            "rows": dict(zip(("reference", "current"), self.rows, strict=True)),
        }


def compare_tables(
    reference: Table, current: Table, monitor: Monitor, config: ModelConfig | None, tick: Tick
) -> Comparison:
    """Compare every column of two tables.

    Parameters
    ----------
    reference, current
        What the columns are used to look like, and the rows in question.
    monitor
        The thresholds.
    config
        Types of the columns, and which of them are features: only those enter into the drifted share
        then. Without one every column that both have does.
    tick
        Told how much was done since the last time, in columns.

    Raises
    ------
    DataError
        The tables have no column in common.
    """
    if not set(reference.names) & set(current.names):
        msg = (
            f"no column in common: {reference.uri} has {_listed(reference.names)}; "
            f"{current.uri} has {_listed(current.names)}"
        )
        raise DataError(msg)
    columns = {name: Column(name) for name in dict.fromkeys((*reference.names, *current.names))}
    wanted = {name: feature.type for name, feature in config.columns.features.items()} if config else {}
    look_at_reference([columns[name] for name in reference.names], reference, dict(wanted), tick)
    look_at_current([columns[name] for name in current.names], current, tick)
    for column in columns.values():
        _drop_what_runs(column, wanted)
    rows = tuple(
        max((look.rows for look in looks if look), default=0)
        for looks in ([c.in_reference for c in columns.values()], [c.in_current for c in columns.values()])
    )
    inside = [column for column in columns.values() if not config or column.name in wanted]
    beside = [column for column in columns.values() if column not in inside]
    report = _compared(inside, rows, monitor)
    entries = {entry.name: entry for entry in _entries(inside, report, monitor, counted=True)}
    for entry in _entries(beside, _compared(beside, rows, monitor), monitor, counted=False):
        note = _role(entry.name, config)
        reason = f"{entry.figures.reason}; {note}" if note else entry.figures.reason
        entries[entry.name] = replace(entry, figures=replace(entry.figures, reason=reason))
    findings = schema_of(list(columns.values()), reference, current, config)
    named = {(finding.column, finding.kind) for finding in findings}
    gone = {finding.column for finding in findings if finding.kind == "missing"}
    for finding in report.schema:
        plain = replace(finding, column=finding.column.removeprefix(_PREFIX))
        if plain.column not in gone and (plain.column, plain.kind) not in named:
            findings.append(plain)
    findings += [
        SchemaFinding(entry.name, "missing_rate", entry.figures.reason, "warning")
        for entry in entries.values()
        if entry.verdict == "alert" and entry.figures.p_value is None and entry.reference is None
    ]
    return Comparison(
        reference.uri,
        current.uri,
        (rows[0], rows[1]),
        monitor,
        tuple(entries[name] for name in columns if name in entries),
        tuple(findings),
        report.drifted_share,
        report.verdict,
        _sentence(report, config),
    )


def _drop_what_runs(column: Column, wanted: dict[str, Kind]) -> None:
    """Take back the edges of a timestamp or a running number: it differs in any two files."""
    before, now, counts = column.in_reference, column.in_current, column.current
    if counts is None or before is None or now is None or column.name in wanted:
        return
    if column.kind not in ("number", "datetime") or not counts.placed:
        return
    outside = max(int(counts.slots[0]), int(counts.slots[-1])) / counts.placed
    if runs_with_time(before, now, outside):
        column.frame = column.reference = column.current = None
        column.kind = "datetime" if column.kind == "datetime" else "id"


def _compared(columns: Sequence[Column], rows: tuple[int, ...], monitor: Monitor) -> DriftReport:
    """Hold the columns that have edges against each other; one that is gone counts as all missing."""
    known = [column for column in columns if column.frame is not None and column.reference is not None]
    frames = Frames({_PREFIX + c.name: c.frame for c in known if c.frame is not None})
    sides: list[dict[str, Counts]] = [{}, {}]
    for column in known:
        assert column.reference is not None  # noqa: S101  # for mypy: known ones have both
        assert column.frame is not None  # noqa: S101
        empty = Counts(column.frame, np.zeros(column.frame.size, dtype=np.int64), missing=rows[1])
        sides[0][_PREFIX + column.name] = column.reference
        sides[1][_PREFIX + column.name] = empty if column.current is None else column.current
    return compare(Profile(frames, rows[0], sides[0]), Profile(frames, rows[1], sides[1]), monitor)


def _entries(
    columns: Iterable[Column], report: DriftReport, monitor: Monitor, *, counted: bool
) -> Iterable[Entry]:
    found = {verdict.name.removeprefix(_PREFIX): verdict for verdict in (*report.features, *report.outputs)}
    for column in columns:
        before, now = _rate(column.in_reference), _rate(column.in_current)
        verdict = found.get(column.name)
        if verdict is None:
            yield Entry(_left_out(column, before, now, monitor), _kind_name(column), counted=False)
        elif column.in_current is None:
            reason = "the current table does not have this column"
            gone = FeatureVerdict(
                column.name, verdict.kind, "not_computable", reason, None, missing_reference=before
            )
            yield Entry(gone, _kind_name(column), counted, column.reference, None, column.dates)
        else:
            blank = ", ".join(sorted(map(repr, column.blanks)))
            reason = verdict.reason + (f"; {blank} is read as missing" if blank else "")
            figures = replace(verdict, name=column.name, reason=reason)
            yield Entry(figures, _kind_name(column), counted, column.reference, column.current, column.dates)


def _left_out(column: Column, before: float | None, now: float | None, monitor: Monitor) -> FeatureVerdict:
    verdict: Verdict = "not_computable"
    reason = _why_left_out(column)
    if before is not None and now is not None and now - before > monitor.max_missing:
        verdict, reason = "alert", f"missing rate rose from {before:.1%} to {now:.1%}; {reason}"
    # The kind of a verdict is what was compared; here nothing was.
    return FeatureVerdict(
        column.name, "number", verdict, reason, None, missing_reference=before, missing_current=now
    )


def _why_left_out(column: Column) -> str:
    if column.in_reference is None:
        return "the reference does not have this column"
    if column.in_current is None:
        return "the current table does not have this column"
    rows = column.in_reference.rows
    reasons = {
        "datetime": "runs with time, as a timestamp does: always different, so left out",
        "opaque": f"holds {column.in_reference.opaque}: take out of it what is to be compared",
        "empty": f"the reference has no values: all {rows} rows are missing" if rows else "no rows",
        "number": "no rows",
        "category": "no rows",
    }
    if column.kind == "id" and column.in_reference.numbers > sum(column.in_reference.words.values()):
        return "runs on from row to row, as an id does: always different, so left out"
    unique = "most values stand only once, as ids and free text do: there is no distribution to compare"
    return reasons.get(column.kind, unique)


def _kind_name(column: Column) -> str | None:
    return None if column.kind in ("empty", "opaque") else column.kind


def _rate(look: Look | None) -> float | None:
    return look.missing / look.rows if look and look.rows else None


def _role(name: str, config: ModelConfig | None) -> str:
    if config is None:
        return ""
    columns = config.columns
    roles = {columns.label.name: "the label", columns.timestamp: "the timestamp", columns.key: "the key"}
    return f"{roles[name]} of model.yaml, beside the share" if name in roles else "not in model.yaml"


def _sentence(report: DriftReport, config: ModelConfig | None) -> str:
    text = report.reason.replace(_PREFIX, "").replace("monitor.min_rows asks for", "at least needed:")
    if text == "the reference has no values in any feature":
        return "there is no column that can be compared"
    return text if config else text.replace("features drifted", "columns drifted")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
