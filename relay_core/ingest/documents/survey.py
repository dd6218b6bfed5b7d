"""The paths of a document, with the number of values at each: the candidates for records."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from relay_core.domain.codes import FailureCode
from relay_core.domain.document_paths import ROOT
from relay_core.domain.errors import FeedUnreadableError

MAX_SHOWN = 10
"""The number of paths that a message lists."""
_MAX_PATHS = 10_000


@dataclass(slots=True)
class SurveyedPath:
    """A path of a document that could be `parser.record`."""

    path: str
    # The number of values, items of lists counted one by one
    value_count: int = 0
    # The number of values with two or more headers
    record_count: int = 0
    parent: "SurveyedPath | None" = None
    children: dict[str, "SurveyedPath"] = field(default_factory=dict)

    def and_parents(self) -> Iterator["SurveyedPath"]:
        """Yield the path itself, and then those that it is within, the longest first."""
        place: SurveyedPath | None = self
        while place is not None:
            yield place
            place = place.parent

    def within(self) -> Iterator[tuple[str, "SurveyedPath"]]:
        """Yield all paths within the path, each with its last name."""
        for name, child in self.children.items():
            yield name, child
            yield from child.within()


@dataclass(slots=True)
class _Open:
    """An open value."""

    place: SurveyedPath | None  # None for a path that the survey left out
    # The first path of a cell within it.
    first_header: SurveyedPath | None = None
    has_two_headers: bool = False


class Survey:
    """Counts the values of a document by their paths, in document order."""

    def __init__(self) -> None:
        self._root = SurveyedPath(ROOT)
        self._paths = [self._root]
        self._open: list[_Open] = []

    def enter(self, name: str) -> None:
        """Begin a value; the name of the document itself does not matter."""
        if not self._open:
            place: SurveyedPath | None = self._root
        else:
            place = self._child(self._open[-1].place, name)
        if place is not None:
            place.value_count += 1
        self._open.append(_Open(place))

    def leave(self, *, is_cell: bool) -> None:
        """End a value, which may be a cell."""
        value = self._open.pop()
        header = value.place if is_cell else None
        has_two_headers = value.has_two_headers or (
            is_cell and value.first_header is not None
        )
        if value.place is not None and has_two_headers:
            value.place.record_count += 1
        if not self._open:
            return
        parent = self._open[-1]
        header = header or value.first_header
        parent.has_two_headers |= has_two_headers
        if parent.first_header is None:
            parent.first_header = header
        elif header not in (None, parent.first_header):
            parent.has_two_headers = True

    def paths(self) -> list[SurveyedPath]:
        """Return the paths, the likeliest path of records first.

        It is the one with most records of two or more headers, then the shortest one,
        then the first one.
        """
        order = sorted(
            range(len(self._paths)),
            key=lambda index: (
                -self._paths[index].record_count,
                len(self._paths[index].path),
                index,
            ),
        )
        return [self._paths[index] for index in order]

    def has_values_at(self, path: str) -> bool:
        """Return True if the document has values at a path."""
        return any(place.path == path for place in self._paths)

    def _child(
        self,
        parent: SurveyedPath | None,
        name: str,
    ) -> SurveyedPath | None:
        """Return the path of a child; None if there are too many paths."""
        if parent is None:
            return None
        child = parent.children.get(name)
        if child is None and len(self._paths) < _MAX_PATHS:
            path = f"{parent.path.rstrip('/')}/{name}"
            child = SurveyedPath(path, parent=parent)
            parent.children[name] = child
            self._paths.append(child)
        return child


def nothing_there(record_path: str, survey: Survey) -> FeedUnreadableError:
    """Return the error of a document with nothing at the path of records."""
    paths = [path for path in survey.paths() if path.path != ROOT]
    shown_paths = [
        f"{path.path} ({path.value_count:,})" for path in paths[:MAX_SHOWN]
    ]
    return FeedUnreadableError(
        FailureCode.INVALID_INPUT,
        f"the file has no value at {record_path}. Set parser.record to the path of the "
        "records. These paths are there, with their numbers of values: "
        f"{', '.join(shown_paths) or 'none'}",
    )
