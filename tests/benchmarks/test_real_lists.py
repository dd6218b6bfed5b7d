"""Price lists with number formats: repeated, and read by the engine and by Polars alike."""

from __future__ import annotations

import csv
import importlib
import io
import re
from pathlib import Path

import pytest

from benchmarks.contenders.polars_lists import run as run_polars
from benchmarks.lists_bench import main
from benchmarks.real_lists import LISTS, write_lists
from real_feeds import TENANTS

ROWS = 1_100  # a list's rows; one of them may be rejected


def hospital_list(number: int) -> bytes:
    """Return a list with thousands in quotes, and in one list a price that is a word."""
    file = io.StringIO(newline="")
    lines = csv.writer(file)
    lines.writerow(["Facility", "CC", "CC Description", "1/1/19 Fee"])
    for row in range(ROWS):
        fee = f"{(row * 37 + number) % 5_000 + 0.25:,.2f}"
        if row == ROWS - 1 and number == 1:
            fee = "VARIABLE"
        lines.writerow(["BAY", f"1000{row}", f"ROOM, {row}", fee])
    return file.getvalue().encode("ascii")


def charge_list() -> bytes:
    """Return a list with headers of two lines, dollar signs, and blanks."""
    file = io.StringIO(newline="")
    lines = csv.writer(file)
    lines.writerow(
        [
            *("Category", "Charge Code", "Charge Description", "CPT"),
            *(" Inpatient \nPrice ", " Outpatient \nPrice "),
        ]
    )
    for row in range(ROWS):
        price = f"${row * 31 + 1.5:,.2f} "
        lines.writerow(
            ["Other", f"CC#{row}", "HC, X ", "", price, price if row else ""]
        )
    return file.getvalue().encode("ascii")


def wine_list(first: int) -> bytes:
    """Return a list with decimal commas, one local time, and quotes that are letters."""
    header = ["Datotid", "Varenummer", "Varenavn", "Pris", "Produsent"]
    lines = [header]
    for row in range(first, first + 20):
        time = "2015-05-13T00:21:38" if row == first else ""
        lines.append(
            [time, str(row), 'Løiten "Linie"." 1', f"{row},9", "Arcus, AS"]
        )
    return "".join(";".join(cells) + "\r\n" for cells in lines).encode("cp1252")


@pytest.fixture(scope="module")
def feeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("feeds")
    hospitals = TENANTS["aurora_health"].values()
    wines = TENANTS["vinmonopolet"].values()
    files = {
        **{name: hospital_list(n) for n, name in enumerate(hospitals)},
        **dict.fromkeys(TENANTS["uc_davis"].values(), charge_list()),
        **{name: wine_list(20 * n + 1) for n, name in enumerate(wines)},
    }
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    return folder


def test_a_list_is_repeated_in_its_own_dialect_with_other_skus(
    feeds: Path, tmp_path: Path
) -> None:
    written = write_lists("vinmonopolet", feeds, 120, tmp_path)

    name = TENANTS["vinmonopolet"]["second_chunk"]
    original = (feeds / name).read_bytes()
    repeated = (tmp_path / "second_chunk.csv").read_bytes()
    _, *records = original.splitlines(keepends=True)
    again = [record.replace(b";", b"%b;", 2) for record in records]
    assert (written.times, written.rows) == (3, 120)
    assert repeated == original + b"".join(
        record.replace(b"%b", b"", 1).replace(b"%b", suffix, 1)
        for suffix in (b"/1", b"/2")
        for record in again
    )


def test_a_list_that_would_not_stay_as_it_is_is_not_repeated(
    feeds: Path, tmp_path: Path
) -> None:
    data = charge_list().replace(b"Other,", b'"Other",')
    name = TENANTS["uc_davis"]["uc_davis"]
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ValueError, match="unknown dialect"):
        write_lists("uc_davis", tmp_path, 10, tmp_path / "written")


@pytest.mark.parametrize("tenant", LISTS)
def test_polars_writes_the_same_bytes_as_the_engine(
    tenant: str, feeds: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "lists"
    write_lists(tenant, feeds, 6_600, folder)
    outs = tmp_path / "engine", tmp_path / "polars"
    engine = importlib.import_module("benchmarks.contenders.engine")
    for out, run in zip(outs, (engine.run, run_polars), strict=True):
        out.mkdir()
        run(folder, out)
    ours, theirs = (
        {
            path.relative_to(out): path.read_bytes()
            for name in ("merged_inventory", "normalized", "invalid_rows")
            for path in out.rglob(f"{name}.csv")
        }
        for out in outs
    )
    assert theirs == ours
    is_rejecting = tenant == "aurora_health"
    assert len(ours) == 1 + len(TENANTS[tenant]) + is_rejecting


def test_the_lists_are_timed_after_all_agree(
    feeds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--rows=40", "--rounds=1", "--only=vinmonopolet"]
    status = main([*options, f"--feeds={feeds}", f"--folder={tmp_path}"])

    printed = capsys.readouterr().out
    assert status == 0
    assert "1 times: 40 rows, 0 MiB, 0 rejected" in printed
    assert re.findall(
        r"^\| (\w[\w, ]*\w) +\| +\d+\.\d\d \| +\d", printed, re.MULTILINE
    ) == ["engine", "engine, no kernel", "Polars"]
    assert printed.count("time of Polars") == 2
    assert (tmp_path / "lists.json").exists()


def test_without_the_lists_the_command_says_what_to_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "none"
    assert main([f"--feeds={folder}", f"--folder={tmp_path}"]) == 1
    assert "Set FEEDS_DIR" in capsys.readouterr().err
