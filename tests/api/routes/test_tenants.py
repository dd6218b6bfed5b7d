"""Tenants and their configs through the API."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from httpx import Response

from relay_dagster.aws.dynamodb.tenant_store import TenantStore
from support.api_world import JSON, TENANT, ApiWorld, assert_problem, paths_of
from support.builders import config_document, vendor_document
from support.fakes import FakeClock, embedded_platform


def create(world: ApiWorld, **changes):
    return world.client.post("/v1/tenants", json=config_document(**changes))


def test_a_new_tenant_is_at_version_1(world: ApiWorld) -> None:
    response = create(world)
    assert response.status_code == 201
    assert response.json() == {"tenant_id": TENANT, "config_version": 1}
    assert response.headers["ETag"] == '"1"'
    assert response.headers["Location"] == "/v1/tenants/acme"


def test_a_tenant_that_exists_is_not_created_again(world: ApiWorld) -> None:
    create(world)
    assert_problem(create(world), 409, "TENANT_EXISTS")
    assert world.platform.tenants.latest_version(TENANT) == 1


def test_a_tenant_whose_id_differs_in_case_alone_is_not_created(
    world: ApiWorld,
) -> None:
    create(world)
    upper_case = TENANT.upper()
    inbound = {
        "type": "s3",
        "s3_prefix": f"tenants/{upper_case}/inbound/vendor_1/",
    }
    document = config_document(
        vendor_document(inbound=inbound), tenant_id=upper_case
    )
    for method, path in (
        ("POST", "/v1/tenants"),
        ("PUT", f"/v1/tenants/{upper_case}/config"),
    ):
        answer = world.client.request(method, path, json=document)
        assert_problem(answer, 409, "TENANT_EXISTS")


def test_a_config_comes_back_with_decimals_as_text_and_defaults_filled_in(
    world: ApiWorld,
) -> None:
    body = json.dumps(config_document()).replace(
        '"base_margin_pct": "0"', '"base_margin_pct": 0.10'
    )
    world.client.post("/v1/tenants", content=body, headers=JSON)
    response = world.client.get("/v1/tenants/acme")
    assert response.status_code == 200
    assert response.headers["ETag"] == '"1"'
    tenant = response.json()
    assert (tenant["tenant_id"], tenant["config_version"]) == (TENANT, 1)
    assert tenant["tenant_config"]["pricing"]["base_margin_pct"] == "0.10"
    assert tenant["tenant_config"]["error_policy"]["max_invalid_rows"] == 0


def test_a_tenant_shows_when_its_schedule_is_due_next(world: ApiWorld) -> None:
    create(world)
    assert world.client.get("/v1/tenants/acme").json()["next_run_at"] is None
    scheduled = config_document(triggers={"schedule": {"cron": "0 6 * * *"}})
    world.client.put("/v1/tenants/acme/config", json=scheduled)
    for query in ("", "?config_version=1"):
        next_run_at = world.client.get(f"/v1/tenants/acme{query}").json()[
            "next_run_at"
        ]
        due = datetime.fromisoformat(next_run_at)
        assert (due.hour, due.minute) == (6, 0)
        assert timedelta(0) < due - datetime.now(UTC) <= timedelta(days=1)


def test_a_cron_that_is_none_is_refused_with_its_path(world: ApiWorld) -> None:
    answer = create(world, triggers={"schedule": {"cron": "@daily"}})
    assert paths_of(assert_problem(answer, 422, "invalid_config")) == [
        "triggers.schedule.cron"
    ]


def test_each_version_stays_as_it_was_stored(world: ApiWorld) -> None:
    create(world)
    response = world.store_config(timezone="Europe/Berlin")
    assert (response.status_code, response.json()["config_version"]) == (200, 2)
    assert response.headers["ETag"] == '"2"'

    def zone(query: str) -> str:
        return world.client.get(f"/v1/tenants/acme{query}").json()[
            "tenant_config"
        ]["timezone"]

    assert (zone("?config_version=1"), zone("?config_version=2")) == (
        "UTC",
        "Europe/Berlin",
    )
    assert zone("") == "Europe/Berlin"


def test_an_unknown_tenant_is_not_found(world: ApiWorld) -> None:
    for tenant_id in ("nobody", "a b", "-a", "x" * 65, "a%0Ab"):
        assert_problem(
            world.client.get(f"/v1/tenants/{tenant_id}"),
            404,
            "TENANT_NOT_FOUND",
        )
    for tenant_id in ("a%2Fb", ".."):
        assert world.client.get(f"/v1/tenants/{tenant_id}").status_code == 404


def test_an_unknown_version_is_not_found_and_the_latest_is_told(
    world: ApiWorld,
) -> None:
    create(world)
    response = world.client.get("/v1/tenants/acme?config_version=7")
    problem = assert_problem(response, 404, "CONFIG_VERSION_NOT_FOUND")
    assert "the latest is 1" in problem["detail"]


@pytest.mark.parametrize("version", ["0", "-1", "x", "1.5", "", str(2**60)])
def test_a_version_is_a_whole_number_from_1(
    unplugged: ApiWorld, version: str
) -> None:
    response = unplugged.client.get(
        f"/v1/tenants/acme?config_version={version}"
    )
    assert paths_of(assert_problem(response, 422, "INVALID_REQUEST")) == [
        "config_version"
    ]


def test_the_first_config_of_a_new_tenant_may_be_put(world: ApiWorld) -> None:
    response = world.store_config()
    assert (response.status_code, response.json()["config_version"]) == (201, 1)
    assert response.headers["Location"] == "/v1/tenants/acme"


def put_matching(world: ApiWorld, if_match: str):
    return world.client.put(
        "/v1/tenants/acme/config",
        json=config_document(),
        headers={"If-Match": if_match},
    )


@pytest.mark.parametrize("if_match", ['"1"', "1", "*", '"7", "1"'])
def test_a_config_is_put_where_if_match_names_the_latest_version(
    world: ApiWorld, if_match: str
) -> None:
    create(world)
    assert put_matching(world, if_match).json()["config_version"] == 2


@pytest.mark.parametrize("if_match", ['"2"', 'W/"1"', "abc", '""', '"01"'])
def test_a_config_is_not_put_over_a_version_that_if_match_does_not_name(
    world: ApiWorld, if_match: str
) -> None:
    create(world)
    problem = assert_problem(
        put_matching(world, if_match), 412, "CONFIG_VERSION_MISMATCH"
    )
    assert problem["config_version"] == 1
    assert world.platform.tenants.latest_version(TENANT) == 1


@pytest.mark.parametrize("if_match", ['"1"', "*"])
def test_if_match_creates_no_tenant(world: ApiWorld, if_match: str) -> None:
    assert_problem(
        put_matching(world, if_match), 412, "CONFIG_VERSION_MISMATCH"
    )
    assert world.platform.tenants.latest_version(TENANT) is None


def test_two_writers_at_once_never_share_a_version(
    served_world: ApiWorld,
) -> None:
    create(served_world)
    with ThreadPoolExecutor(6) as pool:
        answers = list(
            pool.map(lambda _: served_world.store_config(), range(6))
        )
    assert sorted(answer.json()["config_version"] for answer in answers) == [
        2,
        3,
        4,
        5,
        6,
        7,
    ]


def test_of_two_writers_who_read_the_same_version_one_is_refused(
    served_world: ApiWorld,
) -> None:
    create(served_world)
    with ThreadPoolExecutor(4) as pool:
        answers = list(
            pool.map(lambda _: put_matching(served_world, '"1"'), range(4))
        )
    assert sorted(answer.status_code for answer in answers) == [
        200,
        412,
        412,
        412,
    ]


def test_a_config_for_another_tenant_than_the_path_s_is_refused(
    world: ApiWorld,
) -> None:
    response = world.client.put(
        "/v1/tenants/other/config", json=config_document()
    )
    assert paths_of(assert_problem(response, 422, "INVALID_REQUEST")) == [
        "tenant_id"
    ]
    assert world.platform.tenants.latest_version("other") is None


def test_all_faults_of_a_config_come_at_once_with_their_paths(
    world: ApiWorld,
) -> None:
    vendors = (
        vendor_document("vendor_1", parser={"delimiter": ";;"}),
        vendor_document("vendor_2", parser={"encoding": "klingon"}),
    )
    problem = assert_problem(
        world.store_config(*vendors, colour="red"), 422, "invalid_config"
    )
    assert sorted(paths_of(problem)) == [
        "colour",
        "vendors.0.parser.delimiter",
        "vendors.1.parser.encoding",
    ]
    assert all(fault["message"] for fault in problem["errors"])
    assert world.platform.tenants.latest_version(TENANT) is None


def test_a_schema_version_other_than_1_is_refused(world: ApiWorld) -> None:
    problem = assert_problem(
        create(world, schema_version=2), 422, "unsupported_schema_version"
    )
    assert paths_of(problem) == ["schema_version"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"\xff", b'{"a": NaN}', b"[" * 50_000]
)
def test_a_body_that_is_no_config_is_refused(
    unplugged: ApiWorld, body: bytes
) -> None:
    response = unplugged.client.post("/v1/tenants", content=body, headers=JSON)
    assert_problem(response, 422, "invalid_config")


def test_a_repeated_key_of_a_config_is_refused(unplugged: ApiWorld) -> None:
    body = json.dumps(config_document())[:-1] + ', "timezone": "UTC"}'
    response = unplugged.client.post("/v1/tenants", content=body, headers=JSON)
    assert (
        "timezone"
        in assert_problem(response, 422, "invalid_config")["errors"][0][
            "message"
        ]
    )


@pytest.mark.parametrize("call", ["config", "config:check"])
def test_a_config_that_is_too_long_is_refused(
    world: ApiWorld, call: str
) -> None:
    document = config_document(
        vendor_document(parser={"null_values": ["x" * 400_000]})
    )
    send = world.client.put if call == "config" else world.client.post
    assert_problem(
        send(f"/v1/tenants/acme/{call}", json=document), 413, "CONFIG_TOO_LARGE"
    )


@pytest.mark.parametrize("call", ["config", "config:check"])
@pytest.mark.parametrize(
    ("key", "status"), [("k{}", 422), ("unknown_sort_key_{}", 413)]
)
def test_a_config_of_very_many_errors_is_answered_with_one_sentence(
    world: ApiWorld, call: str, key: str, status: int
) -> None:
    document = config_document()
    sort_keys = [key.format(number) for number in range(40_000)]
    document["merge"]["best_offer"] = {"sort_by": sort_keys}
    send = world.client.put if call == "config" else world.client.post
    response = send(f"/v1/tenants/acme/{call}", json=document)
    assert response.status_code == status
    (error,) = response.json()["errors"]
    assert response.json()["detail"] == error["message"]
    assert '"' not in error["message"]


@pytest.mark.parametrize("call", ["config", "config:check"])
def test_a_config_is_judged_by_the_limits_of_the_settings(call: str) -> None:
    document = config_document(
        *(vendor_document(f"v{place}") for place in range(3))
    )
    with embedded_platform(max_vendors=2) as platform:
        client = ApiWorld(platform).client
        send = client.put if call == "config" else client.post
        answer = send(f"/v1/tenants/acme/{call}", json=document).json()
    assert [
        fault["path"]
        for fault in answer["errors" if call == "config" else "faults"]
    ] == ["vendors"]


def test_a_config_of_more_than_a_new_one_may_have_is_shown_where_it_is_stored(
    world: ApiWorld,
) -> None:
    stored = config_document(
        *(vendor_document(f"v{place}") for place in range(201))
    )
    world.platform.tenants.create(TENANT, json.dumps(stored))
    config = world.client.get("/v1/tenants/acme").json()["tenant_config"]
    assert len(config["vendors"]) == 201
    assert config["error_policy"]["max_invalid_rows"] == 0


def test_a_stored_config_that_no_longer_holds_is_shown_as_it_stands(
    world: ApiWorld,
) -> None:
    world.platform.tenants.create(
        TENANT, '{"schema_version": 2, "margin": 0.10}'
    )
    tenant = world.client.get("/v1/tenants/acme").json()
    assert tenant["tenant_config"] == {"schema_version": 2, "margin": "0.10"}


def test_versions_are_listed_page_by_page_latest_first(world: ApiWorld) -> None:
    for number in range(3):
        world.store_config(pricing={"min_price": str(number)})
    first = world.client.get("/v1/tenants/acme/versions?limit=2").json()
    query = f"limit=2&cursor={first['next_cursor']}"
    second = world.client.get(f"/v1/tenants/acme/versions?{query}").json()
    numbers = [
        [version["config_version"] for version in page["versions"]]
        for page in (first, second)
    ]
    assert numbers == [[3, 2], [1]]
    assert second["next_cursor"] is None
    assert first["versions"][0]["stored_at"].endswith("Z")


def test_an_unknown_tenant_has_no_versions(world: ApiWorld) -> None:
    for tenant_id in ("nobody", "a%20b"):
        response = world.client.get(f"/v1/tenants/{tenant_id}/versions")
        assert_problem(response, 404, "TENANT_NOT_FOUND")


@pytest.mark.parametrize(
    "query", ["cursor=0", "cursor=x", "limit=0", "limit=101"]
)
def test_a_listing_of_versions_refuses_what_it_cannot_read(
    unplugged: ApiWorld, query: str
) -> None:
    response = unplugged.client.get(f"/v1/tenants/acme/versions?{query}")
    assert paths_of(assert_problem(response, 422, "INVALID_REQUEST")) == [
        query.partition("=")[0]
    ]


def test_a_tenant_stores_so_many_versions_in_a_day() -> None:
    with embedded_platform() as platform:
        counted = TenantStore(replace(platform.database, clock=FakeClock()), 2)
        world = ApiWorld(platform, tenants=counted)
        assert [world.store_config().status_code for _ in range(2)] == [
            201,
            200,
        ]
        refused = world.store_config()
        assert_problem(refused, 429, "CONFIG_QUOTA_EXCEEDED")
        assert refused.headers["Retry-After"] == str(12 * 3600)
        assert world.client.get("/v1/tenants/acme").headers["ETag"] == '"2"'


# --- what needs a right of its own --------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "is_free"),
    [
        ({"pricing": {"min_price": "9"}}, True),
        ({"guards": {"mode": "hold"}}, True),  # as it is by default
        ({"guards": {"mode": "warn"}}, False),
        ({"guards": {"max_skus_removed_pct": None}}, False),
        ({"default_currency": "EUR"}, False),
    ],
)
def test_guards_and_currency_are_changed_by_who_may_release(
    world: ApiWorld, changes: dict[str, Any], is_free: bool
) -> None:
    world.store_config()
    document = config_document(**changes)

    def put(*scopes: str) -> Response:
        key = world.client.post(
            "/v1/tenants/acme/api-keys", json={"scopes": scopes}
        ).json()
        client = world.with_key(key["api_key"])
        return client.put("/v1/tenants/acme/config", json=document)

    answer = put("config", "read")
    if is_free:
        assert answer.status_code == 200
    else:
        assert assert_problem(answer, 403, "SCOPE_MISSING")["scopes"] == [
            "release"
        ]
        assert world.platform.tenants.latest_version(TENANT) == 1
    assert put("config", "release").status_code == 200
    # It is so now, and a key without the right may go on from it.
    assert put("config").status_code == 200


def test_what_can_no_longer_be_read_is_followed_by_who_may_release(
    world: ApiWorld,
) -> None:
    world.platform.tenants.create(TENANT, '{"schema_version": 2}')
    key = world.client.post(
        "/v1/tenants/acme/api-keys", json={"scopes": ["config"]}
    ).json()
    answer = world.with_key(key["api_key"]).put(
        "/v1/tenants/acme/config", json=config_document()
    )
    assert_problem(answer, 403, "SCOPE_MISSING")
    assert world.store_config().status_code == 200


def test_many_faults_are_listed_and_the_first_ten_told(world: ApiWorld) -> None:
    answer = world.store_config(
        **{f"unknown_{number}": 1 for number in range(150)}
    )
    problem = assert_problem(answer, 422, "invalid_config")
    assert len(problem["errors"]) == 101
    assert problem["detail"].count("unknown_") == 10
    assert problem["detail"].endswith("; ...")
