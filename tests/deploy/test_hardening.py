"""What the template and the image do against those who come from outside, or have come in."""

from __future__ import annotations

import re
from typing import Any

import pytest

from relay_core.domain.doors import DOORS
from relay_dagster.settings import LimitSettings
from support.deployment import (
    DEPLOY,
    container,
    defaults,
    of_type,
    properties,
    template,
)

ROOT = DEPLOY.parent
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
BUCKETS = of_type("AWS::S3::Bucket")
QUEUES = of_type("AWS::SQS::Queue")
BALANCERS = of_type("AWS::ElasticLoadBalancingV2::LoadBalancer")
TASKS = of_type("AWS::ECS::TaskDefinition")
POLICIES = {
    **of_type("AWS::S3::BucketPolicy"),
    **of_type("AWS::SQS::QueuePolicy"),
}


def attributes(balancer: str) -> dict[str, Any]:
    return {
        attribute["Key"]: attribute["Value"]
        for attribute in BALANCERS[balancer]["LoadBalancerAttributes"]
    }


# --- bucket and queues ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*BUCKETS, *QUEUES])
def test_bucket_and_queues_are_reached_over_tls_alone(name: str) -> None:
    (policy,) = (
        policy
        for policy in POLICIES.values()
        if {"Ref": name} in [policy.get("Bucket"), *policy.get("Queues", [])]
    )
    refused = [
        statement
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Deny"
    ]
    (statement,) = refused
    assert statement["Principal"] == "*"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    if name in QUEUES:
        assert (statement["Action"], statement["Resource"]) == ("sqs:*", "*")
    else:
        objects = {"Fn::Sub": f"${{{name}.Arn}}/*"}
        assert statement["Action"] == "s3:*"
        assert statement["Resource"] == [{"Fn::GetAtt": [name, "Arn"]}, objects]


@pytest.mark.parametrize("name", BUCKETS)
def test_no_bucket_is_public_or_unencrypted(name: str) -> None:
    assert set(BUCKETS[name]["PublicAccessBlockConfiguration"].values()) == {
        True
    }
    assert "BucketEncryption" in BUCKETS[name]


# --- access logs ----------------------------------------------------------------------------------


def test_each_access_to_bucket_and_load_balancers_is_logged() -> None:
    logging = BUCKETS["ArtifactBucket"]["LoggingConfiguration"]
    assert logging == {
        "DestinationBucketName": {"Ref": "LogBucket"},
        "LogFilePrefix": "bucket/",
    }
    prefixes = {
        name: attributes(name)["access_logs.s3.prefix"] for name in BALANCERS
    }
    assert prefixes == {"LoadBalancer": "api", "UiLoadBalancer": "ui"}
    for name in BALANCERS:
        assert attributes(name)["access_logs.s3.enabled"] == "true"
        assert attributes(name)["access_logs.s3.bucket"] == {"Ref": "LogBucket"}


def test_who_logs_may_write_where_it_logs_and_nobody_else() -> None:
    statements = properties("LogBucketPolicy")["PolicyDocument"]["Statement"]
    allowed = {
        statement["Principal"]["Service"]: (
            statement["Action"],
            statement["Resource"],
        )
        for statement in statements
        if statement["Effect"] == "Allow"
    }
    log_path = "AWSLogs/${AWS::AccountId}/*"
    assert allowed == {
        "logdelivery.elasticloadbalancing.amazonaws.com": (
            "s3:PutObject",
            [
                {"Fn::Sub": f"${{LogBucket.Arn}}/{prefix}/{log_path}"}
                for prefix in ("api", "ui")
            ],
        ),
        "logging.s3.amazonaws.com": (
            "s3:PutObject",
            {"Fn::Sub": "${LogBucket.Arn}/bucket/*"},
        ),
    }


def test_access_logs_are_forgotten() -> None:
    (rule,) = BUCKETS["LogBucket"]["LifecycleConfiguration"]["Rules"]
    assert rule["ExpirationInDays"] == {"Ref": "AccessLogRetentionDays"}
    # Paths of links contain tokens, so these logs are as secret as the links.
    assert defaults()["AccessLogRetentionDays"] == 30


def test_only_alarms_of_single_tenants_of_this_installation_are_deleted() -> (
    None
):
    (statement,) = (
        statement
        for policy in properties("DeletionRole")["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Action"] == "cloudwatch:DeleteAlarms"
    )
    names = [
        resource["Fn::Sub"].rpartition(":alarm:")[2]
        for resource in statement["Resource"]
    ]
    assert names == [
        "relay-${EnvironmentName}-consecutive-failures-*",
        "${NamePrefix}-${EnvironmentName}-consecutive-failures-*",
    ]


