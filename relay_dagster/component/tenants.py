"""The tenants of a component: the config, the inputs, and the folder of each partition."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import dagster as dg

from relay_core.config import TenantConfig
from relay_core.config.inputs.tenant_inputs import inputs_of
from relay_core.domain.errors import (
    ConfigError,
    ConfigFault,
    UnsupportedSchemaVersionError,
)
from relay_core.domain.limits import Limits
from relay_core.library.configs import loaded, read_document
from relay_dagster.component.attributes import (
    TENANT,
    AssetInput,
    InputAttribute,
    is_s3,
    local_path,
)
from relay_dagster.component.sources import Source, source_of
from relay_dagster.settings import LimitSettings, SettingsError

_PARTITION = re.compile("[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_ASSETS = ("candidate", "feed")


@dataclass(frozen=True)
class YamlSource:
    """The positions of attributes in ``defs.yaml``, if the component was loaded from there.

    Attributes:
        tree: Dagster's tree of the positions, or None.
    """

    tree: Any

    @classmethod
    def of(cls, context: dg.ComponentLoadContext) -> Self:
        """Return the positions of a component that is being loaded."""
        source = getattr(context.component_decl, "source_tree", None)
        return cls(None if source is None else source.source_position_tree)

    def place(self, *path: str | int) -> str:
        """Return the file, the line, and the path of an attribute, as far as they are known."""
        dotted = ".".join(map(str, ("attributes", *path)))
        if self.tree is None:
            return dotted
        position, _ = self.tree.lookup_closest_and_path(
            ["attributes", *path],
            None,
        )
        return f"{position}: {dotted}"


@dataclass(frozen=True)
class Attributes:
    """The attributes that say what to read and where to write.

    Attributes:
        config: The path of the config, or the config itself.
        folder: The folder for the feed, its state, and its reports.
        inputs: The inputs by name.
        tenants: The partitions, or None without them.
        base: The folder that paths are relative to.
        source: The positions of the attributes in ``defs.yaml``.
    """

    config: str | Path | Mapping[str, Any]
    folder: str | Path
    inputs: Mapping[str, InputAttribute]
    tenants: Sequence[str] | None
    base: Path
    source: YamlSource


@dataclass(frozen=True)
class Tenant:
    """One tenant of the component: its partition, or all of a component without partitions.

    Attributes:
        config: The config.
        config_folder: The folder that paths in the config are relative to.
        inputs: The source of each input that has one, by name.
        folder: The folder for the feed, its state, and its reports.
        limits: The limits of files and reports.
    """

    config: TenantConfig
    config_folder: Path
    inputs: Mapping[str, Source]
    folder: str
    limits: Limits


Tenants = Mapping[str | None, Tenant]
"""The tenants by partition; None is the only key of a component without partitions."""


def load_tenants(attributes: Attributes) -> Tenants:
    """Return the tenants of a component.

    Raises:
        DagsterInvalidDefinitionError: A config or an attribute has errors. The message has
            them all, with the path of each.
    """
    errors = list(_attribute_errors(attributes))
    if attributes.tenants is not None:
        errors += _partition_errors(attributes, attributes.tenants)
    tenants: dict[str | None, Tenant] = {}
    if not errors:
        limits = _limits(attributes)
        for key in attributes.tenants or (None,):
            tenant = _tenant(attributes, key, limits, errors)
            if tenant is not None:
                tenants[key] = tenant
    if errors:
        raise dg.DagsterInvalidDefinitionError(
            "\n".join(dict.fromkeys(errors)),
        )
    return tenants


def _limits(attributes: Attributes) -> Limits:
    try:
        return LimitSettings.from_env().limits
    except SettingsError as error:
        raise dg.DagsterInvalidDefinitionError(
            f"{attributes.source.place()}: {error}",
        ) from None


def _attribute_errors(attributes: Attributes) -> Iterator[str]:
    """Yield the errors of attributes that show without a config."""
    place = attributes.source.place
    for name, attribute in attributes.inputs.items():
        if isinstance(attribute, AssetInput):
            if TENANT in attribute.asset:
                yield (
                    f"{place('inputs', name, 'asset')}: the key of an asset cannot have {TENANT}. "
                    "Name one asset, and partition it by the same tenants."
                )
        elif is_s3(attribute) and not attribute.endswith("/"):
            yield (
                f"{place('inputs', name)}: {attribute} must end with a slash. The newest object "
                "below the prefix is read."
            )


def _partition_errors(
    attributes: Attributes,
    keys: Sequence[str],
) -> Iterator[str]:
    """Yield the errors of the attributes of a component with partitions."""
    place = attributes.source.place
    if not keys:
        yield f"{place('partitions', 'tenants')}: name at least one tenant."
    for index, key in enumerate(keys):
        if not _PARTITION.fullmatch(key):
            yield (
                f"{place('partitions', 'tenants', index)}: {key!r} is not a tenant. A tenant has "
                "letters, digits, _, and -, and begins with a letter or a digit."
            )
    if TENANT not in str(attributes.folder):
        yield (
            f"{place('folder')}: the tenants would write to one folder. Add {TENANT}, such as "
            f"{attributes.folder}/{TENANT}."
        )
    if TENANT not in str(attributes.config):
        yield (
            f"{place('config')}: the tenants would have one config. Add {TENANT} to the path, "
            "or to the config's tenant_id."
        )


def _tenant(
    attributes: Attributes,
    key: str | None,
    limits: Limits,
    errors: list[str],
) -> Tenant | None:
    """Return a tenant; None if there are errors, which are added to ``errors``."""
    place = attributes.source.place
    base = attributes.base
    config_path = None
    if not isinstance(attributes.config, Mapping):
        config_path = local_path(_filled(str(attributes.config), key), base)
    try:
        if config_path is None:
            config = loaded(_filled(attributes.config, key), limits)
        else:
            config = loaded(read_document(config_path, limits), limits)
    except OSError as error:
        errors.append(
            f"{place('config')}: {config_path}: {error.strerror or error}. Name the file of the "
            "config, relative to this folder.",
        )
        return None
    except UnsupportedSchemaVersionError as error:
        errors.append(f"{place('config', 'schema_version')}: {error}")
        return None
    except ConfigError as error:
        for fault in error.faults:
            errors.append(_config_error(attributes, config_path, fault))
        return None
    errors.extend(_input_errors(attributes, config))
    inputs = {
        name: source_of(_filled_input(attribute, key), base)
        for name, attribute in attributes.inputs.items()
    }
    folder = _filled(str(attributes.folder), key)
    if not is_s3(folder):
        folder = str(local_path(folder, base))
    config_folder = base if config_path is None else config_path.parent
    return Tenant(config, config_folder, inputs, folder.rstrip("/"), limits)


def _config_error(
    attributes: Attributes,
    config_path: Path | None,
    fault: ConfigFault,
) -> str:
    """Return an error of a config, with its place in ``defs.yaml`` and in the config's file."""
    place = attributes.source.place
    if config_path is not None:
        return f"{place('config')}: {config_path}: {fault}"
    path = [
        int(step) if step.isdecimal() else step
        for step in fault.path.split(".")
        if step
    ]
    return f"{place('config', *path)}: {fault.message}"


def _input_errors(
    attributes: Attributes,
    config: TenantConfig,
) -> Iterator[str]:
    """Yield the errors of the inputs, given the config."""
    place = attributes.source.place
    names = list(inputs_of(config))
    for name in attributes.inputs:
        if name not in names:
            yield (
                f"{place('inputs', name)}: the config of {config.tenant_id} has no input {name}. "
                f"Its inputs are {', '.join(names) or 'none'}."
            )
    for index, vendor in enumerate(config.vendors):
        if vendor.vendor_id in _ASSETS:
            yield (
                f"{place('config', 'vendors', index, 'vendor_id')}: {vendor.vendor_id} is the name "
                "of another asset of the component. Give the vendor another ID."
            )


def _filled_input(attribute: InputAttribute, key: str | None) -> InputAttribute:
    return _filled(attribute, key) if isinstance(attribute, str) else attribute


def _filled(value: Any, key: str | None) -> Any:
    """Return a value with the tenant in the place of its placeholder, in every text."""
    if key is None:
        return value
    if isinstance(value, str):
        return value.replace(TENANT, key)
    if isinstance(value, Mapping):
        return {name: _filled(item, key) for name, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, key) for item in value]
    return value
