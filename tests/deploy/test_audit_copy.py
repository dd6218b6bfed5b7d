"""The copy of the audit that nobody can alter: its template, and the code in it on embedded AWS."""

from __future__ import annotations

import json
import os
import types
from datetime import timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from cfnlint.api import lint_file

from relay_dagster.tenants.audit import SYSTEM, Action
from support.deployment import TEMPLATE, template
from support.fakes import NOW, embedded_platform

COPY = TEMPLATE.with_name("audit-copy.yaml")


@pytest.fixture(scope="module")
def resources() -> dict[str, Any]:
    declared: dict[str, Any] = template(COPY)["Resources"]
    return declared


def test_cfn_lint_has_nothing_to_say() -> None:
    assert [str(match) for match in lint_file(COPY)] == []


def test_the_copy_reads_the_stream_that_the_stack_puts_out() -> None:
    main = template()
    assert main["Outputs"]["AuditStreamArn"]["Value"] == {
        "Fn::GetAtt": ["AuditTable", "StreamArn"]
    }
    table = main["Resources"]["AuditTable"]["Properties"]
    assert table["StreamSpecification"] == {"StreamViewType": "NEW_IMAGE"}


def test_an_entry_is_copied_and_its_copy_outlives_whoever_deletes_it(
    resources: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    properties = resources["CopyBucket"]["Properties"]
    rule = properties["ObjectLockConfiguration"]["Rule"]["DefaultRetention"]
    assert rule["Mode"] == "COMPLIANCE"
    with embedded_platform() as platform:
        s3 = platform.clients.s3
        s3.create_bucket(Bucket="copy", ObjectLockEnabledForBucket=True)
        s3.put_object_lock_configuration(
            Bucket="copy",
            ObjectLockConfiguration={
                "ObjectLockEnabled": "Enabled",
                "Rule": {
                    "DefaultRetention": {"Mode": "COMPLIANCE", "Days": 400}
                },
            },
        )
        entry = SYSTEM.entry(
            Action.KEY_DELETED, "acme", "key", NOW + timedelta(hours=1)
        )
        platform.audit.add(entry)
        item = platform.database.audit.item(entry.audit_id)
        monkeypatch.setitem(os.environ, "BUCKET", "copy")
        code = types.ModuleType("index")
        monkeypatch.setattr(boto3, "client", lambda _: s3)
        exec(resources["Copy"]["Properties"]["Code"]["ZipFile"], code.__dict__)  # noqa: S102
        removed = {"eventName": "REMOVE", "dynamodb": {"Keys": {}}}
        code.handler(
            {"Records": [{"dynamodb": {"NewImage": item}}, removed]}, None
        )
        (version,) = s3.list_object_versions(Bucket="copy")["Versions"]
        assert version["Key"] == f"2026/03/01/{entry.audit_id}.json"
        body = s3.get_object(Bucket="copy", Key=version["Key"])["Body"].read()
        assert json.loads(body) == item
        with pytest.raises(ClientError, match="AccessDenied"):
            s3.delete_object(
                Bucket="copy",
                Key=version["Key"],
                VersionId=version["VersionId"],
            )
