"""The section `deliveries`: its defaults, its names of files, and each fault with its path."""

from __future__ import annotations

from typing import Any

import pytest

from relay_core.config import load_config
from relay_core.config.deliveries import DeliveryConfig
from support.config_documents import (
    DELIVERY,
    changed,
    doubtful_paths,
    faults_of,
)

PARTS = {
    "tenant_id": "acme",
    "channel_id": "shop",
    "run_id": "5c1f9a52-7f0c-4f3e-9b4c-2a4f6b8d0e11",
    "seq": "17",
    "what": "changes",
    "date": "20260301",
    "time": "120000",
}


def document_with(*deliveries: dict[str, Any]) -> dict[str, Any]:
    return changed("deliveries", list(deliveries))


def delivery_of(**options: Any) -> DeliveryConfig:
    config = load_config(document_with({**DELIVERY, **options}))
    assert load_config(config.to_document()) == config
    (delivery,) = config.deliveries
    return delivery


def test_a_config_without_deliveries_has_an_empty_list() -> None:
    assert load_config(document_with()).to_document()["deliveries"] == []


def test_a_snapshot_has_every_default() -> None:
    document = load_config(document_with(DELIVERY)).to_document()
    assert document["deliveries"] == [
        {
            "delivery_id": "marketplace",
            "url": "sftp://acme@files.example.com/in/",
            "channel_id": None,
            "what": "feed",
            "whole_every_hours": 168,
            "secret": "marketplace",
            "host_key": DELIVERY["host_key"],
            "file_name": None,
        },
    ]


@pytest.mark.parametrize(
    ("options", "path", "message"),
    [
        ({"delivery_id": "a b"}, "delivery_id", "is not a valid id"),
        ({"url": "https://files.example.com/in/"}, "url", "begin with sftp://"),
        ({"url": "http://127.0.0.1:80/in/"}, "url", "begin with sftp://"),
        ({"url": "sftp://a@files.example.com/in"}, "url", "end in a slash"),
        ({"url": "sftp://files.example.com/in/"}, "url", "name the user"),
        ({"url": "sftp://a:b@files.example.com/"}, "url", "no password"),
        ({"url": "sftp://a@files.example.com:80/"}, "url", "port 22 or 2222"),
        ({"url": "sftp://a@10.0.0.1/in/"}, "url", "a public address"),
        ({"url": "sftp://a@files.example.com/%00/"}, "url", "%00"),
        ({"channel_id": "other"}, "channel_id", "has no channel"),
        ({"what": "all"}, "what", 'must be one of "feed", "changes"'),
        ({"whole_every_hours": 0}, "whole_every_hours", "1 or more"),
        ({"whole_every_hours": 8761}, "whole_every_hours", "8760 or less"),
        ({"secret": None}, "secret", "is required"),
        ({"host_key": "ssh-dss AAAA"}, "host_key", "a public key in one line"),
        ({"file_name": "a/b"}, "file_name", "without slashes"),
        ({"file_name": "a\nb"}, "file_name", "control characters"),
        ({"file_name": "{day}.csv"}, "file_name", "is not a part"),
        ({"file_name": "{}.csv"}, "file_name", "is not a part"),
        ({"file_name": "{run_id.csv"}, "file_name", "braces only in pairs"),
        ({"file_name": "a}.csv"}, "file_name", "braces only in pairs"),
        ({"file_name": ".."}, "file_name", "is not the name of a file"),
        ({"file_name": " "}, "file_name", "must not be empty"),
        ({"file_name": "x" * 251}, "file_name", "a name of 251 bytes"),
        (
            {"file_name": "{tenant_id}" + "x" * 187},
            "file_name",
            "a name of 251 bytes; the limit is 250",
        ),
        ({"port": 22}, "port", "unknown key"),
    ],
)
def test_each_fault_has_its_path(
    options: dict[str, Any],
    path: str,
    message: str,
) -> None:
    faults = faults_of(document_with({**DELIVERY, **options}))
    assert faults.keys() == {f"deliveries.0.{path}"}
    assert message in faults[f"deliveries.0.{path}"]


