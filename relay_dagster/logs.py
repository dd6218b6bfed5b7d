"""The program's log: JSON lines on standard error, each with an ``event``.

Events go through the standard library's logger ``relay``, so levels and further handlers work as
for any other. This module formats the lines.
"""

import json
import logging
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

_LOGGER = "relay"
_NOTHING: Mapping[str, Any] = {}
_context: ContextVar[Mapping[str, Any]] = ContextVar("log_context", default=_NOTHING)


class EventLog:
    """Writes one line for each event: ``log.info("run_started", run_id=...)``.

    Values without a form in JSON are written as their ``repr``.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def info(self, event: str, **facts: Any) -> None:
        """Log a normal event."""
        self._logger.info(event, extra={"facts": facts})

    def warning(self, event: str, **facts: Any) -> None:
        """Log an event that needs no action, and should be rare."""
        self._logger.warning(event, extra={"facts": facts})

    def error(self, event: str, *, exc_info: Any = False, **facts: Any) -> None:
        """Log an event that an operator has to see.

        ``exc_info`` is an exception, or true for the one that is being handled: its traceback is
        written as ``exception``.
        """
        self._logger.error(event, exc_info=exc_info, extra={"facts": facts})


class JsonLines(logging.Formatter):
    """Formats a record as a line: an event of ours, or a library's (``event: library``)."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON, ASCII alone, which controls no terminal."""
        facts, event = getattr(record, "facts", None), record.getMessage()
        if facts is None:
            facts, event = {"logger": record.name, "message": event}, "library"
        instant = datetime.fromtimestamp(record.created, UTC).isoformat(
            timespec="microseconds"
        )
        line = {
            **_context.get(),
            **facts,
            "event": event,
            "level": record.levelname.lower(),
            "timestamp": instant.replace("+00:00", "Z"),
        }
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = "".join(
                traceback.format_exception(record.exc_info[1])
            ).rstrip("\n")
        return json.dumps(line, default=repr)


class _CurrentStandardError(logging.Handler):
    """Writes to the current standard error."""

    def __init__(self, level: int = logging.NOTSET) -> None:
        super().__init__(level)
        self.setFormatter(JsonLines())

    def emit(self, record: logging.LogRecord) -> None:
        try:
            # One call, or lines of several processes could run into each other.
            sys.stderr.write(f"{self.format(record)}\n")
            sys.stderr.flush()
        except Exception:  # noqa: BLE001 - as every handler does: a log ends no run
            self.handleError(record)


@contextmanager
def logging_with(facts: Mapping[str, Any]) -> Iterator[None]:
    """Add facts, in their state at that moment, to each line that is written meanwhile."""
    token = _context.set(facts)
    try:
        yield
    finally:
        _context.reset(token)


def event_log() -> EventLog:
    """Return the program's log, which writes to the current standard error."""
    logger = logging.getLogger(_LOGGER)
    if not logger.handlers:
        logger.addHandler(_CurrentStandardError())
        logger.setLevel(logging.INFO)
        # The root logger writes the lines of libraries; it would write ours again.
        logger.propagate = False
    return EventLog(logger)


def log_libraries() -> None:
    """Write libraries' warnings and errors as lines of this log: event ``library``."""
    logging.getLogger().addHandler(_CurrentStandardError(logging.WARNING))
