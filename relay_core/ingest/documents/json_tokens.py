"""The tokens of a JSON document, read without a tree of the document.

Values that fit into a window of the document are decoded by `json`, which is fast. Larger
ones are walked, key by key and item by item. Numbers keep the form of the file, as bytes.
"""

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn

from relay_core.domain.limits import MAX_LEVELS
from relay_core.ingest.documents.json_faults import (
    ANY_KEYS,
    MAYBE_SURROGATE,
    UNIQUE_KEYS,
    find_fault,
    is_too_deep,
)
from relay_core.ingest.documents.records import broken_document

_WINDOW_BYTES = 1 << 20
"""The size of the part of a document that is in memory as a text."""
_SPACE = re.compile(r"[ \t\n\r]*")
_KEY = re.compile(
    r'("[^"\\]*+(?:\\.[^"\\]*+)*+")[ \t\n\r]*:[ \t\n\r]*', re.DOTALL
)
_LONGEST_TOKEN = len("-Infinity") + 1
"""Fewer characters may be a token that goes on behind the window."""
_CONTAINERS = frozenset((dict, list))
_EXPONENT = len("e+") + 1
"""Fewer characters behind a number may belong to it."""
_NO_COMMA = "a comma, or the end of the list or object, must be here"
_NO_KEY = "a key in double quotes must be here"
_REASONS = {
    "Expecting ',' delimiter": _NO_COMMA,
    "Expecting ':' delimiter": "a colon must be here",
    "Expecting property name enclosed in double quotes": _NO_KEY,
    "Expecting value": "a value must be here",
    "Illegal trailing comma before end of object": _NO_KEY,
    "Illegal trailing comma before end of array": "a value must be here",
    "Unterminated string starting at": "the string has no end",
}
"""The messages of `json` as clauses."""
_SPACED_COLONS = (" :", "\t:", "\n:", "\r:")


class DocumentText:
    """A part of a document as a text, which moves on through the document.

    Attributes:
        part: The text.
        position: The index in the text of the next character.
    """

    def __init__(self, document: memoryview) -> None:
        self._document = document
        self._start = 0  # the offset of the part in the document, in bytes
        self._end = 0  # the offset of its end
        self._lines_before = 0  # the number of line ends before `_counted`
        self._counted = 0  # an index in the text
        self.part = ""
        self.position = 0
        self.extend()

    @property
    def is_last(self) -> bool:
        """Return True if the part reaches to the end of the document."""
        return self._end == len(self._document)

    def extend(self) -> None:
        """Drop the text before the position, and double the rest, at least a window."""
        if self.position == len(self.part) and self.part.endswith("\r"):
            self.position -= 1  # the next part may begin with the rest of CRLF
        self.line()
        passed = self.part[: self.position]
        self._start += len(passed) if passed.isascii() else len(passed.encode())
        size = max(_WINDOW_BYTES, 2 * (self._end - self._start))
        end = min(self._start + size, len(self._document))
        # No character is cut: its later bytes begin with the bits 10.
        while end < len(self._document) and self._document[end] & 0xC0 == 0x80:
            end += 1
        self._end = end
        self.part = str(self._document[self._start : end], "utf-8")
        self.position = 0
        self._counted = 0

    def line(self) -> int:
        """Return the line of the position, from 1."""
        self._lines_before += _line_ends(
            self.part, self._counted, self.position
        )
        self._counted = self.position
        return self._lines_before + 1

    def place(self, index: int) -> tuple[int, int]:
        """Return the line and the column of an index in the text, both from 1."""
        line = self._lines_before + 1
        if index >= self._counted:
            line += _line_ends(self.part, self._counted, index)
        else:
            line -= _line_ends(self.part, index, self._counted)
        line_end = max(
            self.part.rfind("\n", 0, index), self.part.rfind("\r", 0, index)
        )
        if line_end >= 0 or not self._start:
            return line, index - line_end
        head = bytes(self._document[: self._start])
        line_start = head[max(head.rfind(b"\n"), head.rfind(b"\r")) + 1 :]
        return line, len(line_start.decode()) + index + 1

    def next(self) -> str:
        """Move on to the next character that is not white space; return it, or ``""``."""
        character = self.part[self.position : self.position + 1]
        if character > " ":
            return character
        while True:
            match = _SPACE.match(self.part, self.position)
            self.position = match.end() if match else self.position
            if self.position < len(self.part):
                return self.part[self.position]
            if self.is_last:
                return ""
            self.extend()


def _line_ends(text: str, start: int, stop: int) -> int:
    """Return the number of line ends in a part of a text: LF, CRLF, and CR."""
    return (
        text.count("\n", start, stop)
        + text.count("\r", start, stop)
        - text.count("\r\n", start, stop)
    )


