"""One pull of a vendor's file: opened, staged while it comes, taken over when complete.

A new file is complete under ``published/<tenant_id>/pulls/`` before anything says so.
Then its keys are stored, and it is copied beside the vendor's uploads. A process that
dies leaves either no upload, or one that the next process finds there and counts as
pulled.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta

from relay_core.config.pulls import PullConfig
from relay_core.domain.destination import Destination, UnfitUrlError
from relay_core.normalize.file_kinds import HEAD_BYTES, PAGE, is_page
from relay_dagster.aws.secrets import SecretsUnavailableError
from relay_dagster.aws.spooled_upload import SpooledUpload
from relay_dagster.feeds.pointer import published_prefix
from relay_dagster.transfers.allowance import Allowance, CallError
from relay_dagster.transfers.https import open_https
from relay_dagster.transfers.room import TransferRoom
from relay_dagster.transfers.sftp import open_sftp
from relay_dagster.triggers import pulls
from relay_dagster.triggers.pulled_files import (
    Download,
    FileMark,
    StagedFile,
    target_key,
)
from relay_dagster.triggers.pulls import PullState
from relay_dagster.wiring import Platform
from relay_dagster.work.item import LeaseLostError
from relay_dagster.work.queue import LeasedItem

_CUT_SHORT = (
    "the process that pulled the file ended before the transfer did; if this happens "
    "again, the server may send what Relay cannot handle"
)


@dataclass(frozen=True, slots=True)
class PullRequest:
    """A pull to be made, by the process that has its lease."""

    leased: LeasedItem[PullState]  # the pull's state
    pull: PullConfig  # the pull as the latest config has it
    upload_prefix: str  # the prefix of the vendor's uploads
    room: TransferRoom  # the turns and limits of the transfer


@dataclass(frozen=True)
class Transfer:
    """The making of one pull."""

    platform: Platform  # the stores
    request: PullRequest
    clock: Callable[[], datetime]  # tells the time, aware

    def run(self) -> str:
        """Pull the file if it is new, store the outcome, and return it in words.

        Raises:
            CallError: There is no file to be had. The outcome is not stored.
            LeaseLostError: The pull is in other hands.
            TenantClosingError: The tenant is being deleted.
        """
        if self._has_taken_over_staged_file():
            return "a file that a process had left is taken over"
        if self.request.leased.was_abandoned:
            # The files that the dead process staged go, unfinished ones too.
            self.platform.objects.remove_all(
                self._staging_prefix, lambda: False
            )
            # The server may have been the cause, so its turn comes later.
            raise CallError(_CUT_SHORT)
        destination = self._destination()
        secret = self._secret(destination)
        max_bytes = self.platform.settings.max_feed_bytes
        with (
            self.request.room.transfer(max_bytes) as allowance,
            self._open(destination, secret, allowance) as download,
        ):
            if download is None:
                return self._note_unchanged(self._state.mark)
            if not self._is_settled(download.mark):
                return "a file is there that may not be whole yet"
            return self._store(download, allowance)

    # --- the way to the file --------------------------------------------------------

    def _destination(self) -> Destination:
        allow_loopback = self.platform.settings.pull_allow_loopback
        try:
            return self.request.pull.destination(allow_loopback=allow_loopback)
        except UnfitUrlError as error:
            raise CallError(f"the URL {error}") from error

    def _secret(self, destination: Destination) -> str | None:
        """Return the secret of the pull, which must be for the pull's own host."""
        name = self.request.pull.secret
        if name is None:
            return None
        try:
            secret = self.platform.secrets.get(self._state.tenant_id, name)
        except SecretsUnavailableError as error:
            raise CallError(f"{error.error_code}: {error}") from error
        if secret is None:
            raise CallError(
                f"SECRET_NOT_FOUND: the tenant has no secret {name}"
            )
        if secret.host not in destination.host_names:
            raise CallError(
                f"SECRET_NOT_FOR_HOST: the secret {name} is for another host or port"
            )
        return secret.value

    def _open(
        self,
        destination: Destination,
        secret: str | None,
        allowance: Allowance,
    ) -> AbstractContextManager[Download | None]:
        """Open the file, or yield None if it is the one that was pulled last."""
        mark = self._state.mark
        max_bytes = self.platform.settings.max_feed_bytes
        host_key = self.request.pull.host_key
        if host_key is None:
            return open_https(destination, mark, secret, allowance, max_bytes)
        return open_sftp(
            destination, mark, secret, allowance, max_bytes, host_key=host_key
        )

    # --- the file -------------------------------------------------------------------

    def _is_settled(self, mark: FileMark) -> bool:
        """Return True if a file of SFTP has not changed for long enough, by our clock."""
        settle = timedelta(seconds=self.request.pull.settle_seconds)
        if mark.path is None or not settle:
            return True
        state = self._state
        now = self.clock()
        seen_at = state.seen_at if state.seen == mark else None
        if seen_at is not None and now - seen_at >= settle:
            return True
        self.request.leased.finish(pulls.unsettled(mark, now, settle))
        return False

    def _store(self, download: Download, allowance: Allowance) -> str:
        """Stage a file, and make it an upload if it is new."""
        leased = self.request.leased
        state = self._state
        objects = self.platform.objects
        # The owner of a lease is unique, so no other process stages under this key.
        staging_key = f"{self._staging_prefix}{leased.owner}"
        upload = SpooledUpload(objects, staging_key)
        written = upload.put(self._judged_chunks(download, allowance))
        if written.sha256 == state.sha256:
            objects.delete(staging_key)
            return self._note_unchanged(download.mark)
        file = StagedFile(
            key=staging_key,
            source=state.source,
            target=target_key(
                self.request.upload_prefix, download.name, self.clock()
            ),
            sha256=written.sha256,
            mark=download.mark,
        )
        is_active = self.platform.database.tenant_active(state.tenant_id)
        leased.change(pulls.staged(file), [is_active])
        objects.copy(staging_key, file.target)
        self._take_over(file, self._every)
        return f"{written.size} bytes are new"

    def _judged_chunks(
        self, download: Download, allowance: Allowance
    ) -> Iterator[bytes]:
        """Yield the bytes of a file.

        The server's pace excludes the time until the caller takes the next chunk.

        Raises:
            CallError: The file is empty, too large, or a page for people.
            LeaseLostError: The pull is in other hands.
        """
        max_bytes = self.platform.settings.max_feed_bytes
        size = 0
        head = b""
        for chunk in download.chunks:
            if self.request.leased.is_lost:
                raise LeaseLostError
            is_head_over = size >= HEAD_BYTES
            size += len(chunk)
            if size > max_bytes:
                raise CallError(
                    f"the file has more than {max_bytes:,} bytes, which is the limit"
                )
            if is_head_over:
                with allowance.paused():
                    yield chunk
                continue
            head += chunk
            if size >= HEAD_BYTES:
                yield _judged_head(head)
        if not size:
            raise CallError("the file is empty")
        if size < HEAD_BYTES:
            yield _judged_head(head)

    # --- the outcome ----------------------------------------------------------------

    def _has_taken_over_staged_file(self) -> bool:
        """Take over the file that a dead process has staged, if it is still there."""
        file = self._state.staged
        if file is None:
            return False
        objects = self.platform.objects
        is_there = objects.exists(file.target)
        if not is_there and not objects.copy_if_there(file.key, file.target):
            return False
        # Nothing is known of the file that the server has now.
        self._take_over(file, every=timedelta(0))
        return True

    def _take_over(self, file: StagedFile, every: timedelta) -> None:
        """Count a file beside the uploads as pulled; keep only the newest files."""
        objects = self.platform.objects
        folder, _, _ = file.target.rpartition("/")
        pulled_keys = sorted(
            info.key for info in objects.list_objects(f"{folder}/")
        )
        for key in (*pulled_keys[: -pulls.MAX_KEPT], file.key):
            objects.delete(key)
        self.request.leased.finish(pulls.pulled(file, self.clock(), every))

    def _note_unchanged(self, mark: FileMark) -> str:
        now = self.clock()
        source = self._state.source
        self.request.leased.finish(
            pulls.unchanged(source, mark, now, self._every)
        )
        return "unchanged"

    @property
    def _state(self) -> PullState:
        return self.request.leased.value

    @property
    def _staging_prefix(self) -> str:
        state = self._state
        return f"{published_prefix(state.tenant_id)}pulls/{state.vendor_id}/"

    @property
    def _every(self) -> timedelta:
        return timedelta(minutes=self.request.pull.every_minutes)


def _judged_head(head: bytes) -> bytes:
    """Return the first bytes of a file.

    Raises:
        CallError: The file is a page for people.
    """
    if is_page(head):
        raise CallError(str(PAGE))
    return head
