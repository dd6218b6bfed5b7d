"""One table a family: formats and doors are listed once, and all else reads the table."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import get_args

import pytest

from relay_core.domain.doors import DOORS
from relay_core.domain.formats import FORMATS, FeedFormat, OutputFormat
from relay_core.ingest.formats import READERS
from relay_core.publish.files.writers import WRITERS
from relay_dagster.transfers.doors import CLIENTS
from support.source_tree import ROOT, modules

LISTS_FORMATS = {
    "relay_core.domain.formats": "the table",
    "relay_core.ingest.formats": "binds the readers",
    "relay_core.publish.files.writers": "binds the writers",
}
LISTS_DOORS = {
    "relay_core.domain.doors": "the table",
    "relay_dagster.transfers.doors": "binds the clients",
    "relay_dagster.transfers.sftp.session": "asks SSH for its subsystem of this name",
    "relay_dagster.devstack.sftp_server": "is a server of one door, for the demo",
}
COLLECTIONS = (ast.Tuple, ast.List, ast.Set, ast.Dict)


def texts_in(node: ast.AST) -> Iterator[str]:
    """Yield the texts of a literal, also of literals within it."""
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            yield node.value
    elif isinstance(node, COLLECTIONS):
        for child in ast.iter_child_nodes(node):
            yield from texts_in(child)


def lists_of(names: set[str], tree: ast.AST) -> list[int]:
    """Return the lines of literals with two of the names or more."""
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, COLLECTIONS)
        and len(names & {text.lstrip(".") for text in texts_in(node)}) > 1
    ]


def second_tables(names: set[str], allowed: dict[str, str]) -> list[str]:
    return [
        f"{module.path.name}:{line}"
        for top in ("relay_core", "relay_dagster", "scripts")
        for module in modules(top)
        if module.name not in allowed
        for line in lists_of(names, module.tree)
    ]


def test_no_other_module_lists_formats() -> None:
    assert second_tables(set(FORMATS), LISTS_FORMATS) == []


@pytest.mark.parametrize(
    "source",
    [
        'A = ("csv", "tsv")',
        'A = {"csv": 1, ".jsonl": 2}',
        'A = Literal["json", "xml"]',
        'A = [("a", "xls"), ("b", "xlsx")]',
    ],
)
def test_a_second_table_would_be_found(source: str) -> None:
    assert lists_of(set(FORMATS), ast.parse(source)) != []


def test_each_format_has_a_row_and_a_reader_or_a_writer() -> None:
    assert set(READERS) == set(get_args(FeedFormat))
    assert set(WRITERS) == set(get_args(OutputFormat))
    assert set(FORMATS) == {*READERS, *WRITERS}


def test_no_other_module_tells_the_scheme_of_a_door() -> None:
    """HTTPS is also the scheme of the service itself, and of its receivers."""
    schemes = set(DOORS) - {"https"}
    assert second_tables(set(DOORS), LISTS_DOORS) == []
    assert [
        f"{module.name}:{node.lineno}"
        for top in ("relay_core", "relay_dagster", "scripts")
        for module in modules(top)
        if module.name not in LISTS_DOORS
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node.value.partition(":")[0] in schemes
    ] == []


def test_each_door_has_a_client_that_does_what_the_config_takes() -> None:
    assert set(CLIENTS) == set(DOORS)
    for scheme, door in DOORS.items():
        client = CLIENTS[scheme]
        assert (client.open_folder is not None) is door.has_folders
        assert (client.open_upload is not None) is (
            door.delivery_url is not None
        )


def test_the_guide_and_the_pages_show_the_url_of_each_door() -> None:
    guide = (ROOT / "docs" / "CONFIG.md").read_text("utf-8")
    rows = [line for line in guide.splitlines() if "url` | text" in line]
    hints = (ROOT / "relay_dagster/wire/option_words.yaml").read_text("utf-8")
    addresses = [line for line in hints.splitlines() if "{label: Addr" in line]
    for door in DOORS.values():
        ports = " or ".join(map(str, door.ports))
        for form in (door.pull_url, door.delivery_url):
            is_listed = (
                form is None or f"`{form}` with port {ports}" in "".join(rows)
            )
            assert is_listed, f"docs/CONFIG.md lacks {form} or its ports"
        assert f"{door.scheme}://" in "".join(addresses)


def test_the_page_on_security_has_the_ports_of_each_door() -> None:
    text = " ".join((ROOT / "SECURITY.md").read_text("utf-8").split())
    missing = [
        door.title
        for door in DOORS.values()
        if f"port is {' or '.join(map(str, door.ports))}" not in text
        and f"**{door.title}** uses port {' or '.join(map(str, door.ports))}"
        not in text
    ]
    assert missing == []