@dataclass(slots=True)
class JsonCursor:
    """A position in a document, and the values that begin there.

    Every method raises a `FeedUnreadableError` with ``DECODE_ERROR`` where the document
    is not valid JSON.
    """

    document: memoryview
    text: DocumentText = field(init=False)
    _level: int = 0  # the number of open objects and lists

    def __post_init__(self) -> None:
        """Begin before the document."""
        self.text = DocumentText(self.document)

    def end(self) -> None:
        """Check that nothing but white space follows."""
        if self.text.next():
            self.refuse("the document has ended, but more text follows")

    def items(self) -> Iterator[None]:
        """Yield with the position at each item of a list, which the caller reads."""
        text = self.text
        with self._opened():
            if text.next() == "]":
                text.position += 1
                return
            is_more = True
            while is_more:
                text.next()
                yield
                is_more = self._goes_on("]")

    def members(self) -> Iterator[str]:
        """Yield each key of an object, with the position at its value."""
        text = self.text
        earlier_keys: set[str] = set()
        with self._opened():
            if text.next() == "}":
                text.position += 1
                return
            is_more = True
            while is_more:
                yield self._key(earlier_keys)
                is_more = self._goes_on("}")

    def decoded(self) -> tuple[bool, Any]:
        """Return whether the value at the position fits into a window, and the value.

        An object or a list that does not fit stays at the position.
        """
        text = self.text
        if text.next() not in ("{", "["):
            return True, self.decoded_value()
        was_extended = False
        while True:
            decoded = self._try_decode()
            if decoded is not None:
                value, text.position = decoded
                return True, value
            if was_extended or text.is_last:
                return False, None
            text.extend()
            was_extended = True

    def decoded_value(self) -> Any:
        """Return the value at the position, however large it is."""
        text = self.text
        text.next()
        decoded = self._try_decode()
        while decoded is None:
            text.extend()
            decoded = self._try_decode()
        value, text.position = decoded
        return value

    def refuse(self, reason: str, index: int | None = None) -> NoReturn:
        """Raise the error of a document that is not valid JSON.

        Args:
            reason: The reason, as a clause.
            index: The index of the fault in the text; by default the position.
        """
        place = self.text.position if index is None else index
        line, column = self.text.place(place)
        raise broken_document("valid JSON", reason, line, column)

    @contextmanager
    def _opened(self) -> Iterator[None]:
        """Pass the bracket that begins a list or an object, and count its level."""
        self._level += 1
        if self._level > MAX_LEVELS:
            self.refuse(f"the document has more than {MAX_LEVELS} levels")
        self.text.position += 1
        yield
        self._level -= 1

    def _key(self, earlier_keys: set[str]) -> str:
        """Read a key of an object and its colon."""
        text = self.text
        if text.next() != '"':
            self.refuse(_NO_KEY)
        match = _KEY.match(text.part, text.position)
        while match is None and not text.is_last:
            text.extend()
            match = _KEY.match(text.part, text.position)
        if match is None:
            self.refuse("a key and a colon must be here")
        fault = find_fault(match[1], self._level, MAX_LEVELS)
        if fault is not None:
            self.refuse(fault.reason, text.position + fault.position)
        try:
            key = str(json.loads(match[1]))
        except ValueError:
            self.refuse("the key has an invalid escape or a control character")
        if key in earlier_keys:
            self.refuse(f"the object has the key {match[1][:60]} twice")
        earlier_keys.add(key)
        text.position = match.end()
        text.next()
        return key

    def _goes_on(self, end: str) -> bool:
        """Pass a comma, or the end of a list or an object; return True for a comma."""
        character = self.text.next()
        if character not in (",", end):
            self.refuse(_NO_COMMA)
        self.text.position += 1
        return character == ","

    def _try_decode(self) -> tuple[Any, int] | None:
        """Return the value at the position and its end; None if the text is too short."""
        text = self.text
        start = text.position
        try:
            value, end = ANY_KEYS.raw_decode(text.part, start)
            if type(value) in _CONTAINERS and self._may_repeat_keys(
                value, start, end
            ):
                value, end = UNIQUE_KEYS.raw_decode(text.part, start)
        except json.JSONDecodeError as error:
            is_cut = error.msg.startswith("Unterminated string") or (
                error.pos > len(text.part) - _LONGEST_TOKEN
            )
            if is_cut and not text.is_last:
                return None
            self._refuse_value(start, error)
        except (ValueError, RecursionError):
            self._refuse_value(start)
        may_go_on = type(value) is bytes and end > len(text.part) - _EXPONENT
        if may_go_on and not text.is_last:
            return None
        if type(value) in _CONTAINERS or type(value) is str:
            self._check_value(start, end)
        return value, end

    def _may_repeat_keys(self, value: Any, start: int, end: int) -> bool:
        """Return True if a decoded value may have lost the first of two equal keys."""
        part = self.text.part
        colon_count = part.count('":', start, end)
        if colon_count != _key_count(value):
            return True
        return any(part.find(text, start, end) >= 0 for text in _SPACED_COLONS)

    def _check_value(self, start: int, end: int) -> None:
        """Check the levels and the surrogates of a decoded value."""
        part = self.text.part
        open_count = part.count("{", start, end) + part.count("[", start, end)
        levels_left = MAX_LEVELS - self._level
        may_be_deep = open_count > levels_left and is_too_deep(
            part[start:end], levels_left
        )
        if may_be_deep or MAYBE_SURROGATE.search(part, start, end):
            fault = find_fault(part[start:end], self._level, MAX_LEVELS)
            if fault is not None:
                self.refuse(fault.reason, start + fault.position)

    def _refuse_value(
        self,
        start: int,
        error: json.JSONDecodeError | None = None,
    ) -> NoReturn:
        """Refuse the value at an index, which cannot be decoded, where its fault is."""
        fault = find_fault(self.text.part[start:], self._level, MAX_LEVELS)
        if fault is not None:
            index = start + fault.position
            if error is None or index < error.pos:
                self.refuse(fault.reason, index)
        if error is None:
            self.refuse("the value cannot be read", start)
        reason = _REASONS.get(error.msg)
        if reason is None:
            reason = error.msg[:1].lower() + error.msg[1:].removesuffix(" at")
        self.refuse(reason, error.pos)


def _key_count(value: Any) -> int:
    """Return the number of keys of all objects in a value."""
    if isinstance(value, dict):
        count = len(value)
        members: Iterable[Any] = value.values()
    else:
        count = 0
        members = value
    for member in members:
        if type(member) in _CONTAINERS:
            count += _key_count(member)
    return count
