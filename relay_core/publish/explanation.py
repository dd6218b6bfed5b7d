"""The explanation of a SKU: why its row of a run's feed is what it is.

Everything is read from the files that the run has left: the SKU's valid and rejected
rows, its row of the feed, and the config, statuses and overrides that applied.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pyarrow as pa

from relay_core.columnar import csv_text, sorted_file
from relay_core.columnar.text import integers_of
from relay_core.config import Override, TenantConfig, load_overrides, load_stored_config
from relay_core.domain.cell_rules import cut
from relay_core.domain.codes import VendorStatus
from relay_core.domain.errors import SkuNotFoundError
from relay_core.merge.best_offer import Merge
from relay_core.merge.vendor_offers import FED_QUANTITY, VENDOR_RANK
from relay_core.normalize.work_file import REJECTED_BY_SKU, WORK_FILE
from relay_core.publish import offer_ranking
from relay_core.publish.feed import fields_of, row_texts
from relay_core.publish.keys import ArtifactKeys
from relay_core.publish.quarantine import quarantined_schema
from relay_core.publish.state import SUSPECT_SINCE
from relay_core.publish.stored_rows import kept_schema
from relay_core.publish.work_files import RunFiles, WorkFile, read_sku_rows, size_of
from relay_core.validation.comparison import SUSPECT_PRICE
from relay_core.validation.contracts import offer_schema

MAX_REJECTED = 100
"""The number of rejected rows that an explanation shows."""
# The largest explanation as JSON. Longer ones are cut; their counts stay.
_MAX_BYTES = (1 << 20) - 1024
_MAX_CELL_LENGTH = 1000


@dataclass(slots=True)
class _RejectedRows:
    """The rejected rows of one SKU: how many there are, and the first of them."""

    count: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(self, parts: Iterable[pa.Table]) -> None:
        for part in parts:
            self.count += len(part)
            missing_count = MAX_REJECTED - len(self.rows)
            first_rows = part.slice(0, missing_count)
            columns = first_rows.select(["vendor_id", "row_number", "error_codes"])
            self.rows += columns.to_pylist()


@dataclass(slots=True)
class _PublishedRows:
    """The published rows of one SKU that the feed keeps."""

    rows: list[pa.Table] = field(default_factory=list)

    def add(self, parts: Iterable[pa.Table]) -> None:
        self.rows += [part for part in parts if len(part)]


def explain_sku(
    files: RunFiles, keys: ArtifactKeys, run_id: str, sku: str
) -> dict[str, Any]:
    """Return the explanation of a SKU as JSON values.

    The SKU is the one in the feed, after the SKU map; surrounding white space is
    ignored.

    Raises:
        SkuNotFoundError: No row of the run has the SKU.
        ArtifactsExpiredError: Files of the run are gone.
    """
    sku = sku.strip()
    config, statuses, overrides = _read_pins(files, keys)
    sku_overrides = [override for override in overrides if override.sku == sku]
    ranking = offer_ranking.OfferRanking(Merge.of(config, sku_overrides))
    rejected = _RejectedRows()
    kept = _PublishedRows()
    quarantined = _PublishedRows()
    sources = list(_vendor_files(files, keys, statuses, ranking))
    if keys.invalid_rows in files.sizes:
        sources.append(WorkFile(keys.rejected_rows, REJECTED_BY_SKU, rejected.add))
    if keys.kept_skus in files.sizes:
        sources.append(WorkFile(keys.kept_skus, kept_schema(config), kept.add))
    if keys.quarantined_skus in files.sizes:
        schema = quarantined_schema(config)
        sources.append(WorkFile(keys.quarantined_skus, schema, quarantined.add))
    if sku and _is_unicode(sku):
        read_sku_rows(files, sources, sku)
    explained = ranking.explained()
    if explained is None and not rejected.count and not kept.rows:
        raise SkuNotFoundError(
            f"no row of run {run_id} has the SKU {sku[:200]!r}, after the SKU maps; "
            "write it as the merged feed does"
        )
    outcome = _outcome(config, explained, kept.rows, quarantined.rows)
    if sku_overrides:
        outcome["override"] = sku_overrides[0].as_dict()
    return _fitting(
        {
            "run_id": run_id,
            "sku": sku,
            **outcome,
            "offers_count": ranking.count,
            "offers": [] if explained is None else _offers(config, explained),
            "refused_count": rejected.count,
            "refused": rejected.rows,
        }
    )


def _is_unicode(text: str) -> bool:
    """Return whether UTF-8 can encode a text; no feed has any other."""
    return text == text.encode(errors="ignore").decode()


def _read_pins(
    files: RunFiles, keys: ArtifactKeys
) -> tuple[TenantConfig, Mapping[str, VendorStatus], Sequence[Override]]:
    """Return the run's config, the status of each vendor, and the overrides in effect."""
    pinned_keys = [keys.config_snapshot, keys.input_manifest]
    if keys.overrides in files.sizes:
        pinned_keys.append(keys.overrides)
    parts = [
        (key, sorted_file.ByteRange(0, size_of(files, key))) for key in pinned_keys
    ]
    snapshot, manifest, *overrides_files = files.read(parts)
    document = json.loads(snapshot)["tenant_config"]
    config = load_stored_config(json.dumps(document))
    statuses = {
        vendor_id: VendorStatus(entry["status"])
        for vendor_id, entry in json.loads(manifest)["vendors"].items()
    }
    entries: list[Any] = []
    for overrides_file in overrides_files:
        entries = json.loads(overrides_file, parse_float=str)
    return config, statuses, load_overrides(entries, ())


