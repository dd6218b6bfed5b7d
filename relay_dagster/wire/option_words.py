"""The words of a config's options, which the JSON Schema and the settings pages show."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any


@dataclass(frozen=True, slots=True)
class OptionWords:
    """The words of an option."""

    label: str
    help: str = ""  # the effect of the option, in a sentence or two
    unit: str = ""  # the unit of a number; `percent` for a share
    choices: Mapping[str, str] = field(default_factory=dict)
    # The words that people enter in place of values that they cannot type
    texts: Mapping[str, str] = field(default_factory=dict)
    key: str = ""  # the heading of the keys of pairs
    value: str = ""  # the heading of the values of pairs
    ordered: bool = False  # the order of the list's items has an effect


@cache
def _all_words() -> Mapping[str, Mapping[str, Any]]:
    # The package must load quickly, and few processes need the words.
    import yaml

    text = (resources.files(__package__) / "option_words.yaml").read_text(
        "utf-8"
    )
    words: Mapping[str, Mapping[str, Any]] = yaml.safe_load(text)
    return words


@cache
def words_of(section: str, name: str) -> OptionWords:
    """Return the words of an option of a section."""
    words = _all_words().get(section, {}).get(name)
    if words is None:
        return OptionWords(label=name.replace("_", " ").capitalize())
    choices = {
        str(key): str(label) for key, label in words.get("choices", {}).items()
    }
    return OptionWords(**{**words, "choices": choices})


def has_words(section: str, name: str) -> bool:
    """Return True if an option of a section has words of its own."""
    return name in _all_words().get(section, {})
