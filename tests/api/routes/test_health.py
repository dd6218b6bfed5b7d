"""Liveness and readiness."""

from dataclasses import replace

import pytest

from relay_dagster.aws.dynamodb.table import Table
from relay_dagster.external_errors import UnreachableError
from support.api_world import ApiWorld, assert_problem
from support.fakes import CallCounter, embedded_platform


def test_health_needs_neither_key_nor_dependency(world: ApiWorld) -> None:
    response = world.with_key(None).get("/v1/health")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_a_whole_platform_is_ready(world: ApiWorld) -> None:
    response = world.with_key(None).get("/v1/ready")
    assert response.status_code == 200
    states = {
        name: dependency["state"]
        for name, dependency in response.json()["dependencies"].items()
    }
    assert states == dict.fromkeys(
        [
            "runs_table",
            "tenants_table",
            "audit_table",
            "artifact_bucket",
            "queue",
        ],
        "ok",
    )


class DeafTable(Table):
    def check(self) -> None:
        raise UnreachableError(
            "dynamodb.GetItem", "https://secret.test does not answer"
        )


def test_one_dependency_that_does_not_answer_makes_it_not_ready(
    world: ApiWorld,
) -> None:
    database = world.platform.database
    deaf = replace(database, tenants=DeafTable(database.clients, "deaf"))
    response = (
        ApiWorld(world.platform, database=deaf).with_key(None).get("/v1/ready")
    )
    problem = assert_problem(response, 503, "NOT_READY")
    states = {
        name: dependency["state"]
        for name, dependency in problem["dependencies"].items()
    }
    assert states["tenants_table"] == "unreachable"
    assert states["runs_table"] == states["queue"] == "ok"
    assert "secret" not in response.text


@pytest.mark.parametrize(
    ("changes", "attribute"),
    [
        ({"max_attempts": 5}, "RedrivePolicy.maxReceiveCount"),
        ({"visibility_timeout_seconds": 30}, "VisibilityTimeout"),
    ],
)
def test_a_queue_that_differs_from_the_variables_is_not_ready(
    changes: dict[str, int], attribute: str
) -> None:
    with embedded_platform(**changes) as platform:
        response = ApiWorld(platform).with_key(None).get("/v1/ready")
    queue = assert_problem(response, 503, "NOT_READY")["dependencies"]["queue"]
    assert queue == {"state": "queue_misconfigured", "details": [attribute]}
    assert "arn:" not in response.text


def test_who_asks_often_is_answered_from_one_look_at_aws(
    world: ApiWorld,
) -> None:
    calls = CallCounter(world.platform)
    client = world.with_key(None)
    assert {client.get("/v1/ready").status_code for _ in range(20)} == {200}
    assert sum(calls.values()) == 6
