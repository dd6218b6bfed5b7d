from __future__ import annotations

from typing import Any

from relay_core.config.reading.json_patch import (
    PatchStep,
    apply_patch,
    set_members,
)


def test_members_are_added_replaced_and_merged() -> None:
    document = {"list": [{}, {"a": 1, "map": {"x/y~z": 1}}]}
    steps = set_members(
        document, ("list", 1), {"a": 2, "b": [3], "map": {"x/y~z": 4, "n": 5}}
    )
    assert steps == [
        PatchStep("replace", "/list/1/a", 2),
        PatchStep("add", "/list/1/b", [3]),
        PatchStep("replace", "/list/1/map/x~1y~0z", 4),
        PatchStep("add", "/list/1/map/n", 5),
    ]
    changed = {"a": 2, "b": [3], "map": {"x/y~z": 4, "n": 5}}
    assert apply_patch(document, steps) == {"list": [{}, changed]}
    assert document == {"list": [{}, {"a": 1, "map": {"x/y~z": 1}}]}


def test_a_null_is_replaced_whole() -> None:
    document = {"parser": {"column_map": None}}
    (step,) = set_members(document, ("parser",), {"column_map": {"sku": "A"}})
    assert step == PatchStep("replace", "/parser/column_map", {"sku": "A"})


def test_a_mapping_that_stands_twice_is_changed_in_one_place() -> None:
    shared: dict[str, Any] = {"delimiter": ","}
    document = {"vendors": [{"parser": shared}, {"parser": shared}]}
    steps = set_members(document, ("vendors", 0, "parser"), {"delimiter": ";"})
    changed = apply_patch(document, steps)
    assert [vendor["parser"]["delimiter"] for vendor in changed["vendors"]] == [
        ";",
        ",",
    ]
    assert shared == {"delimiter": ","}
