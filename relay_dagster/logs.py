"""The program's log: JSON lines on standard error, each with an ``event``.

Events go through the standard library's logger ``relay``, so levels and further
handlers work as for any other logger. This module formats the lines.
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
_context: ContextVar[Mapping[str, Any]] = ContextVar(
    "log_context",
    default=_NOTHING,
)


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
        """Log an event that needs no action and should be rare."""
        self._logger.warning(event, extra={"facts": facts})

    def error(self, event: str, *, exc_info: Any = False, **facts: Any) -> None:
        """Log an event that an operator has to see.

        ``exc_info`` is an exception, or True for the one that is being handled. Its
        traceback is written as ``exception``.
        """
        self._logger.error(event, exc_info=exc_info, extra={"facts": facts})


class JsonLines(logging.Formatter):
    """Formats a log record as a line: an event of ours, or a library's message."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON.

        The line is ASCII, so it cannot control a terminal.
        """
        event = record.getMessage()
        facts = getattr(record, "facts", None)
        if facts is None:
            facts = {"logger": record.name, "message": event}
            event = "library"
        instant = datetime.fromtimestamp(record.created, UTC)
        timestamp = instant.isoformat(timespec="microseconds")
        line = {
            **_context.get(),
            **facts,
            "event": event,
            "level": record.levelname.lower(),
            "timestamp": timestamp.replace("+00:00", "Z"),
        }
        if record.exc_info and record.exc_info[1] is not None:
            exception_lines = traceback.format_exception(record.exc_info[1])
            line["exception"] = "".join(exception_lines).rstrip("\n")
        return json.dumps(line, default=repr)


class _CurrentStandardError(logging.Handler):
    """Writes to the standard error of the moment, which tests replace."""

    def __init__(self, level: int = logging.NOTSET) -> None:
        super().__init__(level)
        self.setFormatter(JsonLines())

    def emit(self, record: logging.LogRecord) -> None:
        try:
            # One call, so that the lines of several processes do not mix.
            sys.stderr.write(f"{self.format(record)}\n")
            sys.stderr.flush()
        except Exception:  # noqa: BLE001 - a log that cannot be written ends no run
            self.handleError(record)


@contextmanager
def logging_with(facts: Mapping[str, Any]) -> Iterator[None]:
    """Add facts, as they are at that moment, to each line of the block."""
    token = _context.set(facts)
    try:
        yield
    finally:
        _context.reset(token)


def event_log() -> EventLog:
    """Return the program's log, which writes to standard error."""
    logger = logging.getLogger(_LOGGER)
    if not logger.handlers:
        logger.addHandler(_CurrentStandardError())
        logger.setLevel(logging.INFO)
        # The root logger writes the lines of libraries, and would write ours again.
        logger.propagate = False
    return EventLog(logger)


def log_libraries() -> None:
    """Write warnings and errors of libraries to this log, with ``event: library``."""
    logging.getLogger().addHandler(_CurrentStandardError(logging.WARNING))
