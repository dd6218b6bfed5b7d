"""Where a run's artifacts and work files lie, and what an artifact that lies there is called."""

from dataclasses import dataclass

MERGED_INVENTORY = (
    "merged_inventory"  # the name of the feed, among the artifacts and as a file
)
_OF_THE_RUN = (
    *(
        "config_snapshot",
        "input_manifest",
        "errors",
        "invalid_rows",
        "changes",
        "run_summary",
    ),
    *("baseline_state", "report", "overrides", "quarantine"),
)
_MAX_NAME_LENGTH = 200
"""So many bytes of an upload's name has its copy; S3 takes keys of 1,024 bytes."""


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a file under its run's prefix; of a run's keys it is the file's key."""

    path: str

    def __get__(self, keys: "ArtifactKeys", _: "type[ArtifactKeys]") -> str:
        return f"{keys.prefix}{self.path}"


@dataclass(frozen=True, slots=True)
class ArtifactKeys:
    """The keys of one run's artifacts; with an empty ``run_id``, paths relative to a folder."""

    run_id: str
    tenant_id: str

    config_snapshot = Place("reports/config_snapshot.json")
    input_manifest = Place("reports/input_manifest.json")
    errors = Place("reports/errors.json")
    invalid_rows = Place("reports/invalid_rows.csv")
    changes = Place("reports/changes.csv")
    overrides = Place("reports/overrides.json")
    quarantine = Place("reports/quarantine.csv")
    run_summary = Place("reports/run_summary.json")
    report = Place("reports/report.html")
    outputs = Place("outputs/")  # the prefix of the feed's keys, in every format
    baseline_state = Place(
        "work/baseline_state.parquet"
    )  # what the run is compared with
    state = Place(
        "work/state.parquet"
    )  # of the run's own feed, a work file until it is published
    rejected_rows = Place("work/refused.arrow")  # the rejected rows, by SKU
    unused_overrides = Place("work/unused_overrides.json")  # SKUs of no offer
    kept_skus = Place("work/kept.arrow")  # the rows that are kept at 0, by SKU
    quarantined_skus = Place("work/quarantined.arrow")  # rows that keep their price

    @property
    def prefix(self) -> str:
        """The prefix of every key of the run."""
        return f"{self.run_id}/tenants/{self.tenant_id}/" if self.run_id else ""

    def pinned_overrides(self, version: int) -> str:
        """Return the key of the work file of what the run uses of a version of the overrides."""
        return f"{self.prefix}work/overrides/{version}.json"

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
            case ["outputs", file_name] if (
                file_name.partition(".")[0] == MERGED_INVENTORY
            ):
                return MERGED_INVENTORY
        return next((name for name in _OF_THE_RUN if getattr(self, name) == key), "")

    @staticmethod
    def is_of_the_run(name: str) -> bool:
        """Return whether an artifact is the run's own, and none of a vendor's."""
        return name == MERGED_INVENTORY or name in _OF_THE_RUN

    def merged_inventory(self, feed_format: str) -> str:
        """Return the key of the merged feed in a format."""
        return f"{self.outputs}{MERGED_INVENTORY}.{feed_format}"

    def inbound(
        self, vendor_id: str, file_name: str, *, last_good: bool = False
    ) -> str:
        """Return the key of the run's copy of a vendor's feed; a long name loses its start."""
        end = file_name.encode()[-_MAX_NAME_LENGTH:].decode(errors="ignore")
        return (
            f"{self.prefix}inbound/{vendor_id}/{'last_good/' if last_good else ''}{end}"
        )

    def sku_map(self, vendor_id: str, *, last_good: bool = False) -> str:
        """Return the key of the run's own copy of the SKU map of such a feed."""
        return self.inbound(vendor_id, "sku_map/sku_map.csv", last_good=last_good)

    def normalized(self, vendor_id: str) -> str:
        """Return the key of a vendor's normalized.csv."""
        return f"{self.prefix}normalized/{vendor_id}/normalized.csv"

    def work(self, vendor_id: str, name: str) -> str:
        """Return the key of a work file, which is no artifact."""
        return f"{self.prefix}work/{vendor_id}/{name}"
