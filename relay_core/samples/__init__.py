"""Sample tenants: a config and feeds to try the program with; the engine itself uses none of it.

Configs are package data beside this file; feeds come from `generator`, out of a seed.
"""

from __future__ import annotations

from importlib import resources

from relay_core.samples import generator

SAMPLE_TENANTS = ("acme_parts",)

__all__ = ["SAMPLE_TENANTS", "sample_config_text", "sample_feeds", "sample_sku_maps"]


def sample_config_text(tenant: str) -> str:
    """Return a sample tenant's config as YAML; KeyError where there is no such tenant."""
    _known(tenant)
    return (resources.files(__name__) / tenant / "config.yaml").read_text("utf-8")


def sample_feeds(tenant: str) -> dict[str, tuple[str, bytes]]:
    """Return ``{vendor_id: (file name, bytes)}``, the same bytes on every machine."""
    _known(tenant)
    return generator.feeds()


def sample_sku_maps(tenant: str) -> dict[str, tuple[str, bytes]]:
    """Return ``{vendor_id: (file name, bytes)}`` for the vendors whose config names a SKU map."""
    _known(tenant)
    return generator.sku_maps()


def _known(tenant: str) -> None:
    if tenant not in SAMPLE_TENANTS:
        raise KeyError(tenant)