def _vendor_files(
    files: RunFiles,
    keys: ArtifactKeys,
    statuses: Mapping[str, VendorStatus],
    ranking: offer_ranking.OfferRanking,
) -> Iterator[WorkFile]:
    """Yield the work files of vendors, in the order of the config."""
    config = ranking.merge.config
    schema = offer_schema(config.extra_columns)
    for vendor in config.vendors:
        key = keys.work(vendor.vendor_id, WORK_FILE)
        status = statuses.get(vendor.vendor_id)
        if status is None:
            continue
        is_left_out = status is VendorStatus.LEFT_OUT
        if status.is_used or (is_left_out and key in files.sizes):
            take = partial(ranking.add, vendor.vendor_id, status)
            yield WorkFile(key, schema, take)


# --- as JSON ------------------------------------------------------------------------------


def _outcome(
    config: TenantConfig,
    explained: offer_ranking.ExplainedOffers | None,
    kept: Sequence[pa.Table],
    quarantined: Sequence[pa.Table],
) -> dict[str, Any]:
    """Return the winner, its row of the feed and its price, or the reason for none."""
    outcome: dict[str, Any] = {
        "winner": None,
        "feed_row": None,
        "reason": None,
        "override": None,
        "quarantine": None,
        "price_steps": None,
    }
    feed_rows = [*kept, *quarantined]
    if explained is None:
        outcome["reason"] = "refused"
    elif not explained.competing_count:
        outcome["reason"] = "left_out"
    else:
        outcome["winner"] = _winner(config, explained.offers)
        if explained.price_steps:
            outcome["price_steps"] = [step._asdict() for step in explained.price_steps]
        if not len(explained.feed_row):
            outcome["reason"] = "unpriced"
        feed_rows.append(explained.feed_row)
    if kept:
        outcome["reason"] = "kept_at_0"
    if quarantined:
        outcome["reason"] = "quarantined"
        outcome["quarantine"] = _quarantine(config, quarantined[0])
    fields = fields_of(config)
    for rows in feed_rows:
        texts = row_texts(fields, rows)
        if texts:
            outcome["feed_row"] = texts[0]
            break
    return outcome


def _winner(config: TenantConfig, offers: pa.Table) -> dict[str, Any]:
    rank = offers[VENDOR_RANK][0].as_py()
    return {
        "vendor_id": config.vendors[rank].vendor_id,
        "row_number": offers["row_number"][0].as_py(),
    }


def _quarantine(config: TenantConfig, row: pa.Table) -> dict[str, Any]:
    options = config.guards.quarantine
    published, _ = integers_of(row["price"])
    computed, _ = integers_of(row[SUSPECT_PRICE])
    since, _ = integers_of(row[SUSPECT_SINCE])
    return {
        "action": None if options is None else options.action,
        "price_published": csv_text.cents_text(published)[0].as_py(),
        "price_computed": csv_text.cents_text(computed)[0].as_py(),
        "suspect_since": csv_text.instant_text(since)[0].as_py(),
    }


def _offers(
    config: TenantConfig, explained: offer_ranking.ExplainedOffers
) -> list[dict[str, Any]]:
    """Return the offers by rank, each as JSON values."""
    offers = explained.offers
    vendor_ids = [vendor.vendor_id for vendor in config.vendors]
    # Only competing offers have a quantity after the rules of stock.
    stock_quantities: list[int | None] = offers["quantity_available"].to_pylist()
    excluded_count = len(offers) - explained.competing_count
    stock_quantities[explained.competing_count :] = [None] * excluded_count
    updated_at, _ = integers_of(offers["updated_at"])
    columns = {
        "vendor_id": [vendor_ids[rank] for rank in offers[VENDOR_RANK].to_pylist()],
        "vendor_sku": offers["vendor_sku"].to_pylist(),
        "row_number": offers["row_number"].to_pylist(),
        "quantity_available": offers[FED_QUANTITY].to_pylist(),
        "stock_quantity": stock_quantities,
        "cost": _money(offers["cost"]),
        "price": _money(offers["price"]),
        "landed_cost": _money(offers[offer_ranking.LANDED_COST]),
        "lead_time_days": offers["lead_time_days"].to_pylist(),
        "updated_at": csv_text.instant_text(updated_at).to_pylist(),
        "rule": explained.rules,
        "lost_on": explained.lost_on,
    }
    return [
        dict(zip(columns, cells, strict=True))
        for cells in zip(*columns.values(), strict=True)
    ]


def _money(amounts: pa.ChunkedArray) -> list[str | None]:
    """Return amounts as text, one an amount; None for a null."""
    numbers, is_null = integers_of(amounts)
    texts: list[str | None] = csv_text.money_text(numbers).to_pylist()
    return [
        None if null else text
        for text, null in zip(texts, is_null.tolist(), strict=True)
    ]


def _fitting(explanation: dict[str, Any]) -> dict[str, Any]:
    """Return an explanation within `_MAX_BYTES`: long cells are cut, then last offers."""
    if _size(explanation) <= _MAX_BYTES:
        return explanation
    for offer in explanation["offers"]:
        offer["vendor_sku"] = _cut(offer["vendor_sku"])
    if explanation["feed_row"] is not None:
        explanation["feed_row"] = {
            name: _cut(cell) for name, cell in explanation["feed_row"].items()
        }
    while explanation["offers"] and _size(explanation) > _MAX_BYTES:
        offers = explanation["offers"]
        explanation["offers"] = offers[: len(offers) // 2]
    return explanation


def _cut(cell: str | None) -> str | None:
    return cut(cell, _MAX_CELL_LENGTH) if cell else cell


def _size(explanation: Mapping[str, Any]) -> int:
    text = json.dumps(explanation, ensure_ascii=False, separators=(",", ":"))
    return len(text.encode())
