"""The command `relay verify`: one run, or the newest published runs of every tenant.

Proved by replay, before an engine touches a feed: a run's inputs go through the engine here, and
its files are held against the run's.
"""

import json
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer
from rich.console import Console

from relay_core.domain.codes import FailureCode, RunStatus, Stage
from relay_core.domain.errors import ConfigError
from relay_core.domain.records import ENGINE_VERSION
from relay_core.publish.keys import MERGED_INVENTORY
from relay_core.publish.report.templating import pages
from relay_dagster.client.api_client import ApiClient, tenant_path
from relay_dagster.client.errors import BadUsageError, ClientError
from relay_dagster.client.session import Output, Session, argument, command, option
from relay_dagster.client.terminal import Screen
from relay_dagster.replay.comparison import ComparedFile, ComparingSink, Match
from relay_dagster.replay.engine import ReplayInputs, replay
from relay_dagster.replay.run_artifacts import (
    DIFFERENT,
    NotReplayableError,
    RunArtifacts,
    TamperedError,
)
from relay_dagster.wire.runs import PublicationList, Run

NOT_COMPARED = 2
"""The exit status where no run could be compared."""
_MAX_PROCESSES = 8
_INSTANT = "%Y-%m-%dT%H:%M:%SZ"
_STEPS = ("normalize", "validate", "merge", "price", "other files")
_COMPARED = ("normalized_", "invalid_rows", "changes", "quarantine", "merged_inventory")
commands = typer.Typer()


@dataclass(frozen=True, slots=True)
class Verification:
    """One run beside what comes out of its inputs here."""

    run: Run
    engine_version: str | None  # of the run's; None where it has left no summary
    files: Sequence[ComparedFile]
    other_end: str | None  # how the run ended and how it ends here, where that differs

    @property
    def is_same(self) -> bool:
        """Whether every file is the same."""
        return not self.different()

    def as_json(self) -> dict[str, Any]:
        """Return all of it for programs."""
        return {
            "run_id": self.run.run_id,
            "same": self.is_same,
            "engine_version": self.engine_version,
            "engine_version_here": ENGINE_VERSION,
            "files": [
                {"name": file.name, "verdict": file.verdict, "bytes": file.size}
                | (
                    {"first_difference": asdict(file.difference)}
                    if file.difference
                    else {}
                )
                for file in self.files
            ],
        }

    def show(self, screen: Screen) -> None:
        """Write it for people: each file, then the first difference."""
        if self.engine_version not in (None, ENGINE_VERSION):
            screen.complain(
                f"the run's engine was version {self.engine_version}, here it is {ENGINE_VERSION}: "
                "a difference may be the version's"
            )
        if self.other_end is not None:
            screen.complain(self.other_end)
        if self.files:
            rows = [
                (
                    file.name,
                    "-" if file.size is None else f"{file.size:,}",
                    file.verdict,
                )
                for file in self.files
            ]
            screen.table(("file", "bytes", "here"), rows)
        different = self.different()
        if not different:
            what = (
                "bytes"
                if all(file.verdict is Match.SAME for file in self.files)
                else "rows"
            )
            screen.say(
                f"run {self.run.run_id}: {len(self.files)} files, the same {what} here"
            )
            return
        file = different[0]
        screen.say()
        if file.difference is None:
            screen.say(f"first difference: {file.name} {file.verdict}")
            return
        screen.say(f"first difference: {file.name}, line {file.difference.line:,}")
        for where, text in (
            ("run ", file.difference.run),
            ("here", file.difference.here),
        ):
            screen.say(
                f"{where}  {'(the file has ended)' if text is None else text}", indent=2
            )

    def different(self) -> list[ComparedFile]:
        """Return what is not the same; one version of the engine writes rows in the same bytes."""
        same = {Match.SAME}
        if self.engine_version != ENGINE_VERSION:
            same.add(Match.OTHER_BYTES)
        return [file for file in self.files if file.verdict not in same]


def verify_run(session: Session, run_id: str, folder: Path) -> Verification:
    """Replay a run and hold its files against what comes out.

    `NotReplayableError`: what it is made of is not there. `TamperedError`: an input is not the one
    that it has read.
    """
    artifacts = RunArtifacts.of(session, run_id, folder)
    run, summary = artifacts.run, artifacts.summary
    passed = set(summary.stage_times) if summary else set()
    if Stage.MERGE_PRICE in passed and Stage.NORMALIZE not in passed:
        inputs = artifacts.manifest.vendors.values()
        source_runs = sorted({entry.selection for entry in inputs if entry.selection})
        raise NotReplayableError(
            f"run {run_id} has merged rows that another run has read: verify that one "
            f"({', '.join(source_runs) or 'the one before it'})"
        )
    sink = ComparingSink(artifacts, folder)
    stages, _ = replay(ReplayInputs(artifacts), sink)
    # A file that comes out here alone is a difference only where the run came as far.
    came_as_far = Stage.MERGE_PRICE in passed or run.status == RunStatus.FAILED
    not_by_its_data = run.error_code in (
        FailureCode.POISON_JOB,
        FailureCode.RUN_TIMEOUT,
    )
    by_its_data = run.status != RunStatus.CANCELLED and not not_by_its_data
    whole = came_as_far and by_its_data
    made = {file.name for file in sink.files}
    lost = (
        name
        for name in artifacts.links
        if name.startswith(_COMPARED) and name not in made
    )
    files = [
        file for file in sink.files if whole or file.verdict is not Match.ONLY_HERE
    ]
    files += [ComparedFile(name, Match.ONLY_IN_RUN) for name in lost]
    failure = stages.findings.failure
    ended = run.error_code if run.status == RunStatus.FAILED else None
    ends_here = failure.error_code if failure else None
    other_end = None
    if by_its_data and ended != ends_here:
        other_end = (
            f"the run ended {ended or 'with a feed'}, here {ends_here or 'with a feed'}"
        )
    engine_version = summary.engine_version if summary else None
    return Verification(run, engine_version, files, other_end)


