"""Tables as users have them: frames, Arrow tables and files, opened in one way."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homeostat.adapters.engines.any_table import open_any_table
from homeostat.adapters.engines.table import EngineTable
from homeostat.adapters.tables import TEXT, Table, open_table
from homeostat.config.errors import DataError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

#: A path or an S3 address of CSV or Parquet, a file or a folder; the URL of an engine, such as
#: ``duckdb://rows/*.parquet``; a pandas DataFrame; an Arrow table or batch; or any object with
#: ``__arrow_c_stream__``, such as a Polars DataFrame.
Data = Any


@contextmanager
def opened(data: Data, name: str) -> Iterator[Table | EngineTable]:
    """Open a table. What is in memory is written as Parquet first, so that every kind is read alike.

    Parameters
    ----------
    data
        See :data:`Data`.
    name
        The argument's name, for messages.

    Raises
    ------
    DataError
        It is no table, or has a column that Arrow has no type for.
    """
    if isinstance(data, str | PathLike):
        with open_any_table(str(data)) as found:
            yield found
        return
    import pyarrow.parquet as pq

    table = as_arrow(data, name)
    with tempfile.TemporaryDirectory(prefix="homeostat-") as folder:
        path = Path(folder) / f"{name}.parquet"
        pq.write_table(table, path, compression="none")
        yield open_table(str(path))


def as_arrow(data: Data, name: str) -> pa.Table:
    """Return a table in memory as an Arrow table, without the index of a DataFrame."""
    import pandas as pd
    import pyarrow as pa

    try:
        if isinstance(data, pa.Table):
            return data
        if isinstance(data, pa.RecordBatch):
            return pa.Table.from_batches([data])
        if isinstance(data, pd.DataFrame):
            return pa.Table.from_pandas(data, preserve_index=False)
        if hasattr(data, "__arrow_c_stream__"):
            return pa.table(data)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        msg = f"{name}: {error}. Give each column values of one type, such as with .astype(str)"
        raise DataError(msg) from error
    msg = (
        f"{name} is a {type(data).__name__}: give a path, a pandas DataFrame, an Arrow table, or an object "
        "with __arrow_c_stream__"
    )
    raise DataError(msg)


def as_frame(data: Data, name: str) -> pd.DataFrame:
    """Return a table as a DataFrame; a column of CSV is numbers where all of its values are."""
    import pandas as pd

    if isinstance(data, pd.DataFrame):
        return data
    if not isinstance(data, str | PathLike):
        return pd.DataFrame(as_arrow(data, name).to_pandas())
    import pyarrow as pa

    table = open_table(str(data))
    batches = [batch.replace_schema_metadata(None) for batch in table.batches(list(table.names))]
    if not batches:
        return pd.DataFrame(columns=list(table.names))
    frame = pd.DataFrame(pa.Table.from_batches(batches).to_pandas())
    for column in [each for each in frame.columns if table.types[each] == TEXT]:
        cells = frame[column].replace("", None)
        numbers = pd.to_numeric(cells, errors="coerce")
        frame[column] = numbers if numbers.notna().equals(cells.notna()) else cells
    return frame
