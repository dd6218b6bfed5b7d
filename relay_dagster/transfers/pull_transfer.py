"""One pull of an input: its new files, each staged while it comes, and then taken over.

A new file is complete under ``published/<tenant_id>/pulls/`` before anything says so.
Then its keys are stored, and it is copied beside the input's uploads. A process that
dies leaves either no upload, or one that the next process finds there and counts as
pulled. An input has one new file at most, or a series of them if it has changes.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from posixpath import basename
from time import sleep

from relay_core.config.deliveries import DeliveryConfig
from relay_core.config.inputs.tenant_inputs import Input
from relay_core.config.inputs.uploads import FileKind
from relay_core.config.pulls import PullConfig
from relay_core.domain.destination import Destination, UnfitUrlError
from relay_core.normalize.file_kinds import HEAD_BYTES, PAGE, is_page
from relay_dagster.aws.secrets import SecretsUnavailableError
from relay_dagster.aws.spooled_upload import SpooledUpload
from relay_dagster.aws.stored_objects import ObjectInfo
from relay_dagster.feeds.pointer import published_prefix
from relay_dagster.transfers.allowance import (
    Allowance,
    CallError,
    EmptyFileError,
    UnfitFileError,
)
from relay_dagster.transfers.doors import Folder, Visit, client_of
from relay_dagster.transfers.room import TransferRoom
from relay_dagster.triggers import file_series, pulls
from relay_dagster.triggers.file_series import NO_FILES, ListedFile, Survey
from relay_dagster.triggers.pulled_files import (
    Download,
    FileMark,
    StagedFile,
    pulled_at,
    target_key,
)
from relay_dagster.triggers.pulls import PullState
from relay_dagster.wiring import Platform
from relay_dagster.work.item import LeaseLostError
from relay_dagster.work.queue import LeasedItem

MAX_FITTING = 20_000
"""The number of files of a folder that may match the patterns of an input's changes."""
_SECOND = timedelta(seconds=1)
_CUT_SHORT = (
    "the process that pulled the file ended before the transfer did; if this happens "
    "again, the server may send what Relay cannot handle"
)


def secret_for(
    platform: Platform, tenant_id: str, name: str, destination: Destination
) -> str:
    """Return a tenant's secret, which must be for the host of the destination.

    Raises:
        CallError: There is no such secret, or it is for another host.
    """
    try:
        secret = platform.secrets.get(tenant_id, name)
    except SecretsUnavailableError as error:
        raise CallError(f"{error.error_code}: {error}") from error
    if secret is None:
        raise CallError(f"SECRET_NOT_FOUND: the tenant has no secret {name}")
    if secret.host not in destination.host_names:
        raise CallError(
            f"SECRET_NOT_FOR_HOST: the secret {name} is for another host or port"
        )
    return secret.value


def destination_of(
    platform: Platform, transfer: PullConfig | DeliveryConfig
) -> Destination:
    """Return where the URL of a pull or a delivery leads.

    Raises:
        CallError: It may not be called.
    """
    allow_loopback = platform.settings.pull_allow_loopback
    try:
        return transfer.destination(allow_loopback=allow_loopback)
    except UnfitUrlError as error:
        raise CallError(f"the URL {error}") from error


