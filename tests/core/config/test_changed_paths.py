"""Which members of a stored config differ from those of the version before."""

from __future__ import annotations

import pytest

from relay_core.config.reading.json_patch import changed_paths


@pytest.mark.parametrize(
    ("before", "after", "paths"),
    [
        ('{"a": 1}', '{"a": 1}', []),
        ('{"a": 0.20, "b": 1}', '{"b": 1.0, "a": 0.2}', []),
        ('{"a": 1}', '{"a": 2}', ["a"]),
        ('{"a": 1}', '{"a": "1"}', ["a"]),
        ('{"a": 1}', '{"a": true}', ["a"]),
        ('{"a": 0}', '{"a": false}', ["a"]),
        ('{"a": null}', "{}", ["a"]),
        ('{"a": 1}', '{"b": 1}', ["a", "b"]),
        (
            '{"a": {"b": {"c": 1, "d": 2}}}',
            '{"a": {"b": {"c": 3, "d": 2}}}',
            ["a.b.c"],
        ),
        ('{"a": [1, 2, 3]}', '{"a": [1, 4]}', ["a.1", "a.2"]),
        ('{"a": [{"b": 1}]}', '{"a": [{"b": 2}, {"b": 3}]}', ["a.0.b", "a.1"]),
        ('{"a": {"b": 1}}', '{"a": [1]}', ["a"]),
        ('{"a": "xy"}', '{"a": "xz"}', ["a"]),
        ("no JSON", '{"a": 1}', [""]),
        ("no JSON", "no JSON", []),
    ],
)
def test_what_differs_is_named_by_its_path(
    before: str, after: str, paths: list[str]
) -> None:
    assert changed_paths(before, after) == paths


def test_a_long_path_is_cut() -> None:
    (path,) = changed_paths("{}", f'{{"{"x" * 5000}": 1}}')
    assert len(path) < 300
