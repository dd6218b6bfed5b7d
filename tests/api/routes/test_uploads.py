"""Upload links: forms that are good for one file of one vendor, and nothing else."""

from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from relay_dagster.intake.uploads import UploadTick
from relay_dagster.runs.model import Trigger
from relay_dagster.runs.ports import utc_now
from support.api_world import ApiWorld, assert_problem, paths_of
from support.builders import config_document, vendor_document
from support.fakes import embedded_platform

PATH = "/v1/tenants/acme/uploads"
PREFIX = "tenants/acme/inbound/vendor_1/"
LOCAL = vendor_document("local", inbound={"type": "local"})


def ask(
    world: ApiWorld, file_name: Any = "feed.csv", vendor_id: Any = "vendor_1"
) -> Any:
    return world.client.post(
        PATH, json={"vendor_id": vendor_id, "file_name": file_name}
    )


def link(world: ApiWorld, file_name: str = "feed.csv") -> dict[str, Any]:
    response = ask(world, file_name)
    assert response.status_code == 201, response.text
    form: dict[str, Any] = response.json()
    return form


def policy_of(form: dict[str, Any]) -> dict[str, Any]:
    policy: dict[str, Any] = json.loads(
        base64.b64decode(form["fields"]["policy"])
    )
    return policy


def post(form: dict[str, Any], data: bytes) -> int:
    """Send a file by a form, as a browser or curl does."""
    files = {"file": ("whatever.csv", data)}
    return httpx.post(
        form["url"], data=form["fields"], files=files, trust_env=False
    ).status_code


def test_a_file_that_is_posted_by_the_form_lies_under_the_vendors_prefix(
    served_world: ApiWorld,
) -> None:
    served_world.store_config()
    form = link(served_world, "Preisliste März $5.csv")
    assert form["key"] == f"{PREFIX}Preisliste März $5.csv"
    assert post(form, b"sku,quantity_available\nA-1,5\n") == 204
    objects = served_world.platform.objects
    assert objects.read(form["key"]) == b"sku,quantity_available\nA-1,5\n"
    latest = objects.latest_object(PREFIX)
    assert latest is not None
    assert latest.key == form["key"]


def test_a_file_that_was_uploaded_under_the_name_before_is_replaced(
    served_world: ApiWorld,
) -> None:
    served_world.store_config()
    for data in (b"one", b"two"):
        assert post(link(served_world), data) == 204
    assert served_world.platform.objects.read(f"{PREFIX}feed.csv") == b"two"


def test_an_upload_by_the_form_starts_the_run_of_a_tenant_that_wants_it(
    served_world: ApiWorld,
) -> None:
    served_world.store_config(triggers={"on_upload": {"quiet_seconds": 0}})
    post(link(served_world), b"sku,quantity_available\nA-1,5\n")
    UploadTick(served_world.platform).run(poll_seconds=0)
    (run,) = served_world.platform.runs.list_runs("acme").items
    assert (run.trigger, run.status) == (Trigger.UPLOAD, "QUEUED")


def test_the_form_is_good_for_one_key_so_many_bytes_and_a_quarter_of_an_hour(
    world: ApiWorld,
) -> None:
    world.store_config()
    before = utc_now().replace(microsecond=0)
    form = link(world)
    assert list(form) == ["url", "fields", "key", "max_bytes", "expires_at"]
    assert form["max_bytes"] == world.platform.settings.max_feed_bytes
    expires_at = datetime.fromisoformat(form["expires_at"])
    assert before <= expires_at - timedelta(minutes=15) <= utc_now()
    policy = policy_of(form)
    assert datetime.fromisoformat(policy["expiration"]) == expires_at
    conditions = policy["conditions"]
    assert ["content-length-range", 0, form["max_bytes"]] in conditions
    assert {"key": form["key"]} in conditions
    assert {"bucket": world.platform.objects.bucket} in conditions
    signed = {"policy", "x-amz-signature"}
    unbound = [
        name
        for name in form["fields"]
        if {name: form["fields"][name]} not in conditions
    ]
    assert set(unbound) == signed
    assert form["fields"]["x-amz-algorithm"] == "AWS4-HMAC-SHA256"


def test_s3_takes_no_more_than_it_can_at_once(world: ApiWorld) -> None:
    world.store_config()
    settings = world.platform.settings.model_copy(
        update={"max_feed_bytes": 9 << 30}
    )
    assert (
        link(ApiWorld(world.platform, settings=settings))["max_bytes"]
        == 5 << 30
    )


def test_a_tenant_gets_so_many_links_in_a_day(world: ApiWorld) -> None:
    for tenant_id in ("acme", "globex"):
        world.store_config(tenant_id=tenant_id)
    settings = world.platform.settings.model_copy(
        update={"max_upload_links_per_day": 2}
    )
    limited = ApiWorld(world.platform, settings=settings)
    assert [ask(limited, f"{n}.csv").status_code for n in range(2)] == [
        201,
        201,
    ]
    refused = ask(limited, "3.csv")
    assert_problem(refused, 429, "UPLOAD_QUOTA_EXCEEDED")
    assert 0 < int(refused.headers["Retry-After"]) <= 24 * 3600
    assert (
        len(
            world.client.get("/v1/audit?action=upload_link.created").json()[
                "audit"
            ]
        )
        == 2
    )


