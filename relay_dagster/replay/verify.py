"""The command `relay runs verify`: proves one run, or the newest published runs, by replay."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from relay_dagster.client.errors import BadUsageError
from relay_dagster.client.session import (
    Output,
    Session,
    argument,
    command,
    option,
)
from relay_dagster.replay import newest as newest_runs
from relay_dagster.replay.run_artifacts import DIFFERENT
from relay_dagster.replay.verification import verify_run

commands = typer.Typer()


_RunOrNumber = Annotated[
    str,
    argument(
        "RUN_ID|N",
        "Run ID; with --newest, the number of runs per tenant.",
        show_default=True,
    ),
]
_Newest = Annotated[
    bool,
    option(
        "Verify the newest published runs of all tenants; needs an admin key.",
    ),
]
_Since = Annotated[
    float | None,
    option("With --newest: only runs of the last HOURS.", metavar="HOURS"),
]
_Report = Annotated[
    Path | None,
    option("With --newest: write a report, .html or .json.", metavar="FILE"),
]
_MaxRuns = Annotated[
    int,
    option("With --newest: maximum number of runs.", min=1),
]
_MaxMinutes = Annotated[
    float,
    option("With --newest: minutes after which no further run starts.", min=0),
]


@command(commands)
def verify(
    session: Session,
    run_id: _RunOrNumber = "",
    newest: _Newest = False,
    since: _Since = None,
    report: _Report = None,
    max_runs: _MaxRuns = 10_000,
    max_minutes: _MaxMinutes = 60,
) -> Output:
    """Verify a run: replay it with this engine, and compare the files.

    The exit status is 0 if all files are the same, 3 if they differ, and 2 if the
    run's files are gone. With --newest, the newest published run of each tenant
    is verified, or N of them, and the differences are listed by step and column.
    Then the exit status is 2 if no run was compared.
    """
    if newest:
        _check_report_path(report)
        now = datetime.now(UTC)
        published_since = (
            None if since is None else now - timedelta(hours=since)
        )
        runs_per_tenant = _number_of_runs(run_id or "1")
        runs = newest_runs.published_runs(
            session.api,
            runs_per_tenant,
            published_since,
        )
        proofs = list(_prove(session, islice(runs, max_runs), max_minutes * 60))
        return _proofs_output(session, newest_runs.Proofs(proofs, now), report)
    if not run_id or since is not None or report is not None:
        raise BadUsageError(
            "Name a run, or use --newest. --since and --report need --newest.",
        )
    return _verify_one(session, run_id)


def _verify_one(session: Session, run_id: str) -> Output:
    with TemporaryDirectory(prefix="relay-") as folder:
        verification = verify_run(session, run_id, Path(folder))
    return Output(
        verification.as_json(),
        lambda: verification.show(session.screen),
        lambda: 0 if verification.is_same else DIFFERENT,
    )


def _check_report_path(report: Path | None) -> None:
    """Fail before the verification if its report cannot be written.

    Raises:
        BadUsageError: The path is a folder, or in a folder that does not exist.
    """
    if report is not None and (report.is_dir() or not report.parent.is_dir()):
        raise BadUsageError(
            f"--report: {report} is not a file in an existing folder.",
        )


def _number_of_runs(text: str) -> int:
    if text.isascii() and text.isdecimal() and int(text) > 0:
        return int(text)
    raise BadUsageError(f"--newest takes a number of runs, not {text!r}.")


def _proofs_output(
    session: Session,
    proofs: newest_runs.Proofs,
    report: Path | None,
) -> Output:
    """Write the report, if there is to be one, and return the output of the proofs."""
    if report is not None:
        proofs.write(report)
    return Output(
        proofs.as_json(),
        lambda: proofs.show(session.screen),
        lambda: proofs.exit_status,
    )


def _prove(
    session: Session,
    runs: Iterator[newest_runs.PublishedRun],
    max_seconds: float,
) -> Iterator[newest_runs.Proof]:
    """Yield the proof of each run, and write its result to standard error."""
    for proof in newest_runs.prove(session.api, runs, max_seconds):
        session.screen.complain(
            f"{proof.run.tenant_id} {proof.run.run_id}: {proof.result}",
        )
        yield proof
