"""Creates the bucket, and sets its protections and the notification of uploads.

Settings that exist stay as they are, and so do lifecycle rules and notifications of others.
"""

from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from relay_dagster.aws import errors
from relay_dagster.aws.clients import Clients
from relay_dagster.aws.provisioning import resources
from relay_dagster.settings import SettingsError

# The region in which S3 takes no location
_DEFAULT_REGION = "us-east-1"
_REFUSED = frozenset({"403", "Forbidden", "AccessDenied"})
_NOT_SET = frozenset(
    {
        "NoSuchLifecycleConfiguration",
        "NoSuchPublicAccessBlockConfiguration",
        "ServerSideEncryptionConfigurationNotFoundError",
    },
)


def bucket_exists(clients: Clients, bucket: str) -> bool:
    """Return True if the bucket exists.

    Raises:
        SettingsError: The bucket belongs to another account.
    """
    try:
        clients.s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        if errors.error_code(error) in _REFUSED:
            raise _not_ours(bucket) from error
        if errors.error_code(error) not in errors.NO_BUCKET:
            raise
        return False
    return True


def create_bucket(clients: Clients, bucket: str) -> None:
    """Create the bucket in the region of the clients.

    Raises:
        SettingsError: Another account has a bucket with the name.
    """
    options: Any = {}
    region = clients.s3.meta.region_name
    if region != _DEFAULT_REGION:
        options["CreateBucketConfiguration"] = {"LocationConstraint": region}
    try:
        clients.s3.create_bucket(Bucket=bucket, **options)
    except ClientError as error:
        if errors.error_code(error) == "BucketAlreadyExists":
            raise _not_ours(bucket) from error
        if errors.error_code(error) != "BucketAlreadyOwnedByYou":
            raise


def _not_ours(bucket: str) -> SettingsError:
    return SettingsError(
        "ARTIFACT_BUCKET",
        f"must be another name: {bucket!r} is there, and is not these credentials' to use",
    )


def protect_bucket(
    clients: Clients,
    bucket: str,
    retention_days: int,
) -> list[str]:
    """Set the protections that the bucket does not have. Return a sentence for each."""
    s3: Any = clients.s3
    changes = []
    if not _setting(s3.get_public_access_block, bucket):
        s3.put_public_access_block(
            Bucket=bucket,
            PublicAccessBlockConfiguration=resources.PUBLIC_ACCESS_BLOCK,
        )
        changes.append(f"set public access of bucket {bucket} to blocked")
    if not _setting(s3.get_bucket_encryption, bucket):
        s3.put_bucket_encryption(
            Bucket=bucket,
            ServerSideEncryptionConfiguration=resources.ENCRYPTION,
        )
        changes.append(f"set encryption of bucket {bucket} to on")
    if "Status" not in _setting(s3.get_bucket_versioning, bucket):
        s3.put_bucket_versioning(
            Bucket=bucket,
            VersioningConfiguration={"Status": "Enabled"},
        )
        changes.append(f"set versioning of bucket {bucket} to Enabled")
    lifecycle = _setting(s3.get_bucket_lifecycle_configuration, bucket)
    rules = resources.lifecycle_rules(retention_days)
    rule_ids = {rule["ID"] for rule in rules}
    existing_rules = lifecycle.get("Rules", [])
    if not any(rule.get("ID") in rule_ids for rule in existing_rules):
        s3.put_bucket_lifecycle_configuration(
            Bucket=bucket,
            LifecycleConfiguration={"Rules": [*existing_rules, *rules]},
        )
        changes.append(
            f"set expiry of runs' artifacts of bucket {bucket}"
            f" to after {retention_days} days",
        )
    return changes


def notify_of_uploads(
    clients: Clients,
    bucket: str,
    queue_arn: str,
) -> list[str]:
    """Let the bucket send upload events to a queue, unless it sends events there already.

    Return a sentence if that is a change. The id of a notification is not compared,
    because one of a stack has another.
    """
    s3: Any = clients.s3
    configuration = _setting(s3.get_bucket_notification_configuration, bucket)
    notifications = configuration.get("QueueConfigurations", [])
    if any(
        notification["QueueArn"] == queue_arn for notification in notifications
    ):
        return []
    notifications = [*notifications, resources.upload_notification(queue_arn)]
    s3.put_bucket_notification_configuration(
        Bucket=bucket,
        NotificationConfiguration={
            **configuration,
            "QueueConfigurations": notifications,
        },
    )
    return [
        f"set notification of bucket {bucket} to {resources.CREATED}"
        f" under {resources.UPLOADS_PREFIX} to {queue_arn}",
    ]


def _setting(read: Callable[..., Any], bucket: str) -> Mapping[str, Any]:
    """Return a setting of the bucket, which is empty if it is not set."""
    response = errors.unless(_NOT_SET, read, Bucket=bucket) or {}
    return {
        name: response[name] for name in response if name != "ResponseMetadata"
    }
