"""Paths in JSON documents and XML: of records, and of the values of a record.

The path of records is ``/`` and names joined by ``/``, such as ``/catalog/product``. A
header is the path of a value relative to its record, such as ``stock/qty``. In a config,
a header may begin with ``../`` for each level above the record, and a step may end in
``[2]`` or ``[name=text]``.
"""

import re
from dataclasses import dataclass
from typing import NamedTuple

MAX_INDEX = 1_000
"""The largest number of a step such as ``image[2]``."""
ROOT = "/"
"""The path of the document itself."""
OWN_TEXT = "."
"""The header of a record's own text."""
_UP = "../"
_STEP = re.compile(r"([^/\[]+)(?:\[(.*?)\])?(?:/|\Z)", re.DOTALL)
_INDEX = re.compile("[0-9]+")


class PathError(ValueError):
    """A path cannot be read; the message says why, as the end of a sentence."""


class Condition(NamedTuple):
    """The condition of a step: one of the values of a name is a text."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a path: a name, with the number or the condition behind it."""

    name: str
    index: int | None = None  # selects the n-th value of the name, from 1
    condition: Condition | None = None


@dataclass(frozen=True, slots=True)
class ValuePath:
    """A header of a config, in its steps."""

    header: str  # the header as the config has it
    levels_up: int  # the number of ``../`` in front
    steps: tuple[Step, ...]

    @property
    def is_plain(self) -> bool:
        """Return True if the path is also the header of a value of the record."""
        return not self.levels_up and not any(
            step.index or step.condition for step in self.steps
        )


def is_name(text: str) -> bool:
    """Return True if a text can be a step of a path."""
    return text not in ("", ".", "..") and "/" not in text and "[" not in text


def record_names(path: str) -> tuple[str, ...]:
    """Return the names of the path of records; none for the document itself.

    Raises:
        PathError: The path cannot be read.
    """
    if not path.startswith(ROOT):
        raise PathError('must start with "/"')
    if path == ROOT:
        return ()
    names = tuple(path[1:].split("/"))
    for name in names:
        if not is_name(name):
            raise PathError('must be "/" or names joined by "/"')
    return names


def value_path(header: str) -> ValuePath:
    """Return a header of a config in its steps.

    Raises:
        PathError: The header cannot be read as a path.
    """
    levels_up = 0
    path_down = header
    while path_down.startswith(_UP):
        levels_up += 1
        path_down = path_down[len(_UP) :]
    steps: list[Step] = []
    position = 0
    is_complete = False
    while not is_complete:
        match = _STEP.match(path_down, position)
        if match is None:
            raise PathError(
                "has an empty step, or a bracket that is not closed"
            )
        position = match.end()
        is_complete = not match[0].endswith("/")
        steps.append(_step(match[1], match[2], is_last=is_complete))
    return ValuePath(header, levels_up, tuple(steps))


def _step(name: str, test: str | None, *, is_last: bool) -> Step:
    if name == ".." or (name == OWN_TEXT and not is_last):
        raise PathError(f'has the step "{name}" where a name must be')
    if test is None:
        return Step(name)
    if name == OWN_TEXT:
        raise PathError('has a bracket behind "."')
    if _INDEX.fullmatch(test):
        if not 1 <= int(test[:5]) <= MAX_INDEX:
            raise PathError(
                f"has the number {test[:20]}, but must have 1 to {MAX_INDEX:,}"
            )
        return Step(name, index=int(test))
    tested_name, separator, text = test.partition("=")
    if (
        not separator
        or tested_name in ("", ".", "..", "@")
        or "/" in tested_name
    ):
        raise PathError(
            f"has [{test[:60]}], but must have a number or a name and a text, "
            "such as [2] or [@id=A]",
        )
    return Step(name, condition=Condition(tested_name, text))
