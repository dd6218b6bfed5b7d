"""The pictures in docs/: made of the pages that are tested, small, and shown by the runbook."""

from __future__ import annotations

import io
import re

import pytest
from PIL import Image

from ui.screenshots import PICTURES, main, small
from ui.views import PAGES, VIEWS

NAMES = [view.name for view in (*VIEWS, *PAGES)]
DOCS = "".join(
    (PICTURES.parent / name).read_text("utf-8")
    for name in ("RUNBOOK.md", "PAGE.md")
)
PICTURE = re.compile(r"!\[([^\]]*)\]\(pictures/([^)]+)\.png\)")
SHOWN = {path: alt for alt, path in PICTURE.findall(DOCS)}


def test_each_page_has_a_picture_and_each_picture_a_page() -> None:
    assert sorted(path.stem for path in PICTURES.iterdir()) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_is_small_enough_to_keep(name: str) -> None:
    path = PICTURES / f"{name}.png"
    with Image.open(path) as picture:
        assert picture.format == "PNG"
    assert path.stat().st_size < 150_000


def test_the_docs_show_every_picture_and_say_what_is_in_it() -> None:
    assert sorted(SHOWN) == sorted(NAMES)
    assert all(len(alt.split()) > 3 for alt in SHOWN.values())


def test_a_name_that_no_picture_has_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["nothing"]) == 2
    assert capsys.readouterr().err == f"the pictures are {', '.join(NAMES)}\n"


def test_where_no_chromium_is_it_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CHROMIUM", "/nowhere/chromium")
    assert main(NAMES[:1]) == 2
    assert capsys.readouterr().err == (
        "no Chromium: cannot find '/nowhere/chromium'; set CHROMIUM to its path\n"
    )


def test_a_picture_in_few_colours_keeps_its_size_and_a_dot_of_another_colour() -> (
    None
):
    page = Image.effect_noise((80, 60), 90).convert("RGB")
    picture_file = io.BytesIO()
    page.putpixel((7, 5), (210, 30, 30))
    page.save(picture_file, "PNG")
    with Image.open(io.BytesIO(small(picture_file.getvalue()))) as picture:
        assert (picture.format, picture.mode, picture.size) == (
            "PNG",
            "P",
            (80, 60),
        )
        red, green, blue = picture.convert("RGB").getpixel((7, 5))
    assert red > 180 > 90 > max(green, blue)
