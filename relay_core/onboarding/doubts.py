"""Doubts about rows that are valid, but that the vendor probably did not intend.

`config:check`, local checks and runs report the same doubts.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar import text
from relay_core.columnar.arrays import RowMask
from relay_core.config import TenantConfig, lint
from relay_core.domain.records import Doubt
from relay_core.merge.price_rules import PriceRules, rules_of
from relay_core.merge.pricing import has_amount
from relay_core.merge.vendor_offers import offers_of
from relay_core.normalize.result import NormalizedVendor
from relay_core.products.matched_rows import MatchedRows

_COLUMNS = ("sku", "quantity_available", "cost", "price")
_RULED_COLUMNS = ("condition", "brand")  # read by price rules alone
_MAX_SAME_ROWS = 100
"""More rows than this with the same SKU as another row are doubtful."""
_MAX_SAME_FRACTION = 100
"""More than one row in this many with the same SKU as another are doubtful, too."""
_MAX_SAMPLE_ROWS = 1_000
_TOTALS = frozenset(
    (
        "total",
        "totals",
        "grand total",
        "subtotal",
        "sum",
        "summe",
        "gesamt",
        "totale",
    )
)
_EXPONENT = r"^[0-9](\.[0-9]+)?[eE]\+?[0-9]+$"
_MIN_EXPONENT_BYTES = 3
_ZERO_COST_MESSAGE = (
    "The cost is 0, so the price consists of shipping and margin only. If 0 means that "
    "the cost is unknown, list the column in parser.zero_is_null."
)
_SKU_EXPONENT_MESSAGE = (
    "The SKUs look like numbers that a spreadsheet rounded, so different products may "
    "have the same SKU. Ask the vendor for a file with SKUs as text."
)
_TOTALS_LINE_MESSAGE = (
    "The last row looks like a total, but it is read as a product. Skip it with "
    "parser.skip_rows."
)


def ruled_offers(
    config: TenantConfig,
    vendor: NormalizedVendor,
    rows: pa.Table | None = None,
) -> pa.Table:
    """Return a vendor's valid rows as offers with their price rules, duplicates included.

    Args:
        config: The tenant's config.
        vendor: The vendor.
        rows: Some of the rows, with the columns that the merge reads; all by default.
    """
    if rows is None:
        columns = [*_COLUMNS]
        if config.pricing.rules:
            columns += _RULED_COLUMNS
        rows = vendor.offers.table(columns)
    offers = offers_of(config, vendor.vendor_id, rows)
    return PriceRules.of(config).applied(offers)


class _DoubtfulRows(NamedTuple):
    """The rows that have one doubt."""

    row_count: int = 0
    skus: tuple[str, ...] = ()  # the SKUs of the first rows

    @classmethod
    def of(cls, row_count: int, skus: pa.StringArray) -> "_DoubtfulRows":
        """Return rows; ``skus`` are theirs, or some of theirs, in order."""
        first_skus = skus.slice(0, _MAX_SAMPLE_ROWS)
        return cls(row_count, tuple(first_skus.to_pylist()))

    @classmethod
    def joined(cls, parts: Iterable["_DoubtfulRows"]) -> "_DoubtfulRows":
        """Return the rows of all parts, in order."""
        parts = list(parts)
        row_count = sum(part.row_count for part in parts)
        skus = chain.from_iterable(part.skus for part in parts)
        return cls(row_count, tuple(islice(skus, _MAX_SAMPLE_ROWS)))

    @property
    def samples(self) -> tuple[str, ...]:
        """The first SKUs that differ."""
        return lint.first_samples(self.skus)


class _RowSigns(NamedTuple):
    """The signs of doubts in some rows of a vendor."""

    zero_cost: _DoubtfulRows = _DoubtfulRows()
    exponent: _DoubtfulRows = _DoubtfulRows()
    same_sku: _DoubtfulRows = _DoubtfulRows()
    lost: int = 0  # the rows with the same SKU that cannot win

    @classmethod
    def of(
        cls,
        config: TenantConfig,
        vendor: NormalizedVendor,
        offers: pa.Table,
    ) -> "_RowSigns":
        """Return the signs in some rows.

        Args:
            config: The tenant's config.
            vendor: The vendor.
            offers: Rows of the vendor as `ruled_offers` returns them, with all rows of
                their SKUs.
        """
        if not len(offers):
            return cls()
        skus = text.one_chunk(offers["sku"])
        has_zero_cost = _has_zero_cost(config, offers)
        zero_cost_rows = pa.array(np.flatnonzero(has_zero_cost))
        zero_cost_skus = skus.take(zero_cost_rows[:_MAX_SAMPLE_ROWS])
        exponent_skus = _skus_with_exponent(skus)
        same_sku = _DoubtfulRows()
        lost = 0
        if config.vendor(vendor.vendor_id).duplicate_skus == "compete":
            same_sku, lost = _rows_of_shared_skus(skus, offers)
        return cls(
            zero_cost=_DoubtfulRows.of(len(zero_cost_rows), zero_cost_skus),
            exponent=_DoubtfulRows.of(len(exponent_skus), exponent_skus),
            same_sku=same_sku,
            lost=lost,
        )

    @classmethod
    def joined(cls, parts: Sequence["_RowSigns"]) -> "_RowSigns":
        """Return the signs of parts that are in the order of SKUs."""
        join = _DoubtfulRows.joined
        return cls(
            zero_cost=join(part.zero_cost for part in parts),
            exponent=join(part.exponent for part in parts),
            same_sku=join(part.same_sku for part in parts),
            lost=sum(part.lost for part in parts),
        )


@dataclass(frozen=True, slots=True)
class DoubtFinder:
    """Finds the doubts about vendors' rows, some rows at a time."""

    config: TenantConfig
    # The signs in rows that were looked at, by the vendor and the first of the rows
    _signs: dict[tuple[str, int], _RowSigns] = field(default_factory=dict)

    def look(
        self,
        vendor: NormalizedVendor,
        rows: pa.Table | None = None,
        first_row: int = 0,
    ) -> None:
        """Look at some rows of a vendor; any thread may do this.

        Args:
            vendor: The vendor.
            rows: The rows as `ruled_offers` takes them, with all rows of their SKUs.
            first_row: The index of the first one.
        """
        offers = ruled_offers(self.config, vendor, rows)
        signs = _RowSigns.of(self.config, vendor, offers)
        # No rows have the same first row as the rows that follow.
        if len(offers):
            self._signs[vendor.vendor_id, first_row] = signs

    def doubts(self, vendor: NormalizedVendor) -> Iterator[Doubt]:
        """Return the doubts about a vendor's rows.

        If nobody has looked at the vendor's rows, look at them now.
        """
        if not self._parts(vendor):
            self.look(vendor)
        signs = _RowSigns.joined(self._parts(vendor))
        return _doubts_of_signs(self.config, vendor, signs)

    def _parts(self, vendor: NormalizedVendor) -> list[_RowSigns]:
        """Return the signs in a vendor's rows, in the order of the rows."""
        return [
            signs
            for (vendor_id, _), signs in sorted(self._signs.items())
            if vendor_id == vendor.vendor_id
        ]


