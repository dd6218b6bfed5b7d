"""One clock for the product and for the AWS that it talks to, moved by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count

import moto.s3.models
import moto.sqs.models
import pytest

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class WorldClock:
    """Tells the time that it was moved to."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def milliseconds(self, instant: datetime | None = None) -> float:
        return (instant or self.now).timestamp() * 1000


@contextmanager
def ruling_aws(clock: WorldClock) -> Iterator[None]:
    """Let messages be hidden, and objects be modified, by this clock."""
    # The emulator asks in a loop whether a poll is over: to it, time flies.
    polls = count(step=10)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(moto.sqs.models, "unix_time_millis", clock.milliseconds)
        patch.setattr(
            moto.sqs.models,
            "unix_time",
            lambda *_: clock.now.timestamp() + next(polls) / 1e3,
        )
        patch.setattr(
            moto.s3.models, "utcnow", lambda: clock.now.replace(tzinfo=None)
        )
        yield
