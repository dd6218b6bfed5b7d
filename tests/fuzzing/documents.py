"""Fuzz the readers of JSON documents and XML with damaged documents.

Each document is a stored one with random damage. A reader must agree with `json` and
`ElementTree` whether the document is valid, and may raise `FeedUnreadableError` alone.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from relay_core.domain.errors import FeedUnreadableError  # noqa: E402  # found above
from relay_core.ingest.documents.json_faults import (  # noqa: E402
    find_fault,
    unique_pairs,
)
from support.reading import read  # noqa: E402

CORPUS = ROOT / "tests" / "data" / "documents"
PIECES = (
    *(
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b'"',
        b"\\",
        b"\\ud800",
        b"NaN",
        b"1e9",
    ),
    *(
        b"<",
        b">",
        b"/>",
        b"</",
        b"&",
        b"&amp;",
        b"&#0;",
        b"]]>",
        b"<![CDATA[",
        b"<!--",
    ),
    *(
        b"-->",
        b"<?",
        b"?>",
        b"\x00",
        b"\xff",
        b"\xc3",
        b"\n",
        b" ",
        b"items",
        b"<!ENTITY",
    ),
)
PATHS = {
    "json": ["/", "/items", "/items/stock", "/supplier"],
    "xml": ["/", "/catalog", "/catalog/items", "/catalog/items/stock"],
}
NAMED = ["../date", "../@date", "stock[qty=3]/at[2]", "../supplier/code"]


def damaged(data: bytes, draw: random.Random) -> bytes:
    """Return a document with up to six random changes."""
    for _ in range(draw.randint(0, 6)):
        start = draw.randrange(len(data) + 1)
        end = min(len(data), start + draw.choice([0, 0, 1, 1, 5, 40]))
        change = draw.randrange(4)
        if change == 0:
            data = data[:start] + draw.choice(PIECES) + data[end:]
        elif change == 1:
            data = data[:start] + data[end:]
        elif change == 2:
            data = data[:end] + data[start:end] + data[end:]
        else:
            data = (
                data[:start] + bytes([draw.randrange(256)]) + data[start + 1 :]
            )
    return (
        data if draw.random() < 0.9 else data[: draw.randrange(len(data) + 1)]
    )


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def is_valid_json(data: bytes) -> bool:
    """Return True if `json` reads a document, and nothing in it is refused beyond that."""
    try:
        text = data.decode("utf-8").removeprefix("\ufeff")
        json.loads(
            text, object_pairs_hook=unique_pairs, parse_constant=_no_constant
        )
    except (ValueError, RecursionError):
        return False
    return find_fault(text, 0, 100) is None


def is_valid_xml(data: bytes) -> bool:
    """Return True if `ElementTree` reads a document without a DOCTYPE."""
    try:
        data.decode("utf-8")
        ElementTree.fromstring(data)  # noqa: S314  # the document is the test's own
    except (ValueError, ElementTree.ParseError, LookupError):
        return False
    return b"<!DOCTYPE" not in data


def judge(data: bytes, format: str, draw: random.Random) -> str | None:
    """Return the reason why a reader is wrong about a document, or None."""
    record = draw.choice(PATHS[format])
    levels = 0 if record == "/" else record.count("/")
    headers = [path for path in NAMED if path.count("../") <= levels]
    named = draw.sample(headers, draw.randint(0, len(headers)))
    rules = [{"column": header, "is": "empty"} for header in named]
    code = None
    try:
        read(data, format, record=record, skip_rows=rules)
    except FeedUnreadableError as error:
        code = str(error.error_code)
    is_valid: Callable[[bytes], bool] = (
        is_valid_json if format == "json" else is_valid_xml
    )
    if is_valid(data) and code == "DECODE_ERROR":
        return f"{format} at {record}: a valid document is refused"
    is_refused = code == "DECODE_ERROR" or not data.strip()
    if format == "json" and not is_valid(data) and not is_refused:
        return f"{format} at {record}: an invalid document is read"
    return None


def attack(
    seconds: float, count: int, seed: int
) -> tuple[int, list[tuple[str, bytes]]]:
    """Return the number of documents, and the wrong ones with their reasons."""
    draw = random.Random(seed)  # the documents are no secret
    stored = sorted(
        path for path in CORPUS.rglob("*") if path.suffix in (".json", ".xml")
    )
    wrong = []
    tried = 0
    until = time.monotonic() + seconds
    while tried < count and time.monotonic() < until:
        path = draw.choice(stored)
        data = damaged(path.read_bytes(), draw)
        reason = judge(data, path.suffix[1:], draw)
        tried += 1
        if reason is not None:
            wrong.append((reason, data))
    return tried, wrong


def main(argv: Sequence[str] | None = None) -> int:
    """Print what was tried and what is wrong; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    chosen = parser.parse_args(argv)
    print(f"seed {chosen.seed}", flush=True)
    tried, wrong = attack(chosen.minutes * 60, sys.maxsize, chosen.seed)
    for reason, data in wrong[:20]:
        print(f"{reason}\n  {data!r}")
    print(f"{tried:,} documents, {len(wrong)} read wrongly")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
