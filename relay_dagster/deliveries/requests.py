"""The rules by which a publication, or a person, makes a delivery due."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from relay_core.config.deliveries import DeliveryConfig
from relay_dagster.deliveries.model import DeliveryState, PublicationMark
from relay_dagster.runs.transitions import rule

Rule = Callable[[DeliveryState], DeliveryState | None]
"""Returns the new state, or None if nothing is to change."""


@rule
def published(
    state: DeliveryState,
    delivery: DeliveryConfig,
    publication: PublicationMark,
    now: datetime,
) -> DeliveryState | None:
    """Let the live feed's publication be sent now; None if that is known already.

    It replaces an older one that waits. One that a process is sending goes on.
    """
    if _has_seen(state, delivery, publication):
        return None
    return _due(state, delivery, publication, now)


@rule
def asked(
    state: DeliveryState,
    delivery: DeliveryConfig,
    publication: PublicationMark,
    now: datetime,
) -> DeliveryState:
    """Let the whole live feed be sent now, or once the file in progress is there."""
    return replace(
        _due(state, delivery, publication, now),
        asked_at=now,
    )


def shown(state: DeliveryState, delivery: DeliveryConfig) -> DeliveryState:
    """Return a state as the config's entry has it.

    An entry that was changed after it became due waits for the next publication.
    """
    if state.source in ("", delivery.digest):
        return state
    return replace(
        state,
        pending=None,
        failures=0,
        last_error=None,
        due_at=None,
    )


def _has_seen(
    state: DeliveryState,
    delivery: DeliveryConfig,
    publication: PublicationMark,
) -> bool:
    """Return True if a publication was sent, or waits, for the entry as it is now."""
    if state.pending is not None:
        is_pending = state.pending.seq >= publication.seq
        return is_pending and state.source == delivery.digest
    return state.delivered is not None and (
        state.delivered.publication.seq >= publication.seq
    )


def _due(
    state: DeliveryState,
    delivery: DeliveryConfig,
    publication: PublicationMark,
    now: datetime,
) -> DeliveryState:
    destination = delivery.destination(allow_loopback=True)
    return replace(
        state,
        source=delivery.digest,
        host=destination.host,
        pending=publication,
        tries=0,
        due_at=now,
    )
