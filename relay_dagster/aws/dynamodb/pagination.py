"""Places in the indexes of runs, and the opaque cursors that callers get for them.

A cursor is a sort key in base64: it says where to go on, and nothing that a caller may not know.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from relay_core.domain.codes import RunStatus
from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.dynamodb.serialization import marshal, read_instant, requested_key, run_key
from relay_dagster.runs.identifiers import is_run_id
from relay_dagster.runs.model import RunRecord


class BadCursorError(ValueError):
    """A listing's cursor that this store did not make."""


def listing_of(tenant_id: str | None, status: RunStatus | None = None) -> tuple[str, str, str]:
    """Return index, key name and key value that lead to runs: of a tenant, or of all in a status.

    A tenant's runs in a status are found among all of its own.
    """
    if tenant_id is not None:
        return schema.BY_TENANT, schema.LISTED_TENANT, tenant_id
    if status is not None:
        return schema.BY_STATUS, schema.LISTED_STATUS, status.value
    return schema.BY_TIME, schema.LISTED, schema.ALL_RUNS


def run_id_of(row: Mapping[str, Any]) -> str:
    """Return the run that a row of an index stands for."""
    return str(row[schema.KEY]).removeprefix(run_key(""))


def cursor_after(row: Mapping[str, Any]) -> str:
    """Return the cursor that goes on after a row."""
    return _cursor(str(row[schema.REQUESTED_KEY]))


def cursor_after_record(record: RunRecord) -> str:
    """Return the cursor that goes on after a run."""
    return _cursor(requested_key(record))


def start_key(cursor: str, key: str, value: str) -> Mapping[str, Any]:
    """Return where in an index to go on.

    Raises:
        BadCursorError: `cursor_after` did not make the cursor.
    """
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        requested = base64.b64decode(padded, altchars=b"-_", validate=True).decode()
        instant, _, run_id = requested.partition("#")
        read_instant(instant)
    except (binascii.Error, ValueError) as error:
        raise BadCursorError("cursor is not one that a listing returned") from error
    if not is_run_id(run_id):
        raise BadCursorError("cursor is not one that a listing returned")
    start = {schema.KEY: run_key(run_id), schema.REQUESTED_KEY: requested, key: value}
    return marshal(start)


def _cursor(requested: str) -> str:
    return base64.urlsafe_b64encode(requested.encode()).decode().rstrip("=")
