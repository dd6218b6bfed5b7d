"""JSON documents and XML of any shape, against records taken from whole trees."""

from __future__ import annotations

import json
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference.reference_documents import Node, of_json, of_xml, table
from relay_core.domain.errors import FeedUnreadableError
from relay_core.ingest.documents import json_tokens
from support.reading import read

NAMES = st.sampled_from(["a", "b", "c", "@i", "x/y", "", "é"])
RECORDS = st.sampled_from(["/", "/a", "/a/b", "/b", "/a/a/b"])
NAMED = st.lists(
    st.sampled_from(
        [
            "a[2]",
            "b[1]/a",
            "a[b=1]",
            "a[@i=t]/b",
            "a[b=1]/c[2]",
            "../a",
            "../c/b",
            "../@i",
            "../.",
            "../b[2]/a",
            "../../a/c",
            "../../c",
        ]
    ),
    unique=True,
    max_size=4,
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.just(1.5),
    st.sampled_from(["", "1", "t", " x ", "é\n"]),
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(NAMES, inner, max_size=4),
    ),
    max_leaves=25,
)


def expected(
    roots: list[Node], record: str, named: list[str]
) -> tuple[tuple[str, ...], list[list[str]], list[str]] | None:
    headers, rows = table(roots, record, named)
    if not rows:
        return None
    cells = [
        [str(row[name].cell) if name in row else "" for name in headers]
        for row in rows
    ]
    numbers = [
        "".join(
            "n" if name in row and row[name].is_number else "."
            for name in headers
        )
        for row in rows
    ]
    return headers, cells, numbers


def actual(
    data: str, format: str, record: str, named: list[str]
) -> tuple[tuple[str, ...], list[list[str]], list[str]] | None:
    """Return what the reader makes of a document; None if it has no records."""
    skip_rows = [{"column": header, "is": "empty"} for header in named]
    try:
        feed = read(data.encode(), format, record=record, skip_rows=skip_rows)
    except FeedUnreadableError as error:
        return None if error.error_code == "invalid_input" else ((), [], [])
    if feed.headers is None:
        return None
    return feed.headers, list(feed.rows.values()), list(feed.numbers.values())


def usable(record: str, named: list[str]) -> list[str]:
    """Return the paths that do not begin above the document."""
    levels = len(record.strip("/").split("/")) if record != "/" else 0
    return [header for header in named if header.count("../") <= levels]


@pytest.mark.parametrize("window_bytes", [1 << 22, 1, 12])
@given(value=VALUES, record=RECORDS, named=NAMED)
def test_a_json_document_has_the_records_of_its_tree(
    window_bytes: int, value: Any, record: str, named: list[str]
) -> None:
    text = json.dumps(value, indent=1, ensure_ascii=False)
    named = usable(record, named)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_tokens, "_WINDOW_BYTES", window_bytes)
        feed = actual(text, "json", record, named)
    assert feed == expected(of_json(text), record, named)


XML_NAMES = st.sampled_from(["a", "b", "c", "p:a", "é"])
ATTRIBUTES = st.dictionaries(
    st.sampled_from(["i", "b", "p:j"]), st.sampled_from(["t", "1", " x"])
)
TEXTS = st.sampled_from(["", " ", "1", "t", " x ", "<&>", "\n"])


@st.composite
def elements(draw: st.DrawFn, level: int = 0) -> str:
    """Return an element as XML."""
    name = "a" if not level else draw(XML_NAMES)
    attributes = "".join(
        f" {key}={quoteattr(value)}" for key, value in draw(ATTRIBUTES).items()
    )
    if not level:
        attributes += ' xmlns:p="urn:p"'
    parts = []
    for _ in range(draw(st.integers(0, 3 if level < 4 else 0))):
        parts += [draw(texts()), draw(elements(level + 1))]
    return f"<{name}{attributes}>{''.join(parts)}{draw(texts())}</{name}>"


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Return a text as XML, perhaps with CDATA and a comment."""
    text = draw(TEXTS)
    form = draw(st.sampled_from(["{}", "<![CDATA[{}]]>", "{}<!-- c -->"]))
    return form.format(text if "CDATA" in form else escape(text))


@given(element=elements(), record=RECORDS, named=NAMED)
def test_xml_has_the_records_of_its_tree(
    element: str, record: str, named: list[str]
) -> None:
    named = usable(record, named)
    feed = actual(element, "xml", record, named)
    assert feed == expected(of_xml(element), record, named)
