"""Where a run's artifacts and work files lie, and what an artifact that lies there is called."""

from __future__ import annotations

from dataclasses import dataclass

MERGED_INVENTORY = "merged_inventory"
"""The name of the feed, among the artifacts and as a file."""
_OF_THE_RUN = (
    "config_snapshot",
    "input_manifest",
    "errors",
    "invalid_rows",
    "changes",
    "run_summary",
    "baseline_state",
    "report",
    "overrides",
    "quarantine",
)
_MAX_NAME_LENGTH = 200
"""So many bytes of an upload's name has its copy; S3 takes keys of 1,024 bytes."""


@dataclass(frozen=True, slots=True)
class ArtifactKeys:
    """The keys of one run's artifacts; with an empty ``run_id``, paths relative to a folder."""

    run_id: str
    tenant_id: str

    @property
    def prefix(self) -> str:
        """The prefix of every key of the run."""
        return f"{self.run_id}/tenants/{self.tenant_id}/" if self.run_id else ""

    @property
    def config_snapshot(self) -> str:
        """The key of config_snapshot.json."""
        return f"{self.prefix}reports/config_snapshot.json"

    @property
    def input_manifest(self) -> str:
        """The key of input_manifest.json."""
        return f"{self.prefix}reports/input_manifest.json"

    @property
    def errors(self) -> str:
        """The key of errors.json."""
        return f"{self.prefix}reports/errors.json"

    @property
    def invalid_rows(self) -> str:
        """The key of invalid_rows.csv."""
        return f"{self.prefix}reports/invalid_rows.csv"

    @property
    def changes(self) -> str:
        """The key of changes.csv."""
        return f"{self.prefix}reports/changes.csv"

    @property
    def overrides(self) -> str:
        """The key of overrides.json."""
        return f"{self.prefix}reports/overrides.json"

    @property
    def quarantine(self) -> str:
        """The key of quarantine.csv."""
        return f"{self.prefix}reports/quarantine.csv"

    @property
    def run_summary(self) -> str:
        """The key of run_summary.json."""
        return f"{self.prefix}reports/run_summary.json"

    @property
    def report(self) -> str:
        """The key of report.html."""
        return f"{self.prefix}reports/report.html"

    @property
    def outputs(self) -> str:
        """The prefix of the feed's keys, in every format."""
        return f"{self.prefix}outputs/"

    @property
    def baseline_state(self) -> str:
        """The key of the state that the run is compared with."""
        return f"{self.prefix}work/baseline_state.parquet"

    @property
    def state(self) -> str:
        """The key of the state of the run's own feed, a work file until it is published."""
        return f"{self.prefix}work/state.parquet"

    @property
    def rejected_rows(self) -> str:
        """The key of the work file of the refused rows, by SKU."""
        return f"{self.prefix}work/refused.arrow"

    def pinned_overrides(self, version: int) -> str:
        """Return the key of the work file of what the run uses of a version of the overrides."""
        return f"{self.prefix}work/overrides/{version}.json"

    @property
    def unused_overrides(self) -> str:
        """The key of the work file of the SKUs that have an override and no offer."""
        return f"{self.prefix}work/unused_overrides.json"

    @property
    def kept_skus(self) -> str:
        """The key of the work file of the rows that are kept at 0, by SKU."""
        return f"{self.prefix}work/kept.arrow"

    @property
    def quarantined_skus(self) -> str:
        """The key of the work file of the rows that keep their published price, by SKU."""
        return f"{self.prefix}work/quarantined.arrow"

    def artifact_name(self, key: str) -> str:
        """Return what the artifact of a key is called; empty for a work file, which is none."""
        match key.removeprefix(self.prefix).split("/"):
            case ["inbound", vendor_id, file_name] if file_name:
                return f"inbound_{vendor_id}"
            case ["inbound", vendor_id, "sku_map", "sku_map.csv"]:
                return f"sku_map_{vendor_id}"
            case ["inbound", vendor_id, "last_good", file_name] if file_name:
                return f"last_good_{vendor_id}"
            case ["inbound", vendor_id, "last_good", "sku_map", "sku_map.csv"]:
                return f"last_good_sku_map_{vendor_id}"
            case ["normalized", vendor_id, "normalized.csv"]:
                return f"normalized_{vendor_id}"
            case ["outputs", file_name] if file_name.partition(".")[0] == MERGED_INVENTORY:
                return MERGED_INVENTORY
        return next((name for name in _OF_THE_RUN if getattr(self, name) == key), "")

    @staticmethod
    def is_of_the_run(name: str) -> bool:
        """Tell whether an artifact is the run's own, and none of a vendor's."""
        return name == MERGED_INVENTORY or name in _OF_THE_RUN

    def merged_inventory(self, feed_format: str) -> str:
        """Return the key of the merged feed in a format."""
        return f"{self.outputs}{MERGED_INVENTORY}.{feed_format}"

    def inbound(self, vendor_id: str, file_name: str, *, last_good: bool = False) -> str:
        """Return the key of the run's own copy of a vendor's feed, or of its last good one.

        A long name loses its start.
        """
        end = file_name.encode()[-_MAX_NAME_LENGTH:].decode(errors="ignore")
        return f"{self._inputs_of(vendor_id, last_good)}{end}"

    def sku_map(self, vendor_id: str, *, last_good: bool = False) -> str:
        """Return the key of the run's own copy of the SKU map of such a feed."""
        return f"{self._inputs_of(vendor_id, last_good)}sku_map/sku_map.csv"

    def normalized(self, vendor_id: str) -> str:
        """Return the key of a vendor's normalized.csv."""
        return f"{self.prefix}normalized/{vendor_id}/normalized.csv"

    def work(self, vendor_id: str, name: str) -> str:
        """Return the key of a work file, which is no artifact."""
        return f"{self.prefix}work/{vendor_id}/{name}"

    def _inputs_of(self, vendor_id: str, last_good: bool) -> str:
        return f"{self.prefix}inbound/{vendor_id}/{'last_good/' if last_good else ''}"
