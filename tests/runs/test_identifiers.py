"""What an id may look like."""

import pytest

from relay_dagster.runs.job_message import is_id, is_run_id
from support.builders import RUN_ID


@pytest.mark.parametrize("text", ["a", "acme_parts", "0-9", "A" * 64])
def test_letters_digits_dashes_and_underscores_make_an_id(text: str) -> None:
    assert is_id(text)


@pytest.mark.parametrize(
    "text", ["", "-a", "_a", "a/b", "a b", "a.b", "é", "a\n", "A" * 65]
)
def test_anything_else_is_none(text: str) -> None:
    assert not is_id(text)


def test_a_run_id_is_a_uuid_in_either_case() -> None:
    assert is_run_id(RUN_ID)
    assert is_run_id(RUN_ID.upper())


@pytest.mark.parametrize(
    "text", ["", "r-1", f"{RUN_ID}\n", f"{RUN_ID}/x", RUN_ID.replace("-", "")]
)
def test_what_is_no_uuid_is_no_run_id(text: str) -> None:
    assert not is_run_id(text)
