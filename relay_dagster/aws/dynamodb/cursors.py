"""Translates between the cursors of listings and the rows of an index.

A cursor is the sort key of the last row, in base64. It holds nothing that a caller may
not know.
"""

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.dynamodb.codec import Item, marshal, read_instant
from relay_dagster.aws.dynamodb.schema import Kind, Partition

_T = TypeVar("_T")


class BadCursorError(ValueError):
    """A cursor that no listing has returned."""

    def __init__(self) -> None:
        super().__init__(
            "the cursor is not valid; send the next_cursor of the previous page"
        )


def cursor_after(row: Mapping[str, Any] | None) -> str | None:
    """Return the cursor of the page after a row, or None if there is no such row."""
    return to_cursor(str(row[schema.REQUESTED_KEY])) if row else None


def start_key(
    cursor: str | None,
    kind: Kind,
    is_id: Callable[[str], object],
    partition: Partition,
) -> Item | None:
    """Return the row of a partition after which a page begins, or None for the first page.

    Raises:
        BadCursorError: The cursor is not one of an item of the kind.
    """
    if cursor is None:
        return None
    instant, name = read_cursor(cursor)
    if not is_id(name):
        raise BadCursorError
    row = {
        schema.KEY: kind.key(name),
        schema.REQUESTED_KEY: f"{instant}#{name}",
        partition.attribute: partition.value,
    }
    return marshal(row)


def to_cursor(sort_key: str) -> str:
    """Return the cursor of a sort key: an instant, ``#``, and the names of the item."""
    return base64.urlsafe_b64encode(sort_key.encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> tuple[str, str]:
    """Return the instant and the names of the item that a cursor holds.

    Raises:
        BadCursorError: The cursor was not made by `to_cursor`.
    """
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        sort_key = base64.b64decode(
            padded,
            altchars=b"-_",
            validate=True,
        ).decode()
        instant, _, name = sort_key.partition("#")
        read_instant(instant)
    except (binascii.Error, ValueError) as error:
        raise BadCursorError from error
    return instant, name


def page_by_time(
    values: Mapping[str, _T], limit: int, cursor: str | None
) -> tuple[list[_T], str | None]:
    """Return a page of values that are all at hand, and the cursor of the next page.

    ``values`` is sorted by its keys, which `codec.by_time` makes.

    Raises:
        BadCursorError: The cursor was not made by `to_cursor`.
    """
    first_key = "" if cursor is None else "#".join(read_cursor(cursor))
    remaining_keys = [key for key in values if key >= first_key]
    page = [values[key] for key in remaining_keys[:limit]]
    has_next_page = len(remaining_keys) > limit
    return page, to_cursor(remaining_keys[limit]) if has_next_page else None
