"""Sample tenants: a config and feeds to try the program with; the engine itself uses none of it.

Configs are package data beside this file. Feeds of ``acme_parts`` come from `generator`, out of a
seed; those of ``tool_yard``, which uses each option for suppliers' files, lie beside its config,
and so do those of ``hammer_house``, whose vendor sends several files.
"""

from importlib import resources

from relay_core.domain.codes import CATALOG
from relay_core.samples import generator

SAMPLE_TENANTS = ("acme_parts", "tool_yard", "hammer_house")

__all__ = [
    "SAMPLE_TENANTS",
    "sample_config_text",
    "sample_feeds",
    "sample_files",
    "sample_sku_maps",
]


_PRODUCTS = "products.csv"
_FILES_OF_INPUTS = {
    "hammer_house": ("prices_east.csv",),
    "hammer_house/west": ("prices_west.csv",),
    "hammer_house/stock": (
        "stock-full-0301.csv",
        "stock-delta-0301-09.csv",
        "stock-delta-0301-10.csv",
    ),
}
"""The files of each input of ``hammer_house``, in reading order."""


def sample_config_text(tenant: str) -> str:
    """Return a sample tenant's config as YAML; KeyError where there is no such tenant."""
    _known(tenant)
    return (resources.files(__name__) / tenant / "config.yaml").read_text(
        "utf-8"
    )


def sample_files(tenant: str) -> dict[str, list[tuple[str, bytes]]]:
    """Return ``{input: [(file name, bytes)]}``, the files of each input in reading order.

    An input is a vendor's base, ``VENDOR/PART``, or the catalog of ``tool_yard``. The bytes are
    the same on every machine.
    """
    _known(tenant)
    if tenant == "acme_parts":
        return {name: [feed] for name, feed in generator.feeds().items()}
    folder = resources.files(__name__) / tenant
    feeds = folder / "feeds"
    if tenant == "hammer_house":
        return {
            name: [(file, (feeds / file).read_bytes()) for file in files]
            for name, files in _FILES_OF_INPUTS.items()
        }
    catalog = folder / CATALOG / _PRODUCTS
    files_by_name = {file.name: file.read_bytes() for file in feeds.iterdir()}
    return {
        **{
            name.partition(".")[0]: [(name, data)]
            for name, data in sorted(files_by_name.items())
        },
        CATALOG: [(_PRODUCTS, catalog.read_bytes())],
    }


def sample_feeds(tenant: str) -> dict[str, tuple[str, bytes]]:
    """Return ``{vendor_id: (file name, bytes)}``; of a vendor of several files the first one."""
    return {
        name: files[0]
        for name, files in sample_files(tenant).items()
        if name != CATALOG and "/" not in name
    }


def sample_sku_maps(tenant: str) -> dict[str, tuple[str, bytes]]:
    """Return ``{vendor_id: (file name, bytes)}`` for the vendors whose config names a SKU map."""
    _known(tenant)
    return generator.sku_maps() if tenant == "acme_parts" else {}


def _known(tenant: str) -> None:
    if tenant not in SAMPLE_TENANTS:
        raise KeyError(tenant)
