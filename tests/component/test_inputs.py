"""Inputs of the component: paths, prefixes in S3, and values of assets."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow as pa
import pytest

from relay_dagster.component import assets
from relay_dagster.component.attributes import AssetInput
from relay_dagster.wiring import Platform
from support.builders import feed
from support.merchant_feeds import (
    Project,
    config_of,
    failure_of,
    files_below,
    metadata_of,
    rows,
)

COLUMNS: dict[str, list[Any]] = {
    "sku": ["00417", "B"],
    "quantity_available": [1, 2],
    "cost": [2.5, 9.75],
}
FEED = b"sku,vendor_id,quantity_available,price\n00417,acme,1,2.50\nB,acme,2,9.75\n"


def raw(value: Any) -> dg.AssetsDefinition:
    """Return an asset with a value."""

    @dg.asset(key=["raw", "acme"])
    def raw_acme() -> Any:
        return value

    return raw_acme


def run_with(project: Project, value: Any, **attributes: Any) -> Any:
    """Run the component with a value as the input of its vendor."""
    inputs = {"acme": AssetInput(asset="raw/acme")}
    return project.run(others=[raw(value)], inputs=inputs, **attributes)


@pytest.mark.parametrize(
    "value_of",
    [
        pytest.param(lambda _: pd.DataFrame(COLUMNS), id="pandas"),
        pytest.param(
            lambda _: pd.DataFrame(COLUMNS, index=[7, 3]),
            id="pandas with an index of its own",
        ),
        pytest.param(lambda _: pa.table(COLUMNS), id="pyarrow"),
        pytest.param(
            lambda _: feed("00417,1,2.50", "B,2,9.75"),
            id="bytes",
        ),
        pytest.param(
            lambda project: project.write(
                "raw.csv",
                feed("00417,1,2.50", "B,2,9.75"),
            ),
            id="path as text",
        ),
        pytest.param(
            lambda project: Path(
                project.write("raw.csv", feed("00417,1,2.50", "B,2,9.75")),
            ),
            id="path",
        ),
    ],
)
def test_the_value_of_an_asset_is_a_vendors_file(
    project: Project,
    value_of: Callable[[Project], Any],
) -> None:
    assert run_with(project, value_of(project)).success
    assert project.read("outputs/merged_inventory.csv") == FEED


def test_a_table_is_read_as_parquet_whatever_the_format_of_files_is(
    project: Project,
) -> None:
    config = config_of()
    config["vendors"][0]["parser"] = {
        "format": "csv",
        "compression": "gzip",
        "delimiter": ";",
        "encoding": "latin-1",
        "skip_lines": 3,
        "column_map": {"sku": "Artikel"},
    }
    columns = {"Artikel": COLUMNS["sku"], **COLUMNS}
    table = pa.table(
        {name: columns[name] for name in columns if name != "sku"},
    )
    assert run_with(project, table, config=config).success
    assert project.read("outputs/merged_inventory.csv") == FEED


def test_lineage_goes_from_the_columns_of_assets_and_files_to_the_feed(
    project: Project,
) -> None:
    columns = {
        "Artikel": COLUMNS["sku"],
        "quantity_available": [1, 2],
        "EK": COLUMNS["cost"],
    }
    config = config_of("acme", "globex")
    config["vendors"][0]["parser"]["column_map"] = {
        "sku": "Artikel",
        "cost": "EK",
    }
    inputs = {
        "acme": AssetInput(asset="raw/acme"),
        "globex": project.write("globex.csv", rows(2)),
    }
    result = project.run(
        others=[raw(pd.DataFrame(columns))],
        config=config,
        inputs=inputs,
    )
    assert result.success
    for asset in ("candidate", "feed"):
        lineage = metadata_of(result, asset)["dagster/column_lineage"]
        sources = {
            column: [
                (dep.asset_key.to_user_string(), dep.column_name)
                for dep in deps
            ]
            for column, deps in lineage.deps_by_column.items()
        }
        assert sources["sku"] == [
            ("raw/acme", "Artikel"),
            ("shop/globex", "sku"),
        ]
        assert ("raw/acme", "EK") in sources["price"]
        assert ("shop/globex", "cost") in sources["price"]
        assert ("raw/acme", "map_price") not in sources["price"]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        pytest.param({"a": 1}, "asset raw/acme gives a dict", id="dict"),
        pytest.param(
            [pd.DataFrame(COLUMNS)],
            "asset raw/acme gives a list",
            id="list",
        ),
        pytest.param(None, "asset raw/acme gives a NoneType", id="nothing"),
        pytest.param(7, "gives a int that is not a table", id="number"),
        pytest.param(
            pd.DataFrame({"sku": ["A", 1]}),
            "gives a DataFrame that is not a table",
            id="mixed column",
        ),
        pytest.param(
            "nowhere.csv",
            "gives the path nowhere.csv, where there is no file",
            id="path without a file",
        ),
    ],
)
def test_any_other_value_is_told_with_what_to_return(
    project: Project,
    value: Any,
    said: str,
) -> None:
    result = run_with(project, value)
    assert not result.success
    message = failure_of(result)
    assert said in message
    assert "Return" in message


def test_of_the_files_of_a_pattern_the_newest_is_read(
    project: Project,
) -> None:
    for age, name in enumerate(("b.csv", "c.csv", "a.csv")):
        path = project.write(f"acme/{name}", rows(age + 1))
        os.utime(path, (1_000_000 - age, 1_000_000 - age))
    newest = project.run(inputs={"acme": str(project.folder / "acme/*.csv")})
    assert newest.success
    assert project.summary()["record_count"] == 1
    second_run = project.run(
        inputs={"acme": str(project.folder / "acme/?.csv")}
    )
    assert second_run.success


@pytest.fixture
def bucket(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    return platform.objects.bucket


def test_the_newest_object_below_a_prefix_is_read(
    project: Project,
    platform: Platform,
    bucket: str,
) -> None:
    platform.objects.put("raw/acme/1.csv", rows(3))
    platform.objects.put("raw/acme/2.csv", rows(2))
    platform.objects.put("raw/acme/folder/", b"")
    platform.objects.put("raw/acmes/3.csv", rows(4))
    result = project.run(inputs={"acme": f"s3://{bucket}/raw/acme/"})
    assert result.success
    assert project.summary()["record_count"] == 2


def test_an_object_that_is_older_than_the_config_allows_is_stale(
    project: Project,
    platform: Platform,
    bucket: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    platform.objects.put("raw/acme/1.csv", rows(3))
    config = config_of()
    config["vendors"][0]["max_feed_age_hours"] = 24
    inputs = {"acme": f"s3://{bucket}/raw/acme/"}
    assert project.run(config=config, inputs=inputs).success
    a_day_on = datetime.now(UTC) + timedelta(hours=25)
    monkeypatch.setattr(assets, "_started_at", lambda _: a_day_on)
    result = project.run(config=config, inputs=inputs)
    assert not result.success
    assert "Failure: STALE_FEED: " in failure_of(result)


def test_a_prefix_without_an_object_is_a_vendor_without_a_file(
    project: Project,
    bucket: str,
) -> None:
    result = project.run(inputs={"acme": f"s3://{bucket}/raw/acme/"})
    assert not result.success
    message = failure_of(result)
    assert "REQUIRED_VENDOR_MISSING: " in message
    assert f"s3://{bucket}/raw/acme/" in message


def test_a_bucket_that_is_not_there_is_told_with_its_input(
    project: Project,
    bucket: str,
) -> None:
    result = project.run(inputs={"acme": "s3://nobodys/raw/"})
    assert not result.success
    message = failure_of(result)
    assert "s3://nobodys/raw/ cannot be read" in message


def test_a_folder_in_s3_has_the_files_of_a_folder_on_disk(
    project: Project,
    platform: Platform,
    bucket: str,
) -> None:
    project.write("acme.csv", feed("A,1,2.50", "B,-1,3.00"))
    config = config_of(
        error_policy={"max_invalid_rows": 1, "max_invalid_row_pct": "1"},
    )
    platform.objects.put("feeds/shop/reports/notes.txt", b"ours")
    folder = f"s3://{bucket}/feeds/shop"
    first = project.run(folder=folder, config=config)
    assert first.success
    on_disk = project.run(config=config)
    assert on_disk.success
    names = set(files_below(project.out))
    stored = {
        info.key.removeprefix("feeds/shop/")
        for info in platform.objects.list_objects("feeds/shop/")
    }
    assert stored == names | {"reports/notes.txt"}
    # The state is found there, and the reports that do not apply are cleared.
    project.write("acme.csv", feed("A,1,2.50"))
    assert project.run(folder=folder).success
    keys = {info.key for info in platform.objects.list_objects("feeds/shop/")}
    assert "feeds/shop/reports/changes.csv" in keys
    assert "feeds/shop/reports/invalid_rows.csv" not in keys
    assert "feeds/shop/reports/notes.txt" in keys


def test_a_folder_in_a_bucket_that_is_not_there_is_told_with_what_to_do(
    project: Project,
    bucket: str,
) -> None:
    project.write("acme.csv", rows(1))
    result = project.run(folder="s3://nobodys/feeds")
    assert not result.success
    assert "The folder s3://nobodys/feeds cannot be used" in failure_of(result)
