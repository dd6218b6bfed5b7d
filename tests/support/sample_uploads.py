"""Uploads of the sample tenant that the demo does not make."""

from relay_core.config import load_config, parse_document
from relay_core.samples import sample_config_text, sample_feeds
from relay_dagster.devstack.demo import TENANT
from relay_dagster.wiring import Platform


def upload_tenth(platform: Platform) -> None:
    """Upload the first tenth of a vendor's feed."""
    config = load_config(
        parse_document(sample_config_text(TENANT), format="yaml")
    )
    vendor_id, (name, data) = next(iter(sample_feeds(TENANT).items()))
    lines = data.splitlines(keepends=True)
    key = f"{config.vendor(vendor_id).inbound.s3_prefix}{name}"
    platform.objects.put(key, b"".join(lines[: len(lines) // 10]))
