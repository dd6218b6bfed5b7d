"""The files of a local run are written two at a time."""

from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest

from relay_core.library.sinks import FolderSink

SECONDS = 20


def test_two_files_are_written_beside_each_other(tmp_path: Path) -> None:
    has_begun = Event()

    def first() -> Iterator[bytes]:
        yield b"a"
        assert has_begun.wait(SECONDS), "the second file waits for the first"

    def second() -> Iterator[bytes]:
        has_begun.set()
        yield b"b"

    with FolderSink(tmp_path) as sink:
        sink.write("outputs/first", first())
        sink.write("published/second", second())
        sink.wait()

    assert (tmp_path / "outputs/first").read_bytes() == b"a"
    assert (tmp_path / "published/second").read_bytes() == b"b"


def test_a_third_file_waits_for_the_first(tmp_path: Path) -> None:
    written: list[str] = []

    def file(name: str) -> Iterator[bytes]:
        yield b""
        written.append(name)

    with FolderSink(tmp_path) as sink:
        for name in ("first", "second", "third"):
            sink.write(name, file(name))
            if name == "third":
                assert "first" in written
        sink.wait()

    assert sorted(written) == ["first", "second", "third"]


def test_the_error_of_any_file_is_raised(tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield b""
        raise OSError("no space left")

    with FolderSink(tmp_path) as sink:
        sink.write("first", broken())
        sink.write("second", [b"b"])
        with pytest.raises(OSError, match="no space"):
            sink.wait()
        sink.drain()
        sink.wait()

    assert (tmp_path / "second").read_bytes() == b"b"
