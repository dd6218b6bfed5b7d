"""docs/SUPPLIERS.md: each of its files becomes the feed that is shown below it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from relay_core.config import parse_document
from relay_dagster.local.command import main
from support.local_bench import Bench
from support.pages import PAGES

PAGE = PAGES["docs/SUPPLIERS.md"]
SECTIONS = {
    section.partition("\n")[0]: section for section in PAGE.split("\n## ")
}
EXAMPLES = [name for name, text in SECTIONS.items() if "```csv" in text]


TWO_FILES = "A supplier of two files"


def block(name: str, kind: str) -> str:
    (example,) = re.findall(rf"```{kind}\n(.*?)```", SECTIONS[name], re.DOTALL)
    return str(example)


def document(name: str) -> dict[str, Any]:
    parts = (
        block(section, "yaml") for section in ("Walk through a real file", name)
    )
    first, vendor_part = (parse_document(part, format="yaml") for part in parts)
    return {**first, **vendor_part}


def fed(bench: Bench, config: dict[str, Any], data: bytes) -> str:
    (vendor,) = config["vendors"]
    assert bench.run(config, **{vendor["vendor_id"]: data}) == 0
    return (bench.out / "outputs" / "merged_inventory.csv").read_text("utf-8")


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in EXAMPLES
        if name not in ("Walk through a real file", TWO_FILES)
    ],
)
def test_a_file_of_the_page_becomes_the_feed_beside_it(
    name: str, tmp_path: Path
) -> None:
    feed = fed(Bench(tmp_path), document(name), block(name, "text").encode())
    assert feed == block(name, "csv")


def test_the_real_list_takes_the_proposed_parser(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = Bench(tmp_path)
    name = "Walk through a real file"
    data = block(name, "text").encode("cp1252")
    config = document(name)
    paths = bench.write("tenant.json", config), bench.write("parts.csv", data)
    command = [
        "--check",
        f"--config={paths[0]}",
        f"--vendor-file=parts={paths[1]}",
    ]
    assert main(command) == 1
    printed = capsys.readouterr().out
    assert printed == block(name, "yml")
    parser = parse_document(printed, format="yaml")["vendors"][0]["parser"]
    config["vendors"][0]["parser"] = parser
    bench.write("tenant.json", config)
    assert main(command) == 0
    assert "no problems" in capsys.readouterr().out
    assert fed(bench, config, data) == block(name, "csv")


def test_the_check_proposes_the_path_of_the_records_of_xml(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = Bench(tmp_path)
    name = "XML or a JSON document"
    config = document(name)
    mapped = config["vendors"][0]["parser"]
    config["vendors"][0]["parser"] = {"format": "csv"}
    config_path = bench.write("tenant.json", config)
    feed_path = bench.write("feed.xml", block(name, "text").encode())
    command = [
        "--check",
        f"--config={config_path}",
        f"--vendor-file=fjord_supply={feed_path}",
    ]
    assert main(command) == 1
    printed = parse_document(capsys.readouterr().out, format="yaml")
    parser = printed["vendors"][0]["parser"]
    assert (parser["format"], parser["record"]) == ("xml", mapped["record"])
    for column in ("sku", "title", "quantity_available"):
        assert parser["column_map"][column] == mapped["column_map"][column]


def test_two_files_of_a_supplier_become_the_feed_below_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = SECTIONS[TWO_FILES]
    prices, stock = re.findall(r"```text\n(.*?)```", text, re.DOTALL)
    bench = Bench(tmp_path)
    bench.write("prices.csv", prices.encode())
    bench.write("stock.csv", stock.encode())
    bench.write("tenant.yaml", document(TWO_FILES))
    (command,) = re.findall(r"    relay local (.*)", text)
    monkeypatch.chdir(tmp_path)
    assert main(command.split()) == 0
    feed = (tmp_path / "out" / "outputs" / "merged_inventory.csv").read_text()
    assert feed == block(TWO_FILES, "csv")
    summary = json.loads(
        (tmp_path / "out" / "reports" / "run_summary.json").read_text()
    )
    rows = summary["rows"]["hammer_house"]
    assert (rows["unmatched"], rows["won"]) == (1, 2)
    assert rows["parts"] == {
        "stock": {
            "read": 3,
            "skipped": 0,
            "refused": 0,
            "duplicates": 0,
            "used": 2,
            "unused": 1,
        }
    }


def test_the_page_shows_each_kind_of_list() -> None:
    assert len(EXAMPLES) == 8
