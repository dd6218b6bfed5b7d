"""Reading by compiled kernels over raw bytes, beside ours.

numba is in no lock: install it in a folder of its own, and name that to Python::

    .venv/bin/uv pip install --no-deps --target FOLDER numba llvmlite
    PYTHONPATH=FOLDER .venv/bin/python -m benchmarks.compiled_trial

The kernels split fields and read exact numbers, without options, limits or other widths; cells
that they take for no numbers go to our reader. The values must be ours, cell for cell. A process
that reads is started anew each time: what it loads counts.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.feeds import Shape
from benchmarks.rules import HEADERS, REQUESTED_AT
from benchmarks.sitting import ROOT, DisagreementError, generate, tell
from benchmarks.tables import machine
from relay_core.columnar.numbers import read_amounts, read_wholes
from relay_core.columnar.threads import tune_process
from relay_core.config import VendorConfig, load_config
from relay_core.domain import columns as canonical
from relay_core.ingest.column_mapping import plan_columns
from relay_core.ingest.csv_reader import parse_feed
from relay_core.ingest.feed import TextBatch, decode_feed
from relay_core.ingest.sku_map import read_sku_map
from relay_core.normalize.row_reader import RowReader, to_microseconds
from relay_core.normalize.vendor import lines_of_batch

_NUMBERS = {1: 0, 2: 4, 3: 4, 4: 4, 7: 0}
"""The places of columns of numbers in ``HEADERS``, and how many decimal places each keeps."""
_ROWS = 1 << 16
_PARTS = ("load", "split", "numbers")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print CPU seconds and whether reading is halved; return the status."""
    options = argparse.ArgumentParser(description=main.__doc__)
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options.add_argument(
        "--way", choices=("ours", "compiled", "compare"), help=argparse.SUPPRESS
    )
    chosen = options.parse_args(argv)
    if chosen.way:
        print(json.dumps(_WAYS[chosen.way](chosen.folder)))
        return 0
    with tempfile.TemporaryDirectory(prefix="relay-compiled-") as folder:
        generate(Shape(rows=chosen.rows), Path(folder))
        print(machine())
        compiling = _in_process("compare", folder)["load"]
        ways: dict[str, list[dict[str, float]]] = {"ours": [], "compiled": []}
        for turn in range(chosen.rounds):
            tell(f"round {turn + 1}/{chosen.rounds}")
            for way, found in ways.items():
                found.append(_in_process(way, folder))
        whole = [_whole_run(folder) for _ in range(chosen.rounds)]
    _print(ways, compiling, statistics.median(whole))
    return 0


def _print(
    ways: dict[str, list[dict[str, float]]], compiling: float, whole: float
) -> None:
    """Print the medians; with the kernel, reading is ours but for these parts."""
    ours, compiled = (
        {part: statistics.median(run[part] for run in runs) for part in runs[0]}
        for runs in ways.values()
    )
    print("the values are the same, cell for cell; CPU seconds:")
    for part in _PARTS:
        print(f"{part:8} {ours[part]:.3f}, compiled {compiled[part]:.3f}")
    print(f"to compile the kernels, once: {compiling:.2f}")
    parts, reading = ours["split"] + ours["numbers"], ours["reading"]
    change = compiled["split"] + compiled["numbers"] - parts
    for name, before, after in (
        ("all of reading, goal 0.50 x", reading, reading + change),
        ("all of reading, if both parts took nothing", reading, reading - parts),
        ("the whole process, load included", whole, whole + change + compiled["load"]),
    ):
        print(f"{name}: {before:.2f} to {after:.2f}, {after / before:.2f} x")


