"""The verification of the newest published runs of every tenant.

It proves an engine before the engine touches a feed.
"""

import json
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from rich.console import Console

from relay_core.domain.errors import ConfigError
from relay_core.domain.records import ENGINE_VERSION
from relay_core.publish.artifacts import FEED, NORMALIZED, artifact_named
from relay_core.report.templating import pages
from relay_dagster.client.api_client import ApiClient, tenant_path
from relay_dagster.client.errors import ClientError
from relay_dagster.client.session import Session
from relay_dagster.client.terminal import Screen
from relay_dagster.replay.run_artifacts import DIFFERENT, TamperedError
from relay_dagster.replay.verification import Verification, verify_run
from relay_dagster.wire.runs import PublicationList

NOT_COMPARED = 2
"""The exit status if no run could be compared."""
_MAX_PROCESSES = 8
_INSTANT = "%Y-%m-%dT%H:%M:%SZ"
_OTHER_FILES = "other files"
_STEPS = ("read", "normalize", "validate", "merge", "price", _OTHER_FILES)


class DifferenceKey(NamedTuple):
    """The kind of a difference: a step of the engine and a column."""

    step: str
    column: str


@dataclass(frozen=True, slots=True)
class PublishedRun:
    """A published run to verify."""

    tenant_id: str
    run_id: str
    published_at: datetime


@dataclass(frozen=True, slots=True)
class Proof:
    """The result of verifying one run.

    Attributes:
        run: The run.
        engine_version: The version of the run's engine, or None if it was not compared.
        reason: The reason why the run was not compared, or None if it was.
        differences: The number of rows that differ, by kind, or None if the run was not
            compared.
        first: The first difference with its file, or None if there is none.
    """

    run: PublishedRun
    engine_version: str | None = None
    reason: str | None = None
    differences: Mapping[DifferenceKey, int] | None = None
    first: Mapping[str, Any] | None = None

    @property
    def result(self) -> str:
        """The result: `same`, `different` or `not_compared`."""
        if self.differences is None:
            return "not_compared"
        return "different" if self.differences else "same"

    def as_json(self) -> dict[str, Any]:
        """Return the proof for programs."""
        return {
            "tenant_id": self.run.tenant_id,
            "run_id": self.run.run_id,
            "published_at": self.run.published_at.strftime(_INSTANT),
            "engine_version": self.engine_version,
            "result": self.result,
            "reason": self.reason,
            "first_difference": self.first,
        }


@dataclass(frozen=True, slots=True)
class Proofs:
    """The results of verifying many runs.

    Attributes:
        proofs: The results, one a run.
        now: The instant at which the runs were verified.
    """

    proofs: Sequence[Proof]
    now: datetime

    @property
    def exit_status(self) -> int:
        """The exit status: 3 if a run differs, 2 if no run was compared, else 0."""
        results = {proof.result for proof in self.proofs}
        if "different" in results:
            return DIFFERENT
        return 0 if "same" in results else NOT_COMPARED

    def as_json(self) -> dict[str, Any]:
        """Return the results for programs: counts, groups of differences, and runs."""
        counts = Counter(proof.result for proof in self.proofs)
        return {
            "made_at": self.now.strftime(_INSTANT),
            "engine_version_here": ENGINE_VERSION,
            "same": counts["same"],
            "different": counts["different"],
            "not_compared": counts["not_compared"],
            "differences": self._groups(),
            "runs": [proof.as_json() for proof in self.proofs],
        }

    def show(self, screen: Screen) -> None:
        """Write the results for people: differences, runs not compared, and counts."""
        document = self.as_json()
        if document["differences"]:
            rows = [
                (
                    group["step"],
                    group["column"],
                    f"{group['rows']:,}",
                    f"{group['runs']:,}",
                    f"{group['tenants']:,}",
                    group["example"]["run_id"],
                )
                for group in document["differences"]
            ]
            names = ("step", "column", "rows", "runs", "tenants", "for example")
            screen.table(names, rows)
        for proof in self.proofs:
            if proof.result == "not_compared":
                screen.complain(
                    f"Run {proof.run.run_id} of {proof.run.tenant_id} was not compared: "
                    f"{proof.reason}",
                )
        screen.say(
            f"{len(self.proofs):,} runs with engine {ENGINE_VERSION}: "
            f"{document['same']:,} same, {document['different']:,} different, "
            f"{document['not_compared']:,} not compared",
        )

    def write(self, path: Path) -> None:
        """Write a report: JSON if the path ends in `.json`, else one HTML page."""
        document = self.as_json()
        if path.suffix == ".json":
            path.write_text(
                json.dumps(document, indent=2) + "\n",
                encoding="utf-8",
            )
        else:
            page = pages("relay_dagster.replay").get_template(
                "newest.html.jinja",
            )
            path.write_text(page.render(proofs=document), encoding="utf-8")

    def _groups(self) -> list[dict[str, Any]]:
        """Return the differences of all runs by kind, sorted by step and column."""
        proofs_by_kind: dict[DifferenceKey, list[Proof]] = {}
        rows_by_kind: Counter[DifferenceKey] = Counter()
        for proof in self.proofs:
            for kind, rows in (proof.differences or {}).items():
                proofs_by_kind.setdefault(kind, []).append(proof)
                rows_by_kind[kind] += rows
        kinds = sorted(
            proofs_by_kind,
            key=lambda kind: (_STEPS.index(kind.step), kind.column),
        )
        groups = []
        for kind in kinds:
            proofs = proofs_by_kind[kind]
            example = proofs[0]
            groups.append(
                {
                    "step": kind.step,
                    "column": kind.column,
                    "rows": rows_by_kind[kind],
                    "runs": len(proofs),
                    "tenants": len({proof.run.tenant_id for proof in proofs}),
                    "example": {
                        "run_id": example.run.run_id,
                        **(example.first or {}),
                    },
                },
            )
        return groups


