"""Clients that ask again as soon as they have an answer, over connections that stay open.

    python -m benchmarks.api_load ORDER.json

A process of its own, with as little between it and the sockets as asyncio allows, so that what is
measured is the server. ``ORDER.json`` has host, port, seconds, and the groups of clients: a name
and one path for each. Prints, as one line of JSON, each group's seconds per answer and its errors.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

_TIMEOUT_SECONDS = 60


async def _ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
) -> bool:
    """Send a request and read the answer to its end; tell whether its status is 200."""
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    status, *headers = head.decode("latin-1").split("\r\n")
    lengths = [
        line.partition(":")[2]
        for line in headers
        if line[:15].lower() == "content-length:"
    ]
    await reader.readexactly(int(lengths[0]))
    return status.split(" ")[1] == "200"


async def _client(
    order: dict[str, Any], path: str, until: float
) -> tuple[list[float], int]:
    """Ask for one path until the time is over; return the seconds of each answer, and errors."""
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {order['host']}",
        *order["headers"],
        "",
        "",
    ]
    request = "\r\n".join(lines).encode()
    reader, writer = await asyncio.open_connection(order["host"], order["port"])
    latencies: list[float] = []
    errors = 0
    while (began := time.perf_counter()) < until:
        good = await asyncio.wait_for(
            _ask(reader, writer, request), _TIMEOUT_SECONDS
        )
        latencies.append(time.perf_counter() - began)
        errors += not good
    writer.close()
    return latencies, errors


async def _load(order: dict[str, Any]) -> dict[str, Any]:
    until = time.perf_counter() + order["seconds"]
    clients = [
        (name, path)
        for name, paths in order["groups"].items()
        for path in paths
    ]
    results = await asyncio.gather(
        *(_client(order, path, until) for _, path in clients)
    )
    groups: dict[str, Any] = {
        name: {"taken": [], "errors": 0} for name in order["groups"]
    }
    for (name, _), (latencies, errors) in zip(clients, results, strict=True):
        groups[name]["taken"] += latencies
        groups[name]["errors"] += errors
    return groups


if __name__ == "__main__":
    print(
        json.dumps(
            asyncio.run(_load(json.loads(Path(sys.argv[1]).read_text("utf-8"))))
        )
    )
