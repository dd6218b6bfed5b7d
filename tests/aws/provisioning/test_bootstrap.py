from __future__ import annotations

import json
import string
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from relay_dagster.aws.clients import Clients
from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.provisioning.bootstrap import (
    Names,
    Provisioned,
    bootstrap,
    check,
    provision,
)
from relay_dagster.settings import Settings, SettingsError
from support.builders import RUN_ID
from support.fakes import embedded_clients

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
            "UPLOADS_QUEUE_URL",
            "WORKER_MAX_CONCURRENCY",
        ]
        settings = Settings.from_env(dict(pairs))
        assert (
            check(
                settings.model_copy(update={"region": "us-east-1"}),
                embedded_clients(),
            )
            == []
        )


def test_what_is_there_stays_as_it_is() -> None:
    clients = embedded_clients()
    with mock_aws():
        first = bootstrap(NAMES, clients)
        clients.s3.put_object(Bucket=NAMES.bucket, Key="k", Body=b"x")
        other_names = NAMES.model_copy(
            update={"max_attempts": 9, "visibility_timeout_seconds": 30}
        )
        assert provision(other_names, clients).changes == ()
        settings = Settings.from_env(
            {**dict(first), "WORKER_POISON_MAX_RECEIVES": "9"}
        )
        assert check(settings, clients) == [
            "queue_misconfigured: RedrivePolicy.maxReceiveCount is 3, not 9"
        ]
        assert (
            clients.s3.get_object(Bucket=NAMES.bucket, Key="k")["Body"].read()
            == b"x"
        )


def test_queues_have_their_names_and_what_is_dead_is_kept_for_fourteen_days() -> (
    None
):
    clients = embedded_clients()
    with mock_aws():
        variables = dict(
            bootstrap(NAMES.model_copy(update={"max_attempts": 4}), clients)
        )
        assert variables["SQS_QUEUE_URL"].endswith("/relay-inventory-jobs")
        assert variables["SQS_DLQ_URL"].endswith("/relay-inventory-jobs-dlq")
        queue = attributes(clients, variables["SQS_QUEUE_URL"])
        dead = attributes(clients, variables["SQS_DLQ_URL"])
        assert json.loads(queue["RedrivePolicy"])["maxReceiveCount"] == 4
        assert queue["VisibilityTimeout"] == "300"
        assert dead["MessageRetentionPeriod"] == str(14 * 24 * 3600)


def attributes(clients: Clients, url: str) -> dict[str, Any]:
    answer = clients.sqs.get_queue_attributes(
        QueueUrl=url, AttributeNames=["All"]
    )
    return {str(name): value for name, value in answer["Attributes"].items()}


def test_items_that_are_over_expire() -> None:
    clients = embedded_clients()
    with mock_aws():
        bootstrap(NAMES, clients)
        answer = clients.dynamodb.describe_time_to_live(
            TableName=NAMES.runs_table
        )
        assert answer["TimeToLiveDescription"] == {
            "TimeToLiveStatus": "ENABLED",
            "AttributeName": "expires_at",
        }