def row_doubts(
    config: TenantConfig,
    vendor: NormalizedVendor,
    offers: pa.Table,
) -> Iterator[Doubt]:
    """Return the doubts about a vendor's rows, one per code.

    Args:
        config: The tenant's config.
        vendor: The vendor's rows.
        offers: The same rows as `ruled_offers` returns them.
    """
    signs = _RowSigns.of(config, vendor, offers)
    return _doubts_of_signs(config, vendor, signs)


def _doubts_of_signs(
    config: TenantConfig,
    vendor: NormalizedVendor,
    signs: _RowSigns,
) -> Iterator[Doubt]:
    """Yield the doubts about a vendor's rows, one per code."""
    index = config.vendor_index(vendor.vendor_id)
    parser_path = f"vendors.{index}.parser"
    if vendor.matched is not None and vendor.matched.contradictions:
        yield _contradiction_doubt(vendor, vendor.matched, index)
    if signs.zero_cost.row_count:
        yield Doubt(
            "zero_cost",
            f"{parser_path}.zero_is_null",
            vendor.vendor_id,
            signs.zero_cost.row_count,
            signs.zero_cost.samples,
            _ZERO_COST_MESSAGE,
        )
    if signs.exponent.row_count:
        yield Doubt(
            "sku_exponent",
            f"{parser_path}.column_map",
            vendor.vendor_id,
            signs.exponent.row_count,
            signs.exponent.samples,
            _SKU_EXPONENT_MESSAGE,
        )
    yield from _same_sku_doubts(vendor, parser_path, signs)
    last_sku = vendor.last_sku
    if last_sku is not None and is_totals(last_sku):
        yield Doubt(
            "totals_line",
            f"{parser_path}.skip_rows",
            vendor.vendor_id,
            1,
            lint.first_samples([last_sku]),
            _TOTALS_LINE_MESSAGE,
        )


def _contradiction_doubt(
    vendor: NormalizedVendor,
    matched: MatchedRows,
    index: int,
) -> Doubt:
    """Return the doubt about rows whose SKU map and GTIN name different products."""
    count = matched.contradictions
    return Doubt(
        "map_against_gtin",
        f"vendors.{index}.sku_map",
        vendor.vendor_id,
        count,
        lint.first_samples(matched.contradicted_skus),
        f"The SKU map and the GTIN name different products for {count:,} rows. The SKU "
        "map is used. Correct the SKU map, or the GTIN in the catalog or in the "
        "vendor's file.",
    )


