"""Where a listing goes on: a sort key in base64, which says nothing that a caller may not know."""

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any

from relay_core.domain.codes import RunStatus
from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.dynamodb.codec import marshal, read_instant
from relay_dagster.aws.dynamodb.schema import Kind


class BadCursorError(ValueError):
    """A listing's cursor that this store did not make."""

    def __init__(self) -> None:
        super().__init__("cursor is not one that a listing returned")


def listing_of(tenant_id: str | None, status: RunStatus | None = None) -> tuple[str, str, str]:
    """Return index, key name and value that lead to runs: of a tenant, in a status, or to all."""
    if tenant_id is not None:
        return schema.BY_TENANT, schema.LISTED_TENANT, tenant_id
    if status is not None:
        return schema.BY_STATUS, schema.LISTED_STATUS, status.value
    return schema.BY_TIME, schema.LISTED, schema.ALL_RUNS


def cursor_after(row: Mapping[str, Any] | None) -> str | None:
    """Return the cursor that goes on after a row; None after none."""
    return to_cursor(str(row[schema.REQUESTED_KEY])) if row else None


def start_key(
    cursor: str | None, kind: Kind, is_id: Callable[[str], object], key: tuple[str, str]
) -> Mapping[str, Any] | None:
    """Return where in an index to go on; `BadCursorError` where the cursor is none of ours."""
    if cursor is None:
        return None
    instant, name = read_cursor(cursor)
    if not is_id(name):
        raise BadCursorError
    requested = f"{instant}#{name}"
    return marshal({schema.KEY: kind.key(name), schema.REQUESTED_KEY: requested, key[0]: key[1]})


def to_cursor(sort_key: str) -> str:
    """Return the cursor of a sort key: an instant, ``#``, and what else tells items apart."""
    return base64.urlsafe_b64encode(sort_key.encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> tuple[str, str]:
    """Return the instant of a cursor and what follows it; `BadCursorError` where it is none."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        sort_key = base64.b64decode(padded, altchars=b"-_", validate=True).decode()
        instant, _, rest = sort_key.partition("#")
        read_instant(instant)
    except (binascii.Error, ValueError) as error:
        raise BadCursorError from error
    return instant, rest
