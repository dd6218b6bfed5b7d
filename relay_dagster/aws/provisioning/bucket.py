"""The bucket as it must be: private, encrypted, versioned, and rid of old runs' artifacts.

Runs' artifacts begin with their run_id, so a rule for each hexadecimal digit covers them all, and
nothing else: uploads lie under ``tenants/``, published feeds under ``published/``. Those are never
expired, but what has been deleted of the feeds, or overwritten of the uploads, is in the end.
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from relay_dagster.aws.clients import Clients
from relay_dagster.aws.error_mapping import NO_BUCKET, error_code, maps_aws_errors
from relay_dagster.aws.provisioning.desired_state import Feature
from relay_dagster.settings import SettingsError

# Both cases: a job that was sent straight to the queue brings its own run_id.
RUN_PREFIXES = tuple(sorted(set(string.hexdigits)))
# For how long what was overwritten, deleted or expired can still be brought back.
NONCURRENT_DAYS = 7
NONCURRENT_UPLOAD_DAYS = 30
UNFINISHED_UPLOAD_DAYS = 7
_RULE = "relay-run-artifacts-"
_UPLOADS_RULE = "relay-unfinished-uploads"
_FEEDS_RULE = "relay-superseded-feeds"
_OVERWRITTEN_RULE = "relay-overwritten-uploads"
_NO_LOCATION = "us-east-1"
_REFUSED = frozenset({"403", "Forbidden", "AccessDenied"})
_NOT_SET = frozenset(
    {
        "NoSuchLifecycleConfiguration",
        "NoSuchPublicAccessBlockConfiguration",
        "ServerSideEncryptionConfigurationNotFoundError",
    }
)
PUBLIC_ACCESS_BLOCK = {
    "BlockPublicAcls": True,
    "IgnorePublicAcls": True,
    "BlockPublicPolicy": True,
    "RestrictPublicBuckets": True,
}
ENCRYPTION = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}


@maps_aws_errors
def bucket_exists(clients: Clients, bucket: str) -> bool:
    """Tell whether the bucket is there.

    Raises:
        SettingsError: it is somebody else's.
    """
    try:
        clients.s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        if error_code(error) in _REFUSED:
            raise _not_ours(bucket) from error
        if error_code(error) not in NO_BUCKET:
            raise
        return False
    return True


@maps_aws_errors
def create_bucket(clients: Clients, bucket: str) -> None:
    """Create the bucket in the client's region.

    Raises:
        SettingsError: the name is somebody else's.
    """
    region = clients.s3.meta.region_name
    where: Any = (
        {}
        if region == _NO_LOCATION
        else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    )
    try:
        clients.s3.create_bucket(Bucket=bucket, **where)
    except ClientError as error:
        if error_code(error) == "BucketAlreadyOwnedByYou":
            return
        if error_code(error) == "BucketAlreadyExists":
            raise _not_ours(bucket) from error
        raise


def bucket_features(clients: Clients, bucket: str, retention_days: int) -> list[Feature]:
    """Return what the bucket must be like."""
    s3, name = clients.s3, f"of bucket {bucket}"
    rules = lifecycle_rules(retention_days)
    block: Any = PUBLIC_ACCESS_BLOCK
    encryption: Any = ENCRYPTION
    return [
        Feature(
            f"public access {name}",
            "blocked",
            lambda: _public_access(clients, bucket),
            lambda: s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=block),
        ),
        Feature(
            f"encryption {name}",
            "on",
            lambda: _encryption(clients, bucket),
            lambda: s3.put_bucket_encryption(
                Bucket=bucket, ServerSideEncryptionConfiguration=encryption
            ),
        ),
        Feature(
            f"versioning {name}",
            "Enabled",
            lambda: s3.get_bucket_versioning(Bucket=bucket).get("Status"),
            lambda: s3.put_bucket_versioning(
                Bucket=bucket, VersioningConfiguration={"Status": "Enabled"}
            ),
        ),
        Feature(
            f"expiry of runs' artifacts {name}",
            f"after {retention_days} days",
            lambda: _expiry(clients, bucket, rules),
            lambda: _put_rules(clients, bucket, rules),
        ),
    ]


def lifecycle_rules(retention_days: int) -> list[dict[str, Any]]:
    """Return the rules of the bucket's lifecycle."""
    artifacts = [
        {
            "ID": f"{_RULE}{prefix}",
            "Status": "Enabled",
            "Filter": {"Prefix": prefix},
            "Expiration": {"Days": retention_days},
            "NoncurrentVersionExpiration": {"NoncurrentDays": NONCURRENT_DAYS},
        }
        for prefix in RUN_PREFIXES
    ]
    uploads = {
        "ID": _UPLOADS_RULE,
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": UNFINISHED_UPLOAD_DAYS},
    }
    feeds = {
        "ID": _FEEDS_RULE,
        "Status": "Enabled",
        "Filter": {"Prefix": "published/"},
        "Expiration": {"ExpiredObjectDeleteMarker": True},
        "NoncurrentVersionExpiration": {"NoncurrentDays": NONCURRENT_DAYS},
    }
    overwritten = {
        "ID": _OVERWRITTEN_RULE,
        "Status": "Enabled",
        "Filter": {"Prefix": "tenants/"},
        "Expiration": {"ExpiredObjectDeleteMarker": True},
        "NoncurrentVersionExpiration": {"NoncurrentDays": NONCURRENT_UPLOAD_DAYS},
    }
    return [*artifacts, uploads, feeds, overwritten]


