"""Create a model folder from a table of rows with labels: everything in it is guessed from the rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd

from homeostat.adapters.table_rows import FILE_ROWS, read_frame
from homeostat.adapters.tables import Table, open_table
from homeostat.core.training_data.categories import as_category
from homeostat.core.training_data.columns import as_number, as_time
from homeostat.scaffold import create_folder, require_estimator, require_free_name, valid_name
from homeostat.scaffold.table_checks import MAX_ROWS, sum_note, without_copies, without_counters
from homeostat.scaffold.table_guess import TableGuess, Task, guess_table
from homeostat.scaffold.table_pace import DEFAULT_PACE, Pace, pace_of
from homeostat.scaffold.table_scan import scan_table
from homeostat.scaffold.table_time import choose_time, require_column
from homeostat.scaffold.write_model import Draft, write_files

#: The file of the rows in the model's folder, where the table has no times.
ROWS_FILE = "rows.parquet"
#: Distance between two rows of a table without times, and how long ago the last one is taken to have been:
#: longer than the delay of any label, since a retrain learns only from rows whose labels are known by then.
SPACING, AGO = timedelta(minutes=1), timedelta(days=365)


@dataclass(frozen=True, slots=True)
class NewModel:
    """A model folder that was written, and what it was written from.

    ``data`` is the table to replay: the given one, or the copy with times. ``has_times`` says which.
    """

    name: str
    folder: Path
    data: str
    guess: TableGuess
    pace: Pace
    has_times: bool


def model_from_table(  # noqa: PLR0913  # one parameter for each option of the command
    uri: str,
    models_folder: Path,
    *,
    label: str,
    time: str = "",
    name: str = "",
    task: Task | None = None,
    estimator: str = "sklearn",
    date_formats: Mapping[str, str] | None = None,
    now: datetime,
) -> NewModel:
    """Look at a table, guess the model's schema and settings, and write its folder.

    A table without times is copied to :data:`ROWS_FILE` in the folder, with times :data:`SPACING` apart that
    end :data:`AGO` before ``now``; rows that are grouped by their label are mixed first, always alike.

    Raises
    ------
    HomeostatError
        The table cannot be read or has no such columns, nothing can be predicted, or the folder exists.
    """
    require_estimator(estimator)
    formats = dict(date_formats or {})
    table = open_table(uri)
    for option, column in (("--label", label), *((("--time", time),) if time else ())):
        require_column(option, column, list(table.names), uri)
    for column, text in formats.items():
        require_column(f"--date-format {column}={text}:", column, list(table.names), uri)
    name = name or valid_name(Path(uri.rstrip("/")).name.split(".")[0]) or "model"
    require_free_name(name, models_folder)
    columns = scan_table(table, formats)
    when = choose_time(columns, label, time, formats, uri)
    if when.date_format and when.name not in formats:
        columns |= {when.name: scan_table(table, {when.name: when.date_format})[when.name]}
    guess = guess_table(columns, label, when, uri, task)
    sample = _sample(table, guess)
    guess = _checked(guess, sample)
    if when.name:
        kind = table.files[0].kind
        place = uri if "://" in uri else str(Path(uri).resolve())
        source = {"kind": kind, "uri": place}
        pace = pace_of(columns[when.name].seconds)
        draft = Draft(name, uri, guess, pace, source, example_row(guess, sample), estimator)
        folder = create_folder(name, models_folder, lambda into: write_files(draft, into))
        return NewModel(name, folder, uri, guess, pace, has_times=True)
    guess, rows = _with_times(table, guess, now)
    pace = replace(DEFAULT_PACE, last=rows[guess.timestamp].iloc[-1].timestamp())
    source = {"kind": "parquet", "uri": ROWS_FILE}
    draft = Draft(name, uri, guess, pace, source, example_row(guess, sample), estimator)

    def write(folder: Path) -> None:
        rows.to_parquet(folder / ROWS_FILE, index=False)
        write_files(draft, folder)

    folder = create_folder(name, models_folder, write)
    return NewModel(name, folder, str(folder / ROWS_FILE), guess, pace, has_times=False)


def example_row(guess: TableGuess, sample: pd.DataFrame) -> dict[str, float | str]:
    """Return the inputs of the newest row of which most are known, as a request has them."""
    known = sample[list(guess.features)].notna().sum(axis=1).to_numpy()
    at = len(known) - 1 - int(known[::-1].argmax())
    row: dict[str, float | str] = {}
    for name, feature in guess.features.items():
        typed = as_number(sample[name]) if feature.type == "number" else as_category(sample[name])
        value = typed.column.iloc[at]
        if pd.notna(value):
            row[name] = str(value) if feature.type == "category" else float(value)
    return {key: int(value) if _is_whole(value) else value for key, value in row.items()}


def _is_whole(value: float | str) -> bool:
    return isinstance(value, float) and value.is_integer() and abs(value) < 2**53


def _sample(table: Table, guess: TableGuess) -> pd.DataFrame:
    """Return at most :data:`MAX_ROWS` rows, in their order, always the same."""
    names = [*guess.features, guess.label, *([guess.timestamp] if guess.timestamp else [])]
    rows = read_frame(table, names)
    if len(rows) > MAX_ROWS:
        rows = rows.sample(n=MAX_ROWS, random_state=0).sort_index()
    return rows.reset_index(drop=True)


def _checked(guess: TableGuess, sample: pd.DataFrame) -> TableGuess:
    before = guess
    guess = without_copies(guess, sample)
    if guess.timestamp:
        times = as_time(sample[guess.timestamp], guess.timestamp_format or None).column
        guess = without_counters(guess, sample, times)
    if not guess.features:
        guess = before  # something has to be left; the notes of the backtest show it
    note = sum_note(guess, sample)
    return replace(guess, notes=(*guess.notes, note)) if note else guess


def _with_times(table: Table, guess: TableGuess, now: datetime) -> tuple[TableGuess, pd.DataFrame]:
    """Return the rows of a table without times with invented ones, and the guess with their column."""
    timestamp = "timestamp"
    while timestamp in table.names:
        timestamp += "_"
    rows = read_frame(table, [*guess.features, guess.label])
    rows.attrs.pop(FILE_ROWS)
    note = (
        "no column of times: the rows count as one minute apart, in the order of the file, until a year ago, "
        f"in the copy {ROWS_FILE}. So the backtest cannot show whether the model ages; live traffic has its "
        "own times"
    )
    if is_grouped(rows[guess.label]):
        rows = rows.sample(frac=1, random_state=0, ignore_index=True)
        note += f". The file is sorted by '{guess.label}', so its rows are mixed first"
    last = pd.Timestamp(now.astimezone(UTC) - AGO).floor("min").as_unit("us")
    times = pd.Series(last - SPACING * pd.RangeIndex(len(rows) - 1, -1, -1), name=timestamp)
    timed = pd.concat([times, rows.reset_index(drop=True)], axis=1)
    return replace(guess, timestamp=timestamp, notes=(*guess.notes, note)), timed


def is_grouped(label: pd.Series) -> bool:
    """Return whether rows of equal labels stand together, so that the last rows show nothing of the first.

    Of few classes each then has a few runs of rows; of numbers nearly all steps go the same way.
    """
    codes, values = pd.factorize(label)
    runs = 1 + int((codes[1:] != codes[:-1]).sum())
    if 20 * runs <= len(codes) and runs <= 3 * len(values):
        return True
    numbers = pd.to_numeric(label, errors="coerce").dropna()
    steps = numbers.diff().dropna()
    rises = float((steps >= 0).mean()) if len(steps) else 0.5
    return len(values) > 20 and not 0.01 < rises < 0.99
