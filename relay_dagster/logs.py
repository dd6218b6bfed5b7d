"""The program's log: JSON lines on standard error, each with an ``event``."""

import sys
from typing import Any

import structlog


class _StandardError:
    """Writes lines to whatever standard error is at that moment."""

    def msg(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    debug = info = warning = error = critical = msg


def event_log() -> Any:
    """Return a logger: ``log.info("run_started", run_id=...)``."""
    return structlog.wrap_logger(
        _StandardError(),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.BoundLogger,
    )
