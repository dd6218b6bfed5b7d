"""Parsers with some options changed, for guesses of what fits a file better."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from relay_core.config.cross_checks import LoadContext
from relay_core.config.parser import ParserConfig


def changed_parser(
    parser: ParserConfig,
    changes: Mapping[str, Any],
) -> ParserConfig | None:
    """Return a parser with some options changed, or None if the options do not fit together.

    The entries of `column_map` and of `defaults` in the changes are added to those of the
    parser.
    """
    options = {
        name: value
        for name, value in parser.model_dump().items()
        if value is not None
    }
    changed_options = {**options, **changes}
    for name in ("column_map", "defaults"):
        changed_options[name] = {**options[name], **changes.get(name, {})}
    context = LoadContext(
        extra_columns=[*parser.extra_columns],
        gtin_column=parser.gtin_column,
    )
    try:
        new_parser = ParserConfig.model_validate(
            changed_options, context=context
        )
    except ValidationError:
        return None
    return new_parser.reading(
        only=parser.readable_columns, deleted=parser.deleted
    )
