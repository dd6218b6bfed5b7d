"""The way of upload events, made beside what is there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from moto import mock_aws

from relay_dagster.aws.clients import Clients
from relay_dagster.aws.provisioning.bootstrap import Names, bootstrap, provision
from support.fakes import embedded_clients

NAMES = Names(region="us-east-1")


@pytest.fixture
def clients() -> Iterator[Clients]:
    with mock_aws():
        yield embedded_clients()


def orders(clients: Clients) -> dict[str, Any]:
    answer: Any = clients.s3.get_bucket_notification_configuration(
        Bucket=NAMES.bucket
    )
    return answer


def queue_arn(clients: Clients, name: str) -> str:
    url = clients.sqs.create_queue(QueueName=name)["QueueUrl"]
    answer = clients.sqs.get_queue_attributes(
        QueueUrl=url, AttributeNames=["QueueArn"]
    )
    return answer["Attributes"]["QueueArn"]


def test_what_is_uploaded_is_told_and_nothing_else(clients: Clients) -> None:
    url = dict(bootstrap(NAMES, clients))["UPLOADS_QUEUE_URL"]
    assert url.endswith("/relay-inventory-uploads")
    for key in (
        "published/acme/a.csv",
        "tenants/acme/f.csv",
        "5c1f9a52/tenants/acme/f.csv",
    ):
        clients.s3.put_object(Bucket=NAMES.bucket, Key=key, Body=b"x")
    messages = clients.sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10
    )["Messages"]
    bodies = [json.loads(message["Body"]) for message in messages]
    uploaded_keys = [
        body["Records"][0]["s3"]["object"]["key"]
        for body in bodies
        if "Records" in body
    ]
    assert uploaded_keys == ["tenants%2Facme%2Ff.csv"]


def test_the_bucket_alone_may_send(clients: Clients) -> None:
    url = dict(bootstrap(NAMES, clients))["UPLOADS_QUEUE_URL"]
    answer = clients.sqs.get_queue_attributes(
        QueueUrl=url, AttributeNames=["Policy"]
    )
    (statement,) = json.loads(answer["Attributes"]["Policy"])["Statement"]
    assert statement["Principal"] == {"Service": "s3.amazonaws.com"}
    assert statement["Condition"]["ArnEquals"] == {
        "aws:SourceArn": f"arn:aws:s3:::{NAMES.bucket}"
    }


def test_other_notifications_and_rights_stay(clients: Clients) -> None:
    bootstrap(NAMES, clients)
    own_order: Any = {
        "Id": "mine",
        "QueueArn": queue_arn(clients, "other"),
        "Events": ["s3:ObjectRemoved:*"],
    }
    clients.s3.put_bucket_notification_configuration(
        Bucket=NAMES.bucket,
        NotificationConfiguration={"QueueConfigurations": [own_order]},
    )
    changes = provision(NAMES, clients).changes
    assert [change.split(" to ")[0] for change in changes] == [
        "set notification of bucket relay-inventory"
    ]
    order_ids = {
        order["Id"] for order in orders(clients)["QueueConfigurations"]
    }
    assert order_ids == {"mine", "relay-inventory-uploads"}
    assert provision(NAMES, clients).changes == ()


def test_a_notification_that_was_changed_is_left_alone(
    clients: Clients,
) -> None:
    bootstrap(NAMES, clients)
    (ours,) = orders(clients)["QueueConfigurations"]
    ours["Filter"]["Key"]["FilterRules"][0]["Value"] = "tenants/acme/"
    clients.s3.put_bucket_notification_configuration(
        Bucket=NAMES.bucket,
        NotificationConfiguration={"QueueConfigurations": [ours]},
    )
    assert provision(NAMES, clients, repair=True).changes == ()
    (stored,) = orders(clients)["QueueConfigurations"]
    assert stored["Filter"] == ours["Filter"]


def test_a_queue_that_is_gone_is_made_again_and_the_bucket_may_send_to_it(
    clients: Clients,
) -> None:
    url = dict(bootstrap(NAMES, clients))["UPLOADS_QUEUE_URL"]
    clients.sqs.delete_queue(QueueUrl=url)
    assert provision(NAMES, clients).changes == (
        "created queue relay-inventory-uploads",
        "set policy of queue relay-inventory-uploads to that bucket relay-inventory "
        "may send",
    )
