"""A file by HTTPS: redirects judged one by one, and a secret for the first host alone."""

import ssl
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from posixpath import basename
from urllib.parse import unquote, urldefrag, urljoin

import httpcore

from relay_core.domain.destination import Destination, UnfitUrlError, judge_url
from relay_dagster.transfers.streams import (
    Allowance,
    CallError,
    JudgedBackend,
    exchange,
    read_answer,
)
from relay_dagster.triggers.pulls import Download, FileMark

MAX_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_GZIP, _GZIP_HEADER = (b"gzip", b"x-gzip"), 31
_UNFIT_HEADER = (
    "the secret is no text of a header: it has characters that none may have"
)
_PIECE = 256 << 10
_MAX_MARK = 1024
_HEADERS = {
    "user-agent": "Relay-Inventory-Pulls/1",
    "accept": "*/*",
    "accept-encoding": "identity",
}


@contextmanager
def open_https(
    destination: Destination,
    known: FileMark,
    secret: str | None,
    allowance: Allowance,
    max_bytes: int,
) -> Iterator[Download | None]:
    """Open a file; None where it is the known one.

    The secret is the text of the header ``Authorization``. A file that says that it has more than
    ``max_bytes`` is not read. Certificates are judged by the authorities that the system has now.
    `CallError` where there is none to be had.
    """
    name, headers = (
        unquote(basename(destination.target.partition("?")[0])),
        dict(_HEADERS),
    )
    asked = {"if-none-match": known.etag, "if-modified-since": known.last_modified}
    headers |= {header: text for header, text in asked.items() if text}
    first, trust = destination.receiver, ssl.create_default_context()
    for _ in range(MAX_REDIRECTS + 1):
        if secret is not None and destination.receiver == first:
            headers["authorization"] = text = secret.strip()
            if not text.isascii() or not text.isprintable():
                raise CallError(_UNFIT_HEADER)
        else:
            # Once the way has led elsewhere it is not sent again.
            headers.pop("authorization", None)
            secret = None
        backend = JudgedBackend(destination, allowance)
        with exchange("GET", backend, headers, ssl_context=trust) as answer:
            if answer.status in _REDIRECTS:
                destination = _next(destination, answer)
                continue
            if answer.status == HTTPStatus.NOT_MODIFIED and known != FileMark():
                yield None
            else:
                yield Download(name, _mark(answer), _chunks(answer, max_bytes))
            return
    raise CallError(f"the server leads on more than {MAX_REDIRECTS} times")


def _next(destination: Destination, answer: httpcore.Response) -> Destination:
    """Return where a redirect leads."""
    location = _named(answer).get(b"location", b"").decode("latin-1").strip()
    if not location:
        raise CallError(f"the server answered {answer.status} and names no place")
    here = f"{destination.scheme}://{destination.host_header}{destination.target}"
    try:
        url = urldefrag(urljoin(here, location)).url
        return judge_url(url, allow_loopback=destination.allow_loopback)
    except UnfitUrlError as error:
        raise CallError(
            f"the server leads on to a URL that is refused: it {error}"
        ) from error
    except ValueError as error:
        raise CallError("the server leads on to what is no URL") from error


def _mark(answer: httpcore.Response) -> FileMark:
    named = _named(answer)
    etag, modified = (
        text.decode("latin-1")
        if 0 < len(text) <= _MAX_MARK and text.isascii()
        else None
        for text in (named.get(b"etag", b""), named.get(b"last-modified", b""))
    )
    return FileMark(etag=etag, last_modified=modified)


def _chunks(answer: httpcore.Response, max_bytes: int) -> Iterator[bytes]:
    """Return the bytes of an answer that is a file; those of any other are not read."""
    if answer.status != HTTPStatus.OK:
        raise CallError(f"the server answered {answer.status}")
    named = _named(answer)
    if int(named.get(b"content-length", b"0")) > max_bytes:
        raise CallError(
            f"the file has more than {max_bytes:,} bytes, which are the most"
        )
    packing = named.get(b"content-encoding", b"identity").strip().lower()
    if packing in _GZIP:
        return _unpacked(read_answer(answer))
    if packing not in (b"", b"identity"):
        raise CallError("the server packs the file in a way that it was not asked for")
    return read_answer(answer)


def _unpacked(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield what a server has packed as gzip although it was not asked to, a piece at a time."""
    member = zlib.decompressobj(wbits=_GZIP_HEADER)
    try:
        for chunk in chunks:
            while chunk:
                if member.eof:
                    member = zlib.decompressobj(wbits=_GZIP_HEADER)
                piece = member.decompress(chunk, _PIECE)
                chunk = member.unused_data if member.eof else member.unconsumed_tail
                while piece:
                    yield piece
                    piece = b"" if member.eof else member.decompress(chunk, _PIECE)
                    chunk = member.unused_data if member.eof else member.unconsumed_tail
    except zlib.error as error:
        raise CallError("the file is packed as gzip, and damaged") from error
    if not member.eof:
        raise CallError("the file is packed as gzip, and cut short")


def _named(answer: httpcore.Response) -> Mapping[bytes, bytes]:
    """Return the headers of an answer by their names in small letters."""
    return {name.lower(): text for name, text in answer.headers}
