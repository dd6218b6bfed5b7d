"""YAML with comments: a document, and a text above each of its lines that needs one."""

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from relay_core.config.reading.scalars import NumberText

Path = tuple[str | int, ...]
"""The path of a value in a document: keys and indexes."""
Comments = Mapping[Path, Sequence[str]]
"""The paragraphs of the comment above a value, by the path of the value."""
_WIDTH = 88
_MIN_WIDTH = 40
_PLAIN_TEXT = re.compile(r"[A-Za-z](?:[A-Za-z0-9 _./-]*[A-Za-z0-9_.])?")
_ESCAPES = {"\t": r"\t", "\n": r"\n"}
_WORDS_OF_YAML = frozenset(
    ("false", "n", "no", "null", "off", "on", "true", "y", "yes"),
)
"""Texts that are another value without quotes."""


def commented_yaml(document: Mapping[str, Any], comments: Comments) -> str:
    """Return a document as YAML, with the comments.

    Args:
        document: Mappings, lists, texts, numbers, and truth values.
        comments: The comments; the path `()` is the head of the file.
    """
    head = [*_comment_lines(comments.get((), ()), 0), ""]
    return "\n".join([*head, *_mapping_lines(document, comments, (), 0), ""])


def comment_text(text: str) -> str:
    """Return a text in which characters that do not print are escapes."""
    return "".join(
        character if character.isprintable() else repr(character)[1:-1]
        for character in text
    )


def _mapping_lines(
    members: Mapping[str, Any],
    comments: Comments,
    path: Path,
    indent: int,
) -> Iterator[str]:
    margin = " " * indent
    for key, value in members.items():
        value_path = (*path, key)
        yield from _comment_lines(comments.get(value_path, ()), indent)
        name = f"{margin}{_scalar(key)}:"
        if isinstance(value, Mapping) and value:
            yield name
            yield from _mapping_lines(value, comments, value_path, indent + 2)
        elif _is_block_list(value):
            yield name
            yield from _list_lines(value, comments, value_path, indent + 2)
        else:
            yield f"{name} {_flow(value)}"


def _list_lines(
    items: Sequence[Mapping[str, Any]],
    comments: Comments,
    path: Path,
    indent: int,
) -> Iterator[str]:
    for index, item in enumerate(items):
        item_path = (*path, index)
        yield from _comment_lines(comments.get(item_path, ()), indent)
        lines = _mapping_lines(item, comments, item_path, indent + 2)
        is_marked = False
        for line in lines:
            if is_marked or line.lstrip().startswith("#"):
                yield line
            else:
                yield f"{' ' * indent}- {line.lstrip()}"
                is_marked = True


def _is_block_list(value: Any) -> bool:
    """Return whether a value is a list of mappings, which takes lines of its own."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(item, Mapping) and item for item in value)
    )


def _comment_lines(paragraphs: Sequence[str], indent: int) -> Iterator[str]:
    margin = " " * indent
    width = max(_MIN_WIDTH, _WIDTH - indent)
    for paragraph in paragraphs:
        lines = textwrap.wrap(
            comment_text(paragraph),
            width,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for line in lines:
            yield f"{margin}# {line}"


def _flow(value: Any) -> str:
    """Return a value in one line."""
    if isinstance(value, Mapping):
        members = [
            f"{_scalar(key)}: {_flow(item)}" for key, item in value.items()
        ]
        return f"{{{', '.join(members)}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_flow, value))}]"
    return _scalar(value)


def _scalar(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, NumberText) or not isinstance(value, str):
        return str(value)
    is_plain = _PLAIN_TEXT.fullmatch(value) is not None
    if is_plain and value.lower() not in _WORDS_OF_YAML:
        return value
    return f'"{"".join(map(_escaped, value))}"'


def _escaped(character: str) -> str:
    """Return a character as it is written between double quotes."""
    if character in '"\\':
        return f"\\{character}"
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    return f"\\U{ord(character):08x}"
