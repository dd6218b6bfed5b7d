"""Errors: whole problem documents, whatever went wrong, with nothing that is not for callers."""

import http.client
import json
import socket
from collections.abc import Iterator

import pytest

from relay_core.domain import errors as core_errors
from relay_dagster import external_errors
from relay_dagster.aws.dynamodb import tenant_store
from relay_dagster.aws.dynamodb.run_store import RunStore
from relay_dagster.aws.object_store import ObjectStore
from relay_dagster.http.problems import problem_of
from relay_dagster.runs import errors as run_errors
from relay_dagster.runs.model import RunRecord
from relay_dagster.tenants import errors as tenant_errors
from support.api_world import (
    JSON,
    NOBODY_S_RUN,
    ApiWorld,
    assert_problem,
    paths_of,
    served,
)
from support.fakes import embedded_platform

SECRET = "arn:aws:s3:::relay-inventory"


def test_an_unknown_path_is_a_problem(unplugged: ApiWorld) -> None:
    assert_problem(unplugged.client.get("/v1/nothing"), 404, "NOT_FOUND")
    assert_problem(unplugged.client.get("/v1/runs/"), 404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/v1/runs", "GET, POST"),
        ("PATCH", f"/v1/runs/{NOBODY_S_RUN}", "GET"),
        ("GET", "/v1/tenants/acme/config", "PUT"),
        ("POST", "/v1/health", "GET"),
        ("POST", "/f/a-link", "GET, HEAD"),
    ],
)
def test_a_method_that_a_path_lacks_is_a_problem_that_lists_those_it_has(
    unplugged: ApiWorld, method: str, path: str, allowed: str
) -> None:
    response = unplugged.client.request(method, path)
    assert_problem(response, 405, "METHOD_NOT_ALLOWED")
    assert response.headers["Allow"] == allowed


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", None]
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/runs"),
        ("POST", "/v1/tenants"),
        ("PUT", "/v1/tenants/acme/config"),
    ],
)
def test_a_body_that_is_not_sent_as_json_is_a_problem(
    unplugged: ApiWorld, method: str, path: str, content_type: str | None
) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    response = unplugged.client.request(
        method, path, content=b"{}", headers=headers
    )
    assert_problem(response, 415, "UNSUPPORTED_MEDIA_TYPE")


def test_json_with_a_character_set_is_json(unplugged: ApiWorld) -> None:
    headers = {"Content-Type": "application/json; charset=utf-8"}
    assert (
        unplugged.client.post(
            "/v1/runs", content=b"{}", headers=headers
        ).status_code
        == 422
    )


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/runs"),
        ("POST", "/v1/tenants"),
        ("PUT", "/v1/tenants/acme/config"),
    ],
)
@pytest.mark.parametrize(
    "announced", [True, False], ids=["announced", "chunked"]
)
def test_a_body_over_one_mebibyte_is_a_problem(
    unplugged: ApiWorld, method: str, path: str, announced: bool
) -> None:
    def chunks() -> Iterator[bytes]:
        yield from [b" " * 65536] * 17

    content = b"".join(chunks()) if announced else chunks()
    response = unplugged.client.request(
        method, path, content=content, headers=JSON
    )
    assert_problem(response, 413, "PAYLOAD_TOO_LARGE")


@pytest.mark.parametrize("size", [1024 * 1024 + 1, 30 * 1024 * 1024])
def test_who_sends_a_body_that_is_too_large_can_send_all_of_it_and_read_why(
    unplugged: ApiWorld, size: int
) -> None:
    with served(unplugged.app) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        # The head goes out alone, then the body: the refusal comes while that is on its way.
        connection.request("POST", "/v1/runs", body=b" " * size, headers=JSON)
        answer = connection.getresponse()
        problem = json.loads(answer.read())
    assert (answer.status, problem["error_code"]) == (413, "PAYLOAD_TOO_LARGE")
    assert answer.headers["Connection"] == "close"