def is_totals(sku: str) -> bool:
    """Return True if a text is the label of a row of totals."""
    return sku.casefold().removesuffix(":").strip() in _TOTALS


def has_amounts(config: TenantConfig, offers: pa.Table) -> bool:
    """Return True if any of the `ruled_offers` can have a price, or if there are none."""
    if not len(offers):
        return True
    return bool(has_amount(offers, config.pricing).any())


def _has_zero_cost(config: TenantConfig, offers: pa.Table) -> RowMask:
    """Return a mask, one per offer: true if the price is based on an amount of 0."""
    cost, has_no_cost = text.integers_of(offers["cost"])
    price, has_no_price = text.integers_of(offers["price"])
    has_zero_price = (price == 0) & ~has_no_price
    has_zero_cost: RowMask = np.where(has_no_cost, has_zero_price, cost == 0)
    if not config.pricing.rules:
        return has_zero_cost
    # Offers without a price rule have the rule index -1, the last element.
    has_fixed_price = np.array(
        [rule.fixed_price is not None for rule in config.pricing.rules]
        + [False]
    )
    is_left_out = PriceRules.of(config).leaves_out(offers)
    has_zero_cost &= ~(is_left_out | has_fixed_price[rules_of(offers)])
    return has_zero_cost


def _skus_with_exponent(skus: pa.StringArray) -> pa.StringArray:
    """Return the SKUs that look like numbers with an exponent."""
    bounds, data = text.offsets_and_bytes(skus)
    candidates = np.flatnonzero(text.lengths_of(skus) >= _MIN_EXPONENT_BYTES)
    starts = bounds[candidates]
    first_bytes = data[starts]
    is_digit = (first_bytes >= ord("0")) & (first_bytes <= ord("9"))
    candidates = candidates[is_digit]
    second_bytes = data[starts[is_digit] + 1]
    candidates = candidates[np.isin(second_bytes, list(b".eE"))]
    # The expression takes a hundred times as long, so it gets few SKUs.
    candidate_skus = skus.take(pa.array(candidates))
    has_exponent = pc.match_substring_regex(candidate_skus, _EXPONENT)
    return candidate_skus.filter(has_exponent)


def _rows_of_shared_skus(
    skus: pa.StringArray,
    offers: pa.Table,
) -> tuple[_DoubtfulRows, int]:
    """Return the rows that have the same SKU and are not equal.

    The offers are sorted by SKU, so rows with the same SKU are side by side. Also return
    the number of these rows that cannot win.
    """
    same_as_previous = text.flags_of(pc.equal(skus[1:], skus[:-1]))
    if not same_as_previous.any():
        return _DoubtfulRows(), 0
    rows = np.flatnonzero(same_as_previous) + 1
    differs = np.zeros(len(rows), np.bool_)
    for name in ("cost", "price", "quantity_available"):
        values, is_null = text.integers_of(offers[name])
        was_null = is_null[rows - 1]
        differs |= is_null[rows] != was_null
        differs |= ~was_null & (values[rows] != values[rows - 1])
    # Rows that follow one another have the same SKU, that of the row before them.
    starts = np.flatnonzero(np.diff(rows, prepend=-1) > 1)
    sizes = np.diff(starts, append=len(rows)) + 1
    is_doubtful = np.logical_or.reduceat(differs, starts)
    count = int(sizes[is_doubtful].sum())
    sample_rows = rows[starts[is_doubtful][: lint.MAX_SAMPLES]]
    sample_skus = skus.take(pa.array(sample_rows))
    doubtful_rows = _DoubtfulRows.of(count, sample_skus)
    return doubtful_rows, count - int(is_doubtful.sum())


def _same_sku_doubts(
    vendor: NormalizedVendor,
    parser_path: str,
    signs: _RowSigns,
) -> Iterator[Doubt]:
    """Yield the doubt about rows that have the same SKU and are not equal, if any."""
    count = signs.same_sku.row_count
    total = vendor.total_rows
    if count <= _MAX_SAME_ROWS and count * _MAX_SAME_FRACTION <= total:
        return
    yield Doubt(
        "same_sku",
        f"{parser_path}.column_map.sku",
        vendor.vendor_id,
        count,
        lint.first_samples(signs.same_sku.skus[: lint.MAX_SAMPLES]),
        f"{count:,} of {total:,} rows have the same SKU as another row, but a different "
        f"cost, price or quantity. {signs.lost:,} of them are not in the feed. Map the "
        "column that identifies products to sku, or choose a row with duplicate_skus.",
    )
