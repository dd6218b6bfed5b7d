"""Views of answers, where they are piped."""

import io
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from relay_dagster.client.terminal import Screen, TableView

VIEW = TableView(
    {
        "id": "key_id",
        "scopes": "scopes",
        "at": "at",
        "note": lambda each: each.note,
    },
    empty="there is none",
)


def shown(*answers: Any) -> tuple[str, str]:
    out = io.StringIO()
    err = io.StringIO()
    VIEW.show(Screen(Console(file=out, width=200), Console(file=err)), answers)
    return out.getvalue(), err.getvalue()


@pytest.mark.parametrize("nothing", [None, ""])
def test_a_cell_has_an_attribute_or_a_dash_and_a_function_s_text_as_it_is(
    nothing: str | None,
) -> None:
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    key = SimpleNamespace(key_id=7, scopes=["read", "run"], at=at, note="")
    bare_key = SimpleNamespace(key_id=nothing, scopes=[], at=None, note="x")
    assert shown(key, bare_key) == (
        "id  scopes    at                    note\n"
        "7   read run  2026-03-01 12:00:00Z\n"
        "-             -                     x\n",
        "",
    )


def test_in_place_of_an_empty_table_is_a_sentence_on_standard_error() -> None:
    assert shown() == ("", "there is none\n")