def test_who_asks_before_sending_a_body_that_is_too_large_is_told_at_once(
    unplugged: ApiWorld,
) -> None:
    with (
        served(unplugged.app) as port,
        socket.create_connection(("127.0.0.1", port), 30) as line,
    ):
        line.sendall(
            b"POST /v1/runs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: 2000000\r\nExpect: 100-continue\r\n\r\n"
        )
        answer = line.recv(65536)
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_body_of_one_mebibyte_is_read(unplugged: ApiWorld) -> None:
    response = unplugged.client.post(
        "/v1/runs", content=b" " * 1024 * 1024, headers=JSON
    )
    assert response.status_code == 422


def test_how_large_a_body_may_be_is_a_setting() -> None:
    with embedded_platform(max_body_bytes=100) as platform:
        client = ApiWorld(platform).client
        over = client.post("/v1/runs", content=b" " * 101, headers=JSON)
        assert (
            client.post(
                "/v1/runs", content=b" " * 100, headers=JSON
            ).status_code
            == 422
        )
    assert (
        "100 bytes" in assert_problem(over, 413, "PAYLOAD_TOO_LARGE")["detail"]
    )


ORDER = {"tenant_id": "acme", "run_type": "inventory_sync"}


@pytest.mark.parametrize(
    "order",
    [
        {**ORDER, "vendors": [f"bad id {n}" for n in range(19_000)]},
        {**ORDER, **{f"unknown_{n}": 0 for n in range(19_000)}},
        {**ORDER, **{"k" * 20_000 + str(n): 0 for n in range(40)}},
    ],
    ids=["bad ids", "unknown keys", "long keys"],
)
def test_of_many_faults_the_first_hundred_are_told_and_how_many_more_there_are(
    unplugged: ApiWorld, order: dict[str, object]
) -> None:
    response = unplugged.client.post("/v1/runs", json=order)
    problem = assert_problem(response, 422, "INVALID_REQUEST")
    errors = problem["errors"]
    assert len(response.content) < 150_000
    assert len(errors) <= 101
    if len(errors) == 101:
        assert errors[-1] == {"path": "", "message": "... and 18900 more"}


def test_keys_that_stand_twice_are_faults_like_others(
    unplugged: ApiWorld,
) -> None:
    body = "{" + ", ".join(f'"k{n}": 0, "k{n}": 0' for n in range(150)) + "}"
    response = unplugged.client.post("/v1/runs", content=body, headers=JSON)
    problem = assert_problem(response, 422, "INVALID_REQUEST")
    assert len(problem["errors"]) == 101
    assert problem["errors"][-1] == {"path": "", "message": "... and 50 more"}


@pytest.mark.parametrize(
    ("commas", "path"), [(19_999, "tenant_id"), (20_000, "")]
)
def test_a_body_of_too_many_values_is_refused_before_they_are_looked_at(
    unplugged: ApiWorld, commas: int, path: str
) -> None:
    body = '{"vendors": [' + "0," * commas + "0]}"
    response = unplugged.client.post("/v1/runs", content=body, headers=JSON)
    assert paths_of(assert_problem(response, 422, "INVALID_REQUEST"))[0] == path


def test_vendors_that_are_named_again_are_told_as_far_as_ten(
    unplugged: ApiWorld,
) -> None:
    order = {**ORDER, "vendors": [f"v{n:03}" for n in range(100)] * 2}
    problem = unplugged.client.post("/v1/runs", json=order).json()
    assert problem["errors"][0]["message"].endswith("v008, v009 and 90 more")


# --- what goes wrong inside ---------------------------------------------------------------------


class BrokenRuns(RunStore):
    """Raises whatever it is made with."""

    def __init__(self, error: Exception) -> None:
        object.__setattr__(self, "_error", error)  # stores are frozen

    def get(self, run_id: str) -> RunRecord | None:
        raise self._error


