"""Files behind the API's links, and uploads to them; the API key goes to neither."""

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
from relay_dagster.client.errors import (
    FileGoneError,
    NoResponseError,
    UnexpectedResponseError,
)
from relay_dagster.wire.base import ResponseBody
from relay_dagster.wire.tenants import UploadLink

TIMEOUT = httpx.Timeout(60, connect=10)
_CHUNK_BYTES = 1 << 20
_GONE_STATUSES = (403, 404, 410)
"""The statuses of S3 for a file that does not exist and for an expired link."""
_HOST_HINT = (
    "The API puts this host in its links. To change it, set "
    "RELAY_PUBLIC_S3_ENDPOINT_URL in the environment of the API."
)
_Report = TypeVar("_Report", bound=ResponseBody)
certificates = cache(httpx.create_ssl_context)
"""Return the certificates of authorities, cached: reading them takes longer than a file."""


def download(name: str, link: str) -> bytes:
    """Return the file behind a link.

    Raises:
        ClientError: The file cannot be downloaded.
    """
    with opened(name, link) as response:
        return response.read()


def download_to(path: Path, name: str, link: str) -> str:
    """Write the file behind a link to a path, and return its SHA-256.

    Raises:
        ClientError: The file cannot be downloaded.
    """
    digest = hashlib.sha256()
    with opened(name, link) as response, path.open("wb") as file:
        # The raw bytes keep an encoding that the upload had.
        for chunk in response.iter_raw(_CHUNK_BYTES):
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()


@contextmanager
def opened(name: str, link: str) -> Iterator[httpx.Response]:
    """Open the response with the file behind a link.

    Raises:
        ClientError: The file cannot be downloaded.
    """
    host = httpx.URL(link).netloc.decode()
    try:
        with (
            _keyless_client(link) as client,
            client.stream("GET", link, follow_redirects=True) as response,
        ):
            if response.is_success:
                yield response
                return
    except httpx.TransportError as error:
        raise NoResponseError(
            f"{name} cannot be downloaded: {host} cannot be reached "
            f"({reason_of(error)}). {_HOST_HINT}",
            was_sent=True,
        ) from error
    error_type = UnexpectedResponseError
    if response.status_code in _GONE_STATUSES:
        error_type = FileGoneError
    raise error_type(
        f"{name} cannot be downloaded: {host} returned {response.status_code} "
        f"{response.reason_phrase}.",
    )


def send_file(link: UploadLink, path: Path) -> None:
    """Upload a file in pieces, so that it is never in memory as a whole.

    Raises:
        ClientError: The file is not accepted.
        OSError: The file cannot be read.
    """
    host = httpx.URL(link.url).netloc.decode()
    try:
        with _keyless_client(link.url) as client, path.open("rb") as file:
            response = client.post(
                link.url,
                data=link.fields,
                files={"file": file},
            )
    except httpx.TransportError as error:
        raise NoResponseError(
            f"{path.name} was not uploaded: {host} cannot be reached, or closed the "
            f"connection ({reason_of(error)}). You can safely run the command again.",
            _HOST_HINT,
            was_sent=True,
        ) from error
    if not response.is_success:
        raise UnexpectedResponseError(
            f"{path.name} was not uploaded: {host} returned {response.status_code} "
            f"{response.reason_phrase}{_s3_error(response.text)}",
        )


def read_report(model: type[_Report], name: str, link: str) -> _Report:
    """Return a run's JSON report behind a link as its model.

    Raises:
        ClientError: The report cannot be downloaded, or does not fit the model.
    """
    file_name = f"{name}.json"
    try:
        return model.model_validate_json(download(file_name, link))
    except ValidationError as error:
        raise UnexpectedResponseError(
            f"{file_name} has a format that this version of relay cannot read.",
        ) from error


def is_local(url: str) -> bool:
    """Return whether a URL leads to this machine."""
    return is_loopback(httpx.URL(url).host)


def reason_of(error: httpx.TransportError) -> str:
    """Return the reason of a failed request in one line."""
    return " ".join(str(error).split()) or type(error).__name__


def _keyless_client(url: str) -> httpx.Client:
    return httpx.Client(
        verify=certificates(),
        timeout=TIMEOUT,
        # This machine needs no proxy to reach itself.
        trust_env=not is_local(url),
    )


def _s3_error(body: str) -> str:
    """Return the code and the message in an error body of S3, as far as there are any."""
    text = ""
    for tag in ("Code", "Message"):
        element = re.search(f"<{tag}>([^<]+)</{tag}>", body)
        if element is not None:
            text += f": {element.group(1)}"
    return text
