"""The explanation of a SKU: how a run arrived at the SKU's row of its feed.

Everything is read from the files that the run has left: the SKU's valid and rejected
rows, its row of the feed, and the config, statuses and overrides that applied.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pyarrow as pa

from relay_core.columnar import sorted_file
from relay_core.config import (
    Override,
    PricingConfig,
    TenantConfig,
    load_overrides,
    load_stored_config,
)
from relay_core.domain.codes import VendorStatus
from relay_core.domain.errors import SkuNotFoundError
from relay_core.domain.limits import MAX_QUOTED
from relay_core.merge.best_offer import Merge
from relay_core.normalize.work_file import (
    WORK_FILE,
    offer_schema_of,
    rejected_schema,
)
from relay_core.publish import work_files
from relay_core.publish.explaining import explanation_json
from relay_core.publish.explaining.offer_ranking import OfferRanking
from relay_core.publish.keys import ArtifactKeys
from relay_core.publish.quarantine import quarantined_schema
from relay_core.publish.stored_rows import kept_schema
from relay_core.validation.row_schemas import FILE

MAX_REJECTED = 100
"""The number of rejected rows that an explanation shows."""


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
            names = ["vendor_id", "row_number", "error_codes"]
            if FILE.name in first_rows.column_names:
                names.insert(2, FILE.name)
            for row in first_rows.select(names).to_pylist():
                self.rows.append(explanation_json.without_missing_file(row))

    def as_json(self) -> dict[str, Any]:
        """Return the count and the first rows as JSON values."""
        return {"refused_count": self.count, "refused": self.rows}


@dataclass(slots=True)
class _PublishedRows:
    """The published rows of one SKU that the feed keeps."""

    rows: list[pa.Table] = field(default_factory=list)

    def add(self, parts: Iterable[pa.Table]) -> None:
        self.rows += [part for part in parts if len(part)]


def explain_sku(
    files: work_files.RunFiles,
    keys: ArtifactKeys,
    run_id: str,
    sku: str,
    pricing: PricingConfig | None = None,
) -> dict[str, Any]:
    """Return the explanation of a SKU as JSON values.

    The SKU is the one in the feed, after the SKU map; surrounding white space is
    ignored. With ``pricing``, the offers are priced by it and not by the run's config.

    Raises:
        SkuNotFoundError: No row of the run has the SKU.
        ArtifactsExpiredError: Files of the run are gone.
    """
    sku = sku.strip()
    config, statuses, overrides = _read_pins(files, keys, pricing)
    sku_overrides = [override for override in overrides if override.sku == sku]
    ranking = OfferRanking(Merge.of(config, sku_overrides))
    rejected = _RejectedRows()
    kept_skus = _PublishedRows()
    quarantined_skus = _PublishedRows()
    sources = [
        *_vendor_files(files, keys, statuses, ranking),
        *_run_files(files, keys, config, rejected, kept_skus, quarantined_skus),
    ]
    if sku and _is_unicode(sku):
        work_files.read_sku_rows(files, sources, sku)
    explained = ranking.explained()
    if explained is None and not rejected.count and not kept_skus.rows:
        raise _not_found(run_id, sku)
    kept_rows = kept_skus.rows
    outcome = explanation_json.outcome_of(
        config, explained, kept_rows, quarantined_skus.rows, sku_overrides
    )
    channels = outcome.pop("channels")
    explanation = {
        "run_id": run_id,
        "sku": sku,
        **outcome,
        "offers_count": ranking.count,
        "offers": explanation_json.offers_as_json(config, explained),
        **rejected.as_json(),
    }
    if config.channels:
        explanation["channels"] = channels
    return explanation_json.fitting(explanation)


def _not_found(run_id: str, sku: str) -> SkuNotFoundError:
    return SkuNotFoundError(
        f"no row of run {run_id} has the SKU {sku[:MAX_QUOTED]!r} after the SKU maps; "
        "write the SKU exactly as in the merged feed"
    )


def _is_unicode(text: str) -> bool:
    """Return whether UTF-8 can encode a text; no feed has any other."""
    return text == text.encode(errors="ignore").decode()


def _read_pins(
    files: work_files.RunFiles,
    keys: ArtifactKeys,
    pricing: PricingConfig | None,
) -> tuple[TenantConfig, Mapping[str, VendorStatus], Sequence[Override]]:
    """Return the run's config, its vendors' statuses, and the overrides in effect.

    With ``pricing``, the config has it in place of its own.
    """
    pinned_keys = [keys.config_snapshot, keys.input_manifest]
    if keys.overrides in files.sizes:
        pinned_keys.append(keys.overrides)
    parts = [
        (key, sorted_file.ByteRange(0, work_files.size_of(files, key)))
        for key in pinned_keys
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
    if pricing is not None:
        config = config.model_copy(update={"pricing": pricing})
    return config, statuses, load_overrides(entries, ())


def _vendor_files(
    files: work_files.RunFiles,
    keys: ArtifactKeys,
    statuses: Mapping[str, VendorStatus],
    ranking: OfferRanking,
) -> Iterator[work_files.WorkFile]:
    """Yield the work files of vendors, in the order of the config."""
    config = ranking.merge.config
    schema = offer_schema_of(config)
    for vendor in config.vendors:
        key = keys.work(vendor.vendor_id, WORK_FILE)
        status = statuses.get(vendor.vendor_id)
        if status is None:
            continue
        is_left_out = status is VendorStatus.LEFT_OUT
        if status.is_used or (is_left_out and key in files.sizes):
            take = partial(ranking.add, vendor.vendor_id, status)
            has_files = vendor.has_file_list
            columns = schema.append(FILE) if has_files else schema
            yield work_files.WorkFile(key, columns, take)


def _run_files(
    files: work_files.RunFiles,
    keys: ArtifactKeys,
    config: TenantConfig,
    rejected: _RejectedRows,
    kept_skus: _PublishedRows,
    quarantined_skus: _PublishedRows,
) -> Iterator[work_files.WorkFile]:
    """Yield the work files of the whole run that the run has left."""
    if keys.invalid_rows in files.sizes:
        yield work_files.WorkFile(
            keys.rejected_rows,
            rejected_schema(has_files=config.has_file_lists),
            rejected.add,
        )
    if keys.kept_skus in files.sizes:
        yield work_files.WorkFile(
            keys.kept_skus,
            kept_schema(config),
            kept_skus.add,
        )
    if keys.quarantined_skus in files.sizes:
        yield work_files.WorkFile(
            keys.quarantined_skus,
            quarantined_schema(config),
            quarantined_skus.add,
        )
