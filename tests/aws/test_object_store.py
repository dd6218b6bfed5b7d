from __future__ import annotations

import gc
import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.exceptions import ClientError

from relay_core.publish.keys import ArtifactKeys
from relay_dagster.aws.clients import Clients
from relay_dagster.aws.object_store import ObjectStore
from relay_dagster.aws.stored_objects import ObjectInfo
from relay_dagster.external_errors import (
    MissingResourceError,
    ObjectChangedError,
)
from relay_dagster.wiring import Platform
from support.builders import RUN_ID
from support.fakes import embedded_platform

PREFIX = "tenants/acme/inbound/vendor_1/"


@pytest.fixture
def objects(platform: Platform) -> ObjectStore:
    return platform.objects


class ScriptedS3(Clients):
    """Answers calls of one name with what it was given, one after the other."""

    def __init__(self, name: str, *answers: Any) -> None:
        self._name = name
        self._answers = list(answers)
        self.asked: list[dict[str, Any]] = []

    @property
    def s3(self) -> Any:
        return self

    def __getattr__(self, name: str) -> Any:
        if name != self._name:
            raise AttributeError(name)
        return self._answer

    def _answer(self, **arguments: Any) -> Any:
        self.asked.append(arguments)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def refused(code: str, status: int) -> ClientError:
    answer = {
        "Error": {"Code": code},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(answer, "PutObject")  # type: ignore[arg-type]


class ListedFeeds(ObjectStore):
    """A bucket whose listing is given."""

    def __init__(self, *objects: tuple[str, int]) -> None:
        self._objects = objects
        self.bucket = "bucket"
        self.clients: Any = self

    @property
    def s3(self) -> Any:
        return self

    def get_paginator(self, _: str) -> Any:
        return self

    def paginate(self, **request: Any) -> list[Any]:
        entry = {"Size": 1, "ETag": '"e"'}
        return [
            {
                "Contents": [
                    {
                        "Key": request["Prefix"] + name,
                        "LastModified": datetime(2026, 3, day, tzinfo=UTC),
                        **entry,
                    }
                ]
            }
            for name, day in self._objects
        ]


@pytest.mark.parametrize(
    ("objects", "latest"),
    [
        ([("a.csv", 2), ("b.csv", 1)], "a.csv"),
        ([("a.csv", 1), ("b.csv", 1)], "b.csv"),
        ([("a.csv", 1), ("folder/", 3)], "a.csv"),
        ([("folder/", 3)], None),
        ([], None),
    ],
    ids=["by time", "then by key", "no folders", "only a folder", "nothing"],
)
def test_the_latest_upload_is_the_last_modified_then_the_greatest_key(
    objects: list[tuple[str, int]], latest: str | None
) -> None:
    newest = ListedFeeds(*objects).latest_object(PREFIX)
    assert (newest and newest.file_name) == latest


class PagedS3(Clients):
    """Lists two pages, then one that is empty."""

    def __init__(self) -> None:
        pass

    @property
    def s3(self) -> Any:
        return self

    def get_paginator(self, name: str) -> Any:
        assert name == "list_objects_v2"
        return self

    def paginate(self, **_: Any) -> list[Any]:
        at = datetime(2026, 3, 1, tzinfo=UTC)
        entry = {"Size": 1, "ETag": '"e"', "LastModified": at}
        return [{"Contents": [{"Key": key, **entry}]} for key in ("a", "b")] + [
            {}
        ]


def test_all_pages_of_a_listing_count() -> None:
    newest = ObjectStore(PagedS3(), "bucket").latest_object("")
    assert newest is not None
    assert (newest.key, newest.etag) == ("b", "e")


def test_keys_between_two_are_the_later_ones_up_to_the_last(
    objects: ObjectStore,
) -> None:
    for key in ("a/1", "a/2", "b", "b/1", "c"):
        objects.put(key, b"")
    assert objects.keys_between("a/1", "b/1") == {"a/2", "b", "b/1"}
    assert objects.keys_between("c", "d") == set()


def test_an_instant_is_the_same_in_a_listing_and_in_a_head(
    objects: ObjectStore,
) -> None:
    objects.put("a", b"")
    (listed,) = objects.list_objects("a")
    head = objects.clients.s3.head_object(Bucket=objects.bucket, Key="a")
    assert listed.last_modified.replace(microsecond=0) == head["LastModified"]
    assert listed.last_modified.tzinfo is not None


def test_the_latest_of_very_many_uploads_is_found_a_page_at_a_time() -> None:
    class Endless(PagedS3):
        """So many pages that they would not fit side by side; none is kept."""

        def paginate(self, **_: Any) -> Any:
            at = datetime(2026, 3, 1, tzinfo=UTC)
            for number in range(50):
                key = {
                    "Key": f"{number:04d}",
                    "Size": 1,
                    "ETag": '"e"',
                    "LastModified": at,
                }
                yield {"Contents": [key]}
            live_objects = sum(
                isinstance(thing, ObjectInfo) for thing in gc.get_objects()
            )
            assert live_objects < 10, live_objects

    newest = ObjectStore(Endless(), "bucket").latest_object("")
    assert newest is not None
    assert newest.key == "0049"


def test_of_copies_of_one_feed_the_pinned_one_is_the_artifact(
    objects: ObjectStore,
) -> None:
    """An attempt that died before it had pinned anything leaves a copy that no run reads."""
    keys = ArtifactKeys(RUN_ID, "acme")
    for name in ("a.csv", "b.csv"):
        objects.put(keys.inbound("vendor_1", name), b"sku\n")
    pinned = {"vendor_1": {"run_copy_key": keys.inbound("vendor_1", "a.csv")}}
    objects.put(keys.input_manifest, json.dumps({"vendors": pinned}).encode())
    artifacts = objects.artifacts(RUN_ID, "acme")
    assert artifacts["inbound_vendor_1"] == keys.inbound("vendor_1", "a.csv")


def test_a_prefix_does_not_match_the_tenth_vendor(objects: ObjectStore) -> None:
    objects.put("tenants/acme/inbound/vendor_10/a.csv", b"x")
    assert objects.latest_object(PREFIX) is None


@pytest.mark.parametrize("name", ["a.csv", "a b+c%20ü?#&=.csv"])
def test_a_copy_has_the_bytes_and_tells_their_hash(
    objects: ObjectStore, name: str
) -> None:
    objects.put(PREFIX + name, b"sku\n1\n")
    upload = objects.latest_object(PREFIX)
    assert upload is not None
    digest = objects.copy_pinned(upload, f"run/{name}")
    assert digest == hashlib.sha256(b"sku\n1\n").hexdigest()
    assert objects.read(f"run/{name}") == b"sku\n1\n"


def test_what_was_stored_in_parts_can_be_copied_and_copied_again(
    objects: ObjectStore,
) -> None:
    data = bytes(range(256)) * (36 << 10)  # 9 MiB: two parts
    objects.put_stream("published/a", [data])
    objects.copy("published/a", "published/b")
    objects.copy("published/b", "published/c")
    assert objects.read("published/c") == data


def test_a_copy_names_the_version_that_was_listed() -> None:
    checksum = {
        "ChecksumSHA256": "ypeBEsobvcr6wjGzmiPcTaeG7/gUfE5yuYB3ha/uSLs="
    }
    clients = ScriptedS3("copy_object", {"CopyObjectResult": checksum})
    source = ObjectInfo("k", 1, "abc", datetime(2026, 3, 1, tzinfo=UTC))
    digest = ObjectStore(clients, "b").copy_pinned(source, "t")
    assert digest == hashlib.sha256(b"a").hexdigest()
    (request,) = clients.asked
    assert (request["CopySourceIfMatch"], request["ChecksumAlgorithm"]) == (
        '"abc"',
        "SHA256",
    )


@pytest.mark.parametrize(
    ("code", "status"), [("PreconditionFailed", 412), ("NoSuchKey", 404)]
)
def test_an_upload_that_was_replaced_or_deleted_is_told(
    code: str, status: int
) -> None:
    clients = ScriptedS3("copy_object", refused(code, status))
    source = ObjectInfo("k", 1, "abc", datetime(2026, 3, 1, tzinfo=UTC))
    with pytest.raises(ObjectChangedError):
        ObjectStore(clients, "b").copy_pinned(source, "t")


@pytest.mark.parametrize(
    "answer", [{}, {"ChecksumSHA256": "YWJj-3"}], ids=["none", "of parts"]
)
def test_without_a_checksum_of_the_whole_copy_it_is_read(
    objects: ObjectStore, answer: dict[str, str]
) -> None:
    objects.put("t", b"abc")

    class Copies(ScriptedS3):
        def get_object(self, **arguments: Any) -> Any:
            return objects.clients.s3.get_object(
                **{**arguments, "Bucket": objects.bucket}
            )

    clients = Copies("copy_object", {"CopyObjectResult": answer})
    source = ObjectInfo("k", 1, "abc", datetime(2026, 3, 1, tzinfo=UTC))
    digest = ObjectStore(clients, objects.bucket).copy_pinned(source, "t")
    assert digest == hashlib.sha256(b"abc").hexdigest()


def test_an_object_is_copied_over_another_one(objects: ObjectStore) -> None:
    objects.put("k", b"new", content_type="text/csv")
    objects.put("t", b"old")
    objects.copy("k", "t")
    copy = objects.clients.s3.get_object(Bucket=objects.bucket, Key="t")
    assert (copy["Body"].read(), copy["ContentType"]) == (b"new", "text/csv")
    with pytest.raises(MissingResourceError):
        objects.copy("absent", "t")


def test_an_object_is_copied_where_there_is_one(
    objects: ObjectStore, platform: Platform
) -> None:
    objects.put("k", b"new")
    assert objects.copy_if_there("k", "t")
    assert objects.read("t") == b"new"
    assert not objects.copy_if_there("absent", "t")
    assert objects.read("t") == b"new"
    with pytest.raises(MissingResourceError):
        ObjectStore(platform.clients, "no-such-bucket").copy_if_there("k", "t")


def test_absence_is_not_emptiness(objects: ObjectStore) -> None:
    objects.put("empty", b"")
    assert objects.read("empty") == b""
    assert objects.read_or_none("empty") == b""
    assert objects.exists("empty")
    assert objects.read_or_none("absent") is None
    assert not objects.exists("absent")
    with pytest.raises(MissingResourceError):
        objects.read("absent")


def test_a_bucket_that_is_gone_is_not_an_absent_object(
    platform: Platform,
) -> None:
    gone = ObjectStore(platform.clients, "no-such-bucket")
    with pytest.raises(MissingResourceError):
        gone.read_or_none("k")
    with pytest.raises(MissingResourceError):
        gone.check()


def test_the_head_of_an_object_is_its_first_bytes(objects: ObjectStore) -> None:
    objects.put("k", b"sku,cost\nA-1,5\n")
    objects.put("empty", b"")
    assert objects.read_range("k", 0, 8) == b"sku,cost"
    assert objects.read_range("k", 0, 4096) == b"sku,cost\nA-1,5\n"
    assert objects.read_range("empty", 0, 8) == b""
    assert objects.read_range("absent", 0, 8) is None


def test_a_head_is_asked_for_and_not_cut_from_the_whole() -> None:
    whole = io.BytesIO(b"0123456789")
    clients = ScriptedS3("get_object", {"Body": whole, "ContentLength": 10})
    assert ObjectStore(clients, "b").read_range("k", 0, 4) == b"0123"
    assert [request["Range"] for request in clients.asked] == ["bytes=0-3"]
    assert whole.tell() == 4


def test_a_part_of_an_object_is_its_bytes_from_one_place_up_to_another(
    objects: ObjectStore,
) -> None:
    objects.put("k", b"0123456789")
    assert objects.read_range("k", 3, 6) == b"345"
    assert objects.read_range("k", 8, 20) == b"89"
    assert objects.read_range("k", 10, 12) == b""
    assert objects.read_range("absent", 3, 6) is None


def test_of_a_store_that_knows_no_ranges_the_part_is_taken() -> None:
    whole = io.BytesIO(b"0123456789")
    clients = ScriptedS3("get_object", {"Body": whole, "ContentLength": 10})
    assert ObjectStore(clients, "b").read_range("k", 3, 6) == b"345"
    assert [request["Range"] for request in clients.asked] == ["bytes=3-5"]
    assert whole.tell() == 6


def test_the_first_writer_of_a_key_wins(objects: ObjectStore) -> None:
    assert objects.put_if_absent("k", b"first")
    assert not objects.put_if_absent("k", b"second")
    assert objects.read("k") == b"first"


def test_a_writer_that_meets_another_one_at_it_tries_again() -> None:
    conflict = refused("ConditionalRequestConflict", 409)
    clients = ScriptedS3("put_object", conflict, conflict, {})
    assert ObjectStore(clients, "b").put_if_absent("k", b"x")
    clients = ScriptedS3("put_object", *[conflict] * 9)
    with pytest.raises(ObjectChangedError):
        ObjectStore(clients, "b").put_if_absent("k", b"x")


@pytest.mark.parametrize(
    "size",
    [0, 10, 8 << 20, (8 << 20) + 10, 20_000_000],
    ids=["nothing", "small", "one part", "barely two", "in parts"],
)
def test_a_stream_is_stored_whole_and_hashed(
    objects: ObjectStore, size: int
) -> None:
    data = (b"0123456789" * (size // 10 + 1))[:size]
    chunks = (
        memoryview(data)[at : at + 77_777] for at in range(0, size, 77_777)
    )
    written = objects.put_stream("k", chunks, content_type="text/csv")
    assert objects.read("k") == data
    assert (written.size, written.sha256) == (
        size,
        hashlib.sha256(data).hexdigest(),
    )


def test_a_stream_that_breaks_leaves_no_object(objects: ObjectStore) -> None:
    def broken() -> Iterator[bytes]:
        yield b"x" * 9_000_000
        raise RuntimeError("the merge broke")

    with pytest.raises(RuntimeError, match="the merge broke"):
        objects.put_stream("k", broken())
    assert not objects.exists("k")


def test_artifacts_are_those_of_the_run_alone(objects: ObjectStore) -> None:
    objects.put("r1/tenants/acme/reports/errors.json", b"{}")
    objects.put("r1/tenants/acme/work/vendor_1/offers.arrow", b"")
    objects.put("r2/tenants/acme/reports/run_summary.json", b"{}")
    assert objects.artifacts("r1", "acme") == {
        "errors": "r1/tenants/acme/reports/errors.json"
    }


def test_a_link_is_signed_with_version_four(objects: ObjectStore) -> None:
    link = urlsplit(objects.presign("r1/a b.csv", expires_in=60))
    query = parse_qs(link.query)
    assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert query["X-Amz-Expires"] == ["60"]
    assert query["response-content-disposition"] == ["attachment"]
    assert link.path.endswith("/r1/a%20b.csv")


def test_a_link_has_the_public_host() -> None:
    with embedded_platform(
        public_s3_endpoint_url="https://objects.example.com"
    ) as platform:
        link = urlsplit(platform.objects.presign("r1/x.csv"))
        assert link.netloc == "objects.example.com"
        assert link.path == f"/{platform.objects.bucket}/r1/x.csv"
        platform.objects.put(
            "r1/x.csv", b"still goes to the endpoint of the others"
        )


def test_an_address_names_bucket_and_key(objects: ObjectStore) -> None:
    assert objects.uri("r1/x.csv") == f"s3://{objects.bucket}/r1/x.csv"


def test_a_file_name_is_the_last_part_of_the_key() -> None:
    info = ObjectInfo(
        f"{PREFIX}2026/a.csv", 1, "e", datetime(2026, 3, 1, tzinfo=UTC)
    )
    assert info.file_name == "a.csv"
    assert replace(info, key="b.csv").file_name == "b.csv"
