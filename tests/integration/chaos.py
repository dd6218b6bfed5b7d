"""Breaks the real thing in every way of docs/RESILIENCE.md and shows what came of it.

    python tests/integration/chaos.py [--smoke | --rest] [--lanes N] [NAME ...]

Lanes work side by side, each in a process of its own with a stack of its own; a lane takes the next
scenario when it is free, and a new stack after one that failed. Exit status 1 where one failed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).resolve().parents[up]) for up in (1, 2)]

from rich.console import Console
from rich.table import Table

from integration.scenario import Scenario, all_scenarios

LANES = 3
_ONE_SCENARIO_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one scenario. ``detail`` is its outcome in a line, or what went wrong."""

    name: str
    passed: bool
    seconds: float
    detail: str
    logs: str = ""


class Waiting:
    """The scenarios that are still to be played.

    The longest go first; a crowd waits while another one has the processors, as long as there is
    anything else to play.
    """

    def __init__(self, scenarios: Sequence[Scenario]) -> None:
        self._left = sorted(
            scenarios, key=lambda each: (not each.crowd, -each.seconds)
        )
        self._crowds = 0
        self._lock = threading.Lock()

    def take(self) -> Scenario | None:
        """Return the next one, None where there is none."""
        with self._lock:
            fit = [
                scenario
                for scenario in self._left
                if not (scenario.crowd and self._crowds)
            ]
            chosen = next(iter(fit or self._left), None)
            if chosen is not None:
                self._left.remove(chosen)
                self._crowds += chosen.crowd
            return chosen

    def done(self, scenario: Scenario) -> None:
        """Note that one is over."""
        with self._lock:
            self._crowds -= scenario.crowd


