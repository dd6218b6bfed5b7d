"""Write the section of deploy/relay.yaml that says what `relay bootstrap` makes: `make template`.

Bucket, tables and queues are defined where `bootstrap` finds them; here they get references of
CloudFormation for names and numbers, and the protections that only a stack gives.
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
_BEGIN = "  # --- what `relay bootstrap` makes"
_END = "  # --- what a stack adds to it"
_HEAD = f"""{_BEGIN} ---------------------------------------------------------------

  # Written by `make template`, from relay_dagster/aws/provisioning/resources.py and
  # relay_dagster/aws/dynamodb/schema.py; change it there.
"""
# The names of buckets are everybody's: the account makes this one ours.
_BUCKET_NAME = "${NamePrefix}-${AWS::AccountId}-${AWS::Region}"


class Ref(str):
    """A resource or a parameter."""


class Sub(str):
    """A text with references in it."""


class GetAtt(str):
    """An attribute of a resource."""


class Line(dict[str, Any]):
    """A mapping on a line of its own."""


class _Dumper(yaml.SafeDumper):
    """Writes references in their short form, and nothing as an alias."""

    def ignore_aliases(self, data: Any) -> bool:
        """Return that everything is written as often as it is there."""
        return True


for _kind in (Ref, Sub, GetAtt):
    _Dumper.add_representer(
        _kind,
        lambda dumper, text: dumper.represent_scalar(
            f"!{type(text).__name__}", str(text)
        ),
    )

_Dumper.add_representer(
    Line,
    lambda dumper, line: dumper.represent_mapping(
        "tag:yaml.org,2002:map", line, flow_style=True
    ),
)


def with_section(template: str) -> str:
    """Return the template with its section as the definitions are now."""
    before, _, rest = template.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    written = (
        yaml.dump(
            {name: resource},
            Dumper=_Dumper,
            sort_keys=False,
            default_flow_style=None,
            width=160,
        )
        for name, resource in _resources().items()
    )
    indented = (
        "".join(f"  {line}" for line in text.splitlines(keepends=True))
        for text in written
    )
    return before + _HEAD + "\n" + "\n".join(indented) + "\n" + _END + after


def _resources() -> dict[str, Any]:
    return {
        # S3 asks whether it may send before it takes an order.
        "ArtifactBucket": {
            **_kept("S3::Bucket", _bucket()),
            "DependsOn": "UploadsQueuePolicy",
        },
        "RunsTable": _table(schema.runs_table(Sub("${NamePrefix}-runs")), expires=True),
        "TenantsTable": _table(
            schema.tenants_table(Sub("${NamePrefix}-tenants")), expires=False
        ),
        "AuditTable": _table(
            schema.audit_table(Sub("${NamePrefix}-audit")), expires=True, streams=True
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
            "uploads", resources.upload_queue_attributes(GetAtt("UploadsDlq.Arn"))
        ),
        "UploadsQueuePolicy": _uploads_policy(),
    }


def _kept(kind: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return a resource that outlives its stack."""
    return {
        "Type": f"AWS::{kind}",
        "DeletionPolicy": "Retain",
        "UpdateReplacePolicy": "Retain",
        "Properties": dict(properties),
    }


def _bucket() -> dict[str, Any]:
    (encryption,) = resources.ENCRYPTION["Rules"]
    by_default = encryption["ApplyServerSideEncryptionByDefault"]
    order = resources.upload_notification(GetAtt("UploadsQueue.Arn"))
    (event,) = order["Events"]
    return {
        "BucketName": Sub(_BUCKET_NAME),
        "PublicAccessBlockConfiguration": resources.PUBLIC_ACCESS_BLOCK,
        "BucketEncryption": {
            "ServerSideEncryptionConfiguration": [
                {"ServerSideEncryptionByDefault": by_default}
            ]
        },
        "VersioningConfiguration": {"Status": "Enabled"},
        "LoggingConfiguration": {
            "DestinationBucketName": Ref("LogBucket"),
            "LogFilePrefix": "bucket/",
        },
        "LifecycleConfiguration": {
            "Rules": [
                _rule(each) for each in resources.lifecycle_rules(Ref("RetentionDays"))
            ]
        },
        "NotificationConfiguration": {
            "QueueConfigurations": [
                {
                    "Event": event,
                    "Filter": {
                        "S3Key": {"Rules": order["Filter"]["Key"]["FilterRules"]}
                    },
                    "Queue": order["QueueArn"],
                }
            ]
        },
    }


def _rule(rule: Mapping[str, Any]) -> Line:
    """Return a rule of PutBucketLifecycleConfiguration in the words of CloudFormation."""
    prefix = rule["Filter"]["Prefix"]
    expiration = dict(rule.get("Expiration", {}))
    if "Days" in expiration:
        expiration["ExpirationInDays"] = expiration.pop("Days")
    others = ("NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload")
    return Line(
        Id=rule["ID"],
        **({"Prefix": prefix} if prefix else {}),
        Status=rule["Status"],
        **expiration,
        **{name: rule[name] for name in others if name in rule},
    )


def _table(
    definition: Mapping[str, Any], *, expires: bool, streams: bool = False
) -> dict[str, Any]:
    expiry = {"AttributeName": schema.EXPIRY, "Enabled": True}
    return _kept(
        "DynamoDB::Table",
        {
            **definition,
            "DeletionProtectionEnabled": True,
            "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
            **({"TimeToLiveSpecification": expiry} if expires else {}),
            **(
                {"StreamSpecification": {"StreamViewType": "NEW_IMAGE"}}
                if streams
                else {}
            ),
        },
    )


def _queue(name: str, attributes: Mapping[str, Any]) -> dict[str, Any]:
    return _kept(
        "SQS::Queue", {"QueueName": Sub(f"${{NamePrefix}}-{name}"), **attributes}
    )


def _uploads_policy() -> dict[str, Any]:
    """Return the policy of the queue of uploads, which has no other: TLS alone, and the bucket."""
    tls_alone = {
        "Sid": "TlsAlone",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "sqs:*",
        "Resource": "*",
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    bucket_alone = resources.upload_statement(
        Sub(f"relay-uploads-of-{_BUCKET_NAME}"),
        GetAtt("UploadsQueue.Arn"),
        Sub(f"arn:${{AWS::Partition}}:s3:::{_BUCKET_NAME}"),
        Ref("AWS::AccountId"),
    )
    document = {"Version": "2012-10-17", "Statement": [tls_alone, bucket_alone]}
    return {
        "Type": "AWS::SQS::QueuePolicy",
        "Properties": {"Queues": [Ref("UploadsQueue")], "PolicyDocument": document},
    }


if __name__ == "__main__":
    TEMPLATE.write_text(with_section(TEMPLATE.read_text("utf-8")), "utf-8")
