"""Limits of connections: their number, the size of a head, the pace of a client.

uvicorn has no options for these limits. The time that a body may take is measured by
`middleware` while a handler reads it. This module ends the connection if no handler
does.
"""

import asyncio
import fcntl
import json
import sys
import termios
import uuid
from functools import partial
from typing import Any, cast

import h11
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

from relay_dagster.http import error_codes
from relay_dagster.http.limits import ApiLimits
from relay_dagster.http.middleware import REQUEST_ID_HEADER
from relay_dagster.logs import event_log

# A client that is still sending when its connection is closed may never read the
# reason. A few refused connections therefore stay half open for a moment. They do not
# count for the limit of connections, so they have a limit of their own.
_MAX_LINGERING = 64
_LINGER_SECONDS = 1
_log = event_log()


def server_options(limits: ApiLimits) -> dict[str, Any]:
    """Return the options of ``uvicorn.run`` that apply the limits to connections."""
    return {
        "http": partial(BoundedProtocol, limits=limits, lingering=set()),
        "h11_max_incomplete_event_size": limits.head_bytes,
        # A connection that becomes a WebSocket would leave this protocol and its
        # limits.
        "ws": "none",
    }


class _CountedTransport:
    """A transport that counts the bytes which the server writes."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.written_bytes = 0

    def write(self, data: bytes) -> None:
        """Write bytes, which the transport may keep for a while."""
        self.written_bytes += len(data)
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        """Return everything else from the transport itself."""
        return getattr(self._transport, name)


class BoundedProtocol(H11Protocol):
    """One connection.

    ``lingering`` are the server's refused connections that are not closed yet.
    """

    def __init__(
        self,
        *,
        limits: ApiLimits,
        lingering: "set[BoundedProtocol]",
        **uvicorn: Any,
    ) -> None:
        super().__init__(**uvicorn)
        self._limits = limits
        self._lingering = lingering
        self._is_refused = False
        # The state of the client and the request for which the timer runs.
        self._awaited: object = None
        self._timer: asyncio.TimerHandle | None = None
        self._measures_pace = False
        # The number of lines of the head that is arriving.
        self._head_lines = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept a new connection, or refuse it if there are too many."""
        self._counted = _CountedTransport(transport)
        super().connection_made(cast("asyncio.Transport", self._counted))
        limit = self._limits.connections
        if len(self.connections) > limit:
            detail = f"more than {limit} connections are open; try again later"
            self._refuse("TOO_MANY_CONNECTIONS", detail)
        else:
            self._update_timer()

    def data_received(self, data: bytes) -> None:
        """Process the bytes that the client sent."""
        if self._is_refused:
            return
        if self._has_many_headers(data):
            limit = self._limits.head_lines
            detail = f"the head has more than {limit:,} lines"
            self._refuse("HEAD_TOO_LARGE", detail)
            return
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._head_lines = 0
        self._update_timer()

    def _has_many_headers(self, data: bytes) -> bool:
        """Return True if a request's head, which is not parsed yet, has too many lines."""
        if self.conn.their_state is h11.IDLE:
            head, _, _ = data.partition(b"\r\n\r\n")
            self._head_lines += head.count(b"\n")
        return self._head_lines > self._limits.head_lines

    def send_400_response(self, msg: str) -> None:
        """Refuse a request that is not HTTP, or whose head is too large."""
        if len(self.conn.trailing_data[0]) > self._limits.head_bytes:
            detail = f"the head has more than {self._limits.head_bytes:,} bytes"
            self._refuse("HEAD_TOO_LARGE", detail)
        else:
            detail = "the request is not valid HTTP"
            self._refuse(error_codes.INVALID_REQUEST, detail, status=400)

    def connection_lost(self, exc: Exception | None) -> None:
        """Release the connection."""
        self._stop_timer()
        self._lingering.discard(self)
        super().connection_lost(exc)

    # --- clients that send too slowly -----------------------------------------------

    def _update_timer(self) -> None:
        """Start the timer for the client's next head or body, unless it is running."""
        awaited = None
        state = self.conn.their_state
        if state in (h11.IDLE, h11.SEND_BODY) and not self._is_refused:
            awaited = (state, self.cycle)
        if awaited == self._awaited:
            return
        self._stop_timer()
        self._awaited = awaited
        if awaited is not None:
            limits = self._limits
            seconds = (
                limits.head_seconds
                if state is h11.IDLE
                else limits.body_seconds
            )
            self._timer = self.loop.call_later(seconds, self._end_slow_request)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._awaited = None

    def _end_slow_request(self) -> None:
        if self.conn.their_state is not h11.SEND_BODY:
            detail = f"the headers did not arrive within {self._limits.head_seconds:g} seconds"
            self._refuse("REQUEST_TIMEOUT", detail)
        elif self.cycle.response_complete:
            self.transport.close()
        else:
            # The handler that reads the body tells the client, in its response. The
            # connection must not outlive that response.
            self.cycle.keep_alive = False

    # --- clients that read too slowly -----------------------------------------------

    def on_response_complete(self) -> None:
        """Go on to the next request; abort later if the response is not read."""
        if self.transport.get_write_buffer_size():
            self.loop.call_later(
                self._limits.body_seconds, self._abort_if_unread
            )
        super().on_response_complete()

    def _abort_if_unread(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()

    def pause_writing(self) -> None:
        """Pause the app until the client has read more; abort if it reads too slowly."""
        super().pause_writing()
        if not self._measures_pace:
            self._measures_pace = True
            self._check_pace_later()

    def _check_pace_later(self) -> None:
        self.loop.call_later(
            self._limits.body_seconds,
            self._abort_if_slow,
            self._read_bytes(),
            self._counted.written_bytes,
        )

    def _read_bytes(self) -> int:
        """Return the number of bytes that the client has taken of all responses."""
        return self._counted.written_bytes - self._unread_bytes()

    def _unread_bytes(self) -> int:
        """Return the number of bytes that wait here or in the system for the client."""
        waiting_bytes = self.transport.get_write_buffer_size()
        socket = self.transport.get_extra_info("socket")
        try:
            answer = fcntl.ioctl(socket.fileno(), termios.TIOCOUTQ, bytes(4))
        except (OSError, ValueError):
            # The connection is closed, or the system does not say.
            return waiting_bytes
        return waiting_bytes + int.from_bytes(answer, sys.byteorder)

    def _abort_if_slow(self, earlier_read: int, earlier_written: int) -> None:
        """Abort the connection if the client has left bytes unread for too long.

        ``earlier_read`` and ``earlier_written`` are the numbers of bytes that the client
        had taken, and that were written, when the period began.
        """
        read_bytes = self._read_bytes()
        is_behind = read_bytes < earlier_written
        is_slow = read_bytes - earlier_read < self._limits.reader_bytes
        if is_behind and is_slow:
            self.transport.abort()
        elif self.flow.write_paused:
            self._check_pace_later()
        else:
            self._measures_pace = False

    # --- refusing -------------------------------------------------------------------

    def _refuse(
        self, error_code: str, detail: str, *, status: int | None = None
    ) -> None:
        """Send a problem document unless a response has begun; close the connection."""
        request_id = str(uuid.uuid4())
        problem = error_codes.problem_body(
            error_code, detail, request_id=request_id, status=status
        )
        self._is_refused = True
        self._stop_timer()
        self.connections.discard(self)
        _log.warning(
            "connection_refused",
            status=problem["status"],
            client=self.client,
            detail=detail,
        )
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._send_problem(
                problem, error_codes.CODES[error_code].retry_after
            )
        if self.cycle is not None:
            # A handler that still works on the request must not send a response too.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        may_linger = len(self._lingering) < _MAX_LINGERING
        if may_linger and self.transport.can_write_eof():
            self._lingering.add(self)
            self.transport.write_eof()
            self.loop.call_later(_LINGER_SECONDS, self.transport.close)
        else:
            self.transport.close()

    def _send_problem(
        self, problem: dict[str, Any], retry_after: int | None
    ) -> None:
        status = problem["status"]
        body = json.dumps(problem).encode()
        headers = [
            (b"content-type", error_codes.PROBLEM_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            (REQUEST_ID_HEADER, problem["request_id"].encode()),
            (b"connection", b"close"),
        ]
        if retry_after is not None:
            headers.append((b"retry-after", str(retry_after).encode()))
        head = h11.Response(
            status_code=status, headers=headers, reason=STATUS_PHRASES[status]
        )
        for event in (head, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
