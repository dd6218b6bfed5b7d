"""The effect of each option for suppliers' files: the sample tenant's run with and without it."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from relay_core.config import load_config, parse_document
from relay_core.publish.findings import RunFindings
from relay_core.samples import sample_config_text
from relay_dagster.devstack.sample_rows import KEYS, run_over_samples

_LENIENT_POLICY = {"max_invalid_rows": 1_000, "max_invalid_row_pct": 1.0}
_Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class OptionEffect:
    """An option as the config has it, and what differs without it; empty if nothing does."""

    path: str
    value: Any
    effect: str


def option_effects(
    tenant: str,
    requested_at: datetime,
) -> Iterator[OptionEffect]:
    """Yield each option for suppliers' files that a sample tenant uses, with its effect."""
    document: dict[str, Any] = parse_document(
        sample_config_text(tenant),
        format="yaml",
    )
    for index, vendor in enumerate(document["vendors"]):
        vendor_alone = {
            **document,
            "vendors": [vendor],
            "error_policy": _LENIENT_POLICY,
        }
        run = _EngineRun.of(vendor_alone, tenant, requested_at)
        for path in _option_paths(vendor_alone):
            is_vendor_option = path[0] == "vendors"
            if index and not is_vendor_option:
                continue  # shown with the first vendor
            changed_document, value = _without_option(vendor_alone, path)
            run_without = _EngineRun.of(changed_document, tenant, requested_at)
            shown_path = (
                ("vendors", index, *path[2:]) if is_vendor_option else path
            )
            yield OptionEffect(
                path=".".join(map(str, shown_path)),
                value=value,
                effect=_difference(run, run_without),
            )


def _option_paths(document: Mapping[str, Any]) -> Iterator[_Path]:
    """Yield the path of each option in a config of one vendor."""
    (vendor,) = document["vendors"]
    for name in ("currency", "shipping_handling_flat"):
        if name in vendor:
            yield ("vendors", 0, name)
    for name, value in vendor["parser"].items():
        if name == "column_map":
            for column, source in value.items():
                is_extra = column in document["extra_columns"]
                if is_extra or isinstance(source, Mapping):
                    yield ("vendors", 0, "parser", name, column)
        elif name != "format":
            yield ("vendors", 0, "parser", name)
    yield ("pricing", "ending")


def _without_option(
    document: Mapping[str, Any],
    path: _Path,
) -> tuple[Any, Any]:
    """Return a copy of a config without an option, and the option's value."""
    changed_document = deepcopy(document)
    *parents, name = path
    parent: Any = changed_document
    for step in parents:
        parent = parent[step]
    value = parent.pop(name)
    if isinstance(value, Mapping) and parents[-1] == "column_map":
        # The column is kept, with only its first header.
        parent[name] = _first_header(value)
    return changed_document, value


def _first_header(source: Mapping[str, Any]) -> str:
    for value in source.values():
        if isinstance(value, str):
            return value
        if isinstance(value, list):
            return str(value[0])
    raise ValueError(f"{source} names no header")


@dataclass
class _EngineRun:
    """A run of the engine, which is the ``Sink`` of its own feed."""

    findings: RunFindings = field(default_factory=RunFindings)
    # The feed, by SKU
    rows: dict[str, dict[str, str]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        document: Mapping[str, Any],
        tenant: str,
        requested_at: datetime,
    ) -> "_EngineRun":
        """Run a config over the sample tenant's feeds."""
        config = load_config(document)
        run = cls()
        run.findings = run_over_samples(config, tenant, requested_at, run)
        return run

    def write(self, key: str, chunks: Iterable[bytes | memoryview]) -> None:
        """Keep the rows of the feed; other files are dropped."""
        content = b"".join(map(bytes, chunks))
        if key == KEYS.merged_inventory("csv"):
            reader = csv.DictReader(content.decode().splitlines())
            self.rows = {row["sku"]: row for row in reader}

    def wait(self) -> None:
        """Return at once: nothing is written in the background."""


def _difference(run: _EngineRun, run_without: _EngineRun) -> str:
    """Return the first difference between a run and the one without an option, in words."""
    failure = run_without.findings.failure
    if failure is not None:
        return f"without it the run fails: {failure.error_code}"
    counts = run.findings.counts()
    counts_without = run_without.findings.counts()
    fewer_rows = counts_without["total_rows"] - counts["total_rows"]
    if fewer_rows > 0:
        return f"{fewer_rows} records are no rows"
    if fewer_rows < 0:
        return f"{-fewer_rows} more rows are read"
    fewer_rejected = counts_without["invalid_rows"] - counts["invalid_rows"]
    if fewer_rejected > 1:
        return f"{fewer_rejected} rows are not refused"
    if fewer_rejected:
        return "1 row is not refused"
    for sku in (*run.rows, *run_without.rows):
        difference = _row_difference(
            sku,
            run.rows.get(sku),
            run_without.rows.get(sku),
        )
        if difference:
            return difference
    return ""


def _row_difference(
    sku: str,
    row: Mapping[str, str] | None,
    row_without: Mapping[str, str] | None,
) -> str:
    if row is None:
        return f"{sku} is not in the feed"
    if row_without is None:
        return f"{sku} is also in the feed"
    for column, cell in row.items():
        if cell != row_without[column]:
            new = cell or "nothing"
            old = row_without[column] or "nothing"
            return f"{sku}: {column} {new} instead of {old}"
    return ""
