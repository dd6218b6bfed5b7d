"""What a call may take: time, bytes, pace, and sizes of pieces."""

from __future__ import annotations

import pytest

from relay_dagster.transfers.allowance import (
    FREE_PIECES,
    MIN_PIECE_BYTES,
    Allowance,
    CallError,
    CallStoppedError,
    Pace,
    PieceCount,
)
from support.fakes import Seconds

KIB = 1 << 10


def paced(clock: Seconds) -> Allowance:
    return Allowance(900, pace=Pace(), monotonic=clock)


def move(allowance: Allowance, clock: Seconds, seconds: int, rate: int) -> None:
    """Let a server send at a rate, in bytes a second, for some seconds."""
    for _ in range(seconds):
        clock.now += 1
        allowance.count_bytes(rate)
        allowance.seconds_left()


def test_the_time_is_limited() -> None:
    clock = Seconds()
    allowance = Allowance(15, monotonic=clock)
    clock.now += 14
    assert allowance.seconds_left() == 1
    assert allowance.wait_seconds() == 1
    clock.now += 1
    with pytest.raises(CallError, match="did not respond within 15 s"):
        allowance.seconds_left()


def test_the_bytes_are_limited_and_the_reason_stays() -> None:
    allowance = Allowance(15, 100, "too much")
    allowance.count_bytes(100)
    with pytest.raises(CallError, match="too much"):
        allowance.count_bytes(1)
    with pytest.raises(CallError, match="too much"):
        allowance.seconds_left()


def test_the_first_minute_is_not_judged() -> None:
    clock = Seconds()
    allowance = paced(clock)
    move(allowance, clock, 89, 0)
    with pytest.raises(CallError, match="sends less than 64 KiB/s"):
        move(allowance, clock, 1, 0)


def test_a_server_that_keeps_the_pace_has_all_the_time() -> None:
    clock = Seconds()
    allowance = paced(clock)
    move(allowance, clock, 60, 0)
    move(allowance, clock, 839, 64 * KIB)
    assert allowance.seconds_left() == 1


def test_what_was_sent_fast_at_first_does_not_excuse_a_drip() -> None:
    clock = Seconds()
    allowance = paced(clock)
    began = clock.now
    move(allowance, clock, 100, 10_000 * KIB)
    with pytest.raises(CallError, match="sends less than 64 KiB/s"):
        move(allowance, clock, 60, 1)
    assert clock.now - began <= 100 + 2 * 30


def test_our_own_pauses_are_not_the_servers() -> None:
    clock = Seconds()
    allowance = paced(clock)
    move(allowance, clock, 50, 0)
    with allowance.paused():
        clock.now += 100
        allowance.seconds_left()
    move(allowance, clock, 29, 0)
    with allowance.paused():
        clock.now += 100
    with pytest.raises(CallError, match="sends less than 64 KiB/s"):
        move(allowance, clock, 2, 0)


def test_a_call_that_is_ended_by_others_has_their_reason() -> None:
    allowance = Allowance(15)
    assert not allowance.has_ended
    allowance.end(CallStoppedError())
    allowance.end(CallError("later"))
    assert allowance.has_ended
    with pytest.raises(CallStoppedError):
        allowance.seconds_left()


def test_pieces_of_a_few_bytes_are_refused_once_there_are_many() -> None:
    allowance = Allowance(15)
    pieces = PieceCount(allowance)
    for _ in range(FREE_PIECES):
        pieces.add(MIN_PIECE_BYTES - 1)
    with pytest.raises(CallError, match="pieces of less than 16 bytes"):
        pieces.add(MIN_PIECE_BYTES - 1)
    assert allowance.has_ended
    pieces = PieceCount(Allowance(15))
    for _ in range(2 * FREE_PIECES):
        pieces.add(MIN_PIECE_BYTES)
