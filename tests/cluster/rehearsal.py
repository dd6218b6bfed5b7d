"""Run the product on more than one machine, kill one, and show one line for each claim.

    python tests/cluster/rehearsal.py

Exit status 1 where a claim does not hold, 2 where a program that it needs is not installed.
"""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
import time
import traceback
from contextlib import ExitStack
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).resolve().parents[up]) for up in (1, 2)]

from benchmarks.bench_stack import redis_server
from cluster.claims import CLAIMS, Claim
from cluster.machines import two_machines
from cluster.workers import Cluster
from support.postgres_server import postgres_programs, running_postgres

TENANTS = 6
_NEEDED = "make cluster needs redis-server and PostgreSQL: apt-get install redis-server postgresql"


def main() -> int:
    """Start everything, put every claim to the test, end everything; return the exit status."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if not _all_installed():
        print(_NEEDED, file=sys.stderr)
        return 2
    home = Path(tempfile.mkdtemp(prefix="relay-cluster-"))
    try:
        held = _all_claims(home)
    except KeyboardInterrupt:
        shutil.rmtree(home)
        print("interrupted; everything is ended", file=sys.stderr)
        return 130
    if all(held):
        shutil.rmtree(home)
    else:
        print(f"\nthe logs are in {home}", file=sys.stderr)
    print(f"{sum(held)} of {len(CLAIMS)} claims hold")
    return 0 if all(held) else 1


def _all_installed() -> bool:
    try:
        return bool(postgres_programs() and redis_server())
    except FileNotFoundError:
        return False


def _all_claims(home: Path) -> list[bool]:
    """Return which claims hold, up to the first that does not: they build on each other."""
    with ExitStack() as cleanup:
        machines = cleanup.enter_context(two_machines(home))
        print(f"workers: {machines.kind}", flush=True)
        postgres = cleanup.enter_context(
            running_postgres(machines.host, machines.network)
        )
        cluster = cleanup.enter_context(Cluster(home, machines, postgres))
        tenants = [cluster.new_tenant() for _ in range(TENANTS)]
        held: list[bool] = []
        for claim in CLAIMS:
            held.append(_put_to_the_test(claim, cluster, tenants))
            if not held[-1]:
                break
        return held


def _put_to_the_test(
    claim: Claim, cluster: Cluster, tenants: list[str]
) -> bool:
    began = time.monotonic()
    wrong = ""
    title = str(claim.__doc__).partition("\n")[0]
    try:
        note = claim(cluster, tenants)
    except Exception:  # noqa: BLE001 - a claim that fails is told
        note = ""
        wrong = traceback.format_exc()
    word = "WRONG" if wrong else "ok"
    print(
        f"{word:<5}  {time.monotonic() - began:5.1f} s  {title} {note}".rstrip(),
        flush=True,
    )
    if wrong:
        print(wrong, file=sys.stderr, flush=True)
    return not wrong


if __name__ == "__main__":
    sys.exit(main())
