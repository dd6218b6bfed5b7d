"""One delivery of a publication: its file, the way there, and the outcome.

The file gets its name only while the lease holds, so a process that was paused for too
long cannot replace a newer file with an older one. If a process dies, its try has no end.
The next process counts it as a failure, and sends the same file again, or the whole file
of a newer publication.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from relay_core.config.deliveries import DeliveryConfig
from relay_core.domain.destination import Destination
from relay_dagster.changed_files import ChangedFiles, FileVersion
from relay_dagster.deliveries import sending
from relay_dagster.deliveries.events import event_of_delivery
from relay_dagster.deliveries.file_names import file_name
from relay_dagster.deliveries.model import (
    DeliveryState,
    PublicationMark,
    SentFile,
)
from relay_dagster.feeds.pointer import (
    Publication,
    PublishedFile,
    file_of,
)
from relay_dagster.transfers.allowance import Allowance, CallError
from relay_dagster.transfers.doors import Upload, Visit, client_of
from relay_dagster.transfers.pull_transfer import destination_of, secret_for
from relay_dagster.transfers.room import TransferRoom
from relay_dagster.wiring import Platform
from relay_dagster.work.item import LeaseLostError
from relay_dagster.work.queue import LeasedItem

_CUT_SHORT = (
    "the process that sent the file ended before the transfer did; if this happens "
    "again, the server may send what Relay cannot handle"
)
_GONE = "the file of the live feed is gone"
PIECE_BYTES = 2 << 20
"""The bytes of a file that are read from the bucket at once."""


class UndeliverableError(Exception):
    """The publication has nothing for this delivery, whenever it is tried."""


@dataclass(frozen=True, slots=True)
class FileToSend:
    """A file of a publication, as a server is to get it."""

    what: str  # ``feed`` or ``changes``
    key: str  # the S3 key of the published copy, whole
    size: int  # in bytes
    rows: int | None
    chunks: Iterator[bytes]


@dataclass
class DeliveryTransfer:
    """The making of one delivery, by the process that has its lease."""

    platform: Platform  # the stores
    leased: LeasedItem[DeliveryState]  # the delivery's state
    delivery: DeliveryConfig  # the entry as the latest config has it
    publication: Publication  # the live feed
    room: TransferRoom  # the turns and limits of the transfer
    changed_files: ChangedFiles  # makes files of changes
    clock: Callable[[], datetime]  # tells the time, aware
    # Whether the server may have the file under its name, although it did not say so
    is_doubtful: bool = field(default=False, init=False)
    # The state for which the try is made; a newer one is other work
    tried: DeliveryState = field(init=False)

    def __post_init__(self) -> None:
        """Begin with the state as it was taken."""
        self.tried = self._state

    def run(self) -> str:
        """Send the file, store the outcome, and return it in words.

        Raises:
            CallError: The server does not take it. The outcome is not stored.
            UndeliverableError: There is no file to send. The outcome is not stored.
            LeaseLostError: The delivery is in other hands.
        """
        if self.leased.was_abandoned:
            # The server may have been the cause, so its turn comes later.
            raise CallError(_CUT_SHORT)
        publication = PublicationMark.of(self.publication)
        if self._state.pending != publication:
            self.leased.change(sending.caught_up(publication))
            self.tried = replace(self._state, pending=publication)
        destination = destination_of(self.platform, self.delivery)
        secret = secret_for(
            self.platform,
            self._state.tenant_id,
            self.delivery.secret,
            destination,
        )
        asked_at = self._state.asked_at
        with TemporaryDirectory(prefix="relay-delivery-") as folder:
            file = self._file(publication, Path(folder))
            name = file_name(
                self.delivery,
                self._state.tenant_id,
                publication,
                file.key,
                file.what,
            )
            self._upload(file, name, destination, secret)
        sent = SentFile(
            publication=publication,
            source=self.delivery.digest,
            key=file.key,
            what=file.what,
            rows=file.rows,
            asked_at=asked_at,
        )
        self._note(sent, name)
        return f"{file.what} of {file.size} bytes as {name}"

    # --- the file -------------------------------------------------------------------

    def _file(self, publication: PublicationMark, folder: Path) -> FileToSend:
        """Return the file to send: changes, or the whole file in their place.

        The folder is for the files of this machine from which changes are made.
        """
        channel_id = self.delivery.channel_id
        published = file_of(self.publication, channel_id)
        if published is None:
            raise UndeliverableError(
                f"the live feed was published without channel {channel_id}"
            )
        base = sending.base_of_changes(
            self._state, self.delivery, publication, self.clock()
        )
        if base is not None:
            changes = self._changes(base, published, folder)
            if changes is not None:
                return changes
        size = self.platform.objects.size_of(published.key)
        if size is None:
            raise UndeliverableError(_GONE)
        return FileToSend(
            what=sending.FEED,
            key=published.key,
            size=size,
            rows=published.rows,
            chunks=self._chunks(published.key, size),
        )

    def _changes(
        self, base: SentFile, published: PublishedFile, folder: Path
    ) -> FileToSend | None:
        """Return the file of changes against a delivered file.

        Return None where the whole file is sent instead.
        """
        base_path = folder / "base"
        older = self._version(base.publication.run_id, base.key, base_path)
        if older is None:
            return None
        run_id = self.publication.run_id
        newer = self._version(run_id, published.key, folder / "live")
        if newer is None:
            return None
        target = folder / "changes"
        rows = self.changed_files.make(
            self._state.tenant_id, older, newer, target
        )
        if rows is None:
            return None
        return FileToSend(
            what=sending.CHANGES,
            key=published.key,
            size=target.stat().st_size,
            rows=rows,
            chunks=_chunks_of(target),
        )

    def _version(self, run_id: str, key: str, path: Path) -> FileVersion | None:
        """Return a published copy on this machine; None if it is no longer kept."""
        tenant_id = self._state.tenant_id
        record = self.platform.runs.get(run_id)
        if record is None or record.config_version is None:
            return None
        stored = self.platform.tenants.version(tenant_id, record.config_version)
        if stored is None:
            return None
        config = self.platform.tenants.parsed(stored)
        file = config.file_of(self.delivery.channel_id)
        size = self.platform.objects.size_of(key)
        if file is None or size is None:
            return None
        with path.open("wb") as copy:
            copy.writelines(self._chunks(key, size))
        return FileVersion(path, file)

    def _chunks(self, key: str, size: int) -> Iterator[bytes]:
        """Yield the bytes of a published copy, each piece read when it is needed.

        The server may be slow, so no connection to the bucket stays open meanwhile.
        """
        for start in range(0, size, PIECE_BYTES):
            stop = min(start + PIECE_BYTES, size)
            piece = self.platform.objects.read_range(key, start, stop)
            if not piece:
                raise UndeliverableError(_GONE)
            yield piece

    # --- the way there --------------------------------------------------------------

    def _upload(
        self,
        file: FileToSend,
        name: str,
        destination: Destination,
        secret: str,
    ) -> None:
        """Send a file under a name."""
        open_upload = client_of(destination).open_upload
        if open_upload is None:
            raise CallError("a server of this URL takes no files")
        with self.room.upload(file.size) as allowance:
            visit = Visit(destination, secret, allowance)
            with open_upload(self.delivery, visit, name) as upload:
                self._send(file, upload, allowance)

    def _send(
        self, file: FileToSend, upload: Upload, allowance: Allowance
    ) -> None:
        """Write the file beside its name, and rename it while the lease holds."""
        for chunk in _unhurried(file.chunks, allowance):
            self._check_lease()
            upload.write(chunk)
        upload.complete()
        self._check_lease()
        self.leased.renew()
        try:
            upload.rename()
        finally:
            self.is_doubtful = upload.is_doubtful

    def _check_lease(self) -> None:
        """End the transfer if another process may have taken the delivery over."""
        lease = self.leased.item.lease
        has_run_out = lease is None or lease.until <= self.clock()
        if self.leased.is_lost or has_run_out:
            raise LeaseLostError(self.leased.key)

    # --- the outcome ----------------------------------------------------------------

    def _note(self, sent: SentFile, name: str) -> None:
        now = self.clock()
        event = event_of_delivery(
            self._state.tenant_id, self.delivery, sent, name, now
        )
        event_write = self.platform.webhooks.event_write(event)
        self.leased.finish(sending.delivered(sent, now), [event_write])

    @property
    def _state(self) -> DeliveryState:
        return self.leased.value


def _chunks_of(path: Path) -> Iterator[bytes]:
    """Yield the bytes of a file of this machine."""
    with path.open("rb") as file:
        while chunk := file.read(PIECE_BYTES):
            yield chunk


def _unhurried(
    chunks: Iterator[bytes], allowance: Allowance
) -> Iterator[bytes]:
    """Yield chunks; the server's pace excludes the time until each is read."""
    while True:
        with allowance.paused():
            chunk = next(chunks, b"")
        if not chunk:
            return
        yield chunk