@dataclass(frozen=True, slots=True)
class PullRequest:
    """A pull to be made, by the process that has its lease."""

    leased: LeasedItem[PullState]  # the pull's state
    tenant_input: Input  # the input as the latest config has it
    pull: PullConfig  # the pull of the input
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
            CallError: No file can be fetched. The outcome is not stored.
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
        pull = self.request.pull
        destination = destination_of(self.platform, pull)
        secret = None
        if pull.secret is not None:
            secret = secret_for(
                self.platform,
                self._state.tenant_id,
                pull.secret,
                destination,
            )
        max_bytes = self.platform.settings.max_feed_bytes
        with self.request.room.transfer(max_bytes) as allowance:
            visit = Visit(destination, secret, allowance)
            if self.request.tenant_input.has_changes:
                return self._pull_series(visit)
            with self._open(visit) as download:
                if download is None:
                    return self._note_unchanged(self._state.mark)
                if not self._is_settled(download.mark):
                    return "a file is there that may not be whole yet"
                return self._pull_file(download, allowance)

    # --- the way to the file --------------------------------------------------------

    def _open(self, visit: Visit) -> AbstractContextManager[Download | None]:
        """Open the file, or yield None if it is the one that was pulled last."""
        client = client_of(visit.destination)
        max_bytes = self.platform.settings.max_feed_bytes
        return client.open_file(
            self.request.pull, visit, self._state.mark, max_bytes
        )

    # --- the file -------------------------------------------------------------------

    def _is_settled(self, mark: FileMark) -> bool:
        """Return True if a file of SFTP has not changed for long enough, by our clock."""
        settle = self._settle
        if mark.path is None or not settle:
            return True
        state = self._state
        now = self.clock()
        seen_at = state.seen_at if state.seen == mark else None
        if seen_at is not None and now - seen_at >= settle:
            return True
        self.request.leased.finish(pulls.unsettled(mark, now, settle))
        return False

    def _pull_file(self, download: Download, allowance: Allowance) -> str:
        """Stage a file, and make it an upload if it is new."""
        file = self._staged(download, allowance)
        if file is None:
            return self._note_unchanged(download.mark)
        self._upload(file)
        self.request.leased.finish(
            pulls.pulled(file, self.clock(), self._every)
        )
        return "a file is new"

    def _staged(
        self, download: Download, allowance: Allowance
    ) -> StagedFile | None:
        """Stage a file, and return it as the upload that it is to be; None if it is not new."""
        state = self._state
        objects = self.platform.objects
        # The owner of a lease is unique, so no other process stages under this key.
        staging_key = f"{self._staging_prefix}{self.request.leased.owner}"
        upload = SpooledUpload(objects, staging_key)
        written = upload.put(self._judged_chunks(download, allowance))
        if written.sha256 == state.sha256 and self._is_of_last_kind(download):
            objects.delete(staging_key)
            return None
        return StagedFile(
            key=staging_key,
            source=state.source,
            target=self._target_of(download.name, self.clock()),
            sha256=written.sha256,
            mark=download.mark,
        )

    def _upload(self, file: StagedFile) -> None:
        """Store the keys of a staged file, and make it an upload."""
        state = self._state
        is_active = self.platform.database.tenant_active(state.tenant_id)
        self.request.leased.change(pulls.staged(file), [is_active])
        self.platform.objects.copy(file.key, file.target)
        self._clean_up(file)

    def _target_of(self, name: str, now: datetime) -> str:
        """Return the key of the upload that a file with a name becomes."""
        return target_key(str(self.request.tenant_input.prefix), name, now)

    def _is_of_last_kind(self, download: Download) -> bool:
        """Return True if a file is full, or a delta, as the one that was pulled last."""
        if not self.request.tenant_input.has_changes:
            return True
        last_name = basename(self._state.mark.path or "")
        return self._kind_of(download.name) == self._kind_of(last_name)

    def _kind_of(self, name: str) -> FileKind | None:
        """Return the kind of a server's file by the name that its upload has."""
        target = self._target_of(name, self.clock())
        return self.request.tenant_input.kind_of(target)

    def _judged_chunks(
        self, download: Download, allowance: Allowance
    ) -> Iterator[bytes]:
        """Yield the bytes of a file.

        The server's pace excludes the time until the caller takes the next chunk.

        Raises:
            UnfitFileError: The file is empty, too large, or a page for people.
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
                raise UnfitFileError(
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
            raise EmptyFileError("the file is empty")
        if size < HEAD_BYTES:
            yield _judged_head(head)

    # --- the files of an input with changes -----------------------------------------

    def _pull_series(self, visit: Visit) -> str:
        """Pull the new files of a folder, in order, as far as there is room for them.

        Raises:
            CallError: The server has no folders, or the folder cannot be read.
        """
        open_folder = client_of(visit.destination).open_folder
        if open_folder is None:
            raise CallError("a server of this URL has no list of files")
        max_bytes = self.platform.settings.max_feed_bytes
        with open_folder(self.request.pull, visit, max_bytes) as folder:
            survey = self._survey(folder)
            files = survey.ready
            wait = self._every
            if survey.next_ready_at is not None:
                wait = max(survey.next_ready_at - self.clock(), pulls.MIN_WAIT)
            new_count = 0
            for index, file in enumerate(files):
                if index and not self._has_room(visit.allowance, file):
                    wait = timedelta(0)
                    break
                try:
                    new_count += self._pull_one_of_series(folder, file)
                except UnfitFileError:
                    later_kinds = {later.kind for later in files[index + 1 :]}
                    if "full" not in later_kinds:
                        raise
                    # A full file follows, so nothing of this one is missed.
                    self.request.leased.change(pulls.passed_over(file.mark))
        now = self.clock()
        outcome = pulls.postponed(now, wait)
        if not new_count and survey.next_ready_at is None:
            state = self._state
            outcome = pulls.unchanged(state.source, state.mark, now, wait)
        self.request.leased.finish(outcome)
        return f"{new_count} files are new"

    def _survey(self, folder: Folder) -> Survey:
        """List the folder, and store what the list tells.

        Raises:
            CallError: The folder has no file that can be pulled, or too many.
        """
        files = []
        for mark in folder.files():
            kind = self._kind_of(basename(str(mark.path)))
            if kind is not None:
                files.append(ListedFile(mark, kind))
            if len(files) > MAX_FITTING:
                raise CallError(
                    f"the folder has more than {MAX_FITTING:,} files that match the "
                    "patterns in changes; the vendor must move old files away"
                )
        series = self._state.series or NO_FILES
        survey = file_series.survey(series, files, self.clock(), self._settle)
        if not files or not survey.series.is_begun:
            pattern = "changes.full" if files else "the patterns in changes"
            raise CallError(f"no file in the folder matches {pattern}")
        if survey.series != series:
            self.request.leased.change(pulls.surveyed(survey.series))
        return survey

    def _pull_one_of_series(self, folder: Folder, file: ListedFile) -> bool:
        """Pull a file of a folder; return False if it adds nothing to the uploads."""
        leased = self.request.leased
        try:
            staged_file = self._staged(
                folder.download(file.mark), folder.allowance
            )
        except EmptyFileError:
            if file.kind == "full":
                raise
            # Nothing has changed.
            staged_file = None
        if staged_file is None:
            leased.change(pulls.passed_over(file.mark))
            return False
        name = basename(str(file.mark.path))
        target = self._target_of(name, self._next_second())
        staged_file = replace(staged_file, target=target)
        self._upload(staged_file)
        leased.change(pulls.pulled(staged_file, self.clock(), self._every))
        return True

    def _next_second(self) -> datetime:
        """Wait for a second in which no file of the input was pulled, and return it.

        So the keys of uploads have the order in which they were pulled, even if clocks
        differ.
        """
        now = self.clock()
        prefix = self._target_of("", now).rpartition("/")[0]
        free_at = now
        for upload in self._pulled_uploads(prefix):
            upload_time = pulled_at(upload.key)
            if upload_time is not None:
                free_at = max(free_at, upload_time + _SECOND)
        wait = min(free_at - now, _SECOND)
        sleep(max(0.0, wait.total_seconds()))
        return max(self.clock(), free_at)

    def _has_room(self, allowance: Allowance, file: ListedFile) -> bool:
        """Return True if one more file may be pulled over the same connection.

        After the time in which the pace is not judged, other transfers have their turns.
        """
        is_early = allowance.age < self.request.room.pace.first_seconds
        return is_early and (file.mark.size or 0) < allowance.bytes_left

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
        self._clean_up(file)
        # Nothing is known of the file that the server has now.
        self.request.leased.finish(
            pulls.pulled(file, self.clock(), timedelta(0))
        )
        return True

    def _clean_up(self, file: StagedFile) -> None:
        """Remove a staged file that is an upload, and pulled uploads that are too old.

        The newest ones stay, and all from the last full file on.
        """
        folder, _, _ = file.target.rpartition("/")
        uploads = self._pulled_uploads(folder)
        kept_count = pulls.MAX_KEPT
        for count, upload in enumerate(reversed(uploads), start=1):
            if self.request.tenant_input.kind_of(upload.key) == "full":
                kept_count = max(kept_count, count)
                break
        for upload in uploads[:-kept_count]:
            self.platform.objects.delete(upload.key)
        self.platform.objects.delete(file.key)

    def _pulled_uploads(self, folder: str) -> list[ObjectInfo]:
        """Return the pulled files in a folder of uploads, the oldest first."""
        files = self.platform.objects.list_objects(f"{folder}/")
        return sorted(files, key=lambda file: file.age_order)

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
        # No input's prefix is within another's.
        folder = state.input_name.replace("/", "!")
        return f"{published_prefix(state.tenant_id)}pulls/{folder}/"

    @property
    def _every(self) -> timedelta:
        return timedelta(minutes=self.request.pull.every_minutes)

    @property
    def _settle(self) -> timedelta:
        return timedelta(seconds=self.request.pull.settle_seconds)


def _judged_head(head: bytes) -> bytes:
    """Return the first bytes of a file.

    Raises:
        UnfitFileError: The file is a page for people.
    """
    if is_page(head):
        raise UnfitFileError(str(PAGE))
    return head
