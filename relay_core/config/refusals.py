"""The errors of a config's readers, and the messages that several readers share."""

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any

from pydantic_core import PydanticCustomError

from relay_core.domain.cell_rules import cut, shorten
from relay_core.domain.errors import ConfigError, ConfigFault
from relay_core.domain.limits import MAX_QUOTED, Limits

REFUSAL = "refused"
"""The type of the pydantic errors that `refuse` returns."""
UNKNOWN_COLUMN = "unknown_column"
"""The type of the pydantic error for a name that no column of a feed has."""
UNKNOWN_OUTPUT_COLUMN = "unknown_output_column"
"""The type of the pydantic error for a name that no column of the merged feed has."""
QUOTE_IT = (
    "must be text, but yes, no, on, off, true, false, and null without quotes are "
    'booleans or null; put it in quotes, for example "no"'
)
# Longer words are not misspelled names.
_MAX_WORD_LENGTH = 64


def refuse(
    message: str,
    hint: Callable[[], str] = str,
    *,
    of_section: bool = False,
) -> PydanticCustomError:
    """Return the error for a value that a validator refuses.

    ``hint`` returns the end of the message; it is called only if the message is shown.
    With ``of_section`` the fault is reported against the section and not the field.
    """
    context: dict[str, Any] = {"message": message}
    if hint is not str:
        context["hint"] = hint
    if of_section:
        context["of_section"] = True
    return PydanticCustomError(REFUSAL, "{message}", context)


def note_id(new_id: str, earlier_ids: set[str], noun: str) -> None:
    """Note an id of a list's entry; refuse one that an earlier entry has.

    ``noun`` says what the entries are.
    """
    if new_id in earlier_ids:
        raise refuse(
            f'"{new_id}" appears more than once; give each {noun} its own id',
        )
    earlier_ids.add(new_id)


def nearest(word: str, names: Iterable[str]) -> str:
    """Return a hint at the name that was perhaps meant, as the end of a message."""
    names = list(names)
    matches: list[str] = []
    if len(word) <= _MAX_WORD_LENGTH:
        matches = get_close_matches(word, names, n=1)
    if not matches:
        folded = word.casefold()
        matches = [name for name in names if name.casefold() == folded]
    return f'; did you mean "{matches[0]}"?' if matches else ""


def join_path(path: Iterable[object]) -> str:
    """Return a path as faults show it, ``vendors.1.parser``; a long one is cut."""
    joined = ".".join(str(step)[: MAX_QUOTED + 1] for step in path)
    return cut(joined, MAX_QUOTED, "...")


def repeated_key(key: str) -> str:
    """Return the message for a key that one mapping repeats."""
    return f"the key {shorten(key)} appears more than once; keep only one"


def too_deep(limits: Limits) -> str:
    """Return the message for a config that is nested too deeply."""
    return (
        f"the config is nested deeper than {limits.config_levels} levels; remove levels "
        "of mappings and lists"
    )


def too_many_values(limits: Limits) -> str:
    """Return the message for a config of too many values."""
    return (
        f"the config has more than {limits.config_values:,} values; shorten its longest "
        "lists"
    )


def whole_fault(message: str) -> ConfigError:
    """Return the error for a config that is unusable as a whole."""
    return ConfigError([ConfigFault("", message)])
