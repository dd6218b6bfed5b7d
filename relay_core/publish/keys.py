"""The object keys of a run's artifacts and work files."""

from dataclasses import dataclass

from relay_core.publish.artifacts import (
    CATALOG_UPLOAD,
    CHANNEL,
    FEED,
    LAST_GOOD,
    LAST_GOOD_SKU_MAP,
    LISTED_LAST_GOOD,
    LISTED_UPLOAD,
    NORMALIZED,
    SKU_MAP,
    UPLOAD,
    name_at,
    path_of,
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

    config_snapshot = RelativeKey(path_of("config_snapshot"))
    input_manifest = RelativeKey(path_of("input_manifest"))
    errors = RelativeKey(path_of("errors"))
    invalid_rows = RelativeKey(path_of("invalid_rows"))
    changes = RelativeKey(path_of("changes"))
    overrides = RelativeKey(path_of("overrides"))
    quarantine = RelativeKey(path_of("quarantine"))
    # The rows that match no product of the catalog
    unmatched = RelativeKey(path_of("unmatched"))
    # The products of the catalog that nobody offers
    uncovered = RelativeKey(path_of("uncovered"))
    run_summary = RelativeKey(path_of("run_summary"))
    report = RelativeKey(path_of("report"))
    # The content of the report, for programs
    report_data = RelativeKey(path_of("report_data"))
    # The state of a local run's feed, which the next local run is compared with
    published_state = RelativeKey(path_of("published_state"))
    # The prefix of the feed's key in every format
    outputs = RelativeKey("outputs/")
    # The state of the published feed that the run was compared with
    baseline_state = RelativeKey(path_of("baseline_state"))
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
        return name_at(key.removeprefix(self.prefix))

    @staticmethod
    def upload_name(vendor_id: str, *, is_catalog: bool = False) -> str:
        """Return the artifact's name of the copy of a vendor's feed, or the catalog's."""
        if is_catalog:
            return CATALOG_UPLOAD.name
        return UPLOAD.name_for(vendor=vendor_id)

    def merged_inventory(self, feed_format: str) -> str:
        """Return the key of the merged feed in a format."""
        return self.prefix + FEED.path_for(format=feed_format)

    def channel(self, channel_id: str, suffix: str) -> str:
        """Return the key of a channel's file; ``suffix`` is such as ``csv.gz``."""
        path = CHANNEL.path_for(channel=channel_id, suffix=suffix)
        return self.prefix + path

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
        artifact = LAST_GOOD if last_good else UPLOAD
        name = _end_of(file_name, _MAX_NAME_BYTES)
        return self.prefix + artifact.path_for(vendor=vendor_id, file=name)

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
        artifact = LISTED_LAST_GOOD if last_good else LISTED_UPLOAD
        name = _end_of(file_name, _MAX_LISTED_NAME_BYTES)
        path = artifact.path_for(vendor=vendor_id, number=number, file=name)
        return self.prefix + path

    def sku_map(self, vendor_id: str, *, last_good: bool = False) -> str:
        """Return the key of the run's copy of a vendor's SKU map."""
        artifact = LAST_GOOD_SKU_MAP if last_good else SKU_MAP
        return self.prefix + artifact.path_for(vendor=vendor_id)

    def normalized(self, vendor_id: str) -> str:
        """Return the key of a vendor's normalized.csv."""
        return self.prefix + NORMALIZED.path_for(vendor=vendor_id)

    def work(self, vendor_id: str, name: str) -> str:
        """Return the key of a vendor's work file, which is not an artifact."""
        return f"{self.prefix}work/{vendor_id}/{name}"


def _end_of(file_name: str, size: int) -> str:
    """Return the end of a file's name, of at most ``size`` bytes."""
    return file_name.encode()[-size:].decode(errors="ignore")
