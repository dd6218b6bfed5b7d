"""Config files as the API takes them: YAML or JSON to JSON, each number in its own digits.

Whether the text is a valid config is for the API to say.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from relay_core.config import load_config, parse_document
from relay_core.config.documents import plain_document
from relay_core.config.scalars import BareWord, NumberText
from relay_dagster.client.errors import BadUsageError

_JSON_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def read_config_file(path: Path) -> dict[str, Any]:
    """Return the document of a file: JSON where its name ends in ``.json``, else YAML.

    Raises:
        BadUsageError: there is no such file, or it cannot be read.
        ConfigError: its text is no document, or one that JSON cannot carry.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadUsageError(f"{path}: {error.strerror or error}") from error
    document = parse_document(data, format="json" if path.suffix == ".json" else "yaml")
    plain_document(document)  # refuses what is nested too deeply to be walked through
    if _has_bare_key(document):
        # JSON has text keys only: there `no: 0` would pass for `"no": 0`, which was not meant.
        load_config(document)
    return document


def json_text(value: Any) -> str:
    """Return a document as JSON, in which a number has the digits that the file had.

    A number that JSON has no form for (``007``) is text, as the API itself keeps it.
    """
    if isinstance(value, NumberText) and _JSON_NUMBER.fullmatch(value):
        return str(value)
    if isinstance(value, Mapping):
        pairs = (f"{json.dumps(str(key))}: {json_text(item)}" for key, item in value.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(json_text, value)) + "]"
    return json.dumps(value)


def tenant_of(document: Mapping[str, Any], given: str | None) -> str:
    """Return whose config it is, as given or as it says; `BadUsageError`: neither says."""
    tenant_id = given or document.get("tenant_id")
    if isinstance(tenant_id, int | str) and not isinstance(tenant_id, bool) and str(tenant_id):
        return str(tenant_id)
    raise BadUsageError("the config names no tenant_id; put it in, or give --tenant")


def _has_bare_key(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(not isinstance(k, str) or isinstance(k, BareWord) for k in value) or any(
            map(_has_bare_key, value.values())
        )
    return isinstance(value, list) and any(map(_has_bare_key, value))
