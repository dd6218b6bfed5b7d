"""The client of each door: what opens a file, a folder, and an upload, by the scheme.

The doors themselves are in `relay_core/domain/doors.py`.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TypeAlias

from relay_core.config.deliveries import DeliveryConfig
from relay_core.config.pulls import PullConfig
from relay_core.domain.destination import Destination
from relay_core.domain.doors import door_of
from relay_dagster.transfers.allowance import Allowance
from relay_dagster.transfers.https import open_https
from relay_dagster.transfers.sftp.files import (
    SftpFolder,
    open_folder,
    open_sftp,
)
from relay_dagster.transfers.sftp.upload import SftpUpload, open_upload
from relay_dagster.triggers.pulled_files import Download, FileMark

Folder: TypeAlias = SftpFolder
"""An open folder of a server."""
Upload: TypeAlias = SftpUpload
"""A file on its way into a folder of a server."""


@dataclass(frozen=True, slots=True)
class Visit:
    """The destination, the secret, and the limits of a call to a server."""

    destination: Destination
    secret: str | None
    allowance: Allowance


@dataclass(frozen=True, slots=True)
class Client:
    """The functions of one door; each raises `CallError` if the server does not serve."""

    # Opens the file of a pull with at most some bytes, or yields None if the file is the
    # one with the mark
    open_file: Callable[
        [PullConfig, Visit, FileMark, int],
        AbstractContextManager[Download | None],
    ]
    # Opens the folder of a pull, whose files have at most some bytes
    open_folder: (
        Callable[[PullConfig, Visit, int], AbstractContextManager[Folder]]
        | None
    ) = None
    # Opens a file of a name to be written for a delivery
    open_upload: (
        Callable[[DeliveryConfig, Visit, str], AbstractContextManager[Upload]]
        | None
    ) = None


def client_of(destination: Destination) -> Client:
    """Return the client of a destination's door."""
    door = door_of(destination.scheme)
    if door is None:
        raise KeyError(destination.scheme)
    return CLIENTS[door.scheme]


# --- HTTPS ----------------------------------------------------------------------------


def _open_https_file(
    _: PullConfig,
    visit: Visit,
    last_mark: FileMark,
    max_bytes: int,
) -> AbstractContextManager[Download | None]:
    return open_https(
        visit.destination,
        last_mark,
        visit.secret,
        visit.allowance,
        max_bytes,
    )


# --- SFTP -----------------------------------------------------------------------------


def _open_sftp_file(
    pull: PullConfig,
    visit: Visit,
    last_mark: FileMark,
    max_bytes: int,
) -> AbstractContextManager[Download | None]:
    return open_sftp(
        visit.destination,
        last_mark,
        visit.secret,
        visit.allowance,
        max_bytes,
        host_key=str(pull.host_key),
    )


def _open_sftp_folder(
    pull: PullConfig,
    visit: Visit,
    max_bytes: int,
) -> AbstractContextManager[SftpFolder]:
    return open_folder(
        visit.destination,
        visit.secret,
        visit.allowance,
        max_bytes,
        host_key=str(pull.host_key),
    )


def _open_sftp_upload(
    delivery: DeliveryConfig,
    visit: Visit,
    name: str,
) -> AbstractContextManager[SftpUpload]:
    return open_upload(
        visit.destination,
        name,
        str(visit.secret),
        visit.allowance,
        host_key=delivery.host_key,
    )


CLIENTS: Mapping[str, Client] = {
    "https": Client(open_file=_open_https_file),
    "sftp": Client(
        open_file=_open_sftp_file,
        open_folder=_open_sftp_folder,
        open_upload=_open_sftp_upload,
    ),
}
"""The client of each door, by its scheme."""
