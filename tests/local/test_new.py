"""`relay new`: a config that a run takes, with a reason for each line, whatever the file."""

from __future__ import annotations

import os
import pty
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest
from typer.testing import CliRunner

from data.wrong_files import MISTAKES
from relay_core.config import TenantConfig, load_config, parse_document
from relay_core.config.parser import ParserConfig
from relay_core.domain.formats import OLE2
from relay_core.first_config.comments import OPTION_COMMENTS
from relay_core.samples import sample_feeds
from relay_dagster import cli
from relay_dagster.local.command import main as run_locally
from support.vendor_files import FILES, ROWS, table
from support.workbooks import archive

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = ROOT / "tests" / "data" / "documents"
SEMICOLONS = table(*ROWS, mark=";").encode()
BROKEN: dict[str, bytes] = {
    "nothing": b"",
    "a header alone": b"Item No,Qty,Cost\n",
    "a PDF": b"%PDF-1.7\n",
    "an image": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    "a workbook with a password": (
        OLE2 + "EncryptedPackage".encode("utf-16-le")
    ),
    "half of an archive": archive({"a.csv": SEMICOLONS})[:60],
    "a page": b"<!DOCTYPE html>\n<html><body>Log in, please</body></html>\n",
    "prose": b"Dear customer,\n\nthe new prices come next week.\n",
    "no amounts": b"Item No,Qty,Name\nA1,5,Saw\nB2,7,File\n",
    "a quote that is never closed": (
        b'sku,quantity_available,cost\n"A","1","2"\n"B,1,2\nC,1,2\n'
    ),
    "amounts that the delimiter cuts": (
        b"sku,quantity_available,cost\n"
        b"A1,5,1,234.50\nB2,7,2,345.60\nC3,1,12.00\nD4,2,4,100.10\n"
    ),
}


@dataclass
class Shop:
    """A folder with vendors' files, and `relay new` in it."""

    folder: Path

    def write(self, name: str, data: bytes) -> str:
        path = self.folder / name
        path.write_bytes(data)
        return str(path)

    def new(self, *arguments: str) -> tuple[int, list[str]]:
        """Return the exit status of the command, and its lines."""
        target = ("--output-dir", str(self.folder))
        command = ["new", *arguments, *target]
        result = CliRunner().invoke(cli.app, command)
        assert not isinstance(result.exception, Exception), result.output
        return result.exit_code, result.output.splitlines()

    @property
    def text(self) -> str:
        return (self.folder / "tenant.yaml").read_text("utf-8")

    @property
    def config(self) -> TenantConfig:
        return load_config(parse_document(self.text, format="yaml"))

    def feed(self) -> str:
        path = self.folder / "out" / "outputs" / "merged_inventory.csv"
        return path.read_text("utf-8")


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def run_printed(line: str) -> int:
    """Run the command of a local run, and return its exit status."""
    relay, command, config = shlex.split(line)
    assert (relay, command) == ("relay", "local")
    return run_locally(
        [config, "--output-dir", str(Path(config).parent / "out")]
    )


def uncommented_lines(text: str) -> list[str]:
    """Return the lines of a vendor's parser and of its column map without a comment above."""
    lines = text.splitlines()
    return [
        line
        for above, line in pairwise(lines)
        if re.match(r"(?: {6}| {8})[^ #-]", line) and "#" not in above
    ]


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_any_format_becomes_a_feed(name: str, shop: Shop) -> None:
    data, options = FILES[name]
    status, lines = shop.new(shop.write("acme.list", data))
    assert status == 0
    (vendor,) = shop.config.vendors
    assert vendor.vendor_id == "acme"
    assert vendor.inbound.type == "local"
    document = parse_document(shop.text, format="yaml")["vendors"][0]["parser"]
    assert options.items() <= {"format": "csv", **document}.items()
    assert uncommented_lines(shop.text) == [
        "      type: local",
        "      path: acme.list",
    ]
    assert run_printed(lines[-1]) == 0
    # The price is the cost and 20 % of it.
    assert re.search(r"^B-2,\d+,3\.60,acme,", shop.feed(), flags=re.MULTILINE)


@pytest.mark.parametrize("suffix", ["json", "xml"])
def test_a_document_becomes_a_feed(suffix: str, shop: Shop) -> None:
    data = (DOCUMENTS / f"products.{suffix}").read_bytes()
    status, lines = shop.new(shop.write(f"acme.{suffix}", data))
    assert (status, run_printed(lines[-1])) == (0, 0)
    assert shop.config.vendors[0].parser.format == suffix
    assert "# The path of the records in the document." in shop.text


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_has_a_config_that_says_why_it_fails(
    name: str, shop: Shop
) -> None:
    status, lines = shop.new(shop.write("bad.csv", BROKEN[name]))
    assert status == 1
    assert any(line.startswith("A run would fail: ") for line in lines)
    assert shop.config.vendors[0].vendor_id == "bad"
    assert "# bad.csv: " in shop.text
    assert run_printed(lines[-1]) == 1


def test_a_good_file_beside_a_broken_one_is_described_all_the_same(
    shop: Shop,
) -> None:
    good_file = shop.write("good.csv", SEMICOLONS)
    status, lines = shop.new(shop.write("bad.csv", b"%PDF-1.7\n"), good_file)
    assert (status, run_printed(lines[-1])) == (1, 1)
    bad, good = shop.config.vendors
    assert (bad.vendor_id, good.vendor_id) == ("bad", "good")
    assert "# bad.csv: the file is a PDF. Export it as CSV" in shop.text
    assert good.parser.delimiter == ";"


