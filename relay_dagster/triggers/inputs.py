"""The inputs of a tenant: the places where files arrive, each with its name.

Uploads, pulls, and triggers know a tenant's files by input. The name of an input is what
commands call it: ``acme`` for the files of vendor acme, which are the vendor's base, and
``acme/prices`` for those of its part prices.
"""

from dataclasses import dataclass

from relay_core.config import TenantConfig
from relay_core.config.inputs.parts import InboundConfig


@dataclass(frozen=True, slots=True)
class Input:
    """One input of a tenant, as a config describes it."""

    vendor_id: str
    part_id: str | None  # None for the vendor's base
    inbound: InboundConfig  # where its files arrive

    @property
    def name(self) -> str:
        """The name of the input, unlike that of any other input of the tenant."""
        return name_of(self.vendor_id, self.part_id)

    @property
    def prefix(self) -> str | None:
        """The prefix of its uploads in the bucket; None if it takes no uploads."""
        return self.inbound.s3_prefix

    def takes(self, key: str) -> bool:
        """Return True if an upload with a key is a file of the input."""
        return self.prefix is not None and key.startswith(self.prefix)


def name_of(vendor_id: str, part_id: str | None) -> str:
    """Return the name of a vendor's base, or of one of its parts."""
    return vendor_id if part_id is None else f"{vendor_id}/{part_id}"


def ids_of(name: str) -> tuple[str, str | None]:
    """Return the vendor's ID and the part's ID that an input's name is made of."""
    vendor_id, slash, part_id = name.partition("/")
    return vendor_id, part_id if slash else None


def inputs_of(config: TenantConfig) -> dict[str, Input]:
    """Return the inputs of a config by name, in the config's order."""
    inputs = [
        Input(vendor.vendor_id, None, vendor.inbound)
        for vendor in config.vendors
    ]
    return {tenant_input.name: tenant_input for tenant_input in inputs}
