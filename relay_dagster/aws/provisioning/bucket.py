"""The bucket and the queues of an installation: whether they exist, and their features.

The notification of uploads is a feature of the bucket and of the queue that it goes to. Entries of
others in the bucket's lists stay.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from relay_dagster.aws.clients import Clients
from relay_dagster.aws.errors import NO_BUCKET, NO_QUEUE, error_code, unless
from relay_dagster.aws.provisioning import resources
from relay_dagster.aws.provisioning.resources import CHANGED, Feature, shared_list
from relay_dagster.settings import SettingsError

_NO_LOCATION = "us-east-1"
_REFUSED = {"403", "Forbidden", "AccessDenied"}
_NOT_SET = {
    "NoSuchLifecycleConfiguration",
    "NoSuchPublicAccessBlockConfiguration",
    "ServerSideEncryptionConfigurationNotFoundError",
}
_SSE = "SqsManagedSseEnabled"


def bucket_exists(clients: Clients, bucket: str) -> bool:
    """Return whether the bucket exists; `SettingsError` where it is somebody else's."""
    try:
        clients.s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        if error_code(error) in _REFUSED:
            raise _not_ours(bucket) from error
        if error_code(error) not in NO_BUCKET:
            raise
        return False
    return True


def create_bucket(clients: Clients, bucket: str) -> None:
    """Create the bucket in the client's region; `SettingsError` where the name is taken."""
    region = clients.s3.meta.region_name
    where: Any = {"CreateBucketConfiguration": {"LocationConstraint": region}}
    try:
        clients.s3.create_bucket(
            Bucket=bucket, **({} if region == _NO_LOCATION else where)
        )
    except ClientError as error:
        if error_code(error) == "BucketAlreadyExists":
            raise _not_ours(bucket) from error
        if error_code(error) != "BucketAlreadyOwnedByYou":
            raise


def _not_ours(bucket: str) -> SettingsError:
    return SettingsError(
        "ARTIFACT_BUCKET",
        f"must be another name: {bucket!r} is there, and is not these credentials' to use",
    )


def bucket_features(
    clients: Clients, bucket: str, retention_days: int
) -> list[Feature]:
    """Return the features of a bucket: private, encrypted, versioned, rid of old artifacts."""
    s3 = clients.s3

    def public_access() -> str | None:
        block = _answer(s3.get_public_access_block, bucket).get(
            "PublicAccessBlockConfiguration"
        )
        if block is None:
            return None
        return (
            "blocked"
            if all(map(block.get, resources.PUBLIC_ACCESS_BLOCK))
            else "partly open"
        )

    def encryption() -> str | None:
        """Return ``on`` for whichever key: a better one than ours is no difference."""
        found = _answer(s3.get_bucket_encryption, bucket)
        return (
            "on"
            if found.get("ServerSideEncryptionConfiguration", {}).get("Rules")
            else None
        )

    return [
        Feature(
            f"public access of bucket {bucket}",
            "blocked",
            public_access,
            lambda: s3.put_public_access_block(
                Bucket=bucket,
                PublicAccessBlockConfiguration=resources.PUBLIC_ACCESS_BLOCK,
            ),
        ),
        Feature(
            f"encryption of bucket {bucket}",
            "on",
            encryption,
            lambda: s3.put_bucket_encryption(
                Bucket=bucket, ServerSideEncryptionConfiguration=resources.ENCRYPTION
            ),
        ),
        Feature(
            f"versioning of bucket {bucket}",
            "Enabled",
            lambda: s3.get_bucket_versioning(Bucket=bucket).get("Status"),
            lambda: s3.put_bucket_versioning(
                Bucket=bucket, VersioningConfiguration={"Status": "Enabled"}
            ),
        ),
        _lifecycle(s3, bucket, retention_days),
    ]


def _lifecycle(s3: Any, bucket: str, retention_days: int) -> Feature:
    wanted = resources.lifecycle_rules(retention_days)
    ours = {rule["ID"] for rule in wanted}

    def describe(rules: list[Any]) -> str:
        found = {
            days for rule in rules if (days := rule.get("Expiration", {}).get("Days"))
        }
        is_another_number = len(found) == 1 and found != {retention_days}
        return f"after {found.pop()} days" if is_another_number else CHANGED

    return shared_list(
        f"expiry of runs' artifacts of bucket {bucket}",
        f"after {retention_days} days",
        lambda: _answer(s3.get_bucket_lifecycle_configuration, bucket).get("Rules", []),
        wanted,
        is_ours=lambda rule: rule.get("ID") in ours,
        essence=lambda rule: (
            rule.get("ID"),
            rule.get("Status"),
            rule.get("Filter", {}).get("Prefix", rule.get("Prefix", "")),
            rule.get("Expiration", {}).get("Days"),
            rule.get("NoncurrentVersionExpiration", {}).get("NoncurrentDays"),
        ),
        store=lambda rules: s3.put_bucket_lifecycle_configuration(
            Bucket=bucket, LifecycleConfiguration={"Rules": rules}
        ),
        describe=describe,
    )


