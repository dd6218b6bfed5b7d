"""The object keys of a run's artifacts and work files, and the artifacts' names."""

from collections.abc import Sequence
from dataclasses import dataclass

from relay_core.domain.codes import CATALOG

MERGED_INVENTORY = "merged_inventory"
"""The name of the feed as an artifact and as a file."""
CHANNEL_PREFIX = "channel_"
"""The beginning of the names of channels' files as artifacts."""
_RUN_ARTIFACTS = (
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
    "unmatched",
    "uncovered",
)
# The copy of an upload keeps at most this many bytes of its name, because S3 allows
# keys of 1,024 bytes.
_MAX_NAME_BYTES = 200
# The same of a vendor of several files
_MAX_LISTED_NAME_BYTES = 100


@dataclass(frozen=True, slots=True)
class RelativeKey:
    """The path of a file under its run's prefix; as an attribute of keys, the key."""

    path: str

    def __get__(self, keys: "ArtifactKeys", _: "type[ArtifactKeys]") -> str:
        return f"{keys.prefix}{self.path}"


@dataclass(frozen=True, slots=True)
class ArtifactKeys:
    """The keys of one run's files; with an empty ``run_id``, relative paths."""

    run_id: str
    tenant_id: str

    config_snapshot = RelativeKey("reports/config_snapshot.json")
    input_manifest = RelativeKey("reports/input_manifest.json")
    errors = RelativeKey("reports/errors.json")
    invalid_rows = RelativeKey("reports/invalid_rows.csv")
    changes = RelativeKey("reports/changes.csv")
    overrides = RelativeKey("reports/overrides.json")
    quarantine = RelativeKey("reports/quarantine.csv")
    # The rows that match no product of the catalog
    unmatched = RelativeKey("reports/unmatched.csv")
    # The products of the catalog that nobody offers
    uncovered = RelativeKey("reports/uncovered.csv")
    run_summary = RelativeKey("reports/run_summary.json")
    report = RelativeKey("reports/report.html")
    # The prefix of the feed's key in every format
    outputs = RelativeKey("outputs/")
    # The state of the published feed that the run was compared with
    baseline_state = RelativeKey("work/baseline_state.parquet")
    # The state of the run's own feed; a work file until the feed is published
    state = RelativeKey("work/state.parquet")
    # The rejected rows, sorted by SKU
    rejected_rows = RelativeKey("work/refused.arrow")
    # The SKUs that have an override and no offer
    unused_overrides = RelativeKey("work/unused_overrides.json")
    # The missing SKUs that the feed keeps at 0, sorted by SKU
    kept_skus = RelativeKey("work/kept.arrow")
    # The SKUs that keep their published price, sorted by SKU
    quarantined_skus = RelativeKey("work/quarantined.arrow")

    @property
    def prefix(self) -> str:
        """The prefix of every key of the run."""
        return f"{self.run_id}/tenants/{self.tenant_id}/" if self.run_id else ""

    def pinned_overrides(self, version: int) -> str:
        """Return the key of the overrides that the run uses of a version."""
        return f"{self.prefix}work/overrides/{version}.json"

    def artifact_name(self, key: str) -> str:
        """Return the artifact's name for a key, or an empty text for a work file."""
        match key.removeprefix(self.prefix).split("/"):
            case ["inbound", vendor_id, *steps]:
                return _inbound_name(vendor_id, steps)
            case ["normalized", vendor_id, "normalized.csv"]:
                return f"normalized_{vendor_id}"
            case ["outputs", file_name]:
                stem, _, _ = file_name.partition(".")
                return MERGED_INVENTORY if stem == MERGED_INVENTORY else ""
            case ["outputs", "channels", file_name]:
                # An id has no dot, so the rest is the format.
                channel_id, _, _ = file_name.partition(".")
                return f"{CHANNEL_PREFIX}{channel_id}"
        for name in _RUN_ARTIFACTS:
            if getattr(self, name) == key:
                return name
        return ""

    @staticmethod
    def belongs_to_run(name: str) -> bool:
        """Return whether an artifact is of the whole run and not of one vendor."""
        return (
            name in (MERGED_INVENTORY, CATALOG)
            or name in _RUN_ARTIFACTS
            or name.startswith(CHANNEL_PREFIX)
        )

    @staticmethod
    def upload_name(vendor_id: str, *, is_catalog: bool = False) -> str:
        """Return the artifact's name of the copy of a vendor's feed, or the catalog's."""
        return CATALOG if is_catalog else f"inbound_{vendor_id}"

    def merged_inventory(self, feed_format: str) -> str:
        """Return the key of the merged feed in a format."""
        return f"{self.outputs}{MERGED_INVENTORY}.{feed_format}"

    def channel(self, channel_id: str, suffix: str) -> str:
        """Return the key of a channel's file; ``suffix`` is such as ``csv.gz``."""
        return f"{self.outputs}channels/{channel_id}.{suffix}"

    def inbound(
        self,
        vendor_id: str,
        file_name: str,
        *,
        last_good: bool = False,
    ) -> str:
        """Return the key of the run's copy of a vendor's feed.

        A long file name loses its beginning, so that it keeps its extension.
        """
        folder = f"{self.prefix}inbound/{vendor_id}/"
        if last_good:
            folder += "last_good/"
        name_bytes = file_name.encode()[-_MAX_NAME_BYTES:]
        return folder + name_bytes.decode(errors="ignore")

    def inbound_file(
        self,
        vendor_id: str,
        number: int,
        file_name: str,
        *,
        last_good: bool = False,
    ) -> str:
        """Return the key of the run's copy of one file of a vendor of several.

        The files are numbered from 1, in reading order.
        """
        name_bytes = file_name.encode()[-_MAX_LISTED_NAME_BYTES:]
        name = name_bytes.decode(errors="ignore")
        return self.inbound(
            vendor_id,
            f"files/{number}/{name}",
            last_good=last_good,
        )

    def sku_map(self, vendor_id: str, *, last_good: bool = False) -> str:
        """Return the key of the run's copy of a vendor's SKU map."""
        return self.inbound(
            vendor_id,
            "sku_map/sku_map.csv",
            last_good=last_good,
        )

    def normalized(self, vendor_id: str) -> str:
        """Return the key of a vendor's normalized.csv."""
        return f"{self.prefix}normalized/{vendor_id}/normalized.csv"

    def work(self, vendor_id: str, name: str) -> str:
        """Return the key of a vendor's work file, which is not an artifact."""
        return f"{self.prefix}work/{vendor_id}/{name}"


def _inbound_name(vendor_id: str, steps: Sequence[str]) -> str:
    """Return the artifact's name of an input, by the end of its key."""
    kind = "inbound"
    sku_map = "sku_map"
    if len(steps) > 1 and steps[0] == "last_good":
        kind = "last_good"
        sku_map = "last_good_sku_map"
        steps = steps[1:]
    match steps:
        case ["sku_map", "sku_map.csv"]:
            return f"{sku_map}_{vendor_id}"
        case ["files", number, _]:
            return f"{kind}_{vendor_id}.{number}"
        case [file_name] if file_name:
            return f"{kind}_{vendor_id}"
    return ""
