"""The triggers of a tenant's config: a schedule, and uploads that start runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from relay_core.config import TenantConfig
from relay_core.config.inputs.tenant_inputs import Input, inputs_of
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
    def inputs(self) -> Mapping[str, Input]:
        """The tenant's inputs by name."""
        return {} if self.config is None else inputs_of(self.config)

    def inputs_taking(self, key: str) -> set[str]:
        """Return the names of the inputs that take an upload, if uploads start runs."""
        if self.on_upload is None:
            return set()
        return {
            name
            for name, tenant_input in self.inputs.items()
            if tenant_input.takes(key)
        }
