"""The replay of a run: the engine over the run's inputs, with the run's config or another.

The last good feeds of a replayed run are the inputs of its baseline, or those that the
run kept.
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import NamedTuple

from relay_core.columnar.threads import tune_process
from relay_core.config import TenantConfig, VendorConfig
from relay_core.config.inputs.parts import files_read, has_required
from relay_core.domain.codes import CATALOG, VendorStatus
from relay_core.normalize.vendor_feed import FeedFile, VendorFeed
from relay_core.publish.artifacts import (
    LAST_GOOD,
    LAST_GOOD_SKU_MAP,
    LISTED_LAST_GOOD,
    SKU_MAP,
    UPLOAD,
)
from relay_core.publish.keys import ArtifactKeys
from relay_core.run_stages import RunStages, RunValues
from relay_core.validation.vendor_failures import (
    InputFile,
    InputVerdict,
    VendorInput,
)
from relay_core.vendor_pass import Sink
from relay_dagster.client.artifacts import PinnedFile, PinnedInput
from relay_dagster.replay.run_artifacts import RunArtifacts

_PINS = {"s3_key", "size", "last_modified", "sha256"}
KEYS = ArtifactKeys("", "")
"""The keys of the files that a replay makes: paths without a prefix."""


class _File(NamedTuple):
    """One file of an input of a run.

    Attributes:
        artifact: The artifact's name of the file.
        pins: The file as a manifest pins it.
    """

    artifact: str
    pins: PinnedFile

    @property
    def part_id(self) -> str | None:
        """The part that the file is of; None for the base."""
        return self.pins.part_id

    @property
    def as_input(self) -> InputFile:
        """The file as the engine judges it before it is read."""
        return InputFile(
            self.pins.size or 0,
            self.pins.last_modified,
            self.part_id,
            self.pins.kind,
        )


class _LastGood(NamedTuple):
    """A last good input.

    Attributes:
        artifacts: The artifacts of the run that has the files.
        files: The files, in reading order.
        sku_map: The artifact's name of the SKU map.
        uploaded_at: The instant of the upload.
    """

    artifacts: RunArtifacts
    files: Sequence[_File]
    sku_map: str
    uploaded_at: datetime

    def sku_map_data(self, vendor: VendorConfig) -> bytes | memoryview | None:
        """Return the vendor's SKU map, or None if the vendor's config has none."""
        if vendor.sku_map is None:
            return None
        return self.artifacts.file(self.sku_map).data


class ReplayInputs:
    """The inputs of a run as the engine takes them, and its last good feeds.

    Attributes:
        run_id: The run whose feed the replayed run was compared with.
        artifacts: The artifacts of the replayed run.
        config: The config of the replay.
    """

    def __init__(
        self,
        artifacts: RunArtifacts,
        config: TenantConfig,
        source_run: RunArtifacts | None = None,
    ) -> None:
        """Keep what a replay needs.

        Args:
            artifacts: The artifacts of the run to replay.
            config: The config of the replay.
            source_run: The artifacts of the baseline's run. With them, a replay may use
                last good feeds that the run did not use.
        """
        self.run_id = artifacts.run.baseline_run_id
        self.artifacts = artifacts
        self.config = config
        self._source_run = source_run

    def uploaded_at(self, vendor_id: str) -> datetime | None:
        """Return the instant at which the last good feed was uploaded, or None."""
        last_good = self._last_good(vendor_id)
        if last_good is None:
            return None
        needs_map = self.config.vendor(vendor_id).sku_map is not None
        if needs_map and last_good.sku_map not in last_good.artifacts.links:
            return None
        return last_good.uploaded_at

    def read(self, vendor_id: str) -> VendorFeed | None:
        """Return the vendor's last good feed, or None."""
        last_good = self._last_good(vendor_id)
        if last_good is None:
            return None
        vendor = self.config.vendor(vendor_id)
        files = [
            FeedFile(
                last_good.artifacts.file(file.artifact).data,
                PurePosixPath(file.pins.s3_key or file.artifact).name,
                file.part_id,
                file.pins.kind,
            )
            for file in last_good.files
        ]
        return VendorFeed(vendor, files, last_good.sku_map_data(vendor))

    def found(self) -> dict[str, VendorInput]:
        """Return the inputs of the vendors that have a feed, by vendor."""
        inputs = {}
        for vendor in self.config.vendors_and_catalog:
            entry = self.artifacts.manifest().inputs.get(vendor.vendor_id)
            files = [] if entry is None else self._files_of(vendor, entry)
            if not files:
                continue
            map_size = None
            map_name = SKU_MAP.name_for(vendor=vendor.vendor_id)
            if vendor.sku_map is not None and map_name in self.artifacts.links:
                map_size = len(self.artifacts.file(map_name).data)
            inputs[vendor.vendor_id] = VendorInput(
                [file.as_input for file in files],
                map_size,
            )
        return inputs

    def _files_of(
        self,
        vendor: VendorConfig,
        entry: PinnedInput,
    ) -> list[_File]:
        """Return the files of a manifest's entry that the input's config reads."""
        has_catalog = self.artifacts.manifest().catalog is not None
        is_catalog = has_catalog and vendor.vendor_id == CATALOG
        name = KEYS.upload_name(vendor.vendor_id, is_catalog=is_catalog)
        return _files_of(vendor, entry, name)

    def feeds(self, inputs: InputVerdict) -> Iterator[VendorFeed]:
        """Yield the feeds of the vendors to read, in order.

        Args:
            inputs: The verdict on the inputs, which says who uses a last good feed.
        """
        for vendor_id in inputs.to_read():
            state = inputs.states.get(vendor_id)
            if state is None or state.last_good_run_id is None:
                yield self._own_feed(
                    vendor_id,
                    inputs.parts_left_out.get(vendor_id, {}),
                )
            else:
                last_good_feed = self.read(vendor_id)
                if last_good_feed is not None:
                    yield last_good_feed

    def _own_feed(
        self,
        vendor_id: str,
        parts_left_out: Collection[str],
    ) -> VendorFeed:
        """Return the files that the run itself found, without those of some parts."""
        vendor = self.config.vendor(vendor_id)
        entry = self.artifacts.manifest().inputs[vendor_id]
        files = [
            FeedFile(
                self.artifacts.file(file.artifact, file.pins.sha256).data,
                PurePosixPath(str(file.pins.s3_key)).name,
                file.part_id,
                file.pins.kind,
            )
            for file in self._files_of(vendor, entry)
            if file.part_id not in parts_left_out
        ]
        sku_map = None
        if vendor.sku_map is not None:
            map_name = SKU_MAP.name_for(vendor=vendor_id)
            sku_map = self.artifacts.file(map_name).data
        return VendorFeed(vendor, files, sku_map)

    def _last_good(self, vendor_id: str) -> _LastGood | None:
        """Return the input that the source run used, or else the one that the run kept."""
        used_input = self._used_by_source_run(vendor_id)
        vendor = self.config.vendor(vendor_id)
        return used_input or _kept_input(self.artifacts, vendor)

    def _used_by_source_run(self, vendor_id: str) -> _LastGood | None:
        source = self._source_run
        if source is None:
            return None
        entry = source.manifest().vendors.get(vendor_id)
        if entry is None or not VendorStatus(entry.status).is_used:
            return None
        vendor = self.config.vendor(vendor_id)
        if entry.last_good_run_id is not None:
            return _kept_input(source, vendor)
        files = _files_of(vendor, entry, UPLOAD.name_for(vendor=vendor_id))
        has_all = all(file.artifact in source.links for file in files)
        if not has_all or not has_required(vendor.input_parts, files):
            return None
        uploaded_at = VendorInput(
            [file.as_input for file in files],
        ).uploaded_at(vendor)
        if uploaded_at is None:
            return None
        sku_map = SKU_MAP.name_for(vendor=vendor_id)
        return _LastGood(source, files, sku_map, uploaded_at)


