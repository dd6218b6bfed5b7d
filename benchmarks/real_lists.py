"""The real price lists with number formats, made larger: each list again and again.

The lists are in a folder outside of this project, and `scripts/real_feeds.py` names their files.
Run as a program it writes one tenant's lists: ``python -m benchmarks.real_lists TENANT``.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.sitting import ROOT

sys.path.insert(0, str(ROOT / "scripts"))

from real_feeds import CONFIGS, TENANTS

LISTS = {
    "aurora_health": "thousands in quotes",
    "uc_davis": "dollar signs, thousands",
    "vinmonopolet": "decimal commas, semicolons, Windows-1252",
}
"""What numbers look like, by the tenant whose lists have them."""
_QUOTINGS: tuple[Any, ...] = (csv.QUOTE_MINIMAL, csv.QUOTE_NONE)


@dataclass(frozen=True)
class Written:
    """The lists of a tenant: how many times they are repeated, their rows, and their bytes."""

    times: int
    rows: int
    size: int


def main() -> None:
    """Write one tenant's lists and its config, and print their size as JSON."""
    options = argparse.ArgumentParser(description=main.__doc__)
    options.add_argument("tenant", choices=LISTS)
    options.add_argument("feeds", type=Path)
    options.add_argument("rows", type=int)
    options.add_argument("folder", type=Path)
    chosen = options.parse_args()
    written = write_lists(
        chosen.tenant, chosen.feeds, chosen.rows, chosen.folder
    )
    print(json.dumps(vars(written)))


def write_lists(tenant: str, feeds: Path, rows: int, folder: Path) -> Written:
    """Write a tenant's lists with about `rows` rows together, and its config.

    Raises:
        ValueError: A list has a dialect that the `csv` module does not write.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = yaml.safe_load((CONFIGS / f"{tenant}.yaml").read_text("utf-8"))
    lists = {
        vendor["vendor_id"]: _PriceList.read(
            feeds / TENANTS[tenant][vendor["vendor_id"]], vendor["parser"]
        )
        for vendor in config["vendors"]
    }
    once = sum(len(price_list.records) for price_list in lists.values())
    times = max(1, round(rows / once))
    size = 0
    for vendor_id, price_list in lists.items():
        path = folder / f"{vendor_id}.csv"
        price_list.write(path, times)
        size += path.stat().st_size
    if "error_policy" in config:
        config["error_policy"]["max_invalid_rows"] *= times
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    return Written(times, once * times, size)


@dataclass(frozen=True)
class _PriceList:
    """The header and the records of a list, and how it is written."""

    header: Sequence[str]
    records: Sequence[Sequence[str]]
    sku: int
    encoding: str
    dialect: dict[str, Any]

    @classmethod
    def read(cls, path: Path, parser: dict[str, Any]) -> _PriceList:
        """Read a list, and find the dialect in which it is written byte for byte.

        Raises:
            ValueError: There is none.
        """
        encoding = parser.get("encoding", "utf-8")
        text = path.read_bytes().decode(encoding)
        for quoting in _QUOTINGS:
            dialect = {
                "delimiter": parser.get("delimiter", ","),
                "quoting": quoting,
                "quotechar": None if quoting == csv.QUOTE_NONE else '"',
                "lineterminator": "\r\n" if "\r\n" in text else "\n",
            }
            lines = io.StringIO(text, newline="")
            header, *records = csv.reader(lines, **dialect)
            names = [name.strip() for name in header]
            sku = names.index(parser["column_map"]["sku"])
            price_list = cls(header, records, sku, encoding, dialect)
            again = io.StringIO(newline="")
            csv.writer(again, **dialect).writerows([header, *records])
            if again.getvalue() == text:
                return price_list
        raise ValueError(f"{path}: unknown dialect")

    def write(self, path: Path, times: int) -> None:
        """Write the records `times` times, each time with other SKUs."""
        with path.open("w", encoding=self.encoding, newline="") as file:
            lines = csv.writer(file, **self.dialect)
            lines.writerow(self.header)
            for number in range(times):
                lines.writerows(self._numbered(number))

    def _numbered(self, number: int) -> Iterator[Sequence[str]]:
        if number == 0:
            yield from self.records
            return
        for record in self.records:
            cells = [*record]
            cells[self.sku] = f"{record[self.sku]}/{number}"
            yield cells


if __name__ == "__main__":
    main()
