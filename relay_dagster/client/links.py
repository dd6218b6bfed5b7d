"""Files that the API's links lead to, and forms that take one; the API's key goes to neither."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TypeVar

import httpx
from pydantic import ValidationError

from relay_core.domain.destination import is_loopback
from relay_dagster.client.errors import GoneError, NoAnswerError, UnexpectedAnswerError
from relay_dagster.wire.base import ResponseBody
from relay_dagster.wire.tenants import UploadLink

TIMEOUT = httpx.Timeout(60, connect=10)
_PIECE = 1 << 20
_GONE = (
    403,
    404,
    410,
)  # how S3 answers for a file that is not there, or whose link has expired
_NAMED_BY = (
    "the API names that host in links, "
    "RELAY_PUBLIC_S3_ENDPOINT_URL of its environment changes it"
)
_Report = TypeVar("_Report", bound=ResponseBody)
certificates = cache(httpx.create_ssl_context)
"""Those of authorities: reading them takes longer than a small file."""


def download(name: str, link: str) -> bytes:
    """Return the file that a presigned link leads to, without the API's key; as `opened`."""
    with opened(name, link) as response:
        return response.read()


def download_to(path: Path, name: str, link: str) -> str:
    """Write a presigned link's file as it is stored; return its SHA-256. Raises as `opened`."""
    digest = hashlib.sha256()
    with opened(name, link) as response, path.open("wb") as file:
        for chunk in response.iter_raw(
            _PIECE
        ):  # no encoding comes off that the upload had
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()


@contextmanager
def opened(name: str, link: str) -> Iterator[httpx.Response]:
    """Lend the answer with the file of a presigned link; `ClientError`: it cannot be had."""
    host = httpx.URL(link).netloc.decode()
    try:
        with (
            _without_key(link) as anybody,
            anybody.stream("GET", link, follow_redirects=True) as response,
        ):
            if response.is_success:
                yield response
                return
    except httpx.TransportError as error:
        raise NoAnswerError(
            f"{name} cannot be downloaded: {host} is not reachable ({reason_of(error)}); "
            f"{_NAMED_BY}",
            was_sent=True,
        ) from error
    kind = GoneError if response.status_code in _GONE else UnexpectedAnswerError
    raise kind(
        f"{name} cannot be downloaded: {host} answers {response.status_code} "
        f"{response.reason_phrase}"
    )


def send_file(link: UploadLink, path: Path) -> None:
    """Send a file by a form, piece by piece: it is never in memory as a whole.

    `ClientError`: it is not taken; `OSError`: it cannot be read.
    """
    host = httpx.URL(link.url).netloc.decode()
    try:
        with _without_key(link.url) as anybody, path.open("rb") as file:
            response = anybody.post(link.url, data=link.fields, files={"file": file})
    except httpx.TransportError as error:
        raise NoAnswerError(
            f"{path.name} is not uploaded: {host} is not reachable, or broke off "
            f"({reason_of(error)}); the same command again does no harm",
            _NAMED_BY,
            was_sent=True,
        ) from error
    if not response.is_success:
        # What S3 says of a refusal, as far as its answer is S3's.
        parts = (
            re.search(f"<{tag}>([^<]+)</{tag}>", response.text)
            for tag in ("Code", "Message")
        )
        why = "".join(f": {found.group(1)}" for found in parts if found is not None)
        raise UnexpectedAnswerError(
            f"{path.name} is not uploaded: {host} answers {response.status_code} "
            f"{response.reason_phrase}{why}"
        )


def read_report(model: type[_Report], name: str, link: str) -> _Report:
    """Return a run's JSON report, fetched through its link, as its model."""
    file = f"{name}.json"
    try:
        return model.model_validate_json(download(file, link))
    except ValidationError as error:
        raise UnexpectedAnswerError(
            f"{file} is not in the form that is known here"
        ) from error


def _without_key(url: str) -> httpx.Client:
    return httpx.Client(
        verify=certificates(), timeout=TIMEOUT, trust_env=not is_here(url)
    )


def is_here(url: str) -> bool:
    """Return whether a URL is this machine's own; no proxy is for those."""
    return is_loopback(httpx.URL(url).host)


def reason_of(error: httpx.TransportError) -> str:
    """Return what an error says, in one line."""
    return " ".join(str(error).split()) or type(error).__name__