def replay(inputs: ReplayInputs, sink: Sink) -> tuple[RunStages, RunValues]:
    """Run the engine over a run's inputs.

    Returns:
        The engine's stages, and the values that they returned.

    Raises:
        ConfigError: The config lacks a vendor that the run was requested for.
        ClientError: An input cannot be had.
    """
    tune_process()
    artifacts = inputs.artifacts
    config = inputs.config
    run = artifacts.run
    vendors = config.selecting(run.vendors)
    # Another config differs from all that are stored, so it has no version.
    is_own_config = config == artifacts.config()
    stages = RunStages(
        config,
        vendors,
        run.requested_at,
        KEYS,
        sink,
        limits=artifacts.limits(),
        baseline=artifacts.baseline(),
        last_good=inputs,
        overrides=artifacts.overrides(),
        config_version=run.config_version if is_own_config else 0,
    )
    return stages, stages.go_through(inputs.found(), inputs.feeds)


def _files_of(
    vendor: VendorConfig,
    entry: PinnedInput,
    name: str,
) -> list[_File]:
    """Return the files of a manifest's entry that the vendor's config reads.

    ``name`` is the artifact's name of an only file.
    """
    if entry.files is None:
        files = [_File(name, PinnedFile(**entry.model_dump(include=_PINS)))]
    else:
        files = [
            _File(f"{name}.{number}", pins)
            for number, pins in enumerate(entry.files, 1)
        ]
    pinned_files = [file for file in files if file.pins.s3_key]
    return files_read(vendor.input_parts, pinned_files)


def _kept_input(
    artifacts: RunArtifacts,
    vendor: VendorConfig,
) -> _LastGood | None:
    """Return the last good input that a run kept.

    The run has judged its age already; only the age in whole hours is known.
    """
    vendor_id = vendor.vendor_id
    entry = artifacts.manifest().vendors.get(vendor_id)
    name = LAST_GOOD.name_for(vendor=vendor_id)
    files = [_File(name, PinnedFile())] if name in artifacts.links else []
    if vendor.has_file_list:
        # Its files have the numbers of the files that the source run used.
        source_files = _lent_files(artifacts, vendor)
        for number, file in enumerate(source_files, 1):
            listed_name = LISTED_LAST_GOOD.name_for(
                vendor=vendor_id,
                number=number,
            )
            if listed_name in artifacts.links:
                files.append(_File(listed_name, file.pins))
    if entry is None or not files:
        return None
    age = timedelta(hours=entry.age_hours or 0)
    uploaded_at = artifacts.run.requested_at - age
    sku_map = LAST_GOOD_SKU_MAP.name_for(vendor=vendor_id)
    return _LastGood(artifacts, files, sku_map, uploaded_at)


def _lent_files(artifacts: RunArtifacts, vendor: VendorConfig) -> list[_File]:
    """Return a run's last good files as they were pinned by the run that found them.

    That run may be several runs back, each of which used the files of the one before.
    There are none if a run between them is gone.
    """
    vendor_id = vendor.vendor_id
    source = artifacts.baseline_artifacts()
    while source is not None:
        entry = source.manifest().vendors.get(vendor_id)
        if entry is None:
            return []
        if entry.last_good_run_id is None:
            return _files_of(vendor, entry, UPLOAD.name_for(vendor=vendor_id))
        source = source.baseline_artifacts()
    return []
