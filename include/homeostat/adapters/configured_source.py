"""Read rows with labels from the ``source`` of model.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pandas as pd

from homeostat.adapters.source_rows import config_location, schema_columns, select_window
from homeostat.config import ModelConfig
from homeostat.config.errors import DataError, HomeostatError, PipelineError
from homeostat.core.profile import Profile, ProfileEdges, Season, Slices
from homeostat.core.training_data.far_times import FAR_TIMES
from homeostat.core.training_data.file_cells import FILE_NOTES, OPEN_DATES
from homeostat.core.training_data.history import join_history
from homeostat.core.training_data.sampling import SAMPLED
from homeostat.ports import Store

_DAY = timedelta(days=1)
_LAST = datetime(9999, 12, 31, 23, tzinfo=UTC)


class ConfiguredSource:
    """Reads by ``source.kind``: csv, parquet, sql, engine, loader or predictions with its history.

    Parameters
    ----------
    store
        Holds the gateway's prediction log; only ``kind: predictions`` reads it.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def read(self, config: ModelConfig, start: datetime | None, end: datetime | None) -> pd.DataFrame:
        """See :meth:`homeostat.ports.Source.read`.

        Returns the schema's columns that the source has; :mod:`homeostat.core.training_data` checks for
        missing ones. A row whose timestamp cannot be parsed is returned as NaT, in the window of the row
        before it, so that it is quarantined and counted once.

        Raises
        ------
        DataError
            The source does not exist or cannot be read; the message names model.yaml and the key.
        Unavailable
            The database or the object store does not answer.
        """
        rows = select_window(self._rows(config, start, end), config, start, end)
        if config.source.history is None:
            return rows
        before = config.history_only()
        history = select_window(self._rows(before, start, end), before, start, end)
        joined, origins = join_history(history, rows, config)
        joined = select_window(joined, config, start, end)
        joined.attrs["origins"] = origins
        notes = [note for part in (history, rows) for note in part.attrs.get(FILE_NOTES, [])]
        if notes:
            joined.attrs[FILE_NOTES] = notes
        for key in (FAR_TIMES, OPEN_DATES, SAMPLED):
            found = [part.attrs[key] for part in (history, rows) if key in part.attrs]
            if found:
                joined.attrs[key] = "; ".join(found)
        return joined

    def count(
        self,
        config: ModelConfig,
        edges: ProfileEdges,
        start: datetime,
        end: datetime,
        season: Season | None,
        slices: Slices | None,
    ) -> Mapping[tuple[int, ...], Profile] | None:
        """See :meth:`homeostat.ports.Source.count`; engines count their own rows."""
        if config.source.kind != "engine":
            return None
        from homeostat.adapters.engines.training_rows import count_window

        return count_window(config, edges, start, end, season, slices)

    def _rows(self, config: ModelConfig, start: datetime | None, end: datetime | None) -> pd.DataFrame:
        kind = config.source.kind
        if kind == "sql":
            from homeostat.adapters.source_sql import read_sql

            return read_sql(config, start, end)
        if kind == "engine":
            from homeostat.adapters.engines.training_rows import read_rows

            return read_rows(config, start, end)
        if kind == "loader":
            return _call_loader(config, start, end)
        if kind == "predictions":
            return self._predictions(config, start, end)
        from homeostat.adapters.source_files import read_files

        return read_files(config, start, end)

    def _predictions(self, config: ModelConfig, start: datetime | None, end: datetime | None) -> pd.DataFrame:
        from homeostat.storage.label_join import read_labelled

        first, last = start, end
        if first is None or last is None:
            days = self._logged_days(config, "predictions")
            if not days:
                return pd.DataFrame(columns=schema_columns(config))
            first = first or days[0]
            last = last or _after(days[-1], _DAY)
        # The label of the last row is known one delay after it. Without an end, every label counts.
        known_by = _after(last, config.columns.label.delay)
        if end is None:
            known_by = max([known_by, *(_after(day, _DAY) for day in self._logged_days(config, "labels"))])
        return read_labelled(self._store, config, first, last, known_by=known_by)

    def _logged_days(self, config: ModelConfig, kind: str) -> list[datetime]:
        """Return the days for which the log has files, in order."""
        keys = self._store.list(f"log/{config.name}/{kind}")
        days = {key.partition("/date=")[2].partition("/")[0] for key in keys}
        found = []
        for day in days:
            with suppress(ValueError):  # not a folder of the log
                found.append(datetime.fromisoformat(f"{day}T00:00:00+00:00"))
        return sorted(found)


def _after(moment: datetime, length: timedelta) -> datetime:
    """Return a later time, at most the end of the calendar: a client may send rows of the year 9999."""
    return moment + min(length, _LAST - moment)


def _call_loader(config: ModelConfig, start: datetime | None, end: datetime | None) -> pd.DataFrame:
    from homeostat.bundle.pipeline import load_pipeline

    where = config_location(config, f"{config.source.key}.loader")
    load = load_pipeline(config, config.source.loader)
    try:
        rows = load(start, end)
    except HomeostatError:
        raise
    except Exception as error:
        msg = f"{where}: {config.source.loader} failed with {type(error).__name__}: {error}"
        raise DataError(msg) from error
    if not isinstance(rows, pd.DataFrame):
        msg = f"{where}: {config.source.loader} returned {type(rows).__name__}, expected a pandas DataFrame"
        raise PipelineError(msg)
    return rows
