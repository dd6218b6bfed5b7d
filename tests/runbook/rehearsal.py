"""Follow every procedure of docs/RUNBOOK.md on the real stack; show one line for each.

    python tests/runbook/rehearsal.py [NAME ...]

A NAME is a drill's function or heading. Exit status 1 where a procedure did not do what it says.
"""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).resolve().parents[up]) for up in (1, 2)]

from integration.installation import Installation
from runbook.desk import Desk
from runbook.drills import Drill, all_drills

# As many as have runs at once, and one that waits.
_AT_ONCE = 3


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one drill; ``wrong`` is empty where all was as the runbook says."""

    drill: Drill
    seconds: float
    wrong: str


def main(names: Sequence[str]) -> int:
    """Play the drills, print a line for each, and return the exit status."""
    chosen = [
        drill
        for drill in all_drills()
        if not names or {drill.name, drill.body.__name__} & {*names}
    ]
    if not chosen:
        print(f"no drill is called {' or '.join(names)}", file=sys.stderr)
        return 2
    home = Path(tempfile.mkdtemp(prefix="relay-runbook-"))
    # A polite kill, too, ends the stack first: drills that are left find nothing and end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with ThreadPoolExecutor(_AT_ONCE) as pool, Installation(home) as relay:
        plays = [
            pool.submit(_play, relay, drill, f"drill-{number:02d}")
            for number, drill in enumerate(chosen, 1)
        ]
        outcomes = [_tell(play.result()) for play in as_completed(plays)]
    wrong = [outcome for outcome in outcomes if outcome.wrong]
    if wrong:
        print(f"\nthe logs are in {home}", file=sys.stderr)
    else:
        shutil.rmtree(home)
    print(
        f"{len(outcomes) - len(wrong)} of {len(outcomes)} procedures do what the runbook says"
    )
    return 1 if wrong else 0


def _play(relay: Installation, drill: Drill, tenant: str) -> Outcome:
    began = time.monotonic()
    try:
        drill.body(Desk(relay, tenant))
    except Exception:  # noqa: BLE001 - a procedure that fails is told, the others go on
        return Outcome(drill, time.monotonic() - began, traceback.format_exc())
    return Outcome(drill, time.monotonic() - began, "")


def _tell(outcome: Outcome) -> Outcome:
    word = "WRONG" if outcome.wrong else "ok"
    drill = outcome.drill
    print(
        f"{word:<5}  {outcome.seconds:5.1f} s  {drill.name:<26} {drill.claim}",
        flush=True,
    )
    if outcome.wrong:
        print(
            f"--- {drill.body.__name__}\n{outcome.wrong}",
            file=sys.stderr,
            flush=True,
        )
    return outcome


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
