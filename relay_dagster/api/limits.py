"""The limits of callers that are the same everywhere; those that are settings: ``settings.py``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ApiLimits:
    """What callers may do to one process of the API.

    Attributes:
        connections: open at once; 503 `TOO_MANY_CONNECTIONS`, closed.
        head_bytes: of a request's line and headers; 431 `HEAD_TOO_LARGE`, closed.
        head_seconds: for a request's head to come; 408 `REQUEST_TIMEOUT`, closed.
        body_seconds: for its body to come, and for its answer to be taken; 408, closed.
    """

    connections: int = 512
    head_bytes: int = 64 << 10
    head_seconds: float = 10
    body_seconds: float = 30


DEFAULT_API_LIMITS = ApiLimits()
