"""Connections: how many are open, how large a request's head is, how long a client may take.

What uvicorn has no option for. A body that somebody reads is timed in `middleware`; here only its
connection is ended, where nobody does.
"""

import asyncio
import json
import uuid
from functools import partial
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

from relay_dagster.api.http.error_codes import (
    CODES,
    INVALID_REQUEST,
    PROBLEM_TYPE,
    problem_body,
)
from relay_dagster.api.http.middleware import REQUEST_ID_HEADER
from relay_dagster.api.limits import ApiLimits
from relay_dagster.logs import event_log

# A client that is still sending when its connection is closed may never read why: so many are heard
# out for so long. They count for no limit, and must not themselves be without one.
_LINGERING = 64
_LINGER_SECONDS = 1
_log = event_log()


def server_options(limits: ApiLimits) -> dict[str, Any]:
    """Return the options of ``uvicorn.run`` that bound connections as the limits say."""
    return {
        "http": partial(BoundedProtocol, limits=limits, lingering=set()),
        "h11_max_incomplete_event_size": limits.head_bytes,
        # A connection that becomes a WebSocket leaves this protocol, and its limits, behind.
        "ws": "none",
    }


class BoundedProtocol(H11Protocol):
    """One connection; ``lingering`` are those refused by its server that are not closed yet."""

    def __init__(
        self, *, limits: ApiLimits, lingering: "set[BoundedProtocol]", **uvicorn: Any
    ) -> None:
        super().__init__(**uvicorn)
        self._limits = limits
        self._lingering = lingering
        self._is_refused = False
        self._awaited: object = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a new connection, or refuse one too many."""
        super().connection_made(transport)
        if len(self.connections) > self._limits.connections:
            detail = (
                f"more than {self._limits.connections} connections; try again later"
            )
            self._refuse("TOO_MANY_CONNECTIONS", detail)
        else:
            self._watch()

    def data_received(self, data: bytes) -> None:
        """Take what the client sends."""
        if not self._is_refused:
            super().data_received(data)
            self._watch()

    def on_response_complete(self) -> None:
        """Have the connection closed if the answer is not read; go on to the next request."""
        if self.transport.get_write_buffer_size():
            self.loop.call_later(self._limits.body_seconds, self._end_if_unread)
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Pause the app until the client has read the answer so far; one that stops is cut off."""
        super().pause_writing()
        self._see_taken(self.transport.get_write_buffer_size())

    def _see_taken(self, left: int) -> None:
        self.loop.call_later(self._limits.body_seconds, self._end_if_stuck, left)

    def _end_if_stuck(self, left: int) -> None:
        now = self.transport.get_write_buffer_size()
        if now and now == left:
            self.transport.abort()
        elif now and self.flow.write_paused:
            self._see_taken(now)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_watching()
        self._lingering.discard(self)
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, or a head that does not end."""
        if len(self.conn.trailing_data[0]) > self._limits.head_bytes:
            detail = f"a head has at most {self._limits.head_bytes:,} bytes"
            self._refuse("HEAD_TOO_LARGE", detail)
        else:
            self._refuse(INVALID_REQUEST, "the request is not HTTP", status=400)

    def _watch(self) -> None:
        """Start the timer of the head or body that the client sends next, unless it runs."""
        state = self.conn.their_state
        is_awaited = state in (h11.IDLE, h11.SEND_BODY) and not self._is_refused
        awaited = (state, self.cycle) if is_awaited else None
        if awaited == self._awaited:
            return
        self._stop_watching()
        self._awaited = awaited
        if awaited is not None:
            limits = self._limits
            seconds = limits.head_seconds if state is h11.IDLE else limits.body_seconds
            self._timer = self.loop.call_later(seconds, self._too_slow)

    def _stop_watching(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._awaited = None

    def _too_slow(self) -> None:
        if self.conn.their_state is not h11.SEND_BODY:
            detail = f"a head has {self._limits.head_seconds:g} seconds to come"
            self._refuse("REQUEST_TIMEOUT", detail)
        elif self.cycle.response_complete:
            self.transport.close()
        else:
            # Whoever reads the body tells the client; the connection must not outlive the answer.
            self.cycle.keep_alive = False

    def _end_if_unread(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()

    def _refuse(
        self, error_code: str, detail: str, *, status: int | None = None
    ) -> None:
        """Answer with a problem, where no other answer is on its way, and close."""
        problem = problem_body(
            error_code, detail, request_id=str(uuid.uuid4()), status=status
        )
        self._is_refused = True
        self._stop_watching()
        self.connections.discard(self)
        _log.warning(
            "connection_refused",
            status=problem["status"],
            client=self.client,
            detail=detail,
        )
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._answer(problem, CODES[error_code].retry_after)
        if self.cycle is not None:
            # Who still works on the request must not answer it too.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if len(self._lingering) < _LINGERING and self.transport.can_write_eof():
            self._lingering.add(self)
            self.transport.write_eof()
            self.loop.call_later(_LINGER_SECONDS, self.transport.close)
        else:
            self.transport.close()

    def _answer(self, problem: dict[str, Any], retry_after: int | None) -> None:
        status = problem["status"]
        body = json.dumps(problem).encode()
        headers = [
            (b"content-type", PROBLEM_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            (REQUEST_ID_HEADER, problem["request_id"].encode()),
            (b"connection", b"close"),
        ]
        if retry_after is not None:
            headers.append((b"retry-after", str(retry_after).encode()))
        start = h11.Response(
            status_code=status, headers=headers, reason=STATUS_PHRASES[status]
        )
        for event in (start, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
