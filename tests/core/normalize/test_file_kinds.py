"""Files that are no list: which kind each is, and that check and run say the same of it."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from data.wrong_files import FILES, MISTAKES, PACKED
from relay_core.domain.errors import FeedUnreadableError
from relay_core.normalize.file_kinds import kind_of
from relay_core.onboarding.feed_check import check_feed
from relay_core.onboarding.feed_sample import FeedSample
from support.builders import (
    config_document,
    feed,
    tenant_config,
    vendor_document,
)
from support.local_bench import Bench
from support.workbooks import archive, text_row, workbook

LISTS = {
    "a list": feed("A,1,2.00"),
    "a list that begins with a tag": b"<sku>,quantity_available\nA,1\n",
    "a list in brackets": b"[sku],quantity_available\nA,1\n",
    "a list whose first name begins with BM": b"BMW part,quantity_available\nA,1\n",
    "text": b"sku\nA\n",
    "nothing": b"",
}


@pytest.mark.parametrize("name", [*FILES, *PACKED])
def test_a_file_that_is_no_list_is_told_by_its_bytes(name: str) -> None:
    data, explanation = {**FILES, **PACKED}[name]
    assert explanation in str(kind_of(data, "csv"))


@pytest.mark.parametrize("format", ["xlsx", "xls", "ods"])
def test_an_archive_is_told_where_a_workbook_is_wanted(format: str) -> None:
    assert "an archive (zip)" in str(
        kind_of(archive({"a.csv": feed(), "b.csv": feed()}), format)
    )
    assert "an archive (gzip)" in str(kind_of(gzip.compress(feed()), format))


@pytest.mark.parametrize(
    "packed",
    [gzip.compress(feed()), archive({"a.csv": feed()})],
    ids=["gzip", "zip"],
)
def test_an_archive_is_told_where_compression_is_off(
    packed: bytes, tmp_path: Path
) -> None:
    bench = Bench(tmp_path)
    parser = {"compression": "none"}
    assert (
        bench.run(
            config_document(vendor_document(parser=parser)), vendor_1=packed
        )
        == 1
    )
    assert "the file is an archive (" in bench.report("errors")["error_message"]


def test_a_workbook_that_is_cut_short_is_of_no_other_kind() -> None:
    assert kind_of(workbook(text_row(1, "sku"))[:400], "xlsx") is None


@pytest.mark.parametrize("name", LISTS)
def test_a_list_is_of_no_other_kind(name: str) -> None:
    assert kind_of(LISTS[name], "csv") is None


@pytest.mark.parametrize("name", [*FILES, *PACKED])
def test_a_run_says_it_and_neither_an_encoding_nor_a_header(
    name: str, tmp_path: Path
) -> None:
    data, explanation = {**FILES, **PACKED}[name]
    bench = Bench(tmp_path)
    assert bench.run(config_document(), vendor_1=data) == 1
    message = (
        bench.report("run_summary")["error_code"],
        bench.report("errors")["error_message"],
    )
    assert explanation in message[1]
    assert "encodings" not in message[1]
    assert "nearest" not in message[1]


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, (_, explanation) in FILES.items()
        if "Set" not in explanation
    ],
)
def test_a_check_says_it_and_proposes_nothing(name: str) -> None:
    data, explanation = FILES[name]
    config = tenant_config()
    with pytest.raises(FeedUnreadableError) as refused:
        check_feed(
            FeedSample(data, is_whole=True), config.vendors[0].parser, config
        )
    assert explanation in str(refused.value)


@pytest.mark.parametrize("name", MISTAKES)
def test_check_and_run_both_say_what_is_wrong_with_a_list(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, checked, code, words = MISTAKES[name]
    bench = Bench(tmp_path)
    assert bench.run(config_document(), "--check", vendor_1=data) == 1
    assert checked in capsys.readouterr().out
    assert bench.run(config_document(), vendor_1=data) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"{code}: ")
    assert words in last


def test_the_table_has_forty_wrong_files_and_more() -> None:
    assert len({*FILES, *PACKED, *MISTAKES}) >= 40
