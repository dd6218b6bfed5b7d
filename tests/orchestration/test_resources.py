"""The run that a process executes, and how its end looks in Dagster."""

import threading
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest

from relay_dagster.wiring import Platform
from support.builders import RUN_ID, feed
from support.fakes import embedded_platform
from support.run_world import ThrottledOnce, World, column_of, with_objects


@pytest.fixture
def world() -> Iterator[World]:
    with (
        embedded_platform(backoff_base_seconds=0) as platform,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        yield World(platform, instance)


def failure_event(result: dg.ExecuteInProcessResult) -> Any:
    (event,) = [event for event in result.all_events if event.is_step_failure]
    return event.step_failure_data


def test_the_assets_of_a_run_share_one_session(world: World) -> None:
    connected: list[Platform] = []

    def connect() -> Platform:
        connected.append(world.platform)
        return world.platform

    world.connect = connect
    world.store_config()
    world.upload("vendor_1", feed("A,5,10.00"))
    assert world.run().success
    assert len(connected) == 1


@pytest.mark.parametrize("fails", [False, True], ids=["succeeded", "failed"])
def test_nothing_runs_beside_a_run_that_is_over(
    world: World, fails: bool
) -> None:
    world.store_config()
    if not fails:
        world.upload("vendor_1", feed("A,5,10.00"))
    assert world.run().success is not fails
    names = {thread.name for thread in threading.enumerate()}
    assert not {name for name in names if name.startswith("relay-")}


def test_a_failed_run_says_our_code_and_where_its_reports_are(
    world: World,
) -> None:
    world.store_config()
    world.upload("vendor_1", b"sku,quantity_available\nA,\xff\n")
    failure = failure_event(world.run())
    name, _, message = failure.error.message.partition(": ")
    assert name.endswith(".RunFailed")
    assert message.startswith("DECODE_ERROR: decode error: ")
    assert failure.user_failure_data.description == message.strip()
    # What it was made from says nothing more.
    assert (failure.error.cause, failure.error.context) == (None, None)
    metadata = failure.user_failure_data.metadata
    assert (metadata["run_id"].value, metadata["stage"].value) == (
        RUN_ID,
        "NORMALIZE",
    )
    address = world.platform.objects.uri(world.record().artifacts["errors"])
    assert metadata["artifact/errors"].value == address
    assert column_of(metadata["errors_by_code"], "error_code") == [
        "DECODE_ERROR"
    ]


def test_a_fault_that_has_a_code_is_named_without_its_cause(
    world: World,
) -> None:
    world.store_config()
    world.upload("vendor_1", feed("A,5,10.00"))
    throttled = with_objects(
        world.platform, ThrottledOnce(world.platform.objects)
    )
    world.connect = lambda: throttled
    failure = failure_event(world.run())
    assert failure.user_failure_data.description.startswith(
        "throttled: s3.ListObjectsV2: "
    )
    assert failure.error.cause is None
    assert failure.user_failure_data.metadata["next_attempt_at"].value


def test_a_defect_is_shown_as_it_is_with_its_calls(world: World) -> None:
    class Broken(ThrottledOnce):
        def latest_object(self, prefix: str) -> Any:
            raise ZeroDivisionError("a defect")

    world.store_config()
    broken = with_objects(world.platform, Broken(world.platform.objects))
    world.connect = lambda: broken
    failure = failure_event(world.run())
    assert failure.user_failure_data is None
    assert failure.error.cause.message == "ZeroDivisionError: a defect\n"
    assert "in latest_object" in "".join(failure.error.cause.stack)


def test_a_platform_that_cannot_be_connected_claims_nothing(
    world: World,
) -> None:
    def refuse() -> Platform:
        raise RuntimeError("ARTIFACT_BUCKET is not set")

    world.connect = refuse
    assert not world.run().success
    assert world.record().is_claimed is False
