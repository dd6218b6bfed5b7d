"""Reading a feed in a process of its own, as if it were read here.

The process is a fresh one, not a fork, so that it can be started from any thread of any program.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from typing import IO, cast

from relay_core.config import ParserConfig
from relay_core.domain.codes import FailureCode
from relay_core.domain.errors import ContractBrokenError, FeedUnreadableError
from relay_core.domain.limits import Limits
from relay_core.ingest.decoding import Buffer
from relay_core.ingest.feed import ParsedFeed
from relay_core.ingest.isolation.frames import Frame, FrameKind, batch_of, read_frame

PROGRAM = "from relay_core.ingest.isolation.child import main; main()"
_PIECE = 1 << 20


def read_apart(
    data: Buffer, parser: ParserConfig, limits: Limits, program: str = PROGRAM
) -> ParsedFeed:
    """Read a feed in another process; it ends with the last batch, or when none is wanted.

    Args:
        data: the feed.
        parser: how it is written.
        limits: of feeds.
        program: what the process runs.

    Raises:
        FeedUnreadableError: as the format's reader does, here or from ``batches``;
            ``feed_too_large`` also where the process dies, or is refused the memory that it needs.
    """
    frames = _frames(data, parser, limits, program)
    headers = next(frames).value()
    return ParsedFeed(None if headers is None else tuple(headers), map(batch_of, frames))


def _frames(data: Buffer, parser: ParserConfig, limits: Limits, program: str) -> Iterator[Frame]:
    """Yield the frames of headers and of records."""
    asked = {"parser": parser.model_dump(mode="json"), "limits": asdict(limits)}
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    stdin, stdout = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)
    feeder = threading.Thread(target=_feed, args=(stdin, json.dumps(asked), data))
    feeder.start()
    try:
        while (frame := _sound(read_frame(stdout), process)).kind is not FrameKind.END:
            yield frame
    finally:
        process.kill()
        process.wait()
        feeder.join()
        stdout.close()


def _sound(frame: Frame | None, process: subprocess.Popen[bytes]) -> Frame:
    """Return a frame that tells of no end before the feed's.

    Raises:
        FeedUnreadableError, ContractBrokenError: it tells of one.
    """
    if frame is None:
        status = process.wait()
        if status >= 0:
            raise ContractBrokenError(f"the process that reads feeds ended with status {status}")
        raise _too_large(f"the process that read it was ended by signal {-status}")
    if frame.kind is FrameKind.UNREADABLE:
        raise FeedUnreadableError(*frame.value())
    if frame.kind is FrameKind.NO_MEMORY:
        raise _too_large("reading it takes more memory than a feed of the most bytes would")
    if frame.kind is FrameKind.DEFECT:
        raise ContractBrokenError(f"reading a feed failed: {frame.value()}")
    return frame


def _too_large(why: str) -> FeedUnreadableError:
    return FeedUnreadableError(
        FailureCode.FEED_TOO_LARGE,
        f"{why}; upload a smaller file, without columns, rows and formats that nobody needs",
    )


def _feed(stdin: IO[bytes], asked: str, data: Buffer) -> None:
    """Give the process what it asks for; where it has ended there is nobody to give it to."""
    view = memoryview(data)
    with suppress(BrokenPipeError, OSError):
        stdin.write(asked.encode("ascii") + b"\n")
        for start in range(0, len(view), _PIECE):
            stdin.write(view[start : start + _PIECE])
    with suppress(BrokenPipeError, OSError):
        stdin.close()