# --- the newest runs of all tenants --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PublishedRun:
    """One publication that is to be proved."""

    tenant_id: str
    run_id: str
    published_at: datetime


@dataclass(frozen=True, slots=True)
class Proof:
    """What came of one run."""

    run: PublishedRun  # which
    engine_version: str | None = (
        None  # that the run was made by; None where it was not compared
    )
    reason: str | None = None  # why it was not compared; None where it was
    # In how many rows each column of a step differs, by step and column
    differences: Mapping[tuple[str, str], int] | None = None
    # The first place that differs, with its file; None where nothing does
    first: Mapping[str, Any] | None = None

    @property
    def result(self) -> str:
        """``same``, ``different`` or ``not_compared``."""
        if self.differences is None:
            return "not_compared"
        return "different" if self.differences else "same"


def published_runs(
    api: ApiClient, each: int, since: datetime | None
) -> Iterator[PublishedRun]:
    """Yield the newest ``each`` published runs of every tenant, by tenant, newest first."""
    for tenant in api.tenants():
        found: dict[str, PublishedRun] = {}
        path = tenant_path(tenant.tenant_id, "publications")
        for entry in api.request(PublicationList, "GET", path).publications:
            if len(found) == each or (since is not None and entry.published_at < since):
                break
            run = PublishedRun(tenant.tenant_id, entry.run_id, entry.published_at)
            found.setdefault(entry.run_id, run)
        yield from found.values()


def prove(
    api: ApiClient, runs: Iterable[PublishedRun], seconds: float
) -> Iterator[Proof]:
    """Yield what comes of each run, in order; as many at once as there are processors.

    After so many seconds no further run is begun.
    """
    ends_at = time.monotonic() + seconds
    at_once = min(os.cpu_count() or 1, _MAX_PROCESSES)
    start = multiprocessing.get_context("forkserver")
    waiting = iter(runs)
    with ProcessPoolExecutor(at_once, mp_context=start) as pool:
        begun: list[tuple[PublishedRun, Future[Proof] | None]] = []
        while True:
            while len(begun) < 2 * at_once and (run := next(waiting, None)) is not None:
                late = time.monotonic() > ends_at
                begun.append(
                    (run, None if late else pool.submit(_prove, *api.address, run))
                )
            if not begun:
                return
            run, proof = begun.pop(0)
            yield (
                Proof(run, reason="the time was over")
                if proof is None
                else proof.result()
            )


def _prove(api_url: str, api_key: str | None, run: PublishedRun) -> Proof:
    """Return what comes of one run; a process of its own does it."""
    quiet = Console(quiet=True)
    with (
        TemporaryDirectory(prefix="relay-") as folder,
        ApiClient(api_url, api_key) as api,
    ):
        try:
            session = Session(api, Screen(quiet, quiet))
            found = verify_run(session, run.run_id, Path(folder))
        except TamperedError as error:
            fault = {"file": "inputs", "detail": " ".join(error.lines)}
            return Proof(run, None, None, {("read", "inputs"): 1}, fault)
        except (ClientError, ConfigError) as error:
            return Proof(run, reason=str(error))
    different = found.different()
    # In how many rows each column of a step differs.
    counts: Counter[tuple[str, str]] = Counter()
    for file in different:
        for column, count in (file.columns or {"the file": 1}).items():
            counts[_step(file.name, column), column] += count
    first: dict[str, Any] | None = None
    if different:
        shown, where = different[0], different[0].difference
        facts = {"detail": shown.verdict} if where is None else asdict(where)
        first = {"file": shown.name, **facts}
    # Files that follow from the feed say nothing new where the feed itself differs.
    new = {place: count for place, count in counts.items() if place[0] != _STEPS[-1]}
    return Proof(run, found.engine_version, None, new or dict(counts), first)


def _step(name: str, column: str) -> str:
    if name.startswith("normalized_"):
        return "normalize"
    if name == "invalid_rows":
        return "validate"
    if name != MERGED_INVENTORY:
        return "other files"
    return "price" if column.startswith("price") else "merge"


