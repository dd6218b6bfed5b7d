"""Write the section of deploy/relay.yaml about the resources of `relay server bootstrap`.

`make template` runs this script. Bucket, tables and queues are defined where `bootstrap` finds
them. Here their names and numbers become references of CloudFormation, and they get the
protections that only a stack gives.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

# Also works from a checkout that is not installed.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.provisioning import resources

TEMPLATE = Path(__file__).resolve().parent.parent / "deploy" / "relay.yaml"
_BEGIN = "  # --- what `relay server bootstrap` makes"
_END = "  # --- what a stack adds to it"
_HEAD = f"""{_BEGIN} --------------------------------------------------------

  # Written by `make template`, from relay_dagster/aws/provisioning/resources.py and
  # relay_dagster/aws/dynamodb/schema.py; change it there.
"""
# Bucket names are global; the account's number makes this one unique.
_BUCKET_NAME = "${NamePrefix}-${AWS::AccountId}-${AWS::Region}"


class Ref(str):
    """A resource or a parameter."""


class Sub(str):
    """A text with references."""


class GetAtt(str):
    """An attribute of a resource."""


class Line(dict[str, Any]):
    """A mapping that is written on one line."""


class _Dumper(yaml.SafeDumper):
    """Writes references in their short form, and never an alias."""

    def ignore_aliases(self, data: Any) -> bool:
        """Return True: a value that occurs twice is written twice."""
        return True


def _represent_reference(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar(f"!{type(text).__name__}", str(text))


def _represent_line(dumper: yaml.SafeDumper, line: Line) -> yaml.MappingNode:
    return dumper.represent_mapping(
        "tag:yaml.org,2002:map",
        line,
        flow_style=True,
    )


_Dumper.add_representer(Ref, _represent_reference)
_Dumper.add_representer(Sub, _represent_reference)
_Dumper.add_representer(GetAtt, _represent_reference)
_Dumper.add_representer(Line, _represent_line)


def with_section(template: str) -> str:
    """Return the template with a section that fits the definitions."""
    before, _, section_and_after = template.partition(_BEGIN)
    _, _, after = section_and_after.partition(_END)
    resources_in_yaml = []
    for name, resource in _resources().items():
        text = yaml.dump(
            {name: resource},
            Dumper=_Dumper,
            sort_keys=False,
            default_flow_style=None,
            width=160,
        )
        indented_lines = [
            f"  {line}" for line in text.splitlines(keepends=True)
        ]
        resources_in_yaml.append("".join(indented_lines))
    section = _HEAD + "\n" + "\n".join(resources_in_yaml) + "\n"
    return before + section + _END + after


def _resources() -> dict[str, Any]:
    return {
        # S3 checks that it may send events before it accepts the notification.
        "ArtifactBucket": {
            **_retained("S3::Bucket", _bucket()),
            "DependsOn": "UploadsQueuePolicy",
        },
        "RunsTable": _table(
            schema.runs_table(Sub("${NamePrefix}-runs")),
            expires=True,
        ),
        "TenantsTable": _table(
            schema.tenants_table(Sub("${NamePrefix}-tenants")),
            expires=False,
        ),
        "AuditTable": _table(
            schema.audit_table(Sub("${NamePrefix}-audit")),
            expires=True,
            streams=True,
        ),
        "JobsDlq": _queue("jobs-dlq", resources.dlq_attributes()),
        "JobsQueue": _queue(
            "jobs",
            resources.queue_attributes(
                GetAtt("JobsDlq.Arn"),
                Ref("VisibilityTimeoutSeconds"),
                Ref("PoisonMaxReceives"),
            ),
        ),
        "UploadsDlq": _queue("uploads-dlq", resources.dlq_attributes()),
        "UploadsQueue": _queue(
            "uploads",
            resources.upload_queue_attributes(GetAtt("UploadsDlq.Arn")),
        ),
        "UploadsQueuePolicy": _uploads_policy(),
    }


def _retained(kind: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return a resource that stays when its stack is deleted."""
    return {
        "Type": f"AWS::{kind}",
        "DeletionPolicy": "Retain",
        "UpdateReplacePolicy": "Retain",
        "Properties": dict(properties),
    }


