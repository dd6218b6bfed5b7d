"""The attributes of the component, as ``defs.yaml`` has them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

TENANT = "{tenant}"
"""The placeholder of the tenant in the attributes of a partitioned component."""
_S3 = "s3://"


class AssetInput(dg.Model):
    """An input that is the value of another asset."""

    asset: str
    """The key of the asset, such as ``raw/acme``."""

    @property
    def key(self) -> dg.AssetKey:
        """The key of the asset."""
        return dg.AssetKey.from_user_string(self.asset)


class TenantPartitions(dg.Model):
    """The partitions of a component that has several tenants."""

    tenants: list[str]
    """The tenants, one partition each."""


InputAttribute = str | AssetInput
"""A path, an ``s3://`` prefix, or an asset."""


def resolve_config(
    context: dg.ResolutionContext,
    value: str | Mapping[str, Any],
) -> str | Mapping[str, Any]:
    """Return the path of the config, or the config itself, as it is written.

    A template in a config would make other values of its texts: ``"0.20"`` a number.
    """
    if isinstance(value, str):
        return str(context.resolve_value(value, as_type=str))
    return value


def resolve_inputs(
    context: dg.ResolutionContext,
    value: Mapping[str, InputAttribute],
) -> dict[str, InputAttribute]:
    """Return the inputs by name."""
    inputs: dict[str, InputAttribute] = {}
    for name, attribute in value.items():
        here = context.at_path(name)
        if isinstance(attribute, str):
            inputs[name] = str(here.resolve_value(attribute, as_type=str))
        else:
            key = here.at_path("asset").resolve_value(
                attribute.asset, as_type=str
            )
            inputs[name] = AssetInput(asset=str(key))
    return inputs


def resolve_tags(
    context: dg.ResolutionContext,
    value: Mapping[str, Any],
) -> dict[str, str]:
    """Return the tags, whose values may be written as numbers."""
    tags = context.resolve_value(value)
    return {name: str(text) for name, text in tags.items()}


def is_s3(text: str) -> bool:
    """Return True if a text is an address in S3."""
    return text.startswith(_S3)


def split_s3(address: str) -> tuple[str, str]:
    """Return the bucket and the key, or prefix, of an ``s3://`` address."""
    bucket, _, key = address.removeprefix(_S3).partition("/")
    return bucket, key


def local_path(text: str, folder: Path) -> Path:
    """Return a path that is relative to the folder of the definitions."""
    return folder / Path(text).expanduser()
