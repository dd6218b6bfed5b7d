"""Read random feeds with the kernel and without it, and compare all that each leaves.

Beside random feeds, pieces of the vendors' files in `tests/data/feeds` and in `RELAY_FEEDS_DIR`
(default `../shared/data`) are read, with bytes changed at random. The exit status is 1 if
a reading differs; its seed and its feed are printed.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import random
import sys
import time
from collections.abc import Iterator
from itertools import chain, count
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

_KERNEL = "relay_core.kernel.scan"


def _load_kernel(path: str) -> None:
    """Load the kernel from a file, before another module loads the installed one."""
    spec = importlib.util.spec_from_file_location(_KERNEL, path)
    if spec is None or spec.loader is None:
        raise ImportError(path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[_KERNEL] = module
    spec.loader.exec_module(module)


if "--kernel" in sys.argv:
    _load_kernel(sys.argv[sys.argv.index("--kernel") + 1])

from relay_core.config import TenantConfig, load_config  # noqa: E402  # the path is set above
from relay_core.kernel import compiled, text_parts  # noqa: E402
from support.builders import config_document, vendor_document  # noqa: E402
from support.kernel_examples import (  # noqa: E402
    BYTES,
    Example,
    difference,
    examples,
    read,
)

_PIECE_BYTES = 200_000
_PER_SEED = 40


def main() -> int:
    """Compare readings until the time is over."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--minutes", type=float, default=10)
    options.add_argument("--seed", type=int, default=int(time.time()))
    options.add_argument("--feeds", type=int, help="the number of feeds")
    options.add_argument("--kernel", help="a compiled kernel to load instead")
    chosen = options.parse_args()
    if not compiled.is_installed:
        print("The kernel was not compiled.", file=sys.stderr)
        return 1
    end = time.monotonic() + 60 * chosen.minutes
    total = 0
    by_kernel = 0
    for seed in count(chosen.seed):
        for number, example in enumerate(_examples(seed)):
            if time.monotonic() > end or total == chosen.feeds:
                print(
                    f"{total} feeds, {by_kernel} of them by the kernel: equal"
                )
                return 0
            problem = difference(example)
            total += 1
            by_kernel += read(example, with_kernel=True).by_kernel
            if problem is not None:
                print(f"seed {seed}, example {number}: {problem}")
                print(example.config.vendors[0].parser, example.feed)
                return 1
    return 0


def _examples(seed: int) -> Iterator[Example]:
    random_feeds = zip(range(_PER_SEED), examples(seed), strict=False)
    return chain(
        (example for _, example in random_feeds),
        _pieces(random.Random(seed)),
    )


def _pieces(rng: random.Random) -> Iterator[Example]:
    """Yield pieces of vendors' files, with some bytes changed."""
    folder = Path(os.environ.get("RELAY_FEEDS_DIR", ROOT / "../shared/data"))
    paths = [*(ROOT / "tests/data/feeds").glob("*.csv"), *folder.rglob("*.csv")]
    for path in rng.sample(paths, min(len(paths), 6)):
        data = path.read_bytes()
        head_end = data.find(b"\n") + 1
        start = rng.randrange(max(1, len(data) - _PIECE_BYTES))
        piece = bytearray(data[:head_end])
        piece += data[max(head_end, start) : start + _PIECE_BYTES]
        for _ in range(rng.randrange(6)):
            place = rng.randrange(len(piece) + 1)
            piece[place : place + rng.randrange(2)] = rng.choice(BYTES)
        header = data[:head_end].decode("utf-8", "replace")
        yield Example(
            _config(rng, header),
            bytes(piece),
            part_bytes=rng.choice([100, 5_000, text_parts.PART_BYTES]),
        )


def _config(rng: random.Random, header: str) -> TenantConfig:
    """Return a config that reads as many of a header's columns as it can."""
    delimiter = max(",;\t|", key=header.count)
    names = [name.strip().strip('"') for name in header.split(delimiter)]
    rng.shuffle(names)
    column_map = {"sku": names[0]}
    targets = ("title", "brand", "cost", "price", "msrp", "vendor_sku")
    column_map |= zip(targets, names[1:], strict=False)
    is_quantity = "quantity_available" in names
    defaults = {} if is_quantity else {"quantity_available": 1}
    parser = {
        "delimiter": delimiter,
        "column_map": {key: name for key, name in column_map.items() if name},
        "defaults": defaults,
        "thousands_separator": rng.choice([",", None]),
        "currency_symbols": rng.choice([[], ["$"]]),
        "null_values": rng.choice([[], ["NULL", "N/A"]]),
    }
    return load_config(
        config_document(
            vendor_document(parser=parser),
            error_policy={"max_invalid_row_pct": 1, "max_invalid_rows": 10**6},
        )
    )


if __name__ == "__main__":
    sys.exit(main())
