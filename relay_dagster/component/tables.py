"""Tables of assets as inputs: Parquet files, and the config that reads them."""

from collections.abc import Collection
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from relay_core.config import TenantConfig
from relay_core.config.inputs.tenant_inputs import inputs_of


def table_of(value: Any) -> pa.Table:
    """Return a pandas or pyarrow table, or one of their kind, as a table of Arrow.

    Raises:
        TypeError: The value is not a table.
        ValueError: A column of the table mixes types.
    """
    if hasattr(value, "columns") and hasattr(value, "iloc"):
        table = pa.Table.from_pandas(value, preserve_index=False)
    elif hasattr(value, "__arrow_c_stream__"):
        table = pa.table(value)
    else:
        raise TypeError("it has no columns")
    return table.replace_schema_metadata(None)


def parquet_of(table: pa.Table) -> memoryview:
    """Return a table as a Parquet file."""
    buffer = pa.BufferOutputStream()
    parquet.write_table(table, buffer)
    return memoryview(buffer.getvalue())


def reading_tables(
    config: TenantConfig,
    names: Collection[str],
) -> TenantConfig:
    """Return a config that reads some of its inputs as tables, whatever their format is."""
    for tenant_input in inputs_of(config).values():
        if tenant_input.name in names:
            config = _with_table(config, tenant_input.path)
    return config


def _with_table(section: Any, path: tuple[str | int, ...]) -> Any:
    """Return a section of a config whose input at a path is a table."""
    if not path:
        parser = section.parser.for_tables()
        return section.model_copy(update={"parser": parser})
    step, *further = path
    inner = getattr(section, str(step))
    if further:
        index, *last = further
        changed = _with_table(inner[int(index)], tuple(last))
        inner = tuple(
            changed if number == index else item
            for number, item in enumerate(inner)
        )
    else:
        inner = _with_table(inner, ())
    return section.model_copy(update={str(step): inner})