def run(
    scenarios: Sequence[Scenario],
    *,
    lanes: int,
    tell: Callable[[Outcome], None] = lambda _: None,
) -> list[Outcome]:
    """Play scenarios side by side, the longest first; return the outcomes as they came.

    Args:
        scenarios: which.
        lanes: how many stacks there are at once.
        tell: called with each outcome, by one thread at a time.
    """
    waiting = Waiting(scenarios)
    outcomes: list[Outcome] = []
    telling = threading.Lock()

    def note(outcome: Outcome) -> None:
        with telling:
            outcomes.append(outcome)
            tell(outcome)

    threads = [
        threading.Thread(target=_drive, args=(waiting, note))
        for _ in range(min(lanes, len(scenarios)))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def _drive(waiting: Waiting, note: Callable[[Outcome], None]) -> None:
    """Hand scenarios to one lane, one after the other."""
    lane: subprocess.Popen[str] | None = None
    while (scenario := waiting.take()) is not None:
        if lane is None:
            lane = _open_lane()
        outcome = _play_in(lane, scenario)
        waiting.done(scenario)
        note(outcome)
        if not outcome.passed:
            _close(lane)
            lane = None
    if lane is not None:
        _close(lane)


def _close(lane: subprocess.Popen[str]) -> None:
    """Let a lane end its stack."""
    if lane.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            lane.stdin.close()
    lane.wait()
    if lane.stdout is not None:
        lane.stdout.close()


def _open_lane() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, __file__, "--lane"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _play_in(lane: subprocess.Popen[str], scenario: Scenario) -> Outcome:
    started = time.monotonic()
    watch = threading.Timer(_ONE_SCENARIO_SECONDS, lane.terminate)
    watch.start()
    try:
        lane.stdin.write(scenario.name + "\n")
        lane.stdin.flush()
        line = lane.stdout.readline()
    except BrokenPipeError:
        line = ""
    finally:
        watch.cancel()
    if line:
        return Outcome(**json.loads(line))
    return Outcome(
        scenario.name, False, time.monotonic() - started, "its lane died"
    )


# --- inside a lane --------------------------------------------------------------------------------


def _lane() -> None:
    """Play the scenarios named on standard input; after one that failed, end.

    Standard output carries one JSON line a scenario, and nothing else.
    """
    from integration.installation import Installation

    answers = sys.stdout
    sys.stdout = sys.stderr
    signal.signal(signal.SIGTERM, _give_up)
    scenarios = all_scenarios()
    home = Path(tempfile.mkdtemp(prefix="relay-chaos-"))
    is_kept = False
    try:
        with Installation(home) as relay:
            for line in sys.stdin:
                outcome = _play(scenarios[line.strip()], relay, home)
                print(json.dumps(asdict(outcome)), file=answers, flush=True)
                if not outcome.passed:
                    is_kept = True
                    break
    finally:
        if not is_kept:
            shutil.rmtree(home, ignore_errors=True)


def _give_up(*_: object) -> None:
    raise TimeoutError(f"not over after {_ONE_SCENARIO_SECONDS} s")


def _play(scenario: Scenario, relay: Any, home: Path) -> Outcome:
    started = time.monotonic()
    try:
        detail = scenario.body(relay)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is this scenario's outcome
        place = traceback.extract_tb(error.__traceback__)[-1]
        at = next(
            (
                frame
                for frame in traceback.extract_tb(error.__traceback__)
                if "scenarios" in frame[0]
            ),
            place,
        )
        message = f"{type(error).__name__} at {Path(at.filename).name}:{at.lineno}: {error}"
        return Outcome(
            scenario.name, False, time.monotonic() - started, message, str(home)
        )
    finally:
        relay.proxy.clear()
    return Outcome(scenario.name, True, time.monotonic() - started, detail)


# --- what is shown --------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> int:
    """Play what the arguments say and show the list."""
    options = _options(argv)
    if options.lane:
        _lane()
        return 0
    scenarios = all_scenarios()
    chosen = [scenarios[name] for name in options.names] or [
        scenario
        for scenario in scenarios.values()
        if scenario.smoke in options.smoke
    ]
    lanes = options.lanes or LANES
    console = Console(width=None if sys.stdout.isatty() else 150)
    started = time.monotonic()
    console.print(
        f"{len(chosen)} scenarios on {min(lanes, len(chosen))} stacks of their own"
    )

    def tell(outcome: Outcome) -> None:
        mark = "[green]held  [/]" if outcome.passed else "[red]broken[/]"
        console.print(
            f"{mark} {outcome.seconds:5.0f} s  {outcome.name}", highlight=False
        )

    outcomes = {
        outcome.name: outcome for outcome in run(chosen, lanes=lanes, tell=tell)
    }
    console.print(_table(chosen, outcomes))
    broken = [outcome for outcome in outcomes.values() if not outcome.passed]
    for failure in broken:
        console.print(
            f"\n[red]{failure.name}[/]: {failure.detail}\nlogs: {failure.logs}",
            highlight=False,
        )
    held = len(outcomes) - len(broken)
    console.print(
        f"{held} of {len(chosen)} scenarios hold, in {time.monotonic() - started:.0f} s;"
        " after each: no record open, no tenant locked, no message in flight"
    )
    return 1 if held < len(chosen) else 0


def _table(chosen: Sequence[Scenario], outcomes: dict[str, Outcome]) -> Table:
    table = Table(
        "row", "what breaks, and what must come of it", "what came of it", "s"
    )
    for scenario in chosen:
        outcome = outcomes[scenario.name]
        detail = outcome.detail if outcome.passed else "[red]broken[/]"
        table.add_row(
            scenario.row, scenario.claim, detail, f"{outcome.seconds:.0f}"
        )
    return table


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="scenarios; all if none"
    )
    kind = parser.add_mutually_exclusive_group()
    for name, kinds, help_text in (
        ("--smoke", [True], "the quick ones"),
        ("--rest", [False], "all but the quick ones, which `make check` has"),
    ):
        kind.add_argument(
            name,
            dest="smoke",
            action="store_const",
            const=kinds,
            help=help_text,
        )
    parser.set_defaults(smoke=[True, False])
    parser.add_argument(
        "--lanes", type=int, default=0, help="stacks side by side"
    )
    parser.add_argument("--lane", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
