"""The writer of each format of files, by the format's name.

The formats themselves are in `relay_core/domain/formats.py`.
"""

from collections.abc import Mapping

from relay_core.domain.formats import DELIMITED_FORMATS, FORMATS
from relay_core.publish.files import json_lines, parquet
from relay_core.publish.files.delimited import delimited
from relay_core.publish.files.writer import Writer

WRITERS: Mapping[str, Writer] = {
    **{
        name: delimited(str(FORMATS[name].delimiter))
        for name in DELIMITED_FORMATS
    },
    "jsonl": json_lines.WRITER,
    "parquet": parquet.WRITER,
}
"""The writer of each name of `OutputFormat`."""
