from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from relay_dagster.aws.clients import Clients
from relay_dagster.aws.job_queue import JobQueue
from relay_dagster.external_errors import MissingResourceError
from relay_dagster.runs.job_message import Job
from relay_dagster.wiring import Platform
from support.fakes import peek_dead

WANTED = {"visibility_timeout_seconds": 300, "max_receives": 3}


@pytest.fixture
def queue(platform: Platform) -> JobQueue:
    return platform.queue


def job() -> Job:
    return Job(str(uuid.uuid4()), "acme", ("vendor_1",), 2)


class StaleSQS(Clients):
    """An SQS that knows no receipt handle any more, as AWS answers for old ones."""

    def __init__(self, code: str) -> None:
        self._code = code

    @property
    def sqs(self) -> Any:
        return self

    def _refuse(self, **_: Any) -> None:
        raise ClientError(
            {"Error": {"Code": self._code}}, "ChangeMessageVisibility"
        )

    change_message_visibility = delete_message = _refuse


def test_a_job_arrives_with_its_request(queue: JobQueue) -> None:
    sent = job()
    message_id = queue.send(sent, request_id="q1")
    (message,) = queue.receive()
    assert message.message_id == message_id
    assert Job.parse(message.body) == sent
    assert (message.request_id, message.receive_count) == ("q1", 1)
    assert abs(message.sent_at - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_request_without_an_id_sends_no_attribute(queue: JobQueue) -> None:
    queue.send(job())
    (message,) = queue.receive()
    assert message.attributes == {}


def test_a_received_message_is_invisible_until_its_time_is_set_to_nothing(
    queue: JobQueue,
) -> None:
    queue.send(job())
    (message,) = queue.receive()
    assert queue.receive() == []
    assert queue.extend(message.receipt_handle, 0)
    (again,) = queue.receive()
    assert again.receive_count == 2


def test_a_deleted_message_is_gone(queue: JobQueue) -> None:
    queue.send(job())
    (message,) = queue.receive()
    assert queue.extend(message.receipt_handle, 0)
    assert queue.delete(message.receipt_handle)
    assert queue.receive() == []


@pytest.mark.parametrize(
    "code", ["ReceiptHandleIsInvalid", "InvalidParameterValue"]
)
def test_a_handle_that_is_no_longer_good_is_told(code: str) -> None:
    queue = JobQueue(StaleSQS(code), "http://q", "http://d")
    assert not queue.extend("old", 60)
    assert not queue.delete("old")
    assert not queue.dead.delete("old")


def test_a_message_sent_again_is_the_same_to_its_readers(
    queue: JobQueue,
) -> None:
    queue.send(job(), request_id="q1")
    (first,) = queue.receive()
    queue.send_again(first)
    (second,) = queue.receive()
    assert second.message_id != first.message_id
    assert (second.body, second.attributes) == (first.body, first.attributes)


def test_no_more_are_received_than_there_is_room_for(queue: JobQueue) -> None:
    for _ in range(12):
        queue.send(job())
    assert len(queue.receive(3)) <= 3
    assert len(queue.receive(50)) <= 10


def test_a_dead_message_tells_run_and_cause_and_is_looked_at_without_hiding_it(
    queue: JobQueue,
) -> None:
    cause = "bad \x00 bytes \ud800, " + "long " * 1000
    message_id = queue.send_dead("no job", cause=cause, run_id="r1")
    for _ in range(2):
        (message,) = peek_dead(queue)
        assert (message.message_id, message.body) == (message_id, "no job")
        assert message.attributes["run_id"] == "r1"
        assert message.attributes["cause"].startswith("bad   bytes  , long")
    assert queue.dead.delete(message.receipt_handle)
    assert peek_dead(queue) == []


def test_queues_as_they_were_made_differ_in_nothing(queue: JobQueue) -> None:
    assert queue.differences(**WANTED) == []


def test_each_attribute_that_differs_is_named(
    queue: JobQueue, platform: Platform
) -> None:
    sqs = platform.clients.sqs
    sqs.set_queue_attributes(
        QueueUrl=queue.url,
        Attributes={"VisibilityTimeout": "30", "RedrivePolicy": ""},
    )
    sqs.set_queue_attributes(
        QueueUrl=queue.dlq_url, Attributes={"MessageRetentionPeriod": "3600"}
    )
    differences = queue.differences(**WANTED)
    assert "VisibilityTimeout is 30, not 300" in differences
    assert "RedrivePolicy.maxReceiveCount is not set, not 3" in differences
    assert (
        "MessageRetentionPeriod of the dead-letter queue is 3600, not 1209600"
        in differences
    )
    assert len(differences) == 4


def test_a_queue_that_is_not_there_is_told(platform: Platform) -> None:
    assert platform.queue.count() == 0
    url = platform.queue.url + "-gone"
    with pytest.raises(MissingResourceError):
        JobQueue(platform.clients, url, url).count()
