"""Files of changes are made in a process of their own, within limits and in turn."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from relay_core.config.models import FileConfig
from relay_dagster.changed_files import ChangedFiles, FileVersion
from support.builders import tenant_config, vendor_document

OLDER = b"sku,price\nA,1.00\nB,2.00\n"
NEWER = b"sku,price\nA,1.00\nB,3.00\n"
WAITING = 0.2


def file_of(*columns: str) -> FileConfig:
    config = tenant_config(vendor_document("v"), output={"columns": columns})
    return config.output


def versions(folder: Path, *columns: str) -> tuple[FileVersion, FileVersion]:
    older = folder / "older.csv"
    newer = folder / "newer.csv"
    older.write_bytes(OLDER)
    newer.write_bytes(NEWER)
    file = file_of(*(columns or ("sku", "price")))
    return FileVersion(older, file), FileVersion(newer, file)


def test_the_changes_are_written_to_a_path(tmp_path: Path) -> None:
    target = tmp_path / "changes.csv"
    older, newer = versions(tmp_path)
    assert ChangedFiles().make("acme", older, newer, target) == 1
    assert target.read_bytes() == b"sku,price\nB,3.00\n"


def test_files_that_cannot_be_compared_have_none(tmp_path: Path) -> None:
    target = tmp_path / "changes.csv"
    older, newer = versions(tmp_path, "title", "price")
    assert ChangedFiles().make("acme", older, newer, target) is None
    assert not target.exists()


def test_over_its_time_the_whole_stands_in(tmp_path: Path) -> None:
    older, newer = versions(tmp_path)
    target = tmp_path / "changes.csv"
    maker = ChangedFiles(seconds=1e-6)
    assert maker.make("acme", older, newer, target) is None


def test_over_its_memory_the_whole_stands_in(tmp_path: Path) -> None:
    older, newer = versions(tmp_path)
    older.path.write_bytes(OLDER + b"C,9.00\n" * 5_000_000)
    target = tmp_path / "changes.csv"
    maker = ChangedFiles(memory_bytes=1 << 20)
    assert maker.make("acme", older, newer, target) is None


def test_of_a_tenant_one_is_made_at_a_time_and_two_in_all(
    tmp_path: Path,
) -> None:
    maker = ChangedFiles()
    older, newer = versions(tmp_path)

    def made(tenant_id: str) -> int | None:
        target = tmp_path / f"{tenant_id}.csv"
        return maker.make(tenant_id, older, newer, target)

    with ThreadPoolExecutor() as threads:
        with maker._turn_of("acme"):
            same = threads.submit(made, "acme")
            assert made("other") == 1
            with pytest.raises(TimeoutError):
                same.result(WAITING)
            with maker._turn_of("other"):
                third = threads.submit(made, "third")
                with pytest.raises(TimeoutError):
                    third.result(WAITING)
            assert third.result() == 1
        assert same.result() == 1