def _in_process(way: str, folder: str) -> dict[str, float]:
    argv = ["-m", "benchmarks.compiled_trial", f"--way={way}", f"--folder={folder}"]
    kept = {**os.environ, "NUMBA_CACHE_DIR": f"{folder}/numba"}
    done = subprocess.run(
        [sys.executable, *argv], cwd=ROOT, env=kept, check=True, stdout=-1
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _whole_run(folder: str) -> float:
    """Return the CPU seconds of the engine's whole process on these feeds."""
    argv = ["-m", "benchmarks.measure", "engine", folder, f"{folder}/out"]
    done = subprocess.run([sys.executable, *argv], cwd=ROOT, check=True, stdout=-1)
    return float(json.loads(done.stdout)["cpu_s"])


# --- our way -------------------------------------------------------------------------------------


def _ours(folder: Path) -> dict[str, float]:
    """Return the CPU seconds of splitting, of numbers, and of all from bytes to lines."""
    tune_process()
    vendors = _vendors(folder)
    split = _spent(*(_batches(vendor, folder) for vendor in vendors))
    both = _spent(*(_our_numbers(vendor, folder) for vendor in vendors))
    reading = _spent(*(_our_lines(vendor, folder) for vendor in vendors))
    return {"load": 0.0, "split": split, "numbers": both - split, "reading": reading}


def _our_numbers(vendor: VendorConfig, folder: Path) -> Iterator[list[Any]]:
    for batch in _batches(vendor, folder):
        yield [_read(place, batch.columns[place], vendor) for place in _NUMBERS]


def _our_lines(vendor: VendorConfig, folder: Path) -> Iterator[pa.StringArray]:
    sku_map = read_sku_map(Path(folder, f"{vendor.vendor_id}.map.csv").read_bytes())
    plan = plan_columns(HEADERS, vendor.parser)
    requested_at = to_microseconds(datetime.fromisoformat(REQUESTED_AT))
    zone = _config(folder).zone
    reader = RowReader(plan, vendor.parser, zone, requested_at, sku_map)
    for batch in _batches(vendor, folder):
        yield lines_of_batch(vendor.vendor_id, reader.read(batch))


def _batches(vendor: VendorConfig, folder: Path) -> Iterator[TextBatch]:
    data = Path(folder, f"{vendor.vendor_id}.csv").read_bytes()
    return (
        each
        for each in parse_feed(data, vendor.parser).batches
        if isinstance(each, TextBatch)
    )


def _read(place: int, text: pa.StringArray, vendor: VendorConfig) -> Any:
    names = {source: name for name, source in vendor.parser.column_map.items()}
    rejections = (
        canonical.BY_NAME[names[HEADERS[place]]].rejections
        or canonical.RejectionCodes()
    )
    return (read_amounts if _NUMBERS[place] else read_wholes)(
        text, vendor.parser, rejections
    )


# --- the compiled way ----------------------------------------------------------------------------


def _compiled(folder: Path) -> dict[str, float]:
    tune_process()
    kernels, vendors = _Kernels(), _vendors(folder)
    split = _spent(*(kernels.texts(vendor, folder) for vendor in vendors))
    both = _spent(*(kernels.read(vendor, folder) for vendor in vendors))
    return {"load": kernels.load_s, "split": split, "numbers": both - split}


def _compare(folder: Path) -> dict[str, float]:
    """Hold every cell and number against ours; compiles the kernels, and keeps them."""
    kernels = _Kernels()
    for vendor in _vendors(folder):
        ours = list(_batches(vendor, folder))
        texts, numbers = zip(*kernels.read(vendor, folder), strict=True)
        for place in range(len(HEADERS)):
            cells = pa.chunked_array([batch.columns[place] for batch in ours])
            _hold(
                place,
                cells.equals(pa.chunked_array([columns[place] for columns in texts])),
            )
        for place in _NUMBERS:
            read = [_read(place, batch.columns[place], vendor) for batch in ours]
            for number, what in enumerate(("values", "nulls", "faults")):
                expected = np.concatenate([getattr(one, what) for one in read])
                found = np.concatenate([columns[place][number] for columns in numbers])
                _hold(place, np.array_equal(expected, found))
    return {"load": kernels.load_s}


def _hold(place: int, is_same: bool) -> None:
    if not is_same:
        raise DisagreementError(f"the kernels read another {HEADERS[place]}")


class _Kernels:
    """The kernels, compiled or as they were kept."""

    def __init__(self) -> None:
        begun = time.process_time()
        compiled = partial(
            importlib.import_module("numba").njit, cache=True, nogil=True
        )
        self._split = compiled(_split)
        self._copy, self._numbers = compiled(_copy), compiled(_numbers)
        record = b",".join([b"1"] * len(HEADERS)) + b"\n"
        list(self._blocks(np.frombuffer(record, np.uint8), 0))
        self.load_s = time.process_time() - begun

    def texts(
        self, vendor: VendorConfig, folder: Path
    ) -> Iterator[list[pa.StringArray]]:
        """Yield all columns of some rows at a time."""
        for texts, _ in self._blocks(*self._opened(vendor, folder), with_numbers=False):
            yield texts

    def read(
        self, vendor: VendorConfig, folder: Path
    ) -> Iterator[tuple[Any, dict[int, Any]]]:
        """Yield the same, and of columns of numbers the values, the nulls and the faults."""
        for texts, numbers in self._blocks(*self._opened(vendor, folder)):
            for place, (values, nulls, faults) in numbers.items():
                rows = np.flatnonzero(faults)
                read = _read(place, texts[place].take(pa.array(rows)), vendor)
                values[rows], nulls[rows], faults[rows] = (
                    read.values,
                    read.nulls,
                    read.faults,
                )
            yield texts, numbers

    def _opened(self, vendor: VendorConfig, folder: Path) -> tuple[Any, int]:
        data = decode_feed(
            Path(folder, f"{vendor.vendor_id}.csv").read_bytes(), "utf-8"
        )
        return np.frombuffer(data, np.uint8), bytes(data[:4096]).index(b"\n") + 1

    def _blocks(
        self, data: Any, position: int, *, with_numbers: bool = True
    ) -> Iterator[Any]:
        starts = np.empty((len(HEADERS), _ROWS), np.int32)
        sizes, doubled = np.empty_like(starts), np.empty(starts.shape, np.uint8)
        while position < len(data):
            count, position = self._split(data, position, starts, sizes, doubled)
            texts, numbers = [], {}
            for place in range(len(HEADERS)):
                cells = (
                    starts[place, :count],
                    sizes[place, :count],
                    doubled[place, :count],
                )
                bounds, copied = (
                    np.empty(count + 1, np.int32),
                    np.empty(cells[1].sum(), np.uint8),
                )
                self._copy(data, *cells, bounds, copied)
                buffers = [None, pa.py_buffer(bounds), pa.py_buffer(copied)]
                texts.append(pa.Array.from_buffers(pa.string(), count, buffers))
                if with_numbers and place in _NUMBERS:
                    values = np.empty(count, np.int64)
                    nulls, others = np.empty(count, np.bool_), np.empty(count, np.uint8)
                    self._numbers(
                        data, *cells[:2], _NUMBERS[place], values, nulls, others
                    )
                    numbers[place] = values, nulls, others
            yield texts, numbers


def _split(
    data: Any, position: int, starts: Any, sizes: Any, doubled: Any
) -> tuple[int, int]:
    """Find the fields of records until the arrays are full; return how many, and the next."""
    columns, most = starts.shape
    row, at, end = 0, position, len(data)
    while row < most and at < end:
        for column in range(columns):
            twice = 0
            if data[at] == 34:
                at += 1
                start = at
                while data[at] != 34 or (at + 1 < end and data[at + 1] == 34):
                    if data[at] == 34:
                        twice += 1
                        at += 1
                    at += 1
                size = at - start - twice
                at += 1
            else:
                start = at
                while data[at] != 44 and data[at] != 10:
                    at += 1
                size = at - start
            starts[column, row] = start
            sizes[column, row] = size
            doubled[column, row] = twice > 0
            at += 1
        row += 1
    return row, at


def _copy(
    data: Any, starts: Any, sizes: Any, doubled: Any, bounds: Any, copied: Any
) -> None:
    """Copy the cells of a column behind each other, quotes that stand twice once."""
    out = 0
    for row in range(len(starts)):
        bounds[row] = out
        at, size = starts[row], sizes[row]
        if not doubled[row]:
            for place in range(size):
                copied[out + place] = data[at + place]
            out += size
            continue
        for _ in range(size):
            copied[out] = data[at]
            at += 2 if data[at] == 34 else 1
            out += 1
    bounds[len(starts)] = out


def _numbers(
    data: Any,
    starts: Any,
    sizes: Any,
    places: int,
    values: Any,
    nulls: Any,
    others: Any,
) -> None:
    """Read digits with at most one point, and round them half up; ``others`` are not so plain."""
    for row in range(len(starts)):
        at, end = starts[row], starts[row] + sizes[row]
        while at < end and data[at] == 32:
            at += 1
        while at < end and data[end - 1] == 32:
            end -= 1
        value, digits, behind, is_other = 0, 0, -1, end - at > 14
        nulls[row] = at == end
        while at < end and not is_other:
            digit = int(data[at]) - 48
            if 0 <= digit <= 9:
                digits += 1
                if behind < places:
                    value = value * 10 + digit
                elif behind == places and digit >= 5:
                    value += 1
                if behind >= 0:
                    behind += 1
            elif data[at] == 46 and behind < 0 and places > 0:
                behind = 0
            else:
                is_other = True
            at += 1
        value *= 10 ** max(places - max(behind, 0), 0)
        is_other = (
            is_other or digits - max(behind, 0) > 9 or (digits == 0 and not nulls[row])
        )
        values[row] = 0 if is_other else value
        others[row] = is_other


# --- what both need ------------------------------------------------------------------------------


def _config(folder: Path) -> Any:
    return load_config(json.loads((folder / "config.json").read_text("utf-8")))


def _vendors(folder: Path) -> list[VendorConfig]:
    return list(_config(folder).vendors)


def _spent(*found: Iterable[object]) -> float:
    """Return the CPU seconds of going through what is yet to be made."""
    begun = time.process_time()
    for _ in chain.from_iterable(found):
        pass
    return time.process_time() - begun


_WAYS = {"ours": _ours, "compiled": _compiled, "compare": _compare}

if __name__ == "__main__":
    sys.exit(main())
