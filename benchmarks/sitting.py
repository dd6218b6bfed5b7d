"""Contenders in fresh processes, in turn: what slows the machine slows all of them alike."""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.feeds import Shape

ROOT = Path(__file__).resolve().parents[1]
MERGED_FEED = Path("outputs", "merged_inventory.csv")


class DisagreementError(Exception):
    """Two contenders that follow the same rules wrote different feeds."""


@dataclass(frozen=True)
class Entrant:
    """A contender on a folder of feeds, under the name that tables show."""

    name: str
    contender: str
    folder: Path
    rounds: int | None = None
    """At most so many rounds; None is all of them."""
    root: Path = ROOT
    """The checkout whose code runs."""


@dataclass(frozen=True)
class Measured:
    """One process: seconds of import, of work, of CPU, of the clock on the wall; peak memory."""

    import_s: float
    work_s: float
    cpu_s: float
    wall_s: float
    peak_mib: float
    merged_sha256: str | None


@dataclass(frozen=True)
class Process:
    """One process from outside: seconds of CPU, of the clock on the wall; peak memory.

    ``first_step_s`` are the seconds of CPU to the first step of a run in Dagster.
    """

    cpu_s: float
    wall_s: float
    peak_mib: float
    merged_sha256: str | None
    first_step_s: float | None = None


@dataclass
class Samples:
    """All measurements of one entrant, in the order of rounds."""

    runs: list[Measured | Process] = field(default_factory=list)

    def median(self, what: str) -> float:
        """Return the median of one of these numbers."""
        return statistics.median(self.all(what))

    def all(self, what: str) -> list[float]:
        """Return one of the numbers of ``Measured`` or ``Process`` for each round."""
        return [float(getattr(run, what)) for run in self.runs]

    def times(self, other: Samples, what: str = "work_s") -> float:
        """Return how many times the other's this one's number is: the median over rounds."""
        pairs = zip(self.all(what), other.all(what), strict=False)
        return statistics.median(mine / theirs for mine, theirs in pairs)

    def as_rows(self) -> list[dict[str, object]]:
        """Return the runs as plain data."""
        return [asdict(run) for run in self.runs]


def options_of(description: str | None, name: str) -> argparse.ArgumentParser:
    """Return the options of a sitting: its rows, its rounds, and the folder it works in."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument(
        "--folder", type=Path, default=ROOT / "out" / "bench" / name
    )
    return options


def generate(shape: Shape, folder: Path) -> int:
    """Write feeds in a process of their own; return how many bytes the feeds have."""
    argv = [
        sys.executable,
        "-m",
        "benchmarks.feeds",
        json.dumps(asdict(shape)),
        str(folder),
    ]
    subprocess.run(argv, cwd=ROOT, check=True)
    size: int = json.loads((folder / "spec.json").read_text("utf-8"))["bytes"]
    return size


def interleave(
    entrants: Sequence[Entrant],
    rounds: int,
    work: Path,
    tell: Callable[[str], None],
) -> dict[str, Samples]:
    """Run every entrant once a round, each round in the other direction.

    Raises:
        subprocess.CalledProcessError: an entrant failed.
    """
    samples = {entrant.name: Samples() for entrant in entrants}
    for turn in range(rounds):
        for entrant in entrants if turn % 2 == 0 else reversed(entrants):
            if entrant.rounds is None or turn < entrant.rounds:
                measured = measure(entrant, work)
                samples[entrant.name].runs.append(measured)
                tell(
                    f"round {turn + 1}/{rounds} {entrant.name}: {measured.work_s:.2f} s"
                )
    return samples


def tell(line: str) -> None:
    """Say how far the sitting is, beside what it prints."""
    print(f"  {line}", file=sys.stderr, flush=True)


def measure(entrant: Entrant, work: Path) -> Measured:
    """Run an entrant in a fresh process and throw away what it wrote, but for its hash."""
    out = work / "written"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    module = [sys.executable, "-m", "benchmarks.measure"]
    started = time.perf_counter()
    process = subprocess.run(
        [*module, entrant.contender, str(entrant.folder), str(out)],
        cwd=entrant.root,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    wall = time.perf_counter() - started
    numbers = json.loads(process.stdout.splitlines()[-1])
    written = Measured(
        **numbers, wall_s=wall, merged_sha256=file_sha256(out / MERGED_FEED)
    )
    shutil.rmtree(out)
    return written


def check_agreement(samples: Mapping[str, Samples]) -> str:
    """Return the hash of the merged feed that all of them wrote, in every round.

    Raises:
        DisagreementError: they did not write the same bytes.
    """
    hashes = {
        name: {run.merged_sha256 for run in runs.runs}
        for name, runs in samples.items()
        if runs
    }
    distinct = set().union(*hashes.values())
    if len(distinct) != 1 or None in distinct:
        listed = "\n".join(
            f"  {name}: {sorted(map(str, entrants))}"
            for name, entrants in hashes.items()
        )
        raise DisagreementError(f"the merged feeds differ:\n{listed}")
    return str(distinct.pop())


def file_sha256(path: Path) -> str | None:
    """Return the hash of a file; None where there is none."""
    if not path.exists():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