def test_links_lead_to_the_host_that_suppliers_see() -> None:
    with embedded_platform(
        public_s3_endpoint_url="https://files.test"
    ) as platform:
        world = ApiWorld(platform)
        world.store_config()
        assert link(world)["url"].startswith("https://files.test/")


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            " ",
            "\u3000",
            ".",
            "..",
            "/",
            "a/",
            "/etc/passwd",
            "../x.csv",
            "a/b.csv",
        ),
        *(
            "C:\\feeds\\a.csv",
            "a\nb.csv",
            "a\0.csv",
            "a\x7f.csv",
            "a\x85.csv",
            "a\u2028.csv",
        ),
        *(
            "\ufffe.csv",
            "${filename}",
            "${filename}.csv",
            "x" * 1025,
            "é" * 500,
        ),
        *(None, 7, ["a.csv"]),
    ],
)
def test_a_name_that_is_no_name_of_a_file_is_refused(
    world: ApiWorld, name: Any
) -> None:
    world.store_config()
    problem = assert_problem(ask(world, name), 422, "INVALID_REQUEST")
    assert paths_of(problem) == ["file_name"]


def test_a_lone_surrogate_is_no_json(world: ApiWorld) -> None:
    world.store_config()
    body = b'{"vendor_id": "vendor_1", "file_name": "\\ud800.csv"}'
    headers = {"Content-Type": "application/json"}
    assert_problem(
        world.client.post(PATH, content=body, headers=headers),
        422,
        "INVALID_REQUEST",
    )


def test_a_key_may_be_as_long_as_s3_takes_it_and_no_longer(
    world: ApiWorld,
) -> None:
    world.store_config()
    longest = "x" * (1024 - len(PREFIX))
    assert len(link(world, longest)["key"]) == 1024
    problem = assert_problem(ask(world, longest + "x"), 422, "INVALID_REQUEST")
    assert "1,025 bytes" in problem["errors"][0]["message"]


@pytest.mark.parametrize(
    ("vendor_id", "error_code"),
    [
        ("vendor_2", "UNKNOWN_VENDOR"),
        ("local", "INVALID_REQUEST"),
        ("a b", "INVALID_REQUEST"),
    ],
)
def test_a_vendor_that_cannot_upload_is_named(
    world: ApiWorld, vendor_id: str, error_code: str
) -> None:
    world.store_config(vendor_document(), LOCAL)
    problem = assert_problem(ask(world, vendor_id=vendor_id), 422, error_code)
    assert paths_of(problem) == ["vendor_id"]


def test_every_fault_of_an_order_is_told_at_once(world: ApiWorld) -> None:
    world.store_config()
    problem = assert_problem(
        world.client.post(PATH, json={"more": 1}), 422, "INVALID_REQUEST"
    )
    assert sorted(paths_of(problem)) == ["file_name", "more", "vendor_id"]


def test_the_prefix_is_that_of_the_latest_config(world: ApiWorld) -> None:
    world.store_config()
    world.store_config(
        vendor_document(
            inbound={"type": "s3", "s3_prefix": "tenants/acme/elsewhere"}
        )
    )
    assert link(world)["key"] == "tenants/acme/elsewhere/feed.csv"


@pytest.mark.parametrize("tenant_id", ["nobody", "no tenant", "%00"])
def test_a_tenant_that_is_unknown_has_no_uploads(
    world: ApiWorld, tenant_id: str
) -> None:
    body = {"vendor_id": "vendor_1", "file_name": "feed.csv"}
    response = world.client.post(f"/v1/tenants/{tenant_id}/uploads", json=body)
    assert_problem(response, 404, "TENANT_NOT_FOUND")


def test_a_tenants_key_makes_its_own_links_alone(world: ApiWorld) -> None:
    world.store_config()
    world.store_config(
        vendor_document(inbound={"type": "s3", "s3_prefix": "tenants/other/"}),
        tenant_id="other",
    )
    client = world.with_key(world.issue_key("acme"))
    body = {"vendor_id": "vendor_1", "file_name": "feed.csv"}
    assert client.post(PATH, json=body).status_code == 201
    assert_problem(
        client.post("/v1/tenants/other/uploads", json=body),
        404,
        "TENANT_NOT_FOUND",
    )


def test_a_pause_of_run_creation_stops_no_uploads(world: ApiWorld) -> None:
    world.store_config()
    world.client.post(
        "/v1/admin/pause", json={"tenant_id": "acme", "reason": "stock-taking"}
    )
    assert_problem(world.post_run(), 503, "RUN_CREATION_PAUSED")
    assert ask(world).status_code == 201


def test_a_stored_config_that_can_no_longer_be_read_says_so(
    world: ApiWorld,
) -> None:
    world.platform.tenants.put(
        "acme", json.dumps(config_document(schema_version=2))
    )
    assert_problem(ask(world), 422, "unsupported_schema_version")
