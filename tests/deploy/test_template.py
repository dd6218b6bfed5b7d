from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import boto3
import pytest
from cfnlint.api import lint_file
from moto import mock_aws

from relay_dagster.aws.clients import Clients
from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.provisioning.bootstrap import Names, bootstrap
from relay_dagster.aws.provisioning.bucket import (
    ENCRYPTION,
    PUBLIC_ACCESS_BLOCK,
    lifecycle_rules,
)
from relay_dagster.aws.provisioning.queues import dlq_attributes, queue_attributes
from relay_dagster.aws.provisioning.uploads import CREATED, UPLOADS_PREFIX
from relay_dagster.settings import ProvisioningSettings
from support.deployment import (
    ACCOUNT,
    REGION,
    TEMPLATE,
    container,
    created_stack,
    defaults,
    properties,
    template,
)

NAMES = Names()
SERVICES = {"api", "code", "daemon", "webserver"}
TASKS = {"ApiTask", "CodeTask", "DaemonTask", "RunTask", "WebserverTask"}


@pytest.fixture(scope="module")
def stack() -> Iterator[Mapping[str, str]]:
    patch = pytest.MonkeyPatch()
    for name, value in (("AWS_ACCESS_KEY_ID", "testing"), ("AWS_SECRET_ACCESS_KEY", "testing")):
        patch.setenv(name, value)
    with created_stack() as outputs:
        yield outputs
    patch.undo()


def test_cfn_lint_has_nothing_to_say() -> None:
    assert [str(match) for match in lint_file(TEMPLATE)] == []


# --- what `relay bootstrap` makes, too ------------------------------------------------------------


def test_defaults_are_those_of_the_program() -> None:
    given = defaults()
    settings = ProvisioningSettings()
    assert given["PoisonMaxReceives"] == settings.max_attempts
    assert given["VisibilityTimeoutSeconds"] == settings.visibility_timeout_seconds
    assert given["RetentionDays"] == settings.retention_days


def test_names_are_those_that_bootstrap_gives(stack: Mapping[str, str]) -> None:
    assert stack["RunsTableName"] == NAMES.runs_table
    assert stack["TenantsTableName"] == NAMES.tenants_table
    assert stack["AuditTableName"] == NAMES.audit_table
    assert stack["JobsQueueUrl"].endswith(f"/{NAMES.queue}")
    assert stack["JobsDlqUrl"].endswith(f"/{NAMES.dlq}")
    assert stack["UploadsQueueUrl"].endswith(f"/{NAMES.uploads}")
    assert stack["ArtifactBucketName"] == f"{NAMES.bucket}-{ACCOUNT}-{REGION}"