def test_a_bucket_is_made_in_the_region() -> None:
    clients = Clients("eu-central-1")
    with mock_aws():
        bootstrap(NAMES.model_copy(update={"region": "eu-central-1"}), clients)
        location = clients.s3.get_bucket_location(Bucket=NAMES.bucket)
        assert location["LocationConstraint"] == "eu-central-1"


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
            "RETENTION_DAYS": "90",
            "AWS_REGION": "eu-west-1",
        }
    )
    assert names == Names(
        bucket="b",
        runs_table="r",
        tenants_table="t",
        queue="jobs",
        dlq="dead",
        max_attempts=5,
        visibility_timeout_seconds=60,
        max_concurrency=7,
        retention_days=90,
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
    with pytest.raises(
        SettingsError, match=r"^ARTIFACT_BUCKET must be another name"
    ):
        bootstrap(NAMES, ForeignBucket())


@pytest.fixture
def clients() -> Iterator[Clients]:
    with mock_aws():
        yield embedded_clients()


def settings_of(clients: Clients, names: Names = NAMES) -> Settings:
    variables = dict(bootstrap(names, clients))
    return Settings.from_env({**variables, "AWS_REGION": "us-east-1"})


def test_an_audit_table_with_a_name_of_its_own_is_a_variable_to_export(
    clients: Clients,
) -> None:
    own_names = NAMES.model_copy(update={"audit_table": "who-did-what"})
    assert settings_of(clients, own_names).audit_table == "who-did-what"
    assert "AUDIT_TABLE" not in dict(bootstrap(NAMES, clients))


def test_it_tells_what_it_creates_and_the_second_time_that_there_is_nothing_to_do(
    clients: Clients,
) -> None:
    first = provision(NAMES, clients)
    second = provision(NAMES, clients)
    created = [
        change for change in first.changes if change.startswith("created")
    ]
    assert created == [
        "created bucket relay-inventory",
        "created table relay-inventory-runs",
        "created table relay-inventory-tenants",
        "created table relay-inventory-audit",
        "created queue relay-inventory-jobs-dlq",
        "created queue relay-inventory-jobs",
        "created queue relay-inventory-uploads-dlq",
        "created queue relay-inventory-uploads",
    ]
    assert second == Provisioned(first.variables, ())


def test_the_bucket_is_private_encrypted_and_versioned(
    clients: Clients,
) -> None:
    bootstrap(NAMES, clients)
    s3 = clients.s3
    bucket = NAMES.bucket
    block = s3.get_public_access_block(Bucket=bucket)[
        "PublicAccessBlockConfiguration"
    ]
    rules = s3.get_bucket_encryption(Bucket=bucket)[
        "ServerSideEncryptionConfiguration"
    ]["Rules"]
    assert set(block.values()) == {True}
    assert len(block) == 4
    assert rules[0]["ApplyServerSideEncryptionByDefault"] == {
        "SSEAlgorithm": "AES256"
    }
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"


def expires_after(clients: Clients, key: str) -> set[int]:
    answer = clients.s3.get_bucket_lifecycle_configuration(Bucket=NAMES.bucket)
    return {
        rule["Expiration"]["Days"]
        for rule in answer["Rules"]
        if "Days" in rule.get("Expiration", {})
        and key.startswith(rule["Filter"]["Prefix"])
    }


def test_artifacts_of_every_run_expire(clients: Clients) -> None:
    bootstrap(NAMES.model_copy(update={"retention_days": 12}), clients)
    for digit in string.hexdigits:
        key = f"{digit}{RUN_ID[1:]}/tenants/acme/outputs/merged_inventory.csv"
        assert expires_after(clients, key) == {12}, key


@pytest.mark.parametrize(
    "key", ["tenants/acme/inbound/v/feed.csv", "published/acme/x.csv"]
)
def test_uploads_and_published_feeds_never_expire(
    clients: Clients, key: str
) -> None:
    bootstrap(NAMES, clients)
    assert expires_after(clients, key) == set()


def test_what_was_deleted_of_published_feeds_is_forgotten(
    clients: Clients,
) -> None:
    bootstrap(NAMES, clients)
    answer = clients.s3.get_bucket_lifecycle_configuration(Bucket=NAMES.bucket)
    (rule,) = [
        rule
        for rule in answer["Rules"]
        if rule["Filter"]["Prefix"] == "published/"
    ]
    assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": 7}
    assert rule["Expiration"] == {"ExpiredObjectDeleteMarker": True}


def test_somebody_s_own_lifecycle_rules_stay(clients: Clients) -> None:
    bootstrap(NAMES, clients)
    s3 = clients.s3
    bucket = NAMES.bucket
    own_rule = {
        "ID": "own",
        "Status": "Enabled",
        "Filter": {"Prefix": "x"},
        "Expiration": {"Days": 1},
    }
    s3.put_bucket_lifecycle_configuration(
        Bucket=bucket,
        LifecycleConfiguration={"Rules": [own_rule]},  # type: ignore[list-item]
    )
    bootstrap(NAMES, clients)
    rules = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert "own" in {rule["ID"] for rule in rules}
    assert expires_after(clients, RUN_ID) == {30}


@pytest.mark.parametrize(
    "table", [NAMES.runs_table, NAMES.tenants_table, NAMES.audit_table]
)
def test_tables_are_on_demand_and_can_be_recovered_to_any_moment(
    clients: Clients, table: str
) -> None:
    bootstrap(NAMES, clients)
    described = clients.dynamodb.describe_table(TableName=table)["Table"]
    backups = clients.dynamodb.describe_continuous_backups(TableName=table)
    recovery = backups["ContinuousBackupsDescription"][
        "PointInTimeRecoveryDescription"
    ]
    assert described["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert recovery["PointInTimeRecoveryStatus"] == "ENABLED"


@pytest.mark.parametrize("queue", ["SQS_QUEUE_URL", "SQS_DLQ_URL"])
def test_queues_are_encrypted_and_keep_messages_for_fourteen_days(
    clients: Clients, queue: str
) -> None:
    variables = dict(bootstrap(NAMES, clients))
    queue_attributes = attributes(clients, variables[queue])
    assert queue_attributes["SqsManagedSseEnabled"] == "true"
    assert queue_attributes["MessageRetentionPeriod"] == "1209600"


def test_a_bucket_that_is_there_gets_the_protection_that_it_lacks(
    clients: Clients,
) -> None:
    clients.s3.create_bucket(Bucket=NAMES.bucket)
    changes = provision(NAMES, clients).changes
    assert "set versioning of bucket relay-inventory to Enabled" in changes
    assert "set public access of bucket relay-inventory to blocked" in changes
    assert "created bucket relay-inventory" not in changes


def test_a_setting_of_the_bucket_that_differs_stays(clients: Clients) -> None:
    bootstrap(NAMES, clients)
    clients.s3.put_bucket_versioning(
        Bucket=NAMES.bucket, VersioningConfiguration={"Status": "Suspended"}
    )
    other_names = NAMES.model_copy(update={"retention_days": 7})
    assert provision(other_names, clients, repair=True).changes == ()
    assert (
        clients.s3.get_bucket_versioning(Bucket=NAMES.bucket)["Status"]
        == "Suspended"
    )
    assert expires_after(clients, RUN_ID) == {30}


def test_protections_of_tables_that_are_switched_off_are_set_again(
    clients: Clients,
) -> None:
    bootstrap(NAMES, clients)
    clients.dynamodb.update_continuous_backups(
        TableName=NAMES.tenants_table,
        PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": False},
    )
    clients.dynamodb.update_time_to_live(
        TableName=NAMES.runs_table,
        TimeToLiveSpecification={
            "Enabled": False,
            "AttributeName": "expires_at",
        },
    )
    assert provision(NAMES, clients).changes == (
        "set expiry of items of table relay-inventory-runs to by expires_at",
        "set point-in-time recovery of table relay-inventory-tenants to ENABLED",
    )
    assert provision(NAMES, clients).changes == ()


def change_visibility(clients: Clients, settings: Settings) -> None:
    clients.sqs.set_queue_attributes(
        QueueUrl=settings.queue_url, Attributes={"VisibilityTimeout": "30"}
    )


def shorten_the_dlq(clients: Clients, settings: Settings) -> None:
    clients.sqs.set_queue_attributes(
        QueueUrl=settings.dlq_url, Attributes={"MessageRetentionPeriod": "3600"}
    )


def change_receives(clients: Clients, settings: Settings) -> None:
    arn = attributes(clients, settings.dlq_url)["QueueArn"]
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 8})
    clients.sqs.set_queue_attributes(
        QueueUrl=settings.queue_url, Attributes={"RedrivePolicy": policy}
    )


