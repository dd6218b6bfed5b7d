"""Sample tenants: a config and feeds to try the program with; the engine itself uses none of it.

Configs are package data beside this file. Feeds of ``acme_parts`` come from `generator`, out of a
seed; those of ``tool_yard``, which uses each option for suppliers' files, lie beside its config.
"""

from importlib import resources

from relay_core.samples import generator

SAMPLE_TENANTS = ("acme_parts", "tool_yard")

__all__ = [
    "SAMPLE_TENANTS",
    "sample_config_text",
    "sample_feeds",
    "sample_sku_maps",
]


def sample_config_text(tenant: str) -> str:
    """Return a sample tenant's config as YAML; KeyError where there is no such tenant."""
    _known(tenant)
    return (resources.files(__name__) / tenant / "config.yaml").read_text(
        "utf-8"
    )


def sample_feeds(tenant: str) -> dict[str, tuple[str, bytes]]:
    """Return ``{vendor_id: (file name, bytes)}``, the same bytes on every machine."""
    _known(tenant)
    if tenant == "acme_parts":
        return generator.feeds()
    files = (resources.files(__name__) / tenant / "feeds").iterdir()
    named = sorted((each.name, each.read_bytes()) for each in files)
    return {name.partition(".")[0]: (name, data) for name, data in named}


def sample_sku_maps(tenant: str) -> dict[str, tuple[str, bytes]]:
    """Return ``{vendor_id: (file name, bytes)}`` for the vendors whose config names a SKU map."""
    _known(tenant)
    return generator.sku_maps() if tenant == "acme_parts" else {}


def _known(tenant: str) -> None:
    if tenant not in SAMPLE_TENANTS:
        raise KeyError(tenant)
