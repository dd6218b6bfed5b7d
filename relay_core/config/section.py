"""What every section of a config is, and the defaults of fields that hold sections."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


def empty_section() -> Any:
    """Return the default of a section that may be left out, as if it were empty."""
    return Field(default_factory=dict, validate_default=True)


def optional() -> Any:
    """Return the default of a field whose absence is judged, too."""
    return Field(default=None, validate_default=True)


class Section(BaseModel):
    """A mapping of the config; unknown keys are refused, and a number is taken for its text."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)
