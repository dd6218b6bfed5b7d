"""XML to text columns with record numbers, read by expat without a tree.

Names are local ones: prefixes are dropped. A value is an attribute, or an element's own
text, trimmed. Nothing that a document refers to is fetched.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from relay_core.config import ParserConfig
from relay_core.domain.limits import MAX_LEVELS, Limits
from relay_core.ingest import feed
from relay_core.ingest.documents.named_values import (
    NO_VALUE,
    Cell,
    NamedValues,
    NoValue,
)
from relay_core.ingest.documents.records import (
    DocumentPlan,
    DocumentRecords,
    check_width,
)
from relay_core.ingest.documents.survey import Survey, nothing_there
from relay_core.ingest.documents.xml_events import (
    XmlEvents,
    attribute_names,
    check_level,
    encoding_of,
    local_name,
    read_events,
)
from relay_core.ingest.keyed_cells import paused_garbage_collector

_UNSET = NoValue()
"""The value of an element of a record that is still open."""


def read_xml_document(
    data: feed.Buffer,
    parser: ParserConfig,
    limits: Limits,
) -> feed.ParsedFeed:
    """Return the records at ``parser.record``; record 1 is the first one.

    Raises:
        FeedUnreadableError: ``DECODE_ERROR`` if the bytes are not in their encoding, or
            are not well-formed XML. ``invalid_input`` if nothing is at the path, for
            declarations in a DOCTYPE, and for too many headers or too large a cell;
            ``batches`` raises it too.
    """
    text = feed.decode_feed(data, encoding_of(data, parser.encoding))
    if not bytes(text[:1]).strip() and not bytes(text).strip():
        return feed.ParsedFeed(None, size=len(data))
    plan = DocumentPlan.of(parser.record_path, parser.named_headers)
    records = DocumentRecords(plan, limits)
    with paused_garbage_collector():
        read_events(text, _Reader(plan, records, limits))
    if not records.count and not records.is_empty_place:
        raise nothing_there(parser.record_path, survey_xml(text))
    return records.parsed(len(data))


def survey_xml(text: memoryview) -> Survey:
    """Return the survey of a document as UTF-8.

    Raises:
        FeedUnreadableError: As `read_xml_document` raises it for a broken document.
    """
    reader = _SurveyReader()
    read_events(text, reader)
    return reader.survey


@dataclass(slots=True)
class _Place:
    """A path of the document that elements have."""

    name: str  # the local name
    # The level, if the path leads to the records or is theirs
    level: int | None = None
    header: str = ""  # the header, if the path is a record's or within one
    # The children by name with prefix.
    children: dict[str, "_Place"] = field(default_factory=dict)

    def header_of(self, name: str) -> str:
        """Return the header of a value within this one; empty outside of records."""
        if self.header in ("", "."):
            return name if self.header else ""
        return f"{self.header}/{name}"


@dataclass(slots=True)
class _Reader(XmlEvents):
    """Collects the records of a document."""

    plan: DocumentPlan
    records: DocumentRecords
    limits: Limits
    line: Callable[[], int] = field(init=False)
    _named: NamedValues | None = field(init=False)
    _place: _Place = field(init=False)
    _places: list[_Place] = field(default_factory=list)
    # The texts of the open elements
    _texts: list[str] = field(default_factory=list)
    # Whether the open element has a child element so far
    _has_children: bool = False
    # The cells of the record that is open, by header
    _record: dict[str, Cell | NoValue] | None = None
    _line: int = 0  # the line on which it begins

    def __post_init__(self) -> None:
        """Begin with the document itself, which is the record if the path says so."""
        self._named = self.plan.named_values()
        self._place = _Place("", level=0)
        self.records.enter_level(0)
        if self._named:
            self._named.enter("", 0)
        if not self.plan.names:
            self._place.header = "."
            self._record = {}
            self._line = 1

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """Begin an element."""
        place = self._place.children.get(name) or self._new_place(name)
        self._places.append(self._place)
        self._place = place
        if len(self._places) > MAX_LEVELS:
            check_level(len(self._places), self.line)
        self._has_children = False
        self._texts.append("")
        if place.level is not None:
            self._enter_level(place)
        elif self._named:
            self._named.enter(place.name)
        if attributes:
            self._add_attributes(place, attributes)
        record = self._record
        if record is not None and place.header not in record:
            record[place.header] = _UNSET

    def text(self, part: str) -> None:
        """Take a part of the open element's own text."""
        if self._record is None and self._named is None:
            return
        before = self._texts[-1]
        if not before:
            self._texts[-1] = part
            return
        limit = self.limits.cell_bytes
        # Too large a cell is refused later; the rest of it need not be in memory.
        if len(before) <= limit or len(before.strip()) <= limit:
            self._texts[-1] = before + part

    def end(self, name: str) -> None:
        """End an element."""
        place = self._place
        text = self._texts.pop().strip()
        has_children = self._has_children
        self._has_children = True  # the element around this one has this child
        cell = NO_VALUE if has_children and not text else text
        record = self._record
        if record is not None and record[place.header] is _UNSET:
            if cell is NO_VALUE:
                del record[place.header]
            else:
                record[place.header] = cell
        self._place = self._places.pop()
        if place.level is not None:
            is_last_parent = place.level == self.plan.record_level - 1
            self.records.is_empty_place |= is_last_parent and not has_children
            self._leave_level(place.level, cell)
        elif self._named:
            self._named.leave(cell)

    def finish(self) -> None:
        """End the document."""
        self._leave_level(0, NO_VALUE)

    def _enter_level(self, place: _Place) -> None:
        """Begin an element on the way to the records, or a record."""
        level = place.level
        if level is None:
            return
        self.records.enter_level(level)
        if self._named:
            self._named.enter(place.name, level)
        if level == self.plan.record_level:
            self._record = {}
            self._line = self.line()

    def _leave_level(self, level: int, cell: Cell | NoValue) -> None:
        """End an element on the way to the records, or a record."""
        found = self._named.leave(cell) if self._named else {}
        if level < self.plan.record_level:
            self.records.leave_level(level, found)
            return
        cells: dict[str, Cell] = {}
        for header, value in (self._record or {}).items():
            if not isinstance(value, NoValue):
                cells[header] = value
        cells |= found
        self._record = None
        self.records.add(cells, self._line)

    def _add_attributes(
        self,
        place: _Place,
        attributes: dict[str, str],
    ) -> None:
        """Take the attributes of the element that begins."""
        record = self._record
        for attribute, name in attribute_names(attributes):
            cell = attributes[attribute].strip()
            if record is not None:
                record.setdefault(place.header_of(name), cell)
            if self._named:
                self._named.enter(name)
                self._named.leave(cell)

    def _leads_on(self, level: int, name: str) -> bool:
        """Return True if a name leads on from a level of the path of records."""
        return self.plan.names[level : level + 1] == (name,)

    def _new_place(self, raw_name: str) -> _Place:
        """Return the place of a child of the open element that had none yet."""
        parent = self._place
        name = local_name(raw_name)
        place = _Place(name, header=parent.header_of(name))
        if parent.level is not None and self._leads_on(parent.level, name):
            place.level = parent.level + 1
            if place.level == self.plan.record_level:
                place.header = "."
        if self._record is not None:
            check_width(len(self._record) - len(self._places), self.limits)
            parent.children[raw_name] = place
        elif len(parent.children) < self.limits.columns:
            parent.children[raw_name] = place
        return place


@dataclass(slots=True)
class _SurveyReader(XmlEvents):
    """Enters the elements and attributes of a document into a survey."""

    line: Callable[[], int] = field(init=False)
    survey: Survey = field(default_factory=Survey)
    # Whether the open elements have text, and child elements
    _have_text: list[bool] = field(default_factory=list)
    _have_children: list[bool] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin with the document itself."""
        self.survey.enter("")

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """Begin an element."""
        if self._have_children:
            self._have_children[-1] = True
        check_level(len(self._have_children) + 1, self.line)
        self.survey.enter(local_name(name))
        for _, attribute in attribute_names(attributes):
            self.survey.enter(attribute)
            self.survey.leave(is_cell=True)
        self._have_text.append(False)
        self._have_children.append(False)

    def text(self, part: str) -> None:
        """Take a part of the open element's own text."""
        if not part.isspace():
            self._have_text[-1] = True

    def finish(self) -> None:
        """End the document."""
        self.survey.leave(is_cell=False)

    def end(self, name: str) -> None:
        """End an element."""
        has_text = self._have_text.pop()
        has_children = self._have_children.pop()
        self.survey.leave(is_cell=has_text or not has_children)
