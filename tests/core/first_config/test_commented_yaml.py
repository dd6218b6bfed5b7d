"""YAML with comments: any document comes back as it was, and no comment breaks a line."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from relay_core.config import parse_document
from relay_core.first_config.commented_yaml import (
    comment_text,
    commented_yaml,
)

TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
SCALARS = st.one_of(
    TEXTS,
    st.booleans(),
    st.none(),
    st.sampled_from(["no", "Yes", "null", "1e3", "0.20", "-", "a: b", "x #y"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(TEXTS, inner, max_size=3),
    ),
    max_leaves=8,
)


def plain(value: Any) -> Any:
    """Return a document without the classes that remember how a value was written."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, str) else value


@given(st.dictionaries(TEXTS, VALUES, min_size=1, max_size=4), TEXTS)
def test_a_document_comes_back_whatever_its_texts_and_comments_are(
    document: dict[str, Any], comment: str
) -> None:
    comments = {(key,): (comment, comment) for key in document}
    comments[()] = (comment,)
    written = commented_yaml(document, comments)
    assert plain(parse_document(written, format="yaml")) == document


def test_each_value_has_its_comment_above_it() -> None:
    document = {
        "mark": "\t",
        "vendors": [
            {"vendor_id": "a", "parser": {"delimiter": ";", "columns": ["x"]}},
            {"vendor_id": "b", "skip": []},
        ],
        "margin": Decimal("0.20"),
    }
    comments = {
        (): ("Head.",),
        ("vendors", 0): ("First.",),
        ("vendors", 0, "vendor_id"): ("Its name.",),
        ("vendors", 0, "parser", "delimiter"): ("A\nbreak",),
        ("vendors", 1): ("Second.", "And more."),
        ("margin",): ("word " * 30,),
    }
    assert commented_yaml(document, comments) == (
        "# Head.\n"
        "\n"
        'mark: "\\t"\n'
        "vendors:\n"
        "  # First.\n"
        "    # Its name.\n"
        "  - vendor_id: a\n"
        "    parser:\n"
        "      # A\\nbreak\n"
        '      delimiter: ";"\n'
        "      columns: [x]\n"
        "  # Second.\n"
        "  # And more.\n"
        "  - vendor_id: b\n"
        "    skip: []\n"
        f"# {'word ' * 16}word\n"
        f"# {'word ' * 12}word\n"
        "margin: 0.20\n"
    )


def test_a_text_that_does_not_print_is_escaped() -> None:
    assert comment_text("a\x85b\u2028c") == "a\\x85b\\u2028c"