def published_runs(
    api: ApiClient,
    runs_per_tenant: int,
    since: datetime | None,
) -> Iterator[PublishedRun]:
    """Yield the newest published runs of every tenant, by tenant, the newest first."""
    for tenant in api.tenants():
        path = tenant_path(tenant.tenant_id, "publications")
        runs: dict[str, PublishedRun] = {}
        for publication in api.request(
            PublicationList,
            "GET",
            path,
        ).publications:
            is_old = since is not None and publication.published_at < since
            if is_old or len(runs) == runs_per_tenant:
                break
            # A run may be published more than once; its newest publication counts.
            run_id = publication.run_id
            run = PublishedRun(
                tenant.tenant_id,
                run_id,
                publication.published_at,
            )
            runs.setdefault(run_id, run)
        yield from runs.values()


def prove(
    api: ApiClient,
    runs: Iterable[PublishedRun],
    max_seconds: float,
) -> Iterator[Proof]:
    """Yield the proof of each run, in order; one process per processor verifies them.

    After `max_seconds`, no further verification starts.
    """
    deadline = time.monotonic() + max_seconds
    process_count = min(os.cpu_count() or 1, _MAX_PROCESSES)
    context = multiprocessing.get_context("forkserver")
    remaining_runs = iter(runs)
    with ProcessPoolExecutor(process_count, mp_context=context) as pool:
        started: list[tuple[PublishedRun, Future[Proof] | None]] = []
        while True:
            while len(started) < 2 * process_count:
                run = next(remaining_runs, None)
                if run is None:
                    break
                future = None
                if time.monotonic() <= deadline:
                    future = pool.submit(_prove, *api.address, run)
                started.append((run, future))
            if not started:
                return
            first_run, first_future = started.pop(0)
            if first_future is None:
                yield Proof(first_run, reason="The time limit was reached.")
            else:
                yield first_future.result()


def _prove(api_url: str, api_key: str | None, run: PublishedRun) -> Proof:
    """Return the proof of one run, in a process of its own."""
    quiet = Console(quiet=True)
    with (
        TemporaryDirectory(prefix="relay-") as folder,
        ApiClient(api_url, api_key) as api,
    ):
        try:
            session = Session(api, Screen(quiet, quiet))
            verification = verify_run(session, run.run_id, Path(folder))
        except TamperedError as error:
            return Proof(
                run,
                differences={DifferenceKey("read", "inputs"): 1},
                first={"file": "inputs", "detail": " ".join(error.lines)},
            )
        except (ClientError, ConfigError) as error:
            return Proof(run, reason=str(error))
    return Proof(
        run,
        engine_version=verification.engine_version,
        differences=_differences(verification),
        first=_first_difference(verification),
    )


def _differences(verification: Verification) -> dict[DifferenceKey, int]:
    """Return the number of rows that differ, by kind."""
    counts: Counter[DifferenceKey] = Counter()
    for file in verification.differing_files():
        for column, count in (file.columns or {"the file": 1}).items():
            counts[DifferenceKey(_step(file.name, column), column)] += count
    # Files that follow from the feed say nothing more if the feed itself differs.
    without_other_files = {
        kind: count
        for kind, count in counts.items()
        if kind.step != _OTHER_FILES
    }
    return without_other_files or dict(counts)


def _first_difference(verification: Verification) -> dict[str, Any] | None:
    differing_files = verification.differing_files()
    if not differing_files:
        return None
    file = differing_files[0]
    if file.difference is None:
        return {"file": file.name, "detail": file.verdict}
    return {"file": file.name, **asdict(file.difference)}


def _step(file_name: str, column: str) -> str:
    """Return the step of the engine that makes a column of a file."""
    if artifact_named(file_name) is NORMALIZED:
        return "normalize"
    if file_name == "invalid_rows":
        return "validate"
    if file_name != FEED.name:
        return _OTHER_FILES
    return "price" if column.startswith("price") else "merge"
