"""The way of columns from vendors' headers to the feed, as Dagster shows it.

The lineage follows the config: which headers each parser maps, which columns a part or the
catalog gives, and which columns a feed column is made of.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import dagster as dg

from relay_core.config import TenantConfig
from relay_core.config.inputs.parts import InputPart
from relay_core.domain.codes import CATALOG
from relay_core.domain.columns import DERIVED_COLUMNS
from relay_core.domain.input_names import name_of
from relay_core.ingest.column_mapping import expected_headers

LINEAGE = "dagster/column_lineage"
"""The name of the metadata that Dagster reads."""
Source = tuple[dg.AssetKey, str]
"""An asset with vendors' files, and a column of it: a header of a file."""


def lineage_of(
    config: TenantConfig,
    source_of: Callable[[str, str], Source],
    headers: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, list[Source]]:
    """Return the headers that each column of the feed is made of, by the column's header.

    A column without a header, such as a constant, has an empty list.

    Args:
        config: The tenant's config.
        source_of: The function that returns the asset and its column for the name of an
            input, such as ``vendor_1``, ``vendor_1/stock``, or ``catalog``, and a header.
        headers: The headers of files, by the input's name. A file without an entry is
            taken to have all headers that the config can use.
    """
    sources: dict[str, list[Source]] = {}
    for name, column, header in _mapped_headers(config, headers or {}):
        sources.setdefault(column, []).append(source_of(name, header))
    return {
        output.header: list(
            dict.fromkeys(
                source
                for column in _columns_behind(output.column, config)
                for source in sources.get(column, ())
            ),
        )
        for output in config.output.columns
    }


def column_lineage(
    sources: Mapping[str, Sequence[Source]],
) -> dict[str, object]:
    """Return the metadata of an asset with the feed, from `lineage_of`."""
    deps = {
        header: [
            dg.TableColumnDep(asset_key=key, column_name=name)
            for key, name in column_sources
        ]
        for header, column_sources in sources.items()
    }
    return {LINEAGE: dg.TableColumnLineage(deps_by_column=deps)}


def service_lineage(
    config: TenantConfig,
    fetched_files: dg.AssetKey,
) -> dict[str, object]:
    """Return the metadata of the feed in the service, where one asset has all files."""

    def source_of(name: str, header: str) -> Source:
        return fetched_files, f"{name}: {header}"

    return column_lineage(lineage_of(config, source_of))


def _mapped_headers(
    config: TenantConfig,
    headers: Mapping[str, Sequence[str]],
) -> Iterator[tuple[str, str, str]]:
    """Yield the name of an input, a column that it gives, and a header of the column."""
    for vendor in config.vendors_and_catalog:
        for part in vendor.input_parts:
            name = name_of(vendor.vendor_id, part.part_id)
            given_columns = part.columns
            if vendor.vendor_id == CATALOG and config.catalog is not None:
                given_columns = ("sku", *config.catalog.gives)
            names = [
                text.strip()
                for text in headers.get(name, _headers_without_file(part))
            ]
            mapped = expected_headers(names, part.parser)
            for column, column_headers in mapped.items():
                if given_columns is None or column in given_columns:
                    for header in column_headers:
                        if name not in headers or header in names:
                            yield name, column, header


def _headers_without_file(part: InputPart) -> Sequence[str]:
    """Return the headers that a file of a part can have, as the config says."""
    return part.parser.columns or part.parser.readable_columns


def _columns_behind(column: str | None, config: TenantConfig) -> Iterator[str]:
    """Yield the columns of vendors' files that a column of the feed is made of."""
    if column is None:
        return
    for source in DERIVED_COLUMNS.get(column, (column,)):
        if source == "price":
            yield "cost"
        yield source
        if source == "price" and config.pricing.map_policy.enforce:
            yield "map_price"
