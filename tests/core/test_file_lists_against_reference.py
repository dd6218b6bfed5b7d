"""Vendors of several files: the engine against the plain second writing, over seeds."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from reference_file_lists import File, TroubleError, combine
from relay_core.kernel import compiled
from support.file_lists import ListRun, NamedFile, part, run_files

CHANGES = {"full": "full*", "delta": "delta*"}
COLUMNS = ("sku", "vendor_sku", "quantity_available", "cost", "title", "shelf")
SKUS = [*"abcdefgh", "ä", "é", "zz"]


def random_text(
    random: Random, columns: list[str], rows: int, deletes: bool
) -> bytes:
    """Return a file whose rows are valid, mostly."""
    header = [*columns, "act"] if deletes else columns
    lines = [",".join(header)]
    for _ in range(rows):
        cells = []
        for column in columns:
            cell = {
                "sku": random.choice([*SKUS, *SKUS, ""]),
                "vendor_sku": random.choice([*SKUS, "", "x1"]),
                "quantity_available": random.choice(
                    ["1", "7", "2147483647", "12", "x", ""][
                        : random.choice([4, 6])
                    ]
                ),
                "cost": random.choice(["1", "20", "300", "", "bad"]),
                "title": random.choice(["T", "U", "", "V, W"]),
                "shelf": random.choice([*SKUS, ""]),
            }[column]
            cells.append(f'"{cell}"' if "," in cell else cell)
        if deletes:
            cells.append(random.choice(["", "", "D"]))
        if random.random() < 0.05:
            cells.append("more")
        if random.random() < 0.03:
            cells = cells[:1]
        lines.append(",".join(cells))
    return "".join(f"{line}\n" for line in lines).encode()


def random_vendor(
    random: Random,
) -> tuple[dict[str, Any], list[File], dict[str, str] | None]:
    """Return a vendor's options, its files, and its SKU map."""
    parts, filled_columns = random_parts(random)
    vendor: dict[str, Any] = {
        "parts": parts,
        "duplicate_skus": random.choice(["first", "last", "sum", "refuse"]),
    }
    for section in (vendor, *parts):
        if random.random() < 0.5:
            section["changes"] = dict(CHANGES)
            if random.random() < 0.5:
                section["changes"]["deleted"] = {"column": "act", "is": ["d"]}
    if not parts and "changes" not in vendor:
        vendor["changes"] = dict(CHANGES)
    files = [
        file
        for section in (vendor, *parts)
        for file in random_files(random, section, filled_columns)
    ]
    sku_map = None
    if random.random() < 0.4:
        sku_map = {"a": "b", "c": "c2", "zz": "zy", "ä": "a"}
    return vendor, files, sku_map


def random_parts(random: Random) -> tuple[list[dict[str, Any]], list[str]]:
    """Return up to three parts, and the columns that some of them give."""
    givable = ["quantity_available", "cost", "title", "shelf", "vendor_sku"]
    random.shuffle(givable)
    parts: list[dict[str, Any]] = []
    filled_columns: list[str] = []
    for number in range(random.randint(0, 3)):
        if random.random() < 0.35:
            parts.append(part(f"p{number}", gives="rows"))
            continue
        gives = [
            givable.pop() for _ in range(random.choice([1, 1, 2])) if givable
        ]
        if gives:
            filled_columns += gives
            parts.append(part(f"p{number}", gives=gives))
    keys = [
        name
        for name in ("sku", "vendor_sku", "shelf")
        if name not in filled_columns
    ]
    for options in parts:
        if options["gives"] != "rows":
            choose_match(random, options, keys)
    return parts, filled_columns


def choose_match(
    random: Random, options: dict[str, Any], keys: list[str]
) -> None:
    """Choose how the rows of a part that gives columns are matched."""
    options["key"] = random.choice(keys)
    options["unmatched"] = random.choice(["leave_out", None])
    policies = ["first", "last", "refuse"]
    if "quantity_available" in options["gives"]:
        policies.append("sum")
    elif options["unmatched"] is None:
        options["required"] = random.choice([True, False])
    options["duplicate_skus"] = random.choice(policies)


def random_files(
    random: Random, section: dict[str, Any], filled_columns: list[str]
) -> list[File]:
    """Return the files of a vendor or of a part: one, or one with changes to it."""
    columns = (
        ["sku", *section["gives"]]
        if isinstance(section.get("gives"), list)
        else [name for name in COLUMNS if name not in filled_columns]
    )
    changes = section.get("changes")
    deletes = bool(changes and "deleted" in changes)
    files = []
    for number in range(random.randint(1, 4) if changes else 1):
        rows = random.randint(0 if number else 1, 9)
        has_act = deletes and (number > 0 or random.random() < 0.5)
        name = f"{section.get('part_id', 'base')}-{number}.csv"
        kind = "delta" if number else "full"
        text = random_text(random, columns, rows, has_act)
        files.append(File(name, section.get("part_id"), kind, text))
    return files


def check_trouble(run: ListRun, code: str) -> None:
    assert run.findings.failure is not None
    assert run.findings.failure.error_code == code
    assert "acme" not in run.findings.rows
    assert run.findings.counts()["total_rows"] == 0


SEEDS = range(40)


def check(seed: int) -> None:
    random = Random(seed)
    vendor, files, sku_map = random_vendor(random)
    map_file = None
    if sku_map is not None:
        lines = [f"{mapped},{sku}\n" for mapped, sku in sku_map.items()]
        map_file = ("vendor_sku,sku\n" + "".join(lines)).encode()
    run = run_files(
        [NamedFile(f.name, f.text, f.part, f.kind) for f in files],  # type: ignore[arg-type]
        sku_map=map_file,
        **vendor,
    )
    try:
        expected = combine(files, vendor, sku_map)
    except TroubleError as trouble:
        check_trouble(run, str(trouble))
        return
    assert [tuple(row[name] for name in COLUMNS) for row in run.rows] == [
        tuple(
            "" if row.cells[name] is None else str(row.cells[name])
            for name in COLUMNS
        )
        for row in expected.rows
    ]
    assert run.rejected == expected.refused
    counts = run.counts
    assert {name: counts[name] for name in expected.base} == expected.base
    if vendor["parts"]:
        assert counts["parts"] == expected.parts
    assert ("unmatched" in counts) is ("unmatched" in expected.base)
    assert ("replaced" in counts) is ("replaced" in expected.base)
    assert run.findings.counts()["total_rows"] == expected.total_rows
    assert run.findings.valid_rows() == {"acme": len(expected.rows)}
    codes = [warning.error_code for warning in run.findings.warnings]
    assert codes.count("PART_LEFT_OUT") == len(expected.left_out)
    if counts["won"] is not None:
        parts_of_sum = {
            name: count
            for name, count in counts.items()
            if name not in ("read", "parts")
        }
        assert sum(parts_of_sum.values()) == counts["read"]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_engine_does_what_the_plain_writing_does(seed: int) -> None:
    check(seed)


@pytest.mark.parametrize("seed", range(40, 60))
def test_without_the_kernel_it_is_the_same(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "is_used", lambda: False)
    check(seed)
