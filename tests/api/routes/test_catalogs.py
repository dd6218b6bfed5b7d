"""The catalog where a vendor is named: uploads, pulls, and the status of a tenant."""

from __future__ import annotations

from typing import Any

from support.api_world import TENANT, ApiWorld
from support.builders import config_document, vendor_document

PREFIX = f"tenants/{TENANT}/inbound/catalog/"


def store_config(world: ApiWorld, **inbound: Any) -> None:
    world.store_config(
        vendor_document("vendor_1"),
        catalog={
            "inbound": {"type": "s3", "s3_prefix": PREFIX, **inbound},
            "parser": {"format": "csv"},
        },
    )


def test_an_upload_of_the_catalog_goes_below_its_prefix(
    world: ApiWorld,
) -> None:
    store_config(world)
    body = {"vendor_id": "catalog", "file_name": "products.csv"}
    response = world.client.post(f"/v1/tenants/{TENANT}/uploads", json=body)
    assert response.status_code == 201, response.text
    assert response.json()["key"] == f"{PREFIX}products.csv"


def test_a_tenant_without_a_catalog_has_none_to_upload(world: ApiWorld) -> None:
    world.store_config()
    body = {"vendor_id": "catalog", "file_name": "products.csv"}
    response = world.client.post(f"/v1/tenants/{TENANT}/uploads", json=body)
    assert response.json()["error_code"] == "UNKNOWN_VENDOR"
    status = world.client.get(f"/v1/tenants/{TENANT}/status").json()
    assert "catalog" not in status


def test_the_status_has_the_catalog_beside_the_vendors(world: ApiWorld) -> None:
    store_config(world, pull={"url": "https://files.example.com/products.csv"})
    status = world.client.get(f"/v1/tenants/{TENANT}/status").json()
    assert status["vendors"] == []
    catalog = status["catalog"]
    assert [*catalog] == ["uploaded_at", "age_hours", "pull"]
    assert (catalog["uploaded_at"], catalog["age_hours"]) == (None, None)
    assert catalog["pull"] is not None


def test_a_pull_of_the_catalog_is_asked_for_by_its_name(
    world: ApiWorld,
) -> None:
    store_config(world, pull={"url": "https://files.example.com/products.csv"})
    path = f"/v1/tenants/{TENANT}/vendors/catalog/pull"
    response = world.client.post(path)
    assert response.status_code == 202, response.text


def test_a_run_of_the_catalog_alone_is_refused(world: ApiWorld) -> None:
    store_config(world)
    response = world.post_run(vendors=["catalog"])
    assert response.json()["error_code"] == "UNKNOWN_VENDOR"


def test_a_check_reads_the_catalogs_file(world: ApiWorld) -> None:
    inbound = {"type": "s3", "s3_prefix": PREFIX}
    catalog = {"inbound": inbound, "parser": {"format": "csv"}}
    document = config_document(vendor_document("vendor_1"), catalog=catalog)
    rows = "\n".join(f"S{number},Bosch,4006381333931" for number in range(9))
    products = f"Artikel,brand,EAN\n{rows}\n".encode()
    world.platform.objects.put(f"{PREFIX}products.csv", products)
    response = world.client.post(
        f"/v1/tenants/{TENANT}/config:check", json=document
    )
    assert response.status_code == 200, response.text
    (upload,) = [
        upload
        for upload in response.json()["vendors"]
        if upload["vendor_id"] == "catalog"
    ]
    assert "GTINs with a right check digit" in upload["message"]
    assert "cost" not in upload["message"]
