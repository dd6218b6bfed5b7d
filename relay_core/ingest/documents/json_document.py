"""A JSON document to text columns with record numbers.

The document is walked down to its records, and each record is decoded by itself. So no
tree of the document is kept.
"""

from dataclasses import dataclass, field
from typing import Any

from relay_core.config import ParserConfig
from relay_core.domain.document_paths import is_name
from relay_core.domain.limits import Limits
from relay_core.ingest import feed
from relay_core.ingest.documents.json_tokens import JsonCursor
from relay_core.ingest.documents.named_values import NO_VALUE, Cell, NamedValues
from relay_core.ingest.documents.records import (
    DocumentPlan,
    DocumentRecords,
    check_width,
)
from relay_core.ingest.documents.survey import Survey, nothing_there
from relay_core.ingest.keyed_cells import (
    NESTED_TYPES,
    paused_garbage_collector,
)

_MAX_HEADERS = 100
"""The number of key sequences that a reader remembers."""


def read_json_document(
    data: feed.Buffer,
    parser: ParserConfig,
    limits: Limits,
) -> feed.ParsedFeed:
    """Return the records at ``parser.record``; record 1 is the first one.

    Raises:
        FeedUnreadableError: ``DECODE_ERROR`` if the bytes are not in
            ``parser.encoding``, or are not valid JSON. ``invalid_input`` if nothing is
            at the path, or for too many headers or too large a cell; ``batches`` raises
            it too.
    """
    text = feed.decode_feed(data, parser.encoding)
    plan = DocumentPlan.of(parser.record_path, parser.named_headers)
    records = DocumentRecords(plan, limits)
    cursor = JsonCursor(text)
    if not cursor.text.next():
        return feed.ParsedFeed(None, size=len(data))
    with paused_garbage_collector():
        _Reader(cursor, plan, records).read_parent("", 0)
        cursor.end()
    if not records.count and not records.is_empty_place:
        raise nothing_there(parser.record_path, survey_json(text))
    return records.parsed(len(data))


def survey_json(text: memoryview) -> Survey:
    """Return the survey of a document as UTF-8.

    Raises:
        FeedUnreadableError: ``DECODE_ERROR``: it is not valid JSON.
    """
    survey = Survey()
    cursor = JsonCursor(text)
    if cursor.text.next():
        _survey_value("", cursor, survey)
        cursor.end()
    return survey