@pytest.mark.parametrize("name", MISTAKES)
def test_the_exit_status_is_that_of_the_run(name: str, shop: Shop) -> None:
    status, lines = shop.new(shop.write("list.csv", MISTAKES[name][0]))
    assert status == run_printed(lines[-1])


def test_the_files_of_the_samples_become_one_feed(shop: Shop) -> None:
    paths = [
        shop.write(name, data)
        for name, data in sample_feeds("tool_yard").values()
    ]
    status, lines = shop.new(*paths)
    assert (status, run_printed(lines[-1])) == (0, 0)
    assert {vendor.vendor_id for vendor in shop.config.vendors} == set(
        sample_feeds("tool_yard")
    )
    policy = shop.config.error_policy
    # One of 13 rows.
    assert (policy.max_invalid_rows, policy.max_invalid_row_pct) == (
        1,
        Decimal("0.077"),
    )
    assert "# 1 of 13 rows cannot be read, and are left out." in shop.text
    assert "looks like a total" not in shop.text


def test_what_is_assumed_is_said(shop: Shop) -> None:
    _, lines = shop.new(shop.write("acme.csv", SEMICOLONS))
    config = shop.config
    assert (config.tenant_id, config.timezone) == ("my_shop", "UTC")
    assert config.default_currency == "USD"
    assert config.pricing.base_margin_pct == Decimal("0.20")
    output = "\n".join(lines)
    for line in (
        "tenant_id: my_shop. Assumed.",
        "timezone: UTC. Assumed.",
        "default_currency: USD. Assumed; no file names a currency.",
        "base_margin_pct: 0.20. Assumed; no file says it.",
        'sku: "Item No" (',
    ):
        assert line in output


def test_a_header_that_is_only_the_likeliest_is_taken_and_said(
    shop: Shop,
) -> None:
    # Too few of its values differ for a header that the check would propose.
    data = b"SKUS,Cost\n" + b"".join(
        f"{'AB'[n % 2]}-{n % 3},2.50\n".encode() for n in range(60)
    )
    status, lines = shop.new(shop.write("acme.csv", data))
    (vendor,) = shop.config.vendors
    assert vendor.parser.column_map["sku"] == "SKUS"
    assert (status, run_printed(lines[-1])) == (0, 0)
    output = "\n".join(lines)
    assert 'sku: "SKUS". The likeliest header, but not a clear one.' in output
    assert "missing required columns" not in output.lower()


def test_a_currency_of_the_files_is_the_tenant_s(shop: Shop) -> None:
    priced = FILES["currency symbol and thousands"][0]
    shop.new(shop.write("acme.csv", priced))
    assert shop.config.default_currency == "EUR"
    assert (
        "# 1 file names it, beside the amounts or in their header." in shop.text
    )


def test_another_file_is_replaced_only_by_force(shop: Shop) -> None:
    path = shop.write("acme.csv", SEMICOLONS)
    shop.write("tenant.yaml", b"mine")
    status, lines = shop.new(path)
    assert status == 2
    assert "exists. To replace it, add --force." in " ".join(lines)
    assert shop.text == "mine"
    assert shop.new(path, "--force")[0] == 0
    assert shop.config.tenant_id == "my_shop"


def test_a_vendor_s_file_is_never_replaced(shop: Shop) -> None:
    path = shop.write("tenant.yaml", SEMICOLONS)
    status, _ = shop.new(path, "--force")
    assert status == 2
    assert shop.text.encode() == SEMICOLONS


@pytest.mark.parametrize(
    ("name", "told"),
    [("gone.csv", "No such file"), ("", "Is a directory")],
)
def test_a_file_that_cannot_be_read_is_bad_usage(
    name: str, told: str, shop: Shop
) -> None:
    status, lines = shop.new(str(shop.folder / name))
    assert status == 2
    assert told in " ".join(lines)
    assert not (shop.folder / "tenant.yaml").exists()


def test_the_folder_is_made(shop: Shop) -> None:
    path = shop.write("acme.csv", SEMICOLONS)
    shop.folder = shop.folder / "a" / "b"
    assert shop.new(path)[0] == 0
    assert shop.config.vendors[0].vendor_id == "acme"


def test_every_option_of_a_parser_has_its_reason() -> None:
    assert set(ParserConfig.model_fields) == set(OPTION_COMMENTS)


def test_at_a_terminal_it_asks(shop: Shop) -> None:
    rows = b"".join(f"A{n},40{n},5,2.50\n".encode() for n in range(1000, 1020))
    path = shop.write("acme.csv", b"Item No,EAN,Qty,Cost\n" + rows)
    asker, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "relay_dagster.cli", "new", path],
        cwd=shop.folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    output = b""
    answers = [b"EAN\n", b"chf\n", b"50%\n"]
    while True:
        try:
            output += os.read(asker, 4096)
        except OSError:
            # The other side is closed: the command has ended.
            break
        if output.count(b"]:") > 3 - len(answers):
            os.write(asker, answers.pop(0))
    os.close(asker)
    assert process.wait(timeout=30) == 0, output
    config = shop.config
    assert config.vendors[0].parser.column_map["sku"] == "EAN"
    assert config.default_currency == "CHF"
    assert config.pricing.base_margin_pct == Decimal("0.50")
    assert shop.text.count("Your answer.") == 3
