"""The CloudFormation template, read; and a stack made from it on embedded AWS."""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import yaml
from moto import mock_aws

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
TEMPLATE = DEPLOY / "relay.yaml"
ACCOUNT = "123456789012"
REGION = "us-east-1"
# moto's CloudFormation knows none of these, nor the database's secret, which stays a name; what
# refers to these is left out. cfn-lint has checked all.
NOT_EMBEDDED = (
    "AWS::EC2::SecurityGroupEgress",
    "AWS::S3::BucketPolicy",
    "AWS::ServiceDiscovery::",
    "AWS::SQS::QueuePolicy",
    "AWS::WAFv2::",
)


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms (``!Ref x``) as their long ones."""


def _long_form(
    loader: yaml.SafeLoader, suffix: str, node: yaml.Node
) -> dict[str, Any]:
    name = suffix if suffix == "Ref" else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
        return {name: value.split(".", 1) if suffix == "GetAtt" else value}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    raise TypeError(f"unexpected node under !{suffix}")


yaml.add_multi_constructor("!", _long_form, Loader=_Loader)


@cache
def template(path: Path = TEMPLATE) -> dict[str, Any]:
    """Return a template with every short form made long; it is shared, leave it as it is."""
    return yaml.load(path.read_text(), Loader=_Loader)  # noqa: S506 - a SafeLoader


def properties(logical_id: str) -> dict[str, Any]:
    """Return the properties of one resource, as they stand in the template."""
    return template()["Resources"][logical_id]["Properties"]


def of_type(kind: str) -> dict[str, dict[str, Any]]:
    """Return the properties of all resources of a type, by their logical ids."""
    declared = template()["Resources"].items()
    return {
        name: resource["Properties"]
        for name, resource in declared
        if resource["Type"] == kind
    }


def container(task: str) -> dict[str, Any]:
    """Return the one container of a task definition."""
    (only,) = properties(task)["ContainerDefinitions"]
    return dict(only)


def defaults() -> dict[str, Any]:
    """Return the parameters that have defaults, and those."""
    parameters = template()["Parameters"].items()
    return {
        name: parameter["Default"]
        for name, parameter in parameters
        if "Default" in parameter
    }


@contextmanager
def created_stack() -> Iterator[Mapping[str, str]]:
    """Make the stack on embedded AWS in this process, and yield its outputs."""
    with mock_aws(), warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="Tried to parse AWS::SecretsManager::Secret"
        )
        client = boto3.client("cloudformation", region_name=REGION)
        client.create_stack(
            StackName="relay",
            TemplateBody=json.dumps(_embeddable(template())),
            Parameters=[
                {"ParameterKey": name, "ParameterValue": value}
                for name, value in _parameters().items()
            ],
            Capabilities=["CAPABILITY_IAM"],
        )
        (stack,) = client.describe_stacks(StackName="relay")["Stacks"]
        yield {
            output["OutputKey"]: output["OutputValue"]
            for output in stack["Outputs"]
        }


def _embeddable(shared: dict[str, Any]) -> dict[str, Any]:
    document = copy.deepcopy(shared)
    resources = {
        name: resource
        for name, resource in document["Resources"].items()
        if not resource["Type"].startswith(NOT_EMBEDDED)
    }
    for resource in resources.values():
        if resource.get("DependsOn") not in (None, *resources):
            del resource["DependsOn"]
        resource.get("Properties", {}).pop("ServiceRegistries", None)
    return {**document, "Resources": resources}


def _parameters() -> dict[str, str]:
    ec2 = boto3.client("ec2", region_name=REGION)
    acm = boto3.client("acm", region_name=REGION)
    subnets = [
        subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"][:2]
    ]
    certificate = acm.request_certificate(DomainName="relay.example.com")
    return {
        "Image": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/relay-inventory:1",
        "VpcId": ec2.describe_vpcs()["Vpcs"][0]["VpcId"],
        "PublicSubnetIds": ",".join(subnets),
        "PrivateSubnetIds": ",".join(subnets),
        "CertificateArn": certificate["CertificateArn"],
        "UiHost": "dagster.example.com",
        "UiCertificateArn": certificate["CertificateArn"],
        "OperatorCidr": "10.1.0.0/16",
        "OidcIssuer": "https://login.example.com",
        "OidcAuthorizationEndpoint": "https://login.example.com/authorize",
        "OidcTokenEndpoint": "https://login.example.com/token",
        "OidcUserInfoEndpoint": "https://login.example.com/userinfo",
        "OidcClientId": "relay",
        "OidcClientSecretArn": f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:oidc-AbCdEf",
        "ApiKeysSecretArn": f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:api-keys-AbCdEf",
    }
