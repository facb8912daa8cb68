"""Read rows with labels from the ``source`` of model.yaml."""

from __future__ import annotations

from datetime import UTC, datetime

import pandas as pd

from homeostat.adapters.source_rows import config_location, schema_columns, select_window
from homeostat.config import ModelConfig
from homeostat.config.errors import DataError, HomeostatError, PipelineError
from homeostat.ports import Store

_FAR_FUTURE = datetime(9999, 1, 1, tzinfo=UTC)


class ConfiguredSource:
    """Reads by ``source.kind``: csv, parquet, sql, loader or predictions.

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
        return select_window(self._rows(config, start, end), config, start, end)

    def _rows(self, config: ModelConfig, start: datetime | None, end: datetime | None) -> pd.DataFrame:
        kind = config.source.kind
        if kind == "sql":
            from homeostat.adapters.source_sql import read_sql

            return read_sql(config, start, end)
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
            keys = self._store.list(f"log/{config.name}/predictions")
            days = sorted(key.partition("/date=")[2][:10] for key in keys)
            if not days:
                return pd.DataFrame(columns=schema_columns(config))
            first = first or datetime.fromisoformat(f"{days[0]}T00:00:00+00:00")
            last = last or datetime.fromisoformat(f"{days[-1]}T23:59:59.999999+00:00")
        # Without an end, every label that has arrived counts.
        known = {} if end is not None else {"known_by": _FAR_FUTURE}
        return read_labelled(self._store, config, first, last, **known)


def _call_loader(config: ModelConfig, start: datetime | None, end: datetime | None) -> pd.DataFrame:
    from homeostat.bundle.pipeline import load_pipeline

    where = config_location(config, "source.loader")
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