def _bucket() -> dict[str, Any]:
    (encryption,) = resources.ENCRYPTION["Rules"]
    default_encryption = encryption["ApplyServerSideEncryptionByDefault"]
    notification = resources.upload_notification(GetAtt("UploadsQueue.Arn"))
    (event,) = notification["Events"]
    lifecycle_rules = resources.lifecycle_rules(Ref("RetentionDays"))
    return {
        "BucketName": Sub(_BUCKET_NAME),
        "PublicAccessBlockConfiguration": resources.PUBLIC_ACCESS_BLOCK,
        "BucketEncryption": {
            "ServerSideEncryptionConfiguration": [
                {"ServerSideEncryptionByDefault": default_encryption},
            ],
        },
        "VersioningConfiguration": {"Status": "Enabled"},
        "LoggingConfiguration": {
            "DestinationBucketName": Ref("LogBucket"),
            "LogFilePrefix": "bucket/",
        },
        "LifecycleConfiguration": {
            "Rules": [_rule(rule) for rule in lifecycle_rules],
        },
        "NotificationConfiguration": {
            "QueueConfigurations": [
                {
                    "Event": event,
                    "Filter": {
                        "S3Key": {
                            "Rules": notification["Filter"]["Key"][
                                "FilterRules"
                            ],
                        },
                    },
                    "Queue": notification["QueueArn"],
                },
            ],
        },
    }


def _rule(rule: Mapping[str, Any]) -> Line:
    """Return a rule of PutBucketLifecycleConfiguration in the form of CloudFormation."""
    line = Line(Id=rule["ID"])
    prefix = rule["Filter"]["Prefix"]
    if prefix:
        line["Prefix"] = prefix
    line["Status"] = rule["Status"]
    for name, value in rule.get("Expiration", {}).items():
        line["ExpirationInDays" if name == "Days" else name] = value
    for name in (
        "NoncurrentVersionExpiration",
        "AbortIncompleteMultipartUpload",
    ):
        if name in rule:
            line[name] = rule[name]
    return line


def _table(
    definition: Mapping[str, Any],
    *,
    expires: bool,
    streams: bool = False,
) -> dict[str, Any]:
    properties: dict[str, Any] = {
        **definition,
        "DeletionProtectionEnabled": True,
        "PointInTimeRecoverySpecification": {
            "PointInTimeRecoveryEnabled": True,
        },
    }
    if expires:
        properties["TimeToLiveSpecification"] = {
            "AttributeName": schema.EXPIRY,
            "Enabled": True,
        }
    if streams:
        properties["StreamSpecification"] = {"StreamViewType": "NEW_IMAGE"}
    return _retained("DynamoDB::Table", properties)


def _queue(name: str, attributes: Mapping[str, Any]) -> dict[str, Any]:
    return _retained(
        "SQS::Queue",
        {"QueueName": Sub(f"${{NamePrefix}}-{name}"), **attributes},
    )


def _uploads_policy() -> dict[str, Any]:
    """Return the policy of the upload queue: TLS only, and only the bucket may send."""
    tls_statement = {
        "Sid": "TlsAlone",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "sqs:*",
        "Resource": "*",
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    bucket_statement = resources.upload_statement(
        Sub(f"relay-uploads-of-{_BUCKET_NAME}"),
        GetAtt("UploadsQueue.Arn"),
        Sub(f"arn:${{AWS::Partition}}:s3:::{_BUCKET_NAME}"),
        Ref("AWS::AccountId"),
    )
    document = {
        "Version": "2012-10-17",
        "Statement": [tls_statement, bucket_statement],
    }
    return {
        "Type": "AWS::SQS::QueuePolicy",
        "Properties": {
            "Queues": [Ref("UploadsQueue")],
            "PolicyDocument": document,
        },
    }


if __name__ == "__main__":
    TEMPLATE.write_text(with_section(TEMPLATE.read_text("utf-8")), "utf-8")