DIFFERENCES = [
    (change_visibility, "VisibilityTimeout is 30, not 300"),
    (change_receives, "RedrivePolicy.maxReceiveCount is 8, not 3"),
    (
        shorten_the_dlq,
        "MessageRetentionPeriod of the dead-letter queue is 3600, not 1209600",
    ),
]


@pytest.mark.parametrize(
    ("change", "told"),
    DIFFERENCES,
    ids=[difference[0].__name__ for difference in DIFFERENCES],
)
def test_attributes_of_the_queues_are_checked_and_repaired_on_demand(
    clients: Clients, change: Callable[[Clients, Settings], None], told: str
) -> None:
    settings = settings_of(clients)
    assert check(settings, clients) == []
    change(clients, settings)
    assert check(settings, clients) == [f"queue_misconfigured: {told}"]
    assert provision(NAMES, clients).changes == ()
    assert check(settings, clients) == [f"queue_misconfigured: {told}"]
    repaired = provision(NAMES, clients, repair=True).changes
    assert repaired == (f"repaired queue: {told}",)
    assert check(settings, clients) == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"visibility_timeout_seconds": 60},
            "queue_misconfigured: VisibilityTimeout is 300, not 60",
        ),
        (
            {"max_attempts": 5},
            "queue_misconfigured: RedrivePolicy.maxReceiveCount is 3, not 5",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_variable_that_says_otherwise_than_the_queue_is_told(
    clients: Clients, changes: dict[str, int], told: str
) -> None:
    settings = settings_of(clients).model_copy(update=changes)
    assert check(settings, clients) == [told]


@pytest.mark.parametrize(
    "name", ["relay-inventory-jobs", "relay-inventory-jobs-dlq"]
)
def test_a_queue_that_is_gone_is_told_by_its_name(
    clients: Clients, name: str
) -> None:
    settings = settings_of(clients)
    clients.sqs.delete_queue(
        QueueUrl=clients.sqs.get_queue_url(QueueName=name)["QueueUrl"]
    )
    assert check(settings, clients) == [
        f"queue_misconfigured: queue {name} does not exist"
    ]


def test_a_table_with_another_key_is_left(clients: Clients) -> None:
    clients.dynamodb.create_table(
        TableName=NAMES.tenants_table,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    provision(NAMES, clients, repair=True)
    described = clients.dynamodb.describe_table(TableName=NAMES.tenants_table)[
        "Table"
    ]
    assert described["KeySchema"] == [
        {"AttributeName": "id", "KeyType": "HASH"}
    ]
    assert not described.get("GlobalSecondaryIndexes")


@pytest.fixture
def older(clients: Clients) -> Clients:
    """Return AWS with a runs table that lacks two indexes."""
    definition = schema.runs_table(NAMES.runs_table)
    by_time = {"listed", "listed_tenant", "pk", "requested_key"}
    clients.dynamodb.create_table(
        **{
            **definition,
            "GlobalSecondaryIndexes": definition["GlobalSecondaryIndexes"][:2],
            "AttributeDefinitions": [
                attribute
                for attribute in definition["AttributeDefinitions"]
                if attribute["AttributeName"] in by_time
            ],
        }
    )
    return clients


def test_a_table_gets_the_index_that_it_lacks(older: Clients) -> None:
    changes = provision(NAMES, older).changes
    assert (
        "set index due_runs of table relay-inventory-runs to due_shard, due_at"
        in changes
    )
    assert provision(NAMES, older).changes == ()


def test_what_was_overwritten_of_the_uploads_is_forgotten_in_the_end(
    clients: Clients,
) -> None:
    bootstrap(NAMES, clients)
    answer = clients.s3.get_bucket_lifecycle_configuration(Bucket=NAMES.bucket)
    days = {
        rule["Filter"]["Prefix"]: rule.get(
            "NoncurrentVersionExpiration", {}
        ).get("NoncurrentDays")
        for rule in answer["Rules"]
    }
    assert days["tenants/"] == 30
