"""Make the pictures of docs/pictures from the real pages, by `make screenshots`.

    python tests/ui/screenshots.py [NAME ...]

A NAME is a picture's, without its ending. Exit status 2 where there is no Chromium.
"""

from __future__ import annotations

import io
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).resolve().parents[up]) for up in (1, 2)]

from PIL import Image

from ui.chromium import NoChromiumError, find_chromium, open_browser
from ui.exhibits import exhibited
from ui.views import PAGES, VIEWS, View, visit

PICTURES = Path(__file__).resolve().parents[2] / "docs" / "pictures"
COLORS = 256
# Charts are drawn, and dialogs faded in, within this time of their text.
SETTLE_MILLISECONDS = 1000


def make_pictures(views: Sequence[View], folder: Path) -> None:
    """Start the stack, do the runs, and take a picture of each page."""
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="relay-ui-") as home,
        exhibited(Path(home)) as exhibits,
        open_browser() as browser,
    ):
        for view in views:
            visit(browser, view, exhibits)
            browser.page.wait_for_timeout(SETTLE_MILLISECONDS)
            path = folder / f"{view.name}.png"
            path.write_bytes(small(browser.page.screenshot()))
            print(f"{path.name:<24} {path.stat().st_size / 1000:5.0f} kB")


def small(png: bytes) -> bytes:
    """Return a picture in few colours, the rare ones too: a red dot on a grey page stays red."""
    picture_file = io.BytesIO()
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    few = picture.quantize(
        COLORS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
    )
    few.save(picture_file, "PNG", optimize=True)
    return picture_file.getvalue()


def main(names: Sequence[str]) -> int:
    """Make the pictures that are named, or all; return the exit status."""
    all_views = (*VIEWS, *PAGES)
    views = [view for view in all_views if not names or view.name in names]
    if not views or len(views) < len(names):
        print(
            f"the pictures are {', '.join(view.name for view in all_views)}",
            file=sys.stderr,
        )
        return 2
    try:
        find_chromium()
    except NoChromiumError as error:
        print(error, file=sys.stderr)
        return 2
    # A polite kill, too, ends the stack first.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    make_pictures(views, PICTURES)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
