"""The config of a run on this machine: loaded from a file, a text, or a mapping."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from relay_core.config import TenantConfig, parse_document
from relay_core.config.loading import load_config as load_document
from relay_core.domain.errors import (
    ConfigError,
    ConfigFault,
    UnsupportedSchemaVersionError,
)
from relay_core.domain.limits import DEFAULT_LIMITS, Limits
from relay_core.mapped_files import InputFile

MAX_CONFIG_BYTES = 8_000_000
"""The maximum size of a config file, including white space and comments."""
_NO_VENDORS = (
    "the config has no vendors, so there is nothing to run. Add a vendor."
)


@dataclass(frozen=True, repr=False)
class Config:
    """A tenant's config that is loaded and valid.

    Attributes:
        tenant: The settings.
        document: The config as it was written, without defaults.
        folder: The folder that paths in the config are relative to.
    """

    tenant: TenantConfig
    document: Mapping[str, Any]
    folder: Path

    def __repr__(self) -> str:
        """Return the tenant's ID and those of its vendors."""
        return f"<Config of {self.tenant_id}: {', '.join(self.vendor_ids)}>"

    @property
    def tenant_id(self) -> str:
        """The ID of the tenant."""
        return self.tenant.tenant_id

    @property
    def vendor_ids(self) -> list[str]:
        """The IDs of the vendors, in the order of the config."""
        return [vendor.vendor_id for vendor in self.tenant.vendors]

    def to_dict(self) -> dict[str, Any]:
        """Return the config as it takes effect: JSON values with all defaults."""
        return self.tenant.to_document()


ConfigSource: TypeAlias = Config | str | os.PathLike[str] | Mapping[str, Any]
"""A loaded config, a path, YAML text with a line break, or a mapping."""


def load_config(source: ConfigSource) -> Config:
    """Return the config in a file, a text, or a mapping.

    Args:
        source: The path of a YAML or JSON file, YAML text with at least one line break,
            or a mapping of options to values. Paths in a config file are relative to its
            folder, and in other configs to the current folder.

    Raises:
        ConfigError: The config has faults; ``faults`` has all of them.
        OSError: The file cannot be read.
        TypeError: The source is none of these.
    """
    if isinstance(source, Config):
        return source
    document: Mapping[str, Any]
    folder = Path()
    if isinstance(source, Mapping):
        document = source
    elif isinstance(source, str) and "\n" in source:
        document = parse_document(source, format="yaml", limits=DEFAULT_LIMITS)
    elif isinstance(source, str | os.PathLike):
        path = Path(source)
        document = read_document(path, DEFAULT_LIMITS)
        folder = path.parent
    else:
        raise TypeError(
            "A config is a path, YAML text with a line break, or a mapping, not "
            f"{type(source).__name__}.",
        )
    try:
        tenant = loaded(document, DEFAULT_LIMITS)
    except UnsupportedSchemaVersionError as error:
        fault = ConfigFault("schema_version", str(error))
        raise ConfigError([fault]) from None
    return Config(tenant, document, folder)


def loaded(document: Mapping[str, Any], limits: Limits) -> TenantConfig:
    """Return the config in a document, which has at least one vendor.

    Raises:
        ConfigError: The document has faults, or no vendors.
        UnsupportedSchemaVersionError: The document's ``schema_version`` is not 1.
    """
    config = load_document(document, limits)
    if not config.vendors:
        raise ConfigError([ConfigFault("vendors", _NO_VENDORS)])
    return config


def read_document(path: Path, limits: Limits) -> Mapping[str, Any]:
    """Return the document in a config file: JSON if it is named ``.json``, else YAML.

    Raises:
        ConfigError: The text is not a document.
        OSError: The file cannot be read.
    """
    file = InputFile.at(path, MAX_CONFIG_BYTES)
    # One byte more than the maximum shows that the file is too large.
    text = bytes(file.data[: MAX_CONFIG_BYTES + 1])
    file_format: Literal["json", "yaml"] = "yaml"
    if path.suffix.lower() == ".json":
        file_format = "json"
    document: Mapping[str, Any] = parse_document(
        text,
        format=file_format,
        limits=limits,
    )
    return document
