from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from fakes import embedded_clients
from relay_dagster.aws.bootstrap import Names, bootstrap, check
from relay_dagster.aws.clients import Clients
from relay_dagster.settings import Settings, SettingsError

NAMES = Names(region="us-east-1")


def test_what_is_printed_is_enough_for_the_settings() -> None:
    with mock_aws():
        pairs = bootstrap(NAMES, embedded_clients())
        assert [name for name, _ in pairs] == [
            "ARTIFACT_BUCKET",
            "RUNS_TABLE",
            "TENANTS_TABLE",
            "SQS_QUEUE_URL",
            "SQS_DLQ_URL",
            "WORKER_MAX_CONCURRENCY",
        ]
        settings = Settings.from_env(dict(pairs))
        assert check(replace(settings, region="us-east-1"), embedded_clients()) == []


def test_what_is_there_stays_as_it_is() -> None:
    clients = embedded_clients()
    with mock_aws():
        first = bootstrap(NAMES, clients)
        clients.s3.put_object(Bucket=NAMES.bucket, Key="k", Body=b"x")
        other = replace(NAMES, max_receives=9, visibility_timeout_seconds=30)
        assert bootstrap(other, clients) == first
        settings = replace(Settings.from_env(dict(first)), max_attempts=9)
        assert check(settings, clients) == ["RedrivePolicy.maxReceiveCount is 3, not 9"]
        assert clients.s3.get_object(Bucket=NAMES.bucket, Key="k")["Body"].read() == b"x"


def test_queues_have_their_names_and_what_is_dead_is_kept_for_fourteen_days() -> None:
    clients = embedded_clients()
    with mock_aws():
        variables = dict(bootstrap(replace(NAMES, max_receives=4), clients))
        assert variables["SQS_QUEUE_URL"].endswith("/relay-inventory-jobs")
        assert variables["SQS_DLQ_URL"].endswith("/relay-inventory-jobs-dlq")
        queue = attributes(clients, variables["SQS_QUEUE_URL"])
        dead = attributes(clients, variables["SQS_DLQ_URL"])
        assert json.loads(queue["RedrivePolicy"])["maxReceiveCount"] == 4
        assert queue["VisibilityTimeout"] == "300"
        assert dead["MessageRetentionPeriod"] == str(14 * 24 * 3600)


def attributes(clients: Clients, url: str) -> dict[str, Any]:
    answer = clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    return {str(name): value for name, value in answer["Attributes"].items()}


def test_items_that_are_over_expire() -> None:
    clients = embedded_clients()
    with mock_aws():
        bootstrap(NAMES, clients)
        answer = clients.dynamodb.describe_time_to_live(TableName=NAMES.runs_table)
        assert answer["TimeToLiveDescription"] == {
            "TimeToLiveStatus": "ENABLED",
            "AttributeName": "expires_at",
        }


def test_a_bucket_is_made_in_the_region() -> None:
    clients = Clients("eu-central-1")
    with mock_aws():
        bootstrap(replace(NAMES, region="eu-central-1"), clients)
        where = clients.s3.get_bucket_location(Bucket=NAMES.bucket)
        assert where["LocationConstraint"] == "eu-central-1"


def test_names_come_from_the_variables_that_are_set() -> None:
    names = Names.from_env(
        {
            "ARTIFACT_BUCKET": "b",
            "RUNS_TABLE": "r",
            "TENANTS_TABLE": "t",
            "SQS_QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/123/jobs",
            "SQS_DLQ_URL": "https://sqs.eu-west-1.amazonaws.com/123/dead",
            "WORKER_POISON_MAX_RECEIVES": "5",
            "WORKER_VISIBILITY_TIMEOUT_SECONDS": "60",
            "WORKER_MAX_CONCURRENCY": "7",
            "AWS_REGION": "eu-west-1",
        }
    )
    assert names == Names(
        bucket="b",
        runs_table="r",
        tenants_table="t",
        queue="jobs",
        dlq="dead",
        max_receives=5,
        visibility_timeout_seconds=60,
        max_concurrency=7,
        region="eu-west-1",
    )


def test_without_variables_all_have_default_names() -> None:
    assert Names.from_env({}) == Names()


def test_a_bad_number_is_named() -> None:
    with pytest.raises(SettingsError, match=r"^WORKER_POISON_MAX_RECEIVES"):
        Names.from_env({"WORKER_POISON_MAX_RECEIVES": "no"})


class ForeignBucket(Clients):
    """A bucket of this name is somebody else's."""

    def __init__(self) -> None:
        super().__init__("us-east-1")

    @property
    def s3(self) -> Any:
        return self

    def head_bucket(self, **_: Any) -> None:
        raise ClientError({"Error": {"Code": "403"}}, "HeadBucket")


def test_a_bucket_of_somebody_else_is_named_in_one_line() -> None:
    with pytest.raises(SettingsError, match=r"^ARTIFACT_BUCKET must be another name"):
        bootstrap(NAMES, ForeignBucket())