def upload_notification(clients: Clients, bucket: str, queue_arn: str) -> Feature:
    """Return the notification of uploads as a feature, whatever its id: a stack gives it none."""
    s3: Any = clients.s3

    def others() -> dict[str, Any]:
        answer = s3.get_bucket_notification_configuration(Bucket=bucket)
        return {
            name: value for name, value in answer.items() if name != "ResponseMetadata"
        }

    def essence(order: Mapping[str, Any]) -> tuple[Any, ...]:
        rules = order.get("Filter", {}).get("Key", {}).get("FilterRules", [])
        return sorted(order["Events"]), [
            (rule["Name"].lower(), rule["Value"]) for rule in rules
        ]

    return shared_list(
        f"notification of bucket {bucket}",
        f"{resources.CREATED} under {resources.UPLOADS_PREFIX} to {queue_arn}",
        lambda: others().get("QueueConfigurations", []),
        [resources.upload_notification(queue_arn)],
        is_ours=lambda order: order["QueueArn"] == queue_arn,
        essence=essence,
        store=lambda orders: s3.put_bucket_notification_configuration(
            Bucket=bucket,
            NotificationConfiguration={**others(), "QueueConfigurations": orders},
        ),
    )


def _answer(read: Callable[..., Any], bucket: str) -> Mapping[str, Any]:
    """Return the answer about a setting of the bucket, an empty one where it is not set."""
    return unless(_NOT_SET, lambda: dict(read(Bucket=bucket))) or {}


def find_queue_url(clients: Clients, name: str) -> str | None:
    """Return the URL of a queue, None where there is none."""
    return unless(
        NO_QUEUE, lambda: clients.sqs.get_queue_url(QueueName=name)["QueueUrl"]
    )


def create_queue(clients: Clients, name: str, attributes: Mapping[str, Any]) -> str:
    """Create a queue and return its URL."""
    texts: Any = {name: _text(value) for name, value in attributes.items()}
    return clients.sqs.create_queue(QueueName=name, Attributes=texts)["QueueUrl"]


def find_queue_arn(clients: Clients, url: str) -> str | None:
    """Return the ARN of a queue, None where there is none."""
    return unless(NO_QUEUE, lambda: _attributes(clients, url).get("QueueArn"))


def queue_features(
    clients: Clients, url: str, wanted: Mapping[str, Any]
) -> list[Feature]:
    """Return the features of a queue, one for each attribute."""

    def feature(name: str, value: str) -> Feature:
        single: Any = {name: value}
        return Feature(
            f"{name} of queue {name_of(url)}",
            _normal(name, value),
            lambda: _normal(name, _read(_attributes(clients, url), name)),
            lambda: clients.sqs.set_queue_attributes(QueueUrl=url, Attributes=single),
        )

    return [feature(name, _text(value)) for name, value in wanted.items()]


def upload_policy(clients: Clients, url: str, queue_arn: str, bucket: str) -> Feature:
    """Return the bucket's right to send as a feature; the rights of others stay."""
    sid = f"relay-uploads-of-{bucket}"
    _, partition, _, _, account, _ = queue_arn.split(":")

    def statements() -> list[Any]:
        policy = json.loads(_attributes(clients, url).get("Policy") or "{}")
        return list(policy.get("Statement", []))

    def store(whole: list[Any]) -> None:
        policy = json.dumps({"Version": "2012-10-17", "Statement": whole})
        clients.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})

    bucket_arn = f"arn:{partition}:s3:::{bucket}"
    return shared_list(
        f"policy of queue {name_of(url)}",
        f"that bucket {bucket} may send",
        statements,
        [resources.upload_statement(sid, queue_arn, bucket_arn, account)],
        is_ours=lambda statement: statement.get("Sid") == sid,
        essence=lambda statement: statement,
        store=store,
    )


def name_of(url: str) -> str:
    """Return the name of a queue that is given by its name or its URL."""
    return urlsplit(url).path.rpartition("/")[2]


def _read(attributes: Mapping[str, str], name: str) -> str | None:
    if name == _SSE:
        # A key of the owner's own is encryption too; off is as good as not set.
        on = (
            attributes.get("KmsMasterKeyId")
            or attributes.get(_SSE, "").lower() == "true"
        )
        return "true" if on else None
    return attributes.get(name) or None


def _normal(name: str, value: str | None) -> str | None:
    """Return a value in a form in which equal policies are equal texts."""
    if name != "RedrivePolicy" or value is None:
        return value
    policy = json.loads(value)
    return f"{policy.get('maxReceiveCount')} receives, then {policy.get('deadLetterTargetArn')}"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _attributes(clients: Clients, url: str) -> Mapping[str, str]:
    answer = clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    return {str(name): value for name, value in answer.get("Attributes", {}).items()}
