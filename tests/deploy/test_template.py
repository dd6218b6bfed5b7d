from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import boto3
import pytest
from cfnlint.api import lint_file

from relay_dagster.aws.provisioning import resources
from relay_dagster.aws.provisioning.bootstrap import Names
from relay_dagster.orchestration.build import build_defs
from relay_dagster.settings import ProvisioningSettings, Settings
from support.deployment import (
    ACCOUNT,
    REGION,
    TEMPLATE,
    container,
    created_stack,
    defaults,
    of_type,
    properties,
    template,
)
from write_template import with_section

NAMES = Names()
SERVICES = {
    "api",
    "code",
    "daemon",
    "deletion",
    "transfers",
    "webserver",
}
TASKS = {
    "ApiTask",
    "CodeTask",
    "DaemonTask",
    "DeletionTask",
    "RunTask",
    "TransfersTask",
    "WebserverTask",
}


@pytest.fixture(scope="module")
def stack() -> Iterator[Mapping[str, str]]:
    patch = pytest.MonkeyPatch()
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "testing"),
        ("AWS_SECRET_ACCESS_KEY", "testing"),
    ):
        patch.setenv(name, value)
    with created_stack() as outputs:
        yield outputs
    patch.undo()


def test_cfn_lint_has_nothing_to_say() -> None:
    assert [str(match) for match in lint_file(TEMPLATE)] == []


# --- what `relay server bootstrap` makes, too -----------------------------------------------------


def test_defaults_are_those_of_the_program() -> None:
    parameters = defaults()
    settings = ProvisioningSettings()
    assert parameters["PoisonMaxReceives"] == settings.max_attempts
    assert (
        parameters["VisibilityTimeoutSeconds"]
        == settings.visibility_timeout_seconds
    )
    assert parameters["RetentionDays"] == settings.retention_days
    in_runs = {
        variable["Name"]: variable["Value"]
        for variable in container("RunTask")["Environment"]
    }
    assert in_runs["RELAY_RUN_TIMEOUT_SECONDS"] == {"Ref": "RunTimeoutSeconds"}
    timeout = Settings.model_fields["run_timeout_seconds"].default
    assert parameters["RunTimeoutSeconds"] == timeout


def test_no_feed_needs_more_memory_than_a_run_s_task_has() -> None:
    of_feeds = template()["Mappings"]["MemoryOfFeeds"]
    assert (
        list(of_feeds) == template()["Parameters"]["RunMemory"]["AllowedValues"]
    )
    assert all(
        int(row["Mb"]) == int(task) - 400 for task, row in of_feeds.items()
    )
    variables = {
        variable["Name"]: variable["Value"]
        for variable in container("RunTask")["Environment"]
    }
    assert variables["RELAY_MAX_RUN_MEMORY_MB"] == {
        "Fn::FindInMap": ["MemoryOfFeeds", {"Ref": "RunMemory"}, "Mb"]
    }
    parameters = defaults()
    for name, size in (("MaxFeedBytes", 512 << 20), ("MaxRunBytes", 8 << 30)):
        assert int(parameters[name]) == size
    assert variables["RELAY_MAX_FEED_BYTES"] == {"Ref": "MaxFeedBytes"}
    assert variables["RELAY_MAX_RUN_BYTES"] == {"Ref": "MaxRunBytes"}
    of_api = {
        variable["Name"]: variable["Value"]
        for variable in container("ApiTask")["Environment"]
    }
    assert of_api["RELAY_MAX_FEED_BYTES"] == {"Ref": "MaxFeedBytes"}


def test_names_are_those_that_bootstrap_gives(stack: Mapping[str, str]) -> None:
    assert stack["RunsTableName"] == NAMES.runs_table
    assert stack["TenantsTableName"] == NAMES.tenants_table
    assert stack["AuditTableName"] == NAMES.audit_table
    assert stack["JobsQueueUrl"].endswith(f"/{NAMES.queue}")
    assert stack["JobsDlqUrl"].endswith(f"/{NAMES.dlq}")
    assert stack["UploadsQueueUrl"].endswith(f"/{NAMES.uploads}")
    assert stack["ArtifactBucketName"] == f"{NAMES.bucket}-{ACCOUNT}-{REGION}"


def test_the_section_is_what_the_definitions_say() -> None:
    written = TEMPLATE.read_text("utf-8")
    assert with_section(written) == written, "run `make template`"


