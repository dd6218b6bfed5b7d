"""The publication of a candidate: its own checks decide, or the person who releases it."""

from relay_core.domain.codes import RunStatus
from relay_dagster.component.folders import Candidate, FeedFolder
from relay_dagster.component.names import Names
from relay_dagster.component.tenants import Tenant


class NothingToPublishError(Exception):
    """There is no candidate, or it may not be published; the message says what to do."""


def publish(tenant: Tenant, release: str | None, names: Names) -> Candidate:
    """Publish a tenant's candidate, and return it.

    Args:
        tenant: The tenant.
        release: The SHA-256 of the candidate to release from a hold, if there is one.
        names: The names of the assets, for messages.

    Raises:
        NothingToPublishError: There is no candidate, it is on hold, or it is another one
            than the one to release.
        FolderUnusableError: The folder cannot be read or written.
    """
    folder = FeedFolder(tenant.folder)
    candidate = folder.candidate()
    asset = names.candidate.to_user_string()
    if candidate is None:
        raise NothingToPublishError(
            f"{tenant.folder} has no candidate. Materialize {asset} first.",
        )
    run_id = candidate.summary["run_id"]
    if release is not None and release != candidate.sha256:
        raise NothingToPublishError(
            f"The candidate of run {run_id} is not the one to release: its SHA-256 is "
            f"{candidate.sha256}, not {release}. Look at its report, and release that one.",
        )
    if release is None and candidate.summary["status"] == RunStatus.HELD:
        guards = dict.fromkeys(
            guard["guard"]
            for guard in candidate.summary["guards"] or ()
            if guard["tripped"]
        )
        raise NothingToPublishError(
            f"The candidate of run {run_id} is on hold by {', '.join(guards)}. Look at its report. "
            f"To publish it, materialize {names.feed.to_user_string()} alone with the run config "
            f"{{release: {candidate.sha256}}}.",
        )
    folder.take_over()
    return candidate