@pytest.mark.parametrize("name", ["url", "secret", "host_key", "delivery_id"])
def test_an_option_without_a_default_is_required(name: str) -> None:
    delivery = {key: DELIVERY[key] for key in DELIVERY if key != name}
    faults = faults_of(document_with(delivery))
    assert faults == {f"deliveries.0.{name}": "is required"}


def test_an_id_is_used_once() -> None:
    faults = faults_of(document_with(DELIVERY, DELIVERY))
    assert faults.keys() == {"deliveries.1.delivery_id"}


def test_there_are_at_most_twenty() -> None:
    deliveries = [
        {**DELIVERY, "delivery_id": f"d{number}"} for number in range(21)
    ]
    load_config(document_with(*deliveries[:20]))
    faults = faults_of(document_with(*deliveries))
    assert faults == {"deliveries": "has 21 entries; the limit is 20"}


def test_a_null_sends_the_whole_file_for_no_age() -> None:
    delivery = delivery_of(what="changes", whole_every_hours=None)
    assert delivery.whole_every_hours is None
    assert delivery_of(what=None).what == "feed"


def test_a_channel_of_the_config_may_be_sent() -> None:
    assert delivery_of(channel_id="shop").channel_id == "shop"


@pytest.mark.parametrize(
    ("name", "is_sound"),
    [
        ("{what}-{run_id}.csv", True),
        ("{what}-{seq}.csv", True),
        ("{what}-{time}.csv", True),
        ("{what}-{date}.csv", False),
        ("{run_id}-{seq}-{time}.csv", False),
        ("stock.csv", False),
    ],
)
def test_no_file_of_changes_is_lost_or_taken_for_the_whole(
    name: str,
    is_sound: bool,
) -> None:
    delivery_of(file_name=name)
    delivery = {**DELIVERY, "what": "changes", "file_name": name}
    if is_sound:
        delivery_of(**delivery)
        return
    faults = faults_of(document_with(delivery))
    assert faults.keys() == {"deliveries.0.file_name"}
    assert "{what} and one of {run_id}, {seq}, and {time}" in str(faults)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({}, "run.csv"),
        ({"what": "changes"}, "changes-run.csv"),
        ({"file_name": "stock.csv"}, "stock.csv"),
        (
            {
                "file_name": "{tenant_id}_{channel_id}_{seq}_{what}_{date}T{time}"
            },
            "acme_shop_17_changes_20260301T120000",
        ),
        ({"file_name": "{run_id}.csv"}, f"{PARTS['run_id']}.csv"),
    ],
)
def test_a_file_is_named(options: dict[str, Any], name: str) -> None:
    assert delivery_of(**options).named(PARTS, "run.csv") == name


def test_whatever_changes_makes_another_entry() -> None:
    deliveries = [
        delivery_of(),
        delivery_of(what="changes"),
        delivery_of(whole_every_hours=None),
        delivery_of(secret="other"),
        delivery_of(file_name="a.csv"),
    ]
    assert len({delivery.digest for delivery in deliveries}) == 5
    assert delivery_of().digest == deliveries[0].digest


def test_lint_names_what_is_probably_not_meant() -> None:
    document = document_with(
        {**DELIVERY, "whole_every_hours": 24},
        {**DELIVERY, "delivery_id": "again"},
        {
            **DELIVERY,
            "delivery_id": "b",
            "what": "changes",
            "channel_id": "shop",
        },
    )
    document["channels"] = [
        {"channel_id": "shop", "output": {"columns": ["title"]}},
    ]
    assert doubtful_paths(document, "deliveries") == [
        "deliveries.0.whole_every_hours",
        "deliveries.1.file_name",
        "deliveries.2.what",
    ]
    assert doubtful_paths(document_with(DELIVERY), "deliveries") == []
