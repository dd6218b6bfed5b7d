"""What the program asks of AWS, and what the template's roles allow, in the same words.

Resources are named as the template names them (``ArtifactBucket/tenants/...``), so that calls made
on embedded AWS can be held against roles that were never put to use.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from relay_dagster.aws.clients import Clients
from relay_dagster.wiring import Platform
from support.deployment import properties

_EVENT = "provide-client-params"
_NOTE = "permissions"
_SIGNING = "before-sign.s3.PutObject"
_FORM = "s3-presign-post-fields"
CLIENTS = (
    "cloudwatch",
    "dynamodb",
    "dynamodb_heartbeats",
    "s3",
    "secrets",
    "s3_links",
    "sqs",
    "sqs_polling",
)
_S3_ACTIONS = {
    "HeadBucket": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListObjectVersions": "ListBucketVersions",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "AbortMultipartUpload": "AbortMultipartUpload",
    "GetObject": "GetObject",
    "HeadObject": "GetObject",
    "CopyObject": "PutObject",
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "CompleteMultipartUpload": "PutObject",
    "PutObject": "PutObject",
    "DeleteObject": "DeleteObject",
}
_TRANSACTION_ACTIONS = {
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "ConditionCheck": "ConditionCheckItem",
}


@dataclass(frozen=True, slots=True)
class Need:
    """One permission that a call takes; of an item also how its key begins."""

    action: str
    resource: str
    key: str = ""


@dataclass(frozen=True, slots=True)
class Grant:
    """One statement of a role; patterns of actions, resources and leading keys of items."""

    actions: tuple[str, ...]
    resources: tuple[str, ...]
    keys: tuple[str, ...] = ("*",)

    def allows(self, need: Need) -> bool:
        """Return whether the need is met."""
        return (
            need.action in self.actions
            and any(
                fnmatchcase(need.resource, pattern)
                for pattern in self.resources
            )
            and any(fnmatchcase(need.key, pattern) for pattern in self.keys)
        )


@dataclass
class Calls:
    """Every permission that recorded calls took."""

    platform: Platform
    needs: set[Need] = field(default_factory=set)

    def note(
        self,
        params: Mapping[str, Any],
        model: Any,
        context: Mapping[str, Any],
        **_: Any,
    ) -> None:
        """Take the permissions of one call; called by botocore before it is sent."""
        if context.get("is_presign_request") and model.name == "CreateBucket":
            return  # how botocore begins a form, whose key is known when it is signed
        service = model.service_model.service_name
        self.needs.update(getattr(self, f"_{service}")(model.name, params))

    def note_form(self, request: Any, **_: Any) -> None:
        """Take the permission that a form for an upload carries; called before it is signed."""
        if _FORM in request.context:
            key = request.context[_FORM]["key"]
            self.needs.add(Need("s3:PutObject", f"ArtifactBucket/{key}"))

    def _s3(self, operation: str, params: Mapping[str, Any]) -> Iterator[Need]:
        if operation == "CopyObject":
            yield Need(
                "s3:GetObject", f"ArtifactBucket/{params['CopySource']['Key']}"
            )
        if operation == "DeleteObjects":
            for param in params["Delete"]["Objects"]:
                yield Need(
                    "s3:DeleteObjectVersion", f"ArtifactBucket/{param['Key']}"
                )
            return
        key = f"/{params['Key']}" if "Key" in params else ""
        yield Need(f"s3:{_S3_ACTIONS[operation]}", f"ArtifactBucket{key}")

    def _sqs(self, operation: str, params: Mapping[str, Any]) -> Iterator[Need]:
        settings = self.platform.settings
        names = {
            settings.queue_url: "JobsQueue",
            settings.dlq_url: "JobsDlq",
            str(settings.uploads_queue_url): "UploadsQueue",
            f"{settings.uploads_queue_url}-dlq": "UploadsDlq",
        }
        yield Need(
            f"sqs:{operation.removesuffix('Batch')}", names[params["QueueUrl"]]
        )

    def _cloudwatch(
        self, operation: str, params: Mapping[str, Any]
    ) -> Iterator[Need]:
        alarms = "arn:${AWS::Partition}:cloudwatch:${AWS::Region}:${AWS::AccountId}:alarm"
        environment = self.platform.settings.environment
        named = [
            f"{alarms}:{name}".replace(
                f"-{environment}-", "-${EnvironmentName}-", 1
            )
            for name in params.get("AlarmNames", [])
        ]
        for resource in named or ["*"]:
            yield Need(f"cloudwatch:{operation}", resource)

    def _secretsmanager(
        self, operation: str, params: Mapping[str, Any]
    ) -> Iterator[Need]:
        name = (
            params["Name"]
            if operation == "CreateSecret"
            else params["SecretId"]
        )
        prefix = self.platform.settings.secrets_prefix
        arn = "arn:${AWS::Partition}:secretsmanager:${AWS::Region}:${AWS::AccountId}:secret"
        place = name.replace(
            prefix, "relay/${EnvironmentName}/${NamePrefix}", 1
        )
        yield Need(f"secretsmanager:{operation}", f"{arn}:{place}")

    def _dynamodb(
        self, operation: str, params: Mapping[str, Any]
    ) -> Iterator[Need]:
        if operation == "TransactWriteItems":
            for item in params["TransactItems"]:
                ((kind, body),) = item.items()
                action = f"dynamodb:{_TRANSACTION_ACTIONS[kind]}"
                yield Need(action, self._table(body), _key_in(body))
        elif operation in ("BatchGetItem", "BatchWriteItem"):
            for table, requests in params["RequestItems"].items():
                for key in (
                    requests["Keys"] if operation == "BatchGetItem" else [{}]
                ):
                    resource = self._table({"TableName": table})
                    yield Need(
                        f"dynamodb:{operation}", resource, _key_in({"Key": key})
                    )
        else:
            yield Need(
                f"dynamodb:{operation}", self._table(params), _key_in(params)
            )

    def _table(self, params: Mapping[str, Any]) -> str:
        settings = self.platform.settings
        names = {
            settings.runs_table: "RunsTable",
            settings.tenants_table: "TenantsTable",
            settings.audit_table: "AuditTable",
        }
        index = f"/index/{params['IndexName']}" if "IndexName" in params else ""
        return f"{names[params['TableName']]}{index}"


def _key_in(params: Mapping[str, Any]) -> str:
    """Return how the key of an item begins that a call is about, "" of other calls."""
    item = params.get("Key") or params.get("Item") or {}
    return str(item["pk"]["S"]).partition("#")[0] + "#" if "pk" in item else ""


@contextmanager
def recorded(platform: Platform, *others: Clients) -> Iterator[Calls]:
    """Record the calls that are made through a platform's clients, and through others."""
    calls = Calls(platform)
    emitters = [
        getattr(clients, name).meta.events
        for clients in (platform.clients, *others)
        for name in CLIENTS
    ]
    for emitter in emitters:
        emitter.register(_EVENT, calls.note, unique_id=_NOTE)
        emitter.register(_SIGNING, calls.note_form, unique_id=_SIGNING)
    try:
        yield calls
    finally:
        for emitter in emitters:
            emitter.unregister(_EVENT, unique_id=_NOTE)
            emitter.unregister(_SIGNING, unique_id=_SIGNING)


def grants(role: str) -> list[Grant]:
    """Return what a role of the template allows."""
    return [
        Grant(
            tuple(_list(statement["Action"])),
            tuple(_resources(statement["Resource"])),
            tuple(
                statement.get("Condition", {})
                .get("ForAllValues:StringLike", {})
                .get("dynamodb:LeadingKeys", ["*"])
            ),
        )
        for policy in properties(role).get("Policies", ())
        for statement in policy["PolicyDocument"]["Statement"]
    ]


def _resources(value: Any) -> Iterator[str]:
    for resource in _list(value):
        if isinstance(resource, str):
            yield resource
        elif "Fn::GetAtt" in resource:
            yield resource["Fn::GetAtt"][0]
        elif "Fn::Sub" in resource:
            yield re.sub(r"\$\{(\w+)\.Arn\}", r"\1", resource["Fn::Sub"])
        else:
            yield resource["Ref"]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