@dataclass(slots=True)
class _Reader:
    """Walks a document down to its records."""

    cursor: JsonCursor
    plan: DocumentPlan
    records: DocumentRecords
    _named: NamedValues | None = field(init=False)
    # Keys of earlier records that are headers as they are
    _headers: set[tuple[str, ...]] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Look for the named paths of the plan."""
        self._named = self.plan.named_values()

    def read_parent(self, name: str, level: int) -> None:
        """Read a value on the way to the records, or a record, at the position."""
        character = self.cursor.text.next()
        is_last_parent = level == self.plan.record_level - 1
        is_record = level == self.plan.record_level
        if character == "[":
            is_empty = True
            for _ in self.cursor.items():
                self.read_parent(name, level)
                is_empty = False
            self.records.is_empty_place |= is_empty and (
                is_record or is_last_parent
            )
        elif is_record:
            self._read_record(name)
        elif character == "{":
            self._read_object(name, level)
        else:
            self.cursor.decoded_value()
            self.records.is_empty_place |= is_last_parent

    def _read_object(self, name: str, level: int) -> None:
        """Read an object on the way to the records."""
        self.records.enter_level(level)
        if self._named:
            self._named.enter(name, level)
        is_empty = True
        for key in self.cursor.members():
            is_empty = False
            if key == self.plan.names[level]:
                self.read_parent(key, level + 1)
            else:
                self._read_other(key)
        is_last_parent = level == self.plan.record_level - 1
        self.records.is_empty_place |= is_empty and is_last_parent
        if self._named:
            self.records.leave_level(level, self._named.leave(NO_VALUE))

    def _read_other(self, name: str) -> None:
        """Read a value beside the way to the records."""
        fits, value = self.cursor.decoded()
        if fits:
            self._name_values(name, value)
        elif self.cursor.text.next() == "[":
            for _ in self.cursor.items():
                self._read_other(name)
        else:
            if self._named:
                self._named.enter(name)
            for key in self.cursor.members():
                self._read_other(key)
            if self._named:
                self._named.leave(NO_VALUE)

    def _read_record(self, name: str) -> None:
        """Read a value at the path of records that is not a list."""
        line = self.cursor.text.line()
        level = self.plan.record_level
        record: dict[str, Cell] = {}
        fits, value = self.cursor.decoded()
        if fits:
            if isinstance(value, dict):
                record = self._record_of(value)
            else:
                record["."] = value
            record |= self._name_values(name, value, level)
        else:
            if self._named:
                self._named.enter(name, level)
            self._read_members(record, "")
            if self._named:
                record |= self._named.leave(NO_VALUE)
        self.records.add(record, line)

    def _record_of(self, value: dict[str, Any]) -> dict[str, Cell]:
        """Return the cells of a decoded object by their headers."""
        keys = tuple(value)
        if keys in self._headers and NESTED_TYPES.isdisjoint(
            map(type, value.values())
        ):
            return value
        record: dict[str, Cell] = {}
        _flatten(value, "", record)
        if tuple(record) == keys and len(self._headers) < _MAX_HEADERS:
            self._headers.add(keys)
        return record

    def _read_members(self, record: dict[str, Cell], prefix: str) -> None:
        """Read an object within a record that does not fit into a window."""
        for key in self.cursor.members():
            self._read_member(record, key, prefix)

    def _read_member(
        self,
        record: dict[str, Cell],
        key: str,
        prefix: str,
    ) -> None:
        """Read a value within a record that does not fit into a window."""
        check_width(len(record), self.records.limits)
        fits, value = self.cursor.decoded()
        if fits:
            _flatten({key: value}, prefix, record)
            self._name_values(key, value)
        elif self.cursor.text.next() == "[":
            for _ in self.cursor.items():
                self._read_member(record, key, prefix)
        else:
            if self._named:
                self._named.enter(key)
            # Values below a key without a header have no headers either.
            cells = record if is_name(key) else {}
            self._read_members(cells, f"{prefix}{key}/")
            if self._named:
                self._named.leave(NO_VALUE)

    def _name_values(
        self,
        name: str,
        value: Any,
        level: int | None = None,
    ) -> dict[str, Cell]:
        """Look for the values at named paths in a decoded value.

        Return those at the paths that begin at the value.
        """
        named = self._named
        if named is None:
            return {}
        if isinstance(value, list):
            for item in value:
                self._name_values(name, item)
            return {}
        named.enter(name, level)
        if not isinstance(value, dict):
            return named.leave(value)
        if named.is_watched:
            for key, member in value.items():
                self._name_values(key, member)
        return named.leave(NO_VALUE)


def _flatten(
    value: dict[str, Any],
    prefix: str,
    record: dict[str, Cell],
) -> None:
    """Enter the values of an object into a record, by their headers."""
    for key, member in value.items():
        if not is_name(key):
            continue
        if isinstance(member, dict):
            _flatten(member, f"{prefix}{key}/", record)
        elif isinstance(member, list):
            for item in member:
                _flatten({key: item}, prefix, record)
        else:
            record.setdefault(prefix + key, member)


# --- the survey ---------------------------------------------------------------------


def _survey_value(name: str, cursor: JsonCursor, survey: Survey) -> None:
    """Enter the value at the position, and all within it, into a survey."""
    fits, value = cursor.decoded()
    if fits:
        _survey_decoded(name, value, survey)
    elif cursor.text.next() == "[":
        for _ in cursor.items():
            _survey_value(name, cursor, survey)
    else:
        survey.enter(name)
        for key in cursor.members():
            _survey_value(key, cursor, survey)
        survey.leave(is_cell=False)


def _survey_decoded(name: str, value: Any, survey: Survey) -> None:
    """Enter a decoded value, and all within it, into a survey."""
    if isinstance(value, list):
        for item in value:
            _survey_decoded(name, item, survey)
        return
    survey.enter(name)
    if isinstance(value, dict):
        for key, member in value.items():
            if is_name(key):
                _survey_decoded(key, member, survey)
    survey.leave(is_cell=not isinstance(value, dict))
