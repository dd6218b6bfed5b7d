"""The name of a publication's file on a tenant's server."""

from datetime import UTC
from posixpath import basename

from relay_core.config.deliveries import WHAT, DeliveryConfig
from relay_dagster.deliveries.model import PublicationMark


def file_name(
    delivery: DeliveryConfig,
    tenant_id: str,
    publication: PublicationMark,
    key: str,
    what: str,
) -> str:
    """Return the name of a file. ``key`` is that of the published copy."""
    instant = publication.published_at.astimezone(UTC)
    parts = {
        "tenant_id": tenant_id,
        "channel_id": delivery.channel_id or "feed",
        "run_id": publication.run_id,
        "seq": str(publication.seq),
        WHAT: what,
        "date": f"{instant:%Y%m%d}",
        "time": f"{instant:%H%M%S}",
    }
    return delivery.named(parts, basename(key))
