"""The thread that says that a run is alive."""

import threading

from relay_dagster.execution.heartbeat import Heartbeat
from relay_dagster.runs.errors import FenceLostError


def test_it_beats_until_it_is_stopped() -> None:
    third = threading.Event()
    beats: list[int] = []

    def beat() -> None:
        beats.append(1)
        if len(beats) == 3:
            third.set()

    heartbeat = Heartbeat(beat, interval_seconds=0.001)
    heartbeat.start()
    assert third.wait(timeout=10)
    heartbeat.stop()
    assert "relay-heartbeat" not in {
        thread.name for thread in threading.enumerate()
    }


def test_a_beat_that_fails_does_not_end_it() -> None:
    recovered = threading.Event()
    calls: list[int] = []

    def beat() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise ConnectionError("no answer")
        recovered.set()

    heartbeat = Heartbeat(beat, interval_seconds=0.001)
    heartbeat.start()
    assert recovered.wait(timeout=10)
    heartbeat.stop()


def test_a_run_that_is_over_before_the_first_interval_does_not_beat() -> None:
    beats: list[int] = []
    heartbeat = Heartbeat(lambda: beats.append(1), interval_seconds=3600)
    heartbeat.start()
    heartbeat.stop()
    assert not beats


def test_stopping_does_not_wait_for_the_next_beat() -> None:
    heartbeat = Heartbeat(lambda: None, interval_seconds=3600)
    heartbeat.start()
    heartbeat.stop()
    assert "relay-heartbeat" not in {
        thread.name for thread in threading.enumerate()
    }


def test_a_process_whose_attempt_was_given_up_ends_itself() -> None:
    end_signal = threading.Event()
    beats: list[int] = []

    def beat() -> None:
        beats.append(1)
        raise FenceLostError("r", "attempt 1 was given up")

    heartbeat = Heartbeat(beat, interval_seconds=0.001, give_up=end_signal.set)
    heartbeat.start()
    assert end_signal.wait(timeout=10)
    heartbeat.stop()
    assert len(beats) == 1