# --- load balancers -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BALANCERS)
def test_no_load_balancer_goes_by_accident_or_lets_bad_headers_through(
    name: str,
) -> None:
    assert attributes(name)["deletion_protection.enabled"] == "true"
    assert (
        attributes(name)["routing.http.drop_invalid_header_fields.enabled"]
        == "true"
    )


def test_logs_stay_when_the_stack_goes() -> None:
    for name in of_type("AWS::Logs::LogGroup"):
        group = template()["Resources"][name]
        assert (group["DeletionPolicy"], group["UpdateReplacePolicy"]) == (
            "Retain",
            "Retain",
        )


def test_every_listener_speaks_tls() -> None:
    listeners = of_type("AWS::ElasticLoadBalancingV2::Listener")
    assert {
        listener["LoadBalancerArn"]["Ref"] for listener in listeners.values()
    } == set(BALANCERS)
    assert {listener["Protocol"] for listener in listeners.values()} == {
        "HTTPS"
    }


def test_an_address_cannot_ask_for_more_than_an_admin_key_may() -> None:
    rules = {rule["Name"]: rule for rule in properties("WebAcl")["Rules"]}
    rate = rules["rate"]["Statement"]["RateBasedStatement"]
    assert rate == {
        "AggregateKeyType": "IP",
        "EvaluationWindowSec": 60,
        "Limit": {"Ref": "RequestsPerAddress"},
    }
    assert rules["rate"]["Action"] == {
        "Block": {"CustomResponse": {"ResponseCode": 429}}
    }
    limit = 10 * LimitSettings().rate_limit_per_minute
    assert defaults()["RequestsPerAddress"] == limit


def test_the_firewall_stands_before_every_load_balancer() -> None:
    before = of_type("AWS::WAFv2::WebACLAssociation").values()
    assert {association["ResourceArn"]["Ref"] for association in before} == set(
        BALANCERS
    )


# --- Dagster's UI ---------------------------------------------------------------------------------


def test_whoever_reaches_the_ui_has_logged_in() -> None:
    first, then = sorted(
        properties("UiListener")["DefaultActions"],
        key=lambda each: each["Order"],
    )
    assert first["Type"] == "authenticate-oidc"
    assert (
        first["AuthenticateOidcConfig"]["OnUnauthenticatedRequest"]
        == "authenticate"
    )
    assert (then["Type"], then["TargetGroupArn"]) == (
        "forward",
        {"Ref": "UiTargetGroup"},
    )
    assert BALANCERS["UiLoadBalancer"]["Scheme"] == "internal"


def test_only_its_load_balancer_reaches_the_ui() -> None:
    (rule,) = properties("DagsterSecurityGroup")["SecurityGroupIngress"]
    balancer = {"Fn::GetAtt": ["UiLoadBalancerSecurityGroup", "GroupId"]}
    assert (rule["FromPort"], rule["SourceSecurityGroupId"]) == (3000, balancer)
    (way_in,) = properties("UiLoadBalancerSecurityGroup")[
        "SecurityGroupIngress"
    ]
    assert way_in["CidrIp"] == {"Ref": "OperatorCidr"}
    assert "OperatorCidr" not in defaults()


def test_the_ui_is_relay_s_and_knows_its_host() -> None:
    webserver = container("WebserverTask")
    assert webserver["Command"][:2] == ["relay", "ui"]
    environment = {
        variable["Name"]: variable["Value"]
        for variable in webserver["Environment"]
    }
    assert environment["RELAY_UI_BEHIND_PROXY"] == "true"
    assert environment["DAGSTER_WEBSERVER_URL"] == {
        "Fn::Sub": "https://${UiHost}"
    }
    assert (
        attributes("UiLoadBalancer")[
            "routing.http.preserve_host_header.enabled"
        ]
        == "true"
    )


def test_a_ui_without_the_guard_gets_no_requests() -> None:
    assert properties("UiTargetGroup")["Matcher"] == {"HttpCode": "421"}


# --- tasks and image ------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
def test_a_task_writes_to_tmp_alone_and_has_no_capability(task: str) -> None:
    definition = container(task)
    assert definition["ReadonlyRootFilesystem"] is True
    mount = {"SourceVolume": "tmp", "ContainerPath": "/tmp"}  # noqa: S108
    assert definition["MountPoints"] == [mount]
    assert TASKS[task]["Volumes"] == [{"Name": "tmp"}]
    assert definition["LinuxParameters"]["Capabilities"] == {"Drop": ["ALL"]}


def test_tmp_is_a_volume_that_everybody_may_write_to() -> None:
    assert re.search(r"^VOLUME /tmp$", DOCKERFILE, re.MULTILINE)
    assert re.search(r"^USER relay$", DOCKERFILE, re.MULTILINE)


def test_the_base_image_is_named_by_its_digest() -> None:
    assert (
        re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
        == ["${PYTHON}"] * 2
    )
    assert re.search(r"^ARG PYTHON$", DOCKERFILE, re.MULTILINE)
    assert "*@sha256:*" in DOCKERFILE


