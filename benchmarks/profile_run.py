"""``make profile``: where the time of one run of the engine goes, as a picture.

Py-spy looks at the process a hundred times a second and says which functions its threads are in;
threads that wait are left out.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.feeds import Shape
from benchmarks.sitting import ROOT, generate


def main(argv: Sequence[str] | None = None) -> int:
    """Profile one run and write the picture; return py-spy's exit status."""
    options = argparse.ArgumentParser(description=main.__doc__)
    options.add_argument(
        "--rows", type=int, default=5_000_000, help="in three feeds"
    )
    options.add_argument(
        "--picture", type=Path, default=ROOT / "docs" / "profile-5m.svg"
    )
    chosen = options.parse_args(argv)
    spy = shutil.which("py-spy", path=sysconfig.get_path("scripts"))
    if spy is None:
        print("py-spy is missing: make setup installs it", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="relay-profile-") as folder:
        generate(Shape(rows=chosen.rows), Path(folder, "feeds"))
        places = [str(Path(folder, name)) for name in ("feeds", "written")]
        run = [sys.executable, "-m", "benchmarks.measure", "engine", *places]
        picture = [
            "record",
            "--function",
            "--rate",
            "100",
            "--output",
            str(chosen.picture),
        ]
        status = subprocess.run(
            [spy, *picture, "--", *run], cwd=ROOT, check=False
        ).returncode
    if status == 0:
        # py-spy's own title is its command line, with the places of this machine
        drawn = chosen.picture.read_text("utf-8")
        title = f"A run of {chosen.rows:,} rows in three feeds"
        drawn = re.sub(
            r"(<text id=.title.[^>]*>)[^<]*", rf"\g<1>{title}", drawn, count=1
        )
        # py-spy's script brings a TODO of its authors, which is nothing to be done in this project
        drawn = re.sub(r"(?m)^ *// TODO.*\n", "", drawn)
        chosen.picture.write_text(drawn, "utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main())
