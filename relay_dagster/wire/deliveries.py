"""The deliveries of a tenant's feed to its servers. Times are in UTC."""

from datetime import datetime
from typing import Self

from pydantic import Field

from relay_dagster.deliveries.model import DeliveryState
from relay_dagster.wire import base


class FeedDelivery(base.ResponseBody):
    """The status of a delivery: the file that was sent last, and the next one."""

    delivery_id: str
    last_run_id: str | None = Field(
        None,
        description="The run whose feed was last delivered.",
    )
    last_delivered_at: datetime | None = Field(
        None,
        description="The time when a file was last delivered.",
    )
    what: str | None = Field(
        None,
        description="The kind of file that was last delivered: `feed` (whole) or "
        "`changes`.",
    )
    rows: int | None = Field(
        None,
        description="The number of rows in the file that was last delivered.",
    )
    pending_run_id: str | None = Field(
        None,
        description="The run whose feed is to be delivered next. Null if none is.",
    )
    failures: int = Field(
        0,
        description="The number of failed deliveries since the last that succeeded.",
    )
    last_error: str | None = Field(
        None,
        description="The error of the last delivery. Null if it succeeded.",
    )
    next_at: datetime | None = Field(
        None,
        description="The time of the next delivery. Null while one is running, and if "
        "none is pending.",
    )

    @classmethod
    def of_state(cls, state: DeliveryState) -> Self:
        """Return the status of a delivery from its stored state."""
        sent = state.delivered
        pending = state.pending
        return cls(
            delivery_id=state.delivery_id,
            last_run_id=None if sent is None else sent.publication.run_id,
            last_delivered_at=state.last_delivered_at,
            what=None if sent is None else sent.what,
            rows=None if sent is None else sent.rows,
            pending_run_id=None if pending is None else pending.run_id,
            failures=state.failures,
            last_error=state.last_error,
            next_at=None if pending is None else state.due_at,
        )


class FeedDeliveryList(base.ResponseBody):
    """The deliveries of a tenant's config, in its order."""

    deliveries: list[FeedDelivery]