def test_a_changed_definition_changes_the_section(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(resources.PUBLIC_ACCESS_BLOCK, "BlockPublicAcls", False)
    written = TEMPLATE.read_text("utf-8")
    assert "BlockPublicAcls: false" in with_section(written)
    assert "BlockPublicAcls: false" not in written


def test_the_bucket_asks_for_its_notification_when_it_may_send() -> None:
    assert (
        template()["Resources"]["ArtifactBucket"]["DependsOn"]
        == "UploadsQueuePolicy"
    )


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
    assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == (
        "Retain",
        "Retain",
    )


def test_the_database_is_private_encrypted_and_backed_up() -> None:
    database = properties("Database")
    assert database["StorageEncrypted"] is True
    assert database["PubliclyAccessible"] is False
    assert database["DeletionProtection"] is True
    assert database["BackupRetentionPeriod"] >= 7
    assert template()["Resources"]["Database"]["DeletionPolicy"] == "Snapshot"


# --- services and runs ----------------------------------------------------------------------------


def test_the_services_and_the_task_of_runs_are_made(
    stack: Mapping[str, str],
) -> None:
    ecs = boto3.client("ecs", region_name=REGION)
    services = ecs.describe_services(
        cluster="relay-inventory", services=sorted(SERVICES)
    )["services"]
    assert {service["serviceName"] for service in services} == SERVICES
    families = ecs.list_task_definition_families()["families"]
    assert set(families) == {
        f"relay-inventory-{name}" for name in {*SERVICES, "run"}
    }


def test_there_is_one_daemon_and_never_a_second_beside_it() -> None:
    service = properties("DaemonService")
    assert service["DesiredCount"] == 1
    assert service["DeploymentConfiguration"]["MaximumPercent"] == 100


def test_the_code_server_has_more_threads_than_sensors_that_wait_in_them() -> (
    None
):
    command = container("CodeTask")["Command"]
    threads = int(command[command.index("--max-workers") + 1])
    assert threads >= 2 * len(list(build_defs().sensors or ()))


def variables(task: str) -> set[str]:
    definition = container(task)
    secrets = definition.get("Secrets", [])
    return {
        variable["Name"] for variable in [*definition["Environment"], *secrets]
    }


@pytest.mark.parametrize(
    "task", ["ApiTask", "CodeTask", "DeletionTask", "RunTask", "TransfersTask"]
)
def test_whoever_runs_the_product_has_every_variable_that_it_needs(
    task: str,
) -> None:
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


def test_the_code_server_leaves_deletions_to_the_process_that_has_the_rights() -> (
    None
):
    assert "RELAY_DELETIONS_APART" in variables("CodeTask")
    assert container("DeletionTask")["Command"] == ["relay", "deletions"]
    (group,) = properties("DeletionService")["NetworkConfiguration"][
        "AwsvpcConfiguration"
    ]["SecurityGroups"]
    assert group == {"Fn::GetAtt": ["RunSecurityGroup", "GroupId"]}


def test_the_code_server_leaves_transfers_to_a_task_that_nothing_else_shares() -> (
    None
):
    assert "RELAY_TRANSFERS_APART" in variables("CodeTask")
    assert container("TransfersTask")["Command"] == ["relay", "transfers"]
    # Two processes that find changes may have 1 GiB each.
    assert int(properties("TransfersTask")["Memory"]) == 3072
    groups = {
        name: service["NetworkConfiguration"]["AwsvpcConfiguration"][
            "SecurityGroups"
        ]
        for name, service in of_type("AWS::ECS::Service").items()
    }
    transfers = groups.pop("TransfersService")
    assert transfers == [{"Fn::GetAtt": ["TransfersSecurityGroup", "GroupId"]}]
    assert transfers not in groups.values()


def test_secrets_of_tenants_are_those_of_this_stack() -> None:
    prefix = {"Fn::Sub": "relay/${EnvironmentName}/${NamePrefix}"}
    prefixes = {
        task: variable["Value"]
        for task in sorted(TASKS)
        for variable in container(task)["Environment"]
        if variable["Name"] == "RELAY_SECRETS_PREFIX"
    }
    assert prefixes == {
        "ApiTask": prefix,
        "DeletionTask": prefix,
        "TransfersTask": prefix,
    }
    assert "secret:relay/${EnvironmentName}/*" not in TEMPLATE.read_text()


@pytest.mark.parametrize("task", sorted(TASKS - {"ApiTask", "TransfersTask"}))
def test_whoever_runs_dagster_has_every_variable_that_its_settings_name(
    task: str,
) -> None:
    named = {
        name
        for file in ("dagster.yaml", "workspace.yaml")
        for name in re.findall(
            r"\{ env: (\w+) \}", (TEMPLATE.parent / file).read_text()
        )
    }
    assert named
    assert named <= variables(task)


def test_the_api_cannot_reach_dagster_s_database() -> None:
    assert not any(
        name.startswith("DAGSTER_POSTGRES") for name in variables("ApiTask")
    )
    allowed = properties("DatabaseSecurityGroup")["SecurityGroupIngress"]
    assert [rule["SourceSecurityGroupId"] for rule in allowed] == [
        {"Fn::GetAtt": [name, "GroupId"]}
        for name in ("DagsterSecurityGroup", "RunSecurityGroup")
    ]


@pytest.mark.parametrize("task", sorted(TASKS - {"ApiTask", "TransfersTask"}))
def test_the_database_is_reached_by_tls_alone_and_proves_its_name_where_it_can(
    task: str,
) -> None:
    environment = container(task)["Environment"]
    mode = {"Fn::If": ["DatabaseProvesItself", "verify-full", "require"]}
    assert {"Name": "PGSSLMODE", "Value": mode} in environment
    assert {
        "Name": "PGSSLROOTCERT",
        "Value": {"Ref": "DatabaseCaFile"},
    } in environment


@pytest.mark.parametrize("task", sorted({*TASKS, "VerifyTask"}))
def test_no_secret_is_written_into_a_task_definition(task: str) -> None:
    plain = {variable["Name"] for variable in container(task)["Environment"]}
    assert not [name for name in plain if "PASSWORD" in name or "KEY" in name]


@pytest.mark.parametrize("task", sorted({*TASKS, "VerifyTask"}))
def test_every_task_logs_to_a_group_that_forgets(task: str) -> None:
    options = container(task)["LogConfiguration"]["Options"]
    group = properties(options["awslogs-group"]["Ref"])
    assert group["RetentionInDays"] == {"Ref": "LogRetentionDays"}
