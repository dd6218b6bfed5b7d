"""Paths of records and of values: their steps, and the paths that cannot be read."""

from __future__ import annotations

import pytest

from relay_core.domain.document_paths import (
    Condition,
    PathError,
    Step,
    ValuePath,
    record_names,
    value_path,
)


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/", ()),
        ("/catalog", ("catalog",)),
        ("/catalog/product", ("catalog", "product")),
        ("/a b/@x", ("a b", "@x")),
    ],
)
def test_the_path_of_records_has_names(
    path: str, names: tuple[str, ...]
) -> None:
    assert record_names(path) == names


@pytest.mark.parametrize(
    "path", ["", "catalog", "/a/", "//", "/a//b", "/a/..", "/./a", "/a[1]"]
)
def test_other_paths_of_records_cannot_be_read(path: str) -> None:
    with pytest.raises(PathError, match="must"):
        record_names(path)


@pytest.mark.parametrize(
    ("header", "levels_up", "steps"),
    [
        ("price", 0, [Step("price")]),
        ("Your cost", 0, [Step("Your cost")]),
        ("stock/@id", 0, [Step("stock"), Step("@id")]),
        (".", 0, [Step(".")]),
        ("../../@code", 2, [Step("@code")]),
        ("../.", 1, [Step(".")]),
        ("image[2]", 0, [Step("image", index=2)]),
        ("image[1000]/.", 0, [Step("image", index=1000), Step(".")]),
        (
            "stock[@wh=A]/qty",
            0,
            [Step("stock", condition=Condition("@wh", "A")), Step("qty")],
        ),
        (
            "../a[b=1/2]",
            1,
            [Step("a", condition=Condition("b", "1/2"))],
        ),
        ("a[b=]", 0, [Step("a", condition=Condition("b", ""))]),
    ],
)
def test_a_header_has_steps(
    header: str, levels_up: int, steps: list[Step]
) -> None:
    assert value_path(header) == ValuePath(header, levels_up, tuple(steps))


def test_a_path_without_tests_in_the_record_is_plain() -> None:
    assert value_path("stock/qty").is_plain
    assert not value_path("../qty").is_plain
    assert not value_path("stock[2]/qty").is_plain
    assert not value_path("stock[a=b]/qty").is_plain


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("", "empty step"),
        ("a//b", "empty step"),
        ("/a", "empty step"),
        ("a/", "empty step"),
        ("a[1", "not closed"),
        ("a[1]b", "not closed"),
        ("..", r'step "\.\."'),
        ("a/../b", r'step "\.\."'),
        ("./a", r'step "\."'),
        (".[1]", 'behind "."'),
        ("a[0]", "has the number 0"),
        ("a[1001]", "has the number 1001"),
        ("a[b]", r"has \[b\]"),
        ("a[=b]", r"has \[=b\]"),
        ("a[b/c=d]", r"has \[b/c=d\]"),
    ],
)
def test_other_headers_cannot_be_read(header: str, reason: str) -> None:
    with pytest.raises(PathError, match=reason):
        value_path(header)