@pytest.mark.parametrize("logical_id", ["RunsTable", "TenantsTable", "AuditTable"])
def test_tables_are_laid_out_as_bootstrap_lays_them_out(logical_id: str) -> None:
    definition = {
        "RunsTable": schema.runs_table,
        "TenantsTable": schema.tenants_table,
        "AuditTable": schema.audit_table,
    }
    wanted = definition[logical_id]("name")
    made = properties(logical_id)
    for field in ("KeySchema", "AttributeDefinitions", "GlobalSecondaryIndexes", "BillingMode"):
        assert made[field] == wanted[field]
    assert made["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}


def test_items_of_all_tables_but_that_of_tenants_expire() -> None:
    for table in ("RunsTable", "AuditTable"):
        assert properties(table)["TimeToLiveSpecification"] == {
            "AttributeName": schema.EXPIRY,
            "Enabled": True,
        }
    assert "TimeToLiveSpecification" not in properties("TenantsTable")


@pytest.mark.parametrize(
    ("output", "variable"),
    [
        ("JobsQueueUrl", "SQS_QUEUE_URL"),
        ("JobsDlqUrl", "SQS_DLQ_URL"),
        ("UploadsQueueUrl", "UPLOADS_QUEUE_URL"),
    ],
)
def test_queues_have_the_attributes_that_bootstrap_gives_them(
    stack: Mapping[str, str], output: str, variable: str
) -> None:
    made = attributes(stack[output])
    with mock_aws():
        bootstrapped = attributes(dict(bootstrap(NAMES, Clients(REGION)))[variable])
    assert made == bootstrapped


def attributes(url: str) -> dict[str, str]:
    sqs = boto3.client("sqs", region_name=REGION)
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    one_by_one = ("Timestamp", "NumberOfMessages", "Policy")
    return {
        str(name): value
        for name, value in found.items()
        if name == "RedrivePolicy" or not any(part in name for part in one_by_one)
    }


def test_the_bucket_tells_of_uploads_as_bootstrap_has_it_tell() -> None:
    orders = properties("ArtifactBucket")["NotificationConfiguration"]["QueueConfigurations"]
    rules = [{"Name": "prefix", "Value": UPLOADS_PREFIX}]
    assert orders == [
        {
            "Event": CREATED,
            "Filter": {"S3Key": {"Rules": rules}},
            "Queue": {"Fn::GetAtt": ["UploadsQueue", "Arn"]},
        }
    ]
    made = template()["Resources"]["ArtifactBucket"]
    assert made["DependsOn"] == "UploadsQueuePolicy"


def test_the_bucket_alone_may_send_as_bootstrap_lets_it() -> None:
    statements = properties("UploadsQueuePolicy")["PolicyDocument"]["Statement"]
    (made,) = (each for each in statements if each["Effect"] == "Allow")
    with mock_aws():
        clients = Clients(REGION)
        url = dict(bootstrap(NAMES, clients))["UPLOADS_QUEUE_URL"]
        answer = clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    given = {str(name): value for name, value in answer["Attributes"].items()}
    (wanted,) = json.loads(given["Policy"])["Statement"]
    bucket = "${NamePrefix}-${AWS::AccountId}-${AWS::Region}"
    in_words = json.dumps(made).replace(bucket, NAMES.bucket).replace("${AWS::Partition}", "aws")
    known = {
        json.dumps({"Fn::GetAtt": ["UploadsQueue", "Arn"]}): json.dumps(given["QueueArn"]),
        json.dumps({"Ref": "AWS::AccountId"}): json.dumps(ACCOUNT),
    }
    for reference, value in known.items():
        in_words = in_words.replace(reference, value)
    resolved = re.sub(r'\{"Fn::Sub": ("[^"]*")\}', r"\1", in_words)
    assert json.loads(resolved) == wanted


def test_the_bucket_is_as_bootstrap_makes_it() -> None:
    made = properties("ArtifactBucket")
    assert made["PublicAccessBlockConfiguration"] == PUBLIC_ACCESS_BLOCK
    assert made["VersioningConfiguration"] == {"Status": "Enabled"}
    rules = made["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert [
        {"ApplyServerSideEncryptionByDefault": rule["ServerSideEncryptionByDefault"]}
        for rule in rules
    ] == ENCRYPTION["Rules"]


def test_the_bucket_forgets_what_bootstrap_lets_it_forget() -> None:
    made = [as_the_api_has_it(rule) for rule in lifecycle()]
    wanted = lifecycle_rules(defaults()["RetentionDays"])
    assert sorted(made, key=rule_id) == sorted(wanted, key=rule_id)


def lifecycle() -> list[dict[str, Any]]:
    return properties("ArtifactBucket")["LifecycleConfiguration"]["Rules"]


def rule_id(rule: Mapping[str, Any]) -> str:
    return str(rule["ID"])


def as_the_api_has_it(rule: Mapping[str, Any]) -> dict[str, Any]:
    """Return a rule of the template in the words of PutBucketLifecycleConfiguration."""
    same = ("NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload")
    told: dict[str, Any] = {
        "ID": rule["Id"],
        "Status": rule["Status"],
        "Filter": {"Prefix": rule.get("Prefix", "")},
        **{field: rule[field] for field in same if field in rule},
    }
    if "ExpirationInDays" in rule:
        assert rule["ExpirationInDays"] == {"Ref": "RetentionDays"}
        told["Expiration"] = {"Days": defaults()["RetentionDays"]}
    if "ExpiredObjectDeleteMarker" in rule:
        told["Expiration"] = {"ExpiredObjectDeleteMarker": rule["ExpiredObjectDeleteMarker"]}
    return told


def test_queue_attributes_of_the_template_are_no_others(stack: Mapping[str, str]) -> None:
    wanted = queue_attributes("arn", visibility_timeout=300, max_receives=3)
    assert set(properties("JobsQueue")) - {"QueueName"} == set(wanted)
    assert set(properties("JobsDlq")) - {"QueueName"} == set(dlq_attributes())


@pytest.mark.parametrize(
    "logical_id",
    [
        "ArtifactBucket",
        "RunsTable",
        "TenantsTable",
        "AuditTable",
        "JobsQueue",
        "JobsDlq",
        "UploadsQueue",
        "UploadsDlq",
    ],
)
def test_what_holds_data_outlives_the_stack(logical_id: str) -> None:
    resource = template()["Resources"][logical_id]
    assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("Retain", "Retain")


def test_the_database_is_private_encrypted_and_backed_up() -> None:
    database = properties("Database")
    assert database["StorageEncrypted"] is True
    assert database["PubliclyAccessible"] is False
    assert database["DeletionProtection"] is True
    assert database["BackupRetentionPeriod"] >= 7
    assert template()["Resources"]["Database"]["DeletionPolicy"] == "Snapshot"


# --- services and runs ----------------------------------------------------------------------------


def test_the_four_services_and_the_task_of_runs_are_made(stack: Mapping[str, str]) -> None:
    ecs = boto3.client("ecs", region_name=REGION)
    found = ecs.describe_services(cluster="relay-inventory", services=sorted(SERVICES))["services"]
    assert {service["serviceName"] for service in found} == SERVICES
    families = ecs.list_task_definition_families()["families"]
    assert set(families) == {f"relay-inventory-{name}" for name in {*SERVICES, "run"}}


def test_there_is_one_daemon_and_never_a_second_beside_it() -> None:
    service = properties("DaemonService")
    assert service["DesiredCount"] == 1
    assert service["DeploymentConfiguration"]["MaximumPercent"] == 100


def variables(task: str) -> set[str]:
    found = container(task)
    return {each["Name"] for each in [*found["Environment"], *found["Secrets"]]}


@pytest.mark.parametrize("task", ["ApiTask", "CodeTask", "RunTask"])
def test_whoever_runs_the_product_has_every_variable_that_it_needs(task: str) -> None:
    needed = {
        "ARTIFACT_BUCKET",
        "RUNS_TABLE",
        "TENANTS_TABLE",
        "SQS_QUEUE_URL",
        "SQS_DLQ_URL",
        "WORKER_POISON_MAX_RECEIVES",
        "WORKER_VISIBILITY_TIMEOUT_SECONDS",
        "ENVIRONMENT",
        "AWS_REGION",
    }
    assert needed <= variables(task)
    assert ("API_KEYS" in variables(task)) is (task == "ApiTask")


@pytest.mark.parametrize("task", sorted(TASKS - {"ApiTask"}))
def test_whoever_runs_dagster_has_every_variable_that_its_settings_name(task: str) -> None:
    named = {
        name
        for file in ("dagster.yaml", "workspace.yaml")
        for name in re.findall(r"\{ env: (\w+) \}", (TEMPLATE.parent / file).read_text())
    }
    assert named
    assert named <= variables(task)


def test_the_api_cannot_reach_dagster_s_database() -> None:
    assert not any(name.startswith("DAGSTER_POSTGRES") for name in variables("ApiTask"))
    allowed = properties("DatabaseSecurityGroup")["SecurityGroupIngress"]
    assert [rule["SourceSecurityGroupId"] for rule in allowed] == [
        {"Fn::GetAtt": ["DagsterSecurityGroup", "GroupId"]}
    ]


@pytest.mark.parametrize("task", sorted(TASKS))
def test_no_secret_is_written_into_a_task_definition(task: str) -> None:
    plain = {each["Name"] for each in container(task)["Environment"]}
    assert not [name for name in plain if "PASSWORD" in name or "KEY" in name]


@pytest.mark.parametrize("task", sorted(TASKS))
def test_every_task_logs_to_a_group_that_forgets(task: str) -> None:
    options = container(task)["LogConfiguration"]["Options"]
    group = properties(options["awslogs-group"]["Ref"])
    assert group["RetentionInDays"] == {"Ref": "LogRetentionDays"}
