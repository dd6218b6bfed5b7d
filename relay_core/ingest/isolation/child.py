"""The process that reads: a feed in at standard input, its records out at standard output.

It loads as little as it can, and asks the system to refuse it memory beyond what a feed may need.
"""

from __future__ import annotations

import gc
import json
import resource
import sys
import traceback
from importlib.abc import MetaPathFinder
from types import SimpleNamespace
from typing import IO, TYPE_CHECKING, cast

from relay_core.columnar.process_tuning import tune_process
from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.limits import Limits
from relay_core.ingest.isolation.frames import FrameKind, write_batch, write_value
from relay_core.ingest.parquet import read_parquet
from relay_core.ingest.workbooks import read_workbook

if TYPE_CHECKING:
    from relay_core.config import ParserConfig

_OWN_BYTES = 512 << 20
"""What a reader takes beside twice the bytes that a feed may unpack to."""


class _WithoutPandas(MetaPathFinder):
    """Arrow loads pandas, where there is one, with its first array: half a second for nothing."""

    def find_spec(self, fullname: str, *_: object) -> None:
        """Say that there is no pandas, and nothing of other modules."""
        if fullname == "pandas":
            raise ModuleNotFoundError(fullname)


def main() -> None:
    """Read the one feed that is asked for."""
    sys.meta_path.insert(0, _WithoutPandas())
    tune_process()
    gc.disable()  # cells are millions of objects that never form a cycle
    asked = json.loads(sys.stdin.buffer.readline())
    limits = Limits(**asked["limits"])
    _limit_memory(2 * limits.feed_bytes + _OWN_BYTES)
    out = sys.stdout.buffer
    try:
        _read(asked["parser"], limits, out)
    except FeedUnreadableError as error:
        write_value(out, FrameKind.UNREADABLE, [error.error_code, str(error)])
    except MemoryError:
        write_value(out, FrameKind.NO_MEMORY)
    except BrokenPipeError:  # nobody wants more
        return
    except Exception:  # noqa: BLE001 - raised again by whoever asked
        write_value(out, FrameKind.DEFECT, traceback.format_exc())
    out.flush()


def _read(options: dict[str, object], limits: Limits, out: IO[bytes]) -> None:
    parser = cast("ParserConfig", SimpleNamespace(**options))
    read = read_parquet if parser.format == "parquet" else read_workbook
    parsed = read(sys.stdin.buffer.read(), parser, limits)
    write_value(out, FrameKind.HEADERS, parsed.headers)
    for batch in parsed.batches:
        write_batch(out, batch)
        out.flush()
    write_value(out, FrameKind.END)


def _limit_memory(size: int) -> None:
    """Have the system refuse more than so many bytes, unless it refuses fewer already."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    known = [each for each in (size, soft, hard) if each != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min(known), hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