@dataclass(frozen=True, slots=True)
class Proofs:
    """What came of all runs, and when they were proved."""

    proofs: Sequence[Proof]
    now: datetime

    @property
    def exit_status(self) -> int:
        """3 where a run differs, 2 where none could be compared, else 0."""
        results = {proof.result for proof in self.proofs}
        if "different" in results:
            return DIFFERENT
        return 0 if "same" in results else NOT_COMPARED

    def as_json(self) -> dict[str, Any]:
        """Return all of it for programs: counts, groups of differences, each run."""
        results = [proof.result for proof in self.proofs]
        found: dict[tuple[str, str], list[tuple[Proof, int]]] = {}
        for proof in self.proofs:
            for place, count in (proof.differences or {}).items():
                found.setdefault(place, []).append((proof, count))
        order = ("read", *_STEPS)
        groups = [
            {
                "step": step,
                "column": column,
                "rows": sum(count for _, count in those),
                "runs": len(those),
                "tenants": len({proof.run.tenant_id for proof, _ in those}),
                "example": {
                    "run_id": those[0][0].run.run_id,
                    **(those[0][0].first or {}),
                },
            }
            for (step, column), those in sorted(
                found.items(), key=lambda entry: (order.index(entry[0][0]), entry[0][1])
            )
        ]
        return {
            "made_at": self.now.strftime(_INSTANT),
            "engine_version_here": ENGINE_VERSION,
            "same": results.count("same"),
            "different": results.count("different"),
            "not_compared": results.count("not_compared"),
            "differences": groups,
            "runs": [
                {
                    "tenant_id": proof.run.tenant_id,
                    "run_id": proof.run.run_id,
                    "published_at": proof.run.published_at.strftime(_INSTANT),
                    "engine_version": proof.engine_version,
                    "result": proof.result,
                    "reason": proof.reason,
                    "first_difference": proof.first,
                }
                for proof in self.proofs
            ],
        }

    def show(self, screen: Screen) -> None:
        """Write it for people: the groups, the runs that were not compared, the counts."""
        document = self.as_json()
        if document["differences"]:
            counts = ("rows", "runs", "tenants")
            rows = []
            for each in document["differences"]:
                numbers = (f"{each[name]:,}" for name in counts)
                rows.append(
                    (each["step"], each["column"], *numbers, each["example"]["run_id"])
                )
            screen.table(("step", "column", *counts, "for example"), rows)
        for run in document["runs"]:
            if run["result"] == "not_compared":
                screen.complain(
                    f"run {run['run_id']} of {run['tenant_id']} was not compared: {run['reason']}"
                )
        counts = ("same", "different", "not_compared")
        counted = ", ".join(
            f"{document[name]:,} {name.replace('_', ' ')}" for name in counts
        )
        screen.say(
            f"{len(document['runs']):,} runs with engine {ENGINE_VERSION}: {counted}"
        )

    def write(self, path: Path) -> None:
        """Write the report: JSON where the file is called so, else one HTML page."""
        document = self.as_json()
        if path.suffix == ".json":
            path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        else:
            page = pages("relay_dagster.replay").get_template("newest.html.jinja")
            path.write_text(page.render(proofs=document), encoding="utf-8")


@command(commands)
def verify(
    session: Session,
    run_id: Annotated[
        str,
        argument(
            "RUN_ID|N",
            "The run; with --newest so many of each tenant.",
            show_default=True,
        ),
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
    max_minutes: Annotated[
        float, option("Of --newest: none is begun after so long.", min=0)
    ] = 60,
) -> Output:
    """Prove a run by replay: the engine here, over its inputs, gives the bytes of each CSV.

    Exit status 3 where it does not, with the first difference; 2 where its files are gone.
    With --newest the newest published run of each tenant, or N of them: differences by step and
    column; 2 where none could be compared.
    """
    if newest:
        if report is not None and (report.is_dir() or not report.parent.is_dir()):
            raise BadUsageError(
                f"--report: {report} is no file in a folder that is there"
            )
        each = run_id or "1"
        if not (each.isascii() and each.isdecimal() and int(each)):
            raise BadUsageError(
                f"--newest takes a number of runs from 1 on, not {each!r}"
            )
        now, proved = datetime.now(UTC), []
        from_then = None if since is None else now - timedelta(hours=since)
        runs = islice(published_runs(session.api, int(each), from_then), max_runs)
        for proof in prove(session.api, runs, max_minutes * 60):
            session.screen.complain(
                f"{proof.run.tenant_id} {proof.run.run_id}: {proof.result}"
            )
            proved.append(proof)
        proofs = Proofs(proved, now)
        if report is not None:
            proofs.write(report)
        show = partial(proofs.show, session.screen)
        return Output(proofs.as_json(), show, lambda: proofs.exit_status)
    if not run_id or since is not None or report is not None:
        raise BadUsageError(
            "name a run, or give --newest: --since and --report belong to that"
        )
    with TemporaryDirectory(prefix="relay-") as folder:
        found = verify_run(session, run_id, Path(folder))
    show = partial(found.show, session.screen)
    return Output(found.as_json(), show, lambda: 0 if found.is_same else DIFFERENT)
