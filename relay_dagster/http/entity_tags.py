"""Config versions as ``ETag`` and ``If-Match`` name them."""

import re

_ENTITY_TAG = re.compile(r'"?([1-9][0-9]{0,14})"?')


def entity_tag(config_version: int) -> str:
    """Return the ``ETag`` of a config version."""
    return f'"{config_version}"'


def names_version(if_match: str, config_version: int) -> bool:
    """Return True if an ``If-Match`` header names a config version by a strong tag."""
    for tag in if_match.split(","):
        match = _ENTITY_TAG.fullmatch(tag.strip())
        if match is not None and int(match.group(1)) == config_version:
            return True
    return False
