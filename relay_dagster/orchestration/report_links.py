"""The address of a run's report among Dagster's pages, where ``relay ui`` leads to the file."""

import dagster as dg

REPORTS = "/reports"


def report_link(tenant_id: str, run_id: str) -> dg.UrlMetadataValue:
    """Return the link; it stays good, for the file is signed for when it is followed."""
    return dg.MetadataValue.url(f"{REPORTS}/{tenant_id}/{run_id}")
