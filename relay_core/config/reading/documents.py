"""The text of a config, JSON or YAML, to plain mappings, lists and scalars.

A number keeps its source text and is never a float; a date of YAML stays text. The
rules of a config are in other modules.
"""

import codecs
import json
from typing import Any, Literal

from relay_core.config.reading.json_reader import read_json
from relay_core.config.reading.scalars import type_name
from relay_core.config.refusals import whole_fault
from relay_core.domain.errors import ConfigError, ConfigTooLargeError
from relay_core.domain.limits import DEFAULT_LIMITS, Limits

MAX_CHARACTERS = 2_000_000
"""The length of the longest text of a config, with its white space and comments."""
_MAX_CHARACTER_BYTES = 4
_BYTE_ORDER_MARK = "\ufeff"
_ENCODINGS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def parse_document(
    text: str | bytes,
    *,
    format: Literal["json", "yaml"],
    limits: Limits = DEFAULT_LIMITS,
) -> dict[str, Any]:
    """Return the mapping in a JSON or YAML text, with every number as it was written.

    A number is an ``int`` if its text is the plain form of an integer, else a
    `NumberText`.

    Raises:
        ConfigTooLargeError: The text has too many bytes.
        ConfigError: The text is malformed, repeats a key, is no mapping, or holds too
            much; messages have the line and the column if the parser knows them.
    """
    if len(text) > _MAX_CHARACTER_BYTES * MAX_CHARACTERS:
        raise _too_long()
    decoded = _decode(text)
    if len(decoded) > MAX_CHARACTERS:
        raise _too_long()
    if format == "json":
        document = read_json(decoded, limits)
    else:
        # Stored configs are JSON: their readers load no parser of YAML.
        from relay_core.config.reading.yaml_reader import read_yaml

        document = read_yaml(decoded, limits)
        _check_size(document, limits)
    if isinstance(document, dict):
        return document
    kind = "an empty file" if document is None else type_name(document)
    raise whole_fault(
        f"the config must be a mapping of keys to values, not {kind}",
    )


def _too_long() -> ConfigError:
    return whole_fault(
        f"the config is longer than {MAX_CHARACTERS:,} characters; remove comments or "
        "parts that are not needed",
    )


def _decode(text: str | bytes) -> str:
    if isinstance(text, str):
        return text.removeprefix(_BYTE_ORDER_MARK)
    encoding = "utf-8"
    for mark, name in _ENCODINGS:
        if text.startswith(mark):
            encoding = name
    try:
        return text.decode(encoding).removeprefix(_BYTE_ORDER_MARK)
    except UnicodeDecodeError as error:
        raise whole_fault(
            f"the config is not valid {encoding.upper()} at byte {error.start}; save the "
            "file as UTF-8",
        ) from error


def _check_size(document: Any, limits: Limits) -> None:
    """Refuse a document of too many bytes as JSON without white space.

    Encoding stops at the limit, because aliases can make a short text a large document.
    """
    encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
    size = 0
    for part in encoder.iterencode(document):
        size += len(part.encode("utf-8", "surrogatepass"))
        if size > limits.config_bytes:
            raise ConfigTooLargeError(size, limits.config_bytes)
