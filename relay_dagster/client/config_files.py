"""Config files: YAML or JSON, as the API takes them.

A YAML or JSON file becomes a JSON document in which each number keeps its digits. The
API decides whether the config is valid.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from relay_core.config import load_config, parse_document
from relay_core.config.reading.plain_values import plain_document
from relay_core.config.reading.scalars import BareWord, NumberText
from relay_dagster.client.errors import BadUsageError

_JSON_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def read_config_file(path: Path) -> dict[str, Any]:
    """Return the document of a file: JSON if its name ends in `.json`, else YAML.

    Raises:
        BadUsageError: The file cannot be read.
        ConfigError: The file has no document, or one that JSON cannot represent.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadUsageError(f"{path}: {error.strerror or error}") from error
    if path.suffix == ".json":
        document = parse_document(data, format="json")
    else:
        document = parse_document(data, format="yaml")
    # This rejects documents that are nested too deeply for the recursion below.
    plain_document(document)
    if _has_bare_key(document):
        # JSON has text keys only, so `no: 0` would silently become `"no": 0`. Loading the
        # config here reports the key instead.
        load_config(document)
    return document


def json_text(value: Any) -> str:
    """Return a document as JSON in which each number has the digits of the file.

    A number that JSON cannot represent, such as `007`, becomes a text, as in the API.
    """
    if isinstance(value, NumberText) and _JSON_NUMBER.fullmatch(value):
        return str(value)
    if isinstance(value, Mapping):
        members = [
            f"{json.dumps(str(key))}: {json_text(item)}"
            for key, item in value.items()
        ]
        return "{" + ", ".join(members) + "}"
    if isinstance(value, list):
        items = [json_text(item) for item in value]
        return "[" + ", ".join(items) + "]"
    return json.dumps(value)


def tenant_of(document: Mapping[str, Any], tenant_option: str | None) -> str:
    """Return the tenant of a config: the option's value, or the document's `tenant_id`.

    Raises:
        BadUsageError: Neither names a tenant.
    """
    tenant_id = tenant_option or document.get("tenant_id")
    is_text = isinstance(tenant_id, int | str) and not isinstance(
        tenant_id,
        bool,
    )
    if is_text and str(tenant_id):
        return str(tenant_id)
    raise BadUsageError("The config has no tenant_id. Add it, or use --tenant.")


def _has_bare_key(value: Any) -> bool:
    """Return whether any key in a document is not a quoted text."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str) or isinstance(key, BareWord):
                return True
            if _has_bare_key(item):
                return True
        return False
    return isinstance(value, list) and any(map(_has_bare_key, value))
