"""The pages' words: states, times and amounts as a merchant or a supplier says them."""

from __future__ import annotations

from datetime import datetime, timedelta

from relay_core.domain.codes import RunStatus, Stage
from relay_core.publish.report import wording
from relay_core.publish.report.wording import Tone, counted, moment, number, part
from relay_dagster.runs.model import Trigger
from relay_dagster.runs.ports import utc_now

__all__ = ["counted", "moment", "number", "part"]

_RUNS: dict[str, tuple[Tone, str]] = {
    RunStatus.QUEUED: ("idle", "Waiting"),
    RunStatus.RUNNING: ("idle", "Under way"),
    RunStatus.SUCCEEDED: ("good", "Succeeded"),
    RunStatus.FAILED: ("bad", "Failed"),
    RunStatus.CANCELLED: ("idle", "Cancelled"),
    RunStatus.HELD: ("warn", "Held back"),
}
STAGES: dict[str, str] = {
    Stage.QUEUE: "waiting for its turn",
    Stage.FETCH_INPUTS: "collecting the vendors' lists",
    Stage.NORMALIZE: "reading the vendors' lists",
    Stage.MERGE_PRICE: "choosing offers and making prices",
    Stage.WRITE_OUTPUTS: "writing the feed",
    Stage.COMPLETE: "finished",
}
TRIGGERS: dict[str, str] = {
    Trigger.API: "asked for",
    Trigger.QUEUE: "asked for by a program",
    Trigger.UPLOAD: "started by an upload",
    Trigger.SCHEDULE: "started by the schedule",
    Trigger.DAGSTER: "started by an operator",
}
_PROBLEMS = {
    403: "That is not allowed",
    404: "There is nothing here",
    409: "That cannot be done just now",
    410: "That is no longer kept",
    412: "Somebody else was faster",
    413: "That is too large",
    422: "Something is not as it must be",
    429: "Too many requests",
    503: "Try again in a moment",
}


def run_state(status: str) -> tuple[Tone, str]:
    """Return a run's status, with its tone."""
    return _RUNS.get(status, ("idle", status.capitalize()))


def vendor_use(status: str) -> tuple[Tone, str]:
    """Return what a run has used of a vendor, with its tone."""
    return wording.USES.get(status, ("idle", status.replace("_", " ")))


def ago(instant: datetime | None) -> str:
    """Return how long ago something was: ``12 minutes ago``; of nothing ``never``."""
    if instant is None:
        return "never"
    since = utc_now() - instant
    if since < timedelta(minutes=1):
        return "just now"
    if since < timedelta(hours=1):
        return f"{counted(since // timedelta(minutes=1), 'minute')} ago"
    return f"{wording.age(since)} ago"


def problem_title(status: int) -> str:
    """Return a problem in a few words."""
    return _PROBLEMS.get(status, "Something went wrong")
