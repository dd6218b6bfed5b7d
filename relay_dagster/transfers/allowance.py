"""The limits of one call to a stranger's server: time, bytes, pace, and sizes of pieces.

An allowance belongs to one call. Code that reads from the server counts against it, and
every wait for the server asks it how much time is left. Both raise the reason why the
call has to end. Methods may be called from several threads.
"""

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

MIN_BYTES_PER_SECOND = 64 << 10
WAIT_SECONDS = 1.0
"""The longest single wait for a server, after which its allowance is asked again."""
FREE_PIECES = 1 << 16
MIN_PIECE_BYTES = 16
"""The least mean size of a file's pieces, once there are more than ``FREE_PIECES``. A
smaller piece costs far more processor time than the bytes in it are worth."""


class CallError(Exception):
    """The host was not reached, or gave no answer. The message is a sentence of ours."""


class UnfitFileError(CallError):
    """The host has sent a file that can never be used, however often it is sent."""


class EmptyFileError(UnfitFileError):
    """The host has sent a file without a byte."""


class CallStoppedError(Exception):
    """This process ends, so it breaks off the call. The server has done nothing wrong."""


@dataclass(frozen=True, slots=True)
class Pace:
    """The least speed of a transfer.

    The first seconds are not judged: the server may need them to prepare a file. After
    that, each window of time is judged alone.
    """

    bytes_per_second: float = MIN_BYTES_PER_SECOND
    first_seconds: float = 60.0
    window_seconds: float = 30.0
    verb: str = "sends"  # what a server does that is too slow


@dataclass(eq=False)
class Allowance:
    """The time that a call may still take, and the bytes that it may still read."""

    seconds: float  # the longest that the call may take
    response_bytes: float = math.inf  # the bytes that may still be read
    # The error of a response that has more bytes
    bytes_error: str = "the headers of the response are too large"
    pace: Pace | None = None  # None if the speed does not matter
    # Tells the time, in seconds.
    monotonic: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        """Begin to count."""
        self._lock = threading.RLock()
        self._began_at = self.monotonic()
        self._until = self._began_at + self.seconds
        self._end: Exception | None = None  # why the call has to end
        self._read_bytes = 0
        self._moved_bytes = 0  # bytes that were read or sent
        # The window that is judged next: since when, and the bytes before it
        first_seconds = self.pace.first_seconds if self.pace else math.inf
        self._window_at = self._began_at + first_seconds
        self._bytes_before_window = 0
        # Since when the call does not wait for the server; None if it does
        self._paused_at: float | None = None

    # --- time -------------------------------------------------------------------------

    def seconds_left(self) -> float:
        """Return the time that is left, in seconds.

        Raises:
            CallError: The time is up, the server is too slow, or it has broken a limit.
            CallStoppedError: This process ends.
        """
        with self._lock:
            now = self.monotonic()
            if self._end is None and now >= self._until:
                self._end = self.timeout_error()
            if self._end is None:
                self._judge_pace(now)
            if self._end is not None:
                raise self._end
            return self._until - now

    def wait_seconds(self) -> float:
        """Return the seconds of the next single wait for the server.

        Raises:
            CallError: The call has to end.
            CallStoppedError: This process ends.
        """
        return min(self.seconds_left(), WAIT_SECONDS)

    def timeout_error(self) -> CallError:
        """Return the error of a call whose time is up."""
        return CallError(
            f"the server did not respond within {self.seconds:g} s"
        )

    def shorten(self, seconds: float) -> None:
        """Let the call take at most a number of seconds from now."""
        with self._lock:
            self._until = min(self._until, self.monotonic() + seconds)

    def end(self, error: Exception) -> None:
        """Let the call end with an error, at the latest after its next wait."""
        with self._lock:
            self._end = self._end or error

    @property
    def has_ended(self) -> bool:
        """Return True if the call has to end."""
        return self._end is not None

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Exclude from the pace the time in which the call does not wait for the server."""
        with self._lock:
            self._paused_at = self.monotonic()
        try:
            yield
        finally:
            with self._lock:
                now = self.monotonic()
                window_at = max(self._window_at, self._paused_at)
                self._window_at += max(0.0, now - window_at)
                self._paused_at = None

    # --- bytes ------------------------------------------------------------------------

    def count_bytes(self, count: int) -> None:
        """Count bytes that were read from the connection.

        Raises:
            CallError: They are more than the call may read.
        """
        with self._lock:
            self._read_bytes += count
            self._moved_bytes += count
            if self._read_bytes > self.response_bytes:
                self.end(CallError(self.bytes_error))
            if self._end is not None:
                raise self._end

    def note_sent(self, count: int) -> None:
        """Note bytes that the server has taken, which count for its pace."""
        with self._lock:
            self._moved_bytes += count

    @property
    def bytes_left(self) -> float:
        """The bytes that the call may still read."""
        return self.response_bytes - self._read_bytes

    @property
    def age(self) -> float:
        """The seconds since the call began."""
        return self.monotonic() - self._began_at

    @property
    def bytes_per_second(self) -> float:
        """The mean speed of the call so far."""
        return self._moved_bytes / max(self.age, 1.0)

    def _judge_pace(self, now: float) -> None:
        """End the call if the server was too slow in the window of time that is over."""
        if self.pace is None or self._paused_at is not None:
            return
        if now < self._window_at:
            self._bytes_before_window = self._moved_bytes
            return
        elapsed = now - self._window_at
        if elapsed < self.pace.window_seconds:
            return
        window_bytes = self._moved_bytes - self._bytes_before_window
        if window_bytes < self.pace.bytes_per_second * elapsed:
            kibibytes = self.pace.bytes_per_second / 1024
            verb = self.pace.verb
            message = f"the server {verb} less than {kibibytes:g} KiB/s"
            self._end = CallError(message)
        self._window_at = now
        self._bytes_before_window = self._moved_bytes


@dataclass
class PieceCount:
    """The sizes of the pieces in which a server sends a file."""

    allowance: Allowance  # the call's, which ends if the pieces are too small
    count: int = field(default=0, init=False)
    size: int = field(default=0, init=False)  # in bytes, of all pieces

    def add(self, size: int) -> None:
        """Count a piece of ``size`` bytes.

        Raises:
            CallError: The pieces are too small to be read.
        """
        self.count += 1
        self.size += size
        is_small = self.size < self.count * MIN_PIECE_BYTES
        if self.count > FREE_PIECES and is_small:
            error = CallError(
                f"the server sends pieces of less than {MIN_PIECE_BYTES} bytes"
            )
            self.allowance.end(error)
            raise error