def test_nothing_is_installed_into_the_image_without_a_hash() -> None:
    fetched = re.findall(r"(?:pip install|pip sync|pip wheel)(.*)", DOCKERFILE)
    assert len(fetched) == 4
    assert [
        command
        for command in fetched
        if not re.search("--require-hashes|--no-deps", command)
    ] == []


def pins(lock: str) -> dict[str, frozenset[str]]:
    """Return the hashes of each pinned version of a lock."""
    text = (ROOT / lock).read_text()
    requirements = re.findall(
        r"^([\w.-]+(?:\[\w+\])?==\S+)(.*?)(?=^[\w#]|\Z)", text, re.DOTALL | re.M
    )
    return {
        pin: frozenset(re.findall(r"sha256:(\w+)", hashes))
        for pin, hashes in requirements
    }


def test_the_image_installs_what_is_tested() -> None:
    tested = pins("requirements.lock")
    installed = pins("deploy/image.lock")
    assert len(installed) > 50
    assert {pin: tested.get(pin) for pin in installed} == installed
    assert all(installed.values())


def test_what_builds_is_pinned_too() -> None:
    built = pins("deploy/build.lock")
    assert {pin.partition("==")[0] for pin in built} == {
        "cython",
        "setuptools",
        "uv",
    }
    assert all(built.values())


# --- network --------------------------------------------------------------------------------------


def outside(group: str) -> set[int]:
    """Return the ports of the internet that a group reaches, by either protocol of it."""
    rules = properties(group)["SecurityGroupEgress"]
    ports = {rule["FromPort"] for rule in rules}
    assert all(rule["FromPort"] == rule["ToPort"] for rule in rules)
    assert {rule["FromPort"] for rule in rules if "CidrIpv6" in rule} == ports
    return ports


def test_dagsters_processes_reach_aws_receivers_and_each_other_alone() -> None:
    assert outside("DagsterSecurityGroup") == set(DOORS["https"].ports)
    code_server = ("DagsterSecurityGroup", 4000)
    assert inside("DagsterSecurityGroup") == {
        code_server,
        ("DatabaseSecurityGroup", 5432),
    }


def inside(group: str) -> set[tuple[str, int]]:
    """Return which groups and ports of the stack a group reaches."""
    return {
        (
            egress["DestinationSecurityGroupId"]["Fn::GetAtt"][0],
            egress["FromPort"],
        )
        for egress in of_type("AWS::EC2::SecurityGroupEgress").values()
        if egress["GroupId"]["Fn::GetAtt"][0] == group
    }


def test_transfers_reach_aws_and_suppliers_alone_and_nobody_reaches_them() -> (
    None
):
    ports = {port for door in DOORS.values() for port in door.ports}
    assert outside("TransfersSecurityGroup") == ports == {22, 443, 2222, 8443}
    assert "SecurityGroupIngress" not in properties("TransfersSecurityGroup")
    assert inside("TransfersSecurityGroup") == set()


def test_runs_reach_aws_and_the_database_alone_and_nobody_reaches_them() -> (
    None
):
    runs = properties("RunSecurityGroup")
    assert "SecurityGroupIngress" not in runs
    to_network, elsewhere = runs["SecurityGroupEgress"]
    assert to_network["CidrIp"] == {"Ref": "RunEgressCidr"}
    condition, to_internet, none = elsewhere["Fn::If"]
    assert none == {"Ref": "AWS::NoValue"}
    assert template()["Conditions"][condition] == {
        "Fn::Equals": [{"Ref": "RunEgressCidr"}, "0.0.0.0/0"]
    }
    assert {
        (rule["FromPort"], rule["ToPort"]) for rule in (to_network, to_internet)
    } == {(443, 443)}
    assert inside("RunSecurityGroup") == {("DatabaseSecurityGroup", 5432)}
    let_in = of_type("AWS::EC2::SecurityGroupIngress").values()
    from_runs = {"Fn::GetAtt": ["RunSecurityGroup", "GroupId"]}
    assert from_runs not in [rule["SourceSecurityGroupId"] for rule in let_in]
    variables = {
        variable["Name"]: variable["Value"]
        for variable in container("DaemonTask")["Environment"]
    }
    assert variables["RELAY_RUN_SECURITY_GROUP"] == from_runs


def test_the_api_reaches_aws_alone_and_the_database_nothing() -> None:
    api = properties("ApiSecurityGroup")["SecurityGroupEgress"]
    assert {(rule["FromPort"], rule["ToPort"]) for rule in api} == {(443, 443)}
    (database,) = properties("DatabaseSecurityGroup")["SecurityGroupEgress"]
    assert database["CidrIp"] == "127.0.0.1/32"
