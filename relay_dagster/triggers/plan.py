"""The triggers of a tenant's config: a schedule, and uploads that start runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from relay_core.config import TenantConfig
from relay_core.config.triggers import OnUploadConfig


@dataclass(frozen=True, slots=True)
class Plan:
    """The triggers of a tenant's config."""

    config: TenantConfig | None  # None if the tenant has none that can be read
    stored_at: datetime  # when the config was stored

    @property
    def has_no_vendors(self) -> bool:
        """True if there is nothing to run, whatever the triggers are."""
        return self.config is not None and not self.config.vendors

    @property
    def on_upload(self) -> OnUploadConfig | None:
        """The settings of runs that uploads start; None if uploads start none."""
        if self.config is None or self.has_no_vendors:
            return None
        return self.config.triggers.on_upload

    @property
    def schedule(self) -> tuple[str | None, str | None]:
        """The cron expression and the time zone; None if no run is scheduled.

        A schedule without vendors has no run.
        """
        if self.config is None or self.has_no_vendors:
            return None, None
        schedule = self.config.triggers.schedule
        cron = None if schedule is None else schedule.cron
        return cron, self.config.timezone

    @property
    def prefixes(self) -> Mapping[str, str]:
        """The prefix of each vendor that uploads."""
        if self.config is None:
            return {}
        prefixes = {}
        for vendor in self.config.vendors:
            if vendor.inbound.s3_prefix:
                prefixes[vendor.vendor_id] = vendor.inbound.s3_prefix
        return prefixes

    def vendors_of(self, key: str) -> set[str]:
        """Return the vendors whose prefix a key begins with, if uploads start runs."""
        if self.on_upload is None:
            return set()
        return {
            vendor_id
            for vendor_id, prefix in self.prefixes.items()
            if key.startswith(prefix)
        }
