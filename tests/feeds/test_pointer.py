"""Publications that wait to be reported, and those that come while others are reported."""

from __future__ import annotations

from datetime import timedelta

from relay_dagster.feeds.pointer import FeedPointer, Publication, reported
from support.fakes import NOW

MINUTE = timedelta(minutes=1)


def publication(number: int) -> Publication:
    return Publication(
        run_id=f"run-{number}",
        key=f"published/acme/{number}.csv",
        sha256="ab",
        finished_at=NOW,
        published_at=NOW + number * MINUTE,
        seq=number,
    )


def test_what_was_published_meanwhile_stays_pending_and_is_due_at_once() -> (
    None
):
    first = publication(1)
    second = publication(2)
    pointer = FeedPointer(
        "acme", (second, first), pending=(first, second), due_at=NOW
    )
    after = reported(pointer, (first,))
    assert (after.pending, after.due_at) == ((second,), second.published_at)
    over = reported(after, (second,))
    assert (over.pending, over.due_at) == ((), None)
    assert over.in_force == second
