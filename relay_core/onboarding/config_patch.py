"""The changes of vendors' parsers as one patch of the config that they were found for."""

from collections.abc import Mapping
from typing import Any

from relay_core.config import load_config
from relay_core.config.json_patch import PatchStep, apply_patch, set_members
from relay_core.domain.errors import RelayError

Changes = Mapping[str, Any]


def parser_patch(document: Mapping[str, Any], changes: Mapping[int, Changes]) -> list[PatchStep]:
    """Return the steps that change parsers; none at all, should the config not load with them."""
    steps = [
        step for place, each in changes.items() for step in parser_steps(document, place, each)
    ]
    try:
        load_config(apply_patch(document, steps))
    except RelayError:
        return []
    return steps


def parser_steps(document: Mapping[str, Any], place: int, changes: Changes) -> list[PatchStep]:
    """Return the steps that change one vendor's parser."""
    return set_members(document, ("vendors", place, "parser"), changes)
