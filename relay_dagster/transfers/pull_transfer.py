"""One pull of a vendor's file: opened, staged while it comes, and taken over once it is whole.

A new file lies whole under ``published/<tenant_id>/pulls/`` before anything says so. Then its keys
are written down, and it is copied beside the vendor's uploads: a process that dies leaves either no
upload, or one that the next process finds there and counts as pulled.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from relay_core.config import VendorConfig
from relay_core.config.pulls import PullConfig
from relay_core.domain.destination import Destination, UnfitUrlError
from relay_core.normalize.file_kinds import HEAD_BYTES, PAGE, is_page
from relay_dagster.aws.secrets import SecretsUnavailableError
from relay_dagster.execution.published_copies import published_prefix
from relay_dagster.transfers.https import open_https
from relay_dagster.transfers.sftp import open_sftp
from relay_dagster.transfers.streams import Allowance, CallError
from relay_dagster.triggers import pulls as rules
from relay_dagster.triggers.pulls import (
    MAX_KEPT,
    Download,
    FileMark,
    LeaseLostError,
    PullState,
    Rule,
    StagedFile,
    target_key,
)
from relay_dagster.wiring import Platform

PULL_SECONDS = 15 * 60.0


@dataclass(frozen=True)
class Transfer:
    """A pull by whoever has its lease."""

    platform: Platform  # the stores
    state: PullState  # the pull as it was taken
    vendor: VendorConfig
    pull: PullConfig
    lease: str  # ours
    clock: Callable[[], datetime]  # tells the time, aware
    is_lost: Callable[[], bool]  # whether the lease is somebody else's by now
    is_abandoned: bool  # whether the process is gone that had the lease before
    seconds: float = PULL_SECONDS  # that the transfer may take

    def run(self) -> str:
        """Pull what is new; return the result; `CallError` where there is no file to be had."""
        left, objects = self.state.staged, self.platform.objects
        if left is not None and (
            objects.exists(left.target) or objects.copy_if_there(left.key, left.target)
        ):
            self._take_over(left, every=timedelta(0))
            return "a file that a process had left is taken over"
        if self.is_abandoned:
            # The dead process's staged files go, unfinished ones too.
            objects.remove_all(self._staging, lambda: False)
        try:
            destination = self.pull.destination(
                allow_loopback=self.platform.settings.pull_allow_loopback
            )
        except UnfitUrlError as error:
            raise CallError(f"the URL {error}") from error
        secret = self._secret(destination)
        allowance = Allowance(self.seconds)
        limit = self.platform.settings.max_feed_bytes
        host_key = self.pull.host_key
        way = open_https if host_key is None else partial(open_sftp, host_key=host_key)
        with way(destination, self.state.mark, secret, allowance, limit) as download:
            if download is None:
                return self._unchanged(self.state.mark)
            if not self._is_settled(download.mark):
                return "a file is there that may not be whole yet"
            return self._store(download, limit)

    def _secret(self, destination: Destination) -> str | None:
        """Return the secret, where it is for the pull's own host."""
        name = self.pull.secret
        if name is None:
            return None
        try:
            secret = self.platform.secrets.get(self.state.tenant_id, name)
        except SecretsUnavailableError as error:
            raise CallError(f"{error.error_code}: {error}") from error
        if secret is None:
            raise CallError(f"SECRET_NOT_FOUND: the tenant has no secret {name}")
        if secret.host not in destination.host_names:
            raise CallError(
                f"SECRET_NOT_FOR_HOST: the secret {name} is for another host or port"
            )
        return secret.value

    def _is_settled(self, mark: FileMark) -> bool:
        """Return whether a file of SFTP has stayed as it is for long enough, by our clock."""
        state, now = self.state, self.clock()
        settle = timedelta(seconds=self.pull.settle_seconds)
        seen_at = state.seen_at if state.seen == mark else None
        if mark.path is None or not settle or (seen_at and now - seen_at >= settle):
            return True
        self._change(rules.unsettled(self.lease, mark, now, settle))
        return False

    def _store(self, download: Download, limit: int) -> str:
        """Stage a file, and take it over if it is new."""
        key, state = f"{self._staging}{self.lease}", self.state
        written = self.platform.objects.put_stream(key, self._judged(download, limit))
        if written.sha256 == state.sha256:
            self.platform.objects.delete(key)
            return self._unchanged(download.mark)
        prefix = str(self.vendor.inbound.s3_prefix)
        file = StagedFile(
            key=key,
            source=state.source,
            target=target_key(prefix, download.name, self.clock()),
            sha256=written.sha256,
            mark=download.mark,
        )
        self._change(rules.staged(self.lease, file, self.clock()), must_be_active=True)
        self.platform.objects.copy(key, file.target)
        self._take_over(file, self._every)
        return f"{written.size} bytes are new"

    def _judged(self, download: Download, limit: int) -> Iterator[bytes]:
        """Yield a file's bytes, as far as it is one that may be a feed."""
        size, head = 0, b""
        for chunk in download.chunks:
            if self.is_lost():
                raise LeaseLostError
            is_judged, size = size >= HEAD_BYTES, size + len(chunk)
            if size > limit:
                raise CallError(
                    f"the file has more than {limit:,} bytes, which are the most"
                )
            if is_judged:
                yield chunk
                continue
            head += chunk
            if size >= HEAD_BYTES:
                yield _no_page(head)
        if not size:
            raise CallError("the file is empty")
        if size < HEAD_BYTES:
            yield _no_page(head)

    def _take_over(self, file: StagedFile, every: timedelta) -> None:
        """Count a file as pulled that lies beside the uploads; the newest of those stay."""
        objects, folder = self.platform.objects, file.target.rpartition("/")[0]
        keys = sorted(each.key for each in objects.list_objects(f"{folder}/"))
        for key in (*keys[:-MAX_KEPT], file.key):
            objects.delete(key)
        self._change(rules.pulled(self.lease, file, self.clock(), every))

    def _unchanged(self, mark: FileMark) -> str:
        now = self.clock()
        self._change(
            rules.unchanged(self.lease, self.state.source, mark, now, self._every)
        )
        return "unchanged"

    @property
    def _staging(self) -> str:
        return f"{published_prefix(self.state.tenant_id)}pulls/{self.state.vendor_id}/"

    @property
    def _every(self) -> timedelta:
        return timedelta(minutes=self.pull.every_minutes)

    def _change(self, rule: Rule, *, must_be_active: bool = False) -> None:
        state = self.state
        self.platform.pulls.change(
            state.tenant_id, state.vendor_id, rule, must_be_active=must_be_active
        )


def _no_page(head: bytes) -> bytes:
    """Return the first bytes of a file that is no page for people."""
    if is_page(head):
        raise CallError(str(PAGE))
    return head
