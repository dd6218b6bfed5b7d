"""Lint warnings: parts of a config that are valid and probably not meant.

Each warning says what will happen. The API calls them ``doubts``, like the doubts about
rows. Faults of a config are found when it is loaded. No frames are loaded here, because
the API's own process uses this module.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from decimal import ROUND_UP, Decimal
from urllib.parse import urlsplit

from relay_core.config import (
    ErrorPolicy,
    ParserConfig,
    TenantConfig,
    VendorConfig,
)
from relay_core.config.inputs.changes import ChangesConfig
from relay_core.config.inputs.parts import InboundConfig
from relay_core.config.rule_lint import (
    lint_channel,
    lint_deliveries,
    lint_price_rules,
    lint_stock,
)
from relay_core.domain.cell_rules import cut
from relay_core.domain.errors import ConfigFault
from relay_core.domain.limits import MAX_QUOTED
from relay_core.domain.records import Doubt

MAX_SAMPLES = 5
"""The number of samples of a doubt."""
# A policy that allows this share of rows, and this number, hardly limits anything.
_TOLERANT_SHARE = Decimal("0.5")
_TOLERANT_ROWS = 100
# Columns that may well be read from the same header
_SHAREABLE_COLUMNS = {"sku", "vendor_sku"}


# --- doubts ---------------------------------------------------------------------------


def config_doubts(
    config: TenantConfig,
    *,
    is_published: bool = True,
    is_local: bool = False,
) -> list[Doubt]:
    """Return the doubts about a config; those about its rules come last.

    With ``is_published`` the tenant has a live feed. With ``is_local`` the feeds are
    files of this machine, and inbound folders of type ``local`` are not doubtful.
    """
    doubts = list(margin_doubts(config))
    paths = {doubt.path for doubt in doubts}
    for warning in lint_warnings(config, is_published=is_published):
        is_accepted = is_local and warning.path.endswith(".inbound.type")
        if warning.path not in paths and not is_accepted:
            doubts.append(of_config(warning))
    return doubts


def of_config(warning: ConfigFault) -> Doubt:
    """Return a lint warning as a doubt."""
    return Doubt(
        code="config",
        path=warning.path,
        vendor_id=None,
        count=None,
        samples=None,
        message=warning.message,
    )


def margin_doubts(config: TenantConfig) -> Iterator[Doubt]:
    """Yield a doubt about each margin over 100 %."""
    margins = [("pricing.base_margin_pct", config.pricing.base_margin_pct)]
    for index, rule in enumerate(config.pricing.rules):
        if rule.margin_pct is not None:
            margins.append(
                (f"pricing.rules.{index}.margin_pct", rule.margin_pct),
            )
    for path, margin in margins:
        if margin > 1:
            number = _plain(margin)
            yield Doubt(
                code="margin_over_one",
                path=path,
                vendor_id=None,
                count=None,
                samples=None,
                message=f"{number} is a margin of {_plain(margin * 100)} %. For "
                f"{number} %, write {_plain(margin / 100)}.",
            )


def policy_doubts(
    config: TenantConfig,
    rejected: int,
    total: int,
    samples: Iterable[str],
) -> Iterator[Doubt]:
    """Yield the doubt about an error policy with a limit of 0, if it fails the run.

    ``rejected`` of ``total`` rows are rejected; ``samples`` are texts of their cells.
    """
    policy = config.error_policy
    if not rejected or (policy.max_invalid_rows and policy.max_invalid_row_pct):
        return
    share = (Decimal(rejected) / total).quantize(Decimal("0.0001"), ROUND_UP)
    yield Doubt(
        code="error_policy_zero",
        path="error_policy",
        vendor_id=None,
        count=rejected,
        samples=first_samples(samples),
        message=f"{rejected:,} of {total:,} rows are rejected, and with a limit of 0, "
        "one rejected row fails a run. Fix the rows, or set max_invalid_rows "
        f"to {rejected} or more and max_invalid_row_pct to "
        f"{share.normalize():f} or more.",
    )


def first_samples(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the first texts that differ, each cut if it is long."""
    samples: dict[str, None] = {}
    for text in texts:
        samples[cut(text, MAX_QUOTED)] = None
        if len(samples) == MAX_SAMPLES:
            break
    return tuple(samples)


# --- warnings -------------------------------------------------------------------------


