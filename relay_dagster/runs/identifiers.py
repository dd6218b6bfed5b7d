"""What ids look like, of tenants and vendors and of runs; whether one exists is not known here.

Callers' input is judged by these before it becomes a key of a table or a part of an address.
"""

import re

ID_PATTERN = "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
"""Of a tenant or vendor."""

_ID = re.compile(ID_PATTERN)
_RUN_ID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


def is_id(text: str) -> bool:
    """Tell whether a text can be the id of a tenant or vendor."""
    return _ID.fullmatch(text) is not None


def is_run_id(text: str) -> bool:
    """Tell whether a text has the form of a run_id, a UUID."""
    return _RUN_ID.fullmatch(text) is not None
