"""The drift command: compare two tables, without a server and without a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape

from homeostat.cli.console import err, print_json, progress, say
from homeostat.config import ModelConfig
from homeostat.config.errors import ConfigError, DataError
from homeostat.config.model import Monitor

#: ``monitor.min_rows`` without a model.yaml; with fewer rows there is no verdict on the whole table.
MIN_ROWS = 20


def compare_files(
    reference: str,
    current: str,
    *,
    config: Path | None,
    as_json: bool,
    html: Path | None,
    fail_on_drift: bool,
    date_formats: Sequence[str] = (),
) -> None:
    """Compare two tables, and print the result as a table or JSON; write a page with ``html``.

    ``date_formats`` are of the form ``COLUMN=FORMAT``.

    Raises
    ------
    HomeostatError
        A table or model.yaml cannot be read; the message says what to do.
    SystemExit
        With status 1 when ``fail_on_drift`` and the verdict is not pass.
    """
    from homeostat.adapters.engines.any_table import open_any_table
    from homeostat.cli.commands.drift_compare import compare_tables
    from homeostat.cli.commands.drift_page import drift_page
    from homeostat.cli.commands.drift_readings import parse_date_formats
    from homeostat.cli.commands.drift_table import print_table

    formats = parse_date_formats(date_formats)
    model = load_any_folder(config) if config else None
    monitor = model.monitor if model else Monitor(min_rows=MIN_ROWS)
    bar = progress("columns")
    bar.disable = not err.is_terminal
    with bar, open_any_table(reference) as before, open_any_table(current) as now:
        total = len(before.names) + len(now.names)
        task = bar.add_task(f"comparing {escape(_last_part(now.uri))}", total=total)
        found = compare_tables(before, now, monitor, model, lambda done: bar.advance(task, done), formats)
    if html:
        _write(html, drift_page(found))
    if as_json:
        print_json(found.to_json())
    else:
        print_table(found)
        if html:
            say(f"report: {html}", "dim")
    if fail_on_drift and found.verdict != "pass":
        raise SystemExit(1)


def _write(path: Path, page: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        msg = f"{path} cannot be written: {error.strerror}; give --html another file"
        raise DataError(msg) from error


def load_any_folder(path: Path) -> ModelConfig:
    """Read model.yaml from a folder of any name; ``load_model`` requires the model's name."""
    from pydantic import ValidationError

    from homeostat.config import load

    path = path / "model.yaml" if path.is_dir() else path
    raw, positions = load._read(path)  # noqa: SLF001  # load_model wants the folder named after the model
    try:
        return ModelConfig.model_validate(raw)
    except ValidationError as error:
        raise ConfigError("\n".join(load._sentences(path, error, positions))) from None  # noqa: SLF001


def _last_part(uri: str) -> str:
    return uri.rstrip("/").rpartition("/")[2] or uri
