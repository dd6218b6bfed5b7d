"""Values that a config names by paths around a record, or by steps with a test.

`NamedValues` gets each value of a document as it begins and ends, in document order, and
keeps only values at these paths. Of several values at a path, the first one counts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from relay_core.domain.document_paths import OWN_TEXT, ValuePath

Cell: TypeAlias = str | bytes | bool | None
"""A value: a text, a number in the form of the file, a boolean, or null."""


class NoValue:
    """The type of `NO_VALUE`."""


NO_VALUE = NoValue()
"""The end of a value that is no cell, such as an object."""


@dataclass(slots=True)
class _Found:
    """The first value at a path within one value that the path begins at."""

    position: int = -1  # the number of the value in the document; -1 for none
    cell: Cell = None

    def offer(self, position: int, cell: Cell) -> None:
        """Keep a value if it comes before the kept one."""
        if self.position < 0 or position < self.position:
            self.position = position
            self.cell = cell


@dataclass(slots=True)
class _Pending(_Found):
    """The first value within a step whose condition may still come true."""

    text: str = ""  # the text that makes the condition true
    is_met: bool = False
    target: _Found = field(default_factory=_Found)

    def settle(self) -> None:
        """Hand on the value if the condition has come true."""
        if self.is_met and self.position >= 0:
            self.target.offer(self.position, self.cell)


@dataclass(frozen=True, slots=True)
class _State:
    """The next step of a path below an open value."""

    path: ValuePath
    step_index: int
    target: _Found


@dataclass(slots=True)
class _Frame:
    """An open value."""

    position: int
    states: list[_State] = field(default_factory=list)
    # The places that get the value's own text
    targets: list[_Found] = field(default_factory=list)
    # The conditions that wait for a child's text, by the child's name
    conditions: dict[str, list[_Pending]] = field(default_factory=dict)
    # The conditions of the parent that wait for the value's own text
    tests: list[_Pending] = field(default_factory=list)
    # The number of children that met a state's name, by path and step
    counts: dict[tuple[str, int], int] = field(default_factory=dict)
    # The first value at each path that begins here, by header
    found: dict[str, _Found] = field(default_factory=dict)

    @property
    def is_watched(self) -> bool:
        """Return True if values below this one may be at a path."""
        return bool(self.states or self.conditions)

    def follow(self, state: _State) -> None:
        """Continue a path below this value, or end it here."""
        steps = state.path.steps
        is_over = state.step_index == len(steps)
        if is_over or steps[state.step_index].name == OWN_TEXT:
            self.targets.append(state.target)
        else:
            self.states.append(state)


class NamedValues:
    """Finds the values at paths while a document is read.

    Args:
        paths: The paths, by the level of the values that they begin at: 0 is the
            document itself.
    """

    def __init__(self, paths: Mapping[int, Sequence[ValuePath]]) -> None:
        self._paths = paths
        self._frames: list[_Frame] = []
        self._next_position = 0

    @property
    def is_watched(self) -> bool:
        """Return True if values below the open one may be at a path."""
        return bool(self._frames) and self._frames[-1].is_watched

    def enter(self, name: str, level: int | None = None) -> None:
        """Begin a value.

        Args:
            name: Its name; attributes have an ``@`` in front.
            level: Its level, if it is on the way to the records or a record.
        """
        frame = _Frame(self._next_position)
        self._next_position += 1
        if self._frames:
            self._follow(self._frames[-1], name, frame)
        for path in self._paths.get(level, ()) if level is not None else ():
            frame.found[path.header] = _Found()
            frame.follow(_State(path, 0, frame.found[path.header]))
        self._frames.append(frame)

    def leave(self, cell: Cell | NoValue) -> dict[str, Cell]:
        """End a value; return the values at the paths that begin at it, by header."""
        frame = self._frames.pop()
        if not isinstance(cell, NoValue):
            for target in frame.targets:
                target.offer(frame.position, cell)
            for test in frame.tests:
                test.is_met |= text_of(cell) == test.text
        for pending_conditions in frame.conditions.values():
            for pending in pending_conditions:
                pending.settle()
        return {
            header: found.cell
            for header, found in frame.found.items()
            if found.position >= 0
        }

    def _follow(self, parent: _Frame, name: str, frame: _Frame) -> None:
        """Continue the paths of an open value in its child."""
        frame.tests = parent.conditions.get(name, [])
        for state in parent.states:
            step = state.path.steps[state.step_index]
            if step.name != name:
                continue
            if step.index is not None:
                key = (state.path.header, state.step_index)
                parent.counts[key] = parent.counts.get(key, 0) + 1
                if parent.counts[key] != step.index:
                    continue
            target = state.target
            if step.condition is not None:
                pending = _Pending(text=step.condition.text, target=target)
                frame.conditions.setdefault(step.condition.name, []).append(
                    pending
                )
                target = pending
            frame.follow(_State(state.path, state.step_index + 1, target))


def text_of(cell: Cell) -> str:
    """Return a cell as the text that a report shows."""
    if cell is None:
        return ""
    if isinstance(cell, bytes):
        return cell.decode()
    return cell if isinstance(cell, str) else str(cell).lower()
