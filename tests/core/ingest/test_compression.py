"""The layer that comes off an upload: what is in it, and what is wrong with it."""

from __future__ import annotations

import gzip
import io
import random
import zipfile
import zlib
from collections.abc import Iterator

import pytest

from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.limits import DEFAULT_LIMITS, Limits
from relay_core.ingest.compression import pieces, unpack

TEXT = b"sku,quantity_available\n" * 1000
GZIP = gzip.compress(TEXT, mtime=0)


def archive(
    files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED
) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as file:
        for name, data in files.items():
            file.writestr(name, data)
    return packed.getvalue()


def changed(data: bytes, mark: bytes, offset: int, value: int) -> bytes:
    """Return an archive with a byte of each header of a kind set."""
    damaged = bytearray(data)
    damaged[damaged.index(mark) + offset] = value
    return bytes(damaged)


ZIP = archive({"feed.csv": TEXT})


@pytest.mark.parametrize(
    "data",
    [
        TEXT,
        GZIP,
        b"".join(
            gzip.compress(part, mtime=0)
            for part in (TEXT[:700], b"", TEXT[700:])
        ),
        GZIP + bytes(5000),
        ZIP,
        archive({"../../evil.csv": TEXT}),
        archive(
            {
                "folder/": b"",
                "__MACOSX/._feed.csv": b"x",
                "a/.hidden": b"x",
                "a/feed": TEXT,
            }
        ),
        archive({"feed.csv": TEXT}, zipfile.ZIP_STORED),
        archive({"feed.csv": TEXT}, zipfile.ZIP_LZMA),
    ],
)
def test_one_layer_comes_off_by_the_first_bytes(data: bytes) -> None:
    assert bytes(unpack(data, "auto", DEFAULT_LIMITS)) == TEXT


def member_by_member(data: bytes) -> bytes | None:
    """Return what gzip's members hold, None where they are damaged: slowly and plainly."""
    unpacked = b""
    remaining = data
    while remaining:
        if remaining is not data and not remaining.strip(b"\0"):
            return unpacked
        member = zlib.decompressobj(wbits=31)
        try:
            unpacked += member.decompress(remaining)
        except zlib.error:
            return None
        if not member.eof:
            return None
        remaining = member.unused_data
    return unpacked


def ends_of_gzip() -> Iterator[bytes]:
    """Yield files of a few members with what may stand at their end: all sorts of zeros, too."""
    lucky = random.Random(1)
    texts = (b"", b"hello", bytes(70_000), bytes(range(256)) * 300, b"z" * 256)
    members = [
        gzip.compress(text, level, mtime=0)
        for text in texts
        for level in (0, 9)
    ]
    for _ in range(400):
        data = b"".join(lucky.choices(members, k=lucky.randint(1, 4)))
        yield data + bytes(lucky.choice((1, 2, 8, 9, 10, 11, 12, 500)))
        yield data[: -lucky.randint(1, 12)] + bytes(lucky.randint(0, 13))
        yield data + bytes(
            lucky.choices((0, 0, 0, 31, 62, 139, 8), k=lucky.randint(1, 4))
        )


def test_what_stands_behind_the_members_is_told_from_their_own_zeros() -> None:
    for data in ends_of_gzip():
        try:
            unpacked: bytes | None = bytes(unpack(data, "gzip", DEFAULT_LIMITS))
        except FeedUnreadableError:
            unpacked = None
        assert unpacked == member_by_member(data)


def test_zeros_behind_a_gzip_are_gone_through_a_piece_at_a_time() -> None:
    assert bytes(unpack(GZIP + bytes(3 << 20), "gzip", DEFAULT_LIMITS)) == TEXT
    with pytest.raises(FeedUnreadableError, match="cannot be unpacked as gzip"):
        unpack(
            GZIP + bytes(3 << 20) + b"x" + bytes(3 << 20),
            "gzip",
            DEFAULT_LIMITS,
        )


def test_no_more_than_one_layer_comes_off() -> None:
    assert (
        bytes(unpack(gzip.compress(GZIP, mtime=0), "gzip", DEFAULT_LIMITS))
        == GZIP
    )
    assert bytes(unpack(GZIP, "none", DEFAULT_LIMITS)) == GZIP


