"""The one table of a run's files, and those who must not write a second one."""

from __future__ import annotations

import json
import re

import pytest

from relay_core.publish import artifacts
from relay_core.publish.artifacts import ARTIFACTS, artifact_named
from support.pages import PAGES
from support.source_tree import our_modules

TABLE = "relay_core.publish.artifacts"
PATH_IN_QUOTES = re.compile(r"""["']reports/""")


def test_names_and_paths_are_told_once() -> None:
    names = [artifact.name for artifact in ARTIFACTS]
    assert len({*names}) == len(names)
    paths = [artifact.path for artifact in ARTIFACTS]
    assert len({*paths}) == len(paths)


def test_nobody_but_the_table_writes_the_path_of_a_report() -> None:
    assert [
        f"{module.name}, line {number}"
        for module in our_modules()
        if module.name != TABLE
        for number, line in enumerate(
            module.path.read_text("utf-8").splitlines(), 1
        )
        if PATH_IN_QUOTES.search(line)
    ] == []


def test_the_page_about_outputs_lists_the_table() -> None:
    lines = [
        "| artifact | file | title | written by |",
        "| --- | --- | --- | --- |",
    ]
    for artifact in ARTIFACTS:
        name, path, title = (
            text.replace("{", "<").replace("}", ">")
            for text in (artifact.name, artifact.path, artifact.title)
        )
        lines.append(f"| `{name}` | `{path}` | {title} | {artifact.written} |")
    table = "\n".join(lines)
    assert table in PAGES["docs/OUTPUTS.md"], f"the table is now:\n{table}"


def test_every_file_has_a_content_type_unless_its_name_decides() -> None:
    assert [
        artifact.name
        for artifact in ARTIFACTS
        if artifact.content_type is None
        and not artifact.path.endswith(("{file}", "{format}", "{suffix}"))
    ] == []


@pytest.mark.parametrize(
    ("name", "entry", "title"),
    [
        ("errors", "errors", "Errors and warnings"),
        ("catalog", "catalog", "Catalog"),
        ("channel_shop", "channel_{channel}", "Channel: shop"),
        ("inbound_acme", "inbound_{vendor}", "Vendor file: acme"),
        ("inbound_acme.2", "inbound_{vendor}.{number}", "Vendor file: acme.2"),
        ("last_good_acme", "last_good_{vendor}", "Last good file: acme"),
        (
            "last_good_sku_map_acme",
            "last_good_sku_map_{vendor}",
            "SKU map of the last good file: acme",
        ),
    ],
)
def test_an_artifact_is_found_by_its_name(
    name: str, entry: str, title: str
) -> None:
    artifact = artifact_named(name)
    assert artifact is not None
    assert artifact.name == entry
    assert artifacts.title_of(name) == title


def test_a_name_that_no_run_gives_has_no_entry() -> None:
    assert artifact_named("of_another_release") is None
    assert artifacts.title_of("of_another_release") is None
    assert not artifacts.belongs_to_run("of_another_release")


def test_files_are_listed_in_the_order_in_which_people_open_them() -> None:
    names = ["inbound_b", "inbound_a", "strange", "errors", "report", "catalog"]
    assert artifacts.in_order(names) == [
        "report",
        "errors",
        "inbound_a",
        "inbound_b",
        "catalog",
        "strange",
    ]


def test_a_local_run_replaces_the_files_of_every_format() -> None:
    patterns = artifacts.local_patterns("outputs")
    assert json.dumps(patterns) == json.dumps(
        [
            *(
                f"outputs/merged_inventory.{name}"
                for name in ("csv", "tsv", "jsonl", "parquet")
            ),
            *(
                f"outputs/channels/*.{name}{packed}"
                for packed in ("", ".gz")
                for name in ("csv", "tsv", "jsonl", "parquet")
            ),
        ]
    )