def lint_warnings(
    config: TenantConfig,
    *,
    is_published: bool = True,
) -> Iterator[ConfigFault]:
    """Yield the lint warnings of a config, each with its path; rules come last.

    With ``is_published`` the tenant has a live feed that a run is compared with.
    """
    yield from _lint_prefixes(config)
    yield from _lint_map_keys(config)
    for index, vendor in enumerate(config.vendors):
        yield from _lint_vendor(f"vendors.{index}", vendor)
    if config.catalog is not None:
        yield from _lint_files("catalog", config.catalog.inbound, None)
        # The catalog has no prices.
        yield from _lint_parser(
            "catalog.parser", config.catalog.parser, {"cost"}
        )
    if not config.pricing.min_price:
        yield ConfigFault(
            "pricing.min_price",
            "The minimum price is 0, so a vendor's wrong cost, such as 0.01, "
            "becomes a published price. Set the lowest price that you would "
            "sell any item for.",
        )
    yield from _lint_output(config)
    yield from _lint_error_policy(config.error_policy)
    vendor_ids = [vendor.vendor_id for vendor in config.vendors]
    yield from lint_price_rules(config.pricing, vendor_ids)
    yield from lint_stock("stock", config.stock)
    for index, vendor in enumerate(config.vendors):
        if vendor.stock is not None:
            yield from lint_stock(f"vendors.{index}.stock", vendor.stock)
    for index, channel in enumerate(config.channels):
        yield from lint_channel(f"channels.{index}", channel)
    yield from lint_deliveries(config)
    if config.output.missing_skus == "zero" and not is_published:
        yield ConfigFault(
            "output.missing_skus",
            "The option zero keeps SKUs of the live feed, but the tenant has "
            "no live feed yet. The first run keeps none.",
        )


def _plain(number: Decimal) -> str:
    """Return a number as people write it: ``2,000``, ``0.20``."""
    whole, _, fraction = f"{number:,f}".partition(".")
    if not fraction.strip("0"):
        return whole
    places = fraction.rstrip("0").ljust(2, "0")
    return f"{whole}.{places}"


def _lint_output(config: TenantConfig) -> Iterator[ConfigFault]:
    consequences = {
        "sku": "rows of the feed cannot be matched to items",
        "price": "the computed prices are not published",
    }
    for column, consequence in consequences.items():
        if column not in config.output.reads:
            yield ConfigFault(
                "output.columns",
                f'The feed has no column "{column}", so {consequence}. Add '
                "the column.",
            )


def _lint_error_policy(policy: ErrorPolicy) -> Iterator[ConfigFault]:
    rows = policy.max_invalid_rows
    share = policy.max_invalid_row_pct
    if rows and not share:
        yield ConfigFault(
            "error_policy.max_invalid_row_pct",
            "The limit is 0, and both limits apply, so one rejected row "
            f"fails a run even though max_invalid_rows is {rows}. Raise this "
            "limit, too.",
        )
    if share and not rows:
        yield ConfigFault(
            "error_policy.max_invalid_rows",
            "The limit is 0, and both limits apply, so one rejected row "
            f"fails a run even though max_invalid_row_pct is {_plain(share)}. "
            "Raise this limit, too.",
        )
    if share >= _TOLERANT_SHARE and rows >= _TOLERANT_ROWS:
        yield ConfigFault(
            "error_policy.max_invalid_row_pct",
            f"{_plain(share)} is {_plain(share * 100)} %, so a feed is "
            "published even if that share of its rows is rejected. It lacks "
            "the offers of these rows. Lower the limit.",
        )


def _lint_prefixes(config: TenantConfig) -> Iterator[ConfigFault]:
    """Yield the warnings about files that are in the prefix of another vendor."""
    prefixes = []
    for index, vendor in enumerate(config.vendors):
        if vendor.inbound.s3_prefix is not None:
            path = f"vendors.{index}.inbound.s3_prefix"
            prefixes.append((vendor.inbound.s3_prefix, path, vendor.vendor_id))
    # The prefixes, each in the one before it, that the next prefix may be in
    outer_prefixes: list[tuple[str, str]] = []
    for prefix, path, vendor_id in sorted(prefixes, key=lambda entry: entry[0]):
        while outer_prefixes and not prefix.startswith(outer_prefixes[-1][0]):
            outer_prefixes.pop()
        if outer_prefixes:
            outer_prefix, outer_vendor = outer_prefixes[-1]
            relation = (
                "is also the prefix"
                if prefix == outer_prefix
                else "is in the prefix"
            )
            yield ConfigFault(
                path,
                f'The prefix "{prefix}" {relation} of vendor '
                f'"{outer_vendor}", so uploads of "{vendor_id}" are also '
                f'read as files of "{outer_vendor}". Give each vendor a '
                "separate prefix.",
            )
        outer_prefixes.append((prefix, vendor_id))