@pytest.mark.parametrize(
    ("data", "compression"),
    [
        (GZIP[:-4], "auto"),
        (GZIP[:20], "auto"),
        (GZIP[:3], "auto"),
        (GZIP + b"x", "auto"),
        (GZIP + bytes(3) + b"x", "auto"),
        (GZIP[:-8] + b"badcrc!!", "auto"),
        (TEXT, "gzip"),
        (bytes(10), "gzip"),
        (TEXT, "zip"),
        (GZIP, "zip"),
        (ZIP[:-30], "auto"),
        (changed(ZIP, b"PK\x03\x04", 60, 255), "auto"),
        (changed(ZIP, b"PK\x01\x02", 16, 1), "auto"),
    ],
)
def test_what_is_damaged_or_something_else_is_a_decode_error(
    data: bytes, compression: str
) -> None:
    with pytest.raises(FeedUnreadableError) as caught:
        unpack(data, compression, DEFAULT_LIMITS)
    assert caught.value.error_code == "DECODE_ERROR"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (archive({"a.csv": TEXT, "b.csv": TEXT}), "contains 2 files"),
        (archive({"a.zip": ZIP, "b.zip": ZIP}), "contains 2 files"),
        (archive({}), "contains no file"),
        (archive({"folder/": b""}), "contains no file"),
        (changed(ZIP, b"PK\x01\x02", 8, 1), "encrypted"),
        (
            changed(changed(ZIP, b"PK\x01\x02", 10, 99), b"PK\x03\x04", 8, 99),
            "unknown method",
        ),
    ],
)
def test_an_archive_of_other_than_one_readable_file_is_refused(
    data: bytes, message: str
) -> None:
    with pytest.raises(FeedUnreadableError, match=message) as caught:
        unpack(data, "zip", DEFAULT_LIMITS)
    assert caught.value.error_code == "invalid_input"


@pytest.mark.parametrize("data", [GZIP, ZIP])
def test_what_comes_out_is_counted(data: bytes) -> None:
    unpack(data, "auto", Limits(feed_bytes=len(TEXT)))
    with pytest.raises(
        FeedUnreadableError, match=f"more than {len(TEXT) - 1} bytes"
    ) as caught:
        unpack(data, "auto", Limits(feed_bytes=len(TEXT) - 1))
    assert caught.value.error_code == "feed_too_large"


def test_a_bomb_is_unpacked_no_further_than_its_limit() -> None:
    packer = zlib.compressobj(9, wbits=31)
    bomb = (
        b"".join(packer.compress(bytes(1 << 20)) for _ in range(256))
        + packer.flush()
    )
    with pytest.raises(
        FeedUnreadableError, match="unpacked file has more than 1000000 bytes"
    ):
        unpack(bomb, "auto", Limits(feed_bytes=1_000_000))


def test_an_archive_that_lists_too_many_files_is_not_read() -> None:
    listed = b"PK\x01\x02" + bytes(42)
    end = (
        b"PK\x05\x06"
        + bytes(4)
        + b"\xff\xff\xff\xff"
        + (20 << 20).to_bytes(4, "little")
        + bytes(6)
    )
    with pytest.raises(FeedUnreadableError, match="too many files") as caught:
        unpack(
            ZIP[:4] + listed * ((20 << 20) // 46 + 1) + end,
            "zip",
            DEFAULT_LIMITS,
        )
    assert caught.value.error_code == "invalid_input"


def test_members_are_read_once_although_zero_bytes_come_behind_them() -> None:
    members = [bytes([65 + number]) * 700_000 for number in range(5)]
    packed = b"".join(gzip.compress(member) for member in [*members, b""])

    unpacked = [
        list(pieces(packed + padding, "gzip")) for padding in (b"", bytes(9))
    ]

    assert b"".join(unpacked[0]) == b"".join(members)
    assert unpacked[1] == unpacked[0]
    assert [len(piece) for piece in unpacked[0]] == [*[1 << 20] * 3, 354_272]


def test_a_zlib_stream_behind_a_member_is_refused() -> None:
    """Arrow's reader of gzip files would take it for another member."""
    packed = GZIP + zlib.compress(TEXT)

    with pytest.raises(FeedUnreadableError) as caught:
        unpack(packed, "gzip", DEFAULT_LIMITS)

    assert caught.value.error_code == "DECODE_ERROR"
