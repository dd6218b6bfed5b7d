"""Every way in which a delivery can go, by its rules: processes die, servers fail, feeds come.

The search goes through all orders of a few acts, to a depth. A partner reads each file as soon as
it has its name. He takes a whole file as it is, and changes on top of what he has. In every state:

* no file of an older publication comes after one of a newer;
* changes come only to a partner who has the file that they are against;
* if nothing fails any more, the partner soon has the live feed, and nothing is due.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest

from relay_core.config.deliveries import DeliveryConfig
from relay_dagster.deliveries import requests, sending
from relay_dagster.deliveries.model import (
    DeliveryState,
    PublicationMark,
    SentFile,
)
from support.config_documents import DELIVERY

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ENTRY = DeliveryConfig(
    **{**DELIVERY, "what": "changes", "whole_every_hours": None}
)
NEW = DeliveryState(tenant_id="acme", delivery_id="d")
DEPTH = 9
MAX_PUBLICATIONS = 4
SETTLING_STEPS = 12


@dataclass(frozen=True)
class Trip:
    """A try in progress: what it sends, and whether the file has its name."""

    tried: DeliveryState
    publication: PublicationMark
    base: SentFile | None  # None for the whole file
    has_name: bool = False


@dataclass(frozen=True)
class Place:
    """All that is stored, and the partner's files."""

    contents: tuple[str, ...] = ("a",)  # of each publication, by its number
    is_planned: bool = False
    state: DeliveryState = NEW
    trip: Trip | None = None
    is_abandoned: bool = False  # whether a process has left the lease
    partner: str = ""  # the content that the partner has
    partner_seq: int = 0

    @property
    def live(self) -> PublicationMark:
        seq = len(self.contents)
        return PublicationMark(f"run-{seq}", seq, NOW)

    def content(self, publication: PublicationMark) -> str:
        return self.contents[publication.seq - 1]


def acts(place: Place) -> Iterator[tuple[str, Place]]:
    """Yield what may happen next, by name."""
    count = len(place.contents)
    if count < MAX_PUBLICATIONS:
        for name, content in (
            ("publish", "abcd"[count]),
            ("roll back", place.contents[0]),
        ):
            contents = (*place.contents, content)
            yield name, replace(place, contents=contents, is_planned=False)
    if not place.is_planned:
        rule = requests.published(ENTRY, place.live, NOW)
        state = rule(place.state) or place.state
        yield "plan", replace(place, state=state, is_planned=True)
    if place.state.asked_at is None:
        requested = requests.asked(ENTRY, place.live, NOW)(place.state)
        yield "ask", replace(place, state=requested)
    if place.trip is not None:
        yield from acts_of_trip(place, place.trip)
    elif place.state.due_at is not None:
        yield "take", taken(place)


def taken(place: Place) -> Place:
    """Begin a try as the sender does; one that a process has left is a failure."""
    state = sending.begun(place.state)
    place = replace(place, state=state)
    if place.is_abandoned:
        rule = sending.failed(state, "died", NOW, is_doubtful=False)
        return replace(place, state=rule(state), is_abandoned=False)
    sent = state.delivered
    is_sent = sent is not None and sent.publication.seq >= place.live.seq
    if is_sent and state.asked_at is None:
        return replace(place, state=sending.already_sent(NOW)(state))
    state = sending.caught_up(place.live)(state)
    base = sending.base_of_changes(state, ENTRY, place.live, NOW)
    return replace(place, state=state, trip=Trip(state, place.live, base))


def acts_of_trip(place: Place, trip: Trip) -> Iterator[tuple[str, Place]]:
    yield "die", replace(place, trip=None, is_abandoned=True)
    for is_doubtful in {True, trip.has_name}:
        rule = sending.failed(trip.tried, "no", NOW, is_doubtful=is_doubtful)
        failed = replace(place, state=rule(place.state), trip=None)
        yield f"fail {is_doubtful}", failed
    if not trip.has_name:
        rule = sending.failed(trip.tried, "no", NOW, is_doubtful=False)
        yield "fail", replace(place, state=rule(place.state), trip=None)
        yield "rename", renamed(place, trip)
        return
    sent = SentFile(
        trip.publication,
        ENTRY.digest,
        "key",
        sending.FEED if trip.base is None else sending.CHANGES,
        7,
        trip.tried.asked_at,
    )
    state = sending.delivered(sent, NOW)(place.state)
    yield "note", replace(place, state=state, trip=None)


def renamed(place: Place, trip: Trip) -> Place:
    """Give the file its name, and have the partner read it."""
    content = place.content(trip.publication)
    assert trip.publication.seq >= place.partner_seq, "an older file"
    if trip.base is not None:
        # The same changes once more do no harm.
        bases = (place.content(trip.base.publication), content)
        assert place.partner in bases, "changes against another file"
    return replace(
        place,
        trip=replace(trip, has_name=True),
        partner=content,
        partner_seq=trip.publication.seq,
    )


def settled(place: Place) -> Place:
    """Return what becomes of a place if nothing fails and no feed comes any more."""
    if place.trip is not None:
        place = replace(place, trip=None, is_abandoned=True)
    for _ in range(SETTLING_STEPS):
        usual = dict(acts(place))
        name = next(
            (act for act in ("plan", "note", "rename", "take") if act in usual),
            None,
        )
        if name is None:
            return place
        place = usual[name]
    raise AssertionError("it does not settle")


def search(start: Place, depth: int) -> set[Place]:
    """Return all places within so many acts."""
    reached = {start}
    frontier = reached
    for _ in range(depth):
        frontier = {
            following for place in frontier for _, following in acts(place)
        } - reached
        reached |= frontier
    return reached


@pytest.mark.parametrize("start", [Place(), settled(Place())])
def test_all_ways_of_a_delivery_end_with_the_live_feed(start: Place) -> None:
    places = search(start, DEPTH - 2)
    assert len(places) > 2_000
    for place in places:
        end = settled(place)
        assert end.partner == end.contents[-1]
        assert end.partner_seq == len(end.contents)
        assert (end.state.pending, end.state.due_at) == (None, None)
    kinds = {place.trip.base is None for place in places if place.trip}
    assert True in kinds


def test_the_search_finds_changes_after_a_file_that_nobody_noted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without doubt, a process that dies after the rename leaves a wrong base."""
    monkeypatch.setattr(sending, "_doubtful", lambda state, seq: ())
    with pytest.raises(AssertionError, match="changes against another file"):
        search(settled(Place()), DEPTH)


def test_nothing_goes_wrong_as_deep_as_the_fault_would_be_found() -> None:
    places = search(settled(Place()), DEPTH)
    kinds = {place.trip.base is None for place in places if place.trip}
    assert kinds == {True, False}
