"""The section ``changes``: which files are full, and which are deltas of them."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

import relay_core.config.values as values
from relay_core.config.inputs.uploads import FileKind
from relay_core.config.parser import SkipRule
from relay_core.config.refusals import refuse
from relay_core.domain.cell_rules import shorten

MAX_DELTAS = 50


def _check_pattern(pattern: str) -> str:
    if "/" in pattern:
        raise refuse(
            "must be a pattern of file names, without a slash, not "
            f"{shorten(pattern)}",
        )
    return pattern


_Pattern = Annotated[
    values.Filled,
    AfterValidator(_check_pattern),
    Field(
        description="A pattern of file names, with `*` and `?`, in exact case.",
    ),
]


class ChangesConfig(values.Section):
    """Which files are full and which are files of changes (deltas), by their names."""

    full: _Pattern
    delta: _Pattern
    deleted: Annotated[
        SkipRule | None,
        Field(
            description="The records of a delta that delete the rows of their SKU.",
        ),
    ] = None
    max_deltas: Annotated[
        int,
        Field(ge=1, le=200),
        values.WHOLE,
    ] = MAX_DELTAS
    max_delta_age_hours: values.HoursOfYear | None = None

    def kind_of(self, name: str) -> FileKind | None:
        """Return whether a file is full or a delta, by its name.

        Return None if the name fits both patterns or neither: the file is not an input.
        """
        is_full = _fits(name, self.full)
        if is_full is _fits(name, self.delta):
            return None
        return "full" if is_full else "delta"


def _fits(name: str, pattern: str) -> bool:
    """Return whether a name fits a pattern with ``*`` and ``?``, in exact case."""
    pieces = {"*": ".*", "?": "."}
    steps = [pieces.get(letter, re.escape(letter)) for letter in pattern]
    return re.fullmatch("".join(steps), name, re.DOTALL) is not None
