"""What two threads of one interpreter lose to its lock: ``python -m benchmarks.lock_cost``.

The same batches of a feed are read, and their lines written, by one thread alone, by two processes
and by two threads side by side, as the engine does it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from datetime import datetime
from functools import cache
from pathlib import Path

from benchmarks.feeds import Shape
from benchmarks.rules import REQUESTED_AT
from benchmarks.sitting import generate
from benchmarks.tables import machine
from relay_core.columnar.threads import tune_process
from relay_core.config import load_config
from relay_core.ingest.column_mapping import plan_columns
from relay_core.ingest.csv_reader import TextBatch, parse_feed
from relay_core.ingest.sku_map import read_sku_map
from relay_core.normalize.row_reader import RowReader, to_microseconds
from relay_core.normalize.vendor import lines_of_batch


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print seconds a pass and what side by side takes of alone; return the status."""
    options = argparse.ArgumentParser(description=main.__doc__)
    options.add_argument("--rows", type=int, default=333_000, help="in one feed")
    options.add_argument("--passes", type=int, default=15)
    chosen = options.parse_args(argv)
    tune_process()
    with tempfile.TemporaryDirectory(prefix="relay-lock-") as folder:
        generate(Shape(rows=chosen.rows, vendors=1), Path(folder))
        print(machine())
        _batches(folder)  # before the processes part: they share the batches
        forked = multiprocessing.get_context("fork")
        with ProcessPoolExecutor(2, mp_context=forked) as processes:
            apart = _side_by_side(processes, folder, chosen.passes)
        alone = statistics.median(_passes(folder, chosen.passes))
        with ThreadPoolExecutor(2) as threads:
            together = _side_by_side(threads, folder, chosen.passes)
    for name, seconds in (
        ("alone", alone),
        ("two processes", apart),
        ("two threads", together),
    ):
        print(f"{name:14} {seconds:.3f} s a pass, {seconds / alone:.2f} x")
    return 0


def _side_by_side(workers: Executor, folder: str, passes: int) -> float:
    """Return the median of the seconds of a pass, of two that are made at a time."""
    both = [workers.submit(_passes, folder, passes) for _ in range(2)]
    return statistics.median(seconds for one in both for seconds in one.result())


def _passes(folder: str, passes: int) -> list[float]:
    """Read every batch so many times; return the seconds of each."""
    reader, batches = _batches(folder)
    spent = []
    for _ in range(passes):
        begun = time.perf_counter()
        for batch in batches:
            lines_of_batch("vendor_1", reader.read(batch))
        spent.append(time.perf_counter() - begun)
    return spent


@cache
def _batches(folder: str) -> tuple[RowReader, list[TextBatch]]:
    config = load_config(json.loads(Path(folder, "config.json").read_text("utf-8")))
    parser = config.vendors[0].parser
    parsed = parse_feed(Path(folder, "vendor_1.csv").read_bytes(), parser)
    sku_map = read_sku_map(Path(folder, "vendor_1.map.csv").read_bytes())
    plan = plan_columns(parsed.headers or (), parser)
    requested_at = to_microseconds(datetime.fromisoformat(REQUESTED_AT))
    reader = RowReader(plan, parser, config.zone, requested_at, sku_map)
    return reader, list(parsed.batches)


if __name__ == "__main__":
    sys.exit(main())
