"""The program's log: JSON lines on standard error, each with an ``event``.

A logging library would bring its console with it, which every process would pay for when it starts.
"""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any


class EventLog:
    """Writes one line for each event: ``log.info("run_started", run_id=...)``.

    Values that JSON does not have are written as Python shows them. ``exc_info`` is an exception,
    or true for the one that is being handled: its traceback is told as ``exception``.
    """

    def debug(self, event: str, *, exc_info: object = False, **facts: Any) -> None:
        """Tell of something that only a search for a defect needs."""
        _write("debug", event, facts, exc_info)

    def info(self, event: str, *, exc_info: object = False, **facts: Any) -> None:
        """Tell of something that is as it should be."""
        _write("info", event, facts, exc_info)

    def warning(self, event: str, *, exc_info: object = False, **facts: Any) -> None:
        """Tell of something that goes on by itself, and should not be often."""
        _write("warning", event, facts, exc_info)

    def error(self, event: str, *, exc_info: object = False, **facts: Any) -> None:
        """Tell of something that somebody has to look at."""
        _write("error", event, facts, exc_info)


def event_log() -> EventLog:
    """Return a logger. It writes to whatever standard error is at that moment."""
    return EventLog()


def tell_of_libraries() -> None:
    """Write what libraries log as lines of this log, from warnings on: event ``library``."""
    logging.getLogger().addHandler(_Lines(logging.WARNING))


class _Lines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        facts = {"logger": record.name, "message": record.getMessage()}
        error = record.exc_info[1] if record.exc_info else None
        _write(record.levelname.lower(), "library", facts, error)


def _write(level: str, event: str, facts: dict[str, Any], exc_info: object) -> None:
    instant = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    line = {**facts, "event": event, "level": level, "timestamp": instant}
    error = exc_info if isinstance(exc_info, BaseException) else sys.exception()
    if exc_info and error is not None:
        line["exception"] = "".join(traceback.format_exception(error)).rstrip("\n")
    # One call, or lines of several threads could run into each other.
    sys.stderr.write(json.dumps(line, default=repr, ensure_ascii=False) + "\n")
    sys.stderr.flush()
