"""The records of JSON documents and of XML, written down plainly over whole trees."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

NO_CELL = object()


@dataclass
class Node:
    """A value of a document with the values within it, lists taken apart."""

    cell: Any = NO_CELL  # the text of the value, or `NO_CELL`
    is_number: bool = False
    is_attribute: bool = False
    children: list[tuple[str, Node]] = field(default_factory=list)


def of_json(text: str) -> list[Node]:
    """Return the document's values; a list at its root has several."""
    return list(
        _json_nodes(json.loads(text, parse_int=bytes_of, parse_float=bytes_of))
    )


def bytes_of(text: str) -> bytes:
    return text.encode()


def _json_nodes(value: Any) -> Iterator[Node]:
    if isinstance(value, list):
        for item in value:
            yield from _json_nodes(item)
    elif isinstance(value, dict):
        node = Node()
        for key, member in value.items():
            for child in _json_nodes(member):
                node.children.append((key, child))
        yield node
    elif isinstance(value, bytes):
        yield Node(value.decode(), is_number=True)
    elif value is None:
        yield Node("")
    else:
        yield Node(value if isinstance(value, str) else str(value).lower())


def of_xml(text: str) -> list[Node]:
    """Return the document's one value, whose only child is the root element."""
    root = ElementTree.fromstring(text)  # noqa: S314 - the text is the test's own
    return [Node(children=[(_local(root.tag), _xml_node(root))])]


def _xml_node(element: ElementTree.Element) -> Node:
    parts = [element.text or "", *(child.tail or "" for child in element)]
    text = "".join(parts).strip()
    node = Node(text if text or not len(element) else NO_CELL)
    for name, value in element.attrib.items():
        attribute = Node(value.strip(), is_attribute=True)
        node.children.append((f"@{_local(name)}", attribute))
    for child in element:
        node.children.append((_local(child.tag), _xml_node(child)))
    return node


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def table(
    roots: list[Node], record: str, named: list[str]
) -> tuple[tuple[str, ...], list[dict[str, Node]]]:
    """Return the headers of the records at a path, and the cells of each by header.

    ``named`` are headers that begin above the record or have a test.
    """
    names = record.strip("/").split("/") if record != "/" else []
    chains: list[list[Node]] = [[root] for root in roots]
    for name in names:
        chains = [
            [*chain, child]
            for chain in chains
            for child_name, child in chain[-1].children
            if child_name == name
        ]
    if names:  # a scalar at the root has nothing within it
        chains = [chain for chain in chains if len(chain) > 1]
    headers: dict[str, None] = {}
    rows = []
    for chain in chains:
        cells: dict[str, Node] = {}
        for header, node in _values(chain[-1], ".", ""):
            cells.setdefault(header, node)
            headers.setdefault(header)
        for path in named:
            text = _first_at(chain, path)
            if text is not None:
                cells[path] = text
        rows.append(cells)
    return (*headers, *named), rows


def _values(node: Node, header: str, prefix: str) -> Iterator[tuple[str, Node]]:
    """Yield the attributes of a value, itself, and what is within it."""
    for name, child in node.children:
        if child.is_attribute:
            yield f"{prefix}{name}", child
    if node.cell is not NO_CELL:
        yield header, node
    for name, child in node.children:
        if not child.is_attribute and _is_step(name):
            yield from _values(child, f"{prefix}{name}", f"{prefix}{name}/")


def _is_step(name: str) -> bool:
    return name not in ("", ".", "..") and "/" not in name and "[" not in name


def _first_at(chain: list[Node], path: str) -> Node | None:
    levels_up = 0
    while path.startswith("../"):
        levels_up += 1
        path = path[3:]
    for node in _at(
        chain[len(chain) - 1 - levels_up], re.split(r"/(?![^\[]*\])", path)
    ):
        if node.cell is not NO_CELL:
            return node
    return None


def _at(node: Node, steps: list[str]) -> Iterator[Node]:
    if not steps:
        yield node
        return
    if steps[0] == ".":
        yield node
        return
    match = re.fullmatch(r"([^\[]+)(?:\[(?:(\d+)|([^=]+)=(.*))\])?", steps[0])
    assert match is not None
    name, number, tested_name, text = match.groups()
    children = [
        child for child_name, child in node.children if child_name == name
    ]
    if number is not None:
        children = children[int(number) - 1 : int(number)]
    for child in children:
        if tested_name is not None and not any(
            grandchild_name == tested_name and grandchild.cell == text
            for grandchild_name, grandchild in child.children
        ):
            continue
        yield from _at(child, steps[1:])
