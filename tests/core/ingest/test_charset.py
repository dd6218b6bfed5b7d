from __future__ import annotations

import pytest

from relay_core.ingest.charset import guess_encoding, likely_encodings

TEXT = "sku;titel\nA-1;Größe • 5 €\n"


@pytest.mark.parametrize(
    ("data", "configured", "guess"),
    [
        (TEXT.encode(), "utf-8", "utf-8"),
        (TEXT.encode("cp1252"), "utf-8", "cp1252"),
        (TEXT.encode("utf-16"), "utf-8", "utf-16"),
        ("sku\tqty\n".encode("utf-16-le"), "utf-8", "utf-16-le"),
        ("sku\tqty\n".encode("utf-16-be"), "cp1252", "utf-16-be"),
        (TEXT.encode(), "cp1252", "utf-8"),
        (TEXT.encode("cp1252"), "latin-1", "cp1252"),
        (TEXT.encode("cp1252"), "cp1250", "cp1250"),
        ("品名,数\n".encode("shift_jis"), "shift_jis", "shift_jis"),
        ("sku,品名\n".encode("iso2022_jp"), "iso2022_jp", "iso2022_jp"),
        ("sku,größe\n".encode("utf-7"), "utf-7", "utf-7"),
        (b"sku,qty,", "utf-16", "utf-8"),
        (b"plain", "latin-1", "latin-1"),
        (bytes(range(256)) * 9, "utf-8", None),
    ],
)
def test_the_configured_encoding_stays_unless_the_bytes_speak_against_it(
    data: bytes, configured: str, guess: str | None
) -> None:
    assert guess_encoding(data, configured, is_whole=True) == guess


def test_a_character_cut_at_the_end_of_a_head_speaks_against_nothing() -> None:
    data = TEXT.encode()[:-2]
    assert guess_encoding(data, "utf-8", is_whole=False) == "utf-8"


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_the_first_bytes_that_are_not_ascii_tell_however_late_they_come(
    encoding: str,
) -> None:
    data = b"A,1\n" * 50_000 + TEXT.encode(encoding)
    assert guess_encoding(data, "ascii", is_whole=True) == encoding
    assert likely_encodings(data)[0] == encoding
