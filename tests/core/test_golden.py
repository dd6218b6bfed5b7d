"""Seeded feeds give the bytes that they gave when engine and reference were last held together.

``test_against_reference`` says what is right, on small feeds; this says that nothing has changed,
on feeds of thousands of rows and through every path that only large ones take.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from golden_runs import NAMES, hashes_of_run, known_hashes


@pytest.mark.parametrize("name", NAMES)
def test_every_artifact_of_a_seeded_run_has_the_bytes_that_are_known(
    name: str, tmp_path: Path
) -> None:
    assert hashes_of_run(name, tmp_path) == known_hashes()[name]


def test_no_run_is_written_down_that_is_no_longer_made() -> None:
    assert set(known_hashes()) == set(NAMES)
