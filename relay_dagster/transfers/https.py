"""A file by HTTPS: redirects are judged one by one, and a secret goes to one host only."""

import ssl
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from posixpath import basename
from urllib.parse import unquote, urldefrag, urljoin

import httpcore

from relay_core.domain.destination import Destination, UnfitUrlError, judge_url
from relay_dagster.transfers import streams
from relay_dagster.transfers.allowance import Allowance, CallError, PieceCount
from relay_dagster.triggers.pulled_files import NO_MARK, Download, FileMark

MAX_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_GZIP_CODINGS = (b"gzip", b"x-gzip")
_NO_CODINGS = (b"", b"identity")
# zlib's number for data with the header and trailer of gzip
_GZIP_WINDOW_BITS = 31
_NO_HEADER_TEXT = "the secret contains characters that a header cannot have"
_PIECE_BYTES = 256 << 10
_MAX_MARK_BYTES = 1024
_REQUEST_HEADERS = {
    "user-agent": "Relay-Inventory-Pulls/1",
    "accept": "*/*",
    "accept-encoding": "identity",
}


@contextmanager
def open_https(
    destination: Destination,
    last_mark: FileMark,
    secret: str | None,
    allowance: Allowance,
    max_bytes: int,
) -> Iterator[Download | None]:
    """Open a file; yield None if it is the one with the last mark.

    The secret is the text of the header ``Authorization``. A file that says that it has
    more than ``max_bytes`` is not read. Certificates are judged by the authorities that
    the system has now.

    Raises:
        CallError: The file cannot be fetched.
    """
    path, _, _ = destination.target.partition("?")
    name = unquote(basename(path))
    headers = dict(_REQUEST_HEADERS)
    if last_mark.etag:
        headers["if-none-match"] = last_mark.etag
    if last_mark.last_modified:
        headers["if-modified-since"] = last_mark.last_modified
    first_receiver = destination.receiver
    ssl_context = ssl.create_default_context()
    for _ in range(MAX_REDIRECTS + 1):
        if secret is not None and destination.receiver == first_receiver:
            headers["authorization"] = _authorization(secret)
        else:
            # Once a redirect has led elsewhere, the secret is not sent again.
            headers.pop("authorization", None)
            secret = None
        backend = streams.JudgedBackend(destination, allowance)
        with streams.exchange(
            "GET", backend, headers, ssl_context=ssl_context
        ) as response:
            if response.status in _REDIRECTS:
                destination = _redirect_target(destination, response)
                continue
            is_unchanged = response.status == HTTPStatus.NOT_MODIFIED
            if is_unchanged and last_mark != NO_MARK:
                yield None
            else:
                chunks = _file_chunks(response, allowance, max_bytes)
                yield Download(name, _mark_of(response), chunks)
            return
    raise CallError(f"the server redirects more than {MAX_REDIRECTS} times")


def _authorization(secret: str) -> str:
    text = secret.strip()
    if not text.isascii() or not text.isprintable():
        raise CallError(_NO_HEADER_TEXT)
    return text


def _redirect_target(
    destination: Destination, response: httpcore.Response
) -> Destination:
    """Return where a redirect leads."""
    location = (
        _headers_of(response).get(b"location", b"").decode("latin-1").strip()
    )
    if not location:
        raise CallError(
            f"the server answered {response.status} without a Location header"
        )
    base_url = (
        f"{destination.scheme}://{destination.host_header}{destination.target}"
    )
    try:
        url = urldefrag(urljoin(base_url, location)).url
        return judge_url(url, allow_loopback=destination.allow_loopback)
    except UnfitUrlError as error:
        message = (
            f"the server redirects to a URL that is not allowed: it {error}"
        )
        raise CallError(message) from error
    except ValueError as error:
        raise CallError("the server redirects to an invalid URL") from error


def _mark_of(response: httpcore.Response) -> FileMark:
    headers = _headers_of(response)
    return FileMark(
        etag=_mark_text(headers.get(b"etag", b"")),
        last_modified=_mark_text(headers.get(b"last-modified", b"")),
    )


def _mark_text(header: bytes) -> str | None:
    """Return a header's text, or None if it cannot be sent back in a request."""
    is_fit = 0 < len(header) <= _MAX_MARK_BYTES and header.isascii()
    return header.decode("latin-1") if is_fit else None


def _file_chunks(
    response: httpcore.Response, allowance: Allowance, max_bytes: int
) -> Iterator[bytes]:
    """Return the bytes of a response that has a file; read nothing of any other."""
    if response.status != HTTPStatus.OK:
        raise CallError(f"the server answered {response.status}")
    headers = _headers_of(response)
    if int(headers.get(b"content-length", b"0")) > max_bytes:
        raise CallError(
            f"the file has more than {max_bytes:,} bytes, which is the limit"
        )
    coding = headers.get(b"content-encoding", b"identity").strip().lower()
    chunks = _counted_chunks(response, allowance)
    if coding in _GZIP_CODINGS:
        return _unpacked_chunks(chunks, allowance)
    if coding not in _NO_CODINGS:
        raise CallError(
            "the server compresses the file by an unsupported method"
        )
    return chunks


def _counted_chunks(
    response: httpcore.Response, allowance: Allowance
) -> Iterator[bytes]:
    pieces = PieceCount(allowance)
    for chunk in streams.read_response(response):
        pieces.add(len(chunk))
        yield chunk


def _unpacked_chunks(
    chunks: Iterator[bytes], allowance: Allowance
) -> Iterator[bytes]:
    """Yield data that a server has packed as gzip, unasked, a bounded piece at a time."""
    members = PieceCount(allowance)
    member_bytes = 0
    member = zlib.decompressobj(wbits=_GZIP_WINDOW_BITS)
    try:
        for chunk in chunks:
            packed = chunk
            while packed:
                if member.eof:
                    members.add(member_bytes)
                    member_bytes = 0
                    member = zlib.decompressobj(wbits=_GZIP_WINDOW_BITS)
                piece = member.decompress(packed, _PIECE_BYTES)
                packed = _unread_data(member)
                while piece:
                    member_bytes += len(piece)
                    yield piece
                    if member.eof:
                        break
                    piece = member.decompress(packed, _PIECE_BYTES)
                    packed = _unread_data(member)
    except zlib.error as error:
        raise CallError(
            "the file is compressed with gzip and damaged"
        ) from error
    if not member.eof:
        raise CallError("the file is compressed with gzip and incomplete")


def _unread_data(member: "zlib._Decompress") -> bytes:
    """Return the data behind what a gzip member has been read of so far."""
    return member.unused_data if member.eof else member.unconsumed_tail


def _headers_of(response: httpcore.Response) -> Mapping[bytes, bytes]:
    """Return the headers of a response by their names in lower case."""
    return {name.lower(): text for name, text in response.headers}
