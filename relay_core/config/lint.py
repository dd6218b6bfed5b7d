"""Lint warnings: parts of a config that are valid and probably not meant.

Each warning says what will happen. The API calls them ``doubts``, like the doubts about
rows. Faults of a config are found when it is loaded. No frames are loaded here, because
the API's own process uses this module.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from decimal import ROUND_UP, Decimal

from relay_core.config import ErrorPolicy, ParserConfig, TenantConfig, VendorConfig
from relay_core.config.rule_lint import lint_price_rules, lint_stock
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
    files of this machine, and inbound folders of type ``local`` are no doubt.
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
            margins.append((f"pricing.rules.{index}.margin_pct", rule.margin_pct))
    for path, margin in margins:
        if margin > 1:
            number = _plain(margin)
            yield Doubt(
                code="margin_over_one",
                path=path,
                vendor_id=None,
                count=None,
                samples=None,
                message=f"{number} means {_plain(margin * 100)} %; "
                f"{_plain(margin / 100)} is {number} %",
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
        message=f"{rejected:,} of {total:,} rows are refused, and with a limit of 0 one "
        f"is enough to fail a run; have them put right, or set max_invalid_rows to "
        f"{rejected} or more and max_invalid_row_pct to {share.normalize():f} or more",
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
    for index, vendor in enumerate(config.vendors):
        yield from _lint_vendor(f"vendors.{index}", vendor)
    if not config.pricing.min_price:
        yield ConfigFault(
            "pricing.min_price",
            "0 is no floor: a cost that a vendor wrote wrong, such as 0.01, is published "
            "as it comes; set the lowest price that you would sell anything at",
        )
    yield from _lint_output(config)
    yield from _lint_error_policy(config.error_policy)
    vendor_ids = [vendor.vendor_id for vendor in config.vendors]
    yield from lint_price_rules(config.pricing, vendor_ids)
    yield from lint_stock("stock", config.stock)
    for index, vendor in enumerate(config.vendors):
        if vendor.stock is not None:
            yield from lint_stock(f"vendors.{index}.stock", vendor.stock)
    if config.output.missing_skus == "zero" and not is_published:
        yield ConfigFault(
            "output.missing_skus",
            "zero keeps SKUs of the published feed, and the tenant has none yet: the "
            "first run keeps nothing",
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
        "sku": "nobody can tell which item a row is",
        "price": "the prices that are made are not published",
    }
    for column, consequence in consequences.items():
        if column not in config.output.reads:
            yield ConfigFault("output.columns", f'has no "{column}": {consequence}')


def _lint_error_policy(policy: ErrorPolicy) -> Iterator[ConfigFault]:
    rows = policy.max_invalid_rows
    share = policy.max_invalid_row_pct
    if rows and not share:
        yield ConfigFault(
            "error_policy.max_invalid_row_pct",
            "is 0, and both limits hold: one invalid row fails a run, whatever "
            f"max_invalid_rows ({rows}) says",
        )
    if share and not rows:
        yield ConfigFault(
            "error_policy.max_invalid_rows",
            "is 0, and both limits hold: one invalid row fails a run, whatever "
            f"max_invalid_row_pct ({_plain(share)}) says",
        )
    if share >= _TOLERANT_SHARE and rows >= _TOLERANT_ROWS:
        yield ConfigFault(
            "error_policy.max_invalid_row_pct",
            f"{_plain(share)} is {_plain(share * 100)} %: a feed of which so many rows "
            "are refused is still published, and what they offered is gone from it",
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
            relation = "is that" if prefix == outer_prefix else "lies in that"
            yield ConfigFault(
                path,
                f'"{prefix}" {relation} of vendor "{outer_vendor}": an upload of '
                f'"{vendor_id}" is read as one of "{outer_vendor}", too',
            )
        outer_prefixes.append((prefix, vendor_id))
    owners = {prefix: vendor_id for prefix, _, vendor_id in prefixes}
    for index, vendor in enumerate(config.vendors):
        if vendor.sku_map is None or vendor.sku_map.s3_key is None:
            continue
        owner = _owner_of(vendor.sku_map.s3_key, owners)
        if owner is not None:
            yield ConfigFault(
                f"vendors.{index}.sku_map.s3_key",
                f'lies in the prefix of vendor "{owner}": when it is the newest file '
                "there, it is read as the feed; keep maps elsewhere",
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
    if vendor.inbound.type == "local":
        yield ConfigFault(
            f"{path}.inbound.type",
            "local is for the local runner; runs that the API starts find no feed of "
            "this vendor",
        )
    if vendor.sku_map is not None and vendor.sku_map.type == "file":
        yield ConfigFault(
            f"{path}.sku_map.type",
            "file is for the local runner; runs that the API starts find no map",
        )
    yield from _lint_parser(f"{path}.parser", vendor.parser)


def _lint_parser(path: str, parser: ParserConfig) -> Iterator[ConfigFault]:
    columns_by_header: dict[str, list[str]] = defaultdict(list)
    for column, source in parser.column_map.items():
        if isinstance(source, str):
            columns_by_header[source].append(column)
    for header, columns in columns_by_header.items():
        if len(columns) > 1 and not set(columns) <= _SHAREABLE_COLUMNS:
            yield ConfigFault(
                f"{path}.column_map.{columns[-1]}",
                f'"{header}" is read as {" and ".join(columns)}; each should have its '
                "own header",
            )
    if parser.columns is None:
        return
    for column, headers in parser.mapped_headers.items():
        for header in dict.fromkeys(headers):
            if header not in parser.columns:
                yield ConfigFault(
                    f"{path}.column_map.{column}",
                    f'"{header}" is none of the names in columns',
                )
    filled_columns = {
        *parser.columns,
        *columns_by_header,
        *parser.defaults,
        *parser.column_map,
    }
    if not filled_columns & {"cost", "price"}:
        yield ConfigFault(
            f"{path}.column_map",
            "gives neither cost nor price: no offer of this vendor can be priced",
        )
