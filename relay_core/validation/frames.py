"""Frames of Arrow's types: what a step takes and returns, and what the kernels inside work on."""

import pandas as pd
import pyarrow as pa


def frame_of(rows: pa.Table | pa.RecordBatch) -> pd.DataFrame:
    """Return rows as a frame of Arrow's types, labelled 0, 1, 2, ...; no cell is copied."""
    frame: pd.DataFrame = rows.to_pandas(types_mapper=pd.ArrowDtype)
    return frame


def table_of(frame: pd.DataFrame) -> pa.Table:
    """Return a frame of Arrow's types as a table, without its labels; no cell is copied."""
    table = pa.Table.from_pandas(frame, preserve_index=False, nthreads=1)
    return table.replace_schema_metadata(None)
