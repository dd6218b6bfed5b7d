"""The inputs of a tenant: the places where files arrive.

Uploads, pulls, and triggers know a tenant's files by input. An input is the base of a
vendor, which is the vendor's own files, or one of its parts, or the catalog.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from relay_core.config import TenantConfig
from relay_core.config.inputs.checks import inputs_of_vendors
from relay_core.config.inputs.parts import InputPart
from relay_core.config.inputs.uploads import FileKind
from relay_core.config.pulls import PullConfig
from relay_core.domain.input_names import name_of


@dataclass(frozen=True, slots=True)
class Input:
    """One input of a tenant, as a config describes it."""

    vendor_id: str
    path: tuple[str | int, ...]  # the path of its section in the config
    part: InputPart  # the part of the vendor; the base is one, too
    # Whether messages and results about the input name its part
    names_part: bool = False

    @property
    def name(self) -> str:
        """The name of the input, unlike that of any other input of the tenant."""
        return name_of(self.vendor_id, self.part.part_id)

    @property
    def is_catalog(self) -> bool:
        """True if it is the catalog, and no vendor's."""
        return self.path == ("catalog",)

    @property
    def prefix(self) -> str | None:
        """The prefix of its uploads in the bucket; None if it takes no uploads."""
        return self.part.inbound.s3_prefix

    @property
    def pull(self) -> PullConfig | None:
        """The pull of its files; None if they are not pulled."""
        return self.part.inbound.pull

    @property
    def has_changes(self) -> bool:
        """True if the names of its files tell full ones from deltas."""
        return self.part.changes is not None

    def takes(self, key: str) -> bool:
        """Return True if an upload with a key is a file of the input."""
        return self.kind_of(key) is not None

    def kind_of(self, key: str) -> FileKind | None:
        """Return whether an upload is full or a delta; None if the input does not take it."""
        is_below = self.prefix is not None and key.startswith(self.prefix)
        return self.part.kind_of(key) if is_below else None

    def alone(self, config: TenantConfig) -> TenantConfig:
        """Return a config whose vendor has the files of the input as its only ones."""
        changes: dict[str, Any] = {
            "parser": self.part.parser,
            "parts": (),
            "changes": None,
        }
        if self.part.columns is not None:
            changes["duplicate_skus"] = self.part.duplicate_skus
        vendors = [
            vendor.model_copy(update=changes)
            if vendor.vendor_id == self.vendor_id
            else vendor
            for vendor in config.vendors
        ]
        return config.model_copy(update={"vendors": tuple(vendors)})


def inputs_of(config: TenantConfig) -> dict[str, Input]:
    """Return the inputs of a config by name, in the config's order."""
    return {tenant_input.name: tenant_input for tenant_input in _inputs(config)}


def _inputs(config: TenantConfig) -> Iterator[Input]:
    for path, part, _ in inputs_of_vendors(config.vendors):
        vendor = config.vendors[int(path[1])]
        yield Input(vendor.vendor_id, path, part, vendor.has_file_list)
    catalog = config.catalog_input
    if catalog is not None:
        (part,) = catalog.input_parts
        yield Input(catalog.vendor_id, ("catalog",), part)
