"""The bundle that every process works with."""

from dataclasses import replace

from relay_dagster.aws.clients import Clients
from relay_dagster.aws.job_queue import JobQueue
from relay_dagster.settings import Settings
from relay_dagster.wiring import connect, poll_schedule

SETTINGS = Settings(
    artifact_bucket="bucket",
    runs_table="runs",
    tenants_table="tenants",
    queue_url="http://127.0.0.1:9/jobs",
    dlq_url="http://127.0.0.1:9/dead",
    region="us-east-1",
    max_attempts=5,
    backoff_base_seconds=2,
    backoff_max_seconds=20,
)


def test_parts_are_made_from_the_settings_and_nothing_is_sent() -> None:
    platform = connect(SETTINGS)
    assert platform.objects.bucket == "bucket"
    assert (platform.queue.url, platform.queue.dlq_url) == (
        SETTINGS.queue_url,
        SETTINGS.dlq_url,
    )
    assert platform.ledger.schedule == poll_schedule(SETTINGS)


def test_attempts_and_back_off_are_those_of_the_settings() -> None:
    schedule = poll_schedule(SETTINGS)
    assert (
        schedule.max_attempts,
        schedule.base_seconds,
        schedule.max_seconds,
    ) == (
        5,
        2,
        20,
    )


def test_a_part_that_is_put_in_place_of_another_is_used_for_submissions() -> (
    None
):
    queue = JobQueue(
        Clients("us-east-1"),
        "http://127.0.0.1:9/other",
        "http://127.0.0.1:9/dead",
    )
    platform = replace(connect(SETTINGS), queue=queue)
    assert platform.submission.send == queue.send
    assert platform.submission.ledger is platform.ledger
