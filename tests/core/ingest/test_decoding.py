"""Feeds of any encoding become UTF-8 a piece at a time, and a bad byte is found where it is."""

from __future__ import annotations

import tracemalloc
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_core.domain.errors import FeedUnreadableError
from relay_core.ingest import feed as feed_module
from relay_core.ingest.feed import decode_feed

ENCODINGS = [
    "utf-16",
    "utf-16-le",
    "utf-32",
    "utf-8-sig",
    "utf-7",
    "shift_jis",
    "gb18030",
]


@given(
    st.text("aé€日😀+-\n", max_size=12),
    st.sampled_from(ENCODINGS),
    st.integers(1, 5),
)
def test_a_text_is_the_same_wherever_its_pieces_end(
    text: str, encoding: str, piece: int
) -> None:
    data = text.encode(encoding, "ignore")

    with mock.patch.object(feed_module, "_PIECE_BYTES", piece):
        decoded = bytes(decode_feed(data, encoding)).decode()

    assert decoded == data.decode(encoding).removeprefix("\ufeff")


@given(
    st.binary(max_size=8) | st.text("aé€日😀", max_size=6).map(str.encode),
    st.binary(max_size=3),
    st.integers(1, 5),
)
def test_utf_8_is_judged_the_same_wherever_its_pieces_end(
    text: bytes, end: bytes, piece: int
) -> None:
    data = text + end
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        offset: int | None = error.start
    else:
        offset = None

    with mock.patch.object(feed_module, "_CHECKED_BYTES", piece):
        if offset is None:
            decode_feed(data, "utf-8")
            return
        with pytest.raises(
            FeedUnreadableError, match=f"at byte offset {offset} "
        ):
            decode_feed(data, "utf-8")


@pytest.mark.parametrize(
    ("encoding", "data", "offset"),
    [
        ("cp1252", b"abcdefg\x81h", 7),
        ("utf-16-le", "abc".encode("utf-16-le") + b"\x00\xdcd\x00", 6),
        ("utf-16-le", "abcd".encode("utf-16-le") + b"e", 8),
        ("shift_jis", "日日日".encode("shift_jis") + b"\xff", 6),
        ("utf-8", b"abcdefg\xffh", 7),
    ],
)
@pytest.mark.parametrize("piece", [1, 3, 1 << 20])
def test_a_byte_that_is_not_in_the_encoding_is_found_in_any_piece(
    encoding: str, data: bytes, offset: int, piece: int
) -> None:
    with (
        mock.patch.object(feed_module, "_PIECE_BYTES", piece),
        pytest.raises(FeedUnreadableError, match=f"at byte offset {offset} "),
    ):
        decode_feed(data, encoding)


@pytest.mark.parametrize(
    ("encoding", "wide"),
    [("cp1252", "€"), ("utf-16", "😀")],
    ids=["cp1252", "utf-16"],
)
def test_one_wide_character_does_not_make_a_text_of_wide_ones_of_a_whole_feed(
    encoding: str, wide: str
) -> None:
    data = (wide + "sku,quantity\n" * 500_000).encode(encoding)
    tracemalloc.start()
    try:
        decode_feed(data, encoding)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 2 * len(data)