def test_an_unexpected_error_is_a_problem_that_tells_nothing(
    unplugged: ApiWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = ApiWorld(unplugged.platform, runs=BrokenRuns(ValueError(SECRET)))
    response = broken.client.get(f"/v1/runs/{NOBODY_S_RUN}")
    problem = assert_problem(response, 500, "INTERNAL_ERROR")
    assert SECRET not in response.text
    assert "Traceback" not in response.text
    logged = capsys.readouterr().err
    assert SECRET in logged
    assert problem["request_id"] in logged


@pytest.mark.parametrize(
    "error",
    [
        external_errors.UnreachableError,
        external_errors.ThrottledError,
        external_errors.ServiceFailedError,
    ],
)
def test_a_service_that_does_not_answer_is_a_problem_that_tells_nothing(
    unplugged: ApiWorld, error: type[external_errors.ExternalServiceError]
) -> None:
    broken = ApiWorld(
        unplugged.platform, runs=BrokenRuns(error("dynamodb.GetItem", SECRET))
    )
    response = broken.client.get(f"/v1/runs/{NOBODY_S_RUN}")
    assert_problem(response, 503, "DEPENDENCY_UNAVAILABLE")
    assert SECRET not in response.text
    assert int(response.headers["Retry-After"]) > 0


def test_a_bucket_that_does_not_answer_is_a_problem(world: ApiWorld) -> None:
    class BrokenObjects(ObjectStore):
        def __init__(self) -> None: ...

        def artifacts(self, run_id: str, tenant_id: str) -> dict[str, str]:
            raise external_errors.UnreachableError("s3.ListObjectsV2", SECRET)

    run_id = world.post_run().json()["run_id"]
    broken = ApiWorld(world.platform, objects=BrokenObjects())
    response = broken.client.get(f"/v1/runs/{run_id}/artifacts")
    assert_problem(response, 503, "DEPENDENCY_UNAVAILABLE")


def test_where_dynamodb_is_unreachable_every_call_is_503(
    unplugged: ApiWorld,
) -> None:
    answers = [
        unplugged.post_run(),
        unplugged.store_config(),
        unplugged.client.get("/v1/tenants/acme"),
        unplugged.client.get("/v1/runs"),
        unplugged.client.get(f"/v1/runs/{NOBODY_S_RUN}"),
        unplugged.client.post(f"/v1/runs/{NOBODY_S_RUN}/cancel"),
    ]
    for response in answers:
        assert_problem(response, 503, "DEPENDENCY_UNAVAILABLE")


def _errors_of(*modules: object) -> list[type[Exception]]:
    return [
        member
        for module in modules
        for member in vars(module).values()
        if isinstance(member, type) and issubclass(member, Exception)
    ]


@pytest.mark.parametrize(
    "kind",
    _errors_of(
        core_errors, external_errors, run_errors, tenant_errors, tenant_store
    ),
)
def test_every_error_of_ours_has_a_status(kind: type[Exception]) -> None:
    error = kind.__new__(kind)
    # What a problem shows of it, whatever its constructor takes.
    attributes = {
        "active_run_id": None,
        "latest": None,
        "found": None,
        "wait_seconds": 60,
        "public": "",
    }
    for name, value in attributes.items():
        if not hasattr(error, name):
            setattr(error, name, value)
    if issubclass(
        kind, (core_errors.ConfigError, run_errors.UnknownVendorError)
    ):
        error.faults = ()
    assert 400 <= problem_of(error).status <= 503


# --- request ids --------------------------------------------------------------------------------


def test_a_request_s_id_comes_back(unplugged: ApiWorld) -> None:
    response = unplugged.client.get(
        "/v1/health", headers={"X-Request-Id": "order-7/a:b"}
    )
    assert response.headers["X-Request-Id"] == "order-7/a:b"


@pytest.mark.parametrize(
    "request_id", [None, "", "a b", "x" * 129, 'a"b', "<b>", "é"]
)
def test_a_request_without_a_usable_id_gets_one(
    unplugged: ApiWorld, request_id: str | None
) -> None:
    headers = {}
    if request_id is not None:
        headers["X-Request-Id"] = request_id.encode("latin-1")
    ids = unplugged.client.get("/v1/health", headers=headers).headers.get_list(
        "X-Request-Id"
    )
    assert len(ids) == 1
    assert ids[0] != request_id
    assert len(ids[0]) == 36


def test_each_request_is_one_line_of_the_log(
    world: ApiWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    world.client.get("/v1/tenants/acme", headers={"X-Request-Id": "order-7"})
    (line,) = capsys.readouterr().err.splitlines()
    for part in (
        '"event": "request"',
        '"request_id": "order-7"',
        '"tenant_id": "acme"',
    ):
        assert part in line
    assert "admin-key" not in line