def _lint_map_keys(config: TenantConfig) -> Iterator[ConfigFault]:
    """Yield the warnings about SKU maps that are in the prefix of a vendor."""
    owners = {
        part.inbound.s3_prefix: vendor.vendor_id
        for vendor in config.vendors
        for part in vendor.input_parts
        if part.inbound.s3_prefix is not None
    }
    for index, vendor in enumerate(config.vendors):
        if vendor.sku_map is None or vendor.sku_map.s3_key is None:
            continue
        owner = _owner_of(vendor.sku_map.s3_key, owners)
        if owner is not None:
            yield ConfigFault(
                f"vendors.{index}.sku_map.s3_key",
                f'The map is in the prefix of vendor "{owner}", so it is read '
                "as a file of the vendor if it is the newest file there. "
                "Store the map outside of all prefixes.",
            )


def _owner_of(key: str, owners: Mapping[str, str]) -> str | None:
    """Return the vendor whose prefix a key is in, the outermost one, or None."""
    parts = key.split("/")
    for count in range(1, len(parts)):
        folder = "/".join(parts[:count]) + "/"
        if folder in owners:
            return owners[folder]
    return None


def _lint_vendor(path: str, vendor: VendorConfig) -> Iterator[ConfigFault]:
    yield from _lint_files(path, vendor.inbound, vendor.changes)
    if vendor.sku_map is not None and vendor.sku_map.type == "file":
        yield ConfigFault(
            f"{path}.sku_map.type",
            "The type file is for the local runner, so runs that the API "
            "starts find no map. Use s3.",
        )
    given_columns = vendor.given_columns
    yield from _lint_parser(f"{path}.parser", vendor.parser, given_columns)
    for index, part in enumerate(vendor.parts):
        part_path = f"{path}.parts.{index}"
        yield from _lint_files(part_path, part.inbound, part.changes)
        # A part of columns may well have no price.
        columns = given_columns if part.columns is None else {"cost"}
        yield from _lint_parser(f"{part_path}.parser", part.parser, columns)


def _lint_files(
    path: str,
    inbound: InboundConfig,
    changes: ChangesConfig | None,
) -> Iterator[ConfigFault]:
    if inbound.type == "local":
        yield ConfigFault(
            f"{path}.inbound.type",
            "The type local is for the local runner, so runs that the API "
            "starts find no file of this vendor. Use s3.",
        )
    pull = inbound.pull
    if pull is not None and urlsplit(pull.url).query:
        yield ConfigFault(
            f"{path}.inbound.pull.url",
            "The URL has a query, which every key with the scope read can see, and "
            "which config_snapshot.json keeps. If it has a token, ask the vendor for "
            "a login, and store that as a secret.",
        )
    if changes is not None and changes.full == changes.delta:
        yield ConfigFault(
            f"{path}.changes.delta",
            "The pattern equals that of full files, so every name fits both, and no "
            "file is read. Give deltas a pattern of their own.",
        )


def _lint_parser(
    path: str,
    parser: ParserConfig,
    given: Collection[str],
) -> Iterator[ConfigFault]:
    """Yield the warnings about a parser.

    ``given`` are the columns that other files give.
    """
    columns_by_header: dict[str, list[str]] = defaultdict(list)
    for column, source in parser.column_map.items():
        if isinstance(source, str):
            columns_by_header[source].append(column)
    for header, columns in columns_by_header.items():
        if len(columns) > 1 and not set(columns) <= _SHAREABLE_COLUMNS:
            yield ConfigFault(
                f"{path}.column_map.{columns[-1]}",
                f'The header "{header}" is mapped to {" and ".join(columns)}. '
                "Map each column to its own header.",
            )
    if parser.columns is None:
        return
    for column, headers in parser.mapped_headers.items():
        for header in dict.fromkeys(headers):
            if header not in parser.columns:
                yield ConfigFault(
                    f"{path}.column_map.{column}",
                    f'The header "{header}" is not in parser.columns. Correct '
                    "the header, or add it there.",
                )
    filled_columns = {
        *given,
        *parser.columns,
        *columns_by_header,
        *parser.defaults,
        *parser.column_map,
    }
    if not filled_columns & {"cost", "price"}:
        yield ConfigFault(
            f"{path}.column_map",
            "The vendor has neither a cost nor a price, so its offers have "
            "no price. Map one of them.",
        )