def _not_ours(bucket: str) -> SettingsError:
    return SettingsError(
        "ARTIFACT_BUCKET",
        f"must be another name: {bucket!r} is there, and is not these credentials' to use",
    )


def _public_access(clients: Clients, bucket: str) -> str | None:
    answer = _or_none(lambda: clients.s3.get_public_access_block(Bucket=bucket))
    if answer is None:
        return None
    set_ = answer["PublicAccessBlockConfiguration"]
    return "blocked" if all(set_.get(name) for name in PUBLIC_ACCESS_BLOCK) else "partly open"


def _encryption(clients: Clients, bucket: str) -> str | None:
    """Return ``on`` for whichever key: a better one than ours is no difference."""
    answer = _or_none(lambda: clients.s3.get_bucket_encryption(Bucket=bucket))
    return "on" if answer and answer["ServerSideEncryptionConfiguration"]["Rules"] else None


def _expiry(clients: Clients, bucket: str, wanted: list[dict[str, Any]]) -> str | None:
    ours = {rule["ID"]: rule for rule in _rules(clients, bucket) if _is_ours(rule)}
    if not ours:
        return None
    expected = {rule["ID"]: _essence(rule) for rule in wanted}
    if {name: _essence(rule) for name, rule in ours.items()} == expected:
        return f"after {wanted[0]['Expiration']['Days']} days"
    days = sorted({days for rule in ours.values() if (days := _days(rule)) is not None})
    if len(days) == 1 and days[0] != wanted[0]["Expiration"]["Days"]:
        return f"after {days[0]} days"
    return "changed by hand"


def _days(rule: Mapping[str, Any]) -> int | None:
    days: int | None = (rule.get("Expiration") or {}).get("Days")
    return days


def _essence(rule: Mapping[str, Any]) -> tuple[Any, ...]:
    return (
        rule.get("Status"),
        (rule.get("Filter") or {}).get("Prefix", rule.get("Prefix", "")),
        _days(rule),
        (rule.get("NoncurrentVersionExpiration") or {}).get("NoncurrentDays"),
    )


def _put_rules(clients: Clients, bucket: str, rules: list[dict[str, Any]]) -> None:
    """Store our rules beside those that are somebody's own."""
    others = [rule for rule in _rules(clients, bucket) if not _is_ours(rule)]
    whole: Any = {"Rules": [*others, *rules]}
    clients.s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration=whole)


def _rules(clients: Clients, bucket: str) -> list[Any]:
    answer = _or_none(lambda: clients.s3.get_bucket_lifecycle_configuration(Bucket=bucket))
    return list(answer["Rules"]) if answer else []


def _is_ours(rule: Mapping[str, Any]) -> bool:
    name = rule.get("ID", "")
    return name in (_UPLOADS_RULE, _FEEDS_RULE, _OVERWRITTEN_RULE) or name.startswith(_RULE)


def _or_none(call: Any) -> Any:
    try:
        return call()
    except ClientError as error:
        if error_code(error) not in _NOT_SET:
            raise
        return None
