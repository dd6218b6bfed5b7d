"""Deliveries of the feed to a tenant's servers: list them, and send one now.

The sensors, or `relay transfers`, make the deliveries.
"""

from relay_core.config.deliveries import DeliveryConfig
from relay_dagster.deliveries import requests
from relay_dagster.deliveries.model import DeliveryState, PublicationMark
from relay_dagster.http.problems import ProblemError
from relay_dagster.http.security.auth import Call
from relay_dagster.logs import event_log
from relay_dagster.runs.ports import utc_now
from relay_dagster.services.tenants import find_config
from relay_dagster.tenants.audit import Action
from relay_dagster.wire.deliveries import FeedDelivery, FeedDeliveryList
from relay_dagster.wiring import Platform

_log = event_log()


def deliveries_of(platform: Platform, tenant_id: str) -> FeedDeliveryList:
    """Return the status of each delivery of a tenant's latest config."""
    entries = _entries(platform, tenant_id)
    states = platform.deliveries.of_names(tenant_id, entries)
    standings = []
    for delivery_id, entry in entries.items():
        new_state = DeliveryState(tenant_id=tenant_id, delivery_id=delivery_id)
        state = states.get(delivery_id, new_state)
        shown_state = requests.shown(state, entry)
        standings.append(FeedDelivery.of_state(shown_state))
    return FeedDeliveryList(deliveries=standings)


def send_now(call: Call, tenant_id: str, delivery_id: str) -> FeedDelivery:
    """Let the live feed be sent to a server now, and return the delivery's status.

    Raises:
        ProblemError: The config has no such delivery, or the tenant has no feed.
        TenantClosingError: The tenant is being deleted.
    """
    platform = call.platform
    entry = _entries(platform, tenant_id).get(delivery_id)
    if entry is None:
        raise ProblemError(
            "DELIVERY_NOT_FOUND", "the config has no delivery with this ID"
        )
    feed = platform.runs.feed(tenant_id)
    if feed is None:
        raise ProblemError(
            "FEED_NOT_FOUND",
            f"tenant {tenant_id} has no feed yet; start a run of all vendors",
        )
    now = utc_now()
    publication = PublicationMark.of(feed.in_force)
    rule = requests.asked(entry, publication, now)
    audit_entry = call.origin.entry(
        Action.DELIVERY_ASKED, tenant_id, delivery_id, now
    )
    state = platform.deliveries.change(
        tenant_id, delivery_id, rule, audited=audit_entry
    )
    _log.info("delivery_asked", tenant_id=tenant_id, delivery_id=delivery_id)
    if state is None:
        return FeedDelivery(delivery_id=delivery_id)
    return FeedDelivery.of_state(state)


def _entries(platform: Platform, tenant_id: str) -> dict[str, DeliveryConfig]:
    """Return the deliveries of a tenant's latest config, by id."""
    config = platform.tenants.parsed(find_config(platform, tenant_id))
    return {entry.delivery_id: entry for entry in config.deliveries}
