"""Chunks of bytes read as a file."""

import hashlib

import pytest

from relay_dagster.aws.chunk_reader import ChunkReader

CHUNKS = (b"abc", b"", memoryview(b"defgh"), b"i")
WHOLE = b"abcdefghi"


@pytest.mark.parametrize("size", [1, 2, 3, 4, 8, 9, 100])
def test_what_is_read_in_pieces_is_what_came_in_chunks(size: int) -> None:
    reader = ChunkReader(CHUNKS)
    pieces = []
    while piece := reader.read(size):
        pieces.append(piece)
    assert b"".join(pieces) == WHOLE
    assert {len(piece) for piece in pieces[:-1]} <= {size}


@pytest.mark.parametrize("size", [-1, None])
def test_without_a_size_all_that_is_left_is_read(size: int | None) -> None:
    reader = ChunkReader(CHUNKS)
    reader.read(4)
    assert reader.read(size) == b"efghi"


def test_size_and_hash_are_of_what_was_read() -> None:
    reader = ChunkReader(CHUNKS)
    assert reader.written().size == 0
    reader.read()
    assert reader.written().size == len(WHOLE)
    assert reader.written().sha256 == hashlib.sha256(WHOLE).hexdigest()


def test_a_look_ahead_takes_nothing_away() -> None:
    reader = ChunkReader(CHUNKS)
    assert reader.is_longer_than(8)
    assert not reader.is_longer_than(9)
    assert reader.read() == WHOLE
