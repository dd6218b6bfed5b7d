"""The blocks that a run's report is made of.

A block has typed values and no format: a renderer decides how a number, a time, or a table
looks. Every renderer can show every block, because no block knows a feature of Relay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

Tone = Literal["", "good", "warn", "bad", "idle"]
"""How good or bad a thing is. ``idle`` is neither; an empty tone says nothing."""
Kind = Literal[
    "text",
    "note",
    "code",
    "count",
    "money",
    "time",
    "share",
    "change",
    "hours",
]
"""The type of a value.

- ``text``, ``note``, and ``code``: text. A note is a sentence or more; code is a name that
  programs read, such as a SKU.
- ``count``: a whole number.
- ``money``: a decimal as text, in the report's currency.
- ``time``: an instant, ``2026-03-01T12:00:00Z``. Show a text that is no instant unchanged.
- ``share``: a decimal such as ``0.25``, which is shown exactly, or a fraction such as
  ``17/20``, which is rounded.
- ``change``: a signed share, such as ``-0.5``.
- ``hours``: an age in whole hours.
"""
Value = str | int | None
SpanStyle = Literal["", "code", "strong"]


class Span(NamedTuple):
    """A piece of a text with one style."""

    text: str
    style: SpanStyle = ""


Spans = tuple[Span, ...]
"""A text: its pieces in order."""


def text_of(*pieces: str | Span) -> Spans:
    """Return a text made of plain and styled pieces; empty pieces are left out."""
    spans = (
        Span(piece) if isinstance(piece, str) else piece for piece in pieces
    )
    return tuple(span for span in spans if span.text)


def plain(text: Spans) -> str:
    """Return a text without its styles."""
    return "".join(span.text for span in text)


class Verdict(NamedTuple):
    """The result of a run: a word, a headline, and a sentence on the consequence."""

    tone: Tone
    word: str
    headline: str
    sentence: str


class Heading(NamedTuple):
    """A heading inside a chapter, with the number of the things below it."""

    text: str
    code: str = ""
    total: int | None = None
    unit: str = ""  # the singular noun of the total, such as ``row``


class Sentence(NamedTuple):
    """A paragraph."""

    text: Spans


class Figure(NamedTuple):
    """A labeled value."""

    name: str
    label: str
    value: Value
    kind: Kind = "count"
    share: str = ""  # the value's share of a total


class Figures(NamedTuple):
    """The numbers that matter most, the most important first."""

    figures: tuple[Figure, ...]


class Column(NamedTuple):
    """A column of a table: its stable name, its title, and the type of its values."""

    name: str
    title: str
    kind: Kind = "text"


class Cell(NamedTuple):
    """A value of a table. A cell without a value shows its note, if it has one."""

    value: Value
    note: str = ""  # a further text, such as the title of a SKU
    tone: Tone = ""
    share: str = ""  # the value's share of a total: ``1 (25%)``
    of: int | None = None  # the total itself: ``17 of 20``


class Table(NamedTuple):
    """The first rows of a list."""

    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    total: int  # the number of rows of the whole list
    artifact: str = ""  # the name of the artifact that has the whole list


class Bar(NamedTuple):
    """A bar with its stable name, its label and its number."""

    name: str
    label: str
    value: int
    tone: Tone = ""
    share: str = ""
    note: str = ""  # a further text on the label


class Bars(NamedTuple):
    """Bars on one scale, or the parts of one bar if they are parts of a total."""

    name: str
    title: str
    bars: tuple[Bar, ...]
    label_kind: Kind = "text"
    unit: str = ""  # the singular noun of the numbers, such as ``SKU``
    about: str = ""  # what the bars are about, if others have the same name
    parts_of: int | None = None  # the total that the bars are parts of


class Item(NamedTuple):
    """An item of a list, with its fix and a snippet of code that fixes it."""

    text: Spans
    fix: str = ""
    snippet: str = ""
    snippet_title: str = ""


class Items(NamedTuple):
    """The first items of a list. Compact items are short, and fit side by side."""

    items: tuple[Item, ...]
    total: int  # the number of items of the whole list
    artifact: str = ""  # the name of the artifact that has the whole list
    is_compact: bool = False


class Steps(NamedTuple):
    """What the reader does next, the most important step first."""

    steps: tuple[Spans, ...]


class Omitted(NamedTuple):
    """The number of things that the blocks above leave out, and where they are."""

    number: int
    artifact: str = ""


class File(NamedTuple):
    """A file of the run: the artifact's name, its title, and its path in the run."""

    name: str
    title: str
    path: str
    note: str = ""  # its content: ``lists every SKU that changed``


class Files(NamedTuple):
    """Files of the run that readers open."""

    files: tuple[File, ...]


class Action(NamedTuple):
    """Something that the reader can do about the run.

    Renderers offer it: a page as a form, a terminal as a command.
    """

    name: str  # ``release``, ``discard``, ``accept_prices``
    title: str  # a verb and a noun, for a button
    text: str  # when it is right: ``If the changes are correct``
    command: str = ""  # the command line that does it
    parameters: Mapping[str, Any] = MappingProxyType({})
    reason: str = ""  # the label of the reason that the action asks for
    table: str = ""  # the name of the table whose rows it is about
    tone: Tone = ""  # ``bad`` for an action that cannot be taken back


