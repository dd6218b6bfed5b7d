"""Prefixes removed for good."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from relay_dagster.external_errors import ServiceFailedError
from relay_dagster.wiring import Platform

PREFIX = "tenants/acme/"


def in_time() -> bool:
    return False


def remove(
    platform: Platform, is_late: Callable[[], bool] = in_time
) -> tuple[int, bool]:
    return platform.objects.remove_all(PREFIX, is_late)


def versions(platform: Platform, prefix: str = "") -> list[str]:
    """Return the keys of all versions and delete markers."""
    s3 = platform.clients.s3
    bucket = platform.objects.bucket
    pages = s3.get_paginator("list_object_versions").paginate(
        Bucket=bucket, Prefix=prefix
    )
    return [
        version["Key"]
        for page in pages
        for version in (
            *page.get("Versions", []),
            *page.get("DeleteMarkers", []),
        )
    ]


def uploads(platform: Platform) -> list[str]:
    answer = platform.clients.s3.list_multipart_uploads(
        Bucket=platform.objects.bucket
    )
    return [
        pending_upload["Key"] for pending_upload in answer.get("Uploads", [])
    ]


def test_versions_delete_markers_and_unfinished_uploads_go(
    platform: Platform,
) -> None:
    for data in (b"1", b"2"):
        platform.objects.put(f"{PREFIX}feed.csv", data)
    platform.objects.delete(f"{PREFIX}feed.csv")
    s3 = platform.clients.s3
    bucket = platform.objects.bucket
    s3.create_multipart_upload(Bucket=bucket, Key=f"{PREFIX}big.csv")
    assert len(versions(platform)) == 3
    assert remove(platform) == (4, True)
    assert (versions(platform), uploads(platform)) == ([], [])
    assert remove(platform) == (0, True)


def test_what_lies_beside_the_prefix_stays(platform: Platform) -> None:
    s3 = platform.clients.s3
    bucket = platform.objects.bucket
    for key in (
        "tenants/acme2/feed.csv",
        "tenants/acme",
        "published/acme/feed.csv",
    ):
        platform.objects.put(key, b"x")
    s3.create_multipart_upload(Bucket=bucket, Key="tenants/acme2/big.csv")
    assert remove(platform) == (0, True)
    assert len(versions(platform)) == 3
    assert uploads(platform) == ["tenants/acme2/big.csv"]


def test_more_than_a_page_goes_a_page_at_a_time_until_it_is_late(
    platform: Platform,
) -> None:
    for number in range(1003):
        platform.objects.put(f"{PREFIX}{number:04}", b"")
    assert remove(platform, lambda: True) == (1000, False)
    assert remove(platform) == (3, True)


def test_what_s3_keeps_is_a_fault(platform: Platform) -> None:
    platform.objects.put(f"{PREFIX}feed.csv", b"x")

    def refuse(parsed: dict[str, Any], **_: Any) -> None:
        parsed["Errors"] = [
            {"Key": f"{PREFIX}feed.csv", "Code": "AccessDenied"}
        ]

    events = platform.clients.s3.meta.events
    events.register("after-call.s3.DeleteObjects", refuse)
    try:
        with pytest.raises(ServiceFailedError, match="AccessDenied"):
            remove(platform)
    finally:
        events.unregister("after-call.s3.DeleteObjects", refuse)
