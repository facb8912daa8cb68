"""Rows and windows of a model whose ``source`` is a table of an engine."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from zlib import crc32

import pandas as pd
import pyarrow as pa

from homeostat.adapters.engines.airflow_connection import connection_url
from homeostat.adapters.engines.connect import open_engine
from homeostat.adapters.engines.location import parse_location
from homeostat.adapters.engines.sample import Sample, read_sample
from homeostat.adapters.engines.table import EngineTable
from homeostat.adapters.schema_names import missing_columns, missing_columns_message
from homeostat.adapters.source_rows import config_location, expand_variables, schema_columns
from homeostat.config import ModelConfig
from homeostat.config.errors import ConfigError, DataError, Unavailable
from homeostat.core.profile import Profile, ProfileEdges, Season, Slices
from homeostat.core.profile.grouped import Grouping, SeasonGroup, SliceGroup
from homeostat.core.training_data.sampling import SAMPLED, memory_needed, sample_sentence

logger = logging.getLogger(__name__)


def read_rows(config: ModelConfig, start: datetime | None, end: datetime | None) -> pd.DataFrame:
    """Read the schema's columns of ``[start, end)`` in bounded batches, at most ``training.max_rows`` rows.

    Of more rows a sample is read, seeded by the model's name and stratified by the label of a
    classification; ``attrs`` has the sentence that says so under
    :data:`~homeostat.core.training_data.sampling.SAMPLED`. The memory that a retrain needs is logged before
    the rows are read.

    Raises
    ------
    DataError
        The table cannot be read, or has no column of times; the message names model.yaml and the key.
    Unavailable
        The engine does not answer.
    """
    with _opened(config) as whole:
        table = whole.between(config.columns.timestamp, start, end)
        columns = [name for name in schema_columns(config) if name in table.names]
        types = {name: table.types[name] for name in columns}
        most, total = config.training.max_rows, table.count_rows()
        rows = min(most, total)
        size = memory_needed(rows, types) / 2**20
        logger.info(
            "%s: reading %s of %s rows of %d columns; a retrain needs about %s MB for them",
            *(config.name, f"{rows:,}", f"{total:,}", len(columns), f"{size:,.0f}"),
        )
        label = config.columns.label.name
        strata = label if config.task == "classification" and label in columns else ""
        sample = read_sample(table, columns, most, seed=crc32(config.name.encode()), strata=strata)
    frame = _frame(sample)
    if not sample.whole:
        frame.attrs[SAMPLED] = sample_sentence(
            sample.total, sample.rows.num_rows, sample.seed, strata, sample.strata
        )
    return frame


def count_window(
    config: ModelConfig,
    edges: ProfileEdges,
    start: datetime,
    end: datetime,
    season: Season | None,
    slices: Slices | None,
) -> Mapping[tuple[int, ...], Profile]:
    """See :meth:`homeostat.ports.Source.count`."""
    name = config.columns.timestamp
    by: list[Grouping] = [] if season is None else [SeasonGroup(name, season.kind, season.width)]
    by += [SliceGroup(each) for each in slices.slicings] if slices else []
    with _opened(config) as whole:
        found = whole.between(name, start, end).profile_groups(edges, by)
    return {tuple(int(part or 0) for part in key): profile for key, profile in found.items()}


@contextmanager
def _opened(config: ModelConfig) -> Iterator[EngineTable]:
    """Open the table; errors name model.yaml and the key."""
    source = config.source
    where = config_location(config, f"{source.key}.{'connection' if source.connection else 'uri'}")
    try:
        uri = connection_url(source.connection) if source.connection else source.uri or ""
        location = parse_location(
            expand_variables(config, uri),
            table=source.table or "",
            query=source.query or "",
            base=config.folder,
        )
        with open_engine(location) as table:
            if config.columns.timestamp not in table.names:
                missing = [config.columns.timestamp, *missing_columns(config, table.names)]
                raise DataError(missing_columns_message(config, table.uri, table.names, missing))
            yield table
    except (ConfigError, DataError, Unavailable) as error:
        msg = f"{where}: {error}"
        raise type(error)(msg) from error


def _frame(sample: Sample) -> pd.DataFrame:
    """Return the rows as the local reader returns those of Parquet; dates are times at midnight."""
    rows = sample.rows
    for at, name in enumerate(rows.column_names):
        column = rows.column(at)
        if pa.types.is_date(column.type):
            rows = rows.set_column(at, name, column.cast(pa.timestamp("us")))
        elif pa.types.is_dictionary(column.type):
            rows = rows.set_column(at, name, column.cast(column.type.value_type))
    frame: pd.DataFrame = rows.to_pandas()
    return frame
