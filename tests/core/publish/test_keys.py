"""Where artifacts lie."""

from __future__ import annotations

import pytest

from relay_core.publish.keys import ArtifactKeys
from support.builders import RUN_ID


def test_keys_lie_under_the_run_and_its_tenant() -> None:
    keys = ArtifactKeys(RUN_ID, "acme")

    assert keys.errors == f"{RUN_ID}/tenants/acme/reports/errors.json"
    assert (
        keys.normalized("v")
        == f"{RUN_ID}/tenants/acme/normalized/v/normalized.csv"
    )
    assert (
        ArtifactKeys("", "acme").merged_inventory("csv")
        == "outputs/merged_inventory.csv"
    )


@pytest.mark.parametrize(
    ("relative_key", "name"),
    [
        ("reports/config_snapshot.json", "config_snapshot"),
        ("reports/input_manifest.json", "input_manifest"),
        ("inbound/vendor_1/feed 1.csv", "inbound_vendor_1"),
        ("normalized/vendor_1/normalized.csv", "normalized_vendor_1"),
        ("outputs/merged_inventory.csv", "merged_inventory"),
        ("outputs/merged_inventory.parquet", "merged_inventory"),
        ("outputs/other.csv", ""),
        ("reports/errors.json", "errors"),
        ("reports/invalid_rows.csv", "invalid_rows"),
        ("reports/changes.csv", "changes"),
        ("reports/run_summary.json", "run_summary"),
        ("reports/report.html", "report"),
        ("work/vendor_1/offers.arrow", ""),
        ("inbound/stray.csv", ""),
        ("reports/other.json", ""),
    ],
)
def test_each_artifact_has_its_name(relative_key: str, name: str) -> None:
    for keys in (ArtifactKeys(RUN_ID, "acme"), ArtifactKeys("", "acme")):
        assert keys.artifact_name(f"{keys.prefix}{relative_key}") == name
