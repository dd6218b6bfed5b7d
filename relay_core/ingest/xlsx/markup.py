"""XML that is written as programs write workbooks, taken apart as arrays of tags.

Elements of a few names that stand in one another in a few ways, attributes in double quotes. What
is written in another way is no less XML, and is for a parser that reads element by element.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar.text import WORD, Ints, change_rows, flags_of, texts_between

_LESS, _MORE, _QUOTE, _EQUALS, _SPACE, _SLASH = (ord(each) for each in '<>"= /')
_ENTITIES = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
_ENTITY = re.compile(r"&(?:#x([0-9a-fA-F]{1,6})|#([0-9]{1,7})|([a-z]{1,4}));|&")


Bounds = tuple[Ints, Ints]
"""Where some texts start and end."""


class OddMarkupError(ValueError):
    """The XML is written in a way that is not read here."""


@dataclass(frozen=True, slots=True)
class Grammar:
    """Which tags there are, by their first two characters, and which may follow which.

    Attributes:
        kinds: of tag starts such as ``c `` and ``/c``; 0 for all others.
        follows: by two kinds, whether the second may come right behind the first.
        names: the number of each kind. A kind that may be empty has the next number then.
    """

    kinds: npt.NDArray[np.uint8]
    follows: npt.NDArray[np.bool_]
    names: Mapping[str, int]

    @classmethod
    def of(cls, starts: Mapping[str, Iterable[str]], follows: Mapping[str, str]) -> Grammar:
        """Return the grammar of tags by name; ``name/`` is the empty element of a name."""
        names = {name: 2 * place + 1 for place, name in enumerate(starts)}
        names |= {f"{name}/": number + 1 for name, number in names.items()}
        kinds = np.zeros(1 << 16, np.uint8)
        for name, marks in starts.items():
            for mark in marks:
                kinds[int.from_bytes(mark.encode(), "little")] = names[name]
        size = max(names.values()) + 1
        allowed = np.zeros((size, size), np.bool_)
        for name, nexts in follows.items():
            allowed[names[name], [names[each] for each in nexts.split()]] = True
        return cls(kinds, allowed, names)


class Tags:
    """The tags of a piece of XML that holds whole elements.

    Raises:
        OddMarkupError: it is not written as the grammar has it.
    """

    def __init__(self, piece: bytes, grammar: Grammar) -> None:
        if b"='" in piece:
            raise OddMarkupError
        self.data = np.frombuffer(piece + bytes(WORD), np.uint8)
        data = self.data[: len(piece)]
        self.starts = np.flatnonzero(data == _LESS)
        self.ends = _tag_ends(data, self.starts)
        self._quotes = np.append(np.flatnonzero(data == _QUOTE), [len(piece)] * 2)
        pairs = np.lib.stride_tricks.as_strided(
            self.data[:2].view(np.uint16), shape=(len(piece) + 1,), strides=(1,)
        )
        self.kinds = grammar.kinds[pairs[self.starts + 1]]
        self.kinds[(self.data[self.ends - 1] == _SLASH) & (self.kinds > 0)] += 1
        following = self.kinds[:-1].astype(np.int64) * len(grammar.follows) + self.kinds[1:]
        if not grammar.follows.ravel()[following].all() or 0 in self.kinds[:1]:
            raise OddMarkupError

    def attributes(self, tags: Ints, names: str) -> dict[str, Bounds]:
        """Return where the values of attributes of one letter start and end, of some tags.

        Where a tag lacks it both are 0.

        Raises:
            OddMarkupError: a tag has other marks among its attributes.
        """
        found = {name: (_zeros(tags), _zeros(tags)) for name in names}
        first = np.searchsorted(self._quotes, self.starts[tags])
        counts = np.searchsorted(self._quotes, self.ends[tags]) - first
        if (counts & 1).any():
            raise OddMarkupError
        for place in range(0, int(counts.max(initial=0)), 2):
            some = np.flatnonzero(counts > place)
            opens, closes = (self._quotes[first[some] + place + n] for n in (0, 1))
            if (self.data[opens - 1] != _EQUALS).any():
                raise OddMarkupError
            letters = np.where(self.data[opens - 3] == _SPACE, self.data[opens - 2], 0)
            for name, (start, end) in found.items():
                named = letters == ord(name)
                start[some[named]], end[some[named]] = opens[named] + 1, closes[named]
        return found

    def numbers(self, starts: Ints, ends: Ints) -> Ints:
        """Return the whole numbers that stand there; 0 where nothing does.

        Raises:
            OddMarkupError: something else stands there.
        """
        found = np.zeros(len(starts), np.int64)
        lengths = ends - starts
        most = int(lengths.max(initial=0))
        if most > 9:
            raise OddMarkupError
        for place in range(most):
            some = np.flatnonzero(lengths > place)
            digits = self.data[starts[some] + place].astype(np.int64) - ord("0")
            if (digits < 0).any() or (digits > 9).any():
                raise OddMarkupError
            found[some] = 10 * found[some] + digits
        return found

    def texts(self, tags: Ints) -> pa.StringArray:
        """Return what stands between these tags and the next ones, as text.

        Raises:
            OddMarkupError: it is not UTF-8, or has an entity that XML does not know.
        """
        texts = texts_between(self.data, self.ends[tags] + 1, self.starts[tags + 1])
        try:
            texts.validate(full=True)
        except pa.ArrowInvalid as error:
            raise OddMarkupError from error
        texts = changed(texts, "\r", lambda each: each.replace("\r\n", "\n").replace("\r", "\n"))
        return changed(texts, "&", lambda each: _ENTITY.sub(_character, each))


def _tag_ends(data: npt.NDArray[np.uint8], starts: Ints) -> Ints:
    """Return where each tag ends."""
    ends = np.flatnonzero(data == _MORE)
    if len(ends) == len(starts) and (ends > starts).all() and (ends[:-1] < starts[1:]).all():
        return ends
    ends = np.append(ends, len(data))  # some stand in texts
    found = ends[np.searchsorted(ends, starts)]
    if len(found) and found[-1] == len(data):
        raise OddMarkupError
    return found


def _zeros(tags: Ints) -> Ints:
    return np.zeros(len(tags), np.int64)


def changed(texts: pa.StringArray, mark: str, change: Callable[[str], str]) -> pa.StringArray:
    """Return texts with those changed that hold a mark."""
    rows = np.flatnonzero(flags_of(pc.match_substring(texts, mark)))
    return change_rows(
        texts, rows, lambda some: pa.array([change(each) for each in some.to_pylist()], pa.string())
    )


def _character(entity: re.Match[str]) -> str:
    hexadecimal, decimal, name = entity.groups()
    try:
        if name is not None:
            return _ENTITIES[name]
        character = chr(int(hexadecimal, 16) if hexadecimal else int(decimal))
        character.encode()
    except (KeyError, TypeError, ValueError) as error:
        raise OddMarkupError from error
    return character
