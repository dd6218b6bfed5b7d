"""Keys: a walk over every route there is, with every kind of key."""

import pytest

from api_world import ADMIN, NOBODY_S_RUN, ApiWorld, assert_problem
from builders import config_document
from fakes import embedded_platform
from relay_dagster.api.auth import AdminKeys, Caller
from relay_dagster.aws.tenant_store import UnknownTenantError

# Method, path, whether it is open to everybody, what an admin gets with an empty store.
ROUTES = (
    ("GET", "/openapi.json", True, 200),
    ("GET", "/v1/health", True, 200),
    ("GET", "/v1/ready", True, 200),
    ("POST", "/v1/tenants", False, 201),
    ("GET", "/v1/tenants/{tenant_id}", False, 404),
    ("PUT", "/v1/tenants/{tenant_id}/config", False, 201),
    ("POST", "/v1/runs", False, 422),
    ("GET", "/v1/runs", False, 200),
    ("GET", "/v1/runs/{run_id}", False, 404),
    ("GET", "/v1/runs/{run_id}/artifacts", False, 404),
    ("POST", "/v1/runs/{run_id}/cancel", False, 404),
)
walk = pytest.mark.parametrize(
    ("method", "path", "is_open", "for_admin"),
    [pytest.param(*route, id=f"{route[0]} {route[1]}") for route in ROUTES],
)


def call(world: ApiWorld, key: str | None, method: str, path: str):
    place = path.format(tenant_id="acme", run_id=NOBODY_S_RUN)
    body = config_document() if method in ("POST", "PUT") else None
    return world.with_key(key).request(method, place, json=body)


def test_the_table_lists_every_route_there_is(unplugged: ApiWorld) -> None:
    described = {
        (method.upper(), path)
        for path, operations in unplugged.app.openapi()["paths"].items()
        for method in operations
    }
    # Routes that the document does not show have a path of their own in the app.
    hidden = {
        (method, route.path)
        for route in unplugged.app.routes
        for method in getattr(route, "methods", None) or ()
        if method != "HEAD"
    }
    assert described | hidden == {(method, path) for method, path, _, _ in ROUTES}


@walk
@pytest.mark.parametrize("key", [None, "", "wrong", ADMIN + "x", ADMIN[:-1], "é"])
def test_without_a_good_key_only_open_routes_answer(
    unplugged: ApiWorld, key: str | None, method: str, path: str, is_open: bool, for_admin: int
) -> None:
    shown = key.encode("latin-1") if key else key
    response = call(unplugged, shown, method, path)  # type: ignore[arg-type]
    if is_open:
        assert response.status_code != 401
        return
    assert_problem(response, 401, "UNAUTHENTICATED")
    assert response.headers["WWW-Authenticate"]


@walk
def test_an_admin_key_opens_every_route(
    world: ApiWorld, method: str, path: str, is_open: bool, for_admin: int
) -> None:
    assert call(world, ADMIN, method, path).status_code == for_admin


def test_each_of_several_admin_keys_is_good() -> None:
    keys = AdminKeys.of(("first", "second"))
    callers = [keys.caller("first"), keys.caller("second")]
    assert all(caller and caller.is_admin for caller in callers)
    assert callers[0] != callers[1]
    assert keys.caller("first,second") is None


def test_nothing_that_is_kept_of_a_key_or_a_caller_shows_the_key() -> None:
    keys = AdminKeys.of(("the-secret",))
    assert "the-secret" not in repr((keys, keys.caller("the-secret")))


def test_toys_may_do_without_keys() -> None:
    with embedded_platform(allow_anonymous=True) as platform:
        assert ApiWorld(platform).with_key(None).get("/v1/runs").status_code == 200


def test_a_tenant_s_caller_reaches_its_own_tenant_alone() -> None:
    caller = Caller("tenant:acme", tenant_id="acme")
    caller.require("acme")
    with pytest.raises(UnknownTenantError):
        caller.require("other")
    assert not caller.is_admin
