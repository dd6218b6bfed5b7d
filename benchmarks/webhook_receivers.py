"""Receivers of webhooks: servers that answer at once, and one that never does.

``python -m benchmarks.webhook_receivers COUNT``: the first never answers. Once all listen, a line
with their ports is written to standard output; then one for each request that is answered: the
instant, on the system's monotonic clock.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time

HOST = "127.0.0.1"
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
_ANSWER = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n"


async def answer(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Read a request and answer it."""
    head = await reader.readuntil(b"\r\n\r\n")
    match = _LENGTH.search(head)
    await reader.readexactly(int(match[1]) if match else 0)
    writer.write(_ANSWER)
    await writer.drain()
    print(time.monotonic(), flush=True)
    writer.close()


async def hang(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Answer nothing until the other side is tired of it."""
    await reader.read()
    writer.close()


async def main(count: int) -> None:
    """Serve until the process is ended."""
    behaviors = (hang, *[answer] * (count - 1))
    servers = [
        await asyncio.start_server(behave, HOST, 0) for behave in behaviors
    ]
    print(
        *(server.sockets[0].getsockname()[1] for server in servers), flush=True
    )
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
