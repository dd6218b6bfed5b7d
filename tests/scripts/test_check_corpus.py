"""The corpus of lists: each is read right as it is proposed, or refused with its reason."""

from __future__ import annotations

import pytest

import check_corpus
from check_corpus import ASKED, LISTS, RIGHT, WRONG, checked, expectations

EXPECTED = expectations()


@pytest.mark.parametrize("name", EXPECTED)
def test_a_list_is_right_as_proposed_or_clearly_refused(name: str) -> None:
    result = checked(name)
    assert (result.verdict, result.reason) == (RIGHT, "")


def test_one_list_of_each_cause_is_right() -> None:
    names = {name.partition("_")[0][:-1]: name for name in EXPECTED}
    assert len(names) == 11
    results = [checked(name) for name in names.values()]
    assert [result.reason for result in results] == [""] * len(names)


def test_every_file_has_what_is_right_beside_it() -> None:
    names = {path.name for path in LISTS.iterdir()} - {"expected.json"}
    assert names == set(EXPECTED)
    assert len(names) >= 100


@pytest.mark.parametrize(
    ("name", "expected", "verdict"),
    [
        (
            "7b_dollar_space.csv",
            {"prices": {"A": "1.0000"}, "rejected": 0},
            WRONG,
        ),
        ("7b_dollar_space.csv", {"refused": "ranges"}, WRONG),
        ("10c_ranges.csv", {"refused": "unheard of"}, ASKED),
        ("10c_ranges.csv", {"prices": {}, "rejected": 0}, ASKED),
    ],
)
def test_what_is_not_as_expected_is_told(
    name: str,
    expected: dict[str, object],
    verdict: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(check_corpus, "expectations", lambda: {name: expected})
    assert check_corpus.main() == 1
    printed = capsys.readouterr().out
    assert printed.startswith(f"{name}: {verdict}: ")
    assert f"{verdict:<40}    1 of 1" in printed
