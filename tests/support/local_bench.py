"""A folder with a config and feeds, and the local runner pointed at it."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from relay_dagster.local.command import main

NOW = "2026-03-01T12:00:00Z"


class Bench:
    """A folder with a config and feeds, and the runner pointed at it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.out = folder / "out"

    def write(
        self, name: str, content: bytes | str | Mapping[str, Any]
    ) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Mapping):
            content = json.dumps(content)
        path.write_bytes(
            content.encode() if isinstance(content, str) else content
        )
        return path

    def run(
        self, document: Mapping[str, Any] | str, *arguments: str, **feeds: bytes
    ) -> int:
        config = self.write(
            "config.json" if isinstance(document, Mapping) else "c.yaml",
            document,
        )
        named = [
            f"--vendor-file={vendor}={self.write(f'{vendor}.csv', data)}"
            for vendor, data in feeds.items()
        ]
        common = [
            "--config",
            str(config),
            "--output-dir",
            str(self.out),
            "--now",
            NOW,
        ]
        return main([*common, *named, *arguments])

    def tree(self) -> list[str]:
        paths = self.out.rglob("*") if self.out.exists() else []
        return sorted(
            str(path.relative_to(self.out)) for path in paths if path.is_file()
        )

    def report(self, name: str) -> dict[str, Any]:
        return json.loads(
            (self.out / "reports" / f"{name}.json").read_text("utf-8")
        )

    def merged(self) -> list[dict[str, str]]:
        with (self.out / "outputs" / "merged_inventory.csv").open(
            encoding="utf-8"
        ) as file:
            return list(csv.DictReader(file))
