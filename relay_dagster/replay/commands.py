"""The command `relay verify`: one run, or the newest of all tenants."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from relay_dagster.client.errors import BadUsageError
from relay_dagster.client.session import Session, Shown, argument, command, option
from relay_dagster.replay.newest import Budget, verify_newest
from relay_dagster.replay.run_artifacts import DIFFERENT
from relay_dagster.replay.verify import Verification

commands = typer.Typer()


@command(commands)
def verify(
    session: Session,
    run_id: Annotated[
        str, argument("RUN_ID|N", "The run; with --newest so many of each tenant.", default=True)
    ] = "",
    newest: Annotated[
        bool, option("The newest published runs of all tenants; an admin's key.")
    ] = False,
    since: Annotated[
        float | None, option("Of --newest: published since then.", metavar="HOURS")
    ] = None,
    report: Annotated[
        Path | None, option("Of --newest: writes .html or .json.", metavar="FILE")
    ] = None,
    max_runs: Annotated[int, option("Of --newest: at most so many.", min=1)] = 10_000,
    max_minutes: Annotated[float, option("Of --newest: none is begun after so long.", min=0)] = 60,
) -> Shown:
    """Prove a run by replay: the engine here, over its inputs, gives the bytes of each CSV.

    Exit status 3 where it does not, with the first difference; 2 where its files are gone.
    With --newest the newest published run of each tenant, or N of them: differences by step and
    column; 2 where none could be compared.
    """
    if newest:
        if report is not None and (report.is_dir() or not report.parent.is_dir()):
            raise BadUsageError(f"--report: {report} is no file in a folder that is there")
        budget = Budget(max_runs, max_minutes * 60)
        proofs = verify_newest(session, _count(run_id or "1"), since, budget)
        if report is not None:
            proofs.write(report)
        return Shown(
            proofs.as_json(), lambda: proofs.show(session.screen), lambda: proofs.exit_status
        )
    if not run_id or since is not None or report is not None:
        raise BadUsageError("name a run, or give --newest: --since and --report belong to that")
    with TemporaryDirectory(prefix="relay-") as folder:
        found = Verification(session, run_id, Path(folder))
    return Shown(found.as_json(), found.show, lambda: 0 if found.is_same else DIFFERENT)


def _count(text: str) -> int:
    if text.isascii() and text.isdecimal() and int(text):
        return int(text)
    raise BadUsageError(f"--newest takes a number of runs from 1 on, not {text!r}")
