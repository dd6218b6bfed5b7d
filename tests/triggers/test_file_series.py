"""The files of a folder that are pulled one after the other: which are new, and when."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from relay_core.config.inputs.uploads import FileKind
from relay_dagster.triggers.file_series import (
    MAX_PULLED,
    NO_FILES,
    FileSeries,
    ListedFile,
    Survey,
    survey,
    with_pulled,
)
from relay_dagster.triggers.pulled_files import FileMark
from support.fakes import NOW

SETTLE = timedelta(seconds=60)
NO_WAIT = timedelta(0)


def file(name: str, mtime: int, size: int = 10) -> ListedFile:
    kind: FileKind = "full" if name.startswith("full") else "delta"
    return ListedFile(
        FileMark(path=f"/out/{name}", size=size, mtime=mtime), kind
    )


def names(found: Survey) -> list[str]:
    return [str(ready.mark.path).removeprefix("/out/") for ready in found.ready]


def pulled_all(found: Survey) -> FileSeries:
    series = found.series
    for ready in found.ready:
        series = with_pulled(series, ready.digest)
    return series


FIRST = [
    file("full-1", 100),
    file("delta-1", 150),
    file("full-2", 200),
    file("delta-3", 300),
    file("delta-2", 300),
]


def test_a_series_begins_with_the_newest_full_file_and_what_follows_it() -> (
    None
):
    surveyed = survey(NO_FILES, reversed(FIRST), NOW, NO_WAIT)
    assert names(surveyed) == ["full-2", "delta-2", "delta-3"]
    assert surveyed.series.is_begun
    assert surveyed.next_ready_at is None


def test_without_a_full_file_a_series_does_not_begin() -> None:
    surveyed = survey(NO_FILES, [file("delta-1", 1)], NOW, NO_WAIT)
    assert (surveyed.series, names(surveyed)) == (NO_FILES, [])


def test_every_file_that_was_not_there_follows_in_order() -> None:
    series = pulled_all(survey(NO_FILES, FIRST, NOW, NO_WAIT))
    assert names(survey(series, FIRST, NOW, NO_WAIT)) == []
    later = [
        *FIRST,
        file("delta-5", 500),
        file("full-3", 450),
        file("delta-4", 400),
        # It comes late, and is older than what was pulled.
        file("delta-0", 250),
        # It was replaced.
        file("delta-3", 310),
    ]
    surveyed = survey(series, later, NOW, NO_WAIT)
    assert names(surveyed) == [
        "delta-0",
        "delta-3",
        "delta-4",
        "full-3",
        "delta-5",
    ]
    series = pulled_all(surveyed)
    assert names(survey(series, later, NOW, NO_WAIT)) == []


def test_a_file_waits_until_it_and_all_earlier_ones_are_settled() -> None:
    files = [file("full-1", 100), file("delta-1", 200)]
    surveyed = survey(NO_FILES, files, NOW, SETTLE)
    assert (names(surveyed), surveyed.next_ready_at) == ([], NOW + SETTLE)
    grown = [file("full-1", 100), file("delta-1", 200, size=11)]
    files = [*grown, file("delta-2", 300)]
    later = NOW + SETTLE
    surveyed = survey(surveyed.series, files, later, SETTLE)
    # The delta has grown, and so it holds up the one behind it.
    assert (names(surveyed), surveyed.next_ready_at) == (
        ["full-1"],
        later + SETTLE,
    )
    series = pulled_all(surveyed)
    surveyed = survey(series, files, later + SETTLE, SETTLE)
    assert (names(surveyed), surveyed.next_ready_at) == (
        ["delta-1", "delta-2"],
        None,
    )


def test_what_is_gone_from_the_folder_is_forgotten() -> None:
    series = pulled_all(survey(NO_FILES, FIRST, NOW, NO_WAIT))
    remaining = FIRST[2:]
    surveyed = survey(series, remaining, NOW, NO_WAIT)
    assert surveyed.series.pulled == {listed.digest for listed in remaining}


def test_a_series_knows_as_many_files_as_it_may_and_none_twice() -> None:
    count = MAX_PULLED + 3
    # All have the same time, so that only their names tell which are newer.
    files = [file(f"delta-{number:04}", 500) for number in range(count)]
    start = file("full-1", 100)
    series = replace(
        NO_FILES,
        is_begun=True,
        pulled=frozenset(listed.digest for listed in [start, *files]),
    )
    surveyed = survey(series, [start, *files], NOW, NO_WAIT)
    assert len(surveyed.series.pulled) == MAX_PULLED
    assert surveyed.series.forgotten == files[2].mark
    assert names(surveyed) == []
    again = survey(surveyed.series, [start, *files], NOW, NO_WAIT)
    assert (names(again), again.series) == ([], surveyed.series)
    new_file = file("delta-9999", 500)
    again = survey(surveyed.series, [start, *files, new_file], NOW, NO_WAIT)
    assert names(again) == ["delta-9999"]
