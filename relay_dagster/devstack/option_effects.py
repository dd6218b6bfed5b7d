"""The effect of each option of a sample tenant: its run beside one of the config without it."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from relay_core.config import load_config, parse_document
from relay_core.normalize.vendor_feed import VendorFeed
from relay_core.publish.findings import RunFindings
from relay_core.publish.keys import ArtifactKeys
from relay_core.run import RunStages
from relay_core.samples import sample_config_text, sample_feeds
from relay_core.validation.vendor_failures import VendorInput

Path = tuple[str | int, ...]
_KEYS = ArtifactKeys("", "")
_LENIENT = {"max_invalid_rows": 1_000, "max_invalid_row_pct": 1.0}


@dataclass(frozen=True, slots=True)
class OptionEffect:
    """An option as it is written, and what is otherwise without it; nothing where all is alike."""

    path: str
    value: Any
    effect: str


def option_effects(tenant: str, requested_at: datetime) -> Iterator[OptionEffect]:
    """Yield each option for suppliers' files that a sample tenant uses, with its effect."""
    written: dict[str, Any] = parse_document(sample_config_text(tenant), format="yaml")
    for index, vendor in enumerate(written["vendors"]):
        alone = {**written, "vendors": [vendor], "error_policy": _LENIENT}
        own = _Feed.of(alone, tenant, requested_at)
        for path in _options(alone):
            document = deepcopy(alone)
            *parents, last = path
            place: Any = document
            for step in parents:
                place = place[step]
            value = place.pop(last)
            if isinstance(value, Mapping) and parents[-1] == "column_map":
                # Not without the column, but with the first header alone.
                headers = next(each for each in value.values() if isinstance(each, str | list))
                place[last] = headers if isinstance(headers, str) else headers[0]
            if path[0] != "vendors" and index:
                continue  # told of the first vendor
            shown = ("vendors", index, *path[2:]) if path[0] == "vendors" else path
            effect = own.beside(_Feed.of(document, tenant, requested_at))
            yield OptionEffect(".".join(map(str, shown)), value, effect)


def _options(document: Mapping[str, Any]) -> Iterator[Path]:
    """Yield where the options of a config of one vendor stand."""
    (vendor,) = document["vendors"]
    for name in ("currency", "shipping_handling_flat"):
        if name in vendor:
            yield ("vendors", 0, name)
    for name, value in vendor["parser"].items():
        if name not in ("format", "column_map"):
            yield ("vendors", 0, "parser", name)
        for column, source in value.items() if name == "column_map" else ():
            if column in document["extra_columns"] or isinstance(source, Mapping):
                yield ("vendors", 0, "parser", name, column)
    yield ("pricing", "ending")


@dataclass
class _Feed:
    """A run's findings and feed; the engine's ``Sink``."""

    findings: RunFindings
    rows: dict[str, dict[str, str]] = field(default_factory=dict)

    @classmethod
    def of(cls, document: dict[str, Any], tenant: str, requested_at: datetime) -> "_Feed":
        """Return what comes of a config and the sample's feeds."""
        config, feeds = load_config(document), sample_feeds(tenant)
        ids = [vendor.vendor_id for vendor in config.vendors]
        made = cls(RunFindings(vendor_ids=ids, vendor_count=len(ids)))
        RunStages(config, config.vendors, requested_at, _KEYS, made, made.findings).go_through(
            {name: VendorInput(len(feeds[name][1])) for name in ids},
            {},
            lambda names: (
                VendorFeed(config.vendor(n), feeds[n][1], feeds[n][0], None) for n in names
            ),
        )
        return made

    def write(self, key: str, chunks: Iterable[bytes | memoryview]) -> None:
        """Keep the feed."""
        text = b"".join(map(bytes, chunks)) if key == _KEYS.merged_inventory("csv") else b""
        self.rows |= {row["sku"]: row for row in csv.DictReader(text.decode().splitlines())}

    def wait(self) -> None:
        """Wait for nothing."""

    def beside(self, without: "_Feed") -> str:
        """Return what this feed has in place of another one's, in words."""
        if without.findings.failure is not None:
            return f"without it the run fails: {without.findings.failure.error_code}"
        counts, others = self.findings.counts(), without.findings.counts()
        if fewer := others["total_rows"] - counts["total_rows"]:
            return f"{fewer} records are no rows" if fewer > 0 else f"{-fewer} more rows are read"
        if fewer := others["invalid_rows"] - counts["invalid_rows"]:
            return f"{fewer} rows are not refused" if fewer > 1 else "1 row is not refused"
        for sku in (*self.rows, *without.rows):
            row, other = self.rows.get(sku), without.rows.get(sku)
            if row is None or other is None:
                return f"{sku} is {'not' if row is None else 'also'} in the feed"
            for column, cell in row.items():
                if cell != other[column]:
                    new, old = cell or "nothing", other[column] or "nothing"
                    return f"{sku}: {column} {new} in place of {old}"
        return ""