Block = (
    Verdict
    | Heading
    | Sentence
    | Figures
    | Table
    | Bars
    | Items
    | Steps
    | Omitted
    | Files
    | Action
)
BLOCKS: Mapping[str, type[Any]] = {
    "verdict": Verdict,
    "heading": Heading,
    "sentence": Sentence,
    "figures": Figures,
    "table": Table,
    "bars": Bars,
    "items": Items,
    "steps": Steps,
    "omitted": Omitted,
    "files": Files,
    "action": Action,
}
"""The blocks by their ``type`` in JSON."""
TYPES: Mapping[type[Any], str] = {block: name for name, block in BLOCKS.items()}


# --- to and from JSON -----------------------------------------------------------------


def block_to_json(block: Block) -> dict[str, Any]:
    """Return the JSON object of a block, which leaves out fields of no value."""
    return {"type": TYPES[type(block)], **to_json(block)}


def block_from_json(document: Mapping[str, Any]) -> Block | None:
    """Return the block of a JSON object, or None for a type of a newer release."""
    block_class = BLOCKS.get(document.get("type", ""))
    if block_class is None:
        return None
    block: Block = from_json(block_class, document)
    return block


def to_json(value: Any) -> dict[str, Any]:
    """Return the fields of a value that differ from their defaults."""
    defaults = value._field_defaults
    document = {}
    for name, content in zip(value._fields, value, strict=True):
        if name not in defaults or content != defaults[name]:
            writer = _WRITERS.get((type(value), name))
            document[name] = content if writer is None else writer(content)
    return document


def from_json(record_class: type[Any], document: Mapping[str, Any]) -> Any:
    """Return the value of a JSON object, without the fields of a newer release."""
    fields = {}
    for name in record_class._fields:
        if name in document:
            content = document[name]
            reader = _READERS.get((record_class, name))
            fields[name] = content if reader is None else reader(content)
    return record_class(**fields)


def _spans_to_json(text: Spans) -> str | list[Any]:
    """Return a text: a string, or a list if it has several pieces or a style."""
    pieces: list[Any] = [
        {span.style: span.text} if span.style else span.text for span in text
    ]
    if not pieces:
        return ""
    return plain(text) if pieces == [plain(text)] else pieces


def _spans_from_json(document: str | Sequence[Any]) -> Spans:
    if isinstance(document, str):
        return text_of(document)
    spans = []
    for piece in document:
        if isinstance(piece, str):
            spans.append(Span(piece))
        else:
            # A style of a newer release is shown as plain text.
            style, text = next(iter(piece.items()))
            is_known = style in ("code", "strong")
            spans.append(Span(text, style if is_known else ""))
    return tuple(spans)


def _cell_to_json(cell: Cell) -> Any:
    """Return a cell: its value, or an object if the cell says more."""
    if cell == Cell(cell.value):
        return cell.value
    return to_json(cell)


def _cell_from_json(document: Any) -> Cell:
    if isinstance(document, Mapping):
        cell: Cell = from_json(Cell, document)
        return cell
    return Cell(document)


def _rows_to_json(rows: Iterable[Iterable[Cell]]) -> list[list[Any]]:
    return [[_cell_to_json(cell) for cell in row] for row in rows]


def _rows_from_json(document: Iterable[Iterable[Any]]) -> Any:
    return tuple(
        tuple(_cell_from_json(cell) for cell in row) for row in document
    )


def _steps_to_json(steps: Iterable[Spans]) -> list[Any]:
    return [_spans_to_json(step) for step in steps]


def _steps_from_json(document: Iterable[Any]) -> tuple[Spans, ...]:
    return tuple(_spans_from_json(step) for step in document)


_LISTS: Mapping[tuple[type[Any], str], type[Any]] = {
    (Figures, "figures"): Figure,
    (Table, "columns"): Column,
    (Bars, "bars"): Bar,
    (Items, "items"): Item,
    (Files, "files"): File,
}
"""The fields that are lists, with the class of their values."""


def _list_to_json(values: Iterable[Any]) -> list[dict[str, Any]]:
    return [to_json(value) for value in values]


def _list_reader(record_class: type[Any]) -> Callable[[Any], Any]:
    def read(document: Iterable[Mapping[str, Any]]) -> tuple[Any, ...]:
        return tuple(from_json(record_class, each) for each in document)

    return read


_WRITERS: Mapping[tuple[type[Any], str], Callable[[Any], Any]] = {
    **dict.fromkeys(_LISTS, _list_to_json),
    (Sentence, "text"): _spans_to_json,
    (Item, "text"): _spans_to_json,
    (Steps, "steps"): _steps_to_json,
    (Table, "rows"): _rows_to_json,
    (Action, "parameters"): dict,
}
_READERS: Mapping[tuple[type[Any], str], Callable[[Any], Any]] = {
    **{field: _list_reader(item) for field, item in _LISTS.items()},
    (Sentence, "text"): _spans_from_json,
    (Item, "text"): _spans_from_json,
    (Steps, "steps"): _steps_from_json,
    (Table, "rows"): _rows_from_json,
}
